//! What was measured, kept: a value that tables and timing profiles are made of without a cluster.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Operation;

/// Measurements of one cluster: of changes of size, or of something else that is done again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recording<T = Operation> {
    /// What the cluster was made of: `process`, `kind`, ….
    pub provider: String,
    /// The version of Kubernetes, in full.
    pub kubernetes: String,
    /// The day, as `2026-01-31`.
    pub date: String,
    /// Cores of the machine.
    pub cores: usize,
    /// Scenario by scenario.
    pub series: Vec<Series<T>>,
}

/// What was measured of one scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series<T = Operation> {
    /// Its name.
    pub scenario: String,
    /// The machine's load before and after (`/proc/loadavg`, the mean of the last minute); empty where there is none.
    pub load: Vec<f64>,
    /// Its changes of size, or whatever it does, in order.
    pub operations: Vec<T>,
}

impl<T: DeserializeOwned> Recording<T> {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// The text is none.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

impl<T: Serialize> std::fmt::Display for Recording<T> {
    /// JSON with one operation to a line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let json = |value: &dyn Fn() -> serde_json::Result<String>| value().map_err(|_| std::fmt::Error);
        let Self { provider, kubernetes, date, cores, series } = self;
        let text = |text: &str| json(&|| serde_json::to_string(text));
        writeln!(f, "{{")?;
        writeln!(f, " \"provider\": {},", text(provider)?)?;
        writeln!(f, " \"kubernetes\": {},", text(kubernetes)?)?;
        writeln!(f, " \"date\": {},", text(date)?)?;
        writeln!(f, " \"cores\": {cores},")?;
        writeln!(f, " \"series\": [")?;
        for (number, one) in series.iter().enumerate() {
            let load = json(&|| serde_json::to_string(&one.load))?;
            writeln!(f, "  {{\"scenario\": {}, \"load\": {load}, \"operations\": [", text(&one.scenario)?)?;
            for (number, operation) in one.operations.iter().enumerate() {
                let comma = if number + 1 < one.operations.len() { "," } else { "" };
                writeln!(f, "   {}{comma}", json(&|| serde_json::to_string(operation))?)?;
            }
            writeln!(f, "  ]}}{}", if number + 1 < series.len() { "," } else { "" })?;
        }
        writeln!(f, " ]\n}}")
    }
}
