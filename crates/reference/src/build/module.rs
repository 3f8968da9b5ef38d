//! The Go module of one Kubernetes version, or of a program beside it: its directory, its go.mod, and the `go` commands that are run in it.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use towtank_model::version::KubernetesVersion;

use super::{BuildError, at};

/// The oldest Go that has `testing/synctest`.
const GO_OLDEST: GoVersion = GoVersion(1, 25, 0);

/// The Go module's path.
pub(super) const MODULE: &str = "go.towtank.dev/reference";

/// The directory of a module. Two builds in it would write over each other's files, so it is locked until this is dropped.
pub(super) struct Module {
    dir: PathBuf,
    _lock: File,
}

impl Module {
    /// Waits until nobody else builds in it. The module of a Kubernetes version has the version's name.
    pub(super) fn open(target_dir: &Path, name: &str) -> Result<Self, BuildError> {
        let dir = target_dir.join("reference").join(name);
        at(&dir, fs::create_dir_all(&dir))?;
        let path = dir.join("lock");
        let lock = at(&path, File::create(&path))?;
        at(&path, lock.lock())?;
        Ok(Self { dir, _lock: lock })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A `go` command in the directory. Settings of the user's workspace do not reach it, and what it builds needs no C library.
    pub(super) fn go(&self, args: &[&str]) -> Command {
        let mut command = Command::new("go");
        command
            .args(args)
            .current_dir(&self.dir)
            .env("GOWORK", "off")
            .env("CGO_ENABLED", "0")
            .env_remove("GOFLAGS");
        command
    }

    /// Writes a go.mod that requires a module, or none, unless it is there for this very release.
    pub(super) fn require(&self, path: Option<&str>, release: &str) -> Result<(), BuildError> {
        let requirement = path.map_or_else(String::new, |path| format!("require {path} v{release}"));
        if self.requires(&requirement) {
            return Ok(());
        }
        let file = self.dir.join("go.mod");
        at(&file, fs::write(&file, format!("module {MODULE}\n\ngo {GO_OLDEST}\n\n{requirement}\n")))
    }

    /// Whether its go.mod was written for this very release of what it is for.
    fn requires(&self, requirement: &str) -> bool {
        let is_up_to_date = |text: String| {
            text.lines().next() == Some(&format!("module {MODULE}"))
                && text.lines().any(|line| line.ends_with(requirement))
        };
        fs::read_to_string(self.dir.join("go.mod")).is_ok_and(is_up_to_date)
    }

    /// Writes the go.mod of a Kubernetes version unless it is there for this very release; with it, Go keeps its sums and what else it has found out.
    pub(super) fn write_go_mod(
        &self,
        version: KubernetesVersion,
        say: &mut dyn FnMut(&str),
    ) -> Result<(), BuildError> {
        if self.requires(&format!("k8s.io/kubernetes v{}", version.full())) {
            return Ok(());
        }
        let path = self.dir.join("go.mod");
        say(&format!("fetching the sources of Kubernetes {}", version.full()));
        at(&path, fs::write(&path, format!("module {MODULE}\n")))?;
        let spec = format!("k8s.io/kubernetes@v{}", version.full());
        let download = succeed(&mut self.go(&["mod", "download", "-json", &spec]))?;
        let upstream_path = serde_json::from_slice::<serde_json::Value>(&download.stdout)
            .ok()
            .and_then(|answer| Some(PathBuf::from(answer.get("GoMod")?.as_str()?)))
            .ok_or_else(|| upstream_fault(version, "cannot be found"))?;
        let upstream = at(&upstream_path, fs::read_to_string(&upstream_path))?;
        at(&path, fs::write(&path, go_mod(version, &upstream)?))
    }
}

/// The driver's go.mod. Kubernetes requires its own libraries as version 0.0.0 and replaces them by a directory of its repository, which a
/// module that requires Kubernetes must do again, with the version that was published.
fn go_mod(version: KubernetesVersion, upstream: &str) -> Result<String, BuildError> {
    let library = |line: &str| {
        let name = line.split_whitespace().find(|word| word.starts_with("k8s.io/"))?.to_owned();
        (line.contains("=> ./staging/") || line.contains(" v0.0.0")).then_some(name)
    };
    let mut libraries: Vec<String> =
        upstream.lines().filter(|line| !line.contains("v0.0.0-")).filter_map(library).collect();
    libraries.sort();
    libraries.dedup();
    if libraries.is_empty() {
        return Err(upstream_fault(version, "names no library of its own"));
    }
    let go = upstream
        .lines()
        .find_map(|line| GoVersion::parse(line.strip_prefix("go ")?))
        .ok_or_else(|| upstream_fault(version, "does not say which Go it wants"))?
        .max(GO_OLDEST);
    let mut text =
        format!("module {MODULE}\n\ngo {go}\n\nrequire k8s.io/kubernetes v{}\n\nreplace (\n", version.full());
    for name in libraries {
        text.push_str(&format!("\t{name} => {name} v0.{}.{}\n", version.minor(), version.patch()));
    }
    text.push_str(")\n");
    Ok(text)
}

fn upstream_fault(version: KubernetesVersion, fault: &'static str) -> BuildError {
    BuildError::Upstream { version: version.full(), fault }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct GoVersion(u32, u32, u32);

impl fmt::Display for GoVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl GoVersion {
    /// Reads `1.26.8`, `1.25`, or `1.27rc1`.
    fn parse(text: &str) -> Option<Self> {
        let number = |part: &str| {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        };
        let mut parts = text.trim().splitn(3, '.');
        let major = number(parts.next()?)?;
        let minor = number(parts.next()?)?;
        Some(Self(major, minor, parts.next().map_or(Some(0), number)?))
    }
}

/// Whether there is a Go that the driver can be built with.
///
/// # Errors
/// There is none, or it is too old.
pub fn check_go() -> Result<(), BuildError> {
    let output = match Command::new("go").args(["env", "GOVERSION"]).output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(BuildError::GoMissing),
        Err(source) => return Err(BuildError::File { path: "go".into(), source }),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(BuildError::Go { command: "go env GOVERSION".to_owned(), output: said });
    }
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match text.strip_prefix("go").and_then(GoVersion::parse) {
        Some(version) if version >= GO_OLDEST => Ok(()),
        _ => Err(BuildError::GoTooOld(text)),
    }
}

/// Runs it, and makes an error of what it printed last when it does not succeed.
pub(super) fn succeed(command: &mut Command) -> Result<Output, BuildError> {
    let output = command.output().map_err(|source| BuildError::File { path: "go".into(), source })?;
    if output.status.success() {
        return Ok(output);
    }
    let shown: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().collect();
    let last = lines.get(lines.len().saturating_sub(20)..).unwrap_or_default();
    Err(BuildError::Go { command: format!("go {}", shown.join(" ")), output: last.join("\n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> KubernetesVersion {
        text.parse().expect("a version")
    }

    #[test]
    fn replaces_what_kubernetes_takes_from_its_own_repository() {
        let upstream = "module k8s.io/kubernetes\n\ngo 1.26.0\n\nrequire (\n\tk8s.io/api v0.0.0\n\tk8s.io/klog/v2 v2.140.0\n\
            \tk8s.io/utils v0.0.0-20260210185600-b8788abfbbc2\n)\n\nreplace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n\
            \tk8s.io/kms => ./staging/src/k8s.io/kms\n)\n";
        let text = go_mod(version("1.36"), upstream).expect("a go.mod");
        assert_eq!(
            text,
            "module go.towtank.dev/reference\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes v1.36.3\n\nreplace (\n\
             \tk8s.io/api => k8s.io/api v0.36.3\n\tk8s.io/kms => k8s.io/kms v0.36.3\n)\n"
        );
    }

    #[test]
    fn asks_for_a_go_that_has_bubbles() {
        let upstream = "go 1.20\nrequire k8s.io/api v0.0.0\n";
        let text = go_mod(version("1.28"), upstream).expect("a go.mod");
        assert!(text.contains("\ngo 1.25.0\n"), "{text}");
    }

    #[test]
    fn reads_versions_of_go() {
        assert_eq!(GoVersion::parse("1.26.8"), Some(GoVersion(1, 26, 8)));
        assert_eq!(GoVersion::parse("1.27rc1"), Some(GoVersion(1, 27, 0)));
        assert!(GoVersion::parse("1.9").expect("a version") < GO_OLDEST);
        assert_eq!(GoVersion::parse("devel"), None);
    }
}
