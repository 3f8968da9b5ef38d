//! Measures how long changes of size take on a real cluster.
//!
//! The times are those at which this process's watches have told of something, stamped when it came, not when the copy of the cluster took it over: the thread
//! that moves the copy writes for all virtual nodes, one request after the other.

pub mod record;

use std::collections::BTreeMap;

use serde_json::Value;
use towtank_lockstep::latency::play::Lookout;
use towtank_lockstep::latency::{PodSeen, Seen, Sighting};
use towtank_lockstep::world::World;
use towtank_model::time::Time;
use towtank_scenario::ast::{Scenario, Stack};
use towtank_scenario::observation::MiniClusterView;

use crate::chaos::Chaos;
use crate::site::{Site, SiteError};
use crate::watch::{Message, Shown, Watched};
use crate::world::{self, ClusterWorld};

/// A real cluster whose MiniCluster is measured.
pub struct Measured(ClusterWorld);

impl Measured {
    /// A fresh world for a scenario, which a site is made ready for.
    ///
    /// # Errors
    ///
    /// See [`SiteError`].
    pub fn begin(site: &mut Site, scenario: &Scenario, stack: Stack) -> Result<Self, SiteError> {
        let mut world = world::begin(site, scenario, stack, Chaos::default())?;
        world.engine_mut().keep_log();
        Ok(Self(world))
    }
}

impl Lookout for Measured {
    fn world(&mut self) -> &mut dyn World {
        &mut self.0
    }

    fn look(&mut self) -> Vec<Sighting> {
        self.0.engine_mut().take_log()
    }
}

/// What watches have told, and how many brokers are online.
#[derive(Debug, Default)]
pub(crate) struct Log {
    sightings: Vec<Sighting>,
    /// Numbers of pods by their uids.
    pods: BTreeMap<String, u64>,
    online: i64,
}

impl Log {
    /// What has been noted since the last call.
    pub(crate) fn take(&mut self) -> Vec<Sighting> {
        std::mem::take(&mut self.sightings)
    }

    /// A watch has told of something.
    pub(crate) fn note(&mut self, message: &Message, at: Time) {
        let seen = match (message.watched, &message.shown) {
            (Watched::MiniClusters, Shown::Stored(object)) => minicluster(object),
            (Watched::Jobs, Shown::Stored(object)) => job(object),
            (Watched::Pods, Shown::Stored(object)) => Seen::Pod(self.number(object), pod(object)),
            (Watched::Pods, Shown::Gone(object)) => Seen::Gone(self.number(object)),
            _ => return,
        };
        self.sightings.push(Sighting { at, seen });
    }

    /// Brokers may have come or gone.
    pub(crate) fn note_brokers(&mut self, views: &[MiniClusterView], at: Time) {
        let online = views.iter().map(|view| view.flux.online).sum();
        if std::mem::replace(&mut self.online, online) != online {
            self.sightings.push(Sighting { at, seen: Seen::Online(online) });
        }
    }

    fn number(&mut self, object: &Value) -> u64 {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        if let Some(number) = self.pods.get(uid) {
            return *number;
        }
        let number = self.pods.len() as u64;
        self.pods.insert(uid.to_owned(), number);
        number
    }
}

fn count(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

fn minicluster(object: &Value) -> Seen {
    Seen::MiniCluster {
        size: count(object, "/spec/size"),
        told: count(object, "/status/size"),
        ready: count(object, "/status/ready"),
    }
}

fn job(object: &Value) -> Seen {
    Seen::Job {
        parallelism: count(object, "/spec/parallelism"),
        active: count(object, "/status/active"),
        ready: count(object, "/status/ready"),
        terminating: count(object, "/status/terminating"),
    }
}

fn pod(object: &Value) -> PodSeen {
    let phase = object.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
    let has_ended = matches!(phase, "Succeeded" | "Failed");
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    PodSeen {
        is_bound: object.pointer("/spec/nodeName").is_some_and(Value::is_string),
        has_run: has_ended || phase == "Running",
        is_ready: conditions.into_iter().flatten().any(is_ready),
        is_told: object.pointer("/metadata/deletionTimestamp").is_some_and(Value::is_string),
        has_ended,
    }
}
