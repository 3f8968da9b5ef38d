//! R, the description of resources (RFC 20): written by `flux R encode`, read by the lead.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use towtank_flux::instance::Setup;
use towtank_flux::{Hostlist, Idset};

use crate::error::{StandInError, at};

/// So many cores every host has, instead of those of this machine.
const CORES_VARIABLE: &str = "TOWTANK_STAND_IN_CORES";

/// `flux R encode --hosts=HOSTS --local`: every rank gets the cores of this host.
pub(crate) fn encode(words: &[&str]) -> Result<u8, StandInError> {
    let mut hosts = None;
    for word in words {
        match word.strip_prefix("--hosts=") {
            Some(text) => hosts = Some(Setup::read_hosts(text.trim())?),
            None if *word == "--local" => {}
            None => return Err(StandInError::Option((*word).to_owned())),
        }
    }
    let hosts = hosts.ok_or_else(|| StandInError::Option("--hosts=".to_owned()))?;
    println!("{}", encoded(&hosts, local_cores()));
    Ok(0)
}

fn local_cores() -> u32 {
    let asked = std::env::var(CORES_VARIABLE).ok().and_then(|text| text.parse().ok());
    let there =
        || std::thread::available_parallelism().ok().and_then(|cores| u32::try_from(cores.get()).ok());
    asked.or_else(there).filter(|cores| *cores > 0).unwrap_or(1)
}

fn encoded(hosts: &Hostlist, cores: u32) -> Value {
    let ranks = Idset::below(u32::try_from(hosts.len()).unwrap_or(u32::MAX));
    json!({
        "version": 1,
        "execution": {
            "R_lite": [{"rank": ranks.bare(), "children": {"core": Idset::below(cores).bare()}}],
            "starttime": 0.0,
            "expiration": 0.0,
            "nodelist": [hosts.to_string()],
        },
    })
}

/// How many cores every rank has, by the R of the configuration; those of this host when there is none.
pub(crate) fn cores(path: Option<&Path>) -> Result<u32, StandInError> {
    let Some(path) = path else { return Ok(local_cores()) };
    let text = at(path, fs::read_to_string(path))?;
    decoded(&text).ok_or_else(|| StandInError::BadFile {
        path: path.to_owned(),
        why: "has no cores: it is no R".to_owned(),
    })
}

fn decoded(text: &str) -> Option<u32> {
    let document: Value = serde_json::from_str(text).ok()?;
    let cores: Idset = document.pointer("/execution/R_lite/0/children/core")?.as_str()?.parse().ok()?;
    u32::try_from(cores.len()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_can_be_read() {
        let hosts = Setup::read_hosts("sample-[0-3]").expect("hosts");
        let document = encoded(&hosts, 10);
        assert_eq!(document["execution"]["R_lite"][0]["rank"], "0-3");
        assert_eq!(document["execution"]["nodelist"][0], "sample-[0-3]");
        assert_eq!(decoded(&document.to_string()), Some(10));
        assert_eq!(decoded(&encoded(&hosts, 1).to_string()), Some(1));
    }

    #[test]
    fn what_is_no_r_has_no_cores() {
        assert_eq!(decoded("{}"), None);
        assert_eq!(decoded("no"), None);
    }
}
