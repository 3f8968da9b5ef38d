//! Kubernetes' own programs, built from the sources that the driver is built from: kubectl for machines that have none, and a control plane.

use std::fs;
use std::path::{Path, PathBuf};

use towtank_model::version::KubernetesVersion;

use super::module::{Module, check_go, succeed};
use super::{BuildError, at};

/// A program that can be built from the sources of a Kubernetes version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The command line client.
    Kubectl,
    /// The store, of the version that this Kubernetes is tested with.
    Etcd,
    /// The API server.
    Apiserver,
    /// The controllers, that of Jobs among them.
    ControllerManager,
    /// The scheduler.
    Scheduler,
}

impl Program {
    /// What a control plane consists of, in the order in which it is started.
    pub const CONTROL_PLANE: [Self; 4] =
        [Self::Etcd, Self::Apiserver, Self::ControllerManager, Self::Scheduler];

    /// The name of its binary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kubectl => "kubectl",
            Self::Etcd => "etcd",
            Self::Apiserver => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        }
    }

    fn package(self) -> String {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3".to_owned(),
            _ => format!("k8s.io/kubernetes/cmd/{}", self.name()),
        }
    }

    /// Where it is once it is built.
    pub fn path(self, target_dir: &Path, version: KubernetesVersion) -> PathBuf {
        target_dir.join("reference").join(format!("{}-{}", self.name(), version.full()))
    }
}

/// Builds a program unless it is there already, and returns where it is. It needs no C library. `say` gets a line for each part that takes time.
///
/// # Errors
/// See [`BuildError`].
pub fn build_program(
    target_dir: &Path,
    version: KubernetesVersion,
    program: Program,
    say: &mut dyn FnMut(&str),
) -> Result<PathBuf, BuildError> {
    let binary = program.path(target_dir, version);
    if binary.exists() {
        return Ok(binary);
    }
    check_go()?;
    let module = Module::open(target_dir, version)?;
    if binary.exists() {
        return Ok(binary);
    }
    module.write_go_mod(say)?;
    say(&format!("building {} {} (minutes the first time)", program.name(), version.full()));
    let unfinished = module.dir().join(format!("{}.unfinished", program.name()));
    let mut compile = module.go(&["build", "-mod=mod", "-ldflags", &stamp(version), "-o"]);
    succeed(compile.arg(&unfinished).arg(program.package()))?;
    at(&binary, fs::rename(&unfinished, &binary))?;
    Ok(binary)
}

/// Link flags that tell a program its version: without them it calls itself v0.0.0, and refuses what it believes to be newer.
fn stamp(version: KubernetesVersion) -> String {
    let facts = [
        ("gitVersion", format!("v{}", version.full())),
        ("gitMajor", "1".to_owned()),
        ("gitMinor", version.minor().to_string()),
        ("gitTreeState", "clean".to_owned()),
    ];
    let packages = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];
    let mut flags = "-s -w".to_owned();
    for package in packages {
        for (name, value) in &facts {
            flags.push_str(&format!(" -X {package}.{name}={value}"));
        }
    }
    flags
}
