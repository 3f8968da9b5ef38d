//! What goes wrong between a program and the server, and when: a plan, so that the same plan goes wrong in the same way again.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Uri};

use crate::error::ApiError;
use crate::request;

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFault {
    /// The server answers with an error; `Before`: it has done nothing, `After`: it has done what it was asked.
    Error(Moment),
    /// 409 Conflict, as if another had written first: the server has done nothing.
    Conflict,
    /// 504 after a minute.
    Timeout(Moment),
    /// The connection breaks.
    Broken(Moment),
    /// It arrives so much later.
    Delay(Duration),
    /// The program's process ends.
    Crash(Moment),
}

/// Before or after the server has done what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It has not, and never will.
    Before,
    /// It has; the answer is lost.
    After,
}

/// What becomes of one event of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFault {
    /// It, and those after it, arrive so much later.
    Delay(Duration),
    /// The connection ends before it.
    Broken,
    /// The server has forgotten the version from which the watch should go on: an ERROR event with code 410, and the end.
    Expired,
}

/// What goes wrong for one program. Requests, and events of all of its watches together, are counted from 0 over all of its lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// By the number of the request.
    pub requests: BTreeMap<u64, RequestFault>,
    /// By the number of the event.
    pub events: BTreeMap<u64, WatchFault>,
}

impl RequestFault {
    /// Whether the server does what it was asked.
    pub(super) const fn is_executed(self) -> bool {
        match self {
            Self::Error(moment) | Self::Timeout(moment) | Self::Broken(moment) | Self::Crash(moment) => {
                matches!(moment, Moment::After)
            }
            Self::Conflict => false,
            Self::Delay(_) => true,
        }
    }

    /// How much later than otherwise the answer comes.
    pub(super) const fn delay(self) -> Duration {
        const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
        match self {
            Self::Delay(delay) => delay,
            Self::Timeout(_) => REQUEST_TIMEOUT,
            _ => Duration::ZERO,
        }
    }

    /// Whether this can become of a request with this method: only a change of an object meets a conflict.
    pub(super) fn concerns(self, method: &Method) -> bool {
        self != Self::Conflict || matches!(*method, Method::PUT | Method::PATCH)
    }

    /// The error that comes in the place of the answer to a request for this path, if one comes.
    pub(super) fn error(self, uri: &Uri) -> Option<ApiError> {
        match self {
            Self::Error(_) => Some(ApiError::internal("etcdserver: request timed out")),
            Self::Timeout(_) => {
                Some(ApiError::timeout("request did not complete within requested timeout", 0))
            }
            Self::Conflict => Some(conflict(uri)),
            _ => None,
        }
    }
}

fn conflict(uri: &Uri) -> ApiError {
    const WHY: &str =
        "the object has been modified; please apply your changes to the latest version and try again";
    match request::parse_path(uri.path()) {
        request::Path::Resource(target) => {
            ApiError::conflict(&target.group, &target.plural, &target.name, WHY)
        }
        request::Path::Other(_) => ApiError::conflict("", "", "", WHY),
    }
}

/// What a watch says last when the version from which it should go on is forgotten.
pub(super) fn expired() -> Bytes {
    let status = ApiError::expired("The resourceVersion for the provided watch is too old.").to_status();
    Bytes::from(format!("{}\n", serde_json::json!({"type": "ERROR", "object": status})))
}

/// Faults that meet the nth request or event of a kind, whichever program's it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Planted {
    requests: Vec<Nth<(&'static str, String), RequestFault>>,
    events: Vec<Nth<String, WatchFault>>,
}

/// A fault for the nth of a kind from now on.
#[derive(Clone, Debug)]
struct Nth<K, F> {
    kind: K,
    left: u32,
    fault: F,
}

/// The fault that the next of a kind meets. Of two that are due the second meets the one after it.
fn next<K: PartialEq, F: Copy>(planted: &mut Vec<Nth<K, F>>, kind: &K) -> Option<F> {
    for nth in planted.iter_mut().filter(|nth| nth.kind == *kind) {
        nth.left = nth.left.saturating_sub(1);
    }
    let due = planted.iter().position(|nth| nth.left == 0 && nth.kind == *kind)?;
    Some(planted.remove(due).fault)
}

impl Planted {
    /// The nth request, from 1, of this verb and resource (`patch`, `miniclusters/status`) meets a fault.
    pub(super) fn add_request(&mut self, verb: &'static str, resource: &str, nth: u32, fault: RequestFault) {
        self.requests.push(Nth { kind: (verb, resource.to_owned()), left: nth, fault });
    }

    /// The nth event, from 1, of watches of this resource meets a fault.
    pub(super) fn add_event(&mut self, resource: &str, nth: u32, fault: WatchFault) {
        self.events.push(Nth { kind: resource.to_owned(), left: nth, fault });
    }

    /// How many there are left.
    pub(super) fn len(&self) -> usize {
        self.requests.len() + self.events.len()
    }

    /// What becomes of a request.
    pub(super) fn next_request(&mut self, method: &Method, uri: &Uri) -> Option<RequestFault> {
        if self.requests.is_empty() {
            return None;
        }
        next(&mut self.requests, &request::kind_of(method, uri)?)
    }

    /// What becomes of an event of a watch with this path.
    pub(super) fn next_event(&mut self, uri: &Uri) -> Option<WatchFault> {
        if self.events.is_empty() {
            return None;
        }
        next(&mut self.events, &request::kind_of(&Method::GET, uri)?.1)
    }
}
