//! What is not the operator's: objects of others, and the Lease while another holds it.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use towtank_apiserver::adapter::faults::RequestFault;
use towtank_apiserver::adapter::pump::{LoggedRequest, ProgramId};
use towtank_apiserver::adapter::site::Serves as _;
use towtank_lockstep::virtual_world::EmbeddedWorld;
use towtank_lockstep::world::World as _;
use towtank_model::time::Time;
use towtank_scenario::ast::{Action, Manifest, Scenario};

use super::{GROUP, text};
use crate::plan::Plan;
use crate::world::is_of_election;

/// Where objects of others are.
const NAMESPACE: &str = "default";

/// See the module.
pub(super) struct Others {
    /// Objects of others as they were, with their plurals.
    objects: Vec<(&'static str, Arc<Value>)>,
    /// The Leases as they were last read, and whom the operator's has named since when.
    leases: (Vec<Arc<Value>>, Vec<(Time, String)>),
    plan: Plan,
}

impl Others {
    pub(super) fn begin(world: &mut EmbeddedWorld, scenario: &Scenario, plan: &Plan) -> Self {
        let mut objects = Vec::new();
        for (plural, object) in bystanders(&name_in(scenario)) {
            // What is not made is found not to be there in the end.
            let _ = world.request(
                Method::POST,
                &format!("/api/v1/namespaces/{NAMESPACE}/{plural}"),
                "application/json",
                Bytes::from(object.to_string()),
            );
            let stored = stored(world, "", plural, NAMESPACE, text(&object["metadata"]["name"]));
            objects.push((plural, stored.unwrap_or_else(|| Arc::new(object))));
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
        for lease in &leases {
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
        for (plural, before) in std::mem::take(&mut self.objects) {
            let name = text(&before["metadata"]["name"]);
            if stored(world, "", plural, NAMESPACE, name).as_ref() != Some(&before) {
                broken.push(("others-left-alone", now, format!("{plural}/{name}")));
            }
        }
        if self.plan.replicas.len() > 1 {
            let programs: Vec<ProgramId> = world.engine().programs().collect();
            broken.extend(requests.iter().find_map(|request| {
                let replica = programs.iter().position(|program| *program == request.program)?;
                let is_write = !request.line.starts_with("GET ") && !is_of_election(request);
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
pub(super) fn is_taken(world: &EmbeddedWorld, cluster: &Value) -> bool {
    let (namespace, name) = (text(&cluster["metadata"]["namespace"]), text(&cluster["metadata"]["name"]));
    let service = text(&cluster["spec"]["network"]["headlessName"]);
    let service = if service.is_empty() { name } else { service };
    let (config_map, secret) = (format!("{name}-entrypoint"), format!("{name}-curve"));
    let names = [
        ("", "configmaps", &*config_map),
        ("", "secrets", &*secret),
        ("", "services", service),
        ("batch", "jobs", name),
    ];
    names.iter().any(|(group, plural, taken)| {
        let Some(object) = stored(world, group, plural, namespace, taken) else { return false };
        let owners = object["metadata"]["ownerReferences"].as_array();
        let is_of_it = |owner: &Value| {
            owner["kind"] == "MiniCluster"
                && owner["name"] == name
                && text(&owner["apiVersion"]).split('/').next() == Some(GROUP)
        };
        // One that belongs to a MiniCluster of this name before it goes by itself.
        !owners.into_iter().flatten().any(is_of_it)
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
fn bystanders(name: &str) -> Vec<(&'static str, Value)> {
    let labels = json!({"app.kubernetes.io/managed-by": "towtank-operator", "app.kubernetes.io/name": name});
    let object = |kind: &str, plural: &'static str, name: &str, rest: Value| {
        let mut object =
            json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": labels.clone()}});
        if let (Some(object), Value::Object(rest)) = (object.as_object_mut(), rest) {
            object.extend(rest);
        }
        (plural, object)
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

/// What is stored under a name.
pub(super) fn stored(
    world: &EmbeddedWorld,
    group: &str,
    plural: &str,
    namespace: &str,
    name: &str,
) -> Option<Arc<Value>> {
    world.engine().site().application().api().object(group, plural, namespace, name)
}
