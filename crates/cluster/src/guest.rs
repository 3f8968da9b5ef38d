//! The provider `kubeconfig`: a run is a guest in a cluster that other people use too. It makes what it needs, and removes that and nothing else.
//!
//! Whatever it makes has the label [`RUN`] with the run's id, and only what has it is removed. The id is that of the run's directory on this machine, whose lock is held while the process lives. So a start knows which runs
//! have been killed, and removes what they have left, in the same cluster alone: there is a directory of runs for each cluster.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};
use towtank_control_plane::{ControlPlaneError, RunDir};
use towtank_lockstep::virtual_world::embedded;

use crate::connection::Connection;
use crate::deployed::{Deployed, Life, operator_pods};
use crate::kubeconfig::ForeignConfig;
use crate::namespaces::Namespaces;
use crate::site::{self, JSON, SETTLED_WITHIN, SiteConfig, SiteError, eventually};

/// The label of all that a run makes; its value is the run's id.
const RUN: &str = "towtank.dev/run";
/// The annotation that says for which namespace of a scenario a fresh one stands.
const STANDS_FOR: &str = "towtank.dev/stands-for";
/// How long a namespace may take to go: its pods have half a minute to end, as a rule, and none is killed before.
const GONE_WITHIN: Duration = Duration::from_secs(180);
/// So much is kept of the log of a replica of the operator.
const LOG_BYTES_MAX: u32 = 1 << 20;

/// A running cluster of somebody's, with our operator in it.
pub(crate) type GuestCluster = Deployed<Guest>;

impl GuestCluster {
    pub(crate) fn start(config: &SiteConfig, settings: &ForeignConfig) -> Result<Self, SiteError> {
        let connection = settings.connect()?;
        let guest = Guest::enter(&config.dir, settings, connection.clone())?;
        Self::install(guest, connection, &settings.images, config.interrupt.clone())
    }
}

/// A run in a cluster of somebody's. What it has made there is removed when this is dropped.
pub(crate) struct Guest {
    connection: Connection,
    id: String,
    /// How many namespaces it has made.
    made: u16,
    is_over: bool,
    directory: RunDir,
}

impl Guest {
    /// Removes what killed runs have left in this cluster, and looks that nothing is there that others use. Nothing is made yet.
    fn enter(dir: &Path, settings: &ForeignConfig, connection: Connection) -> Result<Self, SiteError> {
        let undo = |dir: &Path| {
            let removed = remove(&connection, &id(dir));
            removed.map_err(|error| ControlPlaneError::Machine(error.to_string()))
        };
        let directory = RunDir::create(&dir.join("kubeconfig").join(uid(&connection)?), &undo)?;
        check(&connection, settings)?;
        Ok(Self { id: id(directory.path()), connection, made: 0, is_over: false, directory })
    }

    /// A name that no other namespace has, and that is in no other name.
    fn next_name(&mut self) -> Result<String, SiteError> {
        self.made = self
            .made
            .checked_add(1)
            .ok_or_else(|| SiteError::Client(format!("{} namespaces are enough for one run", u16::MAX)))?;
        Ok(format!("towtank-{}-{:04x}", self.id, self.made))
    }

    /// Reads the logs of the operator; others are none of ours.
    fn read_logs(&self) {
        // They are for readers: no verdict waits for one that cannot be had.
        for pod in operator_pods(&self.connection).unwrap_or_default() {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let path = format!("/api/v1/namespaces/{}/pods/{name}/log", embedded::NAMESPACE);
            let request = Request::get(format!("{path}?limitBytes={LOG_BYTES_MAX}")).body(Bytes::new());
            if let Some(log) = request.ok().and_then(|request| self.connection.send(request).ok()) {
                let file = self.directory.path().join("logs").join(format!("{name}.log"));
                let _ = self.directory.write(&file, log.body());
            }
        }
    }
}

/// The id of the run that has this directory.
fn id(dir: &Path) -> String {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    name.trim_start_matches("run-").to_owned()
}

/// What tells a cluster from all others: it has no id of its own, but a namespace that lives as long as it does.
fn uid(connection: &Connection) -> Result<String, SiteError> {
    let path = "/api/v1/namespaces/kube-system";
    let namespace = site::must(connection, Method::GET, path, &Value::Null)?;
    let uid = namespace["metadata"]["uid"].as_str().map(str::to_owned);
    uid.ok_or_else(|| SiteError::Refused { what: format!("the uid of {path}"), answer: namespace })
}

/// Paths of the objects of `deploy/` that are in no namespace, in the order in which they are made.
fn paths() -> Result<Vec<String>, SiteError> {
    let path = |(collection, body): &(String, Bytes)| {
        let object: Value = serde_json::from_slice(body).unwrap_or_default();
        let name = object["metadata"]["name"].as_str()?;
        object["metadata"]["namespace"].is_null().then(|| format!("{collection}/{name}"))
    };
    Ok(embedded::manifests()?.iter().filter_map(path).collect())
}

/// An error that names what is there already of what a run makes: it is somebody's, and two operators would fight over the same MiniClusters.
fn check(connection: &Connection, settings: &ForeignConfig) -> Result<(), SiteError> {
    let mut there = Vec::new();
    for path in paths()? {
        if let Some(object) = connection.get(&path)? {
            // As kubectl names it: the last two words of the path.
            let words: Vec<&str> = path.rsplitn(3, '/').take(2).collect();
            let name = words.into_iter().rev().collect::<Vec<_>>().join("/");
            there.push((name, object["metadata"]["labels"][RUN].as_str().map(str::to_owned)));
        }
    }
    let Some((_, of)) = there.first() else { return Ok(()) };
    let whose = match of {
        Some(run) => format!(
            "they are of the run {run} of towtank, which goes on, or was killed on another machine or with another `--dir`"
        ),
        None => "somebody has an operator of MiniClusters there, and two would fight over the same objects"
            .to_owned(),
    };
    let names: Vec<&str> = there.iter().map(|(name, _)| name.as_str()).collect();
    Err(SiteError::Occupied(format!(
        "{} has already {}: {whose}. Nothing was changed. Name another cluster, or, when nobody needs them (with the definition go all MiniClusters), \
         have `kubectl delete {}` remove them first",
        settings.place()?,
        names.join(", "),
        names.join(" "),
    )))
}

impl Life for Guest {
    fn mark(&self, object: &mut Value) {
        object["metadata"]["labels"][RUN] = self.id.as_str().into();
    }

    fn fresh_namespaces(&mut self, names: &[String]) -> Result<Option<Namespaces>, SiteError> {
        remove_namespaces(&self.connection, &self.id, |name| name != embedded::NAMESPACE)?;
        let mut pairs = Vec::new();
        for name in names {
            let real = self.next_name()?;
            let mut body = json!({"metadata": {"name": real, "annotations": {STANDS_FOR: name}}});
            self.mark(&mut body);
            site::must(&self.connection, Method::POST, "/api/v1/namespaces", &body)?;
            pairs.push((name.clone(), real));
        }
        for (_, real) in &pairs {
            let what = format!("the namespace {real} has no account for pods");
            eventually(SETTLED_WITHIN, &what, || site::has_account(&self.connection, real))?;
        }
        Ok(Some(Namespaces::new(pairs)))
    }

    fn keep_logs(&mut self, to: PathBuf) {
        self.read_logs();
        self.directory.keep_logs(to);
    }

    fn keep_logs_of_failed(&mut self) -> PathBuf {
        self.read_logs();
        self.directory.keep_logs_of_failed()
    }

    fn end(&mut self) -> Result<(), SiteError> {
        if std::mem::replace(&mut self.is_over, true) {
            return Ok(());
        }
        let removed = remove(&self.connection, &self.id);
        if removed.is_err() {
            // The next start tries again.
            self.directory.leave();
        }
        removed
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Nobody is there to be told of an error.
        let _ = self.end();
    }
}

// ---- removing ----

/// Removes all that a run has made: first what the controllers and the operator have to clear, then those.
fn remove(connection: &Connection, id: &str) -> Result<(), SiteError> {
    remove_namespaces(connection, id, |name| name != embedded::NAMESPACE)?;
    let paths = paths()?;
    for path in &paths {
        check_unused(connection, path, id)?;
    }
    remove_namespaces(connection, id, |_| true)?;
    for path in paths.iter().rev() {
        let Some(object) = connection.get(path)?.filter(|object| is_of(object, id)) else { continue };
        delete(connection, path, &object)?;
        let is_gone = || -> Result<bool, SiteError> {
            let there = connection.get(path)?;
            Ok(there.is_none_or(|there| there["metadata"]["uid"] != object["metadata"]["uid"]))
        };
        eventually(GONE_WITHIN, &format!("{path} does not go"), is_gone)?;
    }
    Ok(())
}

fn is_of(object: &Value, id: &str) -> bool {
    object["metadata"]["labels"][RUN] == *id
}

/// An error when this is the definition of a run's and others have made MiniClusters meanwhile: they would go with it.
fn check_unused(connection: &Connection, path: &str, id: &str) -> Result<(), SiteError> {
    let is_definition = path.contains("/customresourcedefinitions/");
    if !is_definition || !connection.get(path)?.is_some_and(|object| is_of(&object, id)) {
        return Ok(());
    }
    let all = connection.get("/apis/flux-framework.org/v1alpha2/miniclusters?limit=1")?.unwrap_or_default();
    let Some(other) = all["items"].as_array().and_then(|items| items.first()) else { return Ok(()) };
    let text = |field: &str| other["metadata"][field].as_str().unwrap_or_default().to_owned();
    Err(SiteError::Occupied(format!(
        "somebody has made the MiniCluster {}/{}, which would go with the definition of MiniClusters: that stays, and the operator with it, until the next start after it is gone",
        text("namespace"),
        text("name"),
    )))
}

/// Removes the namespaces of a run whose names are such, and waits until they are gone.
fn remove_namespaces(
    connection: &Connection,
    id: &str,
    is_such: impl Fn(&str) -> bool,
) -> Result<(), SiteError> {
    let selected = format!("/api/v1/namespaces?labelSelector={}%3D{id}", RUN.replace('/', "%2F"));
    let left = || -> Result<Vec<(String, Value)>, SiteError> {
        let all = site::list(connection, &selected)?.into_iter();
        let named = all.map(|object| {
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            (name, object)
        });
        Ok(named.filter(|(name, _)| is_such(name)).collect())
    };
    let namespaces = left()?;
    for (name, object) in &namespaces {
        delete(connection, &format!("/api/v1/namespaces/{name}"), object)?;
    }
    let names: Vec<&str> = namespaces.iter().map(|(name, _)| name.as_str()).collect();
    let what = format!("the namespaces {} do not go", names.join(", "));
    eventually(GONE_WITHIN, &what, || Ok(left()?.is_empty()))
}

/// Deletes this very object, if it is still there.
fn delete(connection: &Connection, path: &str, object: &Value) -> Result<(), SiteError> {
    let options = json!({
        "propagationPolicy": "Background",
        "preconditions": {"uid": object["metadata"]["uid"]},
    });
    let answer = connection.ask(Method::DELETE, path, JSON, &options)?;
    // 404 and 409: it is gone, or about to go, or another one has its name.
    match answer.is_success() || matches!(answer.code, 404 | 409) {
        true => Ok(()),
        false => Err(SiteError::Refused { what: format!("DELETE {path}"), answer: answer.body }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_in_no_namespace_is_looked_for() {
        let paths = paths().expect("the manifests can be read");
        let names = [
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/miniclusters.flux-framework.org",
            "/api/v1/namespaces/towtank-system",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/towtank-operator",
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/towtank-operator",
        ];
        assert_eq!(paths, names);
    }

    #[test]
    fn a_run_has_the_id_of_its_directory() {
        assert_eq!(id(Path::new("/x/run-0a1b2c3d")), "0a1b2c3d");
    }
}
