//! Between two scenarios in a cluster that nobody else uses: whatever the first has made goes.

use http::Method;
use serde_json::{Value, json};
use towtank_lockstep::virtual_world::embedded;

use crate::clock::{self, Clock};
use crate::connection::Connection;
use crate::site::{JSON, MERGE, POLL, SETTLED_WITHIN, SiteError, list};

/// Takes away what a scenario has made in a cluster that nobody else uses.
pub(crate) fn clean(connection: &Connection) -> Result<(), SiteError> {
    let namespaces = list(connection, "/api/v1/namespaces")?;
    let names = namespaces.iter().filter_map(|object| object["metadata"]["name"].as_str());
    let own = names.filter(|name| !is_of_the_cluster(name));
    for namespace in own {
        // Owners before what they would make again.
        for (resource, propagation) in [
            ("apis/flux-framework.org/v1alpha2/namespaces/{}/miniclusters", "Background"),
            ("apis/batch/v1/namespaces/{}/jobs", "Background"),
            ("api/v1/namespaces/{}/pods", "Background"),
            ("apis/policy/v1/namespaces/{}/poddisruptionbudgets", "Background"),
        ] {
            let collection = format!("/{}", resource.replace("{}", namespace));
            empty(connection, &collection, propagation)?;
        }
        delete_others(connection, namespace)?;
    }
    Ok(())
}

/// Deletes all objects of a collection until none is left.
fn empty(connection: &Connection, collection: &str, propagation: &str) -> Result<(), SiteError> {
    let clock = Clock::start();
    let began = clock.now();
    loop {
        let objects = list(connection, collection)?;
        if objects.is_empty() {
            return Ok(());
        }
        for object in &objects {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let path = format!("{collection}/{name}");
            if object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty()) {
                let patch = json!({"metadata": {"finalizers": null}});
                connection.ask(Method::PATCH, &path, MERGE, &patch)?;
            }
            let options = json!({"gracePeriodSeconds": 0, "propagationPolicy": propagation});
            connection.ask(Method::DELETE, &path, JSON, &options)?;
        }
        if clock.now().since(began) > SETTLED_WITHIN {
            let what = format!("{collection} is not empty: {} objects are left", objects.len());
            return Err(SiteError::Late { what, seconds: SETTLED_WITHIN.as_secs() });
        }
        clock::pause(POLL);
    }
}

/// What an operator leaves to the garbage collector, which comes late.
fn delete_others(connection: &Connection, namespace: &str) -> Result<(), SiteError> {
    for kind in ["configmaps", "secrets", "services", "events"] {
        let collection = format!("/api/v1/namespaces/{namespace}/{kind}");
        let keeps = |name: &str| matches!(name, "kube-root-ca.crt" | "kubernetes");
        for object in list(connection, &collection)? {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            if !keeps(name) {
                let path = format!("{collection}/{name}");
                connection.ask(Method::DELETE, &path, JSON, &Value::Null)?;
            }
        }
    }
    Ok(())
}

/// Whether a namespace is the cluster's own, or the operator's: what is there is no part of a scenario.
fn is_of_the_cluster(namespace: &str) -> bool {
    namespace.starts_with("kube-") || namespace == "local-path-storage" || namespace == embedded::NAMESPACE
}
