//! What exists in a scenario: Jobs, pods and nodes that some step makes, and the indexes that a Job can ever have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use towtank_model::objects::CompletionMode;

use super::Source;
use super::steps::{Applied, AppliedObject};
use crate::ast::{ClusterSpec, Manifest, Operator, PodRef, Spanned};
use crate::error::{Problem, ScenarioError, suggest};
use crate::yaml::Node;
use crate::{manifest, raw};

/// What is known of a Job from all manifests, patches and scalings together.
#[derive(Debug, Default)]
pub(crate) struct JobFacts {
    /// It has completion indexes.
    pub(crate) is_indexed: bool,
    /// Indexes are below this.
    pub(crate) completions_max: u32,
    /// The first step that applies it.
    pub(crate) first_step: usize,
}

/// Names that can be used.
#[derive(Debug)]
pub(crate) struct Scope {
    jobs: BTreeMap<String, JobFacts>,
    /// Pods that steps apply by name.
    pods: BTreeMap<String, usize>,
    /// MiniClusters: the first step that applies each, and its namespace.
    miniclusters: BTreeMap<String, (usize, Arc<str>)>,
    nodes: u32,
    /// Names of nodes that steps add.
    added_nodes: Vec<String>,
    namespaces: BTreeSet<String>,
    /// `spec.cluster.pods` is `manual`.
    pub(crate) is_manual: bool,
    /// Whose operator looks after MiniClusters.
    pub(crate) operator: Operator,
    /// How many replicas it has.
    pub(crate) operator_replicas: u32,
}

impl Scope {
    /// Collects what the steps make.
    pub(crate) fn new(
        file: &Source<'_>,
        root: &Node,
        cluster: &ClusterSpec,
        steps: &[Spanned<raw::Step>],
        applied: &[Applied],
    ) -> Result<Self, ScenarioError> {
        let mut scope = Self {
            jobs: BTreeMap::new(),
            pods: BTreeMap::new(),
            miniclusters: BTreeMap::new(),
            nodes: cluster.nodes,
            added_nodes: Vec::new(),
            namespaces: BTreeSet::from(["default".to_owned()]),
            is_manual: cluster.manual_pods,
            operator: cluster.operator,
            operator_replicas: cluster.operator_replicas,
        };
        for (position, (step, applied)) in steps.iter().zip(applied).enumerate() {
            for AppliedObject { source, span, object, .. } in applied {
                scope.add(position, object).map_err(|(problem, help)| {
                    ScenarioError::new(source, span.clone(), problem, "applied here").with_help(help)
                })?;
            }
            if let Some(scale) = &step.value.scale {
                scope.raise(&scale.value.job.value, scale.value.to.as_ref().map(|to| to.value));
            }
            if let Some(Spanned { value: raw::Patch { job: Some(job), .. }, .. }) = &step.value.patch
                && let Some(spec) =
                    super::steps::value_of(root, position, "patch").and_then(|it| it.get("spec"))
            {
                let spec = manifest::read_patch(file.source, spec)?;
                scope.raise(&job.value, spec.completions);
            }
            if let Some(Spanned { value: raw::NodeAction::Add(name), .. }) = &step.value.node {
                scope.added_nodes.push(name.value.clone());
            }
        }
        Ok(scope)
    }

    fn add(&mut self, step: usize, object: &Manifest) -> Result<(), (Problem, String)> {
        let (Manifest::Job(key, _) | Manifest::Pod(key, _) | Manifest::MiniCluster(key, _)) = object;
        self.namespaces.insert(key.namespace.to_string());
        match object {
            Manifest::Job(key, job) => {
                if !self.jobs.contains_key(&*key.name) && job.template.is_none() {
                    let help =
                        "only a Job that is there already can be applied without its template".to_owned();
                    return Err((Problem::MissingField("template".to_owned()), help));
                }
                let facts = self
                    .jobs
                    .entry(key.name.to_string())
                    .or_insert_with(|| JobFacts { first_step: step, ..JobFacts::default() });
                facts.is_indexed |= job.completion_mode == Some(CompletionMode::Indexed);
                self.raise(&key.name, job.completions);
            }
            Manifest::MiniCluster(key, manifest) => {
                let first = (step, Arc::clone(&key.namespace));
                let (_, namespace) = self.miniclusters.entry(key.name.to_string()).or_insert(first);
                if *namespace != key.namespace {
                    let problem = Problem::Duplicate { what: "MiniCluster", name: key.name.to_string() };
                    let help = format!(
                        "one of this name is in namespace `{namespace}`: steps know it by its name alone"
                    );
                    return Err((problem, help));
                }
                // Its Job has its name, and at most so many indexes.
                let facts = JobFacts { is_indexed: true, first_step: step, completions_max: 0 };
                self.jobs.entry(key.name.to_string()).or_insert(facts);
                self.raise(&key.name, Some(manifest.spec.maximum()));
            }
            Manifest::Pod(key, _) => {
                self.pods.entry(key.name.to_string()).or_insert(step);
            }
        }
        Ok(())
    }

    fn raise(&mut self, job: &str, completions: Option<i32>) {
        if let (Some(facts), Some(completions)) = (self.jobs.get_mut(job), completions) {
            facts.completions_max = facts.completions_max.max(u32::try_from(completions).unwrap_or(0));
        }
    }

    /// The name of the only Job.
    pub(crate) fn only_job(&self) -> Option<&str> {
        match self.jobs.len() {
            1 => self.jobs.keys().next().map(String::as_str),
            _ => None,
        }
    }

    /// A MiniCluster that this step or one before applies.
    pub(crate) fn minicluster(
        &self,
        file: &Source<'_>,
        name: &Spanned<String>,
        step: usize,
    ) -> Result<(), ScenarioError> {
        if self.miniclusters.get(&name.value).is_some_and(|(first, _)| *first <= step) {
            return Ok(());
        }
        let problem = Problem::NoSuch { what: "MiniCluster", name: name.value.clone() };
        let help = match self.miniclusters.len() {
            0 => "no step applies a MiniCluster".to_owned(),
            _ => suggest(&name.value, self.miniclusters.keys().map(String::as_str)),
        };
        Err(file.error(name.span.clone(), problem, "no step before applies it").with_help(help))
    }

    /// Some step applies one.
    pub(crate) fn has_miniclusters(&self) -> bool {
        !self.miniclusters.is_empty()
    }

    /// `minicluster` and `flux` are clear.
    pub(crate) fn has_one_minicluster(&self) -> bool {
        self.miniclusters.len() == 1
    }

    /// The only MiniCluster, for what does not name one.
    pub(crate) fn only_minicluster(
        &self,
        file: &Source<'_>,
        span: &std::ops::Range<usize>,
    ) -> Result<&str, ScenarioError> {
        if let (1, Some(name)) = (self.miniclusters.len(), self.miniclusters.keys().next()) {
            return Ok(name);
        }
        let problem = Problem::Invalid("this is about a MiniCluster, and none is named".to_owned());
        let help = match self.miniclusters.len() {
            0 => "no step applies a MiniCluster",
            _ => "the scenario has several: name one with `minicluster: …`",
        };
        Err(file.error(span.clone(), problem, "whose Flux?").with_help(help))
    }

    /// A Job that some step applies.
    pub(crate) fn job(&self, file: &Source<'_>, name: &Spanned<String>) -> Result<&JobFacts, ScenarioError> {
        self.jobs.get(&name.value).ok_or_else(|| {
            let problem = Problem::NoSuch { what: "Job", name: name.value.clone() };
            let help = match self.jobs.len() {
                0 => "no step applies a Job".to_owned(),
                _ => suggest(&name.value, self.jobs.keys().map(String::as_str)),
            };
            file.error(name.span.clone(), problem, "no step applies it").with_help(help)
        })
    }

    /// A Job that this step or one before applies.
    pub(crate) fn job_at(
        &self,
        file: &Source<'_>,
        name: &Spanned<String>,
        step: usize,
    ) -> Result<&JobFacts, ScenarioError> {
        let facts = self.job(file, name)?;
        if facts.first_step <= step {
            return Ok(facts);
        }
        let problem = Problem::NoSuch { what: "Job", name: name.value.clone() };
        Err(file.error(name.span.clone(), problem, "not at this step").with_help(format!(
            "step {} is the first to apply it: move this step behind it",
            facts.first_step + 1
        )))
    }

    /// A node of the cluster, or one that a step adds.
    pub(crate) fn node(&self, file: &Source<'_>, name: &Spanned<String>) -> Result<(), ScenarioError> {
        if self.has_node(&name.value) {
            return Ok(());
        }
        let problem = Problem::NoSuch { what: "node", name: name.value.clone() };
        Err(file.error(name.span.clone(), problem, "not in the cluster").with_help(self.nodes_in_words()))
    }

    /// There is, or will be, a node of this name.
    pub(crate) fn has_node(&self, name: &str) -> bool {
        let number = name
            .strip_prefix("node-")
            .and_then(|number| number.parse::<u32>().ok().filter(|parsed| parsed.to_string() == number));
        number.is_some_and(|number| number < self.nodes) || self.added_nodes.iter().any(|added| added == name)
    }

    /// The nodes, for a help text.
    pub(crate) fn nodes_in_words(&self) -> String {
        match self.nodes {
            0 => "the cluster has no nodes".to_owned(),
            1 => "the only node is `node-0`".to_owned(),
            nodes => format!("the nodes are `node-0` to `node-{}`", nodes - 1),
        }
    }

    /// The namespace of some object.
    pub(crate) fn namespace(&self, file: &Source<'_>, name: &Spanned<String>) -> Result<(), ScenarioError> {
        if self.namespaces.contains(&name.value) {
            return Ok(());
        }
        let problem = Problem::NoSuch { what: "namespace", name: name.value.clone() };
        let help = suggest(&name.value, self.namespaces.iter().map(String::as_str));
        Err(file.error(name.span.clone(), problem, "nothing is in it").with_help(help))
    }

    /// An index that the Job can have.
    fn index(
        &self,
        file: &Source<'_>,
        job: &str,
        facts: &JobFacts,
        index: &Spanned<u32>,
    ) -> Result<u32, ScenarioError> {
        if !facts.is_indexed {
            let problem = Problem::Invalid(format!("the pods of Job `{job}` have no indexes"));
            return Err(file
                .error(index.span.clone(), problem, "the Job is NonIndexed")
                .with_help(format!("count them in order of creation: `{{job: {job}, number: 1}}`")));
        }
        if index.value < facts.completions_max {
            return Ok(index.value);
        }
        let problem = Problem::IndexOutOfRange { job: job.to_owned(), index: index.value };
        Err(file
            .error(index.span.clone(), problem, "no pod ever has this index")
            .with_help(facts.range_in_words()))
    }

    /// What a scenario calls a pod, made sense of at `step`.
    pub(crate) fn pod(
        &self,
        file: &Source<'_>,
        written: Spanned<raw::Pod>,
        step: usize,
    ) -> Result<Spanned<PodRef>, ScenarioError> {
        let span = written.span;
        let value = match written.value {
            raw::Pod::Short(text) => self.short(file, Spanned { value: text, span: span.clone() }, step)?,
            raw::Pod::Fields(fields) => self.fields(file, fields, &span, step)?,
        };
        Ok(Spanned { value, span })
    }

    fn short(&self, file: &Source<'_>, text: Spanned<String>, step: usize) -> Result<PodRef, ScenarioError> {
        if self.pods.get(&text.value).is_some_and(|first| *first <= step) {
            return Ok(PodRef::Named(text.value));
        }
        // Job names may contain dashes and digits; the index does not, so the last dash is the only candidate.
        let parts =
            text.value.rsplit_once('-').and_then(|(job, index)| Some((job, index.parse::<u32>().ok()?)));
        if let Some((job, index)) = parts {
            let name = Spanned { value: job.to_owned(), span: text.span.clone() };
            let facts = self.job_at(file, &name, step)?;
            self.index(file, job, facts, &Spanned { value: index, span: text.span })?;
            return Ok(PodRef::Indexed { job: job.to_owned(), index, incarnation: None });
        }
        let help = match self.jobs.get(&text.value) {
            Some(facts) if facts.is_indexed => {
                format!("`{0}` is a Job: write `{0}-0` for its pod of index 0", text.value)
            }
            Some(_) => {
                format!("`{0}` is a Job: write `{{job: {0}, number: 1}}` for its first pod", text.value)
            }
            None => {
                "write `JOB-INDEX`, `{job: …, index: …}`, or the name of a pod that a step applies".to_owned()
            }
        };
        let problem = Problem::NoSuch { what: "pod", name: text.value };
        Err(file.error(text.span, problem, "no step makes it").with_help(help))
    }

    fn fields(
        &self,
        file: &Source<'_>,
        fields: raw::PodFields,
        span: &std::ops::Range<usize>,
        step: usize,
    ) -> Result<PodRef, ScenarioError> {
        let invalid = |text: &str| {
            let help = "write `{job, index}`, `{job, index, incarnation}`, `{job, number}` or `{name}`";
            file.error(span.clone(), Problem::Invalid(text.to_owned()), "here").with_help(help)
        };
        if fields.pod.is_some() || fields.pods.is_some() {
            return Err(invalid("a pod is named by `job` or `name`"));
        }
        match (fields.job, fields.index, fields.number, fields.name) {
            (Some(job), Some(index), None, None) => {
                let facts = self.job_at(file, &job, step)?;
                let index = self.index(file, &job.value, facts, &index)?;
                let incarnation =
                    fields.incarnation.map(|it| file.positive(&it, "incarnations")).transpose()?;
                Ok(PodRef::Indexed { job: job.value, index, incarnation })
            }
            (Some(job), None, Some(number), None) if fields.incarnation.is_none() => {
                self.job_at(file, &job, step)?;
                Ok(PodRef::Numbered { number: file.positive(&number, "pods")?, job: job.value })
            }
            (None, None, None, Some(name)) if fields.incarnation.is_none() => {
                if self.pods.get(&name.value).is_some_and(|first| *first <= step) {
                    return Ok(PodRef::Named(name.value));
                }
                let problem = Problem::NoSuch { what: "pod", name: name.value.clone() };
                let help = match self.pods.len() {
                    0 => "no step applies a pod; pods of Jobs are named by `job` and `index` or `number`"
                        .to_owned(),
                    _ => suggest(&name.value, self.pods.keys().map(String::as_str)),
                };
                Err(file.error(name.span, problem, "no step before applies it").with_help(help))
            }
            _ => Err(invalid("these fields together do not name a pod")),
        }
    }

    /// Whether a table's NAME can be that of a pod: a pod that a step applies, or `JOB-INDEX` or `JOB`, with or without
    /// a generated suffix. Otherwise what is wrong and what would be right.
    pub(crate) fn check_pod_name(&self, name: &str) -> Result<(), (Problem, String)> {
        if self.pods.contains_key(name) {
            return Ok(());
        }
        let of = |job: &str| name == job || name.strip_prefix(job).is_some_and(|rest| rest.starts_with('-'));
        let job = self.jobs.iter().filter(|(job, _)| of(job)).max_by_key(|(job, _)| job.len());
        let Some((job, facts)) = job else {
            let help = match self.jobs.keys().next() {
                Some(job) => format!("pods are called after their Job: `{job}-…`"),
                None => "no step applies a Job".to_owned(),
            };
            return Err((Problem::NoSuch { what: "pod", name: name.to_owned() }, help));
        };
        if !facts.is_indexed {
            return Ok(());
        }
        let rest = name[job.len()..].trim_start_matches('-');
        match rest.split('-').next().and_then(|index| index.parse::<u32>().ok()) {
            Some(index) if index < facts.completions_max => Ok(()),
            Some(index) => {
                Err((Problem::IndexOutOfRange { job: job.clone(), index }, facts.range_in_words()))
            }
            None => {
                let help = format!("pods of this Job are called `{job}-INDEX-SUFFIX`");
                Err((Problem::NoSuch { what: "pod", name: name.to_owned() }, help))
            }
        }
    }

    /// Whether a table's NAME can be that of a Job.
    pub(crate) fn check_job_name(&self, name: &str) -> Result<(), (Problem, String)> {
        if self.jobs.contains_key(name) {
            return Ok(());
        }
        let help = suggest(name, self.jobs.keys().map(String::as_str));
        Err((Problem::NoSuch { what: "Job", name: name.to_owned() }, help))
    }
}

impl JobFacts {
    /// The indexes that the Job can have, for a help text.
    pub(crate) fn range_in_words(&self) -> String {
        match self.completions_max {
            0 => "the Job never has completions".to_owned(),
            1 => "the only index that the Job ever has is 0".to_owned(),
            completions => format!("the indexes that the Job ever has are 0 to {}", completions - 1),
        }
    }
}
