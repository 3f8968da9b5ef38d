//! Timing profiles in files, which `timing: FILE` of a scenario reads: JSON that `towtank calibrate` writes, or Stages of KWOK in YAML (module `stages`).
//!
//! A profile in JSON is a built-in one (`virtual`, unless the file names another) with other durations for the steps that the file names, each as points of a quantile function.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use towtank_model::cluster::TimingProfile;
use towtank_model::engine::Distribution;
use towtank_scenario::ast;

use super::stages;

/// How a file is called that holds a profile as it is fitted. Others hold Stages.
const FITTED: &str = ".json";
/// Points of one step.
const POINTS_MAX: usize = 1_000;
/// Bytes of a file that are read; a longer one is refused.
const BYTES_MAX: u64 = 1 << 20;
/// Files that one process reads: a profile stays for good.
const FILES_MAX: usize = 1_000;

/// A profile as it is written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileFile {
    /// What it is called in messages.
    pub name: String,
    /// What it was fitted to.
    pub source: String,
    /// The built-in profile that says what this file does not.
    #[serde(default = "usual_base")]
    pub base: String,
    /// See [`TimingProfile::is_one_thread`].
    #[serde(default)]
    pub is_one_thread: bool,
    /// See [`TimingProfile::cores_milli`].
    #[serde(default)]
    pub cores_milli: u32,
    /// See [`TimingProfile::probe_period`]; milliseconds.
    #[serde(default)]
    pub probe_period_ms: u64,
    /// By step, points (probability, milliseconds) of its quantile function. Steps are named as the fields of [`TimingProfile`] that they are.
    pub steps: BTreeMap<String, Vec<(f64, f64)>>,
}

/// There is no such profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// No built-in one has this name.
    #[error("unknown timing profile `{0}`")]
    Unknown(String),
    /// A file holds none.
    #[error("timing profile `{path}`: {why}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The built-in profile of this name, or that of this file, which is read once.
///
/// # Errors
///
/// See [`ProfileError`].
pub fn find(name: &str) -> Result<&'static TimingProfile, ProfileError> {
    if !ast::is_timing_file(name) {
        return TimingProfile::by_name(name).ok_or_else(|| ProfileError::Unknown(name.to_owned()));
    }
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(profile) = read.get(name) {
        return Ok(profile);
    }
    let failed = |why: String| ProfileError::File { path: name.to_owned(), why };
    if read.len() == FILES_MAX {
        return Err(failed(format!("more than {FILES_MAX} files of profiles")));
    }
    let text = read_text(name).map_err(|error| failed(error.to_string()))?;
    let profile = match name.ends_with(FITTED) {
        true => parse(&text).and_then(|file| file.profile()),
        false => stages::profile(&text, name),
    };
    let profile = &*Box::leak(Box::new(profile.map_err(failed)?));
    read.insert(name.to_owned(), profile);
    Ok(profile)
}

/// Those that were read, by the names of their files.
static READ: Mutex<BTreeMap<String, &'static TimingProfile>> = Mutex::new(BTreeMap::new());

/// The text of a file, as far as it may go.
fn read_text(path: &str) -> std::io::Result<String> {
    let mut text = String::new();
    // What is cut off could still be whole YAML.
    let bytes = std::fs::File::open(path)?.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    match u64::try_from(bytes) {
        Ok(..=BYTES_MAX) => Ok(text),
        _ => Err(std::io::Error::other(format!("it has more than {BYTES_MAX} bytes"))),
    }
}

fn parse(text: &str) -> Result<ProfileFile, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// What is fitted to nodes without machines says all that takes time there.
fn usual_base() -> String {
    "virtual".to_owned()
}

/// Steps of a profile that a file may name.
type Place = fn(&mut TimingProfile) -> &mut Distribution;
const STEPS: [(&str, Place); 14] = [
    ("api_call", |profile| &mut profile.api_call),
    ("watch_delivery", |profile| &mut profile.watch_delivery),
    ("scheduling", |profile| &mut profile.scheduling),
    ("binding", |profile| &mut profile.binding),
    ("start_slot", |profile| &mut profile.start_slot),
    ("start", |profile| &mut profile.start),
    ("status_report", |profile| &mut profile.status_report),
    ("first_probe", |profile| &mut profile.first_probe),
    ("probe", |profile| &mut profile.probe),
    ("stop_notice", |profile| &mut profile.stop_notice),
    ("stop_slot", |profile| &mut profile.stop_slot),
    ("stop", |profile| &mut profile.stop),
    ("cleanup", |profile| &mut profile.cleanup),
    ("operator", |profile| profile.operator.get_or_insert(Distribution::Constant(Duration::ZERO))),
];

impl ProfileFile {
    /// Has [`find`] know it, as long as the process lives, by the name that is returned, as though it had been read from a file.
    pub(super) fn publish(&self) -> Result<String, String> {
        let profile = self.profile()?;
        let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
        if read.len() == FILES_MAX {
            return Err(format!("more than {FILES_MAX} profiles"));
        }
        let name = format!("fitted to {} ({}){FITTED}", self.source, read.len());
        read.insert(name.clone(), Box::leak(Box::new(profile)));
        Ok(name)
    }

    /// The profile. What it is made of stays for good.
    fn profile(&self) -> Result<TimingProfile, String> {
        if self.is_one_thread && self.cores_milli > 0 {
            return Err(
                "nodes are one thread (`is_one_thread`) or share cores (`cores_milli`), and not both"
                    .to_owned(),
            );
        }
        if let Some(slot) = self.steps.keys().find(|step| self.is_one_thread && step.ends_with("_slot")) {
            return Err(format!("nodes that are one thread (`is_one_thread`) have no `{slot}`"));
        }
        let Some(built_in) = TimingProfile::by_name(&self.base) else {
            return Err(ProfileError::Unknown(self.base.clone()).to_string());
        };
        let mut profile = TimingProfile {
            name: Box::leak(self.name.clone().into_boxed_str()),
            is_one_thread: self.is_one_thread,
            cores_milli: self.cores_milli,
            probe_period: Duration::from_millis(self.probe_period_ms),
            ..*built_in
        };
        for (step, points) in &self.steps {
            let place = STEPS.iter().find(|(name, _)| name == step).map(|(_, place)| place);
            let Some(place) = place else {
                let names: Vec<&str> = STEPS.iter().map(|(name, _)| *name).collect();
                return Err(format!("unknown step `{step}`: there are {}", names.join(", ")));
            };
            if points.len() > POINTS_MAX {
                return Err(format!("step `{step}` has more than {POINTS_MAX} points"));
            }
            let distribution = Distribution::Quantiles(Box::leak(points.clone().into_boxed_slice()));
            if !distribution.is_well_formed() {
                return Err(format!(
                    "the points of step `{step}` are no quantile function: both numbers must grow from point to point"
                ));
            }
            *place(&mut profile) = distribution;
        }
        Ok(profile)
    }
}

impl std::fmt::Display for ProfileFile {
    /// JSON with one step to a line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, source, base, is_one_thread, cores_milli, probe_period_ms, steps } = self;
        let text = |text: &str| serde_json::to_string(text).map_err(|_| std::fmt::Error);
        writeln!(f, "{{\n \"name\": {},\n \"source\": {},", text(name)?, text(source)?)?;
        writeln!(f, " \"base\": {},", text(base)?)?;
        writeln!(f, " \"is_one_thread\": {is_one_thread},\n \"cores_milli\": {cores_milli},")?;
        writeln!(f, " \"probe_period_ms\": {probe_period_ms},\n \"steps\": {{")?;
        for (number, (step, points)) in steps.iter().enumerate() {
            let points = serde_json::to_string(points).map_err(|_| std::fmt::Error)?;
            writeln!(f, "  {}: {points}{}", text(step)?, if number + 1 < steps.len() { "," } else { "" })?;
        }
        writeln!(f, " }}\n}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(steps: &str) -> Result<TimingProfile, String> {
        parse(&format!(r#"{{"name": "p", "source": "s", "cores_milli": 1500, "steps": {steps}}}"#))
            .and_then(|file| file.profile())
    }

    #[test]
    fn a_file_says_what_differs_from_virtual() {
        let profile = file(r#"{"api_call": [[0, 2], [1, 4.5]], "operator": [[0.5, 8]]}"#).unwrap();
        let built_in = TimingProfile::by_name("virtual").unwrap();
        let thread = parse(
            r#"{"name": "p", "source": "s", "is_one_thread": true, "steps": {"stop_slot": [[0.5, 3]]}}"#,
        );
        let error = thread.and_then(|file| file.profile()).unwrap_err();
        assert_eq!(error, "nodes that are one thread (`is_one_thread`) have no `stop_slot`");
        assert_eq!(profile.api_call.median().as_micros(), 3_250);
        assert_eq!(profile.operator.unwrap().median().as_millis(), 8);
        assert_eq!((profile.name, profile.cores_milli, profile.binding), ("p", 1_500, built_in.binding));
    }

    #[test]
    fn what_is_no_profile_is_refused() {
        assert!(file(r#"{"lunch": [[0, 2]]}"#).unwrap_err().contains("unknown step `lunch`"));
        assert!(file(r#"{"api_call": [[0, 2], [1, 1]]}"#).unwrap_err().contains("no quantile function"));
        assert!(file(r#"{"api_call": []}"#).unwrap_err().contains("no quantile function"));
        assert!(file("[]").is_err());
        let both =
            parse(r#"{"name": "p", "source": "s", "is_one_thread": true, "cores_milli": 1, "steps": {}}"#);
        assert!(both.and_then(|file| file.profile()).unwrap_err().ends_with("and not both"));
        let on_nothing = parse(r#"{"name": "p", "source": "s", "base": "tin", "steps": {}}"#);
        assert_eq!(
            on_nothing.and_then(|file| file.profile()),
            Err("unknown timing profile `tin`".to_owned())
        );
        assert_eq!(find("lunch"), Err(ProfileError::Unknown("lunch".to_owned())));
        for nowhere in ["nowhere.json", "nowhere.yaml", "nowhere.yml"] {
            assert!(matches!(find(nowhere), Err(ProfileError::File { .. })), "{nowhere}");
        }
    }

    #[test]
    fn a_file_that_is_too_long_is_refused_and_not_cut_off() {
        let path = std::env::temp_dir().join(format!("towtank-profile-{}.yaml", std::process::id()));
        let length = usize::try_from(BYTES_MAX).unwrap();
        let read = |text: String| {
            std::fs::write(&path, text).unwrap();
            read_text(&path.to_string_lossy()).map(|text| text.len()).map_err(|error| error.to_string())
        };
        let (whole, longer) = (read("#".repeat(length)), read("#".repeat(length + 1)));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(whole, Ok(length));
        assert!(longer.unwrap_err().contains("more than 1048576 bytes"));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let steps = [("api_call", vec![(0.0, 1.0), (1.0, 2.5)]), ("operator", vec![(0.5, 3.0)])];
        let steps = steps.map(|(name, points)| (name.to_owned(), points)).into();
        let file = ProfileFile {
            name: "p".to_owned(),
            source: "s".to_owned(),
            base: "kind".to_owned(),
            is_one_thread: false,
            cores_milli: 1_500,
            probe_period_ms: 5_000,
            steps,
        };
        assert_eq!(parse(&file.to_string()), Ok(file));
    }
}
