//! Kubernetes' own programs, built from the sources that the driver is built from: kubectl for machines that have none, a control plane, and
//! what nodes run. Beside them, kind and CoreDNS, which are released by themselves.

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
    /// What runs pods on a node.
    Kubelet,
    /// What makes a control plane or a node of a machine.
    Kubeadm,
    /// What makes Services work on a node.
    Proxy,
    /// The name server of a cluster.
    Coredns,
    /// The process that holds the network of a pod.
    Pause,
    /// What makes clusters of containers.
    Kind,
}

/// A program that is no part of Kubernetes' own module.
struct Alone {
    /// Of the program, whatever Kubernetes is.
    release: &'static str,
    /// The module that it is in, or is made of.
    module: Option<&'static str>,
    /// Its main file, where it is ours.
    main: Option<&'static str>,
}

/// The next releases of it want cgroup v2.
const KIND: Alone = Alone { release: "0.33.0", module: Some("sigs.k8s.io/kind"), main: None };
/// Other versions of Kubernetes name other releases, and their Corefile is the same.
const COREDNS: Alone = Alone {
    release: "1.14.2",
    module: Some("github.com/coredns/coredns"),
    main: Some(include_str!("coredns.go")),
};
const PAUSE: Alone = Alone { release: "1", module: None, main: Some(include_str!("pause.go")) };

impl Program {
    /// What a control plane consists of, in the order in which it is started.
    pub const CONTROL_PLANE: [Self; 4] =
        [Self::Etcd, Self::Apiserver, Self::ControllerManager, Self::Scheduler];

    /// What a cluster of kind needs beside the control plane.
    pub const NODE: [Self; 7] =
        [Self::Kind, Self::Kubeadm, Self::Kubectl, Self::Kubelet, Self::Proxy, Self::Coredns, Self::Pause];

    /// The name of its binary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kubectl => "kubectl",
            Self::Etcd => "etcd",
            Self::Apiserver => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::Kubeadm => "kubeadm",
            Self::Proxy => "kube-proxy",
            Self::Coredns => "coredns",
            Self::Pause => "pause",
            Self::Kind => "kind",
        }
    }

    /// What is built, as `go build` is told.
    fn package(self) -> String {
        match (self, self.alone()) {
            (Self::Etcd, _) => "go.etcd.io/etcd/server/v3".to_owned(),
            (_, Some(Alone { main: Some(_), .. })) => ".".to_owned(),
            (_, Some(Alone { module: Some(module), .. })) => (*module).to_owned(),
            _ => format!("k8s.io/kubernetes/cmd/{}", self.name()),
        }
    }

    fn alone(self) -> Option<&'static Alone> {
        match self {
            Self::Kind => Some(&KIND),
            Self::Coredns => Some(&COREDNS),
            Self::Pause => Some(&PAUSE),
            _ => None,
        }
    }

    /// Where it is once it is built.
    pub fn path(self, target_dir: &Path, version: KubernetesVersion) -> PathBuf {
        let release = self.alone().map_or_else(|| version.full(), |alone| alone.release.to_owned());
        target_dir.join("reference").join(format!("{}-{release}", self.name()))
    }
}

/// Where the sources of kind are, with the files that its node images are made of.
///
/// # Errors
/// See [`BuildError`].
pub fn kind_sources(target_dir: &Path) -> Result<PathBuf, BuildError> {
    check_go()?;
    let module = Module::open(target_dir, Program::Kind.name())?;
    let path = KIND.module.unwrap_or_default();
    module.require(KIND.module, KIND.release)?;
    let found = succeed(&mut module.go(&["mod", "download", "-json", path]))?;
    serde_json::from_slice::<serde_json::Value>(&found.stdout)
        .ok()
        .and_then(|answer| Some(PathBuf::from(answer.get("Dir")?.as_str()?)))
        .ok_or(BuildError::NoSources(path))
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
    let alone = program.alone();
    let name = alone.map_or_else(|| version.to_string(), |_| program.name().to_owned());
    let module = Module::open(target_dir, &name)?;
    if binary.exists() {
        return Ok(binary);
    }
    let flags = match alone {
        Some(alone) => {
            module.require(alone.module, alone.release)?;
            if let Some(main) = alone.main {
                let path = module.dir().join("main.go");
                at(&path, fs::write(&path, main))?;
            }
            "-s -w".to_owned()
        }
        None => {
            module.write_go_mod(version, say)?;
            stamp(version)
        }
    };
    let built = binary.file_name().unwrap_or_default().to_string_lossy();
    say(&format!("building {built} (minutes the first time)"));
    let unfinished = module.dir().join(format!("{}.unfinished", program.name()));
    let mut compile = module.go(&["build", "-mod=mod", "-ldflags", &flags, "-o"]);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_are_released_by_themselves_have_a_release_of_their_own() {
        let path = |program: Program, version: &str| {
            let version = version.parse().expect("a version");
            program.path(Path::new("target"), version)
        };
        assert_eq!(path(Program::Kubelet, "1.36"), Path::new("target/reference/kubelet-1.36.3"));
        assert_eq!(path(Program::Kind, "1.36"), path(Program::Kind, "1.35"));
        assert_eq!(
            path(Program::Coredns, "1.36"),
            Path::new("target/reference").join(format!("coredns-{}", COREDNS.release))
        );
    }

    #[test]
    fn no_program_is_in_two_lists() {
        assert!(!Program::NODE.iter().any(|program| Program::CONTROL_PLANE.contains(program)));
    }
}
