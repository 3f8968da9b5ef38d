//! What jobs do, as recordings 03 to 06 and 11 show it.

mod common;
mod stories;

use std::time::Duration;

use common::{Lab, setup, spec};
use towtank_flux::jobs::{
    CancelError, Dependency, DependsOn, JobManager, NodeLoss, Outcome, RequestCounts, State, SubmitError,
    text,
};
use towtank_flux::{FluxVersion, JobId, Scheduler, version::Policy};

const EASY: Scheduler = Scheduler::Fluxion(Policy::Easy);

/// Recording 04: the events of a job that waited for ranks 2 and 3, and their distances.
#[test]
fn a_job_leaves_the_recorded_events() {
    let mut lab = Lab::down(FluxVersion::V0_88, Scheduler::Simple);
    lab.up("0-1");
    let job = lab.submit("-N4 hostname");
    assert_eq!(lab.job(job).state(), State::Sched);
    lab.wait(9.7);
    lab.up("0-3");
    lab.wait(1.0);
    assert_eq!(
        text::eventlog(&lab.manager, lab.job(job), lab.now),
        "0.000000 submit userid=0 urgency=16 flags=0 version=1\n\
         0.012700 validate\n\
         0.024700 depend\n\
         0.024750 priority priority=16\n\
         10.005700 alloc annotations={\"sched\":{\"resource_summary\":\"rank[0-3]/core[0-3]\"}}\n\
         10.014900 start\n\
         10.046100 finish status=0\n\
         10.050500 release ranks=\"all\" final=true\n\
         10.050590 free\n\
         10.050612 clean\n"
    );
    assert_eq!(
        text::resources(&lab.manager, lab.job(job)).unwrap(),
        "{\"version\": 1, \"execution\": {\"R_lite\": [{\"rank\": \"0-3\", \"children\": {\"core\": \"0-3\"}}], \
         \"starttime\": 10.0057, \"expiration\": 0.0, \"nslots\": 4, \"nodelist\": [\"flux-sample-[0-3]\"]}}"
    );
}

/// Recording 04 with sched-simple: the head blocks, infeasible jobs behind it are not looked at until it has gone.
#[test]
fn under_sched_simple_the_head_blocks() {
    let mut lab = Lab::down(FluxVersion::V0_88, Scheduler::Simple);
    lab.up("0-1");
    for line in [
        "-N4 hostname",
        "-N5 hostname",
        "-n17 hostname",
        "-n10 hostname",
        "-N1 -n1 -c5 hostname",
        "-N1 hostname",
    ] {
        lab.submit(&format!("--job-name={} {line}", line.replace(" hostname", "").replace(' ', "")));
    }
    lab.submit("--job-name=down -N1 --requires=host:flux-sample-3 hostname");
    assert_eq!(lab.summary(), ["-N4 S", "-N5 S", "-n17 S", "-n10 S", "-N1-n1-c5 S", "-N1 S", "down S"]);
    lab.submit("--job-name=urgent --urgency=20 -N1 hostname");
    assert_eq!(lab.summary().last().unwrap(), "urgent CD 0");
    assert_eq!(lab.manager.request_counts(), RequestCounts { queued: 0, pending: 7, running: 0 });
    lab.up("0-3");
    lab.wait(2.0);
    let mut summary = lab.summary();
    summary.sort();
    assert_eq!(
        summary,
        [
            "-N1 CD 3",
            "-N1-n1-c5 F",
            "-N4 CD [0-3]",
            "-N5 F",
            "-n10 CD [0-2]",
            "-n17 F",
            "down CD 3",
            "urgent CD 0"
        ]
    );
    let notes: Vec<String> = lab
        .manager
        .jobs()
        .iter()
        .filter(|job| job.outcome() == Some(Outcome::Failed))
        .map(towtank_flux::jobs::Job::inactive_reason)
        .collect();
    assert_eq!(
        notes[0],
        "Exception: type=alloc note=unsatisfiable request: need 5 exclusive node(s), only 4 eligible"
    );
}

/// Recording 04 with Fluxion easy: what is blocked is passed over, what can never be is denied at once.
#[test]
fn under_easy_what_is_blocked_is_passed_over() {
    let mut lab = Lab::down(FluxVersion::V0_88, EASY);
    lab.up("0-1");
    let four = lab.submit("-N4 hostname");
    let five = lab.submit("-N5 hostname");
    let many = lab.submit("-n17 hostname");
    let ten = lab.submit("-n10 hostname");
    let small = lab.submit("-N1 hostname");
    let next = lab.submit("-N1 hostname");
    let states = |lab: &Lab, ids: &[JobId]| ids.iter().map(|id| lab.job(*id).state()).collect::<Vec<_>>();
    assert_eq!(states(&lab, &[four, five, ten]), [State::Sched; 3]);
    assert_eq!(
        lab.job(many).inactive_reason(),
        "Exception: type=alloc note=alloc denied due to type=\"unsatisfiable\""
    );
    assert_eq!(lab.job(small).nodes().to_string(), "flux-sample-1");
    assert_eq!(lab.job(next).nodes().to_string(), "flux-sample-0");
    // Rank 2 comes first, and with it room for ten cores.
    lab.up("0-2");
    lab.wait(1.0);
    assert_eq!(lab.job(ten).nodes().to_string(), "flux-sample-[0-2]");
    assert_eq!(lab.job(four).state(), State::Sched);
    lab.up("0-3");
    lab.wait(1.0);
    assert_eq!(lab.job(four).outcome(), Some(Outcome::Completed));
    assert_eq!(lab.job(five).state(), State::Sched);
}

/// Recording 04, the section on backfill, with each scheduler: only what ends before the big job can start goes first.
#[test]
fn backfill_respects_the_reservation() {
    let story = |version, scheduler| {
        let mut lab = Lab::new(version, scheduler);
        lab.wait(1.0);
        for line in ["run3 -N3 -c4 -t20s sleep 8", "big4 -N4 -c4 -t20s sleep 1", "short -N1 -c4 -t3s sleep 2"]
        {
            lab.submit(&format!("--job-name={line}"));
        }
        for line in ["long -N1 -c4 -t60s sleep 2", "unlim -N1 -c4 sleep 2"] {
            lab.submit(&format!("--job-name={line}"));
        }
        lab.wait(4.0);
        lab
    };
    for version in [FluxVersion::V0_61, FluxVersion::V0_88] {
        for policy in [Policy::Easy, Policy::Hybrid, Policy::Conservative] {
            let lab = story(version, Scheduler::Fluxion(policy));
            assert_eq!(lab.summary(), ["big4 S", "long S", "unlim S", "run3 R [1-3]", "short CD 0"]);
            assert!(lab.jobs("").contains("big4        S      4      4      20s eta:"), "{}", lab.jobs(""));
        }
        for scheduler in [Scheduler::Simple, Scheduler::Fluxion(Policy::Fcfs)] {
            assert_eq!(story(version, scheduler).summary()[..4], ["big4 S", "short S", "long S", "unlim S"]);
        }
    }
}

/// Recording 04: by urgency, then by age; urgency 0 is held, urgency 31 goes first.
#[test]
fn urgent_jobs_go_first() {
    let mut lab = Lab::new(FluxVersion::V0_88, Scheduler::Simple);
    lab.wait(1.0);
    lab.submit("--job-name=busy -N4 sleep 4");
    for urgency in [16, 10, 31, 20, 0, 1] {
        lab.submit(&format!("--job-name=u{urgency} --urgency={urgency} -N4 sleep 1"));
    }
    assert_eq!(lab.summary(), ["u31 S", "u20 S", "u16 S", "u10 S", "u1 S", "u0 S", "busy R [0-3]"]);
    assert!(lab.jobs("").contains("u0          S      4      4        - held"));
    lab.wait(20.0);
    let done = [
        "u0 S",
        "u1 CD [0-3]",
        "u10 CD [0-3]",
        "u16 CD [0-3]",
        "u20 CD [0-3]",
        "u31 CD [0-3]",
        "busy CD [0-3]",
    ];
    assert_eq!(lab.summary(), done);
    let held = lab.manager.jobs().iter().find(|job| job.urgency() == 0).unwrap().id();
    lab.manager.set_urgency(lab.now, held, 16).unwrap();
    lab.wait(2.0);
    assert_eq!(lab.job(held).outcome(), Some(Outcome::Completed));
}

/// Recording 05: exit codes, signals, limit, cancel.
#[test]
fn jobs_end_with_the_recorded_codes() {
    let mut lab = Lab::new(FluxVersion::V0_88, Scheduler::Simple);
    let mut rows = Vec::new();
    let script = |words: [&str; 3]| towtank_flux::jobs::JobSpec::new(words);
    for (spec, expected) in [
        (spec("-N1 -n1 hostname"), ("CD", 0, "Exit 0")),
        (spec("-N1 -n1 false"), ("F", 1, "Exit 1")),
        (script(["bash", "-c", "exit 7"]), ("F", 7, "Exit 7")),
        (spec("-N1 -n1 nosuchcommand"), ("F", 127, "command not found")),
        (script(["bash", "-c", "kill -9 $$"]), ("F", 137, "Killed")),
        (spec("-t1s sleep 30"), ("TO", 142, "Timeout")),
    ] {
        rows.push((lab.manager.submit(lab.now, 0, spec).unwrap(), expected));
    }
    let canceled = lab.submit("sleep 300");
    let held = lab.submit("--urgency=0 hostname");
    lab.wait(2.0);
    lab.manager.cancel(lab.now, canceled).unwrap();
    lab.manager.cancel(lab.now, held).unwrap();
    lab.wait(1.0);
    rows.push((canceled, ("CA", 143, "Canceled")));
    rows.push((held, ("CA", -128, "Canceled")));
    for (id, (code, returncode, reason)) in rows {
        let job = lab.job(id);
        let seen = (job.outcome().unwrap().code(), job.returncode().unwrap(), job.inactive_reason());
        assert_eq!(seen, (code, returncode, reason.to_owned()), "{:?}", job.spec().command);
    }
    assert_eq!(lab.manager.cancel(lab.now, canceled), Err(CancelError::Inactive(canceled)));
    let unknown = lab.manager.cancel(lab.now, JobId(57)).unwrap_err();
    assert_eq!(unknown.to_string(), "flux-cancel: ERROR: ƒz: unknown job id");
    // TIME of a job that ran into its limit is the limit.
    assert!(
        lab.jobs("-a").contains("sleep      TO      1      1   1.000s flux-sample-"),
        "{}",
        lab.jobs("-a")
    );
    assert_eq!(lab.jobs("--stats-only"), "0 running, 1 completed, 7 failed, 0 pending, 0 inactive purged\n");
}

/// Recordings 03 and 03b: what the loss of a node does, by version and by the way it went.
#[test]
fn a_lost_node_ends_its_jobs() {
    let rows = [
        (FluxVersion::V0_61, NodeLoss::Lost, "lost contact with job shell on broker flux-sample-3 (rank 3)"),
        (FluxVersion::V0_88, NodeLoss::Lost, "node failure on flux-sample-3 (rank 3)"),
        (FluxVersion::V0_61, NodeLoss::Left, "flux_job_event_watch_get: Function not implemented"),
        (FluxVersion::V0_88, NodeLoss::Left, "flux_job_event_watch_get: Function not implemented"),
    ];
    for (version, loss, note) in rows {
        let mut lab = Lab::new(version, Scheduler::Simple);
        let one = lab.submit("-N1 -n1 --requires=host:flux-sample-3 sleep 300");
        let two = lab.submit("-N2 -n2 --requires=host:flux-sample-[2-3] sleep 300");
        let other = lab.submit("-N1 -n1 --requires=host:flux-sample-0 sleep 300");
        let mut instance = spec("-N2 -n2 --requires=host:flux-sample-[2-3] sleep 20");
        instance.instance = true;
        let instance = lab.manager.submit(lab.now, 0, instance).unwrap();
        lab.wait(2.0);
        lab.manager.node_failed(lab.now, 3, loss);
        lab.up("0-2");
        lab.wait(1.0);
        for (id, status) in [(one, 256), (two, 36_608)] {
            let job = lab.job(id);
            assert_eq!(job.outcome(), Some(Outcome::Failed));
            assert_eq!((job.exception().unwrap().note.as_str(), job.status()), (note, Some(status)));
        }
        assert_eq!(lab.job(one).inactive_reason(), "Exit 1");
        assert_eq!(lab.job(other).state(), State::Run);
        // An instance goes on without its second node.
        assert_eq!(lab.job(instance).state(), State::Run);
        assert_eq!(lab.job(instance).exception().unwrap().class, "node-failure");
        lab.wait(20.0);
        assert_eq!(lab.job(instance).outcome(), Some(Outcome::Completed));
        let log = text::eventlog(&lab.manager, lab.job(one), lab.now);
        let exception = log.lines().find(|line| line.contains("exception")).unwrap();
        let expected = match loss {
            NodeLoss::Lost => format!("exception type=\"exec\" severity=0 userid=0 note=\"{note}\""),
            NodeLoss::Left => format!("exception type=\"exec\" severity=0 note=\"{note}\" userid=0"),
        };
        assert!(exception.ends_with(&expected), "{exception}");
    }
}

/// Recording 09: a node that is lost before the job has started.
#[test]
fn a_job_can_lose_its_node_before_it_starts() {
    let mut lab = Lab::new(FluxVersion::V0_88, Scheduler::Simple);
    let job = lab.try_submit("-N1 -n1 hostname").unwrap();
    lab.wait(0.035);
    assert_eq!((lab.job(job).state(), lab.job(job).has_started(lab.now)), (State::Run, false));
    lab.manager.node_failed(lab.now, 0, NodeLoss::Lost);
    lab.wait(1.0);
    assert_eq!((lab.job(job).status(), lab.job(job).returncode()), (Some(15), Some(143)));
    assert_eq!((lab.job(job).inactive_reason().as_str(), lab.job(job).event("start")), ("Terminated", None));
}

/// Recording 11: stop withdraws all requests, what runs goes on; disabled submission is refused.
#[test]
fn the_queue_is_stopped_and_started() {
    let mut lab = Lab::new(FluxVersion::V0_61, Scheduler::Simple);
    let runs = lab.submit("-N2 sleep 5");
    lab.manager.stop(lab.now, Some("nosuchqueue".to_owned()));
    let waits = lab.submit("-N2 hostname");
    assert_eq!(lab.manager.stopped(), Some(Some("nosuchqueue")));
    assert_eq!(lab.manager.request_counts(), RequestCounts { queued: 0, pending: 0, running: 1 });
    assert_eq!((lab.job(runs).state(), lab.job(waits).state()), (State::Run, State::Sched));
    assert!(!lab.manager.is_idle());
    lab.wait(5.0);
    assert!(lab.manager.is_idle() && !lab.manager.is_drained());
    assert_eq!(lab.manager.pending_count(), 1);
    lab.manager.disable(lab.now, "no more please");
    let refused = lab.try_submit("hostname").unwrap_err();
    assert_eq!(refused.to_string(), "[Errno 22] job submission is disabled: no more please");
    lab.manager.enable(lab.now);
    lab.manager.start(lab.now);
    lab.wait(1.0);
    assert!(lab.manager.is_drained());
}

/// Recording 05: what `flux submit` refuses.
#[test]
fn bad_submissions_are_refused() {
    let mut lab = Lab::new(FluxVersion::V0_88, Scheduler::Simple);
    let rows = [
        ("-N0 hostname", "flux-submit: ERROR: node count must be an integer >= 1 (if set)"),
        ("-N-1 hostname", "flux-submit: ERROR: task count must be a integer >= 1"),
        ("-N4 -n2 hostname", "flux-submit: ERROR: node count must not be greater than task count"),
        ("-N1", "flux-submit: ERROR: job command and arguments are missing"),
        ("--urgency=32 hostname", "[Errno 22] urgency range is [0:31]"),
        (
            "--requires=host:flux-sample-9 hostname",
            "[Errno 1] host constraint contains invalid hosts: host 'flux-sample-9' not found",
        ),
    ];
    for (line, message) in rows {
        assert_eq!(lab.try_submit(line).unwrap_err().to_string(), message, "{line}");
    }
    assert!(lab.try_submit("-n0 hostname").is_ok());
    // 0.61 accepts the unknown host and denies the job.
    let mut lab = Lab::new(FluxVersion::V0_61, Scheduler::Simple);
    let job = lab.submit("-N1 --requires=host:flux-sample-9 hostname");
    assert_eq!(lab.job(job).inactive_reason(), "Exception: type=alloc note=unsatisfiable request");
    assert_eq!(lab.manager.set_urgency(lab.now, job, 3), Err(SubmitError::UnknownJob(job)));
}

/// Recording 05: jobs that wait for another one, or for a time of day.
#[test]
fn dependencies_hold_a_job_back() {
    let mut lab = Lab::new(FluxVersion::V0_88, Scheduler::Simple);
    let first = lab.submit("-N2 sleep 3");
    let after = |on, job| {
        let mut spec = spec("--job-name=dep hostname");
        spec.dependencies.push(Dependency { on, job });
        spec
    };
    let success = lab.manager.submit(lab.now, 0, after(DependsOn::Success, first)).unwrap();
    let failure = lab.manager.submit(lab.now, 0, after(DependsOn::Failure, first)).unwrap();
    let mut later = spec("--job-name=later hostname");
    later.begin = Some(Duration::from_secs(4_296));
    let later = lab.manager.submit(lab.now, 0, later).unwrap();
    lab.wait(1.0);
    let table = lab.jobs("");
    assert!(
        table.contains(&format!("dep         D      1      -        - depends:after-success={first}")),
        "{table}"
    );
    assert!(table.contains("later       D      1      -        - depends:begin@01:11:36"), "{table}");
    // One that waits for the start of a job that waits itself.
    let last = lab.submit("-N4 sleep 3");
    let started = lab.manager.submit(lab.now, 0, after(DependsOn::Start, last)).unwrap();
    lab.wait(1.0);
    assert_eq!((lab.job(last).state(), lab.job(started).state()), (State::Sched, State::Depend));
    lab.wait(3.0);
    assert_eq!(lab.job(started).event("depend"), lab.job(last).event("start"));
    assert_eq!(lab.job(success).outcome(), Some(Outcome::Completed));
    assert_eq!(lab.job(failure).exception().unwrap().class, "dependency");
    assert_eq!(lab.job(later).state(), State::Depend);
    lab.wait(4_296.0);
    assert_eq!(lab.job(later).outcome(), Some(Outcome::Completed));
    let unknown = lab.manager.submit(lab.now, 0, after(DependsOn::Start, JobId(7)));
    assert_eq!(unknown, Err(SubmitError::UnknownJob(JobId(7))));
}

/// Recordings 03b and 06: ids survive, what waited runs, what ran fails, and later ids are larger.
#[test]
fn jobs_survive_a_restart() {
    let mut lab = Lab::new(FluxVersion::V0_88, Scheduler::Simple);
    let done = lab.submit("hostname");
    let runs = lab.submit("-N4 --job-name=runs sleep 100");
    let waits = lab.submit("-N4 --job-name=waits sleep 1");
    let checkpoint = lab.manager.checkpoint();
    let before = lab.job(done).events(lab.now).count();
    let setup = setup(FluxVersion::V0_88, Scheduler::Simple, "other-[0-4]", 4);
    let started = lab.now + Duration::from_secs(60);
    let mut lab = Lab { manager: JobManager::restore(setup, started, checkpoint, true), now: started };
    lab.wait(1.0);
    lab.up("0-4");
    lab.wait(3.0);
    assert_eq!(lab.job(done).events(lab.now).count(), before);
    assert_eq!(lab.job(done).nodes().to_string(), "flux-sample-0");
    assert_eq!(lab.job(waits).outcome(), Some(Outcome::Completed));
    assert_eq!(lab.job(waits).nodes().to_string(), "other-[0-3]");
    let log = text::eventlog(&lab.manager, lab.job(waits), lab.now);
    assert!(log.contains("60.900000 flux-restart\n60.900060 priority priority=16\n"), "{log}");
    assert_eq!(lab.job(runs).inactive_reason(), "Exit 1");
    assert_eq!(
        lab.job(runs).exception().unwrap().note,
        "failed to create guest ns: No such file or directory"
    );
    assert!(lab.submit("hostname") > waits);
    // A stopped queue stays stopped.
    let checkpoint = lab.manager.checkpoint();
    let setup = common::setup(FluxVersion::V0_88, Scheduler::Simple, "other-0", 4);
    assert_eq!(JobManager::restore(setup, lab.now, checkpoint, false).stopped(), Some(None));
}

/// Part I, B.9: a shutdown cancels what runs and keeps what waits.
#[test]
fn a_shutdown_keeps_what_waits() {
    let mut lab = Lab::new(FluxVersion::V0_61, Scheduler::Simple);
    let runs = lab.submit("-N4 sleep 300");
    let waits = lab.submit("-N4 sleep 301");
    lab.manager.shutdown(lab.now);
    lab.wait(1.0);
    assert_eq!((lab.job(runs).outcome(), lab.job(runs).status()), (Some(Outcome::Canceled), Some(36_608)));
    assert_eq!(lab.job(waits).state(), State::Sched);
    assert!(lab.manager.is_idle());
}

/// Recording 05: two hundred submissions in a few milliseconds; many brokers at once.
#[test]
fn ids_ascend_and_never_repeat() {
    let mut lab = Lab::new(FluxVersion::V0_88, Scheduler::Simple);
    let mut ids = Vec::new();
    for at in 0..3_000_u64 {
        lab.now = Duration::from_micros(at);
        ids.push(lab.manager.submit(lab.now, (at % 3 == 0).into(), spec("hostname")).unwrap());
    }
    for rank in [0, 1] {
        let mine: Vec<JobId> = ids.iter().copied().filter(|id| id.generator() == rank).collect();
        assert!(mine.is_sorted_by(|a, b| a < b));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3_000);
    assert!(ids.iter().all(|id| lab.manager.job(*id).is_some_and(|job| job.id() == *id)));
    assert_eq!(lab.manager.newest().take(2).collect::<Vec<_>>(), [ids[2_999], ids[2_998]]);
}

/// Recording 05: widths, cuts, dashes, order, and what `-c` leaves out.
#[test]
fn the_table_of_jobs_looks_as_recorded() {
    let mut lab = Lab::new(FluxVersion::V0_88, Scheduler::Simple);
    let first = lab.submit("-N2 --job-name=running sleep 100");
    let long = lab.submit("-n1 --job-name=a-very-long-job-name-indeed --urgency=0 sleep 90");
    let limited = lab.submit("-N4 -t10s sleep 0");
    lab.wait(0.01);
    assert_eq!(
        lab.jobs(""),
        format!(
            "       JOBID USER     NAME       ST NTASKS NNODES     TIME INFO\n\
             {limited:>12} root     sleep       S      4      4      10s \n\
             {long:>12} root     a-very-lo+  S      1      -        - held\n\
             {first:>12} root     running     R      2      2   0.880s flux-sample-[0-1]\n"
        )
    );
    let custom = "{name:<10.10} {status_abbrev:>2} {ntasks:>4} {nnodes:>4} {priority} {runtime!F:>8h} {nodelist} {state} {result}";
    let answer = towtank_flux::jobs_table::run(&lab.manager, lab.now, &["-a", "-o", custom, "-c", "1"]);
    assert_eq!(
        answer.stdout,
        "NAME       ST NTASKS NNODES PRI  RUNTIME NODELIST STATE RESULT\n\
         sleep       S    4    4 16        -  SCHED \n"
    );
    assert!(answer.stderr.starts_with("warning: output truncated at 1 jobs.\n"));
    for (args, message) in [
        (vec!["-o", "{nosuch}"], "flux-jobs: ERROR: Unknown format field: nosuch\n"),
        (vec!["-o", "{id"], "flux-jobs: ERROR: Invalid format: {id\n"),
        (vec!["-z"], "flux-jobs: error: unrecognized arguments: -z\n"),
        (vec!["-f", "nosuch"], "flux-jobs: error: Invalid filter specified: nosuch\n"),
        (vec!["-c"], "flux-jobs: error: argument -c: expected one argument\n"),
    ] {
        let answer = towtank_flux::jobs_table::run(&lab.manager, lab.now, &args);
        assert_eq!((answer.stderr.as_str(), answer.code > 0), (message, true));
    }
}
