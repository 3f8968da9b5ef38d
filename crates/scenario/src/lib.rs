//! Scenario files: stories about elastic Jobs on Kubernetes, from YAML to a checked [`Scenario`].
//!
//! A scenario is a cluster, steps, and what must be seen after each step. Its manifests are those of Kubernetes, its
//! expectations are the tables that `kubectl` prints. This crate reads the file and judges it; worlds that play it live
//! elsewhere. Whatever can be found wrong without playing it (a field that does not exist, a duration without unit, an
//! index that no pod can have, a condition that compares a number with a text) is one message with a place:
//! [`ScenarioError`].
//!
//! ```
//! use towtank_scenario::{NoFiles, Problem, ast::Action};
//!
//! let text = r#"
//! apiVersion: towtank.dev/v1alpha1
//! kind: Scenario
//! metadata: {name: downsize}
//! spec:
//!   about: A worker that completes keeps its index; a shrink removes the last index.
//!   source: flux-operator, examples/experimental/downsize
//!   kubernetes: ">=1.28"
//!   cluster: {nodes: 3, coresPerNode: 10, timing: kind}
//!   workloads:
//!     - {job: work, onTerm: {exitCode: 0, after: 200ms}}
//!   steps:
//!     - name: create four
//!       apply:
//!         apiVersion: batch/v1
//!         kind: Job
//!         metadata: {name: work}
//!         spec:
//!           completions: 4
//!           parallelism: 4
//!           completionMode: Indexed
//!           template:
//!             spec:
//!               restartPolicy: Never
//!               containers: [{name: main, image: busybox, resources: {requests: {cpu: "1"}}}]
//!       expect:
//!         - within: 60s
//!           kubectl get pods: |
//!             NAME           READY   STATUS    RESTARTS   AGE
//!             work-0-9zsjw   1/1     Running   0          40s
//!             work-1-z94mv   1/1     Running   0          40s
//!             work-2-rm4ks   1/1     Running   0          40s
//!             work-3-5qbsw   1/1     Running   0          40s
//!           job: {active: 4, ready: 4, completedIndexes: ""}
//!     - name: a worker completes
//!       signal: {pod: work-2, signal: TERM}
//!       expect:
//!         - within: 60s
//!           job: {active: 3, succeeded: 1, completedIndexes: "2"}
//!         - never: pods.exists(p, p.index == 2 && p.incarnation > 1)
//!     - name: shrink to three
//!       scale: {job: work, to: 3}
//!       expect:
//!         - {within: 60s, job: {active: 2, succeeded: 1, completedIndexes: "2"}}
//!         - holds: {for: 5m, that: job.active == 2}
//! "#;
//! let scenario = towtank_scenario::parse("downsize.yaml", text, &NoFiles)?;
//! assert_eq!(scenario.steps.len(), 3);
//! assert!(matches!(scenario.steps[2].action.value, Action::Scale { parallelism: 3, .. }));
//!
//! let mistaken = text.replace("for: 5m", "for: 5");
//! let error = towtank_scenario::parse("downsize.yaml", &mistaken, &NoFiles).unwrap_err();
//! assert_eq!(error.problem(), &Problem::MissingUnit("5".to_owned()));
//! assert_eq!(error.position(), (45, 24));
//! # Ok::<(), towtank_scenario::ScenarioError>(())
//! ```
//!
//! # Steps
//!
//! A step has a `name`, at most one action, and `expect`. Steps follow at the same instant unless expectations or a
//! `wait` let time pass.
//!
//! | action | does |
//! | --- | --- |
//! | `apply: job.yaml` | creates or updates what the file holds; also a manifest, or a list of manifests, in place |
//! | `patch: {job: NAME, spec: {…}}` | a merge patch of a Job's spec |
//! | `scale: {job: NAME, to: 3}` | completions and parallelism together; `parallelism: 3` instead of `to` sets that alone |
//! | `delete: {job: NAME, propagation: foreground}` | also `background` (the default) and `orphan` |
//! | `delete: {pod: POD, gracePeriod: 5s}` | also `pods: […]`, and `force: true` |
//! | `signal: {pod: POD, signal: TERM}` | to the main process; also `KILL` |
//! | `succeed: POD` | the containers end with code 0 |
//! | `fail: {pod: POD, exitCode: 1}` | a container ends; also `container`, and `condition: DisruptionTarget` |
//! | `phase: {pod: POD, phase: Running, ready: true}` | with `cluster: {pods: manual}` |
//! | `evict: POD` | through the eviction API |
//! | `editPod: {pod: POD, labels: {…}, removeFinalizer: …}` | what a user may change; a null label is removed |
//! | `node: {down: node-3}` | also `up`, `delete`, `add`, `cordon`, `uncordon`, `outOfService`, `shutDown` |
//! | `controller: restart` | the Job controller's process; also `stop` and `start` |
//! | `cache: {hold: pods}` | what the Job controller sees of `pods` or `jobs` stands still until `{release: pods}` |
//! | `namespace: {terminate: default}` | nothing can be created in it any more |
//! | `wait: 10s` | time passes |
//!
//! POD is `JOB-INDEX` (the newest pod of that index), `{job, index, incarnation}`, `{job, number}` for the nth pod of a
//! NonIndexed Job, or `{name}` of a pod that a step applies. `succeed`, `fail`, `evict` and `phase` take several:
//! `succeed: [work-0, work-1]` or `{pods: [work-0, work-1]}`.
//!
//! # Faults
//!
//! `spec.cluster.faults` lists calls of the Job controller that go wrong, by kind and number: `{call: update job status,
//! nth: 2, fault: conflict}`. Calls are `get job`, `create pod`, `patch pod`, `delete pod`, `update job status` and, of the
//! controller of `ttlSecondsAfterFinished`, `delete job`; each kind is counted from 1 over the whole run. A fault is
//! `conflict` or `unreachable` (the call has no effect), `answer lost` (it has, but the controller takes it for failed) or
//! `{delay: 2500ms}` (it reaches the server so much later).
//!
//! # Expectations
//!
//! When: `within: 60s` (at some instant until then), `at: 10s` (exactly then), `holds: {for: 5m, that: …}` (all the time),
//! `never: …` (until the scenario ends), `before: {first: …, then: …}`; without any of them, right now. What:
//! `kubectl get pods|jobs|nodes|events` with a pasted table ([`table`]), `job: {…}` with fields of its status, `that` with
//! a condition in CEL over an [`observation`], `refused: {field, type, message}` for an action that the API server must
//! refuse. `kubernetes: ">=1.31"` restricts an expectation to versions.
//!
//! # How a file is read
//!
//! `yaml` reads the text into a tree that knows the place of every key and value, within limits; `raw` holds the types
//! of the format, from which [`schema()`] is derived as well; `manifest` checks Kubernetes objects against the types of
//! `k8s-openapi`; `lower` gives everything a meaning and looks up every name; `cel` checks conditions.

pub mod ast;
mod cel;
mod error;
mod lower;
mod manifest;
pub mod observation;
mod raw;
mod release;
mod schema;
pub mod table;
mod text;
mod yaml;

use std::path::Path;
use std::sync::Arc;

pub use ast::{Scenario, SourceFile};
pub use cel::EvaluationError;
pub use error::{Problem, ScenarioError};
pub use schema::schema;

/// Reads the files that a scenario names.
pub trait FileLoader {
    /// The text of the file at `path`, which is relative to the scenario.
    ///
    /// # Errors
    /// Whatever keeps the file from being read; it becomes part of the message.
    fn load(&self, path: &str) -> std::io::Result<String>;
}

/// Reads files of a directory.
#[derive(Clone, Debug)]
pub struct Directory(pub std::path::PathBuf);

impl FileLoader for Directory {
    fn load(&self, path: &str) -> std::io::Result<String> {
        read_limited(&self.0.join(path))
    }
}

/// For scenarios that stand alone: no file can be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl FileLoader for NoFiles {
    fn load(&self, _path: &str) -> std::io::Result<String> {
        Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "this scenario has no directory"))
    }
}

/// Reads the scenario at `path`, and the files that it names.
///
/// # Errors
/// The file cannot be read, or is no scenario.
pub fn load(path: &Path) -> Result<Scenario, ScenarioError> {
    let name = path.display().to_string();
    let text = read_limited(path).map_err(|reason| {
        let source = Arc::new(SourceFile { path: name.clone(), text: String::new() });
        let problem = Problem::Unreadable { path: name.clone(), reason: reason.to_string() };
        ScenarioError::new(&source, 0..0, problem, "this file").with_help("give the path of a scenario file")
    })?;
    let directory = path.parent().map_or_else(std::path::PathBuf::new, Path::to_path_buf);
    parse(&name, &text, &Directory(directory))
}

/// Reads a scenario from `text`; `name` is what messages call it.
///
/// # Errors
/// The text is no scenario.
pub fn parse(name: &str, text: &str, loader: &dyn FileLoader) -> Result<Scenario, ScenarioError> {
    let source = Arc::new(SourceFile { path: name.to_owned(), text: text.to_owned() });
    lower::scenario(&source, loader)
}

/// Reads a file of text, but no more than a little over the limit, which is then found to be exceeded.
fn read_limited(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(yaml::FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        std::io::Error::new(std::io::ErrorKind::InvalidData, format!("not UTF-8 text (byte {at})"))
    })
}
