//! What a step does to each pod and each index, and why: the writes of the step and the Job controller's decisions,
//! sorted by what they are about.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use towtank_model::job::sync::{Finding, Subject};
use towtank_model::objects::{Pod, Uid};
use towtank_model::server::{Change, Fact, TraceEntry};
use towtank_model::time::Time;

use crate::trace_text::{self, Names};

/// All that happened in a step, by what it happened to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// Jobs, in order of first appearance, then what belongs to none.
    pub jobs: Vec<JobStory>,
}

/// What happened to a Job, its indexes and its pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobStory {
    /// The Job; `None` for nodes and pods without a Job.
    pub job: Option<Arc<str>>,
    /// To the Job itself.
    pub lines: Vec<StoryLine>,
    /// To each index, with the pods of the index, ascending.
    pub indexes: BTreeMap<u32, Vec<StoryLine>>,
    /// To each pod without an index.
    pub pods: BTreeMap<String, Vec<StoryLine>>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoryLine {
    /// When.
    pub at: Time,
    /// What.
    pub event: StoryEvent,
    /// How often in a row it came to the same.
    pub times: u32,
}

/// A write, or a decision with its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoryEvent {
    /// Somebody wrote something.
    Write {
        /// Who.
        actor: &'static str,
        /// What.
        text: String,
    },
    /// The Job controller decided by a rule.
    Rule {
        /// Where the rule can be looked up.
        section: &'static str,
        /// The rule in one sentence.
        text: &'static str,
        /// What it came to, with its figures; may be empty.
        detail: String,
        /// The pod that it is about, when the line stands under its index.
        pod: Option<String>,
    },
}

/// Sorts what happened after the first `before` entries of `trace`, which only teach the names of pods.
pub fn explain(trace: &[TraceEntry], before: usize) -> Explanation {
    let mut teller = Teller::default();
    for (position, entry) in trace.iter().enumerate() {
        teller.learn(entry);
        if position >= before {
            teller.tell(entry);
        } else {
            // Only for the names.
            let _ = trace_text::line(entry, &mut teller.names);
        }
    }
    teller.explanation
}

#[derive(Default)]
struct Teller {
    names: Names,
    explanation: Explanation,
    /// Names of Jobs by uid.
    jobs: BTreeMap<Uid, Arc<str>>,
    /// Index of each pod that has one.
    indexes: BTreeMap<Uid, Option<u32>>,
}

impl Teller {
    fn learn(&mut self, entry: &TraceEntry) {
        match &entry.fact {
            Fact::Changed(_, Change::Job(versions)) => {
                if let Some(job) = versions.new.as_ref().or(versions.old.as_ref()) {
                    self.jobs.entry(job.uid).or_insert_with(|| job.key.name.clone());
                }
            }
            Fact::Changed(_, Change::Pod(versions)) => {
                if let Some(pod) = versions.new.as_ref().or(versions.old.as_ref()) {
                    self.indexes.entry(pod.uid).or_insert_with(|| pod.index.get());
                }
            }
            _ => {}
        }
    }

    fn tell(&mut self, entry: &TraceEntry) {
        if let Fact::Decided(job, finding) = &entry.fact {
            return self.tell_finding(entry.at, *job, finding);
        }
        let Some(line) = trace_text::line(entry, &mut self.names) else { return };
        let pod: Option<Arc<Pod>> = match &entry.fact {
            Fact::Changed(_, Change::Pod(versions)) => versions.new.clone().or_else(|| versions.old.clone()),
            _ => None,
        };
        let job = match (&entry.fact, line.job) {
            (Fact::Recorded(draft), _) => self.jobs.get(&draft.job).cloned(),
            (_, job) => job,
        };
        let event = StoryEvent::Write { actor: line.actor, text: line.text };
        let name = pod.as_ref().map(|pod| self.names.pod(pod).to_owned());
        let story = self.story(job);
        let lines = match (pod, name) {
            (Some(pod), Some(name)) => match pod.index.get() {
                Some(index) if story.job.is_some() => story.indexes.entry(index).or_default(),
                _ => story.pods.entry(name).or_default(),
            },
            _ => &mut story.lines,
        };
        push(lines, entry.at, event);
    }

    fn tell_finding(&mut self, at: Time, job: Uid, finding: &Finding) {
        let name = match finding.subject {
            Subject::Pod(uid) => Some(self.names.pod_by_uid(uid).unwrap_or("a pod").to_owned()),
            Subject::Job | Subject::Index(_) => None,
        };
        let index = match finding.subject {
            Subject::Job => None,
            Subject::Index(index) => Some(index),
            Subject::Pod(uid) => self.indexes.get(&uid).copied().flatten(),
        };
        let event = StoryEvent::Rule {
            section: finding.rule.section(),
            text: finding.rule.text(),
            detail: self.names.mask(&finding.detail),
            pod: name.clone(),
        };
        let job = self.jobs.get(&job).cloned();
        let story = self.story(job);
        let lines = match (index, name) {
            (Some(index), _) => story.indexes.entry(index).or_default(),
            (None, Some(name)) => story.pods.entry(name).or_default(),
            (None, None) => &mut story.lines,
        };
        push(lines, at, event);
    }

    fn story(&mut self, job: Option<Arc<str>>) -> &mut JobStory {
        let jobs = &mut self.explanation.jobs;
        let position = jobs.iter().position(|story| story.job == job).unwrap_or_else(|| {
            jobs.push(JobStory { job, ..JobStory::default() });
            jobs.len() - 1
        });
        &mut jobs[position]
    }
}

/// Adds a line, or counts it up when it says the same as the one before.
fn push(lines: &mut Vec<StoryLine>, at: Time, event: StoryEvent) {
    match lines.iter_mut().rev().take_while(|line| line.at == at).find(|line| line.event == event) {
        Some(line) => line.times += 1,
        None => lines.push(StoryLine { at, event, times: 1 }),
    }
}

impl fmt::Display for StoryLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = format!("t={}", self.at);
        match &self.event {
            StoryEvent::Write { actor, text } => write!(f, "{at:<13} {actor:<16} {text}")?,
            StoryEvent::Rule { section, text, detail, pod } => {
                write!(f, "{at:<13} {:<16} ", "rule")?;
                if let Some(pod) = pod {
                    write!(f, "{pod}: ")?;
                }
                write!(f, "{text}")?;
                if !detail.is_empty() {
                    write!(f, ": {detail}")?;
                }
                write!(f, " [{section}]")?;
            }
        }
        if self.times > 1 { write!(f, " (×{})", self.times) } else { Ok(()) }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for story in &self.jobs {
            match &story.job {
                Some(job) => writeln!(f, "\njob {job}")?,
                None => writeln!(f, "\nnodes and pods without a Job")?,
            }
            write_lines(f, &story.lines)?;
            for (index, lines) in &story.indexes {
                writeln!(f, "\n  index {index}")?;
                write_lines(f, lines)?;
            }
            for (pod, lines) in &story.pods {
                writeln!(f, "\n  pod {pod}")?;
                write_lines(f, lines)?;
            }
        }
        Ok(())
    }
}

fn write_lines(f: &mut fmt::Formatter<'_>, lines: &[StoryLine]) -> fmt::Result {
    lines.iter().try_for_each(|line| writeln!(f, "    {line}"))
}
