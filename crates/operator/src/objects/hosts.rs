//! Hosts of all ranks: rank = position in the list (A.5, E.2).

use towtank_api::MiniClusterSpec;

/// The clusters to burst to, with the names and sizes that absent fields stand for (A.11.7).
pub fn bursted(spec: &MiniClusterSpec, created_size: i32) -> Vec<(String, i32)> {
    let clusters = spec.flux.bursting.clusters.iter().enumerate();
    clusters
        .map(|(position, cluster)| {
            let name =
                if cluster.name.is_empty() { format!("burst-{position}") } else { cluster.name.clone() };
            (name, cluster.size.unwrap_or(created_size).max(1))
        })
        .collect()
}

/// The hostlist of broker.toml and of the resources.
pub fn hostlist(name: &str, spec: &MiniClusterSpec, created: super::Created) -> String {
    let bursting = &spec.flux.bursting;
    if !bursting.hostlist.is_empty() {
        return bursting.hostlist.clone();
    }
    let lead = &bursting.lead_broker;
    let mut hosts = Vec::new();
    if lead.address.is_empty() {
        hosts.push(range(name, 0, created.maximum));
    } else {
        // The lead has another name here, all others are where the lead's own list has them.
        hosts.push(lead.address.clone());
        if lead.size > 1 {
            hosts.push(range(&lead.name, 1, lead.size));
        }
    }
    let clusters = bursted(spec, created.size);
    if !lead.address.is_empty() && clusters.is_empty() {
        hosts.push(range(name, 0, created.maximum));
    }
    hosts.extend(clusters.iter().map(|(name, size)| range(name, 0, *size)));
    hosts.join(",")
}

/// Hosts `name-FIRST` to `name-(END-1)`.
fn range(name: &str, first: i32, end: i32) -> String {
    let last = end.max(first + 1) - 1;
    if last == first { format!("{name}-[{first}]") } else { format!("{name}-[{first}-{last}]") }
}
