//! The runner against a scripted world: each way in which an expectation can hold or fail, at the exact instant.

use std::sync::Arc;
use std::time::Duration;

use towtank_lockstep::run::{FailureCause, Outcome, Run, StepOutcome};
use towtank_lockstep::runner::{self, Limits, Setting};
use towtank_lockstep::world::{Refusal, World, WorldError, WorldKind};
use towtank_model::job::FaultPlan;
use towtank_model::objects::{Job, JobSpec, JobStatus, ObjectKey, PodSpec, PodTemplate, RestartPolicy, Uid};
use towtank_model::server::{Actor, Change, Fact, TraceEntry, Verb, Versions};
use towtank_model::time::Time;
use towtank_model::version::KubernetesVersion;
use towtank_scenario::ast::{
    Action, Claim, Clause, ClusterSpec, Expectation, JobClaim, RefusedClaim, Scenario, SourceFile, Spanned,
    Step, VersionRange, When,
};
use towtank_scenario::observation::{JobView, Observation};

/// A world in which `active` of the only Job follows a script: at these milliseconds it has these values.
struct Scripted {
    now: Time,
    script: Vec<(u64, i64)>,
    refuses: bool,
    shows_nothing: bool,
    observation: Observation,
    generation: u64,
    performed: u32,
}

impl Scripted {
    fn new(script: &[(u64, i64)]) -> Self {
        let job = JobView { name: "work".into(), exists: true, ..JobView::default() };
        Self {
            now: Time::ZERO,
            script: script.to_vec(),
            refuses: false,
            shows_nothing: false,
            observation: Observation { jobs: vec![job], ..Observation::default() },
            generation: 0,
            performed: 0,
        }
    }
}

impl World for Scripted {
    fn kind(&self) -> WorldKind {
        WorldKind::Model
    }

    fn now(&self) -> Time {
        self.now
    }

    fn perform(&mut self, _action: &Action) -> Result<(), Refusal> {
        self.performed += 1;
        if self.refuses { Err(Refusal::new("Forbidden", "exceeded quota")) } else { Ok(()) }
    }

    fn next_instant(&mut self, limit: Time) -> Result<Option<Time>, WorldError> {
        let due = self.script.first().copied().filter(|(at, _)| Time::from_millis(*at) <= limit);
        let Some((at, active)) = due else {
            self.now = limit;
            return Ok(None);
        };
        self.script.remove(0);
        self.now = Time::from_millis(at);
        if self.observation.jobs[0].active != active {
            self.observation.jobs[0].active = active;
            self.generation += 1;
        }
        Ok(Some(self.now))
    }

    fn is_quiescent(&self) -> bool {
        self.script.is_empty()
    }

    fn observe(&mut self) -> &Observation {
        self.observation.now = (self.now - Time::ZERO).as_secs_f64();
        &self.observation
    }

    fn generation(&self) -> u64 {
        self.generation
    }

    fn take_trace(&mut self) -> Vec<TraceEntry> {
        if self.shows_nothing { Vec::new() } else { vec![created()] }
    }
}

fn created() -> TraceEntry {
    let template = PodTemplate {
        labels: Arc::default(),
        annotations: Arc::default(),
        finalizers: Arc::from([]),
        spec: Arc::new(PodSpec { restart_policy: RestartPolicy::Never, ..PodSpec::default() }),
    };
    let job = Job {
        key: ObjectKey::new("default", "work"),
        uid: Uid(0),
        resource_version: 1,
        generation: 1,
        labels: Arc::default(),
        creation_time: Time::ZERO,
        deletion_time: None,
        finalizers: Vec::new(),
        spec: JobSpec {
            parallelism: 3,
            completions: Some(3),
            completion_mode: towtank_model::objects::CompletionMode::Indexed,
            backoff_limit: 6,
            backoff_limit_per_index: None,
            max_failed_indexes: None,
            active_deadline_seconds: None,
            ttl_seconds_after_finished: None,
            suspend: false,
            pod_replacement_policy: None,
            pod_failure_policy: None,
            success_policy: None,
            managed_by: None,
            manual_selector: Some(false),
            selector: Arc::default(),
            template: Arc::new(template),
        },
        status: JobStatus::default(),
    };
    let change = Change::Job(Versions { old: None, new: Some(Arc::new(job)) });
    TraceEntry { at: Time::ZERO, actor: Actor::User, fact: Fact::Changed(Verb::Create, change) }
}

const TEXT: &str = "a scenario\nmade by hand\n";

fn active(value: i32) -> Clause {
    let fields = vec![Spanned { value: JobClaim::Active(value), span: 2..10 }];
    Clause { span: 2..10, claim: Claim::Job { name: None, fields } }
}

fn expect(when: When, clauses: Vec<Clause>) -> Expectation {
    Expectation { span: 2..10, versions: None, flux: None, when, clauses }
}

fn step(name: &str, action: Action, expect: Vec<Expectation>) -> Step {
    Step {
        name: Spanned { value: name.into(), span: 0..1 },
        action: Spanned { value: action, span: 11..15 },
        expect,
    }
}

fn scenario(steps: Vec<Step>) -> Scenario {
    Scenario {
        name: "made by hand".into(),
        source: Arc::new(SourceFile { path: "by hand.yaml".into(), text: TEXT.into() }),
        about: String::new(),
        origin: String::new(),
        versions: VersionRange::ALL,
        cluster: ClusterSpec {
            nodes: 1,
            cores_per_node: 1,
            pods_per_node: 1,
            timing: "instant".into(),
            is_one_machine: false,
            feature_gates: Vec::new(),
            controller_qps: None,
            controller_burst: 0,
            operator_replicas: 1,
            faults: FaultPlan::default(),
            operator: towtank_scenario::ast::Operator::Contract,
            flux: towtank_scenario::ast::FluxSpec {
                versions: VersionRange::only(towtank_scenario::ast::FluxVersion::V0_61),
                pid1: towtank_scenario::ast::Pid1::Shell,
                has_view: true,
            },
            manual_pods: true,
        },
        workloads: Vec::new(),
        steps,
    }
}

fn play_in(world: &mut Scripted, scenario: &Scenario) -> Run {
    let setting = Setting { stack: KubernetesVersion::NEWEST.into(), seed: 7 };
    runner::play(scenario, world, setting, Limits::default())
}

/// Plays one step with these expectations while `active` follows the script.
fn play(script: &[(u64, i64)], expectations: Vec<Expectation>) -> Run {
    play_in(&mut Scripted::new(script), &scenario(vec![step("only", Action::Observe, expectations)]))
}

fn code(run: &Run) -> &'static str {
    run.failure.as_ref().map_or("passed", |failure| failure.cause.code())
}

const S: fn(u64) -> Duration = Duration::from_secs;

#[test]
fn within_ends_at_the_first_instant_that_shows_it() {
    let script = [(500, 1), (1_250, 2), (9_000, 3)];
    let run = play(&script, vec![expect(When::Within(Duration::from_millis(1_250)), vec![active(2)])]);
    assert_eq!(code(&run), "passed");
    assert_eq!(run.steps[0].latency(), Some(Duration::from_millis(1_250)));
    assert_eq!(run.steps[0].settled, Some(Time::from_millis(1_250)));
    let run = play(&script, vec![expect(When::Within(Duration::from_millis(1_249)), vec![active(2)])]);
    assert_eq!(code(&run), "not-held");
    assert_eq!(run.failure.map(|failure| failure.at), Some(Time::from_millis(1_249)));
}

#[test]
fn clauses_must_hold_at_the_same_instant() {
    let run = play(&[(1_000, 1), (2_000, 2)], vec![expect(When::Within(S(9)), vec![active(1), active(2)])]);
    assert_eq!(code(&run), "not-held");
}

#[test]
fn now_is_right_after_the_action_or_the_expectation_before() {
    let script = [(1_000, 1), (2_000, 2)];
    assert_eq!(code(&play(&script, vec![expect(When::Now, vec![active(0)])])), "passed");
    assert_eq!(code(&play(&script, vec![expect(When::Now, vec![active(1)])])), "not-held");
    let after = vec![expect(When::Within(S(5)), vec![active(2)]), expect(When::Now, vec![active(2)])];
    assert_eq!(code(&play(&script, after)), "passed");
}

#[test]
fn at_is_exact_and_may_not_have_passed() {
    let script = [(1_000, 1), (2_000, 2)];
    for (at, value, expected) in [(1_000, 1, "passed"), (1_999, 1, "passed"), (2_000, 1, "not-held")] {
        let run = play(&script, vec![expect(When::At(Duration::from_millis(at)), vec![active(value)])]);
        assert_eq!(code(&run), expected, "{value} at {at} ms");
    }
    let late = vec![expect(When::Within(S(5)), vec![active(2)]), expect(When::At(S(1)), vec![active(1)])];
    assert_eq!(code(&play(&script, late)), "already-past");
}

#[test]
fn holds_looks_at_every_instant_and_goes_on_from_its_end() {
    let script = [(1_000, 1), (2_000, 0), (3_000, 1), (3_500, 0), (20_000, 4)];
    let one = |length| {
        vec![expect(When::Within(S(1)), vec![active(1)]), expect(When::Holds(length), vec![active(1)])]
    };
    assert_eq!(code(&play(&script, one(Duration::from_millis(999)))), "passed");
    let run = play(&script, one(S(1)));
    let Some(FailureCause::StoppedHolding { held, .. }) = run.failure.map(|failure| failure.cause) else {
        panic!("it is 0 after a second");
    };
    assert_eq!(held, S(1));
    let onward = vec![expect(When::Holds(S(4)), vec![active(0)])];
    assert_eq!(code(&play(&[(20_000, 4)], onward)), "passed");
}

#[test]
fn never_watches_until_all_is_at_rest_after_the_last_step() {
    let script = [(1_000, 1), (300_000, 9)];
    let steps = |forbidden| {
        scenario(vec![
            step("first", Action::Observe, vec![expect(When::Never, vec![active(forbidden)])]),
            step("second", Action::Observe, vec![expect(When::Within(S(2)), vec![active(1)])]),
        ])
    };
    assert_eq!(code(&play_in(&mut Scripted::new(&script), &steps(8))), "passed");
    let run = play_in(&mut Scripted::new(&script), &steps(9));
    assert_eq!(code(&run), "happened");
    assert_eq!(run.failure.as_ref().map(|failure| &*failure.step), Some("first"));
    assert_eq!(run.ended, Time::from_secs(300));
    // Right after the action counts too.
    assert_eq!(code(&play(&script, vec![expect(When::Never, vec![active(0)])])), "happened");
    // Ten minutes is the bound of the tail.
    assert_eq!(code(&play(&[(600_001, 9)], vec![expect(When::Never, vec![active(9)])])), "passed");
}

#[test]
fn before_is_strict_and_both_must_come() {
    let before = |first, then| vec![expect(When::Before, vec![active(first), active(then)])];
    let script = [(1_000, 1), (2_000, 2)];
    for (first, then, expected) in [
        (1, 2, "passed"),
        (2, 1, "wrong-order"),
        (1, 1, "wrong-order"),
        (1, 5, "never-came"),
        (5, 1, "wrong-order"),
        (0, 1, "passed"),
    ] {
        assert_eq!(code(&play(&script, before(first, then))), expected, "{first} before {then}");
    }
}

#[test]
fn monitors_of_a_wait_watch_while_it_lasts_and_times_count_from_its_end() {
    let story = |expectation| scenario(vec![step("wait", Action::Wait(S(10)), vec![expectation])]);
    let script = [(5_000, 1), (6_000, 0), (12_000, 2)];
    let play = |expectation| play_in(&mut Scripted::new(&script), &story(expectation));
    assert_eq!(code(&play(expect(When::Never, vec![active(1)]))), "happened");
    assert_eq!(code(&play(expect(When::Now, vec![active(0)]))), "passed");
    assert_eq!(code(&play(expect(When::Within(S(2)), vec![active(2)]))), "passed");
    assert_eq!(code(&play(expect(When::Within(S(1)), vec![active(2)]))), "not-held");
}

#[test]
fn a_refusal_must_be_expected_and_an_expected_one_must_come() {
    let claim = |kind: &str| Clause {
        span: 2..10,
        claim: Claim::Refused(RefusedClaim { kind: Some(kind.into()), ..RefusedClaim::default() }),
    };
    let mut refusing = Scripted::new(&[]);
    refusing.refuses = true;
    let story =
        |clause| scenario(vec![step("create", Action::Observe, vec![expect(When::Now, vec![clause])])]);
    assert_eq!(code(&play_in(&mut refusing, &story(active(0)))), "refused");
    assert_eq!(code(&play_in(&mut refusing, &story(claim("Forbidden")))), "passed");
    assert_eq!(code(&play_in(&mut refusing, &story(claim("Invalid")))), "not-held");
    assert_eq!(code(&play_in(&mut Scripted::new(&[]), &story(claim("Forbidden")))), "not-held");
}

#[test]
fn the_first_failure_ends_the_run_and_says_where() {
    let story = scenario(vec![
        step("one", Action::Observe, vec![expect(When::Within(S(2)), vec![active(1)])]),
        step("two", Action::Observe, vec![expect(When::Within(S(1)), vec![active(7)])]),
        step("three", Action::Observe, vec![expect(When::Now, vec![active(1)])]),
    ]);
    let mut world = Scripted::new(&[(1_000, 1)]);
    let run = play_in(&mut world, &story);
    let outcomes: Vec<StepOutcome> = run.steps.iter().map(|step| step.outcome()).collect();
    assert_eq!(outcomes, [StepOutcome::Passed, StepOutcome::Failed, StepOutcome::NotReached]);
    assert_eq!(world.performed, 2);
    assert_eq!(run.steps[2].expectations[0].outcome, Outcome::Unsettled);
    assert_eq!(run.replay_line(), "towtank run 'by hand.yaml' --world model --kubernetes 1.37 --seed 7");
    let failure = run.failure.expect("the second step fails");
    assert_eq!((failure.step_index, failure.expectation_index), (1, Some(0)));
    assert_eq!((failure.at, failure.since), (Time::from_secs(2), Time::from_secs(1)));
    assert_eq!(failure.cause.mismatches().len(), 1);
    // This world writes something whenever it is asked what it has written: before each of the two steps, and at the end.
    assert_eq!(failure.writes.len(), 3);
}

#[test]
fn what_tests_nothing_fails() {
    let old = VersionRange { first: KubernetesVersion::OLDEST, last: KubernetesVersion::OLDEST };
    let elsewhere = Expectation { versions: Some(old), ..expect(When::Now, vec![active(0)]) };
    assert_eq!(code(&play(&[], vec![elsewhere.clone()])), "nothing-expected");
    assert_eq!(code(&play(&[], Vec::new())), "nothing-expected");
    let mut outside =
        scenario(vec![step("only", Action::Observe, vec![elsewhere, expect(When::Now, vec![active(0)])])]);
    outside.versions = VersionRange { first: KubernetesVersion::NEWEST, last: KubernetesVersion::NEWEST };
    assert_eq!(code(&play_in(&mut Scripted::new(&[]), &outside)), "never-evaluated");
    let mut silent = Scripted::new(&[]);
    silent.shows_nothing = true;
    let story = scenario(vec![step("only", Action::Observe, vec![expect(When::Now, vec![active(0)])])]);
    assert_eq!(code(&play_in(&mut silent, &story)), "empty-trace");
}

#[test]
fn a_world_that_does_not_come_to_rest_is_stopped() {
    let script: Vec<(u64, i64)> = (1..200).map(|millis| (millis, i64::from(millis % 2 == 0))).collect();
    let story =
        scenario(vec![step("only", Action::Observe, vec![expect(When::Within(S(1)), vec![active(7)])])]);
    let limits = Limits { instants_max: 100, ..Limits::default() };
    let setting = Setting { stack: KubernetesVersion::NEWEST.into(), seed: 7 };
    let run = runner::play(&story, &mut Scripted::new(&script), setting, limits);
    assert_eq!(code(&run), "too-many-instants");
}

#[test]
fn observations_are_recorded_once_per_change() {
    let run = play(&[(1_000, 1), (1_500, 1), (2_000, 2)], vec![expect(When::Now, vec![active(0)])]);
    let text = run.observations.to_string();
    let expected = "--- only\n\
                    t=0.0s      job work created parallelism 0, completions -\n\
                    --- until all is at rest\n\
                    t=1.0s      job work active 0→1\n\
                    t=2.0s      job work active 1→2\n";
    assert_eq!(text, expected);
}
