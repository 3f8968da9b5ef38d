//! Requests that can never be met, and what the user is told.
//!
//! Feasibility is asked only when a job is considered: behind a blocked head nobody looks (Flux spec I 2). Nodes that
//! are down or drained count as if they were up, excluded ones do not (B.6, recording 11), with one exception that
//! makes two worlds: Fluxion 0.54 prunes by the number of nodes (B.8, I 1).

use super::nodes::Nodes;
use super::request::{Request, Shape};
use crate::version::{Features, Policy, Scheduler};

/// The note of Fluxion's denial (recording 04).
const DENIED: &str = "alloc denied due to type=\"unsatisfiable\"";

/// Why a request is denied, or `None` if it may wait.
pub(super) fn denial(
    nodes: &Nodes,
    request: &Request,
    scheduler: Scheduler,
    features: &Features,
) -> Option<String> {
    let shortage = shortage(nodes, request);
    match scheduler {
        Scheduler::Simple => shortage.map(|shortage| {
            if features.unsatisfiable_says_need {
                shortage.note(request)
            } else {
                "unsatisfiable request".to_owned()
            }
        }),
        Scheduler::Fluxion(policy) => {
            let denied = match (features.prunes_nodes, request.nodes()) {
                // The count of nodes is compared with those that are up before anything is matched. Under fcfs too few is
                // the end of the job; the other policies take it for a passing shortage, even if there will never be
                // so many nodes. That no node at all has the cores is the end everywhere.
                (true, Some(count)) if policy == Policy::Fcfs => {
                    nodes.up_count() < count as usize || shortage.is_some()
                }
                (true, Some(_)) => shortage == Some(Shortage::Nodes { eligible: 0 }),
                _ => shortage.is_some(),
            };
            denied.then(|| DENIED.to_owned())
        }
    }
}

/// What the configured nodes lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shortage {
    Nodes { eligible: u32 },
    Slots { available: u32, cores: u32 },
}

fn shortage(nodes: &Nodes, request: &Request) -> Option<Shortage> {
    let eligible = nodes.configured().filter(|(rank, _)| request.allows(*rank));
    match request.shape {
        Shape::Slots(slots) => {
            let mut available = 0_u32;
            let mut total = 0_u32;
            for (_, cores) in eligible {
                total = total.saturating_add(cores.len());
                available =
                    available.saturating_add(cores.len().checked_div(request.cores_per_slot).unwrap_or(0));
            }
            (available < slots).then_some(Shortage::Slots { available, cores: total })
        }
        Shape::Nodes { nodes: wanted, .. } | Shape::WholeNodes(wanted) => {
            let needed = request.cores_per_node().unwrap_or(0);
            let eligible = eligible.filter(|(_, cores)| cores.len() >= needed).count();
            let eligible = u32::try_from(eligible).unwrap_or(u32::MAX);
            (eligible < wanted).then_some(Shortage::Nodes { eligible })
        }
    }
}

impl Shortage {
    /// The words of sched-simple 0.88 (recording 04).
    fn note(self, request: &Request) -> String {
        let size = request.cores_per_slot;
        match (self, request.shape) {
            (Self::Slots { available, cores }, Shape::Slots(slots)) => format!(
                "unsatisfiable request: need {slots} slot(s) of {size} core(s), only {available} such slot(s) available \
                 (total cores: {cores})"
            ),
            (Self::Nodes { eligible }, Shape::WholeNodes(nodes)) => {
                format!("unsatisfiable request: need {nodes} exclusive node(s), only {eligible} eligible")
            }
            (Self::Nodes { eligible }, Shape::Nodes { nodes, slots }) => {
                let cores = slots.saturating_mul(size);
                format!(
                    "unsatisfiable request: need {nodes} node(s) with {cores} cores each, only {eligible} eligible"
                )
            }
            // A shortage of nodes is only found for requests of nodes, and one of slots for requests of slots.
            _ => "unsatisfiable request".to_owned(),
        }
    }
}
