//! What runs in the pods: the model's Flux, in the pods of virtual nodes and, where nodes are real, in step with the brokers that really run there.
//!
//! On real nodes nothing is moved by a model: a kubelet starts and ends containers, and what it reports is what the model's Flux is told of its brokers. What users do to Flux is done to both: the commands are
//! run in the lead's pod, where a real broker or the stand-in for one answers, and in the model's Flux, which is what `flux …` tables and `flux.*` expectations are read from.

use std::sync::Arc;

use serde_json::{Value, json};
use towtank_lockstep::virtual_world::Upper;
use towtank_lockstep::virtual_world::embedded::Production;
use towtank_lockstep::world::Refusal;
use towtank_model::cluster::{ProcessFact, ProcessStep};
use towtank_model::objects::{ContainerState, ContainerStatus, ObjectKey, Pod, Uid};
use towtank_model::server::{Change, Server, Versions};
use towtank_model::simulation::{Application, Context};
use towtank_model::time::Time;
use towtank_scenario::ast::{MiniClusterEdit, MiniClusterManifest, Pid1};
use towtank_scenario::observation::MiniClusterView;

use crate::connection::Connection;
use crate::deployed::Images;
use crate::mirror::RealApi;

/// The brokers of a world.
pub(crate) struct Workloads {
    flux: Production<RealApi>,
    /// Where the commands go that are typed at a lead; `None`: the nodes are virtual, and nothing really runs in the pods.
    shell: Option<Connection>,
}

impl Workloads {
    /// In pods of virtual nodes.
    pub(crate) const fn virtual_nodes(flux: Production<RealApi>) -> Self {
        Self { flux, shell: None }
    }

    /// In pods of real nodes.
    pub(crate) const fn real_nodes(flux: Production<RealApi>, connection: Connection) -> Self {
        Self { flux, shell: Some(connection) }
    }

    /// Runs a command in the lead's pod, if anything runs there.
    fn type_at_lead(&self, name: &str, line: &str, server: &Server) -> Result<(), Refusal> {
        let Some(connection) = &self.shell else { return Ok(()) };
        let is_lead = |pod: &&Arc<Pod>| {
            pod.index.get() == Some(0)
                && pod.deletion.is_none()
                && !pod.status.phase.is_terminal()
                && pod.owner.as_ref().is_some_and(|owner| *owner.name == *name)
        };
        let lead = server.pods().find(is_lead);
        let lead =
            lead.ok_or_else(|| Refusal::new("NotFound", format!("minicluster `{name}` has no lead")))?;
        let container = lead.spec.containers.first().map(|container| &*container.name).unwrap_or_default();
        let command = format!("{ATTACHED} flux {}", line.trim_start_matches("flux "));
        let place = (&*lead.key.namespace, &*lead.key.name, container);
        let done = connection
            .execute(place, &["bash", "-c", &command])
            .map_err(|why| Refusal::new("ServiceUnavailable", why))?;
        match done.failure {
            None => Ok(()),
            Some(why) => Err(Refusal::new("Flux", format!("flux {line}: {why}: {}", done.stderr.trim()))),
        }
    }
}

/// What makes a shell that was not started by the broker one of its clients: the entrypoint's own settings.
const ATTACHED: &str = ". /flux_operator/settings.sh; FLUX_URI=local://$TOWTANK_RUNDIR/local exec";

/// What has happened to the first main process of a pod, as its kubelet reports it: not everything by itself, for a short life may be over when it is first told of.
fn facts(change: &Change) -> Vec<ProcessFact> {
    let Change::Pod(Versions { old, new: Some(new) }) = change else { return Vec::new() };
    let (before, after) = (old.as_deref().and_then(first), first(new));
    let mut runs = before.is_some_and(is_running);
    let goes_on = after.is_some_and(is_running);
    let code = match after.map(|status| &status.state) {
        Some(ContainerState::Terminated(end)) => end.exit_code,
        // It is reported together with what comes after it.
        _ => UNKNOWN,
    };
    let mut steps = Vec::new();
    let begun = starts(after).saturating_sub(starts(before)).min(STARTS_MAX);
    for _ in 0..begun {
        if runs {
            steps.push(ProcessStep::Ended(UNKNOWN));
        }
        steps.push(ProcessStep::Started);
        runs = true;
    }
    if runs && !goes_on {
        steps.push(ProcessStep::Ended(code));
    }
    if goes_on && new.deletion.is_some() && old.as_ref().is_none_or(|old| old.deletion.is_none()) {
        steps.push(ProcessStep::Told);
    }
    steps.into_iter().map(|step| ProcessFact { pod: new.uid, step }).collect()
}

/// Starts of one process that may have gone unseen between two reports.
const STARTS_MAX: i32 = 10;

/// How often a container has been started.
fn starts(status: Option<&ContainerStatus>) -> i32 {
    let Some(status) = status else { return 0 };
    let has_run = match &status.state {
        ContainerState::Running | ContainerState::Terminated(_) => true,
        ContainerState::Waiting(reason) => &**reason == "CrashLoopBackOff",
    };
    if has_run || status.restart_count > 0 { status.restart_count.saturating_add(1) } else { 0 }
}

/// An exit code that nobody reports; nobody asks for it either.
const UNKNOWN: i32 = 255;

fn first(pod: &Pod) -> Option<&ContainerStatus> {
    let main = pod.spec.containers.first()?;
    pod.status.containers.iter().find(|status| status.name == main.name)
}

const fn is_running(status: &ContainerStatus) -> bool {
    matches!(status.state, ContainerState::Running)
}

/// What the pods of a story's MiniClusters run where containers are real.
#[derive(Clone, Debug)]
pub(crate) struct RealPods {
    /// Whatever images the story names.
    pub(crate) images: Images,
    /// What the story has as PID 1 beside the broker.
    pub(crate) pid1: Pid1,
}

/// What makes a shell, to which `pre` is a script of its own, ignore SIGTERM, as one does that is PID 1 and has no handler for it.
const SWALLOWS: &str = "trap '' TERM";

/// A MiniCluster whose pods run what is to be run. One that wants no view gets none.
pub(crate) fn with_real_pods(mut minicluster: Value, pods: &RealPods) -> Value {
    let Some(containers) = minicluster.pointer_mut("/spec/containers").and_then(Value::as_array_mut) else {
        return minicluster;
    };
    let images = &pods.images;
    for container in containers {
        container["image"] = images.broker.as_str().into();
        // It is on the nodes; whatever its tag, there need not be a registry that has it.
        container["imagePullPolicy"] = "IfNotPresent".into();
        if pods.pid1 == Pid1::Shell {
            container["commands"]["pre"] = SWALLOWS.into();
        }
    }
    let view = &mut minicluster["spec"]["flux"]["container"];
    if view["disable"] != true {
        match &images.view {
            // Nobody can say of a view when it is pulled: its tag should not be `latest`, which kubelets always try to pull.
            Some(image) => view["image"] = image.as_str().into(),
            None => *view = json!({"disable": true}),
        }
    }
    minicluster
}

impl Application for Workloads {
    fn observe(&mut self, change: &Change, ctx: &mut Context<'_>) {
        self.flux.observe(change, ctx);
        if self.shell.is_some() {
            for fact in facts(change) {
                self.flux.process(fact, ctx);
            }
        }
    }

    fn drives(&self, pod: &Pod) -> bool {
        self.flux.drives(pod)
    }

    fn probes(&self, pod: &Pod) -> bool {
        self.flux.probes(pod)
    }

    fn process(&mut self, fact: ProcessFact, ctx: &mut Context<'_>) {
        self.flux.process(fact, ctx);
    }

    fn next_time(&self) -> Option<Time> {
        self.flux.next_time()
    }

    fn fire(&mut self, ctx: &mut Context<'_>) {
        self.flux.fire(ctx);
    }

    fn take_exits(&mut self) -> Vec<(Uid, i32)> {
        let exits = self.flux.take_exits();
        // Real processes end by themselves.
        if self.shell.is_some() { Vec::new() } else { exits }
    }

    fn take_readiness(&mut self) -> Vec<(Uid, bool)> {
        let readiness = self.flux.take_readiness();
        if self.shell.is_some() { Vec::new() } else { readiness }
    }
}

impl Upper for Workloads {
    fn apply(
        &mut self,
        key: &ObjectKey,
        manifest: &MiniClusterManifest,
        ctx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        self.flux.apply(key, manifest, ctx)
    }

    fn edit(&mut self, name: &str, edit: &MiniClusterEdit, ctx: &mut Context<'_>) -> Result<(), Refusal> {
        self.flux.edit(name, edit, ctx)
    }

    fn delete(&mut self, name: &str, ctx: &mut Context<'_>) -> Result<(), Refusal> {
        self.flux.delete(name, ctx)
    }

    fn run(&mut self, name: &str, line: &str, ctx: &mut Context<'_>) -> Result<(), Refusal> {
        self.type_at_lead(name, line, ctx.server)?;
        self.flux.run(name, line, ctx)
    }

    fn signal(&mut self, name: &str, rank: u32, kills: bool, ctx: &mut Context<'_>) -> Result<(), Refusal> {
        // The parent of what a broker runs for somebody is the broker. One that is killed could not say any more how the command has ended, so it ends before.
        let command =
            if kills { "(sleep 0.2; kill -KILL $PPID) >/dev/null 2>&1 &" } else { "kill -TERM $PPID" };
        self.type_at_lead(name, &format!("exec -r {rank} sh -c '{command}'"), ctx.server)?;
        self.flux.signal(name, rank, kills, ctx)
    }

    fn print(&self, name: &str, line: &str, now: Time) -> Option<String> {
        self.flux.print(name, line, now)
    }

    fn views(&self, server: &Server) -> Vec<MiniClusterView> {
        self.flux.views(server)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use towtank_model::objects::{Container, Deletion, PodIndex, PodSpec, PodStatus, Termination};

    use super::*;

    pub(crate) fn pod(state: ContainerState, restart_count: i32) -> Pod {
        let container = Container { name: "flux-sample".into(), cpu_request_milli: 0, is_sidecar: false };
        let status = ContainerStatus { name: "flux-sample".into(), restart_count, ready: false, state };
        Pod {
            key: ObjectKey::new("default", "flux-sample-0-abcde"),
            uid: Uid(1),
            resource_version: 1,
            labels: Arc::default(),
            owner: None,
            index: PodIndex::At(0),
            index_failure_count: None,
            index_ignored_failure_count: None,
            tracked: true,
            foreign_finalizers: Arc::new([]),
            creation_time: Time::ZERO,
            deletion: None,
            spec: Arc::new(PodSpec { containers: vec![container], ..PodSpec::default() }),
            node: None,
            status: PodStatus { containers: vec![status], ..PodStatus::default() },
        }
    }

    fn steps(old: &Pod, new: &Pod) -> Vec<ProcessStep> {
        let change =
            Change::Pod(Versions { old: Some(Arc::new(old.clone())), new: Some(Arc::new(new.clone())) });
        facts(&change).into_iter().map(|fact| fact.step).collect()
    }

    #[test]
    fn a_kubelets_reports_are_what_happens_to_the_process() {
        let end = |exit_code| ContainerState::Terminated(Termination { exit_code, finished_at: None });
        let waits = pod(ContainerState::Waiting("ContainerCreating".into()), 0);
        let runs = pod(ContainerState::Running, 0);
        assert_eq!(steps(&waits, &runs), [ProcessStep::Started]);
        assert_eq!(steps(&runs, &runs), []);
        assert_eq!(steps(&runs, &pod(end(3), 0)), [ProcessStep::Ended(3)]);
        assert_eq!(steps(&pod(end(3), 0), &pod(ContainerState::Running, 1)), [ProcessStep::Started]);
        // A life that was over before anybody told of it, and pods that are first seen when they run.
        assert_eq!(steps(&waits, &pod(end(3), 0)), [ProcessStep::Started, ProcessStep::Ended(3)]);
        let new = Change::Pod(Versions { old: None, new: Some(Arc::new(runs.clone())) });
        assert_eq!(facts(&new).into_iter().map(|fact| fact.step).collect::<Vec<_>>(), [ProcessStep::Started]);
        let crashes = pod(ContainerState::Waiting("CrashLoopBackOff".into()), 0);
        assert_eq!(steps(&runs, &crashes), [ProcessStep::Ended(UNKNOWN)]);
        assert_eq!(steps(&crashes, &pod(ContainerState::Running, 1)), [ProcessStep::Started]);
        let again = pod(ContainerState::Running, 1);
        assert_eq!(steps(&runs, &again), [ProcessStep::Ended(UNKNOWN), ProcessStep::Started]);
        let mut told = runs.clone();
        told.deletion = Some(Deletion { timestamp: Time::ZERO, grace_period_s: 30 });
        assert_eq!(steps(&runs, &told), [ProcessStep::Told]);
        assert_eq!(steps(&told, &told), []);
    }

    #[test]
    fn pods_run_the_image_that_has_a_broker() {
        let sample = json!({"spec": {"size": 4, "containers": [{"image": "rockylinux:9"}, {"image": "x"}]}});
        let images = Images {
            operator: "operator:1".to_owned(),
            broker: "broker:1".to_owned(),
            view: Some("view:1".to_owned()),
        };
        let pods = RealPods { images, pid1: Pid1::Entrypoint };
        let there = with_real_pods(sample.clone(), &pods);
        let container = json!({"image": "broker:1", "imagePullPolicy": "IfNotPresent"});
        assert_eq!(there["spec"]["containers"], json!([container, container]));
        assert_eq!(there["spec"]["flux"]["container"], json!({"image": "view:1"}));
        let bare = RealPods { images: Images { view: None, ..pods.images.clone() }, pid1: Pid1::Shell };
        let container = &with_real_pods(sample.clone(), &bare)["spec"]["containers"][0];
        assert_eq!(container["commands"], json!({"pre": "trap '' TERM"}));
        assert_eq!(
            with_real_pods(sample.clone(), &bare)["spec"]["flux"]["container"],
            json!({"disable": true})
        );
        // A story without a view stays without one.
        let mut without = sample;
        without["spec"]["flux"] = json!({"container": {"disable": true}});
        assert_eq!(with_real_pods(without, &pods)["spec"]["flux"]["container"], json!({"disable": true}));
        // A patch of the size says nothing of images.
        assert_eq!(with_real_pods(json!({"spec": {"size": 3}}), &pods), json!({"spec": {"size": 3}}));
    }
}
