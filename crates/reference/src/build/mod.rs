//! Building the driver: one Go module for each version of Kubernetes, made from the same sources.
//!
//! A module lives in `target/reference/1.36/`, the binary beside it. The binary's name has a digest of the sources and of the patch level in it,
//! so whether it is up to date is whether it is there. Kubernetes' own programs ([`build_program`]) are built in the same module;
//! what a node needs beside them has a module of its own.

mod module;
mod program;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use towtank_model::version::KubernetesVersion;

pub use module::check_go;
use module::{MODULE, Module, succeed};
pub use program::{Program, build_program, kind_sources};

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
    /// `go mod download` does not say where it has put a module.
    #[error("the sources of {0} cannot be found")]
    NoSources(&'static str),
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

    let module = Module::open(target_dir, &version.to_string())?;
    if binary.exists() {
        return Ok(binary);
    }
    write_sources(module.dir(), &sources)?;
    module.write_go_mod(version, say)?;
    say(&format!("building the driver for Kubernetes {} (minutes the first time)", version.full()));
    let unfinished = module.dir().join("driver.unfinished");
    let mut compile = module.go(&["test", "-c", "-mod=mod", "-tags", &tags(version), "-ldflags"]);
    compile.arg(format!(
        "-s -w -X {MODULE}.kubernetesVersion={} -X {MODULE}.sourceDigest={digest}",
        version.full()
    ));
    succeed(compile.arg("-o").arg(&unfinished).arg("."))?;
    at(&binary, fs::rename(&unfinished, &binary))?;
    remove_older(&binary, version)?;
    Ok(binary)
}

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
    fn knows_which_changes_a_release_has() {
        assert_eq!(tags(version("1.28")), "");
        assert_eq!(tags(version("1.30")), "since_1_29,since_1_30");
    }
}
