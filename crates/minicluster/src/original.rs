//! What flux-operator does, with its defects (Flux spec A.2, A.3, A.8, A.10, A.11): read in its source, not taken from it.

use towtank_model::objects::{Job, Pod, PodPhase};

use crate::contract;
use crate::operator::{Observed, Plan, Status, Write};
use crate::spec::MiniClusterSpec;

/// The label that it puts on pods.
pub(crate) const JOB_INDEX: &str = "job-index";
/// Set when the Job is created.
const REQUESTED: &str = "JobRequested";
/// Set when all objects are there, whatever the brokers do.
const READY: &str = "JobMiniClusterReady";

/// One reconcile (A.3).
pub(crate) fn plan(observed: &Observed<'_>) -> Plan {
    let Observed { spec, .. } = *observed;
    // Nothing at all: pods stay, and nobody is told.
    if spec.size == 0 || !is_valid(spec) {
        return Plan::default();
    }
    let mut status = observed.status.clone();
    if status.maximum_size == 0 {
        status.maximum_size = set(spec.max_size).unwrap_or(spec.size).max(spec.size);
    }
    let mut writes = Vec::new();
    if !observed.has_script {
        writes.push(Write::Script);
    }
    match observed.job {
        None => {
            let mut manifest = contract::job(&observed.key.name, spec);
            // 0 is the same as nothing.
            manifest.backoff_limit = Some(set(spec.backoff_limit).unwrap_or(contract::BACKOFF_LIMIT));
            status.conditions = vec![REQUESTED];
            writes.extend([Write::CreateJob(Box::new(manifest)), Write::Status(status)]);
            return Plan { writes, refusal: None, requeues: true };
        }
        // Of its name is its own.
        Some(job) if job.spec.parallelism != spec.size => {
            let is_denied = spec.size > status.maximum_size;
            resize(job, spec.size, &mut status, &mut writes);
            if is_denied {
                // The answer to the patch of the size overwrites the status in memory.
                return Plan { writes, refusal: None, requeues: true };
            }
        }
        Some(_) => {}
    }
    writes.extend(observed.pods.iter().filter_map(|pod| label(&observed.key.name, pod)));
    status.conditions = vec![READY];
    writes.push(Write::Status(status));
    if spec.cleans_up && lead_has_ended(observed) {
        writes.push(Write::Delete);
    }
    // What is written as it is, is not written.
    writes.retain(|write| *write != Write::Status(observed.status.clone()));
    Plan { writes, refusal: None, requeues: true }
}

/// The table of A.8, for a size that the Job does not have.
fn resize(job: &Job, size: i32, status: &mut Status, writes: &mut Vec<Write>) {
    if size < 0 {
        // It means to restore the size, and patches the value that is there.
        status.size = job.spec.parallelism;
    } else if size > status.maximum_size {
        writes.push(Write::Size(status.maximum_size));
    } else {
        // Written whatever becomes of the Job.
        status.size = size;
        writes.push(Write::UpdateJob(Box::new(contract::resized(size))));
    }
}

/// Its validation (A.2). What it says goes to its own log.
fn is_valid(spec: &MiniClusterSpec) -> bool {
    let MiniClusterSpec { size, .. } = *spec;
    let (max_size, min_size) = (set(spec.max_size), set(spec.min_size));
    let sizes = max_size.is_none_or(|max| max >= size)
        && min_size.is_none_or(|min| min <= size && max_size.is_none_or(|max| min <= max))
        && spec.backoff_limit.is_none_or(|limit| limit >= 0);
    sizes && spec.keeps_rules_of_the_original()
}

/// A number that is 0 is not there.
fn set(number: Option<i32>) -> Option<i32> {
    number.filter(|number| *number != 0)
}

/// `minSize`; the size when the script was made, where more ranks than that were allowed; else nothing, which Flux takes for
/// all ranks in the list, those of clusters to burst to included (A.5, A.11).
pub(crate) fn quorum(made: &MiniClusterSpec) -> i32 {
    match set(made.min_size) {
        Some(min) => min,
        None if made.maximum() > made.size => made.size,
        None => i32::try_from(crate::operator::hosts("", made).len()).unwrap_or(i32::MAX),
    }
}

/// Every pod of the namespace without the label gets it: what stands behind the name of the cluster, or the first part of the
/// name of a pod that has nothing to do with it (A.11).
fn label(name: &str, pod: &Pod) -> Option<Write> {
    if pod.labels.contains_key(JOB_INDEX) {
        return None;
    }
    let rest = pod.key.name.replacen(&format!("{name}-"), "", 1);
    let index = rest.split('-').next().unwrap_or_default().to_owned();
    Some(Write::Label(pod.uid, index))
}

/// Some pod whose name begins like that of the lead: also `NAME-01-…`, and those of a cluster called `NAME-0` (A.10).
fn lead_has_ended(observed: &Observed<'_>) -> bool {
    let start = format!("{}-0", observed.key.name);
    let has_ended = |pod: &&&Pod| matches!(pod.status.phase, PodPhase::Succeeded | PodPhase::Failed);
    observed.pods.iter().filter(|pod| pod.key.name.starts_with(&start)).any(|pod| has_ended(&pod))
}
