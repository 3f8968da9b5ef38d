//! A stand-in for Flux: one static program that does in a container what `flux` does, as far as MiniClusters and their users need it.
//!
//! `flux broker` is a real process that listens, connects, gets signals and ends; what an instance *is* (who is online, what is drained, how long it takes
//! to leave, what tables look like) is `towtank-flux`, real Flux as it was recorded, which the lead's process runs on the clock of the machine. There
//! is no scheduler and there are no jobs. The README of the crate has the list of what it does and does not.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real processes run in real time and speak over real sockets"
)]

mod broker;
mod client;
mod config;
mod error;
mod lead;
mod remote;
mod resources;
mod wire;
mod worker;

use std::process::ExitCode;

use error::StandInError;
use towtank_flux::FluxVersion;

/// The version of Flux that is stood in for, if not the newest that was recorded.
const VERSION_VARIABLE: &str = "TOWTANK_STAND_IN_FLUX";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let code = match words.as_slice() {
        ["version" | "--version" | "-V"] => version(),
        ["R", "encode", options @ ..] => resources::encode(options),
        ["broker", options @ ..] => broker::run(options),
        [] => Err(StandInError::Usage),
        words => client::run(words),
    };
    match code {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("flux: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Which Flux is stood in for.
fn flux_version() -> Result<FluxVersion, StandInError> {
    match std::env::var(VERSION_VARIABLE) {
        Ok(text) => Ok(text.parse()?),
        Err(_) => Ok(FluxVersion::V0_88),
    }
}

fn version() -> Result<u8, StandInError> {
    let version = flux_version()?;
    println!("commands:    \t\t{version}\nlibflux-core:\t\t{version}\nbuild-options:\t\ttowtank-stand-in");
    Ok(0)
}
