//! Whatever users and nodes do, no pod is ever in an impossible state and no node is overfull.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Pods that a story creates at most.
const PODS: u32 = 12;
/// Nodes at the start.
const NODES: u32 = 3;
/// Cores of a node, in thousandths.
const CPU_MILLI: u32 = 4_000;

#[derive(Clone, Debug)]
enum Verb {
    Create { cpu_milli: u32, restarts: bool, inits: u32, sidecar: bool, held: bool },
    Delete { pod: u32, grace_period_s: Option<u32> },
    Evict { pod: u32 },
    Release { pod: u32 },
    Signal { pod: u32, kill: bool },
    Exit { pod: u32, code: i32 },
    Node { node: u32, change: NodeChange },
    Wait { ms: u64 },
}

fn verbs() -> impl Strategy<Value = Vec<Verb>> {
    let pod = || 0..PODS;
    let change = prop::sample::select(vec![
        NodeChange::Down,
        NodeChange::Up,
        NodeChange::Delete,
        NodeChange::Add,
        NodeChange::Cordon,
        NodeChange::Uncordon,
        NodeChange::OutOfService,
        NodeChange::ShutDown,
    ]);
    let grace = prop::option::of(0_u32..40);
    let wait = prop_oneof![0_u64..3, 0_u64..2_000, 0_u64..60_000, 0_u64..400_000];
    let verb = prop_oneof![
        4 => (0_u32..3_000, any::<bool>(), 0_u32..3, any::<bool>(), any::<bool>()).prop_map(
            |(cpu_milli, restarts, inits, sidecar, held)| Verb::Create { cpu_milli, restarts, inits, sidecar, held }
        ),
        2 => (pod(), grace).prop_map(|(pod, grace_period_s)| Verb::Delete { pod, grace_period_s }),
        1 => pod().prop_map(|pod| Verb::Evict { pod }),
        1 => pod().prop_map(|pod| Verb::Release { pod }),
        2 => (pod(), any::<bool>()).prop_map(|(pod, kill)| Verb::Signal { pod, kill }),
        2 => (pod(), 0..3).prop_map(|(pod, code)| Verb::Exit { pod, code }),
        3 => (0..NODES, change).prop_map(|(node, change)| Verb::Node { node, change }),
        5 => wait.prop_map(|ms| Verb::Wait { ms }),
    ];
    prop::collection::vec(verb, 1..60)
}

fn play(bench: &mut Bench, verb: &Verb, created: &mut Vec<Uid>) {
    let pod = |number: u32| created.get(number as usize).copied().unwrap_or(Uid(u32::MAX));
    // Actions on what is not there are refused, which is as it should be.
    match *verb {
        Verb::Create { cpu_milli, restarts, inits, sidecar, held } => {
            if created.len() >= PODS as usize {
                return;
            }
            let restart_policy = if restarts { RestartPolicy::OnFailure } else { RestartPolicy::Never };
            let mut init_containers: Vec<Container> =
                (0..inits).map(|number| container(&format!("init-{number}"), 100, false)).collect();
            if sidecar {
                init_containers.insert(0, container("sidecar", 100, true));
            }
            let containers = vec![container("main", cpu_milli, false), container("other", 0, false)];
            let manifest = PodManifest {
                labels: Labels::new(),
                annotations: Labels::new(),
                finalizers: if held { vec!["example.com/hold".into()] } else { Vec::new() },
                spec: Arc::new(PodSpec { containers, init_containers, ..spec(restart_policy) }),
            };
            let key = ObjectKey::new("default", format!("p{}", created.len()));
            let made = bench.act(|_, ctx| ctx.server.create_pod(ctx.now, Actor::User, key, &manifest));
            created.push(made.unwrap().uid);
        }
        Verb::Delete { pod: number, grace_period_s } => {
            let _ =
                bench.act(|_, ctx| ctx.server.delete_pod(ctx.now, Actor::User, pod(number), grace_period_s));
        }
        Verb::Evict { pod: number } => {
            let _ = bench.act(|_, ctx| ctx.server.evict_pod(ctx.now, Actor::User, pod(number)));
        }
        Verb::Release { pod: number } => {
            let patch = crate::server::PodPatch {
                remove_finalizer: Some("example.com/hold".into()),
                ..crate::server::PodPatch::default()
            };
            let _ = bench.act(|_, ctx| ctx.server.patch_pod(ctx.now, Actor::User, pod(number), &patch));
        }
        Verb::Signal { pod: number, kill } => {
            let signal = if kill { Signal::Kill } else { Signal::Term };
            let _ = bench.act(|cluster, ctx| cluster.signal(pod(number), signal, ctx));
        }
        Verb::Exit { pod: number, code } => {
            let all = ContainerChoice::All;
            let _ = bench.act(|cluster, ctx| cluster.exit(pod(number), all, code, None, ctx));
        }
        Verb::Node { node, change } => {
            let name = format!("node-{node}");
            let _ = bench.act(|cluster, ctx| cluster.set_node(&name, change, ctx));
        }
        Verb::Wait { ms } => bench.run_for(Duration::from_millis(ms)),
    }
}

/// Rules for one step of one pod.
fn check_step(old: Option<&Pod>, new: &Pod) -> Result<(), String> {
    let status = &new.status;
    let is_running = |state: &ContainerState| *state == ContainerState::Running;
    // The pod garbage collector changes the phase and nothing else, so such a pod keeps what was reported last.
    let is_ended_from_outside =
        status.phase == PodPhase::Failed && old.is_some_and(|old| old.status.containers == status.containers);
    let runs = |container: &ContainerStatus| is_running(&container.state);
    let rules = [
        (
            new.is_ready()
                && !is_ended_from_outside
                && (status.phase != PodPhase::Running || !status.containers.iter().all(runs)),
            "ready but not running",
        ),
        (
            status.phase.is_terminal() && !is_ended_from_outside && status.containers.iter().any(runs),
            "ended with a running container",
        ),
        (
            status.phase == PodPhase::Succeeded
                && status.containers.iter().any(|container| {
                    !matches!(&container.state, ContainerState::Terminated(end) if end.exit_code == 0)
                }),
            "succeeded with a container that did not",
        ),
        (status.phase != PodPhase::Pending && new.node.is_none() && status.phase != PodPhase::Failed, "runs nowhere"),
        (
            status.phase == PodPhase::Running
                && status.init_containers.iter().any(|init| matches!(init.state, ContainerState::Waiting(_)))
                && old.is_some_and(|old| old.status.phase == PodPhase::Pending),
            "started before its init containers",
        ),
    ];
    if let Some((_, rule)) = rules.iter().find(|(is_broken, _)| *is_broken) {
        return Err((*rule).to_owned());
    }
    let Some(old) = old else { return Ok(()) };
    let (before, after) = (old.status.phase, status.phase);
    let restarts =
        |pod: &Pod| pod.status.containers.iter().map(|container| container.restart_count).sum::<i32>();
    let steps = [
        (before.is_terminal() && before != after, "terminal phase left"),
        (before == PodPhase::Running && after == PodPhase::Pending, "back to Pending"),
        (old.is_deleting() && !new.is_deleting(), "deletion taken back"),
        (old.node.is_some() && old.node != new.node, "moved"),
        (old.node.is_none() && new.node.is_some() && old.is_deleting(), "bound while being deleted"),
        (restarts(new) < restarts(old), "restarts fell"),
        (old.is_deleting() && restarts(new) > restarts(old) + 2, "restarted while being deleted"),
        (new.resource_version <= old.resource_version, "not a new version"),
    ];
    match steps.iter().find(|(is_broken, _)| *is_broken) {
        Some((_, rule)) => Err((*rule).to_owned()),
        None => Ok(()),
    }
}

fn check_history(bench: &Bench) -> Result<(), TestCaseError> {
    let mut present: BTreeMap<Uid, Arc<Pod>> = BTreeMap::new();
    for (at, versions) in &bench.history {
        let Some(uid) = versions.new.as_ref().or(versions.old.as_ref()).map(|pod| pod.uid) else { continue };
        prop_assert_eq!(present.get(&uid), versions.old.as_ref(), "history of {} is broken at {}", uid, at);
        match &versions.new {
            Some(pod) => {
                if let Err(rule) = check_step(versions.old.as_deref(), pod) {
                    return Err(TestCaseError::fail(format!("{rule} at {at}: {pod:#?}")));
                }
                present.insert(uid, Arc::clone(pod));
            }
            None => {
                present.remove(&uid);
            }
        }
        check_capacity(&present)?;
    }
    Ok(())
}

fn check_capacity(present: &BTreeMap<Uid, Arc<Pod>>) -> Result<(), TestCaseError> {
    let mut used: BTreeMap<NodeId, u64> = BTreeMap::new();
    for pod in present.values().filter(|pod| !pod.status.phase.is_terminal()) {
        if let Some(node) = pod.node {
            *used.entry(node).or_default() += capacity::cpu_request_milli(&pod.spec);
        }
    }
    prop_assert!(used.values().all(|&used| used <= u64::from(CPU_MILLI)), "{used:?}");
    Ok(())
}

/// In the end, with all nodes back and all pods deleted, nothing is left but what finalizers hold, and nothing happens
/// any more.
fn check_end(bench: &mut Bench, created: &[Uid]) -> Result<(), TestCaseError> {
    for number in 0..NODES {
        let name = format!("node-{number}");
        for change in [NodeChange::Uncordon, NodeChange::Up] {
            let _ = bench.act(|cluster, ctx| cluster.set_node(&name, change, ctx));
        }
    }
    bench.run_for_secs(1_000);
    for &pod in created {
        let _ = bench.act(|_, ctx| ctx.server.delete_pod(ctx.now, Actor::User, pod, None));
    }
    bench.run_for_secs(2_000);
    for pod in bench.server.pods() {
        prop_assert!(pod.has_finalizers() && pod.status.phase.is_terminal(), "left behind: {pod:#?}");
    }
    let handled = bench.handled;
    bench.run_for_secs(100_000);
    prop_assert_eq!(bench.handled, handled, "a quiet cluster has nothing to do");
    Ok(())
}

proptest! {
    #[test]
    fn stories_of_pods_and_nodes_keep_every_rule(
        story in verbs(),
        timing in prop::sample::select(vec!["instant", "kind", "gke"]),
        minor in 28_u16..=37,
        runs_for_s in prop::option::of(0_u64..300),
        exit_code in 0..2,
        on_term_s in prop::option::of(0_u64..60),
    ) {
        let on_term = on_term_s.map_or(OnTerm::Ignore, |after_s| OnTerm::Exit {
            exit_code: 0,
            after: Duration::from_secs(after_s),
        });
        let runs_for = runs_for_s.map(|secs| Duration::from_secs(secs.max(1)));
        let behaviour = Behaviour { runs_for, exit_code, on_term };
        let rule = WorkloadRule { job: None, indexes: None, incarnation: None, behaviour };
        let config =
            ClusterConfig { workload: vec![rule], cpu_milli: CPU_MILLI, ..profile(timing, NODES) };
        let mut bench = Bench::with_version(config, minor);
        let mut created = Vec::new();
        for verb in &story {
            play(&mut bench, verb, &mut created);
        }
        check_end(&mut bench, &created)?;
        check_history(&bench)?;
    }
}
