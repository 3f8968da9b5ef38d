//! A tokio runtime whose clock the simulation moves.
//!
//! The clock is paused: it jumps to the next timer as soon as every task waits. What tokio does not tell by itself is *when every task waits*;
//! its hook before the thread parks does, and a future that is woken there runs before any time passes.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;
use towtank_model::time::Time;

use super::mailbox::{Inbox, Letter};

/// Tasks on virtual time, in one thread.
pub(super) struct VirtualRuntime {
    runtime: tokio::runtime::Runtime,
    start: Instant,
    idle: Arc<IdleSignal>,
}

/// Wakes whoever waits for the moment at which every task waits.
#[derive(Default)]
struct IdleSignal(Mutex<IdleState>);

#[derive(Default)]
struct IdleState {
    waker: Option<Waker>,
    is_idle: bool,
}

impl IdleSignal {
    /// The thread is about to park.
    fn park(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let waker = state.waker.take();
            state.is_idle |= waker.is_some();
            waker
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn wait(&self) {
        poll_fn(|context| {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if std::mem::take(&mut state.is_idle) {
                return Poll::Ready(());
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl VirtualRuntime {
    /// No task yet; its clock stands at [`Time::ZERO`].
    pub(super) fn new() -> io::Result<Self> {
        let idle = Arc::new(IdleSignal::default());
        let signal = Arc::clone(&idle);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .on_thread_park(move || signal.park())
            .build()?;
        let start = {
            let _guard = runtime.enter();
            Instant::now()
        };
        Ok(Self { runtime, start, idle })
    }

    /// Where its clock stands: tokio's timers have a resolution of one millisecond, so it is at or shortly before the simulation's.
    pub(super) fn now(&self) -> Time {
        let _guard = self.runtime.enter();
        Time::ZERO + self.start.elapsed()
    }

    /// Starts a task; it runs with the next call of one of the other methods.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.runtime.spawn(task).abort_handle()
    }

    /// Calls something that wants to be called inside of the runtime.
    pub(super) fn enter<T>(&self, call: impl FnOnce() -> T) -> T {
        let _guard = self.runtime.enter();
        call()
    }

    /// Lets the tasks run until each of them waits for something. No time passes.
    pub(super) fn settle(&self) {
        self.runtime.block_on(self.idle.wait());
    }

    /// Lets time pass up to `target`, in whole milliseconds, or until the first letter comes.
    pub(super) fn pass(&self, target: Time, inbox: &mut Inbox) -> Option<Letter> {
        let target = self.start + whole_millis(target);
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                letter = inbox.receive() => letter,
                () = tokio::time::sleep_until(target) => None,
            }
        })
    }
}

/// The last millisecond that is not after `time`.
pub(super) fn whole_millis(time: Time) -> Duration {
    Duration::from_millis(time.as_micros() / 1_000)
}
