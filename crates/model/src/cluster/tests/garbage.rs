//! What becomes of the pods of a deleted Job (Job spec section 7.6).

use super::*;
use crate::objects::{Job, PodTemplate};
use crate::server::{JobManifest, PodDraft, PodPatch, Propagation};

/// A Job with three running pods, which take ten seconds to stop.
fn bench_with_job(timing: &str) -> (Bench, Arc<Job>, Vec<Uid>) {
    let on_term = OnTerm::Exit { exit_code: 143, after: Duration::from_secs(10) };
    let rule = WorkloadRule {
        job: Some("job".into()),
        indexes: None,
        incarnation: None,
        behaviour: Behaviour { on_term, ..Behaviour::DEFAULT },
    };
    let mut bench = Bench::new(ClusterConfig { workload: vec![rule], ..profile(timing, 2) });
    let template = PodTemplate {
        labels: Arc::default(),
        annotations: Arc::default(),
        finalizers: Arc::new([]),
        spec: Arc::new(spec(RestartPolicy::Never)),
    };
    let manifest = JobManifest { template: Some(Arc::new(template)), ..JobManifest::default() };
    let key = ObjectKey::new("default", "job");
    let job = bench.act(|_, ctx| ctx.server.create_job(ctx.now, Actor::User, key, &manifest)).unwrap();
    let pods = (0..3).map(|_| create_pod(&mut bench, &job)).collect();
    bench.run_for_secs(100);
    (bench, job, pods)
}

/// A pod of the Job, without the tracking finalizer, which is the Job controller's business.
fn create_pod(bench: &mut Bench, job: &Job) -> Uid {
    let draft = PodDraft { index: None, index_failure_count: None, index_ignored_failure_count: None };
    let untrack = PodPatch { remove_tracking_finalizer: true, ..PodPatch::default() };
    bench.act(|_, ctx| {
        let actor = Actor::JobController;
        let pod = ctx.server.create_job_pod(ctx.now, actor, job, draft, ctx.random).unwrap();
        ctx.server.patch_pod(ctx.now, actor, pod.uid, &untrack).unwrap();
        pod.uid
    })
}

fn delete_job(bench: &mut Bench, job: &Job, propagation: Propagation) {
    bench.act(|_, ctx| ctx.server.delete_job(ctx.now, Actor::User, &job.key, propagation)).unwrap();
}

#[test]
fn in_the_background_the_job_goes_first() {
    let (mut bench, job, pods) = bench_with_job("instant");
    delete_job(&mut bench, &job, Propagation::Background);
    assert!(bench.server.job(job.uid).is_none());
    bench.run_for_secs(30);
    for pod in pods {
        assert_eq!(bench.when(pod, Pod::is_deleting), Some(secs(100)));
        assert_eq!(bench.gone_at(pod), Some(secs(110)));
    }
}

#[test]
fn in_the_foreground_the_job_waits_for_its_pods() {
    let (mut bench, job, pods) = bench_with_job("instant");
    delete_job(&mut bench, &job, Propagation::Foreground);
    bench.run_to(secs(109));
    assert!(bench.server.job(job.uid).is_some());
    assert!(pods.iter().all(|&pod| bench.pod(pod).is_some_and(Pod::is_deleting)));
    bench.run_to(secs(110));
    assert!(bench.server.job(job.uid).is_none());
    assert_eq!(bench.server.pods().count(), 0);
}

#[test]
fn a_job_without_pods_does_not_wait() {
    let (mut bench, job, pods) = bench_with_job("kind");
    for pod in pods {
        bench.delete(pod, Some(0));
    }
    delete_job(&mut bench, &job, Propagation::Foreground);
    bench.run_for_secs(1);
    assert!(bench.server.job(job.uid).is_none());
}

#[test]
fn orphans_stay_and_belong_to_nobody() {
    let (mut bench, job, pods) = bench_with_job("instant");
    delete_job(&mut bench, &job, Propagation::Orphan);
    bench.run_for_secs(100);
    assert!(bench.server.job(job.uid).is_none());
    for pod in pods {
        let orphan = bench.pod(pod).unwrap();
        assert!(orphan.owner.is_none() && orphan.is_ready() && !orphan.is_deleting());
    }
}

#[test]
fn a_pod_made_for_a_job_that_is_gone_is_garbage() {
    let (mut bench, job, _) = bench_with_job("instant");
    delete_job(&mut bench, &job, Propagation::Background);
    bench.run_for_secs(30);
    let late = create_pod(&mut bench, &job);
    bench.run_for_secs(30);
    assert!(bench.gone_at(late).is_some());
}
