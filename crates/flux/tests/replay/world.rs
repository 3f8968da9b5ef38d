//! One recording, played.

use std::time::Duration;

use towtank_flux::command::{self, Code};
use towtank_flux::instance::{Instance, Setup};
use towtank_flux::jobs::Program;
use towtank_flux::latency::Spread;
use towtank_flux::overlay::{Quorum, Topology};
use towtank_flux::time::Draw;
use towtank_flux::{FluxVersion, Hostlist, Idset, Scheduler};

use crate::compare;
use crate::fixture::{Command, Fixture, What};
use crate::normal;

/// Every latency is its median: a recording says what happened once, not how it is distributed.
struct Median;

impl Draw for Median {
    fn unit(&mut self) -> f64 {
        0.5
    }
}

/// What came of a recording.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) agree: usize,
    pub(crate) covered: usize,
    pub(crate) notes: Vec<Note>,
}

/// A command that does not agree.
pub(crate) struct Note {
    pub(crate) kind: Kind,
    pub(crate) time: f64,
    pub(crate) line: String,
    /// `recorded | model`.
    pub(crate) differences: Vec<String>,
}

/// In which way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The model answers something else.
    Differs,
    /// The model does not know the command.
    Unknown,
    /// The answer was the rig's.
    Skipped,
}

impl Tally {
    fn differ(&mut self, kind: Kind, time: f64, line: &str, differences: &[String]) {
        self.notes.push(Note { kind, time, line: line.to_owned(), differences: differences.to_vec() });
    }
}

/// Whether a command line submits a job.
fn submits(line: &str) -> bool {
    ["flux submit", "flux run", "flux batch"].iter().any(|command| line.starts_with(command))
}

/// The model in the place of the rig.
pub(crate) struct World {
    version: FluxVersion,
    epoch: f64,
    instance: Instance,
    now: Duration,
    /// Job ids of the model by their names in the recording.
    names: normal::Names,
    /// Commands that are the rig's: not run, or run and not compared.
    skip: usize,
    mute: usize,
}

impl World {
    pub(crate) fn new(fixture: &Fixture) -> Self {
        let version: FluxVersion = fixture.version.parse().expect("a recorded version");
        let nobody = Setup::new(version, Scheduler::Simple, Hostlist::new(), 1);
        Self {
            version,
            epoch: fixture.epoch,
            instance: Instance::new(nobody),
            now: Duration::ZERO,
            names: normal::Names::new(),
            skip: 0,
            mute: 0,
        }
    }

    /// Plays the recording.
    pub(crate) fn replay(mut self, fixture: &Fixture) -> Tally {
        let mut tally = Tally::default();
        for event in &fixture.events {
            match &event.what {
                What::Deed(deed) => {
                    self.until(event.time);
                    self.deed(deed);
                }
                What::Unseen { name, line } => {
                    self.until(event.time);
                    self.expect(fixture, Some(name));
                    if let Some((answer, _)) =
                        command::run(&mut self.instance, self.now, Duration::ZERO, line, &mut Median)
                    {
                        self.learn(&answer.stdout, name);
                    }
                }
                What::Command(command) => self.command(event.time, command, fixture, &mut tally),
            }
        }
        tally
    }

    /// Times of the recording become times of the model, which count from 1970.
    fn at(&self, time: f64) -> Duration {
        Duration::from_secs_f64(self.epoch + time.max(0.0))
    }

    fn until(&mut self, time: f64) {
        self.now = self.now.max(self.at(time));
        self.instance.advance(self.now, &mut Median);
    }

    fn deed(&mut self, deed: &str) {
        let words: Vec<&str> = deed.split(' ').collect();
        let (ranks, options): (Vec<&str>, Vec<&str>) =
            words.iter().skip(1).partition(|word| word.parse::<u32>().is_ok());
        let ranks = ranks.iter().filter_map(|rank| rank.parse::<u32>().ok());
        let now = self.now;
        match words.first().copied().unwrap_or_default() {
            "cluster" => self.cluster(&options),
            "mute" => self.mute = words.get(1).and_then(|count| count.parse().ok()).expect("mute COUNT"),
            "skip" => self.skip = words.get(1).and_then(|count| count.parse().ok()).expect("skip COUNT"),
            "start" => {
                for rank in ranks {
                    self.options(rank, &options);
                    self.instance.broker_started(now, rank, &mut Median).expect("a rank of the instance");
                    let online =
                        options.iter().find_map(|option| option.strip_prefix("online=")?.parse().ok());
                    if let Some(online) = online {
                        self.instance.broker_ready_at(rank, self.at(online));
                    }
                }
            }
            // A broker that is gone already cannot be killed: then the recording and the model have parted
            // before.
            "kill" => ranks.for_each(|rank| drop(self.instance.broker_killed(now, rank, &mut Median))),
            "term" => ranks.for_each(|rank| drop(self.instance.broker_terminated(now, rank, &mut Median))),
            "stop" => ranks.for_each(|rank| drop(self.instance.broker_frozen(now, rank, true, &mut Median))),
            "continue" => {
                ranks.for_each(|rank| drop(self.instance.broker_frozen(now, rank, false, &mut Median)))
            }
            "partition" => {
                ranks.for_each(|rank| drop(self.instance.partitioned(now, rank, true, &mut Median)))
            }
            "heal" => ranks.for_each(|rank| drop(self.instance.partitioned(now, rank, false, &mut Median))),
            "hello" => {
                let rank = words.get(1).and_then(|rank| rank.parse().ok()).expect("hello RANK");
                let value = |key: &str| options.iter().find_map(|option| option.strip_prefix(key));
                let host = value("host=").map_or_else(|| self.instance.overlay().host(rank), str::to_owned);
                let version =
                    value("version=").map_or(self.version, |version| version.parse().expect("a version"));
                if self.instance.stranger(rank, &host, version).is_ok() {
                    self.instance.broker_started(now, rank, &mut Median).expect("a rank of the instance");
                }
            }
            other => panic!("unknown deed {other}"),
        }
    }

    /// A new, empty instance; archives live on.
    fn cluster(&mut self, options: &[&str]) {
        let archives = self.instance.take_archives();
        let hosts: Hostlist = options.first().and_then(|hosts| hosts.parse().ok()).expect("cluster HOSTS");
        let value = |key: &str| options.iter().find_map(|option| option.strip_prefix(key));
        let scheduler = value("scheduler=").unwrap_or("sched-simple");
        let (scheduler, prunes) =
            scheduler.strip_suffix("-prunecore").map_or((scheduler, true), |scheduler| (scheduler, false));
        let cores = value("cores=").and_then(|cores| cores.parse().ok()).expect("cores=N");
        let mut setup = Setup::new(self.version, scheduler.parse().expect("a scheduler"), hosts, cores);
        setup.features.prunes_nodes &= prunes;
        // The recordings wait until a broker is there, however long that took on their day: here it is always
        // early.
        setup.latencies.connect = Spread::fixed(setup.latencies.connect.min);
        setup.latencies.lead_rc1 = Spread::fixed(setup.latencies.lead_rc1.min);
        setup.latencies.rc1 = Spread::fixed(Duration::from_millis(500));
        setup.latencies.rc3 = Spread::fixed(setup.latencies.rc3.min);
        if let Some(topology) = value("topo=") {
            setup.topology = topology.parse::<Topology>().expect("a topology");
        }
        if let Some(excluded) = value("exclude=") {
            setup.excluded = excluded.parse::<Idset>().expect("an idset");
        }
        self.instance = Instance::new(setup);
        self.instance.give_archives(archives);
    }

    /// The options of a broker that matter to the instance are those of the lead.
    fn options(&mut self, rank: u32, options: &[&str]) {
        for option in options.iter().filter(|_| rank == 0) {
            match option.split_once('=') {
                Some(("quorum", quorum)) => {
                    let quorum = Quorum::read(quorum, &self.instance.setup().features).expect("a quorum");
                    self.instance.set_quorum(quorum);
                }
                Some(("torpid", limit)) => {
                    let limit = towtank_flux::duration::parse_fsd(limit).expect("a duration");
                    self.instance.latencies_mut().torpid_max = Duration::from_secs_f64(limit);
                }
                Some(("online", _)) => {}
                Some(("restore", archive)) => self.instance.restore_from(Some(archive.to_owned())),
                _ => panic!("unknown option {option}"),
            }
        }
    }

    /// The next job that is submitted runs as long as the recorded one did.
    fn expect(&mut self, fixture: &Fixture, job: Option<&String>) {
        let took = job.and_then(|job| fixture.jobs.get(job)).and_then(|(_, took)| *took);
        let latencies = &self.instance.setup().job_latencies;
        let shell = latencies.start.median + latencies.shell.median;
        let program = took.map(|took| Program::runs(Duration::from_secs_f64(took).saturating_sub(shell)));
        self.instance.give_program(program);
    }

    fn learn(&mut self, text: &str, name: &str) {
        if let Some(id) = normal::ids(text).first() {
            self.names.insert(id.clone(), name.to_owned());
        }
    }

    fn command(&mut self, time: f64, recorded: &Command, fixture: &Fixture, tally: &mut Tally) {
        if self.skip > 0 {
            self.skip -= 1;
            tally.differ(Kind::Skipped, time, &recorded.line, &[]);
            return;
        }
        let mute = self.mute > 0;
        self.mute = self.mute.saturating_sub(1);
        let waits =
            ["wait-event", "attach", "flux run", "queue idle", "queue drain", "shutdown", "exec", "ping"];
        let waits = waits.iter().any(|word| recorded.line.contains(word));
        // What does not wait asks its question at the end: before, Python was starting.
        let begin = if waits { time - recorded.seconds } else { time - recorded.seconds.min(0.03) };
        let job = recorded.job.as_ref().or(recorded.stdout.first()).filter(|_| submits(&recorded.line));
        let submitted = job.and_then(|job| fixture.jobs.get(job)).map(|(time, _)| *time);
        self.until(submitted.filter(|at| (time - recorded.seconds..time).contains(at)).unwrap_or(begin));
        self.expect(fixture, job);
        // Whoever was not answered gave up at the recorded end.
        let extra = if recorded.code == "timeout" { 0.0 } else { 30.0 };
        let patience = (self.at(time).saturating_sub(self.now)).as_secs_f64() + extra;
        let line = self.with_ids(&recorded.line);
        let before: Vec<_> = self.jobs();
        let ran =
            command::run(&mut self.instance, self.now, Duration::from_secs_f64(patience), &line, &mut Median);
        let Some((answer, end)) = ran else {
            tally.differ(Kind::Unknown, time, &recorded.line, &[]);
            return;
        };
        self.now = self.now.max(end);
        if let Some(name) = recorded.stdout.first().filter(|name| {
            line.starts_with("flux submit") || line.starts_with("flux batch") || name.is_empty()
        }) {
            self.learn(&answer.stdout, name);
        }
        if let Some(name) = &recorded.job {
            let new = self.jobs().into_iter().find(|id| !before.contains(id));
            new.into_iter().for_each(|id| drop(self.names.insert(id, name.clone())));
        }
        if mute {
            tally.differ(Kind::Skipped, time, &recorded.line, &[]);
            return;
        }
        tally.covered += 1;
        let code = match answer.code {
            Code::Exit(code) => code.to_string(),
            Code::Waits => "timeout".to_owned(),
        };
        let named = |text: &str| normal::named(&text.replace("/tmp/flux-lab", "$LAB"), &self.names);
        let stdout = normal::stdout(&named(&answer.stdout), self.epoch);
        let stderr = normal::stderr(&named(&answer.stderr), self.epoch);
        let mut differences = compare::differences(&recorded.line, &recorded.stdout, &stdout);
        if code != recorded.code {
            differences.push(format!("exit {}  |  exit {code}", recorded.code));
        }
        if stderr != recorded.stderr {
            differences.push(format!("{:?}  |  {stderr:?}", recorded.stderr));
        }
        if differences.is_empty() {
            tally.agree += 1;
            return;
        }
        tally.differ(Kind::Differs, time, &recorded.line, &differences);
    }

    /// The jobs of the instance in F58, without the hook.
    fn jobs(&self) -> Vec<String> {
        let jobs = self.instance.jobs().map(|jobs| jobs.newest().collect::<Vec<_>>()).unwrap_or_default();
        jobs.iter().map(|id| id.to_string().trim_start_matches('ƒ').to_owned()).collect()
    }

    /// The command line with the model's ids for the recorded names.
    fn with_ids(&self, line: &str) -> String {
        let line = line.replace("$LAB", "/tmp/flux-lab");
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        for word in &mut words {
            let (before, name) = word
                .rsplit_once(':')
                .map_or((String::new(), word.as_str()), |(before, name)| (format!("{before}:"), name));
            if let Some((id, _)) = self.names.iter().find(|(_, known)| *known == name) {
                *word = format!("{before}ƒ{id}");
            }
        }
        words.join(" ")
    }
}
