//! Brokers as processes of this machine, with addresses of the loopback interface: the same program that runs in pods.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real processes take real time, and listen on real ports"
)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(40);

static INSTANCES: AtomicU32 = AtomicU32::new(0);

/// An instance of six ranks, of which some run.
struct Instance {
    dir: PathBuf,
    brokers: Vec<(u32, Child)>,
}

impl Instance {
    fn new(version: &str) -> Self {
        let number = INSTANCES.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("towtank-stand-in-{}-{number}", std::process::id()));
        fs::create_dir_all(dir.join("bin")).expect("a directory");
        symlink(env!("CARGO_BIN_EXE_towtank-stand-in"), dir.join("bin/flux")).expect("a link");
        fs::write(dir.join("version"), version).expect("a file");
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let instance = Self { dir, brokers: Vec::new() };
        let encoded = instance.command(&["R", "encode", "--hosts=sample-[0-5]", "--local"]).output();
        let encoded = encoded.expect("flux R encode");
        assert!(encoded.status.success());
        fs::write(instance.dir.join("R"), encoded.stdout).expect("a file");
        let config = format!(
            "[resource]\npath = \"{}\"\n[bootstrap]\ndefault_port = {port}\ndefault_bind = \"tcp://127.0.0.1:%p\"\n\
             default_connect = \"tcp://127.0.0.1:%p\"\nhosts = [\n  {{ host = \"sample-[0-5]\" }},\n]\n",
            instance.dir.join("R").display(),
        );
        fs::write(instance.dir.join("broker.toml"), config).expect("a file");
        instance
    }

    /// An instance in which these ranks are online.
    fn with(version: &str, ranks: std::ops::Range<u32>) -> Self {
        let mut instance = Self::new(version);
        let size = ranks.len();
        for rank in ranks {
            instance.start(rank, &["-Sbroker.rc2_none"]);
        }
        instance.shows(0, &["uptime"], &format!("size 6,  {} offline", 6 - size));
        instance
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_towtank-stand-in"));
        let path = format!("{}:{}", self.dir.join("bin").display(), std::env::var("PATH").expect("a path"));
        command.args(words).env("PATH", path).stdin(Stdio::null());
        command.env("TOWTANK_STAND_IN_FLUX", fs::read_to_string(self.dir.join("version")).expect("a file"));
        command.env("TOWTANK_STAND_IN_CORES", "10");
        command
    }

    fn start(&mut self, rank: u32, words: &[&str]) {
        let log = fs::File::create(self.dir.join(format!("log-{rank}"))).expect("a log");
        let mut command = self.command(&["broker", "-Sbroker.quorum=1", "-Stbon.fanout=256"]);
        command
            .arg(format!("--config-path={}", self.dir.display()))
            .arg(format!("-Slocal-uri={}", self.uri(rank)))
            .args(words)
            .env("FLUX_FAKE_HOSTNAME", format!("sample-{rank}"))
            .stdout(log.try_clone().expect("a log"))
            .stderr(log);
        self.brokers.push((rank, command.spawn().expect("a broker")));
    }

    fn uri(&self, rank: u32) -> String {
        format!("local://{}", self.dir.join(format!("local-{rank}")).display())
    }

    /// What a user beside a rank gets.
    fn flux(&self, rank: u32, words: &[&str]) -> Output {
        self.command(words).env("FLUX_URI", self.uri(rank)).output().expect("flux")
    }

    fn text(&self, rank: u32, words: &[&str]) -> String {
        String::from_utf8(self.flux(rank, words).stdout).expect("text")
    }

    /// Waits until a command prints something.
    fn shows(&self, rank: u32, words: &[&str], wanted: &str) {
        let start = Instant::now();
        loop {
            let text = self.text(rank, words);
            if text.contains(wanted) {
                return;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{words:?} of {rank} has no `{wanted}`:\n{text}\n{}",
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn logs(&self) -> String {
        let log = |rank| fs::read_to_string(self.dir.join(format!("log-{rank}"))).unwrap_or_default();
        (0..6).map(log).collect()
    }

    fn signal(&self, rank: u32, signal: &str) {
        let pid = self.pid(rank).to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill").success());
    }

    fn pid(&self, rank: u32) -> u32 {
        self.brokers.iter().find(|(known, _)| *known == rank).expect("it runs").1.id()
    }

    /// Waits until a broker ends: its exit code, none when a signal ended it.
    fn end(&mut self, rank: u32) -> Option<i32> {
        let at = self.brokers.iter().position(|(known, _)| *known == rank).expect("it runs");
        let start = Instant::now();
        loop {
            if let Some(status) = self.brokers[at].1.try_wait().expect("a child") {
                self.brokers.remove(at);
                return status.code();
            }
            assert!(start.elapsed() < PATIENCE, "{rank} does not end:\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        for (_, broker) in &mut self.brokers {
            let _ = broker.kill();
            let _ = broker.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The document of the downsize, as far as Flux is in it: the tables are those of 0.61.
#[test]
fn the_downsize_document() {
    let mut flux = Instance::with("0.61", 0..4);
    let list = |rows: [&str; 3]| {
        format!("     STATE NNODES   NCORES    NGPUS NODELIST\n{}\n{}\n{}\n", rows[0], rows[1], rows[2])
    };
    let idle = " allocated      0        0        0 ";
    flux.shows(
        0,
        &["resource", "list"],
        &list([
            "      free      4       40        0 sample-[0-3]",
            idle,
            "      down      2       20        0 sample-[4-5]",
        ]),
    );
    assert!(flux.flux(0, &["resource", "drain", "sample-2", "Goodbye rank 2"]).status.success());
    let drained = list([
        "      free      3       30        0 sample-[0-1,3]",
        idle,
        "      down      3       30        0 sample-[2,4-5]",
    ]);
    flux.shows(0, &["resource", "list"], &drained);
    assert!(flux.text(1, &["resource", "drain"]).contains("Goodbye rank 2"));
    // As the document does it.
    assert_eq!(flux.text(0, &["exec", "-r", "2", "hostname"]).lines().count(), 1);
    let pid = flux.text(0, &["exec", "-r", "2", "flux", "getattr", "broker.pid"]);
    assert_eq!(pid, format!("{}\n", flux.pid(2)));
    assert!(flux.flux(0, &["exec", "-r", "2", "kill", "-15", pid.trim()]).status.success());
    assert_eq!(flux.end(2), Some(0));
    flux.shows(0, &["resource", "list"], &drained);
    flux.shows(0, &["overlay", "status"], "2 sample-2: offline");
    assert!(!flux.dir.join("local-2").exists());
    // The rank comes back.
    flux.start(2, &[]);
    flux.shows(0, &["overlay", "status"], "2 sample-2: full");
    assert!(flux.flux(0, &["resource", "undrain", "2"]).status.success());
    flux.shows(0, &["resource", "list"], "free      4       40        0 sample-[0-3]");
}

#[test]
fn a_worker_that_is_killed_is_lost() {
    let mut flux = Instance::with("0.88", 0..3);
    flux.signal(1, "-KILL");
    assert_eq!(flux.end(1), None);
    flux.shows(0, &["overlay", "status"], "1 sample-1: lost lost connection");
    flux.shows(0, &["resource", "list"], "down      4     40     0 sample-[1,3-5]");
}

#[test]
fn a_worker_that_is_disconnected_ends_with_1() {
    let mut flux = Instance::with("0.88", 0..3);
    assert!(flux.flux(0, &["overlay", "disconnect", "2"]).status.success());
    assert_eq!(flux.end(2), Some(1));
    flux.shows(0, &["overlay", "status"], "2 sample-2: lost administrative disconnect");
}

#[test]
fn the_leave_of_the_lead_ends_all_in_order() {
    let mut flux = Instance::with("0.88", 0..3);
    flux.signal(0, "-TERM");
    assert_eq!([flux.end(1), flux.end(2), flux.end(0)], [Some(0); 3]);
}

/// Workers go on without it, and the next one does not know them.
#[test]
fn a_lead_that_is_killed_leaves_its_workers_behind() {
    let mut flux = Instance::with("0.88", 0..3);
    flux.signal(0, "-KILL");
    assert_eq!(flux.end(0), None);
    // They have noticed, and nobody answers there.
    let start = Instant::now();
    while flux.flux(1, &["ping", "--count=1", "0"]).status.success() {
        assert!(start.elapsed() < PATIENCE, "{}", flux.logs());
    }
    flux.start(0, &["-Sbroker.rc2_none"]);
    assert_eq!([flux.end(1), flux.end(2)], [Some(1); 2]);
    flux.start(1, &[]);
    flux.shows(0, &["uptime"], "size 6,  4 offline");
}

#[test]
fn a_worker_waits_for_its_lead() {
    let mut flux = Instance::new("0.88");
    flux.start(1, &[]);
    let start = Instant::now();
    while !flux.dir.join("local-1").exists() {
        assert!(start.elapsed() < PATIENCE);
    }
    assert_eq!(flux.flux(1, &["resource", "list"]).status.code(), Some(1));
    flux.start(0, &[]);
    flux.shows(1, &["getattr", "size"], "6");
    flux.shows(1, &["ping", "--count=1", "0"], "0: broker.ping");
    // One that never joined has nothing to say goodbye to.
    flux.signal(0, "-KILL");
    flux.end(0);
    flux.start(2, &[]);
    while !flux.dir.join("local-2").exists() {
        assert!(start.elapsed() < PATIENCE);
    }
    flux.signal(2, "-TERM");
    assert_eq!(flux.end(2), Some(1));
}

#[test]
fn commands_run_on_the_ranks_that_are_meant() {
    let flux = Instance::with("0.88", 0..4);
    let mark = flux.dir.join("mark");
    let touch = format!("touch {}-$(flux getattr rank)", mark.display());
    assert!(flux.flux(0, &["exec", "-r", "all", "-x", "0", "sh", "-c", &touch]).status.success());
    let exists = |rank: u32| Path::new(&format!("{}-{rank}", mark.display())).exists();
    assert_eq!([0, 1, 2, 3].map(exists), [false, true, true, true]);
    let ended = flux.flux(3, &["exec", "-r", "1-2", "sh", "-c", "echo $FLUX_URI; exit $(flux getattr rank)"]);
    assert_eq!(ended.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&ended.stdout), format!("{}\n{}\n", flux.uri(1), flux.uri(2)));
    let absent = flux.flux(0, &["exec", "-r", "0,5", "true"]);
    assert_eq!(absent.status.code(), Some(68));
    assert!(String::from_utf8_lossy(&absent.stderr).contains("rank 5: No route to host"));
}

/// A byte of it may take six in a message, and the answers of all ranks become one.
#[test]
fn no_output_makes_a_broker_lost() {
    let flux = Instance::with("0.88", 0..4);
    let zeros = ["exec", "head", "--bytes=1000000", "/dev/zero"];
    for rank in [0, 1] {
        let output = flux.flux(rank, &zeros);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        // A part of them, for each of which a message has six bytes.
        assert!(output.stdout.len() > 100_000 && output.stdout.iter().all(|byte| *byte == 0));
        assert_eq!(flux.text(rank, &["exec", "-r", "2", "echo", "here"]), "here\n");
    }
    // Nor does a command that is too long for a message.
    let words = vec!["\u{1}".repeat(100_000); 8];
    let mut long = vec!["exec", "true"];
    long.extend(words.iter().map(String::as_str));
    let refused = flux.flux(1, &long);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("4194304 are the most"), "{said}");
    flux.shows(0, &["uptime"], "size 6,  2 offline");
}

/// The exit code of the instance is that of its program, and its workers end in order.
#[test]
fn the_program_ends_the_instance() {
    let mut flux = Instance::new("0.88");
    flux.start(1, &["-Sbroker.quorum=2"]);
    flux.start(0, &["-Sbroker.quorum=2", "bash", "-c", "flux getattr size; exit 7"]);
    assert_eq!([flux.end(0), flux.end(1)], [Some(7), Some(0)]);
    assert!(flux.logs().contains("\n6\n"), "{}", flux.logs());
}

#[test]
fn what_cannot_be_is_said() {
    let flux = Instance::with("0.88", 0..1);
    let says = |output: Output, text: &str| {
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(text), "{said}");
    };
    says(flux.flux(0, &["submit", "hostname"]), "`submit' is nothing that this stand-in for Flux does");
    says(
        flux.command(&["uptime"]).env("FLUX_URI", "local:///nowhere").output().expect("flux"),
        "Unable to connect to Flux",
    );
    let mut stranger = flux.command(&["broker", &format!("--config-path={}", flux.dir.display())]);
    says(stranger.env("FLUX_FAKE_HOSTNAME", "other-0").output().expect("flux"), "other-0 not found in hosts");
    let mut nowhere = flux.command(&["broker", "--config-path=/nowhere"]);
    says(nowhere.output().expect("flux"), "/nowhere: No such file or directory");
    says(
        flux.command(&["version"]).env("TOWTANK_STAND_IN_FLUX", "7").output().expect("flux"),
        "unknown Flux version `7`",
    );
}
