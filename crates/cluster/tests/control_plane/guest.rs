//! What a run makes in a cluster of somebody's, and what is left of it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use http::Method;
use libtest_mimic::Failed;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use towtank_cluster::nodes::Machine;
use towtank_cluster::site::{ProviderConfig, Site, SiteConfig};
use towtank_control_plane::Interrupt;
use towtank_lockstep::virtual_world::embedded;
use towtank_model::version::KubernetesVersion;

use crate::cluster::{Cluster, eventually, release, site};
use crate::ensure;

const JSON: &str = "application/json";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// Real nodes are what they are.
const MACHINE: Machine = Machine { cpu_milli: 8_000, pods_max: 110 };

/// The namespace, definition, role and binding of the operator.
const OPERATORS: usize = 4;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What a start is refused for.
fn refusal(config: SiteConfig) -> Result<String, Failed> {
    match Site::start(config) {
        Ok(_) => Err("it starts".into()),
        Err(error) => Ok(error.to_string()),
    }
}

pub(crate) fn a_cluster_says_its_version(dir: &Path) -> Result<(), Failed> {
    let cluster = Cluster::start(dir)?;
    let ProviderConfig::Foreign(foreign) = cluster.site()?.provider else {
        return Err("no kubeconfig".into());
    };
    ensure(foreign.version()? == KubernetesVersion::of_release(&release()?)?, "another version")
}

pub(crate) fn a_scenario_gets_namespaces_of_its_own(dir: &Path) -> Result<(), Failed> {
    let cluster = Cluster::start(dir)?;
    let mut site = Site::start(cluster.site()?)?;
    site.prepare(4, MACHINE, &names(&["default", "team"]))?;
    let object = json!({"metadata": {"name": "told", "namespace": "default"}, "data": {"a": "b"}});
    let answer = site.story().ask(Method::POST, CONFIG_MAPS, JSON, &object)?;
    ensure(answer.is_success(), answer.body.to_string())?;
    ensure(answer.body["metadata"]["namespace"] == "default", "the answer speaks of the story's namespace")?;
    let listed = |namespace: &str| -> Result<Vec<String>, Failed> {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps");
        let list = site.story().get(&path)?.unwrap_or_default();
        let items = list["items"].as_array().into_iter().flatten();
        let all = items.filter_map(|object| object["metadata"]["name"].as_str());
        Ok(all.filter(|name| *name != "kube-root-ca.crt").map(str::to_owned).collect())
    };
    ensure(listed("default")? == ["told"], "what was made is there, and nothing of others")?;
    ensure(listed("team")?.is_empty(), "what others have in a namespace of this name is not seen")?;
    ensure(site.story().get("/api/v1/namespaces/kube-system/pods").is_err(), "nothing else is reached")?;
    ensure(
        cluster.connection.get(&format!("{CONFIG_MAPS}/told"))?.is_none(),
        "nothing is made in `default`",
    )?;
    let before = cluster.made_by_runs()?;
    ensure(before.len() == OPERATORS + 2, format!("{before:?}"))?;

    // The next scenario begins with nothing.
    site.prepare(4, MACHINE, &names(&["default"]))?;
    let path = format!("{CONFIG_MAPS}/told");
    ensure(site.story().get(&path)?.is_none(), "a scenario sees what the one before it made")?;
    let after = cluster.made_by_runs()?;
    ensure(after.len() == OPERATORS + 1, format!("{after:?}"))?;
    ensure(after.iter().filter(|name| before.contains(name)).count() == OPERATORS, "the operator stays")?;
    let nodes = cluster.get("/api/v1/nodes")?;
    ensure(nodes["items"].as_array().is_some_and(|nodes| nodes.len() == 1), "no node is made")?;
    Ok(site.end()?)
}

pub(crate) fn what_is_there_already_is_refused(dir: &Path) -> Result<(), Failed> {
    let cluster = Cluster::start(dir)?;
    let (collection, definition) = embedded::manifests()?.first().ok_or("no definition")?;
    let definition = cluster.post(collection, &serde_json::from_slice(definition)?)?;
    let error = refusal(cluster.site()?)?;
    for word in [
        "customresourcedefinitions/miniclusters.flux-framework.org",
        "somebody",
        "kubectl delete",
        "https://",
    ] {
        ensure(error.contains(word), format!("no `{word}` in: {error}"))?;
    }
    ensure(cluster.made_by_runs()? == ["miniclusters.flux-framework.org"], "something was made")?;
    let path = format!("{collection}/miniclusters.flux-framework.org");
    ensure(cluster.get(&path)?["metadata"]["uid"] == definition["metadata"]["uid"], "it was touched")
}

pub(crate) fn a_run_in_order_leaves_nothing(dir: &Path) -> Result<(), Failed> {
    let cluster = Cluster::start(dir)?;
    let others = cluster.of_others()?;
    let mut site = Site::start(cluster.site()?)?;
    site.prepare(4, MACHINE, &names(&["default"]))?;
    // Something that a namespace waits for.
    let job = json!({
        "metadata": {"name": "job"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "c"}]}}},
    });
    let answer = site.story().ask(Method::POST, "/apis/batch/v1/namespaces/default/jobs", JSON, &job)?;
    ensure(answer.is_success(), answer.body.to_string())?;
    eventually("the Job has a pod", || {
        let pods = site.story().get("/api/v1/namespaces/default/pods")?.unwrap_or_default();
        Ok(pods["items"].as_array().is_some_and(|pods| pods.len() == 1))
    })?;
    site.end()?;
    nothing_is_left(&cluster, &others)
}

fn nothing_is_left(cluster: &Cluster, others: &[String]) -> Result<(), Failed> {
    let left = cluster.made_by_runs()?;
    ensure(left.is_empty(), format!("left: {left:?}"))?;
    let now = cluster.of_others()?;
    ensure(now == others, format!("others have had {others:?}, and have now {now:?}"))?;
    ensure(directories(cluster)? == 0, "its directory is removed")
}

/// Directories of runs in the cluster.
fn directories(cluster: &Cluster) -> Result<usize, Failed> {
    let mut count = 0;
    for of_cluster in std::fs::read_dir(cluster.runs.join("kubeconfig"))? {
        for entry in std::fs::read_dir(of_cluster?.path())? {
            count += usize::from(entry?.file_name().to_string_lossy().starts_with("run-"));
        }
    }
    Ok(count)
}

pub(crate) fn a_terminated_run_leaves_nothing(dir: &Path) -> Result<(), Failed> {
    let cluster = Cluster::start(dir)?;
    let others = cluster.of_others()?;
    for signal in [Signal::TERM, Signal::INT] {
        let mut holder = Holder::start(&cluster, WAIT)?;
        holder.wait_until_up()?;
        holder.signal(signal)?;
        ensure(holder.wait_until_gone()?, "it ends in order")?;
        nothing_is_left(&cluster, &others)?;
    }
    Ok(())
}

pub(crate) fn a_panic_leaves_nothing(dir: &Path) -> Result<(), Failed> {
    let cluster = Cluster::start(dir)?;
    let others = cluster.of_others()?;
    let mut holder = Holder::start(&cluster, PANIC)?;
    ensure(!holder.wait_until_gone()?, "it panicked")?;
    nothing_is_left(&cluster, &others)
}

pub(crate) fn a_start_that_is_interrupted_leaves_nothing(dir: &Path) -> Result<(), Failed> {
    let mut cluster = Cluster::start(dir)?;
    let others = cluster.of_others()?;
    // The operator never becomes ready.
    cluster.stop_kubelet();
    let mut holder = Holder::start(&cluster, WAIT)?;
    let deployment = "/apis/apps/v1/namespaces/towtank-system/deployments/towtank-operator";
    eventually("the operator is deployed", || Ok(cluster.connection.get(deployment)?.is_some()))?;
    holder.signal(Signal::TERM)?;
    ensure(holder.line()? == "interrupted", "it does not wait until the operator is ready")?;
    holder.wait_until_gone()?;
    nothing_is_left(&cluster, &others)
}

pub(crate) fn the_next_start_removes_what_a_killed_run_left(dir: &Path) -> Result<(), Failed> {
    let cluster = Cluster::start(dir)?;
    let others = cluster.of_others()?;
    let mut holder = Holder::start(&cluster, WAIT)?;
    holder.wait_until_up()?;
    let made = cluster.made_by_runs()?;
    ensure(made.len() == OPERATORS + 1, format!("{made:?}"))?;

    // While it lives, all of it is somebody's.
    let error = refusal(cluster.site()?)?;
    ensure(error.contains("which goes on"), error)?;
    ensure(cluster.made_by_runs()? == made, "something of a run that lives was touched")?;

    holder.signal(Signal::KILL)?;
    holder.wait_until_gone()?;
    ensure(cluster.made_by_runs()? == made, "a killed process removes nothing")?;
    // A run in another directory does not know that it was killed.
    let elsewhere = SiteConfig { dir: dir.join("elsewhere"), ..cluster.site()? };
    ensure(refusal(elsewhere)?.contains("another `--dir`"), "it is somebody's")?;
    ensure(cluster.made_by_runs()? == made, "something of another directory's was touched")?;

    // Something that looks like a run's, and has another's label.
    let other = json!({"metadata": {"name": "towtank-other", "labels": {"towtank.dev/run": "other"}}});
    cluster.post("/api/v1/namespaces", &other)?;
    let site = Site::start(cluster.site()?)?;
    let now = cluster.made_by_runs()?;
    ensure(now.len() == OPERATORS + 1 && now.contains(&"towtank-other".to_owned()), format!("{now:?}"))?;
    site.end()?;
    ensure(cluster.made_by_runs()? == ["towtank-other"], "another run's namespace is left alone")?;
    cluster.ask(Method::DELETE, "/api/v1/namespaces/towtank-other", &Value::Null)?;
    eventually("it goes", || Ok(cluster.made_by_runs()?.is_empty()))?;
    nothing_is_left(&cluster, &others)
}

pub(crate) fn miniclusters_of_others_keep_their_definition(dir: &Path) -> Result<(), Failed> {
    let cluster = Cluster::start(dir)?;
    let others = cluster.of_others()?;
    let mut site = Site::start(cluster.site()?)?;
    site.prepare(4, MACHINE, &names(&["default"]))?;
    let collection = "/apis/flux-framework.org/v1alpha2/namespaces/team/miniclusters";
    let minicluster = json!({
        "apiVersion": "flux-framework.org/v1alpha2", "kind": "MiniCluster", "metadata": {"name": "theirs"},
        "spec": {"size": 1, "containers": [{"image": "c"}]},
    });
    cluster.post(collection, &minicluster)?;
    let error = site.end().err().ok_or("it ends")?.to_string();
    ensure(error.contains("team/theirs"), error)?;
    let left = cluster.made_by_runs()?;
    ensure(left.len() == OPERATORS, format!("{left:?}"))?;
    ensure(cluster.connection.get(&format!("{collection}/theirs"))?.is_some(), "it is still there")?;

    // When it is gone, the next start removes the rest.
    cluster.ask(Method::DELETE, &format!("{collection}/theirs"), &Value::Null)?;
    Site::start(cluster.site()?)?.end()?;
    nothing_is_left(&cluster, &others)
}

// ---- a process that plays, to be ended in every way ----

const WORD: &str = "--be-a-guest";
const UP: &str = "up";
const WAIT: &str = "wait";
const PANIC: &str = "panic";

/// Is a guest if this process was started for it.
pub(crate) fn main() -> Option<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [word, kubeconfig, dir, then] = args.as_slice() else { return None };
    (word == WORD).then(|| match hold(Path::new(kubeconfig), Path::new(dir), then) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{}", error.message().unwrap_or("failed"));
            ExitCode::FAILURE
        }
    })
}

fn hold(kubeconfig: &Path, dir: &Path, then: &str) -> Result<(), Failed> {
    let interrupt = Interrupt::install()?;
    println!("listening to signals");
    let config = SiteConfig { interrupt: Some(interrupt.clone()), ..site(kubeconfig, dir)? };
    let mut site = Site::start(config)?;
    site.prepare(4, MACHINE, &names(&["default"]))?;
    println!("{UP}");
    assert!(then != PANIC, "as it was told");
    while !interrupt.is_raised() {
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The guest, seen from the test.
struct Holder {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Holder {
    /// Starts one, and returns when it listens to signals.
    fn start(cluster: &Cluster, then: &str) -> Result<Self, Failed> {
        // What was asked for is nothing to read.
        let mut process = Command::new(std::env::current_exe()?)
            .args([WORD.as_ref(), cluster.kubeconfig().as_os_str(), cluster.runs.as_os_str(), then.as_ref()])
            .stderr(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("no output")?;
        let mut holder = Self { process, output: BufReader::new(output) };
        holder.line()?;
        Ok(holder)
    }

    fn wait_until_up(&mut self) -> Result<(), Failed> {
        let line = self.line()?;
        ensure(line == UP, format!("not up: {line}"))
    }

    /// The next line that it says; empty when it has ended.
    fn line(&mut self) -> Result<String, Failed> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    fn signal(&self, signal: Signal) -> Result<(), Failed> {
        let pid = Pid::from_raw(i32::try_from(self.process.id())?).ok_or("no id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits until it has ended; whether all was well.
    fn wait_until_gone(&mut self) -> Result<bool, Failed> {
        let mut ended = None;
        eventually("the guest ends", || {
            ended = self.process.try_wait()?;
            Ok(ended.is_some())
        })?;
        Ok(ended.is_some_and(|status| status.success()))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
