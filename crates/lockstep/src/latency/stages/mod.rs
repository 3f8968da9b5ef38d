//! KWOK's Stages as a timing profile: how long pods take to start and to go on nodes without machines (`timing: FILE.yaml` of a scenario).
//!
//! KWOK moves simulated pods and nodes as objects of the kind Stage say: to which objects a Stage applies, how long it waits, what it writes then. Virtual nodes here have one
//! way of doing this, and run processes too. So a file of Stages is read as a description of how long that takes, and is refused where it describes
//! something else: a duration is all that is taken from it. Which Stages there are, and what becomes of their delays, is in `docs/stages.md`.
//!
//! Source of the rules: the types of `kwok.x-k8s.io/v1alpha1`, and KWOK's own Stages (its directory `kustomize/stage`).

mod raw;
mod template;
#[cfg(test)]
mod tests;

use serde::Deserialize as _;
use serde_json::Value;
use towtank_model::cluster::TimingProfile;
use towtank_model::engine::Distribution;

use raw::{Condition, Delay, Next, Stage};
use template::{Says, Status};

const API_VERSION: &str = "kwok.x-k8s.io/v1alpha1";
/// Stages of one file.
const STAGES_MAX: usize = 100;
/// Milliseconds that a delay may have: a day.
const DELAY_MAX_MS: u64 = 86_400_000;
/// Pieces of the quantile function of two delays that follow one another.
const PIECES: u32 = 64;

/// Why a Stage is not taken.
#[derive(Debug)]
struct Refusal {
    /// The field that says it.
    field: String,
    /// What is wrong with it, and what would be right.
    why: String,
}

impl Refusal {
    fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self { field: field.into(), why: why.into() }
    }
}

/// What a Stage does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// A new pod is seen by its node.
    Create,
    /// Its containers run, and it is Ready.
    Ready,
    /// It has been told to go, and its containers end: KWOK takes its own finalizer off.
    Release,
    /// Its object goes.
    Delete,
    /// A node becomes Ready.
    Initialize,
    /// A node says that it is there.
    Heartbeat,
}

/// A Stage that does something known here.
struct Known {
    /// How messages call it.
    title: String,
    role: Role,
    conditions: Vec<Condition>,
    delay: Span,
    stage: Stage,
}

/// Any number of milliseconds from the first to the second, equally likely.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span(u64, u64);

/// The profile that the Stages in `text` describe: that without machines, with the delays of pods for its durations. `name` is what messages call it; it stays for good.
pub(super) fn profile(text: &str, name: &str) -> Result<TimingProfile, String> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| error.without_snippet().to_string())?;
    if documents.is_empty() || documents.len() > STAGES_MAX {
        return Err(format!(
            "it holds {} documents: give one Stage, and at most {STAGES_MAX}",
            documents.len()
        ));
    }
    let mut known: Vec<Known> = Vec::new();
    for (number, document) in documents.iter().enumerate() {
        let stage = read(number, document)?;
        let title = &stage.title;
        if let Some(other) = known.iter().find(|other| other.competes_with(&stage)) {
            let why = format!(
                "it applies to the same pods or nodes as {}, and KWOK would choose one by weight: virtual nodes know one way, leave one of the two out",
                other.title
            );
            return Err(format!("{title}, `spec.selector`: {why}"));
        }
        known.push(stage);
    }
    check_order(&known)?;
    let delay =
        |role| known.iter().find(|stage| stage.role == role).map_or(Span::default(), |stage| stage.delay);
    let without_machines = TimingProfile::by_name("virtual").unwrap_or_else(TimingProfile::instant);
    Ok(TimingProfile {
        name: Box::leak(name.to_owned().into_boxed_str()),
        start: delay(Role::Create).then(delay(Role::Ready)),
        stop_notice: delay(Role::Release).then(Span::default()),
        cleanup: delay(Role::Delete).then(Span::default()),
        ..*without_machines
    })
}

/// A document of the file, if it is a Stage that describes what virtual nodes do.
fn read(number: usize, document: &Value) -> Result<Known, String> {
    let name = document.pointer("/metadata/name").and_then(Value::as_str);
    let number = number + 1;
    let title = name
        .map_or_else(|| format!("document {number}"), |name| format!("document {number} (Stage `{name}`)"));
    for (field, expected) in [("apiVersion", API_VERSION), ("kind", "Stage")] {
        if document.get(field).and_then(Value::as_str) != Some(expected) {
            return Err(format!(
                "{title}, `{field}`: write `{expected}`, a file of timing holds nothing else"
            ));
        }
    }
    let stage = Stage::deserialize(document).map_err(|error| format!("{title}: {error}"))?;
    let refused = |Refusal { field, why }| format!("{title}, `{field}`: {why}");
    let (role, conditions) = role(&stage).map_err(refused)?;
    let delay = stage.spec.delay.span(role).map_err(refused)?;
    if stage.spec.weight_from.is_some() {
        let why = "virtual nodes know one way, so that there is nothing to weigh: leave it out";
        return Err(refused(Refusal::new("spec.weightFrom", why)));
    }
    Ok(Known { title, role, conditions, delay, stage })
}

/// What a Stage does, and to what it applies.
fn role(stage: &Stage) -> Result<(Role, Vec<Condition>), Refusal> {
    let spec = &stage.spec;
    let resource = &spec.resource_ref;
    if !matches!(resource.api_group.as_deref(), None | Some("" | "v1")) {
        return Err(Refusal::new(
            "spec.resourceRef.apiGroup",
            "write `v1`: virtual nodes move pods, and nothing else",
        ));
    }
    let Some(selector) = &spec.selector else {
        return Err(Refusal::new("spec.selector", "a Stage without it never applies: say to what it does"));
    };
    let (role, conditions) = match resource.kind.as_str() {
        // What it does tells more than to what, where neither is known.
        "Pod" => (of_pod(&spec.next)?, selector.conditions()?),
        "Node" => {
            let conditions = selector.conditions()?;
            (of_node(&spec.next, &conditions)?, conditions)
        }
        _ => return Err(Refusal::new("spec.resourceRef.kind", "write `Pod` or `Node`")),
    };
    let (what, choices) = role.applies_to();
    if !choices.contains(&conditions.as_slice()) {
        let why = format!("a Stage that {what}: it says something else, or not all of this");
        return Err(Refusal::new("spec.selector.matchExpressions", why));
    }
    if role == Role::Release && selector.finalizers() != spec.next.finalizers.removed() {
        let why = "it is to remove the finalizers that its selector names";
        return Err(Refusal::new("spec.next.finalizers.remove", why));
    }
    Ok((role, conditions))
}

/// What a Stage of pods does.
fn of_pod(next: &Next) -> Result<Role, Refusal> {
    let removes = !next.finalizers.removed().is_empty();
    if next.finalizers.empty && !next.delete {
        let why = "a node takes no finalizers of others off a pod that stays: leave it out";
        return Err(Refusal::new("spec.next.finalizers.empty", why));
    }
    let Some(template) = &next.status_template else {
        return match (next.delete, removes) {
            (true, _) => Ok(Role::Delete),
            (false, true) => Ok(Role::Release),
            (false, false) => Err(Refusal::new(
                "spec.next",
                "it neither writes a status, nor takes finalizers off, nor deletes: leave this Stage out",
            )),
        };
    };
    let refused = |why: String| Refusal::new("spec.next.statusTemplate", why);
    if next.delete || removes {
        return Err(refused(
            "a pod that goes gets no other status from a virtual node: leave it out".to_owned(),
        ));
    }
    let status = Status::read(template).map_err(refused)?;
    match status.phase().as_deref() {
        Some("Running") if status.ready() != Says::True => {
            Err(refused("a pod that runs is Ready: write the condition Ready with `status: \"True\"`".to_owned()))
        }
        Some("Running") if status.containers_run() == Says::Otherwise => {
            Err(refused("containers of a pod that runs are ready, and their state is `running`".to_owned()))
        }
        Some("Running") => Ok(Role::Ready),
        Some("Pending") | None if status.ready() == Says::True => {
            Err(refused("a pod that is Pending is not Ready".to_owned()))
        }
        Some("Pending") | None => Ok(Role::Create),
        Some("Succeeded" | "Failed") => Err(refused(
            "how containers end is not a matter of nodes: leave this Stage out, and say in the scenario how long they run, as in \
             `workloads: [{runsFor: 1s, exitCode: 0}]`"
                .to_owned(),
        )),
        Some(phase) => Err(refused(format!("it writes the phase `{phase}`: virtual nodes write Pending, then Running"))),
    }
}

/// What a Stage of nodes does.
fn of_node(next: &Next, conditions: &[Condition]) -> Result<Role, Refusal> {
    let finalizers = &next.finalizers;
    if next.delete || finalizers.empty || !finalizers.added().is_empty() || !finalizers.removed().is_empty() {
        return Err(Refusal::new(
            "spec.next",
            "nodes come and go by the steps of a scenario: write a status only",
        ));
    }
    let refused = |why: &str| Refusal::new("spec.next.statusTemplate", why);
    let Some(template) = &next.status_template else {
        return Err(refused("a Stage of nodes writes their status"));
    };
    let status = Status::read(template).map_err(|why| refused(&why))?;
    if status.conditions_are_the_usual() != Says::True
        || status.phase().is_some_and(|phase| phase != "Running")
    {
        return Err(refused(
            "nodes are Ready until a step of the scenario fails them: write the conditions of `NodeConditions`, and the phase Running",
        ));
    }
    Ok(if conditions.contains(&Condition::NotReady) { Role::Initialize } else { Role::Heartbeat })
}

impl Role {
    /// To what a Stage that does this applies, in words, and the selectors that say so.
    const fn applies_to(self) -> (&'static str, &'static [&'static [Condition]]) {
        use Condition::{
            Free, Initialized, Kept, NotReady, NotRunning, Ready, Running, ToldToGo, Unseen, Wanted,
        };
        match self {
            Self::Create => (
                "makes pods Pending applies to those without `.metadata.deletionTimestamp` and `.status.podIP`",
                &[&[Wanted, Unseen]],
            ),
            Self::Ready => (
                "makes pods Running applies to those without `.metadata.deletionTimestamp` and `.status.podIP`, or to those that are Initialized and of \
                 which no container runs",
                &[&[Wanted, Unseen], &[Wanted, Initialized, NotRunning]],
            ),
            Self::Release => (
                "takes finalizers off applies to pods that have `.metadata.deletionTimestamp` and these finalizers",
                &[&[ToldToGo, Kept]],
            ),
            Self::Delete => (
                "deletes pods applies to those that have `.metadata.deletionTimestamp`, and no finalizers if so wished",
                &[&[ToldToGo], &[ToldToGo, Free]],
            ),
            Self::Initialize => ("makes nodes Ready applies to those that are not", &[&[NotReady]]),
            Self::Heartbeat => (
                "writes the status of nodes again applies to those that are Ready, and Running if so wished",
                &[&[Ready], &[Ready, Running]],
            ),
        }
    }
}

impl Known {
    /// Both can apply to the same object.
    fn competes_with(&self, other: &Self) -> bool {
        let both_of_new_pods = |one: &Self, two: &Self| {
            one.role == Role::Create && two.role == Role::Ready && two.conditions.contains(&Condition::Unseen)
        };
        let both_of_pods_to_go = |one: &Self, two: &Self| {
            one.role == Role::Release
                && two.role == Role::Delete
                && !two.conditions.contains(&Condition::Free)
        };
        self.role == other.role
            || [(self, other), (other, self)]
                .iter()
                .any(|(one, two)| both_of_new_pods(one, two) || both_of_pods_to_go(one, two))
    }
}

/// What one Stage waits for, another one does.
fn check_order(known: &[Known]) -> Result<(), String> {
    let of = |role| known.iter().find(|stage| stage.role == role);
    let waits = of(Role::Ready).filter(|ready| ready.conditions.contains(&Condition::Initialized));
    if let (Some(ready), None) = (waits, of(Role::Create)) {
        return Err(format!(
            "{}, `spec.selector`: no Stage makes pods Initialized: add the one that does, or wait for `.status.podIP` to be missing",
            ready.title
        ));
    }
    let has_none_left = of(Role::Delete).is_some_and(|delete| delete.stage.spec.next.finalizers.empty);
    let removed =
        of(Role::Release).map_or(Vec::new(), |release| release.stage.spec.next.finalizers.removed());
    let mut added = Vec::new();
    for stage in known {
        let here = stage.stage.spec.next.finalizers.added();
        let stays = here.iter().find(|finalizer| !removed.contains(finalizer) && !has_none_left);
        if let Some(finalizer) = stays {
            return Err(format!(
                "{}, `spec.next.finalizers.add`: no Stage takes `{finalizer}` off again, so that pods would stay",
                stage.title
            ));
        }
        added.extend(here);
    }
    match of(Role::Release).zip(removed.iter().find(|finalizer| !added.contains(finalizer))) {
        Some((release, finalizer)) => Err(format!(
            "{}, `spec.next.finalizers.remove`: no Stage gives pods the finalizer `{finalizer}`, so that this one never applies",
            release.title
        )),
        None => Ok(()),
    }
}

impl Delay {
    /// From its duration to its jitter, equally likely; the jitter alone when it is the shorter one (KWOK's `Delay`).
    fn span(&self, role: Role) -> Result<Span, Refusal> {
        for (field, from) in
            [("durationFrom", &self.duration_from), ("jitterDurationFrom", &self.jitter_duration_from)]
        {
            if from.is_some() {
                let why = "virtual nodes take as long for one pod as for another: leave it out, and write milliseconds";
                return Err(Refusal::new(format!("spec.delay.{field}"), why));
            }
        }
        let duration = milliseconds("durationMilliseconds", self.duration_milliseconds)?.unwrap_or(0);
        let span = match milliseconds("jitterDurationMilliseconds", self.jitter_duration_milliseconds)? {
            Some(jitter) => Span(duration.min(jitter), jitter),
            None => Span(duration, duration),
        };
        if role == Role::Initialize && span != Span::default() {
            return Err(Refusal::new("spec.delay", "virtual nodes are Ready when they join: leave it out"));
        }
        Ok(span)
    }
}

/// A part of a delay, within its limits.
fn milliseconds(field: &str, written: Option<i64>) -> Result<Option<u64>, Refusal> {
    let Some(written) = written else { return Ok(None) };
    match u64::try_from(written) {
        Ok(ms @ ..=DELAY_MAX_MS) => Ok(Some(ms)),
        _ => Err(Refusal::new(
            format!("spec.delay.{field}"),
            format!("give 0 to {DELAY_MAX_MS}, which is a day"),
        )),
    }
}

impl Span {
    /// How long this and `next` take, one after the other.
    fn then(self, next: Self) -> Distribution {
        let (low, high) = (self.0 + next.0, self.1 + next.1);
        let (one, other) = (self.1 - self.0, next.1 - next.0);
        let (narrow, wide) = (one.min(other), one.max(other));
        if wide == 0 {
            return Distribution::constant_ms(low);
        }
        if narrow == 0 {
            return Distribution::uniform_ms(low, high);
        }
        // Of two that vary the density rises, stays and falls.
        let (narrow, wide, low) = (f64_of(narrow), f64_of(wide), f64_of(low));
        let rises_until = narrow / (2.0 * wide);
        let quantile = |share: f64| {
            if share <= rises_until {
                (2.0 * narrow * wide * share).sqrt()
            } else if share < 1.0 - rises_until {
                share.mul_add(wide, narrow / 2.0)
            } else {
                narrow + wide - (2.0 * narrow * wide * (1.0 - share)).sqrt()
            }
        };
        let point = |piece: u32| {
            let share = f64::from(piece) / f64::from(PIECES);
            (share, low + quantile(share))
        };
        let points: Vec<(f64, f64)> = (0..=PIECES).map(point).collect();
        Distribution::Quantiles(Box::leak(points.into_boxed_slice()))
    }
}

/// Milliseconds of a day at most are exact.
fn f64_of(ms: u64) -> f64 {
    u32::try_from(ms).map_or(f64::INFINITY, f64::from)
}
