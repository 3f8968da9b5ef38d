//! `spec.steps`: what is done.

use std::ops::Range;
use std::sync::Arc;

use towtank_flux::command::COMMANDS;
use towtank_model::objects::{ConditionStatus, PodPhase};
use towtank_model::server::Propagation;

use super::scope::Scope;
use super::{Source, expect, operator};
use crate::FileLoader;
use crate::ast::{
    Action, ControllerChange, FluxVersion, Manifest, NodeChange, Operator, PodRef, Signal, SourceFile,
    Spanned, Step, VersionRange, WatchKind,
};
use crate::error::{Problem, ScenarioError, suggest};
use crate::yaml::{Kind, Node};
use crate::{manifest, raw, text, yaml};

/// The objects that a step applies.
pub(super) type Applied = Vec<AppliedObject>;

/// An object that a step applies.
pub(super) struct AppliedObject {
    /// The file that it comes from.
    pub(super) source: Arc<SourceFile>,
    /// Where in it.
    pub(super) span: Range<usize>,
    pub(super) object: Manifest,
    /// A rule that it does not keep, so that it is refused.
    fault: Option<ScenarioError>,
}

/// The value of a step's key in the tree.
pub(super) fn value_of<'a>(root: &'a Node, step: usize, key: &str) -> Option<&'a Node> {
    root.get("spec")?.get("steps")?.at(step)?.get(key)
}

/// Reads the manifests of all steps.
pub(super) fn manifests(
    file: &Source<'_>,
    root: &Node,
    steps: &[Spanned<raw::Step>],
    loader: &dyn FileLoader,
) -> Result<Vec<Applied>, ScenarioError> {
    let of_step = |position: usize| match value_of(root, position, "apply") {
        None => Ok(Applied::new()),
        Some(Node { kind: Kind::Text(path), span }) => from_file(file, path, span, loader),
        Some(node) => match &node.kind {
            Kind::Seq(items) if !items.is_empty() => {
                items.iter().map(|item| one(file.source, item)).collect::<Result<_, _>>()
            }
            Kind::Map(_) => Ok(vec![one(file.source, node)?]),
            _ => {
                let expected = "a file, a manifest or a list of manifests".to_owned();
                let problem = Problem::WrongType { expected, found: node.in_words() };
                Err(file
                    .error(node.span.clone(), problem, "here")
                    .with_help("write for example `apply: job.yaml`"))
            }
        },
    };
    (0..steps.len()).map(of_step).collect()
}

fn one(source: &Arc<SourceFile>, node: &Node) -> Result<AppliedObject, ScenarioError> {
    let first_key = match &node.kind {
        Kind::Map(entries) => entries.first().map(|(key, _)| key.span.clone()),
        _ => None,
    };
    let Some(first_key) = first_key else {
        let problem = Problem::WrongType { expected: "a manifest".to_owned(), found: node.in_words() };
        return Err(ScenarioError::new(source, node.span.clone(), problem, "here")
            .with_help("a manifest begins with `apiVersion` and `kind`"));
    };
    let (object, fault) = manifest::read(source, node)?;
    Ok(AppliedObject { source: Arc::clone(source), span: first_key, object, fault })
}

fn from_file(
    file: &Source<'_>,
    path: &str,
    span: &Range<usize>,
    loader: &dyn FileLoader,
) -> Result<Applied, ScenarioError> {
    let text = loader.load(path).map_err(|reason| {
        let problem = Problem::Unreadable { path: path.to_owned(), reason: reason.to_string() };
        file.error(span.clone(), problem, "named here").with_help("paths are relative to the scenario file")
    })?;
    let source = Arc::new(SourceFile { path: path.to_owned(), text });
    let documents = yaml::documents(&source)?;
    if documents.is_empty() {
        let problem = Problem::Invalid(format!("`{path}` holds no manifest"));
        return Err(file.error(span.clone(), problem, "named here").with_help("put a Job or a Pod into it"));
    }
    documents.iter().map(|document| one(&source, document)).collect()
}

/// Reads all steps.
pub(super) fn steps(
    file: &Source<'_>,
    root: &Node,
    scope: &Scope,
    versions: VersionRange,
    flux: VersionRange<FluxVersion>,
    steps: Spanned<Vec<Spanned<raw::Step>>>,
    applied: Vec<Applied>,
) -> Result<Vec<Step>, ScenarioError> {
    let numbered = steps.value.into_iter().zip(applied).enumerate();
    let read = numbered.map(|(number, (step, mut applied))| {
        let mut step = step.value;
        let fault = applied.iter_mut().find_map(|applied| applied.fault.take());
        let patch = value_of(root, number, "patch").and_then(|patch| patch.get("spec"));
        let actions = Actions { file, scope, number };
        check_single(file, root, number)?;
        let action = actions.read(&mut step, applied, patch)?;
        let expect = step.expect.take().map_or_else(Vec::new, |expect| expect.value);
        let expect = expect::expectations(file, scope, versions, flux, &action.value, expect)?;
        // The original takes whatever has the right types.
        if let Some(fault) = fault
            && scope.operator == Operator::Contract
            && !expect.iter().flat_map(|expect| &expect.clauses).any(|clause| clause.claim.is_refusal())
        {
            return Err(fault);
        }
        let name = Spanned { value: step.name.value.0, span: step.name.span };
        Ok(Step { name, action, expect })
    });
    read.collect()
}

/// Refuses a step with two actions, at the second.
fn check_single(file: &Source<'_>, root: &Node, number: usize) -> Result<(), ScenarioError> {
    let Some(Node { kind: Kind::Map(entries), .. }) =
        root.get("spec").and_then(|spec| spec.get("steps")).and_then(|steps| steps.at(number))
    else {
        return Ok(());
    };
    let mut actions = entries.iter().filter(|(key, _)| !matches!(key.text.as_str(), "name" | "expect"));
    let (Some((first, _)), Some((second, _))) = (actions.next(), actions.next()) else { return Ok(()) };
    let problem = Problem::Invalid(format!(
        "a step does one thing, this one has `{}` and `{}`",
        first.text, second.text
    ));
    Err(file.error(second.span.clone(), problem, "a second action").with_help(
        "make it a step of its own; steps without `expect` between them follow at the same instant",
    ))
}

/// Reads the action of one step.
struct Actions<'a> {
    file: &'a Source<'a>,
    scope: &'a Scope,
    /// Position of the step.
    number: usize,
}

impl Actions<'_> {
    fn read(
        &self,
        step: &mut raw::Step,
        applied: Applied,
        patch: Option<&Node>,
    ) -> Result<Spanned<Action>, ScenarioError> {
        let mut found = None;
        /// Takes a key of the step, if it is there, and reads its value.
        macro_rules! take {
            ($field:ident, $read:expr) => {
                if let Some(Spanned { value, span }) = step.$field.take() {
                    let read: Result<Action, ScenarioError> = ($read)(value, span.clone());
                    found = Some(Spanned { value: read?, span });
                }
            };
        }
        take!(apply, |_, _| Ok(Action::Apply(applied.into_iter().map(|applied| applied.object).collect())));
        take!(patch, |value: raw::Patch, span| self.patch(value, patch, span));
        take!(scale, |value, span| self.scale(value, span));
        take!(flux, |value, span| self.flux(value, span));
        take!(flux_exec, |value: raw::FluxExec, span| {
            let minicluster = self.minicluster(value.minicluster, &span)?;
            let signal = match value.signal {
                Some(raw::SignalName::Kill) => Signal::Kill,
                Some(raw::SignalName::Term) | None => Signal::Term,
            };
            Ok(Action::FluxExec { minicluster, rank: value.rank.value, signal })
        });
        take!(delete, |value, span| self.delete(value, span));
        take!(signal, |value: raw::Signal, span| {
            let signal = match value.signal {
                Some(raw::SignalName::Kill) => Signal::Kill,
                Some(raw::SignalName::Term) | None => Signal::Term,
            };
            self.needs_kubelet(&span, "signal")?;
            Ok(Action::Signal { pods: self.pods(value.pod, value.pods, span)?, signal })
        });
        take!(succeed, |value, span| Ok(Action::Succeed { pods: self.targets(value, span)? }));
        take!(fail, |value, span| self.fail(value, span));
        take!(phase, |value, span| self.phase(value, span));
        take!(evict, |value, span| Ok(Action::Evict { pods: self.targets(value, span)? }));
        take!(edit_pod, |value, span| self.edit_pod(value, span));
        take!(node, |value, _| self.node(value));
        take!(controller, |value, _| Ok(Action::Controller(match value {
            raw::ControllerWord::Restart => ControllerChange::Restart,
            raw::ControllerWord::Stop => ControllerChange::Stop,
            raw::ControllerWord::Start => ControllerChange::Start,
        })));
        take!(cache, |value, _| Ok(cache(value)));
        take!(operator, |value, span| {
            operator::change(self.file, self.scope, value, span).map(Action::Operator)
        });
        take!(namespace, |raw::NamespaceAction::Terminate(name), _| {
            self.scope.namespace(self.file, &name)?;
            Ok(Action::TerminateNamespace(name.value))
        });
        take!(wait, |value, span| self.wait(Spanned { value, span }));
        Ok(found.unwrap_or_else(|| Spanned { value: Action::Observe, span: step.name.span.clone() }))
    }

    fn invalid(&self, span: Range<usize>, problem: &str, help: &str) -> ScenarioError {
        self.file.error(span, Problem::Invalid(problem.to_owned()), "here").with_help(help)
    }

    fn patch(
        &self,
        patch: raw::Patch,
        spec: Option<&Node>,
        span: Range<usize>,
    ) -> Result<Action, ScenarioError> {
        match (patch.job, patch.minicluster) {
            (Some(job), None) => {
                self.scope.job_at(self.file, &job, self.number)?;
                let manifest = spec.map(|spec| manifest::read_patch(self.file.source, spec)).transpose()?;
                let spec = spec.map_or(serde_json::Value::Null, Node::to_json);
                let manifest = Box::new(manifest.unwrap_or_default());
                Ok(Action::PatchJob { job: job.value, spec, manifest })
            }
            (None, Some(name)) => {
                self.scope.minicluster(self.file, &name, self.number)?;
                let edit = spec.map(|spec| manifest::read_minicluster_patch(self.file.source, spec));
                Ok(Action::PatchMiniCluster { name: name.value, edit: edit.transpose()?.unwrap_or_default() })
            }
            _ => Err(self.invalid(span, "`patch` needs one of `job` and `minicluster`", "name what changes")),
        }
    }

    fn flux(&self, command: raw::FluxCommand, span: Range<usize>) -> Result<Action, ScenarioError> {
        let (minicluster, line) = match command {
            raw::FluxCommand::Line(line) => (None, line),
            raw::FluxCommand::Fields(fields) => (Some(fields.minicluster), fields.command),
        };
        let minicluster = self.minicluster(minicluster, &span)?;
        let command = line.split_whitespace().next().unwrap_or_default();
        if !COMMANDS.contains(&command) {
            let problem = Problem::Unknown { what: "command of Flux", text: command.to_owned() };
            let help = suggest(command, COMMANDS);
            return Err(self
                .file
                .error(span, problem, "written without `flux`, as it is the key")
                .with_help(help));
        }
        Ok(Action::Flux { minicluster, command: format!("flux {}", line.trim()) })
    }

    /// The MiniCluster that is named, or the only one.
    fn minicluster(
        &self,
        named: Option<Spanned<String>>,
        span: &Range<usize>,
    ) -> Result<String, ScenarioError> {
        match named {
            Some(name) => self.scope.minicluster(self.file, &name, self.number).map(|()| name.value),
            None => self.scope.only_minicluster(self.file, span).map(str::to_owned),
        }
    }

    fn scale(&self, scale: raw::Scale, span: Range<usize>) -> Result<Action, ScenarioError> {
        self.scope.job_at(self.file, &scale.job, self.number)?;
        let (completions, parallelism) = match (scale.to, scale.parallelism) {
            (Some(to), None) => (Some(to.value), to.value),
            (None, Some(parallelism)) => (None, parallelism.value),
            _ => {
                let help =
                    "`to: 3` sets completions and parallelism, `parallelism: 3` sets parallelism alone";
                return Err(self.invalid(span, "`scale` needs one of `to` and `parallelism`", help));
            }
        };
        if parallelism > manifest::PARALLELISM_MAX {
            return Err(manifest::too_many_pods(self.file.source, span));
        }
        Ok(Action::Scale { job: scale.job.value, completions, parallelism })
    }

    fn delete(&self, delete: raw::Delete, span: Range<usize>) -> Result<Action, ScenarioError> {
        if let Some(name) = delete.minicluster {
            if delete.job.is_some() || delete.pod.is_some() || delete.pods.is_some() {
                let problem = "`delete` needs one of `minicluster`, `job`, `pod` and `pods`";
                return Err(self.invalid(span, problem, "use two steps"));
            }
            let grace = delete.grace_period.map(|it| it.span).or(delete.force.map(|it| it.span));
            if let Some(more) = grace.or(delete.propagation.map(|it| it.span)) {
                return Err(self.invalid(
                    more,
                    "a MiniCluster takes its Job and its pods with it",
                    "remove this",
                ));
            }
            self.scope.minicluster(self.file, &name, self.number)?;
            return Ok(Action::DeleteMiniCluster { name: name.value });
        }
        if let Some(job) = delete.job {
            if delete.pod.is_some() || delete.pods.is_some() {
                return Err(self.invalid(
                    span,
                    "`delete` needs one of `job`, `pod` and `pods`",
                    "use two steps",
                ));
            }
            let grace = delete.grace_period.map(|it| it.span).or(delete.force.map(|it| it.span));
            if let Some(grace) = grace {
                return Err(self.invalid(grace, "a grace period is for pods", "remove it"));
            }
            self.scope.job_at(self.file, &job, self.number)?;
            let propagation = match delete.propagation.map(|propagation| propagation.value) {
                Some(raw::Propagation::Background) | None => Propagation::Background,
                Some(raw::Propagation::Foreground) => Propagation::Foreground,
                Some(raw::Propagation::Orphan) => Propagation::Orphan,
            };
            return Ok(Action::DeleteJob { job: job.value, propagation });
        }
        if let Some(propagation) = delete.propagation {
            return Err(self.invalid(propagation.span, "propagation is for Jobs", "remove it"));
        }
        let is_forced = delete.force.is_some_and(|force| force.value);
        let grace_period_s = match delete.grace_period {
            Some(grace) if is_forced => {
                return Err(self.invalid(
                    grace.span,
                    "`force` means no grace period",
                    "remove one of the two",
                ));
            }
            Some(grace) => Some(self.whole_seconds(&grace)?),
            None => is_forced.then_some(0),
        };
        Ok(Action::DeletePods { pods: self.pods(delete.pod, delete.pods, span)?, grace_period_s })
    }

    fn whole_seconds(&self, written: &Spanned<yaml::de::Verbatim>) -> Result<u32, ScenarioError> {
        let length = self.file.read(written, text::duration)?;
        u32::try_from(length.as_secs()).ok().filter(|_| length.subsec_nanos() == 0).ok_or_else(|| {
            self.invalid(written.span.clone(), "grace periods are whole seconds", "write for example `5s`")
        })
    }

    fn fail(&self, targets: raw::Targets<raw::Fail>, span: Range<usize>) -> Result<Action, ScenarioError> {
        let fail = match targets {
            raw::Targets::Fields(fail) => fail,
            raw::Targets::One(name) => {
                let pods = vec![self.pod(Spanned { value: raw::Pod::Short(name), span })?];
                return Ok(Action::Fail { pods, exit_code: 1, container: None, condition: None });
            }
            raw::Targets::Many(pods) => {
                let pods = self.pods(None, Some(pods), span)?;
                return Ok(Action::Fail { pods, exit_code: 1, container: None, condition: None });
            }
        };
        // Any other code will do: those of Windows are negative.
        if let Some(Spanned { value: 0, span }) = fail.exit_code {
            return Err(self.invalid(span, "a container that ends with code 0 succeeds", "use `succeed`"));
        }
        let condition = fail.condition.map(|condition| self.condition(condition)).transpose()?;
        Ok(Action::Fail {
            pods: self.pods(fail.pod, fail.pods, span)?,
            exit_code: fail.exit_code.map_or(1, |code| code.value),
            container: fail.container.map(|container| container.value),
            condition,
        })
    }

    fn condition(
        &self,
        condition: Spanned<raw::Condition>,
    ) -> Result<(String, ConditionStatus), ScenarioError> {
        const STATUSES: &[(&str, ConditionStatus)] = &[
            ("True", ConditionStatus::True),
            ("False", ConditionStatus::False),
            ("Unknown", ConditionStatus::Unknown),
            ("true", ConditionStatus::True),
            ("false", ConditionStatus::False),
        ];
        match condition.value {
            raw::Condition::Type(kind) => Ok((kind, ConditionStatus::True)),
            raw::Condition::Fields(fields) => {
                let status = match fields.status {
                    None => ConditionStatus::True,
                    Some(Spanned { value, span }) => {
                        self.file.word(&Spanned { value: value.0, span }, "condition status", STATUSES)?
                    }
                };
                Ok((fields.kind.value, status))
            }
        }
    }

    fn phase(&self, phase: raw::SetPhase, span: Range<usize>) -> Result<Action, ScenarioError> {
        if !self.scope.is_manual {
            let help =
                "write `cluster: {pods: manual}`, or let the kubelet work and use `succeed` and `fail`";
            return Err(self.invalid(span, "phases are set by kubelets in this cluster", help));
        }
        let value = match phase.phase {
            raw::Phase::Pending => PodPhase::Pending,
            raw::Phase::Running => PodPhase::Running,
            raw::Phase::Succeeded => PodPhase::Succeeded,
            raw::Phase::Failed => PodPhase::Failed,
            raw::Phase::Unknown => PodPhase::Unknown,
        };
        Ok(Action::SetPhase {
            pods: self.pods(phase.pod, phase.pods, span)?,
            phase: value,
            ready: phase.ready,
        })
    }

    fn edit_pod(&self, edit: raw::EditPod, span: Range<usize>) -> Result<Action, ScenarioError> {
        let labels: Vec<_> = edit
            .labels
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (key, value.into_option()))
            .collect();
        if labels.is_empty() && edit.remove_finalizer.is_none() {
            let help = "add `labels: {…}` or `removeFinalizer: …`";
            return Err(self.invalid(span, "`editPod` changes nothing", help));
        }
        Ok(Action::EditPod {
            pod: self.pod(edit.pod)?.value,
            labels,
            remove_finalizer: edit.remove_finalizer,
        })
    }

    fn node(&self, action: raw::NodeAction) -> Result<Action, ScenarioError> {
        use raw::NodeAction as Raw;
        let (name, change) = match action {
            Raw::Down(name) => (name, NodeChange::Down),
            Raw::Up(name) => (name, NodeChange::Up),
            Raw::Delete(name) => (name, NodeChange::Delete),
            Raw::Add(name) => (name, NodeChange::Add),
            Raw::Cordon(name) => (name, NodeChange::Cordon),
            Raw::Uncordon(name) => (name, NodeChange::Uncordon),
            Raw::OutOfService(name) => (name, NodeChange::OutOfService),
            Raw::ShutDown(name) => (name, NodeChange::ShutDown),
        };
        self.scope.node(self.file, &name)?;
        Ok(Action::Node { name: name.value, change })
    }

    fn wait(&self, written: Spanned<yaml::de::Verbatim>) -> Result<Action, ScenarioError> {
        let length = self.file.read(&written, text::duration)?;
        if length.is_zero() {
            return Err(self.invalid(written.span, "a wait of nothing", "remove the step, or wait longer"));
        }
        Ok(Action::Wait(length))
    }

    fn needs_kubelet(&self, span: &Range<usize>, what: &str) -> Result<(), ScenarioError> {
        if !self.scope.is_manual {
            return Ok(());
        }
        let help = "set the outcome with `succeed`, `fail` or `phase`, or leave out `pods: manual`";
        Err(self.invalid(span.clone(), &format!("`{what}` needs a kubelet, and this cluster has none"), help))
    }

    fn targets(
        &self,
        targets: raw::Targets<raw::PodFields>,
        span: Range<usize>,
    ) -> Result<Vec<Spanned<PodRef>>, ScenarioError> {
        match targets {
            raw::Targets::One(name) => Ok(vec![self.pod(Spanned { value: raw::Pod::Short(name), span })?]),
            raw::Targets::Many(pods) => self.pods(None, Some(pods), span),
            raw::Targets::Fields(fields) if fields.job.is_some() || fields.name.is_some() => {
                Ok(vec![self.pod(Spanned { value: raw::Pod::Fields(fields), span })?])
            }
            raw::Targets::Fields(fields) => {
                let pod = fields.pod.map(|pod| Spanned { value: *pod.value, span: pod.span });
                self.pods(pod, fields.pods, span)
            }
        }
    }

    /// One pod or several, but not both ways of saying it.
    fn pods(
        &self,
        pod: Option<Spanned<raw::Pod>>,
        pods: Option<Vec<Spanned<raw::Pod>>>,
        span: Range<usize>,
    ) -> Result<Vec<Spanned<PodRef>>, ScenarioError> {
        match (pod, pods) {
            (Some(pod), None) => Ok(vec![self.pod(pod)?]),
            (None, Some(pods)) if !pods.is_empty() => pods.into_iter().map(|pod| self.pod(pod)).collect(),
            _ => {
                let help = "write `pod: JOB-INDEX` or `pods: [JOB-INDEX, JOB-INDEX]`";
                Err(self.invalid(span, "the step needs one of `pod` and `pods`", help))
            }
        }
    }

    fn pod(&self, pod: Spanned<raw::Pod>) -> Result<Spanned<PodRef>, ScenarioError> {
        self.scope.pod(self.file, pod, self.number)
    }
}

const fn cache(action: raw::CacheAction) -> Action {
    let (kind, hold) = match action {
        raw::CacheAction::Hold(kind) => (kind, true),
        raw::CacheAction::Release(kind) => (kind, false),
    };
    let kind = match kind {
        raw::CacheKind::Pods => WatchKind::Pods,
        raw::CacheKind::Jobs => WatchKind::Jobs,
    };
    Action::Cache { kind, hold }
}
