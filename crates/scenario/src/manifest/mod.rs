//! Kubernetes manifests, read as strictly as `kubectl apply --validate=strict` does.
//!
//! The types of `k8s-openapi` say which fields exist and what they hold, for the whole of Job and Pod; what the model
//! knows is then taken over. Fields that decide nothing in the model (images, commands, volumes, …) are checked and
//! left behind. Values that the API server judges (ranges, immutability) are left to it.

mod job;
mod minicluster;
mod pod;

pub(crate) use job::{PARALLELISM_MAX, too_many_pods};
pub(crate) use minicluster::read_patch as read_minicluster_patch;

use std::ops::Range;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use towtank_model::objects::{Labels, ObjectKey};
use towtank_model::server::JobManifest;

use crate::ast::{Manifest, SourceFile};
use crate::error::{Problem, ScenarioError, suggest};
use crate::yaml::de::{Strictness, from_node};
use crate::yaml::{Kind, Node};

/// Reads one manifest. A rule of ours that it does not keep is not a mistake yet: who applies it may want it refused.
pub(crate) fn read(
    source: &Arc<SourceFile>,
    node: &Node,
) -> Result<(Manifest, Option<ScenarioError>), ScenarioError> {
    let at = Place { source, node };
    match (at.text("apiVersion")?, at.text("kind")?) {
        ("batch/v1", "Job") => {
            let job: Job =
                from_node(source, node, Strictness::Kubernetes).map_err(|m| m.into_error(source))?;
            let key = at.key(&job.metadata)?;
            let spec = job.spec.ok_or_else(|| at.missing("spec", "", "a Job says in `spec` what it runs"))?;
            let mut manifest = job::convert(&at.inner("spec"), &spec, node.get("spec"), false)?;
            manifest.labels = labels(job.metadata.labels);
            manifest.finalizers = texts(job.metadata.finalizers);
            Ok((Manifest::Job(key, Box::new(manifest)), None))
        }
        ("v1", "Pod") => {
            let pod: Pod =
                from_node(source, node, Strictness::Kubernetes).map_err(|m| m.into_error(source))?;
            let key = at.key(&pod.metadata)?;
            let spec = pod.spec.ok_or_else(|| at.missing("spec", "", "a Pod says in `spec` what it runs"))?;
            let manifest = pod::bare(&at.inner("spec"), pod.metadata, &spec)?;
            Ok((Manifest::Pod(key, Box::new(manifest)), None))
        }
        (minicluster::API_VERSION, "MiniCluster") => minicluster::read(&at),
        (version, kind) => {
            let problem = Problem::Unknown { what: "kind of object", text: format!("{version} {kind}") };
            let field = if matches!(kind, "Job" | "Pod" | "MiniCluster") { "apiVersion" } else { "kind" };
            Err(at.error(field, problem, "cannot be applied").with_help(
                "a step can apply `batch/v1` Job, `v1` Pod and `flux-framework.org/v1alpha2` MiniCluster",
            ))
        }
    }
}

/// Checks a merge patch of a Job's spec against the fields of the API, and reads what it sets.
pub(crate) fn read_patch(source: &Arc<SourceFile>, node: &Node) -> Result<JobManifest, ScenarioError> {
    if !matches!(node.kind, Kind::Map(_)) {
        let problem = Problem::WrongType { expected: "a mapping".to_owned(), found: node.in_words() };
        return Err(ScenarioError::new(source, node.span.clone(), problem, "here")
            .with_help("write the fields of the Job's spec that change: `spec: {parallelism: 3}`"));
    }
    let spec: JobSpec = from_node(source, node, Strictness::Kubernetes).map_err(|m| m.into_error(source))?;
    job::convert(&Place { source, node }, &spec, Some(node), true)
}

/// A part of a manifest, for messages about what lies in it.
#[derive(Clone, Copy)]
struct Place<'a> {
    source: &'a Arc<SourceFile>,
    node: &'a Node,
}

impl<'a> Place<'a> {
    /// The part under `path`, or the nearest part around it.
    fn inner(&self, path: &str) -> Self {
        let mut node = self.node;
        for part in path.split('.') {
            let next = node.get(part).or_else(|| part.parse().ok().and_then(|position| node.at(position)));
            let Some(next) = next else { break };
            node = next;
        }
        Self { source: self.source, node }
    }

    fn span(&self, path: &str) -> Range<usize> {
        if path.is_empty() { self.start() } else { self.node.place(path) }
    }

    /// The first key of this part: where something is missing.
    fn start(&self) -> Range<usize> {
        match &self.node.kind {
            Kind::Map(entries) => entries.first().map_or(&self.node.span, |(key, _)| &key.span).clone(),
            _ => self.node.span.clone(),
        }
    }

    fn error(&self, path: &str, problem: Problem, label: &str) -> ScenarioError {
        ScenarioError::new(self.source, self.span(path), problem, label)
    }

    fn missing(&self, field: &str, path: &str, help: &str) -> ScenarioError {
        let at = self.inner(path).start();
        ScenarioError::new(self.source, at, Problem::MissingField(field.to_owned()), "in this mapping")
            .with_help(help)
    }

    /// One of a set of words.
    fn word<T: Copy>(
        &self,
        path: &str,
        what: &'static str,
        text: &str,
        words: &[(&str, T)],
    ) -> Result<T, ScenarioError> {
        words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
            self.error(path, Problem::Unknown { what, text: text.to_owned() }, "not one of the values")
                .with_help(suggest(text, words.iter().map(|(word, _)| *word)))
        })
    }

    /// A text field at the top of the manifest.
    fn text(&self, field: &str) -> Result<&'a str, ScenarioError> {
        let missing = || self.missing(field, "", "a manifest begins with `apiVersion` and `kind`");
        let node = self.node.get(field).ok_or_else(missing)?;
        match &node.kind {
            Kind::Text(text) => Ok(text),
            _ => {
                let problem = Problem::WrongType { expected: "a text".to_owned(), found: node.in_words() };
                Err(self.error(field, problem, "here").with_help("write for example `kind: Job`"))
            }
        }
    }

    fn key(&self, metadata: &ObjectMeta) -> Result<ObjectKey, ScenarioError> {
        let help = "steps and claims need a name that they can rely on: `metadata: {name: …}`";
        let name = metadata.name.as_deref().ok_or_else(|| self.missing("name", "metadata", help))?;
        let namespace = metadata.namespace.as_deref().unwrap_or("default");
        for (path, name) in [("metadata.name", name), ("metadata.namespace", namespace)] {
            if !is_name(name) {
                let problem = Problem::Invalid(format!("`{name}` is no name of an object"));
                return Err(self.error(path, problem, "here").with_help(
                    "write at most 253 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends",
                ));
            }
        }
        Ok(ObjectKey::new(namespace, name))
    }
}

/// The text is a DNS subdomain name (RFC 1123), as the names of Jobs and pods are.
pub(crate) fn is_name(text: &str) -> bool {
    let is_edge = |character: Option<char>| {
        character.is_some_and(|character| character.is_ascii_lowercase() || character.is_ascii_digit())
    };
    text.len() <= 253
        && is_edge(text.chars().next())
        && is_edge(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.')
}

fn labels(labels: Option<std::collections::BTreeMap<String, String>>) -> Labels {
    labels.unwrap_or_default().into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

fn texts(texts: Option<Vec<String>>) -> Vec<Arc<str>> {
    texts.unwrap_or_default().into_iter().map(Arc::from).collect()
}
