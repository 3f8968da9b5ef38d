//! Programs in containers instead of child processes: with the same flags, files and ports, because they have the run's directory where this process has it, and the network of the machine.
//!
//! No container ends with the process that started it, unlike a child. So its name is written down before it is made, and who removes what a killed run has left removes it too.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use testcontainers::bollard::{self, Docker, errors::Error as DockerError};
use testcontainers::core::client::docker_client_instance;
use testcontainers::core::{BuildImageOptions, Mount, logs::LogFrame};
use testcontainers::runners::{SyncBuilder as _, SyncRunner as _};
use testcontainers::{Container, GenericBuildableImage, GenericImage, ImageExt as _};

use crate::child::Launch;
use crate::error::{ControlPlaneError, at};

/// How often the engine is asked at most whether a container still runs.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(300);
/// How long the engine may take for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// What a container is that somebody else has removed.
const KILLED: i32 = 9;
/// The file of a run that its containers are recorded in: the id of the engine that has them, then one name on each line.
pub(crate) const RECORD: &str = "containers";

/// A container that was started and not removed yet. It is removed when this is dropped.
pub(crate) struct Contained {
    /// None once it is removed.
    container: Option<Container<GenericImage>>,
    ended: Option<ExitStatus>,
    asked: Instant,
}

impl std::fmt::Debug for Contained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contained").field("ended", &self.ended).finish_non_exhaustive()
    }
}

fn engine(doing: impl Into<String>, why: &dyn std::fmt::Display) -> ControlPlaneError {
    ControlPlaneError::Container { doing: doing.into(), why: why.to_string() }
}

impl Contained {
    /// Starts a program's container. `run` is the directory of the run: the container sees it, and nothing else of this machine.
    pub(crate) fn start(launch: &Launch, image: &str, run: &Path) -> Result<Self, ControlPlaneError> {
        let name = name(run, image);
        record(run, image, &name)?;
        let log = at(&launch.log, OpenOptions::new().create(true).append(true).open(&launch.log))?;
        let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        let dir = text(run.as_os_str());
        let (image_name, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
        // As this user, so that the run's files can be removed.
        let user = format!("{}:{}", rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let mut request = GenericImage::new(image_name, tag)
            .with_cmd(launch.args.iter().map(|arg| text(arg)))
            .with_container_name(name)
            .with_network("host")
            .with_user(user)
            .with_mount(Mount::bind_mount(dir.clone(), dir))
            .with_log_consumer(move |frame: &LogFrame| write(&log, frame));
        for (name, value) in &launch.envs {
            request = request.with_env_var(text(name), text(value));
        }
        let container = request.start().map_err(|error| engine(format!("cannot run {image}"), &error))?;
        Ok(Self { container: Some(container), ended: None, asked: Instant::now() })
    }

    /// How it has ended, if it has.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        if let (None, Some(container)) = (self.ended, &self.container)
            && self.asked.elapsed() >= ASK_AGAIN_AFTER
        {
            self.asked = Instant::now();
            self.ended = match container.exit_code() {
                Ok(None) => None,
                Ok(Some(code)) => Some(exit_status(code)),
                Err(_) => Some(ExitStatus::from_raw(KILLED)),
            };
        }
        self.ended
    }

    /// Removes it, running or not.
    pub(crate) fn kill(&mut self) {
        if let Some(container) = self.container.take() {
            self.ended.get_or_insert(ExitStatus::from_raw(KILLED));
            // It may fail because somebody else has removed it. Any other is removed before the run's directory goes.
            let _ = container.rm();
        }
    }

    /// Asks it to end, has it killed when it has not after `limit`, and removes it.
    pub(crate) fn stop(&mut self, limit: Duration) -> Option<ExitStatus> {
        if let Some(container) = &self.container {
            let seconds = i32::try_from(limit.as_secs()).unwrap_or(i32::MAX);
            let _ = container.stop_with_timeout(Some(seconds));
            if let Ok(Some(code)) = container.exit_code() {
                self.ended = Some(exit_status(code));
            }
        }
        self.kill();
        self.ended
    }
}

/// wait(2): the exit code is the second byte.
fn exit_status(code: i64) -> ExitStatus {
    ExitStatus::from_raw(i32::try_from(code & 0xff).unwrap_or(0) << 8)
}

fn write(mut log: &File, frame: &LogFrame) {
    // A full disk is no reason to end what is logged.
    let _ = log.write_all(frame.bytes());
}

/// A name that no other container has: that of the run, of the program, and a number.
fn name(run: &Path, image: &str) -> String {
    static STARTED: AtomicU64 = AtomicU64::new(0);
    let run = run.file_name().unwrap_or_default().to_string_lossy();
    let program = image.rsplit('/').next().and_then(|name| name.split([':', '@']).next()).unwrap_or_default();
    format!("towtank-{run}-{program}-{}", STARTED.fetch_add(1, Ordering::Relaxed))
}

/// Writes the name of a container down before it is made.
fn record(run: &Path, image: &str, name: &str) -> Result<(), ControlPlaneError> {
    let record = run.join(RECORD);
    let mut file = at(&record, OpenOptions::new().create(true).append(true).open(&record))?;
    let is_first = at(&record, file.metadata())?.len() == 0;
    let engine = if is_first {
        let found = block_on(async { Ok(find_engine().await) })?.flatten();
        let (_, id) =
            found.ok_or_else(|| engine(format!("cannot run {image}"), &"no container engine answers"))?;
        format!("{id}\n")
    } else {
        String::new()
    };
    at(&record, file.write_all(format!("{engine}{name}\n").as_bytes()))
}

/// The engine that testcontainers uses, and its id.
async fn find_engine() -> Option<(Docker, String)> {
    let docker = docker_client_instance().await.ok()?;
    let id = docker.info().await.ok()?.id?;
    Some((docker, id))
}

/// Asks the engine something; none when that takes too long.
fn block_on<T>(
    work: impl Future<Output = Result<T, ControlPlaneError>>,
) -> Result<Option<T>, ControlPlaneError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ControlPlaneError::Machine(error.to_string()))?;
    runtime.block_on(async { tokio::time::timeout(ANSWER_LIMIT, work).await.ok().transpose() })
}

/// Makes an image that has nothing but a static program, unless there is one of this very file; returns its name. It needs no registry.
///
/// # Errors
/// The file cannot be read, or no container engine answers, or it refuses.
pub fn build_image(program: &Path, name: &str, version: &str) -> Result<String, ControlPlaneError> {
    let file = at(program, program.metadata())?;
    let changed = at(program, file.modified())?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    // Not its content, which takes a second for each: a program that is built anew has another time.
    let tag = format!("{version}-{:x}-{:x}", file.len(), changed.as_nanos());
    let text = "FROM scratch\nCOPY --chmod=0755 program /program\nENTRYPOINT [\"/program\"]\n";
    let image = GenericBuildableImage::new(name, &tag)
        .with_dockerfile_string(text)
        .with_file(PathBuf::from(program), "program");
    let once = BuildImageOptions::new().with_skip_if_exists(true);
    let built = image.build_image_with(once);
    let _ = built.map_err(|error| engine(format!("cannot build the image {name}"), &error))?;
    Ok(format!("{name}:{tag}"))
}

/// Removes the containers that a run has left. `false`: the engine that has them does not answer, and nobody knows whether there still are any.
pub(crate) fn remove_left(run: &Path) -> Result<bool, ControlPlaneError> {
    let Ok(recorded) = std::fs::read_to_string(run.join(RECORD)) else { return Ok(true) };
    let mut lines = recorded.lines();
    let Some(engine_id) = lines.next() else { return Ok(true) };
    let work = async {
        let Some((docker, _)) = find_engine().await.filter(|(_, id)| id == engine_id) else {
            return Ok(false);
        };
        for name in lines {
            let options = bollard::query_parameters::RemoveContainerOptionsBuilder::new().force(true).v(true);
            match docker.remove_container(name, Some(options.build())).await {
                // Gone, or about to go.
                Ok(()) | Err(DockerError::DockerResponseServerError { status_code: 404 | 409, .. }) => {}
                Err(error) => return Err(engine(format!("cannot remove the container {name}"), &error)),
            }
        }
        Ok(true)
    };
    Ok(block_on(work)?.unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_run_and_the_program_and_are_used_once() {
        let run = Path::new("/somewhere/run-12ab34cd");
        let first = name(run, "example.org:5000/x/kube-apiserver:v1.37.0");
        let number = first.strip_prefix("towtank-run-12ab34cd-kube-apiserver-").expect("run and program");
        assert!(number.parse::<u64>().is_ok(), "{first}");
        assert_ne!(first, name(run, "example.org:5000/x/kube-apiserver:v1.37.0"));
    }

    fn docker(args: &[&str]) -> bool {
        let output = std::process::Command::new("docker").args(args).output().expect("docker");
        output.status.success()
    }

    /// What a start leaves that has failed.
    #[test]
    #[ignore = "needs a container engine"]
    fn a_container_that_was_made_and_never_ran_is_removed() {
        let run = std::env::temp_dir().join(format!("towtank-run-made-{}", std::process::id()));
        std::fs::create_dir(&run).expect("a directory");
        std::fs::write(run.join("program"), "no program").expect("a file");
        let image = build_image(&run.join("program"), "towtank/test-made", "0").expect("an image");
        let name = name(&run, &image);
        record(&run, &image, &name).expect("an engine answers");
        assert!(docker(&["create", "--name", &name, &image]));
        let removed = remove_left(&run);
        let is_gone = !docker(&["container", "inspect", &name]);
        let again = remove_left(&run);
        assert!(docker(&["rmi", &image]));
        std::fs::remove_dir_all(&run).expect("it was there");
        assert!(is_gone && matches!((&removed, &again), (Ok(true), Ok(true))), "{removed:?} {again:?}");
    }

    #[test]
    fn a_run_without_containers_needs_no_engine() {
        assert!(matches!(remove_left(Path::new("/nowhere")), Ok(true)));
    }

    #[test]
    fn exit_codes_are_those_of_the_program() {
        assert_eq!(exit_status(3).code(), Some(3));
        assert!(exit_status(0).success());
    }
}
