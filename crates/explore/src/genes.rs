//! Numbers that say what a story is made of: the lower a gene, the simpler what it says.

use std::sync::Arc;
use std::time::Duration;

use towtank_model::cluster::{Behaviour, TimingProfile, WorkloadRule};
use towtank_model::job::{CallKind, Fault, FaultPlan};
use towtank_model::objects::{
    CompletionMode, Container, Labels, PodFailureAction, PodFailureMatch, PodFailurePolicy, PodFailureRule,
    PodReplacementPolicy, PodSpec, PodTemplate, RestartPolicy, SuccessPolicy, SuccessRule,
};
use towtank_model::server::JobManifest;

use crate::story::{Setting, Stage};

/// Numbers drawn from one gene.
pub(crate) struct Gene(pub(crate) u64);

impl Gene {
    /// The next number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let number = self.0 % bound;
        self.0 /= bound;
        number
    }

    /// The same as a field of an object has it.
    pub(crate) fn small(&mut self, bound: u64) -> i32 {
        i32::try_from(self.below(bound)).unwrap_or(0)
    }

    /// One time in so many, a value.
    pub(crate) fn maybe<T>(&mut self, one_in: u64, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(one_in) == one_in - 1).then(|| value(self))
    }

    /// One of these.
    pub(crate) fn one_of<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        choices[usize::try_from(self.below(N as u64)).unwrap_or(0)]
    }
}

/// Where a story happens, and what goes wrong there by itself.
pub(crate) fn setting(gene: u64) -> Setting {
    let mut gene = Gene(gene);
    let stage = if gene.below(2) == 0 { Stage::Manual } else { Stage::Nodes };
    let (mut faults, mut misleads) = (FaultPlan::default(), false);
    if gene.below(4) == 3 {
        for _ in 0..=gene.below(3) {
            let kind = gene.one_of([
                CallKind::UpdateJobStatus,
                CallKind::PatchPod,
                CallKind::CreatePod,
                CallKind::DeletePod,
                CallKind::GetJob,
            ]);
            let nth = 1 + gene.below(8);
            let fault = gene.one_of([
                Fault::Conflict,
                Fault::Unreachable,
                Fault::AnswerLost,
                Fault::Delay(Duration::from_millis(2_500)),
            ]);
            misleads |= matches!(fault, Fault::AnswerLost | Fault::Delay(_));
            faults = faults.with(kind, nth, fault);
        }
    }
    let mut timing = TimingProfile::instant();
    let mut workload = Vec::new();
    if stage == Stage::Nodes {
        if let Some(kind) = TimingProfile::by_name("kind").filter(|_| gene.below(2) == 1) {
            timing = kind;
        }
        let exit_code = gene.maybe(3, |_| 1);
        let runs_for = Some(Duration::from_secs(5 + gene.below(120)));
        let rule = |incarnation, exit_code| WorkloadRule {
            job: None,
            indexes: None,
            incarnation,
            behaviour: Behaviour { runs_for, exit_code, ..Behaviour::DEFAULT },
        };
        workload.extend(exit_code.map(|code| rule(Some(1), code)));
        workload.push(rule(None, 0));
    }
    Setting { stage, timing, workload, faults, misleads }
}

/// The Job at the centre of a story.
pub(crate) fn job(gene: u64) -> JobManifest {
    let mut gene = Gene(gene);
    let indexed = gene.below(4) < 3;
    let (completions, parallelism) = (1 + gene.small(6), 1 + gene.small(6));
    let elastic = gene.below(3) < 2;
    let per_index = indexed.then(|| gene.maybe(3, |gene| gene.small(3))).flatten();
    let policy = gene.maybe(6, failure_policy);
    let is_selected = gene.maybe(6, |_| ()).is_some();
    JobManifest {
        parallelism: Some(if elastic { completions } else { parallelism }),
        completions: gene.maybe(4, |_| ()).filter(|()| !indexed).map_or(Some(completions), |()| None),
        completion_mode: Some(if indexed { CompletionMode::Indexed } else { CompletionMode::NonIndexed }),
        backoff_limit: gene.maybe(2, |gene| gene.small(7)),
        backoff_limit_per_index: per_index,
        max_failed_indexes: per_index.and_then(|_| gene.maybe(2, |gene| gene.small(2))),
        active_deadline_seconds: gene.maybe(6, |gene| 5 + i64::from(gene.small(100))),
        suspend: gene.maybe(8, |_| true),
        pod_replacement_policy: match policy {
            Some(_) => Some(PodReplacementPolicy::Failed),
            None => gene.maybe(3, |_| PodReplacementPolicy::Failed),
        },
        pod_failure_policy: policy,
        template: Some(template(gene.maybe(4, |_| ()).is_some(), is_selected)),
        success_policy: gene.maybe(8, |gene| success_policy(gene, completions)).filter(|_| indexed),
        manual_selector: is_selected.then_some(true),
        selector: is_selected.then(labels),
        ..JobManifest::default()
    }
}

/// The labels that a user's own selector asks for.
fn labels() -> Labels {
    [("app".into(), "story".into())].into()
}

fn success_policy(gene: &mut Gene, completions: i32) -> Arc<SuccessPolicy> {
    let succeeded_count = Some(1 + gene.small(completions.unsigned_abs().into()));
    let succeeded_indexes = gene.maybe(2, |_| "0".into());
    let succeeded_count = succeeded_count.filter(|_| succeeded_indexes.is_none());
    Arc::new(SuccessPolicy { rules: vec![SuccessRule { succeeded_indexes, succeeded_count }] })
}

fn failure_policy(gene: &mut Gene) -> Arc<PodFailurePolicy> {
    let action = gene.one_of([PodFailureAction::Ignore, PodFailureAction::Count, PodFailureAction::FailJob]);
    let matches =
        PodFailureMatch::ExitCodes { container_name: None, is_in: true, values: vec![1 + gene.small(3)] };
    Arc::new(PodFailurePolicy { rules: vec![PodFailureRule { action, matches }] })
}

/// With a foreign finalizer, deleted pods stay and can be seen terminating.
fn template(keeps_deleted: bool, is_selected: bool) -> Arc<PodTemplate> {
    let finalizers: &[&str] = if keeps_deleted { &["example.com/hold"] } else { &[] };
    Arc::new(PodTemplate {
        labels: Arc::new(if is_selected { labels() } else { Labels::new() }),
        annotations: Arc::new(Labels::new()),
        finalizers: finalizers.iter().map(|&name| name.into()).collect(),
        spec: Arc::new(pod_spec()),
    })
}

/// One container, no wishes.
pub(crate) fn pod_spec() -> PodSpec {
    let main = Container { name: "main".into(), cpu_request_milli: 0, is_sidecar: false };
    PodSpec { restart_policy: RestartPolicy::Never, containers: vec![main], ..PodSpec::default() }
}
