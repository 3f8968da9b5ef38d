//! `cargo xtask differential`, `hunt` and `mutants --reference`: random stories on the model and on the real controller.

mod choosing;
mod compare;
mod hunting;
#[cfg(feature = "mutants")]
mod mutating;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use towtank_differential::DifferentialError;

/// Exit code when something that was asked for cannot be written.
const BAD_INPUT: u8 = 2;
/// Exit code when the real controller could not be had, or failed.
const NO_WORLD: u8 = 3;

#[derive(Parser)]
#[command(about = "Tells random stories on the model and on the real Job controller, and compares")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Compares, and writes a scenario file for each difference.
    Compare(compare::Arguments),
    /// Lets random stories find known defects again.
    Hunt(hunting::Arguments),
    /// Chooses random stories that are worth keeping.
    Choose(choosing::Arguments),
    /// Lets random stories find seeded mistakes in the model.
    #[cfg(feature = "mutants")]
    Mutants(mutating::Arguments),
}

fn main() -> ExitCode {
    let is_good = match Arguments::parse().chore {
        Chore::Compare(arguments) => compare::run(&arguments).map(|differences| differences == 0),
        Chore::Hunt(arguments) => hunting::run(&arguments),
        Chore::Choose(arguments) => choosing::run(&arguments),
        #[cfg(feature = "mutants")]
        Chore::Mutants(arguments) => mutating::run(&arguments),
    };
    match is_good {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if matches!(error, DifferentialError::Output(_)) { BAD_INPUT } else { NO_WORLD })
        }
    }
}
