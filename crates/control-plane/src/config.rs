//! What a control plane is made of and how it is set up.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::ControlPlaneError;
use crate::interrupt::Interrupt;

/// A part of a control plane: one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// The store.
    Etcd,
    /// The API server.
    Apiserver,
    /// The controllers, that of Jobs among them.
    ControllerManager,
    /// The scheduler.
    Scheduler,
}

impl Component {
    /// All, in the order in which they are started.
    pub const ALL: [Self; 4] = [Self::Etcd, Self::Apiserver, Self::ControllerManager, Self::Scheduler];

    /// The name of its program.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Apiserver => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where the programs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// etcd 3.5 or newer.
    pub etcd: PathBuf,
    /// kube-apiserver.
    pub apiserver: PathBuf,
    /// kube-controller-manager.
    pub controller_manager: PathBuf,
    /// kube-scheduler.
    pub scheduler: PathBuf,
}

impl Binaries {
    /// The programs of a version in a directory, under the names that `cargo xtask control-plane build` gives them: `kube-apiserver-1.37.0`.
    /// Whether they exist is checked at the start.
    pub fn in_dir(dir: &Path, version: &str) -> Self {
        let program = |component: Component| dir.join(format!("{component}-{version}"));
        Self {
            etcd: program(Component::Etcd),
            apiserver: program(Component::Apiserver),
            controller_manager: program(Component::ControllerManager),
            scheduler: program(Component::Scheduler),
        }
    }

    /// The program of a component.
    pub fn of(&self, component: Component) -> &Path {
        match component {
            Component::Etcd => &self.etcd,
            Component::Apiserver => &self.apiserver,
            Component::ControllerManager => &self.controller_manager,
            Component::Scheduler => &self.scheduler,
        }
    }

    /// # Errors
    /// [`ControlPlaneError::Missing`] for the first that is no file.
    pub fn check(&self) -> Result<(), ControlPlaneError> {
        for component in Component::ALL {
            let path = self.of(component);
            if !path.is_file() {
                let version = minor_version(path).unwrap_or_else(|| "VERSION".to_owned());
                return Err(ControlPlaneError::Missing { component, path: path.to_owned(), version });
            }
        }
        Ok(())
    }
}

/// `1.37` of `…/kube-apiserver-1.37.0`.
fn minor_version(path: &Path) -> Option<String> {
    let (_, version) = path.file_name()?.to_str()?.rsplit_once('-')?;
    let (minor, patch) = version.rsplit_once('.')?;
    patch.parse::<u32>().ok()?;
    Some(minor.to_owned())
}

/// How a control plane is started.
#[derive(Clone, Debug)]
pub struct Config {
    /// The programs.
    pub binaries: Binaries,
    /// Where the directories of runs are made, one for each run. It is made if need be. What killed runs have left there is removed.
    pub dir: PathBuf,
    /// Feature gates. Each goes to those components that know it; one that nobody knows is an error. etcd gets none.
    pub feature_gates: Vec<(String, bool)>,
    /// Requests per second and burst that the controllers allow themselves; Kubernetes' own values (20 and 30) when absent.
    pub controller_qps: Option<(f32, u32)>,
    /// Further flags of a component, after ours: the last value of a flag counts.
    pub extra_flags: BTreeMap<Component, Vec<String>>,
    /// How long each component may take until it is healthy.
    pub start_limit: Duration,
    /// Breaks a start off when it is raised.
    pub interrupt: Option<Interrupt>,
}

impl Config {
    /// No feature gates, no further flags, Kubernetes' own rates; a minute for each component, which is much even on a busy machine.
    pub fn new(binaries: Binaries, dir: impl Into<PathBuf>) -> Self {
        Self {
            binaries,
            dir: dir.into(),
            feature_gates: Vec::new(),
            controller_qps: None,
            extra_flags: BTreeMap::new(),
            start_limit: Duration::from_secs(60),
            interrupt: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_says_how_to_build_it() {
        let binaries = Binaries::in_dir(Path::new("/nowhere"), "1.37.0");
        let error = binaries.check().map_err(|error| error.to_string());
        let wanted = "etcd is missing: /nowhere/etcd-1.37.0 does not exist; `cargo xtask control-plane build --kubernetes 1.37` builds it";
        assert_eq!(error, Err(wanted.to_owned()));
    }

    #[test]
    fn a_program_of_unknown_version_is_missing_too() {
        assert_eq!(minor_version(Path::new("/usr/bin/etcd")), None);
        assert_eq!(minor_version(Path::new("/usr/bin/kube-apiserver")), None);
    }
}
