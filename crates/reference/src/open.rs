//! Open mode: the real controllers at an API server that is not the driver's.

use serde_json::Value;
use towtank_model::job::WatchKind;
use towtank_model::server::Actor;
use towtank_model::simulation::Context;

/// An API server, as the controllers' process reaches it.
pub trait Upstream {
    /// Carries out a request at the present instant.
    fn handle(&mut self, request: Request<'_>, ctx: &mut Context<'_>) -> Answer;

    /// What the watches of Jobs and pods have shown since the last call, in the order in which it happened.
    ///
    /// # Errors
    ///
    /// Why they cannot be read.
    fn changes(&mut self, ctx: &mut Context<'_>) -> Result<Vec<Shown>, String>;
}

/// A request of one of the controllers.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Which of them.
    pub actor: Actor,
    /// `PUT`.
    pub method: &'a str,
    /// `/apis/batch/v1/namespaces/default/jobs/work/status`.
    pub path: &'a str,
    /// The type of the body.
    pub content_type: &'a str,
    /// The body, if there is one.
    pub body: Option<&'a Value>,
}

/// What comes of a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub code: u16,
    /// An object, or a `metav1.Status`.
    pub body: Value,
}

/// A change, as a watch shows it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The watch.
    pub kind: WatchKind,
    /// `{"type": "ADDED", "object": {…}}`.
    pub event: Value,
}
