//! The operator as `deploy/` has it: its definition, its ServiceAccount and its roles. It may do in this world what the manifests allow, and nothing else.
//!
//! The Deployment is not among them: the world itself starts the operator.

use std::sync::LazyLock;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use towtank_apiserver::Caller;
use towtank_model::server::Actor;
use towtank_model::simulation::Context;

use super::super::SetupError;
use super::EmbeddedWorld;
use super::production::{Api, Production};
use crate::virtual_world::Engine as _;
use crate::world::Refusal;

/// Who the operator is at the API server: what the bindings are for.
pub const NAMESPACE: &str = "towtank-system";
/// The name of its ServiceAccount.
pub const OPERATOR: &str = "towtank-operator";

const MANIFESTS: [&str; 6] = [
    include_str!("../../../../../deploy/namespace.yaml"),
    include_str!("../../../../../deploy/service-account.yaml"),
    include_str!("../../../../../deploy/cluster-role.yaml"),
    include_str!("../../../../../deploy/cluster-role-binding.yaml"),
    include_str!("../../../../../deploy/role.yaml"),
    include_str!("../../../../../deploy/role-binding.yaml"),
];

/// Where each object is made, and its JSON: worlds are made by the hundred in a second.
static OBJECTS: LazyLock<Result<Vec<(String, Bytes)>, String>> = LazyLock::new(|| {
    let definition = serde_json::to_value(towtank_api::crd()).map_err(|error| error.to_string());
    let read = |text: &str| serde_saphyr::from_str::<Value>(text).map_err(|error| error.to_string());
    let objects = std::iter::once(definition).chain(MANIFESTS.iter().map(|text| read(text)));
    objects
        .map(|object| object.map(|object| (collection(&object), Bytes::from(object.to_string()))))
        .collect()
});

/// The path of the objects of a kind: all kinds of `deploy/` have simple plurals.
fn collection(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (text("/apiVersion"), text("/kind").to_lowercase());
    let root = if version.contains('/') { "/apis" } else { "/api" };
    match text("/metadata/namespace") {
        "" => format!("{root}/{version}/{kind}s"),
        namespace => format!("{root}/{version}/namespaces/{namespace}/{kind}s"),
    }
}

/// Who the operator is at the API server.
pub fn operator_caller() -> Caller {
    Caller::service_account(NAMESPACE, OPERATOR, Actor::Operator)
}

/// The Deployment of `deploy/`, and the path that it is made at: for clusters in which pods really run.
///
/// # Errors
///
/// It cannot be read.
pub fn deployment() -> Result<(String, Value), SetupError> {
    let text = include_str!("../../../../../deploy/deployment.yaml");
    let object: Value = serde_saphyr::from_str(text)
        .map_err(|error| SetupError::Driver(format!("deploy/deployment.yaml: {error}")))?;
    Ok((collection(&object), object))
}

/// The objects of `deploy/` without the Deployment: the path that each is made at, and its JSON, in the order in which they are made.
///
/// # Errors
///
/// A manifest cannot be read.
pub fn manifests() -> Result<&'static [(String, Bytes)], SetupError> {
    OBJECTS.as_deref().map_err(|error| SetupError::Driver(format!("deploy/: {error}")))
}

impl<A: Api> Production<A> {
    /// Makes MiniClusters known, and what the operator may do.
    ///
    /// # Errors
    ///
    /// A manifest of `deploy/` is refused.
    pub fn deploy(&mut self, ctx: &mut Context<'_>) -> Result<(), SetupError> {
        for (path, body) in manifests()? {
            let path = format!("{path}?fieldManager=kubectl&fieldValidation=Strict");
            self.send(ctx, (Method::POST, &path, super::user::JSON), body.clone())
                .map_err(|refusal| SetupError::Driver(format!("deploy/: {refusal}")))?;
        }
        Ok(())
    }
}

impl EmbeddedWorld {
    /// A request of the cluster's administrator's; what the server answers.
    ///
    /// # Errors
    ///
    /// The server refuses it.
    pub fn request(
        &mut self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Value, Refusal> {
        let simulation = self.engine.simulation_mut();
        simulation.apply_to(|upper, ctx| upper.send(ctx, (method, path, content_type), body))
    }
}
