//! Everything below the Job controller: scheduler, kubelets, nodes, and the controllers that clean up after them.

/// What the cluster's components wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterEvent {
    /// Placeholder.
    Placeholder,
}

/// What the containers of a pod do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// How long the process runs by itself; for ever when absent.
    pub runs_for: Option<std::time::Duration>,
    /// The code with which it then ends.
    pub exit_code: i32,
    /// What it does at SIGTERM.
    pub on_term: OnTerm,
}

/// What a process does at SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTerm {
    /// It ends with this code after this time.
    Exit {
        /// The code.
        exit_code: i32,
        /// The time it needs.
        after: std::time::Duration,
    },
    /// It goes on, until SIGKILL ends it with 137.
    Ignore,
}
