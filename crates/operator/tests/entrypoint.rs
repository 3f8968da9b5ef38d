//! The scripts of the ConfigMap, run for real by bash, with a program of the test's own in the place of Flux.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real processes take real time")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use towtank_api::MiniCluster;
use towtank_operator::objects::{Created, config_map};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// It logs what it is asked, and its brokers do what the file `story` says, a line each: `run` (until SIGTERM, then 0), `exit N`,
/// `marked` (0, after the lead has left its mark), or `program` (what the lead runs inside of Flux).
const FLUX: &str = r#"#!/bin/bash
echo "flux $*" >>"$FAKE/log"
case $1 in
R) echo '{}' ;;
version) printf 'commands:    \t\t%s\nlibflux-core:\t\t9.9.9\n' "$(cat "$FAKE/version")" ;;
exec) [ "$6" != touch ] || touch "$7" ;;
broker)
    line=$(head -n 1 "$FAKE/story")
    sed -i 1d "$FAKE/story"
    set -- "$@"
    case $line in
    run) trap 'echo "broker told" >>"$FAKE/log"; exit 0' TERM
         echo "broker runs" >>"$FAKE/log"
         while :; do sleep 0.05; done ;;
    exit*) exit ${line#exit } ;;
    marked) touch "$FAKE/mnt/config/run/flux/lead-left"; exit 0 ;;
    program)
        while [ $# -gt 3 ]; do shift; done
        [ "$1 $2" = "bash -c" ] || exit 99
        "$@"; exit ;;
    esac ;;
esac
"#;

struct Pod {
    dir: PathBuf,
    child: Child,
}

static PODS: AtomicU32 = AtomicU32::new(0);

impl Pod {
    fn start(index: u32, spec: Value, story: &str) -> Self {
        Self::retrying(index, spec, story, "0.2")
    }

    /// A worker that tries again after this many seconds.
    fn retrying(index: u32, mut spec: Value, story: &str, seconds: &str) -> Self {
        let number = PODS.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("towtank-entrypoint-{}-{number}", std::process::id()));
        let scripts = dir.join("scripts");
        fs::create_dir_all(&scripts).unwrap();
        spec["flux"]["container"] = json!({"disable": true, "mountPath": dir.join("mnt")});
        spec["containers"] = spec.get("containers").cloned().unwrap_or(json!([{"image": "flux"}]));
        let cluster: MiniCluster = serde_json::from_value(
            json!({"metadata": {"name": "sample", "namespace": "default"}, "spec": spec}),
        )
        .unwrap();
        let data = config_map(&cluster, Created::of(&cluster.spec), cluster.spec.size).data.unwrap();
        for (name, text) in data {
            // The paths of a pod are those of a directory here.
            let text = text.replace("bash /flux_operator", &format!("bash {}", scripts.display()));
            fs::write(scripts.join(name), text).unwrap();
        }
        fs::write(dir.join("curve.cert"), "secret").unwrap();
        fs::write(dir.join("story"), story).unwrap();
        fs::write(dir.join("log"), "").unwrap();
        fs::write(dir.join("version"), spec["version"].as_str().unwrap_or("0.61.2")).unwrap();
        fs::write(dir.join("flux"), FLUX).unwrap();
        fs::set_permissions(dir.join("flux"), fs::Permissions::from_mode(0o755)).unwrap();
        let settings = scripts.join("settings.sh");
        let text = fs::read_to_string(&settings)
            .unwrap()
            .replace("RETRY_SECONDS=15", &format!("RETRY_SECONDS={seconds}"));
        fs::write(settings, text).unwrap();
        let child = Command::new("bash")
            .arg(scripts.join("entrypoint.sh"))
            .env("PATH", format!("{}:{}", dir.display(), std::env::var("PATH").unwrap()))
            .env("FAKE", &dir)
            .env("TOWTANK_SCRIPTS", &scripts)
            .env("TOWTANK_CURVE", dir.join("curve.cert"))
            .env("JOB_COMPLETION_INDEX", index.to_string())
            .stdin(Stdio::null())
            .stderr(fs::File::create(dir.join("stderr")).unwrap())
            .stdout(fs::File::create(dir.join("stdout")).unwrap())
            .spawn()
            .unwrap();
        Self { dir, child }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap()
    }

    /// It has told the workers that the instance goes on.
    fn tells_workers(&self) -> bool {
        self.log().lines().any(|line| line.starts_with("flux exec -r all -x 0 touch"))
    }

    fn brokers(&self) -> usize {
        self.log().lines().filter(|line| line.starts_with("flux broker")).count()
    }

    fn sees(&self, text: &str) {
        let start = Instant::now();
        while !self.log().contains(text) {
            assert!(start.elapsed() < PATIENCE, "no `{text}` in\n{}\n{}", self.log(), self.errors());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.dir.join("stderr")).unwrap()
    }

    fn signal(&self, signal: &str) {
        assert!(
            Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success()
        );
    }

    /// What the script ends with.
    fn code(&mut self) -> i32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(start.elapsed() < PATIENCE, "still runs:\n{}\n{}", self.log(), self.errors());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn four() -> Value {
    json!({"size": 4})
}

/// SIGTERM at PID 1: the pod is going. The broker leaves in order, and the index has failed (J.1).
#[test]
fn a_worker_that_is_deleted_leaves_in_order_and_fails() {
    let mut pod = Pod::start(1, four(), "run\n");
    pod.sees("broker runs");
    pod.signal("-TERM");
    assert_eq!(pod.code(), 143);
    assert!(pod.log().contains("broker told"));
    // A worker leaves no mark: it is no lead.
    assert!(!pod.tells_workers());
}

/// A broker that ends with 0 by itself was retired, or the instance has shut down.
#[test]
fn a_worker_that_is_retired_completes() {
    let mut pod = Pod::start(1, four(), "exit 0\n");
    assert_eq!((pod.code(), pod.brokers()), (0, 1));
}

#[test]
fn a_worker_that_is_thrown_out_tries_again() {
    let mut pod = Pod::start(1, four(), "exit 1\nexit 1\nexit 0\n");
    assert_eq!((pod.code(), pod.brokers()), (0, 3));
}

#[test]
fn a_worker_that_waits_can_be_deleted() {
    let mut pod = Pod::retrying(1, four(), "exit 1\n", "60");
    pod.sees("flux broker");
    let start = Instant::now();
    while !pod.errors().contains("again in 60 s") {
        assert!(start.elapsed() < PATIENCE, "{}", pod.errors());
        std::thread::sleep(Duration::from_millis(10));
    }
    pod.signal("-TERM");
    assert_eq!(pod.code(), 143);
}

#[test]
fn complete_workers_never_try_again() {
    let mut pod = Pod::start(1, json!({"size": 4, "flux": {"completeWorkers": true}}), "exit 1\nexit 0\n");
    assert_eq!((pod.code(), pod.brokers()), (0, 1));
}

/// The lead has left and said that the instance goes on: nobody is retired (J.6).
#[test]
fn a_worker_waits_for_the_next_lead() {
    let mut pod = Pod::start(1, four(), "marked\nexit 0\n");
    assert_eq!((pod.code(), pod.brokers()), (0, 2));
}

#[test]
fn a_lead_that_is_deleted_tells_the_workers_first() {
    let mut pod = Pod::start(0, json!({"size": 4, "interactive": true}), "run\n");
    pod.sees("broker runs");
    pod.signal("-TERM");
    assert_eq!(pod.code(), 143);
    let log = pod.log();
    let (told, left) = (log.find("flux exec -r all -x 0 touch").unwrap(), log.find("broker told").unwrap());
    assert!(told < left, "{log}");
    assert!(log.contains("mnt/config/run/flux/lead-left"));
}

#[test]
fn a_lead_that_crashes_ends_with_its_code() {
    let mut pod = Pod::start(0, json!({"size": 4, "interactive": true}), "exit 3\nexit 0\n");
    assert_eq!((pod.code(), pod.brokers()), (3, 1));
}

fn workload(command: &str) -> Value {
    json!({"size": 4, "containers": [{"image": "flux", "command": command, "launcher": true}]})
}

#[test]
fn a_workload_that_succeeds_is_success() {
    let mut pod = Pod::start(0, workload("echo 'a  b' \"$(echo c)\""), "program\n");
    assert_eq!(pod.code(), 0);
    assert_eq!(fs::read_to_string(pod.dir.join("stdout")).unwrap(), "a  b c\n");
    assert!(!pod.tells_workers());
}

/// A workload that fails is a failure (A.11.11), and its next try finds its workers waiting.
#[test]
fn a_workload_that_fails_is_a_failure() {
    let mut pod = Pod::start(0, workload("sh -c 'exit 7'"), "program\n");
    assert_eq!(pod.code(), 7);
    assert!(pod.tells_workers());
}

#[test]
fn the_command_is_submitted() {
    let spec = json!({"size": 4, "containers": [{"image": "flux", "command": "hostname -f"}]});
    let mut pod = Pod::start(0, spec, "program\n");
    assert_eq!(pod.code(), 0);
    assert!(pod.log().contains("flux submit -n1 --quiet --watch hostname -f\n"), "{}", pod.log());
}

/// Workers of a cluster that another bursts to: index 0 is none's lead (E.3).
#[test]
fn a_bursted_cluster_has_no_lead() {
    let spec = json!({"size": 2, "flux": {"bursting": {"leadBroker": {"address": "10.0.0.1", "name": "far", "size": 2}}}});
    let mut pod = Pod::start(0, spec, "exit 1\nexit 0\n");
    assert_eq!((pod.code(), pod.brokers()), (0, 2));
}

#[test]
fn what_users_add_is_run_in_order_and_can_set_variables() {
    let commands = json!({"init": "echo init", "pre": "export X=pre", "brokerPre": "echo $X lead", "workerPre": "echo $X worker",
        "post": "echo post"});
    let spec = |command: &str| {
        json!({"size": 2, "flux": {"environment": {"Y": "it's"}},
            "containers": [{"image": "flux", "command": command, "launcher": true, "commands": commands}]})
    };
    let mut lead = Pod::start(0, spec("echo run $X \"$Y\""), "program\n");
    assert_eq!(lead.code(), 0);
    assert_eq!(fs::read_to_string(lead.dir.join("stdout")).unwrap(), "init\npre lead\nrun pre it's\npost\n");
    let mut worker = Pod::start(1, spec("true"), "exit 0\n");
    assert_eq!(worker.code(), 0);
    assert_eq!(fs::read_to_string(worker.dir.join("stdout")).unwrap(), "init\npre worker\npost\n");
}

#[test]
fn a_strict_script_ends_with_what_fails_first() {
    let spec = |strict| {
        json!({"size": 2, "logging": {"strict": strict},
            "containers": [{"image": "flux", "commands": {"pre": "false"}}]})
    };
    let mut strict = Pod::start(1, spec(true), "exit 0\n");
    assert_eq!((strict.code(), strict.brokers()), (1, 0));
    let mut lax = Pod::start(1, spec(false), "exit 0\n");
    assert_eq!((lax.code(), lax.brokers()), (0, 1));
    // And the rest is as without it.
    let worker = json!({"size": 2, "logging": {"strict": true, "quiet": true}});
    let mut again = Pod::start(1, worker.clone(), "exit 1\nmarked\nexit 0\n");
    assert_eq!((again.code(), again.brokers()), (0, 3));
    assert_eq!(again.errors(), "");
    let mut deleted = Pod::start(1, worker, "run\n");
    deleted.sees("broker runs");
    deleted.signal("-TERM");
    assert_eq!(deleted.code(), 143);
}

#[test]
fn brokers_get_their_options_and_the_archive_if_it_is_there() {
    let archive = std::env::temp_dir().join(format!("towtank-archive-{}", std::process::id()));
    let spec = json!({"size": 2, "maxSize": 4, "interactive": true, "archive": {"path": archive}});
    let mut without = Pod::start(0, spec.clone(), "exit 0\n");
    assert_eq!(without.code(), 0);
    assert!(!without.log().contains("content.restore"));
    fs::write(&archive, "").unwrap();
    let mut with = Pod::start(0, spec.clone(), "exit 0\n");
    let mut worker = Pod::start(1, spec, "exit 0\n");
    assert_eq!((with.code(), worker.code()), (0, 0));
    fs::remove_file(&archive).unwrap();
    assert!(with.log().contains(&format!("-Scontent.restore={}", archive.display())));
    assert!(!worker.log().contains("content.restore"));
    assert!(with.log().contains("-Sbroker.quorum=2") && with.log().contains("-Sbroker.rc2_none"));
    assert!(with.log().contains("flux R encode --hosts=sample-[0-3] --local"), "{}", with.log());
}

/// Up to 0.50 a quorum is a set of ranks.
#[test]
fn an_old_flux_gets_a_set_of_ranks() {
    for (version, size, quorum) in [
        ("0.50.0", 4, "0-3"),
        ("0.50.0", 1, "0"),
        ("0.51.0", 4, "4"),
        ("0.88.0-7-gabc", 4, "4"),
        ("1.2.0", 4, "4"),
        ("", 4, "4"),
    ] {
        let mut pod = Pod::start(1, json!({"size": size, "version": version}), "exit 0\n");
        assert_eq!(pod.code(), 0);
        assert!(pod.log().contains(&format!("-Sbroker.quorum={quorum}\n")), "{version}: {}", pod.log());
    }
}

/// The certificate is copied where nobody else can read it, and a second start appends nothing (A.11.8).
#[test]
fn configuration_is_written_anew() {
    let mut pod = Pod::start(1, four(), "exit 0\n");
    assert_eq!(pod.code(), 0);
    let root = pod.dir.join("mnt/config");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&root.join("curve/curve.cert")), 0o600);
    let configuration = fs::read_to_string(root.join("etc/flux/config/broker.toml")).unwrap();
    assert_eq!(configuration.matches("[bootstrap]").count(), 1);
    assert!(!pod.errors().contains("secret"));
}

/// Every script that a ConfigMap can hold is one for bash.
#[test]
fn scripts_are_bash() {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut count = 0;
    for script in fs::read_dir(scripts).unwrap() {
        let script = script.unwrap().path();
        assert!(
            Command::new("bash").arg("-n").arg(&script).status().unwrap().success(),
            "{}",
            script.display()
        );
        count += 1;
    }
    assert_eq!(count, 4);
}
