//! Images of our own programs, built around programs that are linked statically.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::build;
use crate::daemon::check_docker;
use crate::error::{KindError, at};
use crate::node_image::{Context, build_base};

/// What our programs are compiled for: nothing of the machine's libraries is in them.
const TARGET: &str = "x86_64-unknown-linux-musl";
/// The operator's image, as `deploy/` names it.
pub const OPERATOR_IMAGE: &str = "towtank-operator:latest";
/// The image with the stand-in for Flux. Not `latest`: kubelets always try to pull that, and views cannot say otherwise.
pub const STAND_IN_IMAGE: &str = "towtank/stand-in:local";

/// Builds the operator and its image, as `deploy/` names it. Returns the image's name.
///
/// # Errors
/// The compiler has no such target, the operator cannot be built, or docker cannot build the image.
pub fn operator_image(
    root: &Path,
    target_dir: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<String, KindError> {
    check_docker()?;
    let program = compile(root, target_dir, "towtank-operator", say)?;
    let (context, _lock) = context(target_dir)?;
    let recipe = root.join("Dockerfile.prebuilt");
    context.link(&recipe, "Dockerfile")?;
    context.link(&program, "towtank-operator")?;
    let name = OPERATOR_IMAGE.to_owned();
    context.build("Dockerfile", &name, &[])?;
    Ok(name)
}

/// Builds the stand-in for Flux and its image: bash, what scripts of MiniClusters call, and the stand-in as `flux`, on the path and as a view. Returns the image's
/// name.
///
/// # Errors
/// As [`operator_image`], or Debian cannot be installed.
pub fn stand_in_image(
    root: &Path,
    target_dir: &Path,
    mirror: Option<&str>,
    say: &mut dyn FnMut(&str),
) -> Result<String, KindError> {
    check_docker()?;
    let program = compile(root, target_dir, "towtank-stand-in", say)?;
    let (context, _lock) = context(target_dir)?;
    let base = build_base(&target_dir.join("kind"), mirror, say)?;
    context.recipe()?;
    context.write("stand-in.Dockerfile", include_str!("../node/stand-in.Dockerfile"))?;
    context.link(&program, "flux")?;
    context.build("stand-in.Dockerfile", STAND_IN_IMAGE, &[&format!("BASE={base}")])?;
    Ok(STAND_IN_IMAGE.to_owned())
}

/// An empty directory for an image, and the lock under which images are built.
fn context(target_dir: &Path) -> Result<(Context, File), KindError> {
    let dir = target_dir.join("kind");
    at(&dir, fs::create_dir_all(&dir))?;
    let lock = at(&dir, File::create(dir.join("lock")))?;
    at(&dir, lock.lock())?;
    Ok((Context::create(dir.join("context"))?, lock))
}

/// A program of the workspace, linked statically.
fn compile(
    root: &Path,
    target_dir: &Path,
    package: &str,
    say: &mut dyn FnMut(&str),
) -> Result<PathBuf, KindError> {
    say(&format!("compiling {package} for {TARGET} (minutes the first time)"));
    build(Command::new("rustup").args(["target", "add", TARGET]).current_dir(root))?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--release", "--locked", "--target", TARGET, "--package", package]);
    build(cargo.arg("--target-dir").arg(target_dir).current_dir(root))?;
    Ok(target_dir.join(TARGET).join("release").join(package))
}
