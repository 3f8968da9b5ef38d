//! The drivers of one thread: started when first wanted, kept for the next run.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use towtank_model::version::KubernetesVersion;

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
        let path = find(version).ok_or(DriverError::Missing(version))?;
        let driver = Rc::new(RefCell::new(Driver::start(&path, version)?));
        self.running.insert(version, Rc::clone(&driver));
        Ok(driver)
    }

    /// Ends a driver that is of no more use.
    pub fn discard(&mut self, version: KubernetesVersion) {
        self.running.remove(&version);
    }
}

/// The driver binary of this version, if one is built: in the directory that [`DIRECTORY_VARIABLE`] names, or in
/// `reference` beside one of the directories that this program is in (`target/reference` for one in `target/release`).
pub fn find(version: KubernetesVersion) -> Option<PathBuf> {
    let named = std::env::var_os(DIRECTORY_VARIABLE).map(PathBuf::from);
    let program = std::env::current_exe().unwrap_or_default();
    let beside = program.ancestors().skip(1).take(4).map(|directory| directory.join("reference"));
    match named {
        Some(directory) => find_in(&directory, version),
        None => beside.into_iter().find_map(|directory| find_in(&directory, version)),
    }
}

/// The newest driver of this version in a directory: its name ends with a digest of the sources.
fn find_in(directory: &Path, version: KubernetesVersion) -> Option<PathBuf> {
    let prefix = format!("driver-{version}-");
    let is_driver = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&prefix))
    };
    let paths = fs::read_dir(directory).ok()?.filter_map(|entry| Some(entry.ok()?.path())).filter(is_driver);
    paths.max_by_key(|path| fs::metadata(path).and_then(|data| data.modified()).ok())
}
