//! What `flux job eventlog` and `flux job info` print.

use super::job::Job;
use super::manager::JobManager;
use crate::time::Instant;
use crate::version::Scheduler;

/// The eventlog of a job until now, a line each: seconds since 1970, name, context.
pub fn eventlog(manager: &JobManager, job: &Job, now: Instant) -> String {
    job.events(now)
        .map(|event| format!("{:.6} {}\n", event.time.as_secs_f64() + manager.setup().wall, event.kind))
        .collect()
}

/// The resources of a job (RFC 20), if it has got any. The two schedulers write the fields in different orders, and
/// Fluxion has no slots, whole seconds, and a far end where there is no limit (recording 04).
pub fn resources(manager: &JobManager, job: &Job) -> Option<String> {
    /// Fluxion's end of time.
    const END_OF_TIME: u64 = 9_223_372_036;
    let allocation = job.allocation()?;
    let groups: Vec<String> = allocation
        .groups()
        .iter()
        .map(|(ranks, cores)| format!(r#"{{"rank": "{ranks}", "children": {{"core": "{}"}}}}"#, cores.ids()))
        .collect();
    let lite = groups.join(", ");
    let nodes = format!("[\"{}\"]", job.nodes());
    let start = job.allocated_at().unwrap_or_default().as_secs_f64() + manager.setup().wall;
    let limit = job.request().limit.map(|limit| limit.as_secs_f64());
    Some(match manager.setup().scheduler {
        Scheduler::Simple => {
            let end = limit.map_or_else(|| "0.0".to_owned(), |limit| (start + limit).to_string());
            let slots = job.spec().shown_tasks();
            format!(
                r#"{{"version": 1, "execution": {{"R_lite": [{lite}], "starttime": {start}, "expiration": {end}, "nslots": {slots}, "nodelist": {nodes}}}}}"#
            )
        }
        Scheduler::Fluxion(_) => {
            let start = start as u64;
            let end = limit.map_or(END_OF_TIME, |limit| start + limit as u64);
            format!(
                r#"{{"version": 1, "execution": {{"R_lite": [{lite}], "nodelist": {nodes}, "starttime": {start}, "expiration": {end}}}}}"#
            )
        }
    })
}
