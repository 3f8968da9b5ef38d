//! What the pods of a Job find in them, read from what an operator has really written: the ConfigMap that their container with Flux mounts, and
//! the headless service. A list of hosts that is wrong there means brokers that do not join.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use towtank_flux::Scheduler;
use towtank_flux::overlay::Quorum;
use towtank_minicluster::brokers::Boot;
use towtank_minicluster::fleet::Pid1;
use towtank_minicluster::workload::Workload;

/// Where the container with Flux has the files.
const SCRIPTS: &str = "/flux_operator";

/// What of `broker.toml` decides something.
#[derive(Deserialize)]
struct BrokerToml {
    bootstrap: Bootstrap,
    #[serde(rename = "sched-fluxion-qmanager")]
    queues: Option<Queues>,
}

#[derive(Deserialize)]
struct Bootstrap {
    hosts: Vec<Host>,
}

#[derive(Deserialize)]
struct Host {
    host: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Queues {
    queue_policy: Option<String>,
}

/// The names of what the pods of a Job's template have from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sources {
    /// The ConfigMap at [`SCRIPTS`].
    pub(super) config_map: String,
    /// The headless service.
    pub(super) service: String,
    /// The labels that the service must select.
    pub(super) labels: BTreeMap<String, String>,
    /// The container runs the script `entrypoint.sh` as its first process.
    pub(super) runs_entrypoint: bool,
}

impl Sources {
    /// Of a Job; `None`: its first container is none with Flux.
    pub(super) fn of(job: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let template = job.pointer("/spec/template")?;
        let spec = template.get("spec")?;
        let container = spec.pointer("/containers/0")?;
        let mounts = container.get("volumeMounts")?.as_array()?;
        let mount = mounts.iter().find(|mount| mount["mountPath"].as_str().map(trimmed) == Some(SCRIPTS))?;
        let volumes = spec.get("volumes")?.as_array()?;
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"])?;
        let labels = template.pointer("/metadata/labels").and_then(Value::as_object);
        let command = ["command", "args"].map(|field| container[field].to_string()).concat();
        Some(Self {
            config_map: text(volume.pointer("/configMap/name")?),
            service: text(&spec["subdomain"]),
            labels: labels.into_iter().flatten().map(|(label, value)| (label.clone(), text(value))).collect(),
            runs_entrypoint: command.contains("entrypoint.sh"),
        })
    }

    /// Whether this service gives the pods their names.
    pub(super) fn are_found_by(&self, service: &Value) -> bool {
        let selects = |(label, value): (&String, &Value)| {
            self.labels.get(label).map(String::as_str) == value.as_str()
                // Kubernetes puts these on pods of Jobs.
                || label.starts_with("batch.kubernetes.io/") || label == "job-name"
        };
        let selector = service.pointer("/spec/selector").and_then(Value::as_object);
        selector.is_some_and(|selector| !selector.is_empty() && selector.iter().all(selects))
    }
}

fn trimmed(path: &str) -> &str {
    path.trim_end_matches('/')
}

/// What the files of a ConfigMap come to.
///
/// # Errors
///
/// What a broker would stumble over.
pub(super) fn read(
    name: &str,
    config_map: &Value,
    runs_entrypoint: bool,
    has_dns: bool,
) -> Result<Boot, String> {
    let file = |name: &str| config_map.pointer("/data")?.get(name)?.as_str();
    let missing = |name: &str| format!("{name} is not in the ConfigMap");
    let toml = file("broker.toml").ok_or_else(|| missing("broker.toml"))?;
    let toml: BrokerToml = toml::from_str(toml).map_err(|error| format!("broker.toml: {error}"))?;
    let hosts: Vec<String> = toml.bootstrap.hosts.into_iter().map(|host| host.host).collect();
    let hosts = hosts.join(",").parse().map_err(|error| format!("broker.toml: hosts: {error}"))?;
    let mut boot = Boot::new(name, hosts);
    boot.has_dns = has_dns;
    boot.pid1 = if runs_entrypoint { Pid1::Entrypoint } else { Pid1::Shell };
    for option in file("broker.options").unwrap_or_default().lines() {
        let Some((attribute, value)) = option.trim().strip_prefix("-S").and_then(|it| it.split_once('='))
        else {
            continue;
        };
        let wrong = |error: &dyn std::fmt::Display| format!("broker.options: {option}: {error}");
        match attribute {
            // For a Flux that wants an idset there the script writes one (Flux spec I).
            "broker.quorum" => boot.quorum = Quorum::Size(value.parse().map_err(|error| wrong(&error))?),
            "tbon.topo" => boot.topology = value.parse().map_err(|error| wrong(&error))?,
            "tbon.fanout" => {
                boot.topology = format!("kary:{value}").parse().map_err(|error| wrong(&error))?;
            }
            _ => {}
        }
    }
    let settings = file("settings.sh").unwrap_or_default();
    let is_set = |name: &str| settings.lines().any(|line| is_assigned(line, name));
    boot.completes_workers = is_set("TOWTANK_COMPLETE_WORKERS");
    boot.is_strict = is_set("TOWTANK_STRICT");
    let policy = toml.queues.and_then(|queues| queues.queue_policy).unwrap_or_else(|| "fcfs".to_owned());
    boot.scheduler = match is_set("TOWTANK_SIMPLE") {
        true => Scheduler::Simple,
        false => format!("fluxion-{policy}").parse().map_err(|_| format!("broker.toml: policy {policy}"))?,
    };
    boot.lead = match file("lead.command") {
        None => Ok(None),
        Some(command) => Workload::read(command, file("batch.sh")).map(Some),
    };
    Ok(boot)
}

/// A line of shell that gives this variable a value that is not empty.
fn is_assigned(line: &str, name: &str) -> bool {
    let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
    value.is_some_and(|value| !value.trim().trim_matches(['\'', '"']).is_empty())
}
