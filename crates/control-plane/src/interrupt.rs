//! Ctrl-C and SIGTERM, so that a program can end in order.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

/// Becomes raised with the first SIGINT, SIGTERM or SIGHUP. From [`Interrupt::install`] on none of them ends the process by itself: the program looks
/// whether it is raised and returns from `main`, so that everything is dropped.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens to the signals, for the rest of the process.
    ///
    /// # Errors
    /// The operating system refuses a handler or a thread.
    pub fn install() -> io::Result<Self> {
        let raised = Arc::new(AtomicBool::new(false));
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        let context = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        drop(context);
        let raise = Arc::clone(&raised);
        let listen = move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hang_up.recv() => {}
                }
            });
            raise.store(true, Ordering::Relaxed);
        };
        thread::Builder::new().name("interrupt".to_owned()).spawn(listen)?;
        Ok(Self(raised))
    }

    /// Whether one of the signals has come.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
