//! What is not the operator's: objects of others, and the Lease while another holds it.

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};
use towtank_apiserver::adapter::faults::RequestFault;
use towtank_apiserver::adapter::pump::{LoggedRequest, ProgramId};
use towtank_apiserver::adapter::site::Serves as _;
use towtank_apiserver::{Answer, Caller};
use towtank_lockstep::virtual_world::EmbeddedWorld;
use towtank_lockstep::world::World as _;
use towtank_model::server::Actor;
use towtank_model::time::Time;
use towtank_scenario::ast::{Action, Manifest, Scenario};

use super::{GROUP, text};
use crate::plan::Plan;

/// See the module.
pub(super) struct Others {
    /// Objects of others by path, as they were.
    objects: Vec<(String, Value)>,
    /// The Leases as they were last read, and whom the operator's has named since when.
    leases: (Vec<Bytes>, Vec<(Time, String)>),
    plan: Plan,
}

impl Others {
    pub(super) fn begin(world: &mut EmbeddedWorld, scenario: &Scenario, plan: &Plan) -> Self {
        let mut objects = Vec::new();
        for (path, object) in bystanders(&name_in(scenario)) {
            let (collection, name) = path.rsplit_once('/').unwrap_or_default();
            ask(world, Method::POST, collection, &object);
            let stored = ask(world, Method::GET, &format!("{collection}/{name}"), &Value::Null);
            objects.push((path, stored));
        }
        Self { objects, leases: Default::default(), plan: plan.clone() }
    }

    /// Looks at who leads.
    pub(super) fn look(&mut self, world: &EmbeddedWorld) {
        if self.plan.replicas.len() < 2 {
            return;
        }
        let leases = world.engine().site().application().api().objects("coordination.k8s.io", "leases");
        if leases == self.leases.0 {
            return;
        }
        for lease in leases.iter().filter_map(|lease| serde_json::from_slice::<Value>(lease).ok()) {
            let holder = text(&lease["spec"]["holderIdentity"]);
            if lease["metadata"]["name"] == "towtank-operator"
                && self.leases.1.last().is_none_or(|(_, last)| last != holder)
            {
                self.leases.1.push((world.now(), holder.to_owned()));
            }
        }
        self.leases.0 = leases;
    }

    /// What was broken: rule, time and detail.
    pub(super) fn finish(
        &mut self,
        world: &mut EmbeddedWorld,
        requests: &[LoggedRequest],
    ) -> Vec<(&'static str, Time, String)> {
        let now = world.now();
        let mut broken = Vec::new();
        for (path, before) in std::mem::take(&mut self.objects) {
            let after = ask(world, Method::GET, &path, &Value::Null);
            if before != after || before["kind"] == "Status" {
                broken.push(("others-left-alone", now, path));
            }
        }
        if self.plan.replicas.len() > 1 {
            let programs: Vec<ProgramId> = world.engine().programs().collect();
            broken.extend(requests.iter().find_map(|request| {
                let replica = programs.iter().position(|program| *program == request.program)?;
                let is_write = !request.line.starts_with("GET ") && !request.line.contains("/leases");
                let holder = self.leases.1.iter().rfind(|(since, _)| *since <= request.at);
                // As the world names its replicas.
                let leads = holder.is_some_and(|(_, name)| *name == format!("towtank-operator-{replica}"));
                (is_write && !leads && !self.is_late(replica, request.number)).then(|| {
                    let holder = holder.map_or("nobody", |(_, name)| name);
                    ("one-leader", request.at, format!("{replica}, while {holder} leads: {}", request.line))
                })
            }));
        }
        broken
    }

    /// A request that the plan holds up: its sender led when it sent it.
    fn is_late(&self, replica: usize, request: u64) -> bool {
        let fault = self.plan.replicas.get(replica).and_then(|plan| plan.requests.get(&request));
        matches!(fault, Some(RequestFault::Delay(_) | RequestFault::Timeout(_)))
    }
}

/// Whether another has an object of a name that this MiniCluster needs.
pub(super) fn is_taken(world: &mut EmbeddedWorld, cluster: &Value) -> bool {
    let (namespace, name) = (text(&cluster["metadata"]["namespace"]), text(&cluster["metadata"]["name"]));
    let service = text(&cluster["spec"]["network"]["headlessName"]);
    let service = if service.is_empty() { name } else { service };
    let core = |plural: &str, name: &str| format!("/api/v1/namespaces/{namespace}/{plural}/{name}");
    let paths = [
        core("configmaps", &format!("{name}-entrypoint")),
        core("secrets", &format!("{name}-curve")),
        core("services", service),
        format!("/apis/batch/v1/namespaces/{namespace}/jobs/{name}"),
    ];
    paths.iter().any(|path| {
        let object = ask(world, Method::GET, path, &Value::Null);
        let owners = object["metadata"]["ownerReferences"].as_array();
        let is_of_it = |owner: &Value| {
            owner["kind"] == "MiniCluster"
                && owner["name"] == name
                && text(&owner["apiVersion"]).split('/').next() == Some(GROUP)
        };
        // One that belongs to a MiniCluster of this name before it goes by itself.
        object["kind"] != "Status" && !owners.into_iter().flatten().any(is_of_it)
    })
}

/// The name of the first MiniCluster of a story.
fn name_in(scenario: &Scenario) -> String {
    let applied = scenario.steps.iter().flat_map(|step| match &step.action.value {
        Action::Apply(manifests) => manifests.as_slice(),
        _ => &[],
    });
    let mut names = applied.filter_map(|manifest| match manifest {
        Manifest::MiniCluster(key, _) => Some(key.name.to_string()),
        _ => None,
    });
    names.next().unwrap_or_default()
}

/// Objects of others that look much like those of the MiniCluster of this name.
fn bystanders(name: &str) -> Vec<(String, Value)> {
    let labels = json!({"app.kubernetes.io/managed-by": "towtank-operator", "app.kubernetes.io/name": name});
    let object = |kind: &str, plural: &str, name: &str, rest: Value| {
        let mut object =
            json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": labels.clone()}});
        if let (Some(object), Value::Object(rest)) = (object.as_object_mut(), rest) {
            object.extend(rest);
        }
        (format!("/api/v1/namespaces/default/{plural}/{name}"), object)
    };
    vec![
        object("ConfigMap", "configmaps", "other-entrypoint", json!({"data": {"broker.toml": "# mine"}})),
        object("Secret", "secrets", "other-curve", json!({"stringData": {"curve.cert": "mine"}})),
        object(
            "Service",
            "services",
            "other",
            json!({"spec": {"clusterIP": "None", "selector": {"app": "other"}}}),
        ),
    ]
}

/// A request of somebody who looks on.
pub(super) fn ask(world: &mut EmbeddedWorld, method: Method, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let Ok(request) = request.body(body) else { return Value::Null };
    let caller = Caller::master("auditor", Actor::User);
    let answer = world
        .engine_mut()
        .site_mut()
        .apply_to(|upper, ctx| upper.api_mut().handle(ctx.server, ctx.now, &caller, request));
    match answer {
        Answer::Response(response) => serde_json::from_slice(response.body()).unwrap_or_default(),
        Answer::Watch(_) => Value::Null,
    }
}
