//! What real clusters are made of, as options say.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use towtank_cluster::deployed::Images;
use towtank_cluster::kind::{KindConfig, NEWEST_ON_CGROUP_V1, OPERATOR_IMAGE, STAND_IN_IMAGE};
use towtank_cluster::kubeconfig::ForeignConfig;
use towtank_cluster::site::{Containers, Local, ProviderConfig};
use towtank_model::version::KubernetesVersion;

use super::absolute;
use crate::args::{ClusterArguments, Provider};
use crate::failure::Failure;

/// The production operator, as cargo builds it.
const OPERATOR: &str = "target/release/towtank-operator";

/// What the clusters are made of.
pub(super) fn provider(arguments: &ClusterArguments) -> Result<ProviderConfig, Failure> {
    check(arguments)?;
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
    let operator = arguments.operator.as_deref().unwrap_or_else(|| Path::new(OPERATOR));
    if !operator.is_file() {
        return Err(Failure::NoCluster(format!(
            "the operator `{}` is not there: `cargo build --release --package towtank-operator` builds it",
            operator.display()
        )));
    }
    Ok(ProviderConfig::Local(Local {
        programs: absolute(&arguments.programs)?,
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

/// An error when an option is given that says nothing of this provider.
fn check(arguments: &ClusterArguments) -> Result<(), Failure> {
    use Provider::{Containers, Kind, Kubeconfig, Process};
    let options: [(&str, bool, &[Provider]); 9] = [
        ("--operator", arguments.operator.is_some(), &[Process, Containers]),
        ("--images", arguments.images.is_some(), &[Containers]),
        ("--node-image", arguments.node_image.is_some(), &[Kind]),
        ("--operator-image", arguments.operator_image.is_some(), &[Kind, Kubeconfig]),
        ("--broker-image", arguments.broker_image.is_some(), &[Kind, Kubeconfig]),
        ("--view-image", arguments.view_image.is_some(), &[Kind, Kubeconfig]),
        ("--kubeconfig", arguments.kubeconfig.is_some(), &[Kubeconfig]),
        ("--context", arguments.context.is_some(), &[Kubeconfig]),
        ("--change-this-cluster", arguments.change_this_cluster, &[Kubeconfig]),
    ];
    options.into_iter().try_for_each(|(option, is_given, providers)| {
        if is_given { only_with(option, providers, arguments.provider) } else { Ok(()) }
    })
}

/// An error when an option is for other providers than this.
pub(super) fn only_with(option: &str, providers: &[Provider], provider: Provider) -> Result<(), Failure> {
    if providers.contains(&provider) {
        return Ok(());
    }
    let named: Vec<String> = providers.iter().map(|it| format!("`--provider {it}`")).collect();
    Err(Failure::Usage(format!("`{option}` is for {}", named.join(" and "))))
}

/// What pods of MiniClusters run on real nodes.
fn images(arguments: &ClusterArguments) -> Images {
    let named = |name: &Option<String>, usual: &str| name.clone().unwrap_or_else(|| usual.to_owned());
    let operator = named(&arguments.operator_image, OPERATOR_IMAGE);
    let broker = named(&arguments.broker_image, STAND_IN_IMAGE);
    let view = named(&arguments.view_image, &broker);
    Images { operator, broker, view: (view != "none").then_some(view) }
}

/// How many clusters there are at the same time when nobody says it.
pub(super) const fn at_once(provider: Provider) -> NonZeroUsize {
    match provider {
        Provider::Kind => NonZeroUsize::MIN,
        // Most of the time they wait. Of somebody's cluster there is one in any case.
        Provider::Process | Provider::Containers | Provider::Kubeconfig => {
            NonZeroUsize::MIN.saturating_add(5)
        }
    }
}

/// The version that is played when none is named: the newest, and where nodes are containers the newest whose kubelet starts on cgroup v1 as on v2.
pub(super) const fn newest(provider: Provider) -> KubernetesVersion {
    match provider {
        Provider::Kind => NEWEST_ON_CGROUP_V1,
        Provider::Process | Provider::Containers | Provider::Kubeconfig => KubernetesVersion::NEWEST,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::Arguments;

    /// These options are `Option`s, so that those that are given can be told from those that are not; so clap does not know their defaults.
    #[test]
    fn the_help_names_the_defaults_that_are_used() {
        let command = Arguments::command();
        let e2e = command.find_subcommand("e2e").expect("e2e");
        let calibrate = command.find_subcommand("calibrate").expect("calibrate");
        let (process, kind) = (Provider::Process, Provider::Kind);
        let options = [
            (e2e, "operator_image", format!("[default: {OPERATOR_IMAGE}]")),
            (e2e, "broker_image", format!("[default: {STAND_IN_IMAGE}]")),
            (e2e, "operator", format!("[default: {OPERATOR}]")),
            (e2e, "jobs", format!("{} when absent, and {} for kind", at_once(process), at_once(kind))),
            (e2e, "kubernetes", format!("{} when absent, {} for kind", newest(process), newest(kind))),
            (
                calibrate,
                "kubernetes",
                format!("[default: {}, and {} for kind]", newest(process), newest(kind)),
            ),
        ];
        for (command, option, default) in options {
            let help = command.get_arguments().find(|it| it.get_id() == option).and_then(clap::Arg::get_help);
            let help = help.unwrap_or_else(|| panic!("{option} has no help")).to_string();
            assert!(help.contains(&default), "{option}: {help}");
        }
    }
}
