//! The script that starts a broker in a pod: the contract's own, and the original's (Flux spec A.6, A.7 and J).

use std::sync::Arc;
use std::time::Duration;

use towtank_flux::time::Instant;
use towtank_model::objects::Uid;

use crate::brokers::Boot;
use crate::workload::Progress;

/// How long a worker waits before it starts its broker again.
pub(crate) const RETRY: Duration = Duration::from_secs(15);

/// Exit code of a process that SIGTERM ended.
pub(crate) const TERMINATED: i32 = 143;

/// What runs as the first process of the container with Flux.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pid1 {
    /// The contract's script, which knows what an end means. SIGTERM comes from the kubelet, so the pod is going: the broker leaves
    /// Flux in order and the container ends with 143, a failure, and the index comes back. A broker that ends with 0 by itself was
    /// retired, and the index is completed. A lead that goes tells its workers first, and retires nobody. The exit code of the lead
    /// is that of its command. The pod is ready while its broker is online.
    #[default]
    Entrypoint,
    /// A shell that does not forward SIGTERM, as upstream: the broker learns nothing of the end, until SIGKILL.
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
    /// SIGTERM has reached it.
    pub(crate) is_told: bool,
    /// The lead has told it that the instance goes on without that lead.
    pub(crate) lead_left: bool,
    /// The former instance that its broker is of, if it is not the MiniCluster's own.
    pub(crate) former: Option<u64>,
}

/// What becomes of the script when its broker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The container ends with this code.
    Exit(i32),
    /// The broker starts again at once.
    Again,
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
            is_told: false,
            lead_left: false,
            former: None,
        }
    }

    /// The broker starts, with this.
    pub(crate) fn take(&mut self, boot: &Arc<Boot>) {
        self.boot = Arc::clone(boot);
        self.rank = boot.rank(self.index);
        self.lead_left = false;
    }

    /// The broker has ended with this code.
    pub(crate) fn after(&self, code: i32) -> Next {
        match self.boot.pid1 {
            Pid1::Entrypoint => self.after_by_contract(code),
            Pid1::Shell | Pid1::Broker => self.after_by_original(code),
        }
    }

    fn after_by_contract(&self, code: i32) -> Next {
        let is_lead = self.rank == Some(0);
        match code {
            _ if self.is_told => Next::Exit(TERMINATED),
            _ if is_lead => Next::Exit(self.result.filter(|result| *result != 0).unwrap_or(of_shell(code))),
            0 if self.lead_left => Next::Again,
            0 => Next::Exit(0),
            _ if self.boot.completes_workers => Next::Exit(0),
            _ => Next::Retry,
        }
    }

    /// The script of the lead ends with 0 whatever happened; a worker tries for ever,
    /// unless its broker left in order or `completeWorkers` is set. A strict script ends with the first command that fails: the
    /// container starts again and with it everything, and the loop of a worker never comes to a second round.
    fn after_by_original(&self, code: i32) -> Next {
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

/// How a shell tells the end of a process: 128 and the number of the signal, if it was one.
const fn of_shell(code: i32) -> i32 {
    if code < 0 { 128 - code } else { code }
}
