//! Who is who: the API server generates names, so scenario files know a pod by its Job, its index and which pod of that
//! index it is.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use towtank_model::objects::{Pod, Uid};
use towtank_model::server::Server;

/// A pod as a scenario file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PodName {
    /// The nth pod, from 1, of an index.
    OfIndex { job: Arc<str>, index: u32, nth: u32 },
    /// The nth pod, from 1, of a Job without indexes.
    OfJob { job: Arc<str>, nth: u32 },
    /// A pod that was created by name.
    Bare(Arc<str>),
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfIndex { job, index, nth } => {
                write!(f, "{{job: {job}, index: {index}, incarnation: {nth}}}")
            }
            Self::OfJob { job, nth } => write!(f, "{{job: {job}, number: {nth}}}"),
            Self::Bare(name) => write!(f, "{{name: {name}}}"),
        }
    }
}

/// All pods so far.
#[derive(Debug, Default)]
pub(crate) struct Roll {
    names: BTreeMap<Uid, PodName>,
    /// Bare pods that a Job has adopted: they count among its pods from then on.
    adopted: BTreeMap<Uid, Arc<str>>,
    of_index: BTreeMap<(Arc<str>, Option<u32>), u32>,
    of_job: BTreeMap<Arc<str>, u32>,
}

impl Roll {
    /// Enters the pods that are new, or newly adopted. Must be called after everything that can make one.
    pub(crate) fn learn(&mut self, server: &Server) {
        for pod in server.pods() {
            match self.names.get(&pod.uid) {
                None => self.enter(pod),
                Some(PodName::Bare(_)) if !self.adopted.contains_key(&pod.uid) => {
                    if let Some(job) = job_of(pod) {
                        self.count(&job, pod);
                        self.adopted.insert(pod.uid, job);
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// What a pod is called.
    pub(crate) fn name(&self, uid: Uid) -> Option<&PodName> {
        self.names.get(&uid)
    }

    fn enter(&mut self, pod: &Pod) {
        let name = match job_of(pod) {
            None => PodName::Bare(Arc::clone(&pod.key.name)),
            Some(job) => {
                let (nth_of_index, nth) = self.count(&job, pod);
                match pod.index.get() {
                    Some(index) => PodName::OfIndex { job, index, nth: nth_of_index },
                    None => PodName::OfJob { job, nth },
                }
            }
        };
        self.names.insert(pod.uid, name);
    }

    /// Which pod of its index, and which of its Job, this one is.
    fn count(&mut self, job: &Arc<str>, pod: &Pod) -> (u32, u32) {
        let of_index = self.of_index.entry((Arc::clone(job), pod.index.get())).or_default();
        let of_job = self.of_job.entry(Arc::clone(job)).or_default();
        *of_index += 1;
        *of_job += 1;
        (*of_index, *of_job)
    }
}

fn job_of(pod: &Pod) -> Option<Arc<str>> {
    pod.owner.as_ref().filter(|owner| owner.is_job).map(|owner| Arc::clone(&owner.name))
}
