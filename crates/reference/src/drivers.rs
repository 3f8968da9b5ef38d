//! The drivers of one thread: started when first wanted, kept for the next run.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use towtank_model::version::KubernetesVersion;

use crate::build;
use crate::driver::{Driver, DriverError};

/// Where drivers are looked for before anywhere else.
pub const DIRECTORY_VARIABLE: &str = "TOWTANK_REFERENCE";

/// Running drivers, one for each version that was asked for.
#[derive(Debug, Default)]
pub struct Drivers {
    running: BTreeMap<KubernetesVersion, Rc<RefCell<Driver>>>,
}

impl Drivers {
    /// The driver of this version.
    ///
    /// # Errors
    ///
    /// None is built, or it cannot be started.
    pub fn get(&mut self, version: KubernetesVersion) -> Result<Rc<RefCell<Driver>>, DriverError> {
        if let Some(driver) = self.running.get(&version) {
            return Ok(Rc::clone(driver));
        }
        let path = find(version)?;
        let driver = Rc::new(RefCell::new(Driver::start(&path, version)?));
        self.running.insert(version, Rc::clone(&driver));
        Ok(driver)
    }

    /// Ends a driver that is of no more use.
    pub fn discard(&mut self, version: KubernetesVersion) {
        self.running.remove(&version);
    }
}

/// The driver binary of this version: in the directory that [`DIRECTORY_VARIABLE`] names, as it is, or in
/// `reference` beside one of the directories that this program is in (`target/reference` for one in `target/release`). There
/// it must be of the sources that lie in the repository, where these are to be had.
///
/// # Errors
///
/// [`DriverError::Missing`] or [`DriverError::Stale`].
pub fn find(version: KubernetesVersion) -> Result<PathBuf, DriverError> {
    if let Some(directory) = std::env::var_os(DIRECTORY_VARIABLE) {
        return find_in(Path::new(&directory), version).ok_or(DriverError::Missing(version));
    }
    let program = std::env::current_exe().unwrap_or_default();
    let mut beside = program.ancestors().skip(1).take(4).map(|directory| directory.join("reference"));
    let newest = beside.find_map(|directory| find_in(&directory, version));
    let newest = newest.ok_or(DriverError::Missing(version))?;
    match build::binary_name(version) {
        Ok(current) if newest.file_name() != Some(OsStr::new(&current)) => {
            // Two checkouts may share a directory, each with its own.
            let current = newest.with_file_name(current);
            if current.exists() { Ok(current) } else { Err(DriverError::Stale(version)) }
        }
        _ => Ok(newest),
    }
}

/// The newest driver of this version in a directory: its name ends with a digest of the sources.
fn find_in(directory: &Path, version: KubernetesVersion) -> Option<PathBuf> {
    let prefix = build::binary_prefix(version);
    let is_driver = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&prefix))
    };
    let paths = fs::read_dir(directory).ok()?.filter_map(|entry| Some(entry.ok()?.path())).filter(is_driver);
    paths.max_by_key(|path| fs::metadata(path).and_then(|data| data.modified()).ok())
}
