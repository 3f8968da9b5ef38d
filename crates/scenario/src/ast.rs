//! A scenario after parsing and validation: what the worlds play. Everything that a message may have to point at
//! carries its place in the source.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

pub use towtank_flux::FluxVersion;
pub use towtank_minicluster::fleet::{Operator, Pid1};
pub use towtank_minicluster::spec::MiniClusterSpec;
pub use towtank_model::cluster::{NodeChange, Signal};
pub use towtank_model::job::{FaultPlan, WatchKind};
use towtank_model::objects::{ConditionStatus, ObjectKey, PodPhase};
use towtank_model::server::{JobManifest, PodManifest, Propagation};

pub use crate::release::{Release, Stack, VersionRange};

/// A value and the bytes of the source that it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Byte range in the scenario file.
    pub span: Range<usize>,
}

/// One scenario file.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// `metadata.name`.
    pub name: String,
    /// The file's text, for messages.
    pub source: Arc<SourceFile>,
    /// `spec.about`: one sentence that says the truth.
    pub about: String,
    /// `spec.source`: where the story comes from.
    pub origin: String,
    /// `spec.kubernetes`: versions it is true of.
    pub versions: VersionRange,
    /// `spec.cluster`.
    pub cluster: ClusterSpec,
    /// `spec.workloads`: what the containers do.
    pub workloads: Vec<WorkloadRule>,
    /// `spec.steps`, at least one; at least one expectation overall.
    pub steps: Vec<Step>,
}

impl Scenario {
    /// All that it is to be played with, of the versions that are wanted: by version of Flux, then of Kubernetes, oldest first.
    pub fn stacks(&self, kubernetes: VersionRange, flux: VersionRange<FluxVersion>) -> Vec<Stack> {
        let of_flux: Vec<Option<FluxVersion>> = match self.has_miniclusters() {
            true => {
                let told = self.cluster.flux.versions.versions().into_iter();
                told.filter(|version| flux.contains(*version)).map(Some).collect()
            }
            false => vec![None],
        };
        let told: Vec<_> = self.versions.versions();
        let kubernetes = told.into_iter().filter(|version| kubernetes.contains(*version));
        let beside = |flux| kubernetes.clone().map(move |kubernetes| Stack { kubernetes, flux });
        of_flux.into_iter().flat_map(beside).collect()
    }

    /// What the reference is recorded with: all versions of Kubernetes, and the oldest Flux that it is true of.
    pub fn recorded_stacks(&self) -> Vec<Stack> {
        self.stacks(VersionRange::ALL, VersionRange::only(self.cluster.flux.versions.first))
    }

    /// What its pods run is what the production operator puts into them: nothing is asked for that only others do.
    pub fn is_of_the_production_operator(&self) -> bool {
        let FluxSpec { pid1, has_view, .. } = self.cluster.flux;
        self.cluster.operator == Operator::Contract && pid1 == Pid1::Entrypoint && has_view
    }

    /// Some step applies a MiniCluster.
    pub fn has_miniclusters(&self) -> bool {
        self.steps.iter().any(|step| match &step.action.value {
            Action::Apply(manifests) => {
                manifests.iter().any(|manifest| matches!(manifest, Manifest::MiniCluster(..)))
            }
            _ => false,
        })
    }
}

/// A scenario file's name and text.
#[derive(Debug)]
pub struct SourceFile {
    /// Path as the user gave it.
    pub path: String,
    /// The text.
    pub text: String,
}

/// Whether the timing of a scenario is a file and no profile of a name: JSON of `towtank calibrate`, or YAML with Stages of KWOK.
pub fn is_timing_file(timing: &str) -> bool {
    [".json", ".yaml", ".yml"].iter().any(|ending| timing.ends_with(ending))
}

/// `spec.cluster`.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterSpec {
    /// Number of nodes; they are called `node-0`, `node-1`, ….
    pub nodes: u32,
    /// Cores that pods may request on each.
    pub cores_per_node: u32,
    /// Pods that each may hold.
    pub pods_per_node: u32,
    /// Name of the timing profile: `instant`, `virtual`, `kind` or `gke`; or the path of a file that holds one (see [`is_timing_file`]).
    pub timing: String,
    /// The nodes are containers of one machine.
    pub is_one_machine: bool,
    /// `spec.cluster.featureGates`.
    pub feature_gates: Vec<(String, bool)>,
    /// Requests per second of the Job controller's client; `None`: no limit.
    pub controller_qps: Option<u32>,
    /// Burst of the same.
    pub controller_burst: u32,
    /// `spec.cluster.faults`: calls of the Job controller that go wrong.
    pub faults: FaultPlan,
    /// `spec.cluster.flux`: what is in the images of MiniClusters.
    pub flux: FluxSpec,
    /// `spec.cluster.compat`: whose operator looks after MiniClusters.
    pub operator: Operator,
    /// `spec.cluster.operatorReplicas`: with more than one, they elect a leader.
    pub operator_replicas: u32,
    /// `pods: manual`: there is no scheduler and no kubelet; pods keep the phase that steps set (`phase`, `succeed`,
    /// `fail`, which then work on Pending pods too), as in upstream's integration tests.
    pub manual_pods: bool,
}

/// `spec.cluster.flux`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FluxSpec {
    /// Versions of flux-core that it is true of.
    pub versions: VersionRange<FluxVersion>,
    /// What gets SIGTERM in the pods.
    pub pid1: Pid1,
    /// An init container copies Flux into the pods; without it, Flux is in their image.
    pub has_view: bool,
}

/// One entry of `spec.workloads`: the first that matches a new pod decides what its containers do. Without any, a
/// container runs until it is told to stop and ends with code 143 at SIGTERM.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadRule {
    /// Only pods of this Job.
    pub job: Option<String>,
    /// Only these indexes, in the text format of index sets.
    pub indexes: Option<String>,
    /// Only the nth pod (from 1) of its index.
    pub incarnation: Option<u32>,
    /// What they do.
    pub behaviour: towtank_model::cluster::Behaviour,
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// `name`, unique in the scenario.
    pub name: Spanned<String>,
    /// What is done.
    pub action: Spanned<Action>,
    /// What must be seen.
    pub expect: Vec<Expectation>,
}

/// A pod as a scenario names it. Names that the API server generates cannot be written down, so a pod is known by its
/// Job, its index and which pod of that index it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodRef {
    /// `JOB-INDEX` or `{job, index, incarnation}`: the newest pod of that index, or the nth (from 1).
    Indexed {
        /// The Job.
        job: String,
        /// The completion index.
        index: u32,
        /// Which pod of that index.
        incarnation: Option<u32>,
    },
    /// `{job, number}`: the nth pod (from 1) of a NonIndexed Job in order of creation.
    Numbered {
        /// The Job.
        job: String,
        /// Its number.
        number: u32,
    },
    /// `{name}`: a pod that a step created by name.
    Named(String),
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Action {
    /// `apply`: create, or update what exists (server-side: only fields of the manifest change).
    Apply(Vec<Manifest>),
    /// `patch: {job, spec}`: a merge patch of a Job's spec.
    PatchJob {
        /// The Job.
        job: String,
        /// The merge patch of `spec`, as JSON, already checked against the API's fields.
        spec: serde_json::Value,
        /// What it sets.
        manifest: Box<JobManifest>,
    },
    /// `scale: {job, to}` sets completions and parallelism; `{job, parallelism}` sets parallelism alone.
    Scale {
        /// The Job.
        job: String,
        /// New completions.
        completions: Option<i32>,
        /// New parallelism.
        parallelism: i32,
    },
    /// `patch: {minicluster, spec}`: a merge patch of a MiniCluster's spec.
    PatchMiniCluster {
        /// The MiniCluster.
        name: String,
        /// What it sets.
        edit: MiniClusterEdit,
    },
    /// `delete: {minicluster}`.
    DeleteMiniCluster {
        /// The MiniCluster.
        name: String,
    },
    /// `flux: COMMAND`: typed at the lead of the only MiniCluster, or of the one named.
    Flux {
        /// The MiniCluster.
        minicluster: String,
        /// The command line, beginning with `flux`.
        command: String,
    },
    /// `flux exec: {rank, signal}`: a signal for the broker of a rank, not for the script around it.
    FluxExec {
        /// The MiniCluster.
        minicluster: String,
        /// The rank.
        rank: u32,
        /// The signal.
        signal: Signal,
    },
    /// `delete: {job}`.
    DeleteJob {
        /// The Job.
        job: String,
        /// How its pods are treated.
        propagation: Propagation,
    },
    /// `delete: {pod}` or `{pods: [...]}`: one after the other, at the same instant.
    DeletePods {
        /// The pods, at least one.
        pods: Vec<Spanned<PodRef>>,
        /// Grace period in seconds; the pod's own when absent; 0 with `force`.
        grace_period_s: Option<u32>,
    },
    /// `signal: {pod, signal}`: to the main process of the first container.
    Signal {
        /// The pods, at least one.
        pods: Vec<Spanned<PodRef>>,
        /// The signal.
        signal: Signal,
    },
    /// `succeed: {pod}`, `{pods: [...]}`, or just the pod or the list: the containers end with code 0.
    Succeed {
        /// The pods, at least one.
        pods: Vec<Spanned<PodRef>>,
    },
    /// `fail: {pod, exitCode, container, condition}`: a container ends with this code.
    Fail {
        /// The pods, at least one.
        pods: Vec<Spanned<PodRef>>,
        /// Its exit code.
        exit_code: i32,
        /// Which container, the first when absent.
        container: Option<String>,
        /// A condition that the kubelet sets with it.
        condition: Option<(String, ConditionStatus)>,
    },
    /// `phase: {pod, phase, ready}`: with `pods: manual`, what a kubelet would report.
    SetPhase {
        /// The pods, at least one.
        pods: Vec<Spanned<PodRef>>,
        /// The new phase.
        phase: PodPhase,
        /// The Ready condition; when absent it is True for Running and False otherwise.
        ready: Option<bool>,
    },
    /// `evict: {pod}`: through the eviction API.
    Evict {
        /// The pods, at least one.
        pods: Vec<Spanned<PodRef>>,
    },
    /// `editPod: {pod, labels, removeFinalizer}`: what a user may change in a pod.
    EditPod {
        /// The pod.
        pod: PodRef,
        /// Labels to set, or to remove with null.
        labels: Vec<(String, Option<String>)>,
        /// Take this finalizer off.
        remove_finalizer: Option<String>,
    },
    /// `node: {…}`.
    Node {
        /// Its name.
        name: String,
        /// What happens to it.
        change: NodeChange,
    },
    /// `controller: restart|stop|start`: the Job controller's process.
    Controller(ControllerChange),
    /// `cache: {hold: pods}` / `{release: jobs}`: the Job controller's watch of a kind stands still, or catches up.
    Cache {
        /// `pods` rather than `jobs`.
        kind: WatchKind,
        /// Hold rather than release.
        hold: bool,
    },
    /// `operator: …`: the operator's processes and watches, and what goes wrong for them.
    Operator(OperatorChange),
    /// `namespace: {terminate: default}`.
    TerminateNamespace(String),
    /// `wait: 10s`.
    Wait(Duration),
    /// No action: the step only expects.
    Observe,
}

/// What happens to the controller's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControllerChange {
    /// Stop and start at once.
    Restart,
    /// Stop.
    Stop,
    /// Start.
    Start,
}

/// What happens to the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorChange {
    /// Processes stop and start at once.
    Restart(Replicas),
    /// Processes stop.
    Stop(Replicas),
    /// All that have stopped start.
    Start,
    /// The watches of all stand still.
    Hold,
    /// They catch up.
    Release,
    /// Requests and events that go wrong from now on.
    Faults(Vec<OperatorFault>),
}

/// Which replicas of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replicas {
    /// All.
    All,
    /// The one that leads.
    Leader,
}

/// Something that goes wrong once for the operator, whichever replica it meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorFault {
    /// Resource, with its subresource if there is one: `miniclusters/status`.
    pub resource: &'static str,
    /// Which request or event of this kind from now on, from 1.
    pub nth: u32,
    /// What goes wrong.
    pub fault: OperatorFaultKind,
}

/// What goes wrong for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorFaultKind {
    /// A request with this verb of RBAC.
    Call(&'static str, RequestFault),
    /// An event of a watch.
    Watch(WatchFault),
}

/// What becomes of a request. With `executed` the server carries it out, without it does not and never will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFault {
    /// 409, as if another had written first.
    Conflict,
    /// The answer is an error of the server.
    Error {
        /// See the type.
        executed: bool,
    },
    /// The answer is 504 after a minute.
    Timeout {
        /// See the type.
        executed: bool,
    },
    /// The connection breaks.
    Broken {
        /// See the type.
        executed: bool,
    },
    /// The operator's process ends, and starts again a second later.
    Crash {
        /// See the type.
        executed: bool,
    },
    /// It arrives so much later.
    Delay(Duration),
}

/// What becomes of an event of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFault {
    /// The connection ends before it.
    Broken,
    /// The server has forgotten the version from which the watch should go on (410).
    Expired,
    /// It, and those after it, arrive so much later.
    Delay(Duration),
}

/// An object to apply.
#[derive(Clone, Debug)]
pub enum Manifest {
    /// A `batch/v1` Job.
    Job(ObjectKey, Box<JobManifest>),
    /// A `v1` Pod.
    Pod(ObjectKey, Box<PodManifest>),
    /// A `flux-framework.org/v1alpha2` MiniCluster.
    MiniCluster(ObjectKey, Box<MiniClusterManifest>),
}

/// A MiniCluster as it is applied.
#[derive(Clone, Debug)]
pub struct MiniClusterManifest {
    /// What the model takes over of it.
    pub spec: MiniClusterSpec,
    /// All of it, as it is written.
    pub object: serde_json::Value,
}

/// What a patch of a MiniCluster's spec sets: the fields that can change while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MiniClusterEdit {
    /// `size`.
    pub size: Option<i32>,
    /// `maxSize`; null: none.
    pub max_size: Option<Option<i32>>,
    /// `minSize`; null: none.
    pub min_size: Option<Option<i32>>,
}

/// One expectation. All its clauses must hold at the same instant.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Its place.
    pub span: Range<usize>,
    /// Versions it speaks of; all of the scenario's when absent.
    pub versions: Option<VersionRange>,
    /// Versions of flux-core it speaks of; all of the scenario's when absent.
    pub flux: Option<VersionRange<FluxVersion>>,
    /// When it must hold.
    pub when: When,
    /// What must hold.
    pub clauses: Vec<Clause>,
}

/// When the clauses of an expectation must hold. Times count from the step's action.
#[derive(Clone, Debug)]
pub enum When {
    /// Right after the action, or after the expectation before.
    Now,
    /// `within`: at some instant up to this time; the scenario goes on from the first such instant.
    Within(Duration),
    /// `at`: exactly then (virtual worlds only).
    At(Duration),
    /// `holds: {for, that}`: at every instant of this length of time from now on; the scenario goes on from its end.
    Holds(Duration),
    /// `never`: at no instant from the action until the scenario ends.
    Never,
    /// `before: {first, then}`: `clauses[0]` becomes true strictly before `clauses[1]` does; both do before the
    /// scenario ends, counted from the action.
    Before,
}

/// One clause.
#[derive(Clone, Debug)]
pub struct Clause {
    /// Its place.
    pub span: Range<usize>,
    /// What it says.
    pub claim: Claim,
}

/// What a clause says.
#[derive(Clone, Debug)]
pub enum Claim {
    /// A pasted table.
    Table(Table),
    /// `job: {…}`: fields of a Job's status.
    Job {
        /// `job.name`; the only Job of the scenario when absent.
        name: Option<String>,
        /// Fields and what they must be, in order.
        fields: Vec<Spanned<JobClaim>>,
    },
    /// A condition in CEL over one observation.
    Cel(CelExpression),
    /// `refused: {field, type, message}`: the step's action was refused by the API server.
    Refused(RefusedClaim),
}

impl Claim {
    /// It says that the step's action is refused.
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// One field of a `job:` clause.
#[derive(Clone, Debug, PartialEq)]
pub enum JobClaim {
    /// `active`.
    Active(i32),
    /// `ready`.
    Ready(i32),
    /// `succeeded`.
    Succeeded(i32),
    /// `failed`.
    Failed(i32),
    /// `terminating`; null: not reported.
    Terminating(Option<i32>),
    /// `completedIndexes`.
    CompletedIndexes(String),
    /// `failedIndexes`; null: not reported.
    FailedIndexes(Option<String>),
    /// `conditions`: exactly these types are True, in this order, with this reason when one is given as `Type/Reason`.
    Conditions(Vec<(String, Option<String>)>),
    /// `suspended`: the Suspended condition; null: there is none.
    Suspended(Option<bool>),
}

/// A `refused:` clause; absent parts match anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusedClaim {
    /// Field path of one of the errors.
    pub field: Option<String>,
    /// Its type (`Invalid`, `Forbidden`, …), or the reason of an error without fields (`NotFound`, `Conflict`, …).
    pub kind: Option<String>,
    /// Part of its message.
    pub message: Option<String>,
}

/// A compiled CEL expression that yields a bool.
#[derive(Clone, Debug)]
pub struct CelExpression {
    /// Its text.
    pub text: String,
    /// Ready to run.
    pub program: Arc<cel::Program>,
    /// Parts that must all be true, and that do not speak of all pods or events: they are looked at first.
    pub(crate) brief: Vec<Arc<cel::Program>>,
}

/// A table as pasted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The command whose output it is.
    pub command: TableCommand,
    /// The MiniCluster at whose lead it is typed, for commands of Flux.
    pub minicluster: Option<String>,
    /// Column heads, upper case.
    pub columns: Vec<String>,
    /// Rows, one cell per column.
    pub rows: Vec<TableRow>,
}

/// A row of a pasted table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRow {
    /// One cell per column.
    pub cells: Vec<String>,
    /// Its place.
    pub span: Range<usize>,
}

/// Commands whose tables can be pasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableCommand {
    /// `kubectl get pods`.
    Pods,
    /// `kubectl get jobs`.
    Jobs,
    /// `kubectl get nodes`.
    Nodes,
    /// `kubectl get events`: REASON, TYPE, OBJECT, MESSAGE, COUNT.
    Events,
    /// `flux resource list`: STATE, NNODES, NCORES, NGPUS, NODELIST.
    FluxResourceList,
    /// `flux resource status`: STATE, UP, NNODES, NODELIST.
    FluxResourceStatus,
    /// `flux resource drain`: TIME, STATE, REASON, NODELIST.
    FluxResourceDrain,
    /// `flux jobs -a`: JOBID, USER, NAME, ST, NTASKS, NNODES, TIME, INFO.
    FluxJobs,
    /// `flux overlay status`: a tree of ranks and their states, compared line by line.
    FluxOverlayStatus,
    /// `flux hostlist`: the hosts of the instance, compared line by line.
    FluxHostlist,
}
