//! scenario
pub mod ast;
mod cel;
mod error;
mod lower;
mod manifest;
pub mod observation;
mod raw;
pub mod table;
mod text;
mod yaml;

use std::path::Path;
use std::sync::Arc;

pub use ast::{Scenario, SourceFile};
pub use cel::EvaluationError;
pub use error::{Problem, ScenarioError};

/// Reads the files that a scenario names.
pub trait FileLoader {
    /// The text of the file at `path`, which is relative to the scenario.
    ///
    /// # Errors
    /// Whatever keeps the file from being read; it becomes part of the message.
    fn load(&self, path: &str) -> std::io::Result<String>;
}

/// Reads files of a directory.
#[derive(Clone, Debug)]
pub struct Directory(pub std::path::PathBuf);

impl FileLoader for Directory {
    fn load(&self, path: &str) -> std::io::Result<String> {
        read_limited(&self.0.join(path))
    }
}

/// For scenarios that stand alone: no file can be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl FileLoader for NoFiles {
    fn load(&self, _path: &str) -> std::io::Result<String> {
        Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "this scenario has no directory"))
    }
}

/// Reads the scenario at `path`, and the files that it names.
///
/// # Errors
/// The file cannot be read, or is no scenario.
pub fn load(path: &Path) -> Result<Scenario, ScenarioError> {
    let name = path.display().to_string();
    let text = read_limited(path).map_err(|reason| {
        let source = Arc::new(SourceFile { path: name.clone(), text: String::new() });
        let problem = Problem::Unreadable { path: name.clone(), reason: reason.to_string() };
        ScenarioError::new(&source, 0..0, problem, "this file").with_help("give the path of a scenario file")
    })?;
    let directory = path.parent().map_or_else(std::path::PathBuf::new, Path::to_path_buf);
    parse(&name, &text, &Directory(directory))
}

/// Reads a scenario from `text`; `name` is what messages call it.
///
/// # Errors
/// The text is no scenario.
pub fn parse(name: &str, text: &str, loader: &dyn FileLoader) -> Result<Scenario, ScenarioError> {
    let source = Arc::new(SourceFile { path: name.to_owned(), text: text.to_owned() });
    lower::scenario(&source, loader)
}

/// Reads a file of text, but no more than a little over the limit, which is then found to be exceeded.
fn read_limited(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(yaml::FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        std::io::Error::new(std::io::ErrorKind::InvalidData, format!("not UTF-8 text (byte {at})"))
    })
}
