use super::*;
use crate::observation::PodView;

const ALL: Known = Known { only_job: true, only_minicluster: true };

#[test]
fn conditions_with_a_meaning_are_accepted() {
    for text in [
        "job.active == 2",
        "pods.exists(p, p.index == 2 && p.incarnation > 1)",
        "pods.filter(p, !p.deleting).map(p, p.index) == [2, 3]",
        "size(pods) == 3 && pods.all(p, p.phase in [\"Running\", 'Pending'])",
        "job.conditions.exists(c, c.type == \"Failed\" && c.reason == \"BackoffLimitExceeded\")",
        "job.startTime != null && now - job.startTime > 5.0",
        "now > 5",
        "job.completions == null || job.failedIndexes == \"1\"",
        "events.exists(e, e.message.contains(\"x\") && e.count > 1)",
        "pods.map(p, p.restarts).exists(r, r > 0)",
        "pods[0].ready",
        "has(job.startTime)",
        "pods.filter(p, p.ready).size() >= 1",
        "pods.exists_one(p, p.labels.exists(l, l == \"a=b\"))",
        "job.parallelism - job.active == 0 ? true : job.complete",
    ] {
        if let Err(error) = compile(text, ALL) {
            panic!("{text}: {error:?}");
        }
    }
}

#[test]
fn conditions_without_a_meaning_are_refused_where_they_are_wrong() {
    for (text, place, problem) in [
        ("job.activ == 2", "activ", "the CEL expression is wrong: unknown field `activ`"),
        ("pods.exists(p, p.indx == 2)", "indx", "the CEL expression is wrong: unknown field `indx`"),
        ("false && pod.ready", "pod", "the CEL expression is wrong: unknown variable `pod`"),
        ("pods.index == 2", "index", "the CEL expression is wrong: a list has no field `index`"),
        ("pods.exist(p, p.ready)", "exist", "the CEL expression is wrong: unknown function `exist`"),
        ("size(pods)", "size(pods)", "the CEL expression is wrong: it yields a number, not true or false"),
        ("job.active == \"2\"", "==", "the CEL expression is wrong: a number is compared with a text"),
        (
            "true || pods.exists(p, p.phase > 1)",
            ">",
            "the CEL expression is wrong: a text is compared with a number",
        ),
    ] {
        let error = compile(text, ALL).expect_err(text);
        assert_eq!(
            (&text[error.span.clone()], error.problem.to_string().as_str()),
            (place, problem),
            "{text}"
        );
    }
}

#[test]
fn syntax_errors_have_a_place() {
    for text in [
        "job.active ==",
        "job.active = 2",
        "",
        "(",
        "pods.exists(p p.ready)",
        "'",
        "a ? b",
        "job.active == 2 )",
    ] {
        let error = compile(text, ALL).expect_err(text);
        assert!(matches!(error.problem, Problem::CelSyntax(_)), "{text}: {error:?}");
        assert!(error.span.start <= text.len(), "{text}: {error:?}");
    }
}

#[test]
fn deep_and_long_conditions_end_with_a_limit() {
    let chain = |part: &str, times: usize| vec![part; times].join("");
    for text in [
        format!("{}true{}", chain("(", 60), chain(")", 60)),
        format!("{}true", chain("!", 500)),
        format!("{}true", chain("! ", 500)),
        format!("true{}", chain(" && true", 1_000)),
        format!("job{}", chain(".a", 900)),
        format!("1{} == 1", chain("+1", 900)),
        format!("{}1", chain("1?1:", 400)),
        chain("[", 1_000),
    ] {
        assert!(compile(&text, ALL).is_err(), "{}", &text[..20]);
    }
}

#[test]
fn the_only_job_has_a_variable_of_its_own() {
    let error = compile("job.active == 2", Known { only_job: false, ..ALL }).expect_err("several Jobs");
    assert_eq!(error.problem.to_string(), "the CEL expression is wrong: unknown variable `job`");
    assert!(error.help.contains("jobs.exists"));
}

#[test]
fn conditions_are_evaluated_over_what_is_there() {
    let pod = |index, phase: &str| PodView { index, phase: phase.to_owned(), ..PodView::default() };
    let observation = Observation {
        pods: vec![pod(Some(0), "Running"), pod(Some(1), "Failed")],
        jobs: vec![JobView { active: 1, ..JobView::default() }],
        now: 12.5,
        ..Observation::default()
    };
    let holds = |text: &str| compile(text, ALL).expect(text).holds(&observation);
    assert_eq!(holds("pods.exists(p, p.index == 1 && p.phase == 'Failed')"), Ok(true));
    assert_eq!(holds("pods.all(p, p.phase == 'Running')"), Ok(false));
    assert_eq!(holds("job.active == 1 && now > 12 && now < 13.0"), Ok(true));
    assert_eq!(holds("pods.filter(p, p.index != null).map(p, p.index) == [0, 1]"), Ok(true));
    assert_eq!(holds("job.completions == null"), Ok(true));
    assert!(holds("pods[7].ready").is_err());
}

#[test]
fn the_only_minicluster_must_be_the_only_one() {
    for text in ["minicluster.spec.size == 2", "flux.online == 2"] {
        let error = compile(text, Known { only_minicluster: false, ..ALL }).expect_err(text);
        assert!(error.problem.to_string().contains("unknown variable"), "{}", error.problem);
        assert!(compile(text, ALL).is_ok(), "{text}");
    }
    assert!(
        compile("miniclusters.exists(m, m.flux.online == 2)", Known { only_minicluster: false, ..ALL })
            .is_ok()
    );
}
