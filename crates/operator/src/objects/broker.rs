//! What brokers are told: their configuration and their options (A.5).

use kube::ResourceExt;
use towtank_api::{MiniCluster, MiniClusterSpec};

use super::{Created, PORT, headless_name, hostlist};

/// Root of Flux's configuration and state in a pod.
pub(crate) fn root(spec: &MiniClusterSpec) -> String {
    format!("{}/config", spec.flux.container.mount_path.trim_end_matches('/'))
}

/// The directory of a broker's sockets and of the marks that the script leaves.
pub(crate) fn rundir(spec: &MiniClusterSpec) -> String {
    format!("{}/run/flux", root(spec))
}

/// `broker.toml`.
pub fn broker_toml(cluster: &MiniCluster, created: Created) -> String {
    let spec = &cluster.spec;
    if !spec.flux.broker_config.is_empty() {
        return spec.flux.broker_config.clone();
    }
    let (root, name) = (root(spec), cluster.name_any());
    let service = format!(
        "{}.{}.svc.cluster.local",
        headless_name(cluster),
        cluster.namespace().unwrap_or_else(|| "default".to_owned())
    );
    // A service that leads to the lead alone has no names of pods; all brokers are below the lead then.
    let connect = if spec.flux.minimal_service { service } else { format!("%h.{service}") };
    let hosts = quoted(&hostlist(&name, spec, created));
    let lead = &spec.flux.bursting.lead_broker;
    let hosts = if lead.address.is_empty() || !spec.flux.bursting.hostlist.is_empty() {
        format!("hosts = [\n  {{ host = {hosts} }},\n]")
    } else {
        let port = lead.port.unwrap_or(PORT);
        let address = quoted(&lead.address);
        let (bind, connect) =
            (quoted(&format!("tcp://eth0:{port}")), quoted(&format!("tcp://{}:{port}", lead.address)));
        let others = hostlist(&name, spec, created);
        let others = quoted(others.split_once(',').map_or("", |(_, others)| others));
        format!(
            "hosts = [\n  {{ host = {address}, bind = {bind}, connect = {connect} }},\n  {{ host = {others} }},\n]"
        )
    };
    let policy = some_or(&spec.flux.scheduler.queue_policy, "fcfs");
    format!(
        "[access]\nallow-guest-user = true\nallow-root-owner = true\n\n\
         [resource]\npath = {r}\n\n\
         [bootstrap]\ncurve_cert = {curve}\ndefault_port = {PORT}\ndefault_bind = \"tcp://eth0:%p\"\n\
         default_connect = {connect}\n{hosts}\n\n\
         [archive]\ndbpath = {archive}\nperiod = \"1m\"\nbusytimeout = \"50s\"\n\n\
         [sched-fluxion-qmanager]\nqueue-policy = {policy}\n",
        r = quoted(&format!("{root}/etc/flux/system/R")),
        curve = quoted(&format!("{root}/curve/curve.cert")),
        connect = quoted(&format!("tcp://{connect}:%p")),
        archive = quoted(&format!("{root}/var/lib/flux/job-archive.sqlite")),
        policy = quoted(policy),
    )
}

/// Options of `flux broker`, on every rank.
pub fn broker_options(spec: &MiniClusterSpec, created: Created, size: i32) -> Vec<String> {
    let (root, flux) = (root(spec), &spec.flux);
    let mut options = vec![format!("-Scron.directory={root}/etc/flux/system/cron.d")];
    // A flat tree, up to 257 ranks.
    options.push(match flux.topology.as_str() {
        "" => "-Stbon.fanout=256".to_owned(),
        "flat" => "-Stbon.topo=kary:0".to_owned(),
        topology => format!("-Stbon.topo={topology}"),
    });
    options.push(format!("-Srundir={}", rundir(spec)));
    options.push(format!("-Sstatedir={root}/var/lib/flux"));
    if !flux.disable_socket {
        options.push(format!("-Slocal-uri=local://{}/local", rundir(spec)));
    }
    let level = if spec.logging.quiet { 0 } else { flux.log_level };
    options.push(format!("-Slog-stderr-level={level}"));
    options.push("-Slog-stderr-mode=local".to_owned());
    if !flux.connect_timeout.is_empty() {
        options.push(format!("-Stbon.connect_timeout={}", flux.connect_timeout));
    }
    if spec.interactive {
        options.push("-Sbroker.rc2_none".to_owned());
    }
    if spec.logging.zeromq {
        options.push("-Stbon.zmqdebug=1".to_owned());
    }
    options.push(format!("-Sbroker.quorum={}", quorum(spec, created, size)));
    options
}

/// Brokers that a lead which starts now waits for: `minSize`, else the size at the creation. Never more than are wanted now, so
/// that a lead that starts again in a smaller cluster does not wait for ever (A.8), and never ranks of other clusters (A.11.14).
fn quorum(spec: &MiniClusterSpec, created: Created, size: i32) -> i32 {
    spec.min_size.unwrap_or(created.size).min(size).max(1)
}

pub(crate) fn some_or<'a>(text: &'a str, absent: &'a str) -> &'a str {
    if text.is_empty() { absent } else { text }
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
