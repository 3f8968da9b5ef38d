//! What a control plane is made of and how it is set up.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::container::build_image;
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

/// Something that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A file, which becomes a child of this process.
    File(PathBuf),
    /// An image, `NAME:TAG`, whose entrypoint is the program; it runs in a container.
    Image(String),
}

impl Program {
    /// The name of the file, or of the image.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Image(image) => image.clone(),
        }
    }
}

impl From<PathBuf> for Program {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&str> for Program {
    fn from(path: &str) -> Self {
        Self::File(path.into())
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Image(image) => f.write_str(image),
        }
    }
}

/// Where the programs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// etcd 3.5 or newer.
    pub etcd: Program,
    /// kube-apiserver.
    pub apiserver: Program,
    /// kube-controller-manager.
    pub controller_manager: Program,
    /// kube-scheduler.
    pub scheduler: Program,
}

impl Binaries {
    /// The programs of a version in a directory, under the names that `cargo xtask control-plane build` gives them: `kube-apiserver-1.37.0`.
    /// Whether they exist is checked at the start.
    pub fn in_dir(dir: &Path, version: &str) -> Self {
        Self::each(|component| Program::File(dir.join(format!("{component}-{version}"))))
    }

    /// The images of a version; in their name, `{component}` and `{version}` are replaced: `registry.example/{component}:v{version}`.
    pub fn images(template: &str, version: &str) -> Self {
        let name = |component: Component| {
            template.replace("{component}", component.name()).replace("{version}", version)
        };
        Self::each(|component| Program::Image(name(component)))
    }

    /// The same programs, each in an image of its own that has nothing else. No registry is needed; images that are there are not built again.
    ///
    /// # Errors
    /// As of [`Self::check`] and [`build_image`].
    pub fn built_as_images(&self, version: &str) -> Result<Self, ControlPlaneError> {
        self.check()?;
        let mut images = self.clone();
        for component in Component::ALL {
            if let Program::File(path) = self.of(component) {
                let name = format!("towtank/{component}");
                *images.of_mut(component) = Program::Image(build_image(path, &name, version)?);
            }
        }
        Ok(images)
    }

    fn each(program: impl Fn(Component) -> Program) -> Self {
        Self {
            etcd: program(Component::Etcd),
            apiserver: program(Component::Apiserver),
            controller_manager: program(Component::ControllerManager),
            scheduler: program(Component::Scheduler),
        }
    }

    fn of_mut(&mut self, component: Component) -> &mut Program {
        match component {
            Component::Etcd => &mut self.etcd,
            Component::Apiserver => &mut self.apiserver,
            Component::ControllerManager => &mut self.controller_manager,
            Component::Scheduler => &mut self.scheduler,
        }
    }

    /// The program of a component.
    pub fn of(&self, component: Component) -> &Program {
        match component {
            Component::Etcd => &self.etcd,
            Component::Apiserver => &self.apiserver,
            Component::ControllerManager => &self.controller_manager,
            Component::Scheduler => &self.scheduler,
        }
    }

    /// # Errors
    /// [`ControlPlaneError::Missing`] for the first file that is not there. Whether an image is there is known when it is run.
    pub fn check(&self) -> Result<(), ControlPlaneError> {
        for component in Component::ALL {
            let Program::File(path) = self.of(component) else { continue };
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
    fn images_are_named_by_component_and_version() {
        let images = Binaries::images("example.org/{component}:v{version}", "1.37.0");
        assert_eq!(images.scheduler, Program::Image("example.org/kube-scheduler:v1.37.0".to_owned()));
        assert_eq!(images.etcd, Program::Image("example.org/etcd:v1.37.0".to_owned()));
        assert!(images.check().is_ok());
    }

    #[test]
    fn a_program_of_unknown_version_is_missing_too() {
        assert_eq!(minor_version(Path::new("/usr/bin/etcd")), None);
        assert_eq!(minor_version(Path::new("/usr/bin/kube-apiserver")), None);
    }
}
