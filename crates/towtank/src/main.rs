//! The command line of Towtank: a thin layer that reads arguments and files, plays, prints, and chooses the exit code.

mod args;
mod command;
mod failure;
mod files;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, BenchWhat, Command};

fn main() -> ExitCode {
    // Children of a real cluster begin here.
    towtank_control_plane::shim();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // clap prints help and version to stdout with code 0 and its own errors to stderr with code 2. When even
            // that cannot be written there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let result = match arguments.command {
        Command::Run(arguments) => command::run::run(&arguments),
        Command::Check(arguments) => command::check::run(&arguments),
        Command::Explain(arguments) => command::explain::run(&arguments),
        Command::Record(arguments) => command::record::run(&arguments),
        Command::Schema => command::schema::run(),
        Command::Calibrate(arguments) => command::latency::calibrate(&arguments),
        Command::Bench { what: BenchWhat::Latency(arguments) } => command::latency::bench(&arguments),
        Command::Bench { what: BenchWhat::LargeJob(arguments) } => command::latency::large_job(&arguments),
        Command::ControlPlane { action } => command::control_plane::run(&action),
        Command::E2e(arguments) => command::e2e::run(&arguments),
        Command::Serve(arguments) => command::serve::run(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
