//! The ConfigMap: what brokers and scripts read in the pods. It is kept up to date with the spec (A.11.12).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use towtank_api::{Container, MiniCluster, MiniClusterSpec};

use super::broker::{root, rundir, some_or};
use super::{
    Created, SCRIPTS, broker_options, broker_toml, config_map_name, flux_container, hostlist, metadata,
    sidecars,
};

const ENTRYPOINT: &str = include_str!("../../scripts/entrypoint.sh");
const INIT: &str = include_str!("../../scripts/init.sh");
const READY: &str = include_str!("../../scripts/ready.sh");
const SIDECAR: &str = include_str!("../../scripts/sidecar.sh");

/// The ConfigMap of a MiniCluster that has this size now.
pub fn config_map(cluster: &MiniCluster, created: Created, size: i32) -> ConfigMap {
    let spec = &cluster.spec;
    let mut data = BTreeMap::new();
    let mut put = |key: &str, text: String| data.insert(key.to_owned(), text);
    put("entrypoint.sh", ENTRYPOINT.to_owned());
    put("init.sh", INIT.to_owned());
    put("ready.sh", READY.to_owned());
    put("settings.sh", settings(cluster));
    put("broker.toml", broker_toml(cluster, created));
    put("broker.options", lines(&broker_options(spec, created, size)));
    put("hostlist", lines(&[hostlist(&cluster.name_any(), spec, created)]));
    if let Some(command) = lead_command(spec, created.size) {
        put("lead.command", lines(&[command]));
    }
    if let Some(container) = flux_container(spec) {
        if container.batch {
            put("batch.sh", batch(container));
        }
        for (key, text) in commands(container) {
            put(key, lines(&[text]));
        }
    }
    if sidecars(spec).next().is_some() || !spec.services.is_empty() {
        put("sidecar.sh", SIDECAR.to_owned());
    }
    for (position, container) in sidecars(spec) {
        put(&format!("start-{position}.sh"), start(container));
    }
    for (position, container) in spec.services.iter().enumerate() {
        put(&format!("service-{position}.sh"), start(container));
    }
    let mut metadata = metadata(cluster, config_map_name(&cluster.name_any()));
    metadata.annotations = Some(created.annotations());
    ConfigMap { metadata, data: Some(data), ..ConfigMap::default() }
}

/// What the lead runs inside of Flux; nothing when it waits for its users (A.6).
pub fn lead_command(spec: &MiniClusterSpec, created_size: i32) -> Option<String> {
    let container = flux_container(spec).filter(|_| !spec.interactive)?;
    if !container.commands.script.is_empty() {
        return Some(format!("bash {SCRIPTS}/script.sh"));
    }
    let command = container.command.trim();
    if command.is_empty() {
        return None;
    }
    if container.launcher {
        return Some(command.to_owned());
    }
    let flags = flags(spec, created_size);
    if container.batch {
        return Some(format!(
            "flux batch {flags} --flags waitable {SCRIPTS}/batch.sh && flux job wait --all"
        ));
    }
    let submit = some_or(&spec.flux.submit_command, "flux submit");
    let time = if spec.logging.timed { "/usr/bin/time -p " } else { "" };
    Some(format!("{time}{submit} {flags} --quiet --watch {command}"))
}

/// How much the lead asks for: as many nodes as the MiniCluster had pods when it was created.
fn flags(spec: &MiniClusterSpec, size: i32) -> String {
    let mut flags = match spec.tasks {
        0 => format!("-N {size}"),
        tasks if tasks >= size => format!("-N {size} -n{tasks}"),
        tasks => format!("-n{tasks}"),
    };
    if spec.logging.debug {
        flags.push_str(" -vvv");
    }
    if !spec.flux.option_flags.is_empty() {
        flags.push(' ');
        flags.push_str(&spec.flux.option_flags);
    }
    flags
}

/// The script of a batch: each line is submitted, and a job that fails makes it fail (A.11.11).
fn batch(container: &Container) -> String {
    if container.batch_raw {
        return format!("#!/bin/bash\n{}\n", container.command.trim_end());
    }
    let logs = some_or(&container.logs, "/tmp/fluxout");
    let mut script = format!("#!/bin/bash\nmkdir -p {}\n", shell(logs));
    let commands = container.command.lines().map(str::trim);
    for (number, line) in commands.filter(|line| !line.is_empty() && !line.starts_with('#')).enumerate() {
        script.push_str(&format!(
            "flux submit --flags waitable --error {logs}/job-{number}.err --output {logs}/job-{number}.out {line}\n",
            logs = shell(logs),
        ));
    }
    script.push_str("flux queue idle\nflux job wait --all\n");
    script
}

/// What users have run in the container with Flux, besides its command.
fn commands(container: &Container) -> impl Iterator<Item = (&'static str, String)> {
    let commands = &container.commands;
    [
        ("script.sh", &commands.script),
        ("command-init.sh", &commands.init),
        ("command-pre.sh", &commands.pre),
        ("command-post.sh", &commands.post),
        ("command-worker-pre.sh", &commands.worker_pre),
        ("command-broker-pre.sh", &commands.broker_pre),
    ]
    .into_iter()
    .filter(|(_, text)| !text.is_empty())
    .map(|(key, text)| (key, text.clone()))
}

/// What a container without Flux runs, once Flux is there.
fn start(container: &Container) -> String {
    let commands = &container.commands;
    let mut script = format!("#!/bin/bash\n. {SCRIPTS}/sidecar.sh\n");
    let parts = [
        &commands.init,
        &commands.service_pre,
        &commands.pre,
        &commands.script,
        &container.command,
        &commands.post,
    ];
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        script.push_str(part.trim_end());
        script.push('\n');
    }
    script
}

/// What the scripts are told.
fn settings(cluster: &MiniCluster) -> String {
    let spec = &cluster.spec;
    let container = flux_container(spec);
    let commands = container.map(|container| container.commands.clone()).unwrap_or_default();
    let flag = |is_set: bool| if is_set { "1" } else { "" }.to_owned();
    let lead = &spec.flux.bursting.lead_broker;
    let settings = [
        ("TOWTANK_CLUSTER", cluster.name_any()),
        ("TOWTANK_MOUNT", spec.flux.container.mount_path.trim_end_matches('/').to_owned()),
        ("TOWTANK_ROOT", root(spec)),
        ("TOWTANK_RUNDIR", rundir(spec)),
        ("TOWTANK_QUIET", flag(spec.logging.quiet)),
        ("TOWTANK_STRICT", flag(spec.logging.strict)),
        ("TOWTANK_COMPLETE_WORKERS", flag(spec.flux.complete_workers)),
        // The brokers of a cluster that another bursts to are all workers (E.3).
        ("TOWTANK_HAS_LEAD", flag(lead.address.is_empty())),
        ("TOWTANK_VIEW", flag(!spec.flux.container.disable)),
        ("TOWTANK_SIMPLE", flag(spec.flux.scheduler.simple)),
        ("TOWTANK_WAIT_SOCKET", flag(!spec.flux.no_wait_socket && !spec.flux.disable_socket)),
        ("TOWTANK_ARCHIVE", spec.archive.path.clone()),
        ("TOWTANK_PREFIX", commands.prefix),
        ("TOWTANK_WRAP", spec.flux.wrap.clone()),
        ("TOWTANK_PYTHONPATH", spec.flux.container.python_path.clone()),
        ("TOWTANK_RETRY_SECONDS", "15".to_owned()),
    ];
    let mut text: String =
        settings.iter().map(|(name, value)| format!("{name}={}\n", shell(value))).collect();
    for (name, value) in &spec.flux.environment {
        // A name that is none would end the script.
        if is_variable(name) {
            text.push_str(&format!("export {name}={}\n", shell(value)));
        }
    }
    text
}

fn is_variable(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A word of the shell.
fn shell(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}
