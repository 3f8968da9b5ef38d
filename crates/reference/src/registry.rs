//! Writes of everybody but the controllers, carried out by the driver's store.

use serde_json::json;
use towtank_model::server::{ApiError, Registry, Replica, Request};
use towtank_model::time::Time;
use towtank_wire::request::http_request;

use crate::session::{Link, node_name};

/// The driver's store, as a judge of writes.
pub(crate) struct RemoteRegistry(pub(crate) Link);

impl Registry for RemoteRegistry {
    fn write(&mut self, _now: Time, request: &Request<'_>) -> Result<Vec<Replica>, ApiError> {
        let sent = http_request(request, node_name);
        let object = (sent.kind.plural(), sent.key);
        self.0.request(object, (sent.method, &sent.path, sent.content_type), &sent.body)
    }

    fn terminate_namespace(&mut self, namespace: &str) {
        self.0.tell(&json!({"do": "terminate-namespace", "name": namespace}));
    }
}
