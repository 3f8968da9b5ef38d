use towtank_model::time::Time;

use super::*;
use crate::trace_text::actor_named;

fn line(millis: u64, actor: &str, text: impl Into<String>) -> TraceLine {
    let text = text.into();
    let is_event = text.starts_with("event ");
    let actor = actor_named(actor).expect("a component");
    TraceLine { at: Time::from_millis(millis), actor, text, job: None, is_refused: false, is_event }
}

/// Two pods that are made and end; the last status comes `delay` late.
fn story(delay: u64) -> Vec<TraceLine> {
    let mut lines = vec![line(0, "user", "create job work: parallelism 12, completions 12")];
    lines.extend((0..12).map(|index| line(5, "job-controller", format!("create pod work/{index}#1"))));
    lines.extend((0..12).map(|index| {
        line(5, "job-controller", format!("event SuccessfulCreate: Created pod: work/{index}#1"))
    }));
    lines.push(line(1_000 + delay, "job-controller", "status job work: a \\ and\na new line"));
    lines.push(line(2_000, "kubelet", "status pod work/#7: phase Running→Failed, message {1-2}"));
    verdict::in_canonical_order(lines)
}

fn recording(versions: &[(u16, Vec<TraceLine>)]) -> Recording {
    let mut recording = Recording::new("work");
    for (minor, lines) in versions {
        let version = KubernetesVersion::from_minor(*minor).expect("a version");
        recording.versions.insert(version, abridged(lines.clone()).into());
    }
    recording
}

#[test]
fn versions_that_wrote_the_same_share_a_block_and_others_show_what_differs() {
    let recording =
        recording(&[(28, story(0)), (29, story(0)), (30, story(0)), (33, story(1)), (35, story(0))]);
    let text = recording.to_string();
    insta::assert_snapshot!(text);
    assert_eq!(text::parse(&text).expect("it is one"), recording);
}

#[test]
fn of_a_long_story_pods_are_kept_as_digests() {
    let long = |mark: &str| -> Vec<TraceLine> {
        let text = |second| match second {
            2_500 => format!("status pod work/1#1: {mark}"),
            2_600 => "status job work: active 3→2".to_owned(),
            _ => format!("status pod work/{}#1", second % 7),
        };
        (0..3_000).map(|second| line(second * 1_000, "kubelet", text(second))).collect()
    };
    let recording = recording(&[(28, long("a")), (29, long("b"))]);
    let text = recording.to_string();
    assert!(text.lines().count() < 230 && text.contains("active 3→2"), "{text}");
    assert_eq!(text::parse(&text).expect("it is one"), recording);
    let version = |minor| &recording.versions[&KubernetesVersion::from_minor(minor).expect("a version")];
    let Judgement::Diverges(divergence) = compare(version(28), version(29)) else { panic!("they differ") };
    assert_eq!(divergence.writes_before, 2_200);
    assert!(matches!(compare(version(28), version(28)), Judgement::Agrees { writes: 3_000 }));
}

#[test]
fn every_line_that_is_touched_is_noticed() {
    let original = recording(&[(28, story(0)), (33, story(1))]);
    let text = original.to_string();
    for (position, touched) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let digit = touched.find(|c: char| c.is_ascii_digit());
        let other = digit.map(|at| {
            let next =
                if touched[at..].starts_with('9') { '0' } else { (touched.as_bytes()[at] + 1) as char };
            format!("{}{next}{}", &touched[..at], &touched[at + 1..])
        });
        for replacement in other.into_iter().chain([String::new()]) {
            let lines: Vec<&str> = text.lines().collect();
            let mut lines: Vec<String> = lines.into_iter().map(str::to_owned).collect();
            lines[position] = replacement;
            let read = text::parse(&lines.join("\n"));
            assert!(read.is_err() || read.is_ok_and(|read| read != original), "{}", lines[position]);
        }
    }
}

#[test]
fn only_files_below_scenarios_have_a_recording() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("it is there");
    assert_eq!(
        path_of(&root.join("scenarios/jobs/downsize.yaml")),
        Some(root.join("snapshots/reference/jobs/downsize.txt"))
    );
    assert_eq!(path_of(&root.join("README.md")), None);
}
