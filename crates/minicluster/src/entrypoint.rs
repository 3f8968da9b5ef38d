//! The script that starts a broker in a pod, as the original writes it (Flux spec A.6 and A.7).

use std::sync::Arc;
use std::time::Duration;

use towtank_flux::time::Instant;
use towtank_model::objects::Uid;

use crate::brokers::Boot;
use crate::workload::Progress;

/// How long a worker waits before it starts its broker again.
pub(crate) const RETRY: Duration = Duration::from_secs(15);

/// What runs as the first process of the container with Flux.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pid1 {
    /// A shell that does not forward SIGTERM, as upstream: the broker learns nothing of the end, until SIGKILL.
    #[default]
    Shell,
    /// The broker itself, or a shell that forwards: SIGTERM makes it leave Flux in order.
    Broker,
}

/// Where the script of a pod stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No process.
    Stopped,
    /// Its broker runs.
    Broker,
    /// It waits before it starts the broker again.
    Waiting,
    /// Its broker runs and finds no other: it is not a rank of the instance.
    Unreachable,
    /// A newer pod has taken its rank over; its broker runs on until it learns that.
    Superseded,
}

/// The script of one pod.
#[derive(Clone, Debug)]
pub(crate) struct Entrypoint {
    pub(crate) pod: Uid,
    /// Its completion index.
    index: u32,
    /// What its broker found when it started last.
    pub(crate) boot: Arc<Boot>,
    /// The position of its host in the list; `None`: it is not there.
    pub(crate) rank: Option<u32>,
    /// Which run of a script it is: a container that starts again makes another.
    pub(crate) run: u64,
    pub(crate) stage: Stage,
    /// How far the lead has come with what it runs inside of Flux.
    pub(crate) progress: Progress,
    /// When it goes on by itself.
    pub(crate) alarm: Option<Instant>,
    /// What that ended with.
    pub(crate) result: Option<i32>,
    /// The former instance that its broker is of, if it is not the MiniCluster's own.
    pub(crate) former: Option<u64>,
}

/// What becomes of the script when its broker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The container ends with this code.
    Exit(i32),
    /// The broker starts again, a while later.
    Retry,
}

impl Entrypoint {
    pub(crate) fn new(pod: Uid, index: u32, run: u64, boot: &Arc<Boot>) -> Self {
        Self {
            pod,
            index,
            boot: Arc::clone(boot),
            rank: boot.rank(index),
            run,
            stage: Stage::Stopped,
            progress: Progress::default(),
            alarm: None,
            result: None,
            former: None,
        }
    }

    /// The broker starts, with this.
    pub(crate) fn take(&mut self, boot: &Arc<Boot>) {
        self.boot = Arc::clone(boot);
        self.rank = boot.rank(self.index);
    }

    /// The broker has ended with this code. The script of the lead ends with 0 whatever happened; a worker tries for ever,
    /// unless its broker left in order or `completeWorkers` is set. A strict script ends with the first command that fails: the
    /// container starts again and with it everything, and the loop of a worker never comes to a second round.
    pub(crate) fn after(&self, code: i32) -> Next {
        if self.boot.is_strict {
            // `flux start` ends with what it has run, if that failed.
            return Next::Exit(self.result.filter(|result| *result != 0).unwrap_or(code));
        }
        match (self.rank == Some(0), code) {
            (true, _) | (_, 0) => Next::Exit(0),
            _ if self.boot.completes_workers => Next::Exit(0),
            _ => Next::Retry,
        }
    }
}
