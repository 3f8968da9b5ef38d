//! Free ports of the loopback interface.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use crate::error::ControlPlaneError;

/// Below the range from which Linux takes the ports of outgoing connections (32768 and up): a client that keeps trying a server that is
/// stopped would at some time connect to itself, and the server could not come back.
const RANGE: Range<u16> = 15_000..32_000;
/// Candidates that are tried before there counts as no free port. Nearly all are free.
const TRIES: usize = 1_000;

/// Where everything listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) etcd: u16,
    pub(crate) etcd_peer: u16,
    pub(crate) apiserver: u16,
    pub(crate) controller_manager: u16,
    pub(crate) scheduler: u16,
}

impl Ports {
    /// Ports that are free now. Another process may take one before it is used.
    pub(crate) fn choose() -> Result<Self, ControlPlaneError> {
        let mut chosen = BTreeSet::new();
        Ok(Self {
            etcd: free(&mut chosen)?,
            etcd_peer: free(&mut chosen)?,
            apiserver: free(&mut chosen)?,
            controller_manager: free(&mut chosen)?,
            scheduler: free(&mut chosen)?,
        })
    }
}

fn free(chosen: &mut BTreeSet<u16>) -> Result<u16, ControlPlaneError> {
    for _ in 0..TRIES {
        let random = getrandom::u32()
            .map_err(|error| ControlPlaneError::Machine(format!("no random numbers: {error}")))?;
        let offset = random % u32::from(RANGE.end - RANGE.start);
        let port = RANGE.start + u16::try_from(offset).unwrap_or_default();
        if !chosen.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            chosen.insert(port);
            return Ok(port);
        }
    }
    Err(ControlPlaneError::NoPorts(TRIES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_different_and_in_the_range() {
        let ports = Ports::choose().expect("free ports");
        let all = [ports.etcd, ports.etcd_peer, ports.apiserver, ports.controller_manager, ports.scheduler];
        assert_eq!(BTreeSet::from(all).len(), all.len());
        assert!(all.iter().all(|port| RANGE.contains(port)), "{all:?}");
    }
}
