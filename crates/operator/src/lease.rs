//! One replica works, the others wait: an election by a Lease, as the controllers of Kubernetes hold it.
//!
//! A replica takes the Lease over when nobody holds it, or when its holder has not renewed it for as long as it says. How long
//! ago that was is measured on the replica's own clock, from when it saw the last renewal, so that clocks need not agree. Every write
//! names the version that was read, so of two that try at once one fails. A holder that cannot renew stops before another can
//! take over.

use std::future::Future;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tracing::{info, warn};

use crate::{Clock, MANAGER, Settings};

/// Which Lease, who asks, and how patient everybody is.
#[derive(Clone, Debug)]
pub struct Election {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Who asks: no two replicas may say the same.
    pub identity: String,
    /// How long a Lease is valid after its last renewal.
    pub lease: Duration,
    /// A holder that could not renew for so long stops; less than `lease`.
    pub renew_deadline: Duration,
    /// How often it is tried.
    pub retry: Duration,
}

impl Election {
    /// The times that the controllers of Kubernetes use.
    pub fn new(namespace: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: MANAGER.to_owned(),
            identity: identity.into(),
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// How a turn as leader ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was told to stop, and has finished what was under way.
    Stopped,
    /// The Lease could not be renewed: everything was dropped where it stood.
    Lost,
}

/// Waits for its turn, then looks after MiniClusters as long as it leads.
pub async fn run_elected(
    client: Client,
    settings: Settings,
    election: Election,
    stop: impl Future<Output = ()> + Send + 'static,
) -> End {
    let metrics = settings.metrics.clone();
    let mut candidate = Candidate {
        api: Api::namespaced(client.clone(), &election.namespace),
        now: settings.now.clone(),
        seen: None,
        election,
    };
    let mut stop = Box::pin(stop);
    // A stop that comes first wins, so that the outcome does not depend on chance.
    tokio::select! {
        biased;
        () = &mut stop => return End::Stopped,
        () = candidate.acquire() => {}
    }
    info!(identity = %candidate.election.identity, "leading");
    metrics.is_leader.set(1);
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    let work = crate::run_until(client, settings, async move {
        let _ = told.await;
    });
    tokio::pin!(work);
    let end = tokio::select! {
        biased;
        () = &mut stop => End::Stopped,
        () = candidate.hold() => End::Lost,
        // It ends by itself only when its watches do.
        () = &mut work => End::Lost,
    };
    if end == End::Stopped {
        let _ = tell.send(());
        // Renewed while the last reconciles finish.
        tokio::select! {
            biased;
            () = &mut work => {}
            () = candidate.hold() => {}
        }
        candidate.release().await;
    }
    metrics.is_leader.set(0);
    end
}

/// The Lease as it was last seen to change.
#[derive(Debug)]
struct Seen {
    version: Option<String>,
    at: Timestamp,
}

struct Candidate {
    api: Api<Lease>,
    now: Clock,
    seen: Option<Seen>,
    election: Election,
}

impl Candidate {
    /// Tries until it holds the Lease.
    async fn acquire(&mut self) {
        loop {
            match self.try_once().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => warn!(%error, "could not ask for the Lease"),
            }
            tokio::time::sleep(self.election.retry).await;
        }
    }

    /// Renews until that has failed for too long.
    async fn hold(&mut self) {
        let mut last = (self.now)();
        loop {
            tokio::time::sleep(self.election.retry).await;
            // A call that hangs is a renewal that fails.
            let left = self.election.renew_deadline.saturating_sub(since(last, (self.now)()));
            // The others count from when it was renewed, which may have been long before the answer.
            let asked = (self.now)();
            match tokio::time::timeout(left.max(Duration::from_millis(1)), self.try_once()).await {
                Ok(Ok(true)) => last = asked,
                Ok(Ok(false)) => {
                    warn!("another holds the Lease");
                    return;
                }
                Ok(Err(error)) => warn!(%error, "could not renew the Lease"),
                Err(_) => warn!("renewing the Lease takes too long"),
            }
            if since(last, (self.now)()) >= self.election.renew_deadline {
                return;
            }
        }
    }

    /// Takes or renews the Lease, if nobody else holds it.
    async fn try_once(&mut self) -> Result<bool, kube::Error> {
        let now = (self.now)();
        let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let Some(mut lease) = self.api.get_opt(&self.election.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.election.name.clone()),
                    namespace: Some(self.election.namespace.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.spec(None, now)),
            };
            return self.api.create(&parameters, &lease).await.map(|_| true);
        };
        // Seen when the answer is here: on its way it may have taken long, and tell of a renewal that was later than the question.
        let seen = (self.now)();
        if self.is_held_by_another(&lease, seen) {
            return Ok(false);
        }
        lease.spec = Some(self.spec(lease.spec.as_ref(), now));
        // A conflict is a try that failed: who holds it is read with the next.
        self.api.replace(&self.election.name, &parameters, &lease).await.map(|_| true)
    }

    fn is_held_by_another(&mut self, lease: &Lease, now: Timestamp) -> bool {
        let spec = lease.spec.as_ref();
        let holder = spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
        if holder.is_empty() || holder == self.election.identity {
            return false;
        }
        let seconds =
            spec.and_then(|spec| spec.lease_duration_seconds).and_then(|seconds| u64::try_from(seconds).ok());
        let valid = seconds.map_or(self.election.lease, Duration::from_secs);
        let version = lease.metadata.resource_version.clone();
        match &self.seen {
            Some(seen) if seen.version == version => since(seen.at, now) < valid,
            _ => {
                self.seen = Some(Seen { version, at: now });
                true
            }
        }
    }

    fn spec(&self, old: Option<&LeaseSpec>, now: Timestamp) -> LeaseSpec {
        let mut spec = old.cloned().unwrap_or_default();
        let identity = Some(self.election.identity.clone());
        if spec.holder_identity != identity {
            let transitions = spec.lease_transitions.unwrap_or_default();
            spec.lease_transitions = Some(if old.is_some() { transitions.saturating_add(1) } else { 0 });
            spec.acquire_time = Some(MicroTime(now));
            spec.holder_identity = identity;
        }
        spec.lease_duration_seconds = i32::try_from(self.election.lease.as_secs()).ok();
        spec.renew_time = Some(MicroTime(now));
        spec
    }

    /// Lets another take over at once.
    async fn release(&self) {
        let released = async {
            let Some(mut lease) = self.api.get_opt(&self.election.name).await? else { return Ok(()) };
            let Some(spec) = lease.spec.as_mut() else { return Ok(()) };
            if spec.holder_identity.as_deref() == Some(&self.election.identity) {
                spec.holder_identity = Some(String::new());
                spec.lease_duration_seconds = Some(1);
                self.api.replace(&self.election.name, &PostParams::default(), &lease).await?;
            }
            Ok::<(), kube::Error>(())
        };
        match tokio::time::timeout(self.election.retry, released).await {
            Ok(Ok(())) => info!("released the Lease"),
            Ok(Err(error)) => warn!(%error, "could not release the Lease: another takes over when it ends"),
            Err(_) => warn!("releasing the Lease takes too long: another takes over when it ends"),
        }
    }
}

fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then).max(SignedDuration::ZERO)).unwrap_or_default()
}
