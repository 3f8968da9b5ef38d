//! What the API server refuses: rules in CEL, each with a message that says what would be right (A.2, A.8).
//!
//! The original prints most of these to its own log and does nothing. Other simple limits are in the schema.
//! Rules that go through lists are cheap enough for the API server's budget because the lists have limits.

/// A rule of the resource.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Where it stands in the schema, by names of properties; `[]` is an item of a list or a value of a map.
    pub place: &'static [&'static str],
    /// True for what is taken.
    pub rule: &'static str,
    /// What would be right; an expression of CEL when it begins with `'`, without `+`: whose cost the API server cannot bound.
    pub message: &'static str,
    /// The field that is wrong, seen from the place.
    pub field: Option<&'static str>,
}

const ROOT: &[&str] = &[];
const SPEC: &[&str] = &["spec"];
const CONTAINER: &[&str] = &["spec", "containers", "[]"];
const BURSTING: &[&str] = &["spec", "flux", "bursting"];

/// A field of the spec that cannot change after the creation.
macro_rules! fixed {
    ($field:literal, $taken:literal) => {
        Rule {
            place: SPEC,
            rule: concat!(
                "has(self.",
                $field,
                ") == has(oldSelf.",
                $field,
                ") && (!has(self.",
                $field,
                ") || self.",
                $field,
                " == oldSelf.",
                $field,
                ")"
            ),
            message: concat!("cannot change: ", $taken),
            field: Some(concat!(".", $field)),
        }
    };
}

/// All of them.
pub const RULES: &[Rule] = &[
    // A size that was taken before the maximum was told stays, or the status that tells it would be refused.
    Rule {
        place: ROOT,
        rule: "has(self.spec.maxSize) || !has(self.status) || self.status.maximumSize < 1 || self.spec.size <= self.status.maximumSize || self.spec.size == oldSelf.spec.size",
        message: "'must be no more than {}, the maximum since the MiniCluster was created'.replace('{}', string(self.status.maximumSize))",
        field: Some(".spec.size"),
    },
    Rule {
        place: ROOT,
        rule: "size(self.metadata.name) <= 52",
        message: "metadata.name must be no more than 52 characters: pods, hosts and objects are named after it",
        field: None,
    },
    Rule {
        place: ROOT,
        rule: "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        message: "metadata.name must be a DNS label that begins with a letter (such as flux-sample): pods, hosts and objects are named after it",
        field: None,
    },
    Rule {
        place: SPEC,
        rule: "self.size <= 100000",
        message: "must be no more than 100000, the parallelism that an Indexed Job can have",
        field: Some(".size"),
    },
    Rule {
        place: SPEC,
        rule: "!has(self.maxSize) || self.maxSize <= 100000",
        message: "must be no more than 100000, the parallelism that an Indexed Job can have",
        field: Some(".maxSize"),
    },
    Rule {
        place: SPEC,
        rule: "self.size >= 1",
        message: "must be at least 1: delete the MiniCluster to have no pods",
        field: Some(".size"),
    },
    Rule {
        place: SPEC,
        rule: "!has(self.maxSize) || self.size <= self.maxSize",
        message: "'must be no more than maxSize, {}'.replace('{}', string(self.maxSize))",
        field: Some(".size"),
    },
    Rule {
        place: SPEC,
        rule: "!has(self.minSize) || (has(self.maxSize) && self.minSize > self.maxSize) || self.size >= self.minSize",
        message: "'must be no less than minSize, {}'.replace('{}', string(self.minSize))",
        field: Some(".size"),
    },
    Rule {
        place: SPEC,
        rule: "!has(self.minSize) || !has(self.maxSize) || self.minSize <= self.maxSize",
        message: "'must be no more than maxSize, {}'.replace('{}', string(self.maxSize))",
        field: Some(".minSize"),
    },
    // Sizes and `cleanup` can change; Job, scripts and brokers took everything else when they were made, and a change that nothing
    // comes of is refused.
    fixed!("maxSize", "every broker was told of it when it started"),
    fixed!("flux", "the brokers took it when they started"),
    fixed!("interactive", "the brokers took it when they started"),
    fixed!("tasks", "the command was submitted with it"),
    fixed!("archive", "the brokers took it when they started"),
    fixed!("logging", "the script in the pods took it when it was made"),
    fixed!("backoffLimit", "the Job took it when it was made"),
    fixed!("deadlineSeconds", "the Job took it when it was made"),
    fixed!("jobLabels", "the Job took it when it was made"),
    fixed!("shareProcessNamespace", "the Job took it when it was made"),
    fixed!("network", "the Job took it when it was made"),
    fixed!("pod", "the Job took it when it was made"),
    fixed!("containers", "the Job took them when it was made"),
    fixed!("services", "their pod took them when it was made"),
    Rule {
        place: SPEC,
        rule: "size(self.containers) == 1 || size(self.containers.filter(c, has(c.runFlux) && c.runFlux)) == 1",
        message: "exactly one container must have runFlux: true",
        field: Some(".containers"),
    },
    Rule {
        place: SPEC,
        rule: "size(self.containers) == 1 || self.containers.all(c, (has(c.runFlux) && c.runFlux) || (has(c.name) && c.name != ''))",
        message: "a container without Flux needs a name",
        field: Some(".containers"),
    },
    Rule {
        place: SPEC,
        rule: "self.containers.all(c, !(size(self.containers) == 1 || (has(c.runFlux) && c.runFlux)) || !has(c.commands) || !has(c.commands.script) || c.commands.script == '' || !has(c.command) || c.command == '')",
        message: "commands.script stands in the place of command: write one of the two",
        field: Some(".containers"),
    },
    Rule {
        place: SPEC,
        rule: "self.containers.all(c, !((has(c.launcher) && c.launcher) || (has(c.batch) && c.batch)) || (has(c.command) && c.command != '' && (size(self.containers) == 1 || (has(c.runFlux) && c.runFlux))))",
        message: "launcher and batch need a command, and Flux in the same container",
        field: Some(".containers"),
    },
    Rule {
        place: SPEC,
        rule: "self.containers.all(c, !has(c.name) || c.name == '' || self.containers.exists_one(d, has(d.name) && d.name == c.name))",
        message: "two containers have the same name: each needs its own",
        field: Some(".containers"),
    },
    Rule {
        place: SPEC,
        rule: "!has(self.services) || self.services.all(c, has(c.name) && c.name != '')",
        message: "a service needs a name",
        field: Some(".services"),
    },
    Rule {
        place: SPEC,
        rule: "!has(self.services) || self.services.all(c, !has(c.name) || self.services.exists_one(d, has(d.name) && d.name == c.name))",
        message: "two services have the same name: each needs its own",
        field: Some(".services"),
    },
    Rule {
        place: SPEC,
        rule: "!has(self.services) || self.services.all(c, !has(c.commands) || !(has(c.commands.pre) || has(c.commands.brokerPre) || has(c.commands.workerPre)))",
        message: "a service runs no Flux, so it has no commands.pre, brokerPre or workerPre: commands.servicePre is what runs first in it",
        field: Some(".services"),
    },
    Rule {
        place: CONTAINER,
        rule: "!(has(self.launcher) && self.launcher && has(self.batch) && self.batch)",
        message: "a container is a launcher or a batch, not both",
        field: Some(".batch"),
    },
    Rule {
        place: CONTAINER,
        rule: "!(has(self.batchRaw) && self.batchRaw) || (has(self.batch) && self.batch)",
        message: "needs batch: true",
        field: Some(".batchRaw"),
    },
    Rule {
        place: &["spec", "containers", "[]", "volumes", "[]"],
        rule: "(has(self.path) && self.path != '') || (has(self.emptyDir) && self.emptyDir)",
        message: "needs a path, where in the container it is mounted, or emptyDir: true",
        field: None,
    },
    Rule {
        place: &["spec", "services", "[]", "volumes", "[]"],
        rule: "(has(self.path) && self.path != '') || (has(self.emptyDir) && self.emptyDir)",
        message: "needs a path, where in the container it is mounted, or emptyDir: true",
        field: None,
    },
    Rule {
        place: &["spec", "pod", "restartPolicy"],
        rule: "self in ['', 'OnFailure', 'Never']",
        message: "must be OnFailure or Never: the pods are a Job's",
        field: None,
    },
    Rule {
        place: &["spec", "flux", "scheduler", "queuePolicy"],
        rule: "self in ['', 'fcfs', 'easy', 'hybrid', 'conservative']",
        message: "must be fcfs, easy, hybrid or conservative",
        field: None,
    },
    Rule {
        place: &["spec", "flux", "topology"],
        rule: "self.matches('^(|flat|kary:[1-9][0-9]{0,4}|kary:0)$')",
        message: "must be `kary:K` or `flat`",
        field: None,
    },
    Rule {
        place: BURSTING,
        rule: "!has(self.hostlist) || self.hostlist == '' || !has(self.clusters) || size(self.clusters) == 0",
        message: "names all hosts, and so do clusters: write one of the two",
        field: Some(".hostlist"),
    },
    Rule {
        place: BURSTING,
        rule: "!has(self.clusters) || self.clusters.all(c, !has(c.name) || self.clusters.exists_one(d, has(d.name) && d.name == c.name))",
        message: "two clusters have the same name: each needs its own",
        field: Some(".clusters"),
    },
    Rule {
        place: &["spec", "flux", "bursting", "leadBroker"],
        rule: "!has(self.address) || self.address == '' || (has(self.name) && has(self.size) && self.size >= 1)",
        message: "address needs name and size: the hosts of the lead's cluster are made of them",
        field: None,
    },
];
