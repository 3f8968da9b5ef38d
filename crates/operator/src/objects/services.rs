//! Services: the headless one that gives pods their names, and one for each sidecar with ports (A.4).

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use towtank_api::{Container, MiniCluster};

use super::{HPA_LABEL, INDEX_LABEL, NAME_LABEL, PORT, SERVICES_LABEL, labels, metadata, sidecars};

/// The name of the headless service, and subdomain of the pods.
pub fn headless_name(cluster: &MiniCluster) -> String {
    let name = &cluster.spec.network.headless_name;
    if name.is_empty() { cluster.name_any() } else { name.clone() }
}

/// All services of a MiniCluster, the headless one first.
pub fn services(cluster: &MiniCluster) -> Vec<Service> {
    let spec = &cluster.spec;
    let mut services = vec![headless(cluster)];
    let name = cluster.name_any();
    let brokers = [(NAME_LABEL, name.as_str()), (HPA_LABEL, name.as_str())];
    services.extend(
        sidecars(spec).filter_map(|(_, container)| of_container(cluster, container, labels(&brokers))),
    );
    let pod = [(SERVICES_LABEL, name.as_str())];
    services
        .extend(spec.services.iter().filter_map(|container| of_container(cluster, container, labels(&pod))));
    // A container with the name of another service has none of its own.
    let mut names = BTreeSet::new();
    services.retain(|service| names.insert(service.name_any()));
    services
}

fn headless(cluster: &MiniCluster) -> Service {
    let name = cluster.name_any();
    let spec = if cluster.spec.flux.minimal_service {
        ServiceSpec {
            ports: Some(vec![port(PORT)]),
            selector: Some(labels(&[(HPA_LABEL, &name), (INDEX_LABEL, "0")])),
            publish_not_ready_addresses: Some(true),
            ..ServiceSpec::default()
        }
    } else {
        ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            selector: Some(labels(&[(NAME_LABEL, &name)])),
            // Brokers find each other before they are ready: being ready is having found each other.
            publish_not_ready_addresses: Some(true),
            ..ServiceSpec::default()
        }
    };
    Service { metadata: metadata(cluster, headless_name(cluster)), spec: Some(spec), ..Service::default() }
}

fn of_container(
    cluster: &MiniCluster,
    container: &Container,
    selector: BTreeMap<String, String>,
) -> Option<Service> {
    if container.ports.is_empty() || container.name.is_empty() {
        return None;
    }
    let spec = ServiceSpec {
        ports: Some(container.ports.iter().map(|number| port(*number)).collect()),
        selector: Some(selector),
        ..ServiceSpec::default()
    };
    Some(Service {
        metadata: metadata(cluster, container.name.clone()),
        spec: Some(spec),
        ..Service::default()
    })
}

fn port(number: i32) -> ServicePort {
    ServicePort {
        name: Some(format!("port-{number}")),
        port: number,
        target_port: Some(IntOrString::Int(number)),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}
