//! The events of a job (RFC 21), in the words of `flux job eventlog`.

use std::fmt;
use std::sync::Arc;

use crate::scheduler::Allocation;
use crate::time::Instant;

/// An entry of the eventlog.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub time: Instant,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// Accepted, with this urgency.
    Submit(u32),
    /// The jobspec is valid.
    Validate,
    /// All dependencies are met.
    Depend,
    /// The priority is set.
    Priority(u32),
    /// The urgency was changed.
    Urgency(u32),
    /// Cores were given.
    Alloc(Annotation),
    /// It runs.
    Start,
    /// Something went wrong; severity 0 ends the job.
    Exception(Arc<Exception>),
    /// All tasks ended, with this wait status.
    Finish(u32),
    /// The execution system lets go of the cores.
    Release,
    /// The cores are free.
    Free,
    /// Nothing is left to do.
    Clean,
    /// The instance was restarted.
    Restart,
}

/// What the scheduler writes beside an allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Annotation {
    /// sched-simple: the cores.
    Summary(Arc<Allocation>),
    /// Fluxion.
    Immediate,
    /// Older Fluxion: nothing.
    None,
}

impl fmt::Display for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Summary(allocation) => write!(f, r#"{{"sched":{{"resource_summary":"{allocation}"}}}}"#),
            Self::Immediate => f.write_str(r#"{"sched":{"selection_type":"immediate"}}"#),
            Self::None => f.write_str("{}"),
        }
    }
}

/// An exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// `alloc`, `exec`, `cancel`, `timeout`, `dependency`, `node-failure`.
    pub class: &'static str,
    /// 0 ends the job.
    pub severity: u32,
    /// What the user reads.
    pub note: String,
}

impl EventKind {
    /// The name of the event.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Submit(_) => "submit",
            Self::Validate => "validate",
            Self::Depend => "depend",
            Self::Priority(_) => "priority",
            Self::Urgency(_) => "urgency",
            Self::Alloc(_) => "alloc",
            Self::Start => "start",
            Self::Exception(_) => "exception",
            Self::Finish(_) => "finish",
            Self::Release => "release",
            Self::Free => "free",
            Self::Clean => "clean",
            Self::Restart => "flux-restart",
        }
    }
}

impl fmt::Display for EventKind {
    /// Name and context, without the time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Submit(urgency) => write!(f, " userid=0 urgency={urgency} flags=0 version=1"),
            Self::Priority(priority) => write!(f, " priority={priority}"),
            Self::Urgency(urgency) => write!(f, " userid=0 urgency={urgency}"),
            Self::Alloc(Annotation::None) => Ok(()),
            Self::Alloc(annotation) => write!(f, " annotations={annotation}"),
            Self::Exception(exception) => {
                let note = exception.note.replace('\\', "\\\\").replace('"', "\\\"");
                let Exception { class, severity, .. } = exception.as_ref();
                // The execution system writes the user before the note, the others after it.
                if exception.is_from_execution() {
                    write!(f, r#" type="{class}" severity={severity} userid=0 note="{note}""#)
                } else {
                    write!(f, r#" type="{class}" severity={severity} note="{note}" userid=0"#)
                }
            }
            Self::Finish(status) => write!(f, " status={status}"),
            Self::Release => f.write_str(" ranks=\"all\" final=true"),
            Self::Validate | Self::Depend | Self::Start | Self::Free | Self::Clean | Self::Restart => Ok(()),
        }
    }
}

impl Exception {
    /// Whether the execution system raised it; the shell's own go through the job manager.
    fn is_from_execution(&self) -> bool {
        matches!(self.class, "exec" | "node-failure") && !self.note.starts_with("flux_job_event_watch_get")
    }
}
