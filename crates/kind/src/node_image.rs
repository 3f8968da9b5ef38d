//! The image of a node, built where no registry can be reached: Debian packages from the mirror that apt uses, programs from the sources of Kubernetes, and
//! kind's own files from its Go module. The recipe is in `node/`.
//!
//! The image is named after Kubernetes' version and a digest of the recipe, so whether it is up to date is whether docker has it.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use towtank_model::version::KubernetesVersion;
use towtank_reference::build::{Program, build_program, kind_sources};

use crate::command::{SOON, build, check_installed, docker, run};
use crate::daemon::check_docker;
use crate::error::{KindError, at};

/// The release of Debian: the last one whose systemd runs on cgroup v1.
const RELEASE: &str = "bookworm";
/// What installs it.
const DEBOOTSTRAP: &str = "debootstrap";
/// What is installed beside what every Debian has: what kind's base image has, and what Kubernetes' programs call.
const PACKAGES: [&str; 25] = [
    "ca-certificates",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "curl",
    "dbus",
    "ethtool",
    "hostname",
    "iproute2",
    "iptables",
    "jq",
    "kmod",
    "mount",
    "nftables",
    "openssl",
    "pigz",
    "procps",
    "runc",
    "socat",
    "systemd",
    "systemd-sysv",
    "tar",
    "tzdata",
    "util-linux",
    "xz-utils",
];
/// Files of packages that no node reads.
const UNREAD: [&str; 6] = [
    "var/cache/apt/archives",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
];
/// The recipe's files.
const RECIPE: [(&str, &str); 6] = [
    ("node.Dockerfile", include_str!("../node/node.Dockerfile")),
    ("proxy.Dockerfile", include_str!("../node/proxy.Dockerfile")),
    ("collect.sh", include_str!("../node/collect.sh")),
    ("network.sh", include_str!("../node/network.sh")),
    ("prepare.sh", include_str!("../node/prepare.sh")),
    ("preload.sh", include_str!("../node/preload.sh")),
];

/// The image of the nodes of a Kubernetes version.
#[derive(Clone, Debug)]
pub struct NodeImage {
    target_dir: PathBuf,
    version: KubernetesVersion,
    /// The Debian mirror, if not that of apt.
    mirror: Option<String>,
}

impl NodeImage {
    /// The image that is built in, and of, what is in this directory of cargo's.
    pub fn new(target_dir: impl Into<PathBuf>, version: KubernetesVersion) -> Self {
        Self { target_dir: target_dir.into(), version, mirror: None }
    }

    /// With packages from this mirror of Debian.
    #[must_use]
    pub fn mirror(mut self, mirror: Option<String>) -> Self {
        self.mirror = mirror;
        self
    }

    /// The version of its Kubernetes.
    pub fn version(&self) -> KubernetesVersion {
        self.version
    }

    /// Its name.
    pub fn name(&self) -> String {
        let mut hasher = DefaultHasher::new();
        (base_name(), RECIPE).hash(&mut hasher);
        for program in programs() {
            program.path(Path::new(""), self.version).hash(&mut hasher);
        }
        format!("towtank/node:v{}-{:016x}", self.version.full(), hasher.finish())
    }

    /// Whether docker has it.
    ///
    /// # Errors
    /// Docker does not answer.
    pub fn exists(&self) -> Result<bool, KindError> {
        has_image(&self.name())
    }

    /// Builds it unless docker has it, and the programs that it is made of, and returns its name. `say` gets a line for each part that takes time.
    ///
    /// # Errors
    /// A program or permission is missing, or a command does not succeed.
    pub fn build(&self, say: &mut dyn FnMut(&str)) -> Result<String, KindError> {
        check_docker()?;
        // kind is needed with any image.
        for program in programs() {
            build_program(&self.target_dir, self.version, program, say)?;
        }
        let name = self.name();
        if has_image(&name)? {
            return Ok(name);
        }
        let dir = self.target_dir.join("kind");
        at(&dir, fs::create_dir_all(&dir))?;
        let lock = at(&dir, File::create(dir.join("lock")))?;
        at(&dir, lock.lock())?;
        if has_image(&name)? {
            return Ok(name);
        }
        let base = build_base(&dir, self.mirror.as_deref(), say)?;
        let context = Context::create(dir.join("context"))?;
        let images = self.build_images(&context, &base, say)?;
        say(&format!("building {name}"));
        self.fill(&context)?;
        let pause = images.iter().find(|image| component(image) == "pause").cloned().unwrap_or_default();
        let archive = context.path("images.tar");
        let images: Vec<String> = images.iter().map(|name| own_name(name)).collect();
        let mut save = docker(["save", "--output"]);
        build(save.arg(&archive).args(&images))?;
        // They are of no use outside of the node.
        run(docker(["rmi"]).args(&images), SOON)?;
        let (base, version, pause) =
            (format!("BASE={base}"), format!("VERSION={}", self.version.full()), format!("PAUSE={pause}"));
        context.build("node.Dockerfile", &name, &[&base, &version, &pause])?;
        Ok(name)
    }

    fn program(&self, program: Program) -> PathBuf {
        program.path(&self.target_dir, self.version)
    }

    /// The images of a cluster's own pods, under names of our own. Returns the names that kubeadm gives them.
    fn build_images(
        &self,
        context: &Context,
        base: &str,
        say: &mut dyn FnMut(&str),
    ) -> Result<Vec<String>, KindError> {
        let version = format!("v{}", self.version.full());
        let mut list = Command::new(self.program(Program::Kubeadm));
        let listed = run(list.args(["config", "images", "list", "--kubernetes-version", &version]), SOON)?;
        let mut names = Vec::new();
        for name in listed.lines().map(str::trim).filter(|name| !name.is_empty()) {
            let component = component(name);
            let program = programs().find(|program| program.name() == component);
            let program = program.ok_or_else(|| {
                KindError::Unfit(format!(
                    "kubeadm wants an image of {component}, and there is no such program"
                ))
            })?;
            say(&format!("building an image of {component}"));
            context.clear()?;
            context.link(&self.program(program), component)?;
            if program == Program::Proxy {
                context.recipe()?;
                context.build("proxy.Dockerfile", &own_name(name), &[&format!("BASE={base}")])?;
            } else {
                let text = format!(
                    "FROM scratch\nENV PATH=/usr/local/bin\nWORKDIR /tmp\nWORKDIR /\n\
                     COPY {component} /usr/local/bin/{component}\nENTRYPOINT [\"/usr/local/bin/{component}\"]\n"
                );
                context.write("Dockerfile", &text)?;
                context.build("Dockerfile", &own_name(name), &[])?;
            }
            names.push(name.to_owned());
        }
        context.clear()?;
        Ok(names)
    }

    /// What the node's own file system is made of.
    fn fill(&self, context: &Context) -> Result<(), KindError> {
        context.recipe()?;
        for program in [Program::Kubeadm, Program::Kubelet, Program::Kubectl] {
            context.link(&self.program(program), program.name())?;
        }
        let files = kind_sources(&self.target_dir)?.join("images/base/files");
        let mut copy = Command::new("cp");
        copy.args(["--recursive", "--no-preserve=mode,ownership"]).arg(files).arg(context.path("kind"));
        run(&mut copy, SOON).map(drop)
    }
}

/// Everything that goes into a node, and kind.
fn programs() -> impl Iterator<Item = Program> {
    Program::CONTROL_PLANE.into_iter().chain(Program::NODE)
}

/// `etcd` of `REGISTRY/etcd:3.6.6-0`.
fn component(image: &str) -> &str {
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split(':').next().unwrap_or(name)
}

/// What an image is called in docker that has somebody else's name in the node, whose own image of that name stays what it is. `preload.sh` takes this off again.
fn own_name(image: &str) -> String {
    format!("towtank/{image}")
}

/// Whether docker has an image.
pub(crate) fn has_image(name: &str) -> Result<bool, KindError> {
    Ok(!run(&mut docker(["images", "--quiet", name]), SOON)?.trim().is_empty())
}

/// The name of the image that is Debian alone.
fn base_name() -> String {
    let mut hasher = DefaultHasher::new();
    (RELEASE, PACKAGES, UNREAD).hash(&mut hasher);
    format!("towtank/base:{RELEASE}-{:016x}", hasher.finish())
}

/// Debian with the packages of a node, unless docker has it. Under the lock of `dir`.
pub(crate) fn build_base(
    dir: &Path,
    mirror: Option<&str>,
    say: &mut dyn FnMut(&str),
) -> Result<String, KindError> {
    let name = base_name();
    if has_image(&name)? {
        return Ok(name);
    }
    if !rustix::process::geteuid().is_root() {
        return Err(KindError::NotRoot(DEBOOTSTRAP));
    }
    check_installed(&Command::new(DEBOOTSTRAP))?;
    let mirror = mirror.map_or_else(apt_mirror, |mirror| Ok(mirror.to_owned()))?;
    say(&format!("installing Debian {RELEASE} into an image (minutes)"));
    let root = dir.join("base");
    remove(&root)?;
    // In namespaces of its own, which end with it: nothing that it mounts or starts stays, however it ends.
    let mut debootstrap = Command::new("unshare");
    debootstrap.args(["--mount", "--pid", "--fork", "--kill-child", DEBOOTSTRAP]);
    debootstrap.args(["--variant=minbase", &format!("--include={}", PACKAGES.join(",")), RELEASE]);
    build(debootstrap.arg(&root).arg(mirror))?;
    // A file, not a pipe: of one that ends early docker would make an image.
    let archive = dir.join("base.tar");
    let mut tar = Command::new("tar");
    tar.arg("--create").arg("--file").arg(&archive).arg("--directory").arg(&root);
    tar.args(UNREAD.map(|path| format!("--exclude=./{path}/*"))).arg(".");
    let imported = build(&tar).and_then(|_| build(docker(["import"]).arg(&archive).arg(&name)));
    // There is none when there is no tar, and what has failed is the error to be told.
    let removed = remove(&root).and(at(&archive, fs::remove_file(&archive)));
    imported?;
    removed?;
    Ok(name)
}

fn remove(dir: &Path) -> Result<(), KindError> {
    if dir.exists() { at(dir, fs::remove_dir_all(dir)) } else { Ok(()) }
}

/// The mirror of Debian from which apt installs packages on this machine.
fn apt_mirror() -> Result<String, KindError> {
    let format = "$(CODENAME) $(COMPONENT) $(REPO_URI)";
    let listed = run(
        Command::new("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]),
        SOON,
    )?;
    let wanted = format!("{RELEASE} main ");
    let found = listed.lines().find_map(|line| line.strip_prefix(&wanted));
    found.map(str::to_owned).ok_or_else(|| {
        KindError::Unfit(format!(
            "apt has no lists of Debian {RELEASE}: run apt-get update, or name a mirror with --mirror"
        ))
    })
}

/// A directory of what an image is made of. It is removed when this is dropped.
pub(crate) struct Context(PathBuf);

impl Context {
    pub(crate) fn create(path: PathBuf) -> Result<Self, KindError> {
        let context = Self(path);
        context.clear()?;
        Ok(context)
    }

    fn clear(&self) -> Result<(), KindError> {
        remove(&self.0)?;
        at(&self.0, fs::create_dir_all(&self.0))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), KindError> {
        let path = self.path(name);
        at(&path, fs::write(&path, text))
    }

    pub(crate) fn recipe(&self) -> Result<(), KindError> {
        RECIPE.iter().try_for_each(|(name, text)| self.write(name, text))
    }

    /// A file under another name, without a copy where that can be.
    pub(crate) fn link(&self, file: &Path, name: &str) -> Result<(), KindError> {
        let path = self.path(name);
        if fs::hard_link(file, &path).is_err() {
            at(file, fs::copy(file, &path))?;
        }
        Ok(())
    }

    pub(crate) fn build(&self, recipe: &str, name: &str, args: &[&str]) -> Result<(), KindError> {
        let mut build = docker(["build", "--quiet", "--force-rm", "--network=none", "--tag", name, "--file"]);
        build.arg(self.path(recipe));
        for arg in args {
            build.args(["--build-arg", arg]);
        }
        crate::command::build(build.arg(&self.0)).map(drop)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // The next one removes it before it begins.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_after_version_and_recipe() {
        let name = |version: &str| NodeImage::new("target", version.parse().expect("a version")).name();
        assert_eq!(name("1.36"), name("1.36"));
        let name_136 = name("1.36");
        let digest = name_136.strip_prefix("towtank/node:v1.36.3-");
        assert_eq!(digest.map(str::len), Some(16), "{name_136}");
        assert_ne!(name("1.35"), name("1.36"));
    }

    #[test]
    fn an_image_has_a_name_of_our_own_until_it_is_in_a_node() {
        let name = "registry.example/coredns/coredns:v1.14.2";
        assert_eq!(own_name(name), format!("towtank/{name}"));
        let preload = include_str!("../node/preload.sh");
        let prefix = own_name("");
        assert!(preload.contains(&format!("own=docker.io/{prefix}\n")), "preload.sh takes {prefix} off");
    }

    #[test]
    fn knows_the_component_of_an_image() {
        assert_eq!(component("registry.example/coredns/coredns:v1.14.2"), "coredns");
        assert_eq!(component("registry.example:5000/etcd"), "etcd");
    }
}
