//! `docs/kubectl.md` is a session of the installed kubectl with `towtank serve`: every command in it is run, and prints what stands below it. What
//! cannot be the same twice is masked (`masked`); `UPDATE_DOCS=1` writes what the commands print.
//!
//! It needs kubectl 1.32 or newer: `TOWTANK_KUBECTL`, or the one on the PATH. `cargo xtask test` and `ci` build one when there is none.

mod console;

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use regex::Regex;

/// Seconds; a command that takes longer hangs.
const PATIENCE_S: &str = "30";
const OLDEST_MINOR: u32 = 32;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The kubectl to test with; none when `cargo xtask test` has found none and said so.
fn kubectl() -> Option<PathBuf> {
    let named = std::env::var_os("TOWTANK_KUBECTL");
    if named.as_ref().is_some_and(|named| named.is_empty()) {
        return None;
    }
    let named = PathBuf::from(named.unwrap_or_else(|| "kubectl".into()));
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&paths).map(|directory| directory.join(&named));
    let kubectl =
        found.find(|path| path.is_file()).expect("kubectl is there: `cargo xtask kubectl` builds one");
    let output =
        Command::new(&kubectl).args(["version", "--client", "--output=json"]).output().expect("kubectl runs");
    let version: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("kubectl tells its version");
    let minor = version["clientVersion"]["minor"].as_str().unwrap_or_default();
    let minor = minor.trim_end_matches('+').parse::<u32>().expect("a number");
    let path = kubectl.display();
    assert!(minor >= OLDEST_MINOR, "{path} is 1.{minor}: `cargo xtask kubectl` builds a newer one");
    Some(kubectl)
}

/// A directory of this test's.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("kubectl-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `towtank serve`, for as long as the test runs.
struct Server {
    process: Child,
    kubeconfig: PathBuf,
}

impl Server {
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let kubeconfig = directory.join("kubeconfig");
        let mut command = Command::new(env!("CARGO_BIN_EXE_towtank"));
        command.arg("serve").arg("--kubeconfig").arg(&kubeconfig).args(arguments).stdout(Stdio::piped());
        let mut process = command.spawn().expect("towtank runs");
        let mut line = String::new();
        let mut said = BufReader::new(process.stdout.take().expect("a pipe"));
        let read = said.read_line(&mut line);
        let server = Self { process, kubeconfig };
        assert!(read.is_ok() && line.starts_with("Kubernetes"), "towtank serve said {line:?}");
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where commands run, and with what. The server ends before its directory does.
struct Terminal {
    server: Server,
    directory: Directory,
}

impl Terminal {
    fn new(kubectl: &Path, arguments: &[&str]) -> Self {
        let directory = Directory::new();
        std::fs::create_dir(directory.0.join("bin")).expect("a directory");
        symlink(kubectl, directory.0.join("bin/kubectl")).expect("a link");
        let server = Server::start(&directory.0, arguments);
        Self { server, directory }
    }

    /// Runs a command as a reader would: what it printed, and its exit code when that is not 0.
    fn run(&self, command: &str) -> Vec<String> {
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("timeout")
            .args([PATIENCE_S, "sh", "-c", &format!("exec 2>&1; {command}")])
            .current_dir(root())
            .env("PATH", format!("{}:{path}", self.directory.0.join("bin").display()))
            .env("KUBECONFIG", &self.server.kubeconfig)
            // Where kubectl keeps what it has learned of the server.
            .env("HOME", &self.directory.0)
            .stdin(Stdio::null())
            .output()
            .expect("a shell runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines: Vec<String> = text.lines().map(|line| line.trim_end().to_owned()).collect();
        match output.status.code() {
            Some(0) => {}
            Some(code) => lines.push(format!("(exit code {code})")),
            None => lines.push("(ended by a signal)".to_owned()),
        }
        lines
    }
}

/// A line without what cannot be the same twice: times, ages, uids, versions, generated names, addresses, files for a moment.
fn masked(line: &str) -> String {
    static MASKS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let masks = [
            (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| \+\d{4})", "TIME"),
            (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "TIME"),
            (r"(^|\s{2,}|over )(<invalid>|(\d+[dhms])+\b)", "${1}AGE"),
            (r"AGE +", "AGE "),
            (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UID"),
            (r"(Expected resource version to be \d+, was )\d+", "${1}VERSION"),
            (r#"(resourceVersion"?: ?)"\d+""#, "${1}VERSION"),
            // Pods of a Job, and Events.
            (r"\b(flux-sample-\d+|busy)-[bcdf-hj-np-tv-z2-9]{5}\b", "${1}-NAME"),
            (r"\.[0-9a-f]{16}\b", ".NAME"),
            (r"\b(10|127)(\.\d+){3}(:\d+)?\b", "ADDRESS"),
            (r"/(LIVE|MERGED)-\d+/", "/$1/"),
            // kubectl 1.34 began to say so.
            (r#"" deleted from \S+ namespace"#, "\" deleted"),
        ];
        masks.map(|(mask, word)| (Regex::new(mask).expect("a regex"), word)).into()
    });
    MASKS
        .iter()
        .fold(line.to_owned(), |line, (mask, word)| mask.replace_all(&line, *word).trim_end().to_owned())
}

/// The document is what kubectl prints, and it has what it promises.
#[test]
fn kubectl_finds_what_it_knows() {
    let Some(kubectl) = kubectl() else {
        return eprintln!("not tested: there is no kubectl");
    };
    let path = root().join("docs/kubectl.md");
    let document = std::fs::read_to_string(&path).expect("docs/kubectl.md is there");
    let blocks = console::shown(&document);
    let terminal = Terminal::new(&kubectl, &["--kubernetes=1.36"]);
    let printed: Vec<Vec<String>> = blocks.iter().map(|shown| terminal.run(&shown.command)).collect();
    let (wrong, mended) = console::compare(&document, &blocks, &printed, &masked);
    if std::env::var_os("UPDATE_DOCS").is_some() && !wrong.is_empty() {
        std::fs::write(&path, mended).expect("docs/kubectl.md can be written");
    }
    assert!(wrong.is_empty(), "docs/kubectl.md shows something else than:\n{}", wrong.join("\n\n"));
    let kubectls = blocks.iter().filter(|shown| shown.command.contains("kubectl ")).count();
    assert!(kubectls >= 40, "only {kubectls} commands");
}

/// Whoever ends it, politely, finds nothing left of it.
#[test]
fn a_server_that_is_told_to_end_takes_its_kubeconfig_away() {
    let directory = Directory::new();
    let mut server = Server::start(&directory.0, &["--no-operator"]);
    assert!(server.kubeconfig.is_file());
    let told = Command::new("kill").arg(server.process.id().to_string()).status().expect("kill runs");
    assert!(told.success());
    assert_eq!(server.process.wait().expect("it ends").code(), Some(0));
    assert!(!server.kubeconfig.exists());
}

#[test]
fn only_what_is_unstable_is_masked() {
    let same = [
        ("flux-sample-0-2fw2l   1/1   Running   0   12m", "flux-sample-0-zh5k7   1/1   Running   0   3s"),
        ("job.batch/j   Running   0/3   7s         7s", "job.batch/j   Running   0/3   12s        13s"),
        ("  resourceVersion: \"12\"", "  resourceVersion: \"9\""),
        ("Created: Sun, 22 Nov 2026 22:29:18 +0000", "Created: Mon, 23 Nov 2026 01:02:03 +0000"),
    ];
    for (one, other) in same {
        assert_eq!(masked(one), masked(other));
    }
    for whole in ["job-1 scaled to 3, 2 of 4", "  connectTimeout: 5s", "flux-sample-0 deleted"] {
        assert_eq!(masked(whole), whole);
    }
}
