//! An OCI runtime in front of runc, for machines that lack capabilities.
//!
//! Docker gives a privileged container all capabilities that it knows of, and runc refuses a container that wants one outside of the bounding
//! set of the machine. This takes such ones out of the container's configuration (`config.json` of the bundle, or the process of an `exec`;
//! OCI runtime specification, `config.md` and `runtime.md`), and lifts an OOM score that may not be lowered so far. Then it becomes runc.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::Value;

/// The name under which this program is an OCI runtime.
pub(crate) const NAME: &str = "towtank-runc";

/// What is behind it.
const RUNC: &str = "runc";

/// Capabilities in the order of their numbers (`linux/capability.h`).
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// If this process was started as the OCI runtime, it becomes runc and never returns, or says why it cannot.
pub fn become_runtime() -> Option<ExitCode> {
    let mut args = std::env::args_os();
    let own = args.next()?;
    if Path::new(&own).file_name() != Some(OsStr::new(NAME)) {
        return None;
    }
    let args: Vec<OsString> = args.collect();
    let changed = match configuration(&args) {
        Some(path) => rewrite(&path).map_err(|error| format!("{}: {error}", path.display())),
        None => Ok(()),
    };
    let why = match changed {
        Ok(()) => format!("{RUNC}: {}", Command::new(RUNC).args(args).exec()),
        Err(why) => why,
    };
    eprintln!("{NAME}: {why}");
    Some(ExitCode::FAILURE)
}

/// The file that says what is to be run, if this call is one that runs something.
fn configuration(args: &[OsString]) -> Option<PathBuf> {
    let words: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    let option = |names: [&str; 2]| {
        words.iter().enumerate().find_map(|(position, word)| {
            names.iter().find_map(|name| {
                let rest = word.strip_prefix(name)?;
                if rest.is_empty() { words.get(position + 1).copied() } else { rest.strip_prefix('=') }
            })
        })
    };
    if words.contains(&"exec") {
        return option(["--process", "-p"]).map(PathBuf::from);
    }
    let runs = words.iter().any(|word| ["create", "run"].contains(word));
    runs.then(|| Path::new(option(["--bundle", "-b"]).unwrap_or(".")).join("config.json"))
}

fn rewrite(path: &Path) -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let bounding = bounding.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(u64::MAX);
    let floor = fs::read_to_string("/proc/self/oom_score_adj")?.trim().parse().unwrap_or(0);
    let mut configuration = serde_json::from_slice(&fs::read(path)?)?;
    restrict(&mut configuration, bounding, floor);
    // Whoever reads it sees all or nothing.
    let unfinished = path.with_extension("unfinished");
    fs::write(&unfinished, serde_json::to_vec(&configuration)?)?;
    fs::rename(&unfinished, path)
}

/// Takes out what is not in the bounding set, and lifts the OOM score to what this process has. `configuration` is that of a container, or of a process alone.
fn restrict(configuration: &mut Value, bounding: u64, floor: i64) {
    let process = match configuration.get("process") {
        Some(_) => configuration.get_mut("process"),
        None => Some(configuration),
    };
    let Some(process) = process else { return };
    let is_there = |name: &Value| {
        let name = name.as_str().and_then(|name| name.strip_prefix("CAP_"));
        let number = name.and_then(|name| CAPABILITIES.iter().position(|known| *known == name));
        number.is_some_and(|number| bounding >> number & 1 == 1)
    };
    let sets = process.get_mut("capabilities").and_then(Value::as_object_mut);
    for set in sets.into_iter().flat_map(|sets| sets.values_mut()) {
        if let Some(names) = set.as_array_mut() {
            names.retain(is_there);
        }
    }
    if let Some(score) = process.get_mut("oomScoreAdj")
        && score.as_i64().is_some_and(|score| score < floor)
    {
        *score = floor.into();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Everything but `CAP_SYS_RESOURCE`.
    const WITHOUT_RESOURCE: u64 = !(1 << 24);

    #[test]
    fn what_the_machine_lacks_is_taken_out() {
        let sets = json!({"bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE"], "ambient": null});
        let mut container = json!({"process": {"capabilities": sets, "oomScoreAdj": -999}, "root": {}});
        let mut process = container["process"].clone();
        let wanted =
            json!({"capabilities": {"bounding": ["CAP_CHOWN"], "ambient": null}, "oomScoreAdj": -10});
        restrict(&mut container, WITHOUT_RESOURCE, -10);
        assert_eq!(container, json!({"process": wanted, "root": {}}));
        restrict(&mut process, WITHOUT_RESOURCE, -10);
        assert_eq!(process, wanted);
    }

    #[test]
    fn what_is_there_stays() {
        let mut container =
            json!({"process": {"capabilities": {"bounding": ["CAP_SYS_RESOURCE"]}, "oomScoreAdj": 5}});
        let before = container.clone();
        restrict(&mut container, u64::MAX, 0);
        assert_eq!(container, before);
    }

    #[test]
    fn numbers_are_those_of_the_kernel() {
        for (number, name) in [(0, "CHOWN"), (12, "NET_ADMIN"), (21, "SYS_ADMIN"), (40, "CHECKPOINT_RESTORE")]
        {
            assert_eq!(CAPABILITIES.get(number), Some(&name));
        }
    }

    #[test]
    fn finds_the_configuration_of_what_is_run() {
        let find = |line: &str| {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            configuration(&args)
        };
        assert_eq!(find("--root /r create --bundle /b id"), Some("/b/config.json".into()));
        assert_eq!(find("--log-format json run --bundle=/b id"), Some("/b/config.json".into()));
        assert_eq!(find("create id"), Some("./config.json".into()));
        assert_eq!(find("exec --process /p.json --detach id"), Some("/p.json".into()));
        assert_eq!(find("exec -p /p.json id"), Some("/p.json".into()));
        for other in ["exec id sh", "delete id", "state id"] {
            assert_eq!(find(other), None, "{other}");
        }
    }
}
