//! What real clusters are made of, as options say.

use std::path::{Path, PathBuf};

use towtank_cluster::kind::{KindConfig, NEWEST_ON_CGROUP_V1};
use towtank_cluster::site::{Containers, Images, Local, ProviderConfig};
use towtank_model::version::KubernetesVersion;

use super::absolute;
use crate::args::{ClusterArguments, Provider};
use crate::failure::Failure;

/// What the clusters are made of.
pub(super) fn provider(arguments: &ClusterArguments) -> Result<ProviderConfig, Failure> {
    if arguments.images.is_some() && arguments.provider != Provider::Containers {
        return Err(is_of("--images", "containers"));
    }
    if arguments.provider == Provider::Kind {
        return Ok(ProviderConfig::Kind(KindConfig {
            target_dir: absolute(&arguments.programs)?.parent().map_or_else(PathBuf::new, Path::to_path_buf),
            node_image: arguments.node_image.clone(),
            operator_image: arguments.operator_image.clone(),
            images: images(arguments),
        }));
    }
    if arguments.node_image.is_some() {
        return Err(is_of("--node-image", "kind"));
    }
    let containers = (arguments.provider == Provider::Containers)
        .then(|| arguments.images.clone().map_or(Containers::Built, Containers::Named));
    let (programs, operator) = (&arguments.programs, &arguments.operator);
    if !operator.is_file() {
        return Err(Failure::NoCluster(format!(
            "the operator `{}` is not there: `cargo build --release --package towtank-operator` builds it",
            operator.display()
        )));
    }
    Ok(ProviderConfig::Local(Local {
        programs: absolute(programs)?,
        operator: absolute(operator)?,
        containers,
    }))
}

/// An option was given with another provider than the one that it is for.
pub(super) fn is_of(option: &str, provider: &str) -> Failure {
    Failure::Usage(format!("`{option}` is for `--provider {provider}`"))
}

/// What pods of MiniClusters run on real nodes.
fn images(arguments: &ClusterArguments) -> Images {
    let view = arguments.view_image.as_ref().unwrap_or(&arguments.broker_image);
    Images { broker: arguments.broker_image.clone(), view: (view != "none").then(|| view.clone()) }
}

/// The version that is played when none is named: the newest, and where nodes are containers the newest whose kubelet starts on cgroup v1 as on v2.
pub(super) const fn newest(provider: Provider) -> KubernetesVersion {
    match provider {
        Provider::Kind => NEWEST_ON_CGROUP_V1,
        _ => KubernetesVersion::NEWEST,
    }
}
