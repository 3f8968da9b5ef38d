//! Real time: for the throughput, and for searches that end after a while.

/// Now.
#[expect(clippy::disallowed_types, reason = "how many stories a second is a fact about the machine")]
pub fn now() -> std::time::Instant {
    std::time::Instant::now()
}
