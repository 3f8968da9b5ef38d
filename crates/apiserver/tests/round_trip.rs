//! Whatever clients and the model's components write, in any order: the JSON of each row reads back as the row.

mod support;

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use support::{Cluster, JOBS, NODES, PODS, job, pod};
use towtank_model::engine::RandomStreams;
use towtank_model::objects::{
    ConditionStatus, ContainerState, ContainerStatus, JobCondition, JobConditionType, NodeId, Pod,
    PodCondition, PodPhase, Termination, UncountedPods,
};
use towtank_model::server::{Actor, PodDraft, PodPatch, Propagation};
use towtank_wire as wire;

#[derive(Clone, Debug)]
enum Act {
    Note(bool, u8),
    Label(bool, u8),
    Resize(i32),
    Suspend(bool),
    CreatePod(u32),
    PostPod(u8),
    Bind(u8),
    Status(u8, u8),
    JobStatus(i32),
    Release(u8),
    Finish(u8),
    DeletePod(u8, Option<u32>),
    DeleteJob,
    Cordon(bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (any::<bool>(), 0_u8..3).prop_map(|(of, value)| Act::Note(of, value)),
        (any::<bool>(), 0_u8..3).prop_map(|(of, value)| Act::Label(of, value)),
        (0_i32..4).prop_map(Act::Resize),
        any::<bool>().prop_map(Act::Suspend),
        (0_u32..3).prop_map(Act::CreatePod),
        (0_u8..3).prop_map(Act::PostPod),
        (0_u8..4).prop_map(Act::Bind),
        (0_u8..4, 0_u8..5).prop_map(|(pod, status)| Act::Status(pod, status)),
        (0_i32..3).prop_map(Act::JobStatus),
        (0_u8..4).prop_map(Act::Release),
        (0_u8..4).prop_map(Act::Finish),
        (0_u8..4, proptest::option::of(0_u32..9)).prop_map(|(pod, grace)| Act::DeletePod(pod, grace)),
        Just(Act::DeleteJob),
        any::<bool>().prop_map(Act::Cordon),
    ]
}

fn nth(cluster: &Cluster, place: u8) -> Option<Arc<Pod>> {
    let pods: Vec<_> = cluster.rows.pods().cloned().collect();
    (!pods.is_empty()).then(|| Arc::clone(&pods[usize::from(place) % pods.len()]))
}

fn status_of(pod: &Pod, kind: u8, now: towtank_model::time::Time) -> towtank_model::objects::PodStatus {
    let mut status = pod.status.clone();
    status.phase =
        [PodPhase::Pending, PodPhase::Running, PodPhase::Running, PodPhase::Succeeded, PodPhase::Failed]
            [usize::from(kind)];
    status.start_time = Some(now);
    let state = match kind {
        0 => ContainerState::Waiting("ContainerCreating".into()),
        1 | 2 => ContainerState::Running,
        code => {
            ContainerState::Terminated(Termination { exit_code: i32::from(code) - 3, finished_at: Some(now) })
        }
    };
    let container = |name: &Arc<str>| ContainerStatus {
        name: Arc::clone(name),
        restart_count: i32::from(kind),
        ready: kind == 2,
        state: state.clone(),
    };
    status.containers = pod.spec.containers.iter().map(|one| container(&one.name)).collect();
    status.conditions.retain(|one| &*one.kind != "Ready");
    let ready = if kind == 2 { ConditionStatus::True } else { ConditionStatus::False };
    status.conditions.push(PodCondition {
        kind: "Ready".into(),
        status: ready,
        reason: "".into(),
        last_transition_time: now,
    });
    status
}

fn carry_out(cluster: &mut Cluster, act: &Act, random: &mut RandomStreams) {
    let now = cluster.now;
    let pod_path = |pod: &Pod| format!("{PODS}/{}", pod.key.name);
    let job_path = format!("{JOBS}/j");
    // Refusals are part of the story: what is stored has to read back all the same.
    match act {
        Act::Note(of_job, value) => {
            let patch = json!({"metadata": {"annotations": {"n": value.to_string()}}});
            let path = if *of_job { Some(job_path) } else { nth(cluster, *value).map(|pod| pod_path(&pod)) };
            path.map(|path| cluster.merge(&path, patch));
        }
        Act::Label(of_job, value) => {
            let patch = json!({"metadata": {"labels": {"l": value.to_string()}}});
            let path = if *of_job { Some(job_path) } else { nth(cluster, *value).map(|pod| pod_path(&pod)) };
            path.map(|path| cluster.merge(&path, patch));
        }
        Act::Resize(size) => {
            drop(cluster.merge(&job_path, json!({"spec": {"completions": size, "parallelism": size}})))
        }
        Act::Suspend(suspend) => drop(cluster.merge(&job_path, json!({"spec": {"suspend": suspend}}))),
        Act::CreatePod(index) => {
            let row = cluster.rows.jobs().next().cloned();
            if let Some(row) = row {
                let draft = PodDraft {
                    index: Some(*index),
                    index_failure_count: Some(1),
                    index_ignored_failure_count: None,
                };
                let _ = cluster.rows.create_job_pod(now, Actor::JobController, &row, draft, random);
            }
        }
        Act::PostPod(name) => drop(cluster.post(PODS, pod(&format!("p{name}")))),
        Act::Bind(place) => {
            if let Some(pod) = nth(cluster, *place) {
                let _ = cluster.rows.bind_pod(now, Actor::Scheduler, pod.uid, NodeId(0));
            }
        }
        Act::Status(place, kind) => {
            if let Some(pod) = nth(cluster, *place) {
                let status = status_of(&pod, *kind, now);
                let _ = cluster.rows.update_pod_status(now, Actor::Kubelet, pod.uid, |place| *place = status);
            }
        }
        Act::JobStatus(active) => {
            let row = cluster.rows.jobs().next().cloned();
            if let Some(row) = row {
                let mut status = row.status.clone();
                status.active = *active;
                status.start_time = Some(now);
                status.uncounted = Some(UncountedPods {
                    succeeded: cluster.rows.pods().map(|pod| pod.uid).take(1).collect(),
                    failed: Vec::new(),
                });
                let suspended = JobCondition {
                    kind: JobConditionType::Suspended,
                    status: ConditionStatus::False,
                    reason: "R".into(),
                    message: "m".into(),
                    last_transition_time: now,
                };
                status.conditions = vec![suspended];
                let _ = cluster.rows.update_job_status(
                    now,
                    Actor::JobController,
                    row.uid,
                    row.resource_version,
                    status,
                );
            }
        }
        Act::Release(place) => {
            if let Some(pod) = nth(cluster, *place) {
                let patch = PodPatch { release: true, ..PodPatch::default() };
                let _ = cluster.rows.patch_pod(now, Actor::JobController, pod.uid, &patch);
            }
        }
        Act::Finish(place) => {
            if let Some(pod) = nth(cluster, *place) {
                let patch = PodPatch { remove_tracking_finalizer: true, ..PodPatch::default() };
                let _ = cluster.rows.patch_pod(now, Actor::JobController, pod.uid, &patch);
            }
        }
        Act::DeletePod(place, grace) => {
            if let Some(pod) = nth(cluster, *place) {
                let _ = cluster.rows.delete_pod(now, Actor::User, pod.uid, *grace);
            }
        }
        Act::DeleteJob => {
            let key = cluster.rows.jobs().next().map(|job| job.key.clone());
            if let Some(key) = key {
                let _ = cluster.rows.delete_job(now, Actor::User, &key, Propagation::Foreground);
            }
        }
        Act::Cordon(is_cordoned) => {
            drop(cluster.merge(&format!("{NODES}/n"), json!({"spec": {"unschedulable": is_cordoned}})))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_row_reads_back(acts in prop::collection::vec(act(), 1..30)) {
        let mut cluster = Cluster::new();
        let mut random = RandomStreams::new(7);
        cluster.post(NODES, json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})).ok();
        cluster.post(JOBS, job("j", 2)).ok();
        for act in &acts {
            carry_out(&mut cluster, act, &mut random);
            cluster.wait(1);
            let jobs = cluster.get(JOBS).ok();
            let shown = jobs["items"].as_array().expect("a list");
            prop_assert_eq!(shown.len(), cluster.rows.jobs().count());
            for (shown, row) in shown.iter().zip(cluster.rows.jobs()) {
                prop_assert_eq!(&wire::job_row(shown).expect("a row"), &**row, "{}", shown);
            }
            let pods = cluster.get(PODS).ok();
            let shown = pods["items"].as_array().expect("a list");
            prop_assert_eq!(shown.len(), cluster.rows.pods().count());
            for shown in shown {
                let row = wire::pod_row(shown, |name| (name == "n").then_some(NodeId(0))).expect("a row");
                let stored = cluster.rows.pod(row.uid).expect("it is stored");
                prop_assert_eq!(&row, &**stored, "{}", shown);
            }
        }
    }
}
