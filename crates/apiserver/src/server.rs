//! The server: what it keeps, and the way of a request through it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use towtank_model::server::{Actor, Server};
use towtank_model::time::Time;
use towtank_model::version::KubernetesVersion;

use crate::call::{Call, Outcome, Reply, response};
use crate::crd::Custom;
use crate::error::{ApiError, Result};
use crate::kinds::{Registry, Resource};
use crate::lifecycle::Lifecycle;
use crate::request::{Parsed, Path, Target, Verb};
use crate::rows::Rows;
use crate::store::{self, Table};
use crate::watch::{Watch, WatchId, WatchPoll};
use crate::{auth, discovery};

/// What an API server is told at its beginning.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it says it is, and the printers of its tables.
    pub version: KubernetesVersion,
    /// Seed of generated names.
    pub seed: u64,
    /// Events of each resource that are remembered for watches.
    pub history_max: usize,
    /// Objects of each resource.
    pub objects_max: usize,
    /// Watches that are open at the same time.
    pub watches_max: usize,
    /// Time from an owner's end to that of its dependents.
    pub collection_delay: Duration,
    /// Time between bookmarks, when there is something new.
    pub bookmark_every: Duration,
    /// How long a watch lasts that does not say.
    pub watch_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: KubernetesVersion::NEWEST,
            seed: 1,
            history_max: 20_000,
            objects_max: 200_000,
            watches_max: 10_000,
            collection_delay: Duration::from_millis(100),
            bookmark_every: Duration::from_secs(60),
            watch_timeout: Duration::from_secs(1_800),
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// User name.
    pub name: String,
    /// Groups; members of `system:masters` may do anything.
    pub groups: Vec<String>,
    /// Who that is for the model and its trace.
    pub actor: Actor,
}

impl Caller {
    /// Somebody who may do anything.
    pub fn master(name: &str, actor: Actor) -> Self {
        Self { name: name.to_owned(), groups: vec![auth::MASTERS.to_owned()], actor }
    }

    /// A program in a pod that runs under this ServiceAccount: it may do what roles allow that are bound to it.
    pub fn service_account(namespace: &str, name: &str, actor: Actor) -> Self {
        let mut groups = auth::of_service_accounts(namespace);
        groups.push(auth::AUTHENTICATED.to_owned());
        Self { name: format!("system:serviceaccount:{namespace}:{name}"), groups, actor }
    }
}

/// What comes of a request.
#[derive(Debug)]
pub enum Answer {
    /// A response.
    Response(http::Response<Bytes>),
    /// 200, and from now on what [`ApiServer::poll_watch`] says.
    Watch(WatchId),
}

/// A Kubernetes API server: everything that is not a row of the model.
#[derive(Debug)]
pub struct ApiServer {
    pub(crate) config: Config,
    pub(crate) registry: Registry,
    pub(crate) tables: Vec<Table>,
    pub(crate) rows: Rows,
    pub(crate) custom: Custom,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) watches: BTreeMap<WatchId, Watch>,
    /// Watches of each table.
    pub(crate) watchers: Vec<Vec<WatchId>>,
    pub(crate) ready: Vec<WatchId>,
    next_watch: u64,
    /// Objects that were made so far, for their uids.
    pub(crate) created: u64,
    pub(crate) names: u64,
    pub(crate) now: Time,
    pub(crate) discovery: discovery::Cache,
}

impl ApiServer {
    /// A server over these rows, with the namespaces that every cluster has.
    pub fn new(config: Config, rows: &mut Server, now: Time) -> Self {
        let registry = Registry::built_in();
        let tables = (0..registry.tables()).map(|_| Table::default()).collect();
        let watchers = vec![Vec::new(); registry.tables()];
        rows.keep_journal();
        let kinds = Rows::new(&registry);
        let mut server = Self {
            config,
            registry,
            tables,
            rows: kinds,
            custom: Custom::default(),
            lifecycle: Lifecycle::default(),
            watches: BTreeMap::new(),
            watchers,
            ready: Vec::new(),
            next_watch: 1,
            created: 0,
            names: 0,
            now,
            discovery: discovery::Cache::default(),
        };
        server.adopt_rows(rows, now);
        for namespace in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            server.seed_object(rows, now, object);
        }
        server
    }

    /// Carries out one request at this instant.
    pub fn handle(
        &mut self,
        rows: &mut Server,
        now: Time,
        caller: &Caller,
        request: http::Request<Bytes>,
    ) -> Answer {
        self.follow(rows, now);
        let mut warnings = Vec::new();
        let answer = self.answer(rows, now, caller, request, &mut warnings);
        self.follow(rows, now);
        match answer {
            Ok(Outcome::Watch(watch)) => Answer::Watch(watch),
            Ok(Outcome::Reply(reply)) => Answer::Response(response(reply, &warnings, None)),
            Ok(Outcome::Text(body)) => {
                let built = http::Response::builder().header("content-type", "text/plain").body(body);
                Answer::Response(built.unwrap_or_default())
            }
            Ok(Outcome::Typed(body, content_type)) => {
                let built = http::Response::builder().header("content-type", content_type).body(body);
                Answer::Response(built.unwrap_or_default())
            }
            Err(error) => {
                let retry =
                    (error.details.retry_after_seconds > 0).then_some(error.details.retry_after_seconds);
                let reply = Reply::json(error.code, &error.to_status());
                Answer::Response(response(reply, &warnings, retry))
            }
        }
    }

    fn answer(
        &mut self,
        rows: &mut Server,
        now: Time,
        caller: &Caller,
        request: http::Request<Bytes>,
        warnings: &mut Vec<String>,
    ) -> Result<Outcome> {
        let parsed = Parsed::read(request)?;
        let caller = auth::impersonated(self, caller, &parsed)?;
        let caller: &Caller = &caller;
        let target = match &parsed.path {
            Path::Other(parts) => return discovery::answer(self, caller, parts, &parsed),
            Path::Resource(target) => target,
        };
        let Some(resource) = self.registry.get(&target.group, &target.version, &target.plural) else {
            return Err(ApiError::path_not_found());
        };
        let resource = Arc::clone(resource);
        if resource.is_namespaced && target.namespace.is_empty() && !target.name.is_empty()
            || !resource.is_namespaced && !target.namespace.is_empty()
        {
            return Err(ApiError::path_not_found());
        }
        let verb = verb_of(&parsed, target, &resource)?;
        auth::check(self, caller, verb, target, &parsed)?;
        let is_dry_run = !matches!(verb, Verb::Get | Verb::List | Verb::Watch) && parsed.is_dry_run()?;
        let view = crate::request::view(parsed.header("accept"))?;
        let mut call = Call {
            rows,
            now,
            caller,
            parsed: &parsed,
            target,
            resource,
            view,
            is_dry_run,
            warnings: Vec::new(),
        };
        let outcome = self.dispatch(&mut call, verb);
        warnings.append(&mut call.warnings);
        outcome
    }

    fn dispatch(&mut self, call: &mut Call<'_>, verb: Verb) -> Result<Outcome> {
        let target = call.target;
        if !target.subresource.is_empty() {
            return self.subresource(call, verb, &target.subresource).map(Outcome::Reply);
        }
        match verb {
            Verb::Get => self.get(call).map(Outcome::Reply),
            Verb::List => self.list(call).map(Outcome::Reply),
            Verb::Watch => self.watch(call).map(Outcome::Watch),
            Verb::Create => self.create(call).map(Outcome::Reply),
            Verb::Update => self.update(call, "").map(Outcome::Reply),
            Verb::Patch => self.patch(call, "").map(Outcome::Reply),
            Verb::Delete => self.delete(call).map(Outcome::Reply),
            Verb::DeleteCollection => self.delete_collection(call).map(Outcome::Reply),
        }
    }

    // ---- watches ----

    pub(crate) fn add_watch(&mut self, watch: Watch) -> Result<WatchId> {
        if self.watches.len() >= self.config.watches_max {
            return Err(ApiError::too_many_requests("too many watches are open", 1));
        }
        let id = WatchId(self.next_watch);
        self.next_watch += 1;
        self.lifecycle.watch_ends.insert((watch.ends, id));
        if let Some(watchers) = self.watchers.get_mut(watch.resource.table) {
            watchers.push(id);
        }
        self.watches.insert(id, watch);
        self.ready.push(id);
        Ok(id)
    }

    /// All objects of a resource, for whoever lives in the same process; a document that has not changed is the same `Arc`.
    pub fn objects(&self, group: &str, plural: &str) -> Vec<Arc<Value>> {
        let table = self.table(group, plural);
        table.into_iter().flat_map(|table| table.range("", None)).map(|version| version.value()).collect()
    }

    /// One of them.
    pub fn object(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let version = self.table(group, plural)?.get(&store::key(namespace, name))?;
        Some(version.value())
    }

    fn table(&self, group: &str, plural: &str) -> Option<&Table> {
        self.registry.any(group, plural).and_then(|resource| self.tables.get(resource.table))
    }

    /// The next event of a watch.
    pub fn poll_watch(&mut self, watch: WatchId) -> WatchPoll {
        let now = self.now;
        let Some(open) = self.watches.get_mut(&watch) else { return WatchPoll::Closed };
        let Some(table) = self.tables.get(open.resource.table) else { return WatchPoll::Closed };
        let poll = open.poll(table, now);
        if poll == WatchPoll::Closed {
            self.close_watch(watch);
        }
        poll
    }

    /// Nobody listens to this watch any more.
    pub fn close_watch(&mut self, watch: WatchId) {
        let Some(open) = self.watches.remove(&watch) else { return };
        self.lifecycle.watch_ends.remove(&(open.ends, watch));
        if let Some(watchers) = self.watchers.get_mut(open.resource.table) {
            watchers.retain(|one| *one != watch);
        }
    }

    /// The server lets go of a watch: what it has not said yet it never will. The client may begin another.
    pub fn end_watch(&mut self, watch: WatchId) {
        if let Some(open) = self.watches.get_mut(&watch) {
            open.is_closed = true;
            self.ready.push(watch);
        }
    }

    /// A watch's next event is that its version is too old (HTTP 410 in an ERROR event), and its last.
    pub fn expire_watch(&mut self, watch: WatchId) {
        if let Some(open) = self.watches.get_mut(&watch) {
            let error = ApiError::expired("The resourceVersion for the provided watch is too old.");
            open.failure = Some(crate::watch::error_line(&error));
            self.ready.push(watch);
        }
    }

    /// The watches that have something new since the last call.
    pub fn take_ready(&mut self) -> Vec<WatchId> {
        std::mem::take(&mut self.ready)
    }

    /// Tells the watches of a table that there is something.
    pub(crate) fn wake(&mut self, table: usize) {
        let Some(watchers) = self.watchers.get(table) else { return };
        for id in watchers {
            if let Some(watch) = self.watches.get_mut(id)
                && !watch.is_ready
            {
                watch.is_ready = true;
                self.ready.push(*id);
            }
        }
    }

    /// Forgets what happened up to this version, as compaction of etcd does: older watches and pages are told 410.
    pub fn compact(&mut self, rv: u64) {
        for table in &mut self.tables {
            table.compact(rv);
        }
    }
}

/// What is asked of the target.
fn verb_of(parsed: &Parsed, target: &Target, resource: &Resource) -> Result<Verb> {
    let is_watch = parsed.query.flag("watch") == Some(true);
    let unsupported = || {
        let action = parsed.method.as_str().to_lowercase();
        ApiError::method_not_supported(&resource.group, &resource.plural, &action)
    };
    let verb = Verb::of(&parsed.method, target, is_watch).ok_or_else(unsupported)?;
    let is_collection_of_all = target.namespace.is_empty() && resource.is_namespaced;
    let is_review = resource.class == crate::kinds::Class::Review;
    if (is_review && verb != Verb::Create)
        || (is_collection_of_all && matches!(verb, Verb::Create | Verb::DeleteCollection))
    {
        return Err(unsupported());
    }
    Ok(verb)
}
