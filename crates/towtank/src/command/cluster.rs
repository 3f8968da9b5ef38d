//! What real clusters are made of, as options say.

use std::path::{Path, PathBuf};

use towtank_cluster::deployed::Images;
use towtank_cluster::kind::{KindConfig, NEWEST_ON_CGROUP_V1};
use towtank_cluster::kubeconfig::ForeignConfig;
use towtank_cluster::site::{Containers, Local, ProviderConfig};
use towtank_model::version::KubernetesVersion;

use super::absolute;
use crate::args::{ClusterArguments, Provider};
use crate::failure::Failure;

/// What the clusters are made of.
pub(super) fn provider(arguments: &ClusterArguments) -> Result<ProviderConfig, Failure> {
    if arguments.images.is_some() && arguments.provider != Provider::Containers {
        return Err(is_of("--images", "containers"));
    }
    if arguments.node_image.is_some() && arguments.provider != Provider::Kind {
        return Err(is_of("--node-image", "kind"));
    }
    let names_cluster =
        arguments.kubeconfig.is_some() || arguments.context.is_some() || arguments.change_this_cluster;
    if names_cluster && arguments.provider != Provider::Kubeconfig {
        return Err(is_of("--kubeconfig`, `--context` and `--change-this-cluster", "kubeconfig"));
    }
    match arguments.provider {
        Provider::Process | Provider::Containers => {}
        Provider::Kubeconfig => return foreign(arguments, images(arguments)).map(ProviderConfig::Foreign),
        Provider::Kind => {
            let target_dir =
                absolute(&arguments.programs)?.parent().map_or_else(PathBuf::new, Path::to_path_buf);
            let (node_image, images) = (arguments.node_image.clone(), images(arguments));
            return Ok(ProviderConfig::Kind(KindConfig { target_dir, node_image, images }));
        }
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

/// A cluster that is there already, if its user says that it may be changed.
fn foreign(arguments: &ClusterArguments, images: Images) -> Result<ForeignConfig, Failure> {
    let Some(kubeconfig) = &arguments.kubeconfig else {
        return Err(Failure::Usage("`--provider kubeconfig` needs `--kubeconfig FILE`".to_owned()));
    };
    let cluster =
        ForeignConfig { kubeconfig: absolute(kubeconfig)?, context: arguments.context.clone(), images };
    let place = cluster.place().map_err(|error| Failure::Usage(error.to_string()))?;
    if arguments.change_this_cluster {
        return Ok(cluster);
    }
    Err(Failure::Usage(format!(
        "this would change {place}: it would get the definition of MiniClusters, the namespace `towtank-system` with an operator of them, cluster roles for it, and \
         namespaces with what the scenarios make; all of it is removed again. `--change-this-cluster` says that it may be done"
    )))
}

/// An option was given with another provider than the one that it is for.
pub(super) fn is_of(option: &str, provider: &str) -> Failure {
    Failure::Usage(format!("`{option}` is for `--provider {provider}`"))
}

/// What pods of MiniClusters run on real nodes.
fn images(arguments: &ClusterArguments) -> Images {
    let view = arguments.view_image.as_ref().unwrap_or(&arguments.broker_image);
    let (operator, broker) = (arguments.operator_image.clone(), arguments.broker_image.clone());
    Images { operator, broker, view: (view != "none").then(|| view.clone()) }
}

/// The version that is played when none is named: the newest, and where nodes are containers the newest whose kubelet starts on cgroup v1 as on v2.
pub(super) const fn newest(provider: Provider) -> KubernetesVersion {
    match provider {
        Provider::Kind => NEWEST_ON_CGROUP_V1,
        Provider::Process | Provider::Containers | Provider::Kubeconfig => KubernetesVersion::NEWEST,
    }
}
