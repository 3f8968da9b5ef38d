//! Numbers that say what a story is made of: the lower a gene, the simpler what it says.

use std::sync::Arc;
use std::time::Duration;

use towtank_model::cluster::{Behaviour, OnTerm, TimingProfile, WorkloadRule};
use towtank_model::job::{CallKind, Fault, FaultPlan};
use towtank_model::objects::{
    CompletionMode, ConditionStatus, Container, DISRUPTION_TARGET, Labels, PodFailureAction, PodFailureMatch,
    PodFailurePolicy, PodFailureRule, PodReplacementPolicy, PodSpec, PodTemplate, RestartPolicy,
    SuccessPolicy, SuccessRule,
};
use towtank_model::server::{JobManifest, PodManifest};

use crate::story::{Setting, Stage};

/// The label that a user's own selector asks for, and its value.
pub(crate) const LABEL: &str = "app";
pub(crate) const LABEL_VALUE: &str = "story";
/// A finalizer that is not the Job controller's.
pub(crate) const HOLD: &str = "example.com/hold";
/// A condition that is not the cluster's.
pub(crate) const CONFIG_ISSUE: &str = "ConfigIssue";
/// The container that every pod has, and one that some have beside it.
pub(crate) const MAIN: &str = "main";
pub(crate) const SIDE: &str = "side";

/// Numbers drawn from one gene.
pub(crate) struct Gene(pub(crate) u128);

impl Gene {
    /// The next number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let bound = u128::from(bound.max(1));
        let number = self.0 % bound;
        self.0 /= bound;
        u64::try_from(number).unwrap_or(0)
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
    let mut gene = Gene(gene.into());
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
                CallKind::DeleteJob,
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
        // The code of the pods that fail, and whether only the first of an index does.
        let failing = gene.maybe(3, |gene| (1 + gene.small(3), gene.below(3) < 2));
        let runs_for = Some(Duration::from_secs(5 + gene.below(120)));
        let gentle = OnTerm::Exit { exit_code: 0, after: Duration::from_secs(2) };
        let on_term = gene.one_of([Behaviour::DEFAULT.on_term, gentle, OnTerm::Ignore]);
        let rule = |incarnation, exit_code| WorkloadRule {
            job: None,
            indexes: None,
            incarnation,
            behaviour: Behaviour { runs_for, exit_code, on_term },
        };
        workload.extend(failing.map(|(code, is_first)| rule(is_first.then_some(1), code)));
        workload.push(rule(None, 0));
    }
    Setting { stage, timing, workload, faults, misleads }
}

/// The Job at the centre of a story.
pub(crate) fn job(stage: Stage, gene: u128) -> JobManifest {
    let mut gene = Gene(gene);
    let indexed = gene.below(4) < 3;
    let (completions, parallelism) = (1 + gene.small(6), 1 + gene.small(6));
    let elastic = gene.below(3) < 2;
    let wants_per_index = gene.maybe(3, |gene| gene.small(3));
    let restarts_in_place = gene.maybe(4, |_| ()).is_some() && stage == Stage::Nodes;
    // Only pods that are never restarted in place have a failure policy, and only indexes a back-off of their own.
    let per_index = wants_per_index.filter(|_| indexed && !restarts_in_place);
    let policy = gene.maybe(3, |gene| failure_policy(gene, per_index.is_some()));
    let policy = policy.filter(|_| !restarts_in_place);
    let is_selected = gene.maybe(3, |_| ()).is_some();
    JobManifest {
        parallelism: Some(if elastic { completions } else { parallelism }),
        completions: gene.maybe(4, |_| ()).filter(|()| !indexed).map_or(Some(completions), |()| None),
        completion_mode: Some(if indexed { CompletionMode::Indexed } else { CompletionMode::NonIndexed }),
        backoff_limit: gene.maybe(2, |gene| gene.small(7)),
        backoff_limit_per_index: per_index,
        max_failed_indexes: per_index.and_then(|_| gene.maybe(2, |gene| gene.small(2))),
        active_deadline_seconds: gene.maybe(6, |gene| 5 + i64::from(gene.small(100))),
        ttl_seconds_after_finished: gene.maybe(6, |gene| gene.small(90)),
        suspend: gene.maybe(8, |_| true),
        pod_replacement_policy: match policy {
            Some(_) => Some(PodReplacementPolicy::Failed),
            None => gene.maybe(3, |_| PodReplacementPolicy::Failed),
        },
        pod_failure_policy: policy,
        template: Some(template(&mut gene, stage, restarts_in_place, is_selected)),
        success_policy: gene.maybe(4, |gene| success_policy(gene, completions)).filter(|_| indexed),
        managed_by: gene.maybe(24, |_| "example.com/other".into()),
        manual_selector: is_selected.then_some(true),
        selector: is_selected.then(labels),
        ..JobManifest::default()
    }
}

/// Another Job beside the one at the centre.
pub(crate) fn other_job() -> JobManifest {
    JobManifest {
        parallelism: Some(2),
        completions: Some(3),
        completion_mode: Some(CompletionMode::Indexed),
        template: Some(Arc::new(PodTemplate { spec: Arc::new(pod_spec()), ..PodTemplate::default() })),
        ..JobManifest::default()
    }
}

/// A pod that a user's own selector selects.
pub(crate) fn bare_pod() -> PodManifest {
    let spec = Arc::new(pod_spec());
    PodManifest { labels: labels(), annotations: Labels::new(), finalizers: Vec::new(), spec }
}

/// The labels that a user's own selector asks for.
fn labels() -> Labels {
    [(LABEL.into(), LABEL_VALUE.into())].into()
}

fn success_policy(gene: &mut Gene, completions: i32) -> Arc<SuccessPolicy> {
    let rule = |gene: &mut Gene| {
        let count = 1 + gene.small(completions.unsigned_abs().into());
        let indexes = gene.maybe(2, |gene| gene.one_of(["0", "0-1", "0,2-3"]));
        // The last index that each names.
        let last = |text: &&str| text.bytes().last().map_or(0, |digit| i32::from(digit - b'0'));
        let indexes = indexes.map(|text| if last(&text) < completions { text } else { "0" });
        let both = gene.maybe(3, |_| 1).filter(|_| indexes.is_some());
        let succeeded_count = if indexes.is_some() { both } else { Some(count) };
        SuccessRule { succeeded_indexes: indexes.map(Arc::from), succeeded_count }
    };
    let mut rules = vec![rule(gene)];
    rules.extend(gene.maybe(4, rule));
    Arc::new(SuccessPolicy { rules })
}

fn failure_policy(gene: &mut Gene, has_limit_per_index: bool) -> Arc<PodFailurePolicy> {
    let rule = |gene: &mut Gene| {
        let per_index =
            if has_limit_per_index { PodFailureAction::FailIndex } else { PodFailureAction::FailJob };
        let action = gene.one_of([
            PodFailureAction::Ignore,
            PodFailureAction::Count,
            PodFailureAction::FailJob,
            per_index,
            per_index,
        ]);
        let value = 1 + gene.small(3);
        let container_name = gene.maybe(3, |_| MAIN.into());
        let matches = match gene.below(4) {
            0 | 1 => {
                PodFailureMatch::ExitCodes { container_name, is_in: true, values: vec![value, value + 1] }
            }
            2 => PodFailureMatch::ExitCodes { container_name, is_in: false, values: vec![value] },
            _ => PodFailureMatch::PodConditions(vec![
                (DISRUPTION_TARGET.into(), ConditionStatus::True),
                (CONFIG_ISSUE.into(), ConditionStatus::True),
            ]),
        };
        PodFailureRule { action, matches }
    };
    let mut rules = vec![rule(gene)];
    rules.extend(gene.maybe(2, rule));
    Arc::new(PodFailurePolicy { rules })
}

/// A pod template. With a foreign finalizer, deleted pods stay and can be seen terminating.
fn template(gene: &mut Gene, stage: Stage, restarts: bool, is_selected: bool) -> Arc<PodTemplate> {
    let finalizers: &[&str] = if gene.maybe(4, |_| ()).is_some() { &[HOLD] } else { &[] };
    let mut spec = pod_spec();
    if restarts {
        spec.restart_policy = RestartPolicy::OnFailure;
    }
    spec.containers.extend(gene.maybe(6, |_| container(SIDE, false)));
    if stage == Stage::Nodes {
        spec.init_containers.extend(gene.maybe(6, |_| container("setup", false)));
        spec.init_containers.extend(gene.maybe(6, |_| container("proxy", true)));
    }
    Arc::new(PodTemplate {
        labels: Arc::new(if is_selected { labels() } else { Labels::new() }),
        annotations: Arc::new(Labels::new()),
        finalizers: finalizers.iter().map(|&name| name.into()).collect(),
        spec: Arc::new(spec),
    })
}

/// One container, no wishes.
fn pod_spec() -> PodSpec {
    PodSpec {
        restart_policy: RestartPolicy::Never,
        containers: vec![container(MAIN, false)],
        ..PodSpec::default()
    }
}

fn container(name: &str, is_sidecar: bool) -> Container {
    Container { name: name.into(), cpu_request_milli: 0, is_sidecar }
}
