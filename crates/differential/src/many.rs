//! Many stories on many threads.

use std::ops::{ControlFlow, Range};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::{DifferentialError, Judge};

/// As many threads as there are cores.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// Has every number visited, on so many threads, each with drivers of its own, until a visit breaks off. All numbers
/// below one that was visited have then been visited too. Returns what the visits gave, by number.
///
/// # Errors
///
/// The first error of a visit.
pub fn visit<T: Send>(
    threads: usize,
    numbers: Range<u64>,
    visit: impl Fn(&mut Judge, u64) -> Result<ControlFlow<T, T>, DifferentialError> + Sync,
) -> Result<Vec<(u64, T)>, DifferentialError> {
    let next = AtomicU64::new(numbers.start);
    let visited = Mutex::new(Vec::new());
    let work = || -> Result<(), DifferentialError> {
        let mut judge = Judge::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= numbers.end {
                return Ok(());
            }
            let gave = match visit(&mut judge, number) {
                Ok(ControlFlow::Continue(gave)) => gave,
                Ok(ControlFlow::Break(gave)) => {
                    next.fetch_max(numbers.end, Ordering::Relaxed);
                    gave
                }
                Err(error) => {
                    next.fetch_max(numbers.end, Ordering::Relaxed);
                    return Err(match error {
                        DifferentialError::NoDriver(_) => error,
                        error => DifferentialError::Story { number, error: Box::new(error) },
                    });
                }
            };
            visited.lock().unwrap_or_else(PoisonError::into_inner).push((number, gave));
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        // A panic is nobody's agreement: it goes on here.
        let ended =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        ended.collect::<Result<(), _>>()
    })?;
    let mut visited = visited.into_inner().unwrap_or_else(PoisonError::into_inner);
    visited.sort_by_key(|(number, _)| *number);
    Ok(visited)
}
