//! A story as a scenario file.
//!
//! Played with the story's seed, the file does the same at the same times: a story picks pods by position and waits
//! between its verbs without saying so, the file names the pods and says `wait`. Verbs that found nothing to act on are
//! left out; those that the API server refused stay, with the refusal expected.

use std::fmt;
use std::time::Duration;

use towtank_model::cluster::{NodeChange, OnTerm, Signal, WorkloadRule};
use towtank_model::job::{CallKind, Fault, WatchKind};
use towtank_model::objects::{ConditionStatus, Job, TRACKING_FINALIZER};
use towtank_model::server::Propagation;
use towtank_model::simulation::{Controller, Simulation};

use crate::genes;
use crate::manifest_text::{self, Lines};
use crate::play::{self, Act, BREATH, ENDING, OPENING, Outcome};
use crate::roll::PodName;
use crate::story::{Broken, Stage, Story};
use crate::verbs::{Condition, Verb};

/// Which versions a scenario file is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The story's version: the file says how it ends.
    OfVersion,
    /// All versions: it seldom ends the same in all of them, so the file leaves that to a recording.
    OfAllVersions,
}

/// Writes `story` as a scenario file called `name`, of which `about` says the point, as the model tells it.
///
/// # Errors
///
/// The story does not come to rest.
pub fn scenario_text(story: &Story, name: &str, about: &str, form: Form) -> Result<String, Broken> {
    scenario_text_on(story, Simulation::new(play::configuration(story)), name, about, form)
}

/// The same as another simulation tells it, set up as [`Story::configuration`] says.
///
/// # Errors
///
/// The story does not come to rest, or a part of the simulation fails.
pub fn scenario_text_on<C: Controller>(
    story: &Story,
    simulation: Simulation<C>,
    name: &str,
    about: &str,
    form: Form,
) -> Result<String, Broken> {
    let told = play::tell_on(story, simulation, false).1?;
    let mut file = File { story, lines: Lines::new(), steps: 0, pending: Duration::ZERO, bare_pods: 0 };
    file.head(name, about, form);
    file.lines.line("  steps:");
    file.create(told.opening);
    file.pending = OPENING;
    for (verb, act) in story.verbs.iter().zip(&told.acts) {
        if let Verb::Wait(duration) = verb {
            file.pending += *duration;
        }
        file.verb(verb, act);
        file.pending += BREATH;
    }
    let done = Act { outcome: Outcome::Done, pod: None };
    file.verb(&Verb::Start, &done);
    file.verb(&Verb::Release, &done);
    file.pending += ENDING;
    if form == Form::OfVersion {
        file.ending(&told.jobs, told.pods);
    } else {
        file.wait();
    }
    Ok(file.lines.text)
}

struct File<'a> {
    story: &'a Story,
    lines: Lines,
    /// Steps so far: their names begin with their numbers, so that no two are the same.
    steps: u32,
    /// Time that passes before the next step.
    pending: Duration,
    bare_pods: u32,
}

impl File<'_> {
    fn head(&mut self, name: &str, about: &str, form: Form) {
        let (version, story) = (self.story.version, self.story);
        let is_manual = story.setting.stage == Stage::Manual;
        let lines = &mut self.lines;
        lines.line("apiVersion: towtank.dev/v1alpha1");
        lines.line("kind: Scenario");
        lines.line(format_args!("metadata: {{name: {name}}}"));
        lines.line("spec:");
        lines.under(|lines| {
            lines.line(format_args!("about: {}", quoted(about)));
            lines.line(format_args!(
                "source: a random story; --seed {} gives the pods their names",
                story.seed
            ));
            if form == Form::OfVersion {
                lines.line(format_args!("kubernetes: \"{version}\""));
            }
            lines.line("cluster:");
            lines.under(|lines| {
                lines.line(format_args!("nodes: {}", story.setting.stage.nodes()));
                lines.line(format_args!("timing: {}", story.setting.timing.name));
                lines.line(format_args!("pods: {}", if is_manual { "manual" } else { "automatic" }));
                if !story.setting.faults.is_empty() {
                    lines.line("faults:");
                    for (kind, nth, fault) in story.setting.faults.iter() {
                        let (call, fault) = (call_text(kind), fault_text(fault));
                        lines.line(format_args!("  - {{call: {call}, nth: {nth}, fault: {fault}}}"));
                    }
                }
            });
            if !story.setting.workload.is_empty() {
                lines.line("workloads:");
                for rule in &story.setting.workload {
                    lines.line(format_args!("  - {}", workload_text(rule)));
                }
            }
        });
    }

    /// Begins a step, after the time that has to pass before it.
    fn step(&mut self, what: impl fmt::Display) {
        if !self.pending.is_zero() {
            self.wait();
        }
        self.steps += 1;
        self.lines.line(format_args!("    - name: {} {what}", self.steps));
    }

    /// Lets the time pass that has to pass.
    fn wait(&mut self) {
        self.steps += 1;
        let length = seconds(self.pending);
        self.lines.line(format_args!("    - {{name: {} wait, wait: {length}}}", self.steps));
        self.pending = Duration::ZERO;
    }

    /// A step of one line, refused or not.
    fn simple(&mut self, what: &str, action: impl fmt::Display, outcome: Outcome) {
        self.step(what);
        self.lines.line(format_args!("      {action}"));
        self.refused(outcome);
    }

    fn refused(&mut self, outcome: Outcome) {
        if outcome == Outcome::Refused {
            self.lines.line("      expect: [{refused: {}}]");
        }
    }

    /// Writes lines in the place of a step's value.
    fn manifest(&mut self, write: impl FnOnce(&mut Lines)) {
        self.lines.under(|lines| lines.under(|lines| lines.under(|lines| lines.under(write))));
    }

    fn create(&mut self, outcome: Outcome) {
        self.step("create");
        self.lines.line("      apply: &story");
        let job = &self.story.job;
        self.manifest(|lines| manifest_text::job(lines, "story", job));
        self.refused(outcome);
    }

    fn verb(&mut self, verb: &Verb, act: &Act) {
        if matches!(verb, Verb::Adopt) && act.outcome != Outcome::Void {
            self.bare_pods += 1;
        }
        match (act.outcome, &act.pod) {
            (Outcome::Void, _) => {}
            (outcome, Some(pod)) => self.verb_on_pod(verb, pod, outcome),
            (outcome, None) => self.verb_without_pod(verb, outcome),
        }
    }

    fn verb_on_pod(&mut self, verb: &Verb, pod: &PodName, outcome: Outcome) {
        let label = self.story.label();
        let (what, action) = match verb {
            Verb::Phase(_, phase, ready) => {
                let phase = phase.as_str();
                ("phase", format!("phase: {{pod: {pod}, phase: {phase}, ready: {ready}}}"))
            }
            Verb::Succeed(_) | Verb::Exit(_) => ("succeed", format!("succeed: {pod}")),
            Verb::Fail(_, code, condition) => {
                let condition = condition_text(condition.as_ref());
                ("fail", format!("fail: {{pod: {pod}, exitCode: {code}{condition}}}"))
            }
            Verb::Crash(_, container, code, condition) => {
                let condition = condition_text(condition.as_ref());
                let container = container.map(|name| format!(", container: {name}")).unwrap_or_default();
                ("crash", format!("fail: {{pod: {pod}, exitCode: {code}{container}{condition}}}"))
            }
            Verb::Kill(_, signal) => {
                let signal = match signal {
                    Signal::Term => "TERM",
                    Signal::Kill => "KILL",
                };
                ("signal", format!("signal: {{pod: {pod}, signal: {signal}}}"))
            }
            Verb::DeletePod(_) => ("delete pod", format!("delete: {{pod: {pod}}}")),
            Verb::ForceDeletePod(_) => ("force-delete pod", format!("delete: {{pod: {pod}, force: true}}")),
            Verb::Evict(_) => ("evict", format!("evict: {pod}")),
            Verb::RemoveFinalizer(_) => {
                let edit = format!("editPod: {{pod: {pod}, removeFinalizer: {TRACKING_FINALIZER}}}");
                ("take the tracking finalizer off", edit)
            }
            Verb::LetGo(_) => {
                let edit = format!("editPod: {{pod: {pod}, removeFinalizer: {}}}", genes::HOLD);
                ("take the other finalizer off", edit)
            }
            Verb::Disown(_) => {
                ("take the label off", format!("editPod: {{pod: {pod}, labels: {{{label}: null}}}}"))
            }
            Verb::Claim(_) => {
                let value = genes::LABEL_VALUE;
                ("give it the label", format!("editPod: {{pod: {pod}, labels: {{{label}: {value}}}}}"))
            }
            // The others are about no pod.
            _ => return,
        };
        self.simple(what, action, outcome);
    }

    fn verb_without_pod(&mut self, verb: &Verb, outcome: Outcome) {
        match verb {
            Verb::Node(number, change) => {
                let change = node_text(*change);
                self.simple("node", format_args!("node: {{{change}: node-{number}}}"), outcome);
            }
            Verb::Adopt => {
                self.step("create a bare pod");
                self.lines.line("      apply:");
                let name = format!("bare-{}", self.bare_pods);
                self.manifest(|lines| manifest_text::pod(lines, &name, &genes::bare_pod()));
                self.refused(outcome);
            }
            Verb::Restart => self.simple("restart the controller", "controller: restart", outcome),
            Verb::Stop => self.simple("stop the controller", "controller: stop", outcome),
            Verb::Start => self.simple("start the controller", "controller: start", outcome),
            Verb::Hold(kind) => {
                let kind = match kind {
                    WatchKind::Pods => "pods",
                    WatchKind::Jobs => "jobs",
                };
                self.simple("hold a cache", format_args!("cache: {{hold: {kind}}}"), outcome);
            }
            Verb::Release => {
                self.simple("release the cache of Jobs", "cache: {release: jobs}", outcome);
                self.simple("release the cache of pods", "cache: {release: pods}", outcome);
            }
            Verb::DeleteJob(propagation) => {
                let propagation = match propagation {
                    Propagation::Background => "background",
                    Propagation::Foreground => "foreground",
                    Propagation::Orphan => "orphan",
                };
                let action = format!("delete: {{job: story, propagation: {propagation}}}");
                self.simple("delete the Job", action, outcome);
            }
            Verb::Recreate => self.simple("create it again", "apply: *story", outcome),
            Verb::Other => {
                self.step("create another Job");
                self.lines.line("      apply:");
                self.manifest(|lines| manifest_text::job(lines, "other", &genes::other_job()));
                self.refused(outcome);
            }
            Verb::EndNamespace => {
                self.simple("end the namespace", "namespace: {terminate: default}", outcome);
            }
            change => {
                let Some(manifest) = change.manifest() else { return };
                let fields = manifest_text::spec_fields(&manifest);
                let fields: Vec<String> =
                    fields.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
                let spec = fields.join(", ");
                self.simple("update", format_args!("patch: {{job: story, spec: {{{spec}}}}}"), outcome);
            }
        }
    }

    /// What the model shows at the end.
    fn ending(&mut self, jobs: &[std::sync::Arc<Job>], pods: usize) {
        self.step("see how it ends");
        self.lines.line("      expect:");
        self.lines
            .line(format_args!("        - that: pods.size() == {pods} && jobs.size() == {}", jobs.len()));
        for job in jobs {
            self.lines.line(format_args!("        - job: {}", job_text(job)));
        }
    }
}

/// Text that YAML reads as it stands.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''").replace(char::is_control, " "))
}

/// `31.3s`.
fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_micros() as f64 / 1e6)
}

const fn call_text(kind: CallKind) -> &'static str {
    match kind {
        CallKind::GetJob => "get job",
        CallKind::CreatePod => "create pod",
        CallKind::PatchPod => "patch pod",
        CallKind::DeletePod => "delete pod",
        CallKind::UpdateJobStatus => "update job status",
        CallKind::DeleteJob => "delete job",
    }
}

fn fault_text(fault: Fault) -> String {
    match fault {
        Fault::Conflict => "conflict".to_owned(),
        Fault::Unreachable => "unreachable".to_owned(),
        Fault::AnswerLost => "answer lost".to_owned(),
        Fault::Delay(delay) => format!("{{delay: {}}}", seconds(delay)),
    }
}

fn workload_text(rule: &WorkloadRule) -> String {
    let incarnation = rule.incarnation.map(|nth| format!("incarnation: {nth}"));
    let behaviour = &rule.behaviour;
    let runs_for = behaviour
        .runs_for
        .map(|length| format!("runsFor: {}, exitCode: {}", seconds(length), behaviour.exit_code));
    let on_term = match behaviour.on_term {
        OnTerm::Ignore => "onTerm: ignore".to_owned(),
        OnTerm::Exit { exit_code, after } => {
            format!("onTerm: {{exitCode: {exit_code}, after: {}}}", seconds(after))
        }
    };
    let fields: Vec<String> = incarnation.into_iter().chain(runs_for).chain([on_term]).collect();
    format!("{{{}}}", fields.join(", "))
}

fn condition_text(condition: Option<&Condition>) -> String {
    condition.map_or_else(String::new, |(kind, status)| {
        format!(", condition: {{type: {kind}, status: \"{}\"}}", ConditionStatus::as_str(*status))
    })
}

const fn node_text(change: NodeChange) -> &'static str {
    match change {
        NodeChange::Down => "down",
        NodeChange::Up => "up",
        NodeChange::Delete => "delete",
        NodeChange::Add => "add",
        NodeChange::Cordon => "cordon",
        NodeChange::Uncordon => "uncordon",
        NodeChange::OutOfService => "outOfService",
        NodeChange::ShutDown => "shutDown",
    }
}

/// The status of a Job as a claim.
fn job_text(job: &Job) -> String {
    let status = &job.status;
    let mut fields = vec![format!("name: {}", job.key.name), format!("active: {}", status.active)];
    fields.extend(status.ready.map(|ready| format!("ready: {ready}")));
    fields.push(format!("succeeded: {}, failed: {}", status.succeeded, status.failed));
    let terminating = status.terminating.map_or_else(|| "null".to_owned(), |count| count.to_string());
    fields.push(format!("terminating: {terminating}"));
    fields.push(format!("completedIndexes: \"{}\"", status.completed_indexes));
    let failed =
        status.failed_indexes.as_ref().map_or_else(|| "null".to_owned(), |text| format!("\"{text}\""));
    fields.push(format!("failedIndexes: {failed}"));
    let holding = status.conditions.iter().filter(|condition| condition.status == ConditionStatus::True);
    let conditions: Vec<String> = holding
        .map(|condition| match &*condition.reason {
            "" => condition.kind.as_str().to_owned(),
            reason => format!("{}/{reason}", condition.kind.as_str()),
        })
        .collect();
    fields.push(format!("conditions: [{}]", conditions.join(", ")));
    format!("{{{}}}", fields.join(", "))
}
