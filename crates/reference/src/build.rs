//! Building the driver: one Go module for each version of Kubernetes, made from the same sources.
//!
//! A module lives in `target/reference/1.36/`, the binary beside it. The binary's name has a digest of the sources and of the patch level in it,
//! so whether it is up to date is whether it is there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use thiserror::Error;
use towtank_model::version::KubernetesVersion;

/// The oldest Go that has `testing/synctest`.
const GO_OLDEST: GoVersion = GoVersion(1, 25, 0);

/// Build tags, one for each minor version since 1.29: the sources ask for the version in which something changed.
fn tags(version: KubernetesVersion) -> String {
    (29..=version.minor()).map(|minor| format!("since_1_{minor}")).collect::<Vec<_>>().join(",")
}

/// Why there is no driver.
#[derive(Debug, Error)]
pub enum BuildError {
    /// There is no `go` command.
    #[error(
        "the driver is written in Go, and there is no `go` command on the PATH: install Go 1.25 or newer"
    )]
    GoMissing,
    /// The `go` command is too old.
    #[error("the driver needs Go 1.25 or newer (testing/synctest); this is {0}")]
    GoTooOld(String),
    /// A `go` command did not succeed.
    #[error("`{command}` did not succeed:\n{output}")]
    Go {
        /// What was run.
        command: String,
        /// The last lines that it printed.
        output: String,
    },
    /// Kubernetes' own go.mod is not as expected.
    #[error("go.mod of Kubernetes {version} {fault}")]
    Upstream {
        /// The whole version.
        version: String,
        /// What is the matter.
        fault: &'static str,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

/// Builds the driver unless it is there already, and returns where it is. `say` gets a line for each part that takes time.
///
/// # Errors
/// See [`BuildError`].
pub fn build(
    target_dir: &Path,
    version: KubernetesVersion,
    say: &mut dyn FnMut(&str),
) -> Result<PathBuf, BuildError> {
    let sources = sources(&source_dir())?;
    let digest = digest(&version.full(), &sources);
    let binary = target_dir.join("reference").join(format!("{}{digest}", binary_prefix(version)));
    if binary.exists() {
        return Ok(binary);
    }
    check_go()?;

    let (module, _lock) = module(target_dir, version)?;
    if binary.exists() {
        return Ok(binary);
    }
    write_sources(&module, &sources)?;
    write_go_mod(&module, version, say)?;
    say(&format!("building the driver for Kubernetes {} (minutes the first time)", version.full()));
    let unfinished = module.join("driver.unfinished");
    let mut compile = go(&module, &["test", "-c", "-mod=mod", "-tags", &tags(version), "-ldflags"]);
    compile.arg(format!(
        "-s -w -X {MODULE}.kubernetesVersion={} -X {MODULE}.sourceDigest={digest}",
        version.full()
    ));
    succeed(compile.arg("-o").arg(&unfinished).arg("."))?;
    at(&binary, fs::rename(&unfinished, &binary))?;
    remove_older(&binary, version)?;
    Ok(binary)
}

/// Builds kubectl of a version unless it is there already, and returns where it is: for machines that have none, from the sources that the driver is
/// built from.
///
/// # Errors
/// See [`BuildError`].
pub fn build_kubectl(
    target_dir: &Path,
    version: KubernetesVersion,
    say: &mut dyn FnMut(&str),
) -> Result<PathBuf, BuildError> {
    let full = version.full();
    let binary = target_dir.join("reference").join(format!("kubectl-{full}"));
    if binary.exists() {
        return Ok(binary);
    }
    check_go()?;
    let (module, _lock) = module(target_dir, version)?;
    write_go_mod(&module, version, say)?;
    say(&format!("building kubectl {full} (minutes the first time)"));
    let unfinished = module.join("kubectl.unfinished");
    let package = "k8s.io/component-base/version";
    let mut compile = go(&module, &["build", "-mod=mod", "-ldflags"]);
    compile.arg(format!(
        "-s -w -X {package}.gitVersion=v{full} -X {package}.gitMajor=1 -X {package}.gitMinor={}",
        version.minor()
    ));
    succeed(compile.arg("-o").arg(&unfinished).arg("k8s.io/kubernetes/cmd/kubectl"))?;
    at(&binary, fs::rename(&unfinished, &binary))?;
    Ok(binary)
}

/// The directory of a version's module. Two builds in it would write over each other's files, so it is locked until the file is dropped.
fn module(target_dir: &Path, version: KubernetesVersion) -> Result<(PathBuf, File), BuildError> {
    let module = target_dir.join("reference").join(version.to_string());
    at(&module, fs::create_dir_all(&module))?;
    let path = module.join("lock");
    let lock = at(&path, File::create(&path))?;
    at(&path, lock.lock())?;
    Ok((module, lock))
}

/// The Go module's path.
const MODULE: &str = "go.towtank.dev/reference";

/// The driver's sources: `reference/` at the root of the repository.
fn source_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference")
}

struct Source {
    /// Path below the directory of the sources.
    name: String,
    content: Vec<u8>,
}

/// All Go files of a directory, sorted by name.
fn sources(dir: &Path) -> Result<Vec<Source>, BuildError> {
    let mut sources = Vec::new();
    for path in go_files(dir)? {
        let name = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy().into_owned();
        sources.push(Source { name, content: at(&path, fs::read(&path))? });
    }
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(sources)
}

/// The Go files of a directory and of the directories in it.
fn go_files(dir: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let mut files = Vec::new();
    for entry in at(dir, fs::read_dir(dir))? {
        let path = at(dir, entry)?.path();
        if path.is_dir() {
            files.extend(go_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "go") {
            files.push(path);
        }
    }
    Ok(files)
}

/// FNV-1a over the release and all names and contents, in hexadecimal.
fn digest(release: &str, sources: &[Source]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut take = |bytes: &[u8]| {
        // A length first, so that no two lists of files read alike.
        for &byte in (bytes.len() as u64).to_be_bytes().iter().chain(bytes) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    take(release.as_bytes());
    for source in sources {
        take(source.name.as_bytes());
        take(&source.content);
    }
    format!("{hash:016x}")
}

/// The name of the driver of this version that is built from the sources as they are now.
///
/// # Errors
/// The sources cannot be read: this program is not where it was built.
pub(crate) fn binary_name(version: KubernetesVersion) -> Result<String, BuildError> {
    let digest = digest(&version.full(), &sources(&source_dir())?);
    Ok(format!("{}{digest}", binary_prefix(version)))
}

/// How the names of all drivers of this version begin.
pub(crate) fn binary_prefix(version: KubernetesVersion) -> String {
    format!("driver-{version}-")
}

/// Copies the sources into the module, and takes away files that are no sources any more.
fn write_sources(module: &Path, sources: &[Source]) -> Result<(), BuildError> {
    for path in go_files(module)? {
        at(&path, fs::remove_file(&path))?;
    }
    for source in sources {
        let path = module.join(&source.name);
        let dir = path.parent().unwrap_or(module);
        at(dir, fs::create_dir_all(dir))?;
        at(&path, fs::write(&path, &source.content))?;
    }
    Ok(())
}

/// Writes go.mod unless it is there for this very release; with it, Go keeps its sums and what else it has found out.
fn write_go_mod(
    module: &Path,
    version: KubernetesVersion,
    say: &mut dyn FnMut(&str),
) -> Result<(), BuildError> {
    let path = module.join("go.mod");
    let requirement = format!("k8s.io/kubernetes v{}", version.full());
    let is_up_to_date = |text: String| {
        text.lines().next() == Some(&format!("module {MODULE}"))
            && text.lines().any(|line| line.ends_with(&requirement))
    };
    if fs::read_to_string(&path).is_ok_and(is_up_to_date) {
        return Ok(());
    }
    say(&format!("fetching the sources of Kubernetes {}", version.full()));
    at(&path, fs::write(&path, format!("module {MODULE}\n")))?;
    let spec = format!("k8s.io/kubernetes@v{}", version.full());
    let download = succeed(&mut go(module, &["mod", "download", "-json", &spec]))?;
    let upstream_path = serde_json::from_slice::<serde_json::Value>(&download.stdout)
        .ok()
        .and_then(|answer| Some(PathBuf::from(answer.get("GoMod")?.as_str()?)))
        .ok_or_else(|| upstream_fault(version, "cannot be found"))?;
    let upstream = at(&upstream_path, fs::read_to_string(&upstream_path))?;
    at(&path, fs::write(&path, go_mod(version, &upstream)?))
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
    let mut text = format!(
        "module {MODULE}\n\ngo {}.{}.{}\n\nrequire k8s.io/kubernetes v{}\n\nreplace (\n",
        go.0,
        go.1,
        go.2,
        version.full()
    );
    for name in libraries {
        text.push_str(&format!("\t{name} => {name} v0.{}.{}\n", version.minor(), version.patch()));
    }
    text.push_str(")\n");
    Ok(text)
}

fn upstream_fault(version: KubernetesVersion, fault: &'static str) -> BuildError {
    BuildError::Upstream { version: version.full(), fault }
}

/// Removes the binaries of other sources, which nobody will run again.
fn remove_older(binary: &Path, version: KubernetesVersion) -> Result<(), BuildError> {
    let Some(dir) = binary.parent() else { return Ok(()) };
    for entry in at(dir, fs::read_dir(dir))? {
        let path = at(dir, entry)?.path();
        let of_this_version =
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&binary_prefix(version)));
        if of_this_version && path != binary {
            at(&path, fs::remove_file(&path))?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct GoVersion(u32, u32, u32);

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

/// A `go` command in the module's directory. Settings of the user's workspace do not reach it.
fn go(module: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("go");
    command.args(args).current_dir(module).env("GOWORK", "off").env_remove("GOFLAGS");
    command
}

fn succeed(command: &mut Command) -> Result<Output, BuildError> {
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

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, BuildError> {
    result.map_err(|source| BuildError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> KubernetesVersion {
        text.parse().expect("a version")
    }

    fn source(name: &str, content: &str) -> Source {
        Source { name: name.to_owned(), content: content.into() }
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
    fn the_digest_tells_sources_and_patch_levels_apart() {
        let digests = [
            digest("1.36.3", &[source("a.go", "x"), source("b.go", "y")]),
            digest("1.36.3", &[source("a.go", "xb.go"), source("", "y")]),
            digest("1.36.3", &[source("a.go", "x"), source("b.go", "z")]),
            digest("1.36.4", &[source("a.go", "x"), source("b.go", "y")]),
        ];
        for (i, one) in digests.iter().enumerate() {
            for other in digests.iter().skip(i + 1) {
                assert_ne!(one, other);
            }
        }
    }

    #[test]
    fn reads_versions_of_go() {
        assert_eq!(GoVersion::parse("1.26.8"), Some(GoVersion(1, 26, 8)));
        assert_eq!(GoVersion::parse("1.27rc1"), Some(GoVersion(1, 27, 0)));
        assert!(GoVersion::parse("1.9").expect("a version") < GO_OLDEST);
        assert_eq!(GoVersion::parse("devel"), None);
    }

    #[test]
    fn knows_which_changes_a_release_has() {
        assert_eq!(tags(version("1.28")), "");
        assert_eq!(tags(version("1.30")), "since_1_29,since_1_30");
    }
}
