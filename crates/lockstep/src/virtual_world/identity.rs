//! Who is who: pods are known by Job, index and which pod of that index they are, for as long as the run lasts.

use std::collections::BTreeMap;
use std::sync::Arc;

use towtank_model::objects::{Pod, Uid};
use towtank_model::server::Server;
use towtank_scenario::ast::PodRef;

use crate::trace_text::replace_names;

/// What a pod is known as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// The Job that controls it, or did when it came into being.
    pub(super) job: Option<Arc<str>>,
    /// Its completion index.
    pub(super) index: Option<u32>,
    /// Which pod of its index this is, from 1; 0 without a Job.
    pub(super) incarnation: u32,
    /// Which pod of its Job this is, from 1; 0 without a Job.
    pub(super) number: u32,
    /// Its name with the generated suffix replaced by `*`.
    pub(super) masked_name: String,
}

/// All pods that the run has seen.
#[derive(Debug, Default)]
pub(super) struct Identities {
    by_uid: BTreeMap<Uid, Identity>,
    /// Pods of a Job and index, in order of creation.
    by_index: BTreeMap<(Arc<str>, Option<u32>), Vec<Uid>>,
    /// Pods of a Job, in order of creation.
    by_job: BTreeMap<Arc<str>, Vec<Uid>>,
    /// Masked names by real ones.
    masked: BTreeMap<Arc<str>, String>,
}

impl Identities {
    /// Adds those of these pods that are new, and gives those that have been adopted meanwhile to their Job.
    pub(super) fn learn<'a>(&mut self, server: &Server, pods: impl IntoIterator<Item = &'a Uid>) {
        for pod in pods.into_iter().filter_map(|uid| server.pod(*uid)) {
            let known = self.by_uid.get(&pod.uid);
            if known.is_none_or(|known| known.job.is_none() && pod.owner.is_some()) {
                self.add(pod);
            }
        }
    }

    fn add(&mut self, pod: &Pod) {
        let index = pod.index.get();
        let job = pod.owner.as_ref().filter(|owner| owner.is_job).map(|owner| owner.name.clone());
        let (incarnation, number) = match &job {
            Some(job) => {
                let of_index = self.by_index.entry((job.clone(), index)).or_default();
                of_index.push(pod.uid);
                let of_job = self.by_job.entry(job.clone()).or_default();
                of_job.push(pod.uid);
                (count(of_index), count(of_job))
            }
            None => (0, 0),
        };
        let masked_name = masked_name(&pod.key.name, job.as_deref(), index);
        self.masked.insert(pod.key.name.clone(), masked_name.clone());
        self.by_uid.insert(pod.uid, Identity { job, index, incarnation, number, masked_name });
    }

    /// What this pod is known as.
    pub(super) fn of(&self, uid: Uid) -> Option<&Identity> {
        self.by_uid.get(&uid)
    }

    /// The pod that a scenario means, whether it is still stored or not.
    pub(super) fn resolve(&self, server: &Server, pod: &PodRef) -> Option<Uid> {
        match pod {
            PodRef::Indexed { job, index, incarnation } => {
                let pods = self.by_index.get(&(Arc::from(job.as_str()), Some(*index)))?;
                match incarnation {
                    Some(nth) => nth_of(pods, *nth),
                    None => pods.last().copied(),
                }
            }
            PodRef::Numbered { job, number } => nth_of(self.by_job.get(job.as_str())?, *number),
            PodRef::Named(name) => server.pods().find(|pod| *pod.key.name == **name).map(|pod| pod.uid),
        }
    }

    /// `text` with the generated suffixes of pod names replaced by `*`.
    pub(super) fn mask(&self, text: &str) -> String {
        replace_names(text, |name| self.masked.get(name).map(String::as_str))
    }
}

fn count(pods: &[Uid]) -> u32 {
    u32::try_from(pods.len()).unwrap_or(u32::MAX)
}

/// The nth, counted from 1.
fn nth_of(pods: &[Uid], nth: u32) -> Option<Uid> {
    pods.get(usize::try_from(nth).ok()?.checked_sub(1)?).copied()
}

/// `work-3-rm4ks` as `work-3-*` when the name was generated for this Job and index, else the name as it is.
fn masked_name(name: &str, job: Option<&str>, index: Option<u32>) -> String {
    let generated = job.and_then(|job| {
        let suffix = name.strip_prefix(job)?.strip_prefix('-')?;
        let suffix = match index {
            Some(index) => suffix.strip_prefix(&index.to_string())?.strip_prefix('-')?,
            None => suffix,
        };
        (!suffix.is_empty() && !suffix.contains('-')).then(|| &name[..name.len() - suffix.len()])
    });
    generated.map_or_else(|| name.to_owned(), |stem| format!("{stem}*"))
}

#[cfg(test)]
mod tests {
    use super::masked_name;

    #[test]
    fn only_generated_suffixes_are_masked() {
        for (name, job, index, masked) in [
            ("work-3-rm4ks", Some("work"), Some(3), "work-3-*"),
            ("work-rm4ks", Some("work"), None, "work-*"),
            ("work-3-rm4ks", Some("work"), Some(1), "work-3-rm4ks"),
            ("adopted", Some("work"), None, "adopted"),
            ("work-3-rm4ks", None, None, "work-3-rm4ks"),
        ] {
            assert_eq!(masked_name(name, job, index), masked, "{name} of {job:?}, {index:?}");
        }
    }
}
