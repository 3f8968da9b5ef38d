//! Hostlists, idsets, durations and job ids against what Flux 0.88.0 printed (`snapshots/flux/values.json`).

use serde_json::Value;
use towtank_flux::{Hostlist, Idset, JobId, duration};

fn rows(name: &str) -> Vec<Vec<Value>> {
    let facts: Value = serde_json::from_str(include_str!("../../../snapshots/flux/values.json")).unwrap();
    let facts = facts.as_object().unwrap();
    let (_, rows) = facts.iter().find(|(key, _)| key.split(':').next() == Some(name)).unwrap();
    let rows: Vec<Vec<Value>> =
        rows.as_array().unwrap().iter().map(|row| row.as_array().unwrap().clone()).collect();
    assert!(rows.len() > 10, "{name} has only {} rows", rows.len());
    rows
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(text).collect()
}

#[test]
fn hostlists_are_read_and_printed_as_recorded() {
    for row in rows("hostlist") {
        let [given, printed, count, first] = &row[..] else { panic!("{row:?}") };
        let list = text(given).parse::<Hostlist>();
        if printed.is_null() {
            assert_eq!(list.unwrap_err().to_string(), format!("Invalid hostlist: '{}'", text(given)));
            continue;
        }
        let list = list.unwrap();
        assert_eq!(list.to_string(), text(printed), "{given}");
        assert_eq!(list.len() as u64, count.as_u64().unwrap(), "{given}");
        assert_eq!(list.iter().take(12).collect::<Vec<_>>(), texts(first), "{given}");
    }
}

#[test]
fn host_names_are_joined_sorted_and_made_unique_as_recorded() {
    for row in rows("hosts") {
        let [hosts, printed, sorted, unique] = &row[..] else { panic!("{row:?}") };
        let mut list: Hostlist = texts(hosts).into_iter().collect();
        assert_eq!(list.to_string(), text(printed));
        list.sort();
        assert_eq!(list.to_string(), text(sorted));
        list.unique();
        assert_eq!(list.to_string(), text(unique));
    }
}

#[test]
fn idsets_are_read_and_printed_as_recorded() {
    for row in rows("idset") {
        let [given, printed, brackets] = &row[..] else { panic!("{row:?}") };
        let set = text(given).parse::<Idset>();
        if printed.is_null() {
            assert_eq!(set.unwrap_err().to_string(), format!("IDset(): Invalid argument: {}", text(given)));
            continue;
        }
        let set = set.unwrap();
        assert_eq!(set.to_string(), text(printed), "{given}");
        assert_eq!(set.bracketed(), text(brackets), "{given}");
    }
}

#[test]
fn durations_are_printed_as_recorded() {
    for row in rows("fsd") {
        assert_eq!(duration::fsd(row[0].as_f64().unwrap()), text(&row[1]), "{}", row[0]);
    }
}

#[test]
fn durations_are_read_as_recorded() {
    for row in rows("duration") {
        let read = duration::parse_fsd(text(&row[0])).ok();
        let recorded = row[1].as_str().map(|seconds| seconds.parse::<f64>().unwrap());
        assert_eq!(read, recorded, "{}", row[0]);
    }
}

#[test]
fn job_ids_are_made_and_printed_as_recorded() {
    for row in rows("job id") {
        let number = |at: usize| row[at].as_u64().unwrap();
        let id = JobId::new(number(2), number(3) as u32, number(4) as u32);
        assert_eq!(id.to_string(), text(&row[0]));
        assert_eq!(id.0, number(1));
        assert_eq!(
            (id.millis(), u64::from(id.generator()), u64::from(id.sequence())),
            (number(2), number(3), number(4))
        );
        for form in [id.to_string(), id.f58_plain(), id.0.to_string(), id.hex(), id.dothex(), id.kvs()] {
            assert_eq!(form.parse::<JobId>(), Ok(id), "{form}");
        }
    }
    // The forms that recording 05 asked `flux job id --to` for.
    let id = JobId(54_727_278_592);
    assert_eq!((id.hex(), id.dothex()), ("0xcbe000000".to_owned(), "0000.000c.be00.0000".to_owned()));
    // Seed 003.
    assert_eq!("fQVTcyu".parse::<JobId>(), Ok(JobId(15_418_261_504)));
}

#[test]
fn what_is_no_job_id_is_refused() {
    for text in [
        "",
        "f",
        "f0",
        "ƒl",
        "0x",
        "0xg",
        "-1",
        "+1",
        "1.2.3",
        "0000.000c.be00.0000.0000",
        "fzzzzzzzzzzzzzz",
        "x1",
    ] {
        let error = text.parse::<JobId>().unwrap_err();
        assert_eq!(error.to_string(), format!("{text} is not a valid Flux jobid"));
    }
}

#[test]
fn set_operations_on_hostlists_answer_as_recorded() {
    let list = |text: &str| text.parse::<Hostlist>().unwrap();
    let mut minus = list("a[0-9]");
    minus.subtract(&list("a[2,4]"));
    assert_eq!(minus.to_string(), "a[0-1,3,5-9]");
    assert_eq!(list("a[0-5]").intersection(&list("a[3-9]")).to_string(), "a[3-5]");
    assert_eq!(list("a[0-3]").symmetric_difference(&list("a[2-5]")).to_string(), "a[0-1,4-5]");
    assert_eq!(list("a[0-3]").union(&list("a[2-5]")).union(&list("b1")).to_string(), "a[0-5],b1");
    assert_eq!(list("a[0-5]").difference(&list("a[1-2]")).to_string(), "a[0,3-5]");
    assert_eq!(list("a[0-5]").find("a3"), Some(3));
    assert_eq!(list("a[0-5]").find("a9"), None);
    assert_eq!(list("a[0-5]").get(2).as_deref(), Some("a2"));
    assert_eq!(list("a[0-5]").get(10), None);
}

#[test]
fn set_operations_on_idsets_answer_as_recorded() {
    let (a, b) = (Idset::range(0, 5), Idset::range(3, 9));
    assert_eq!(a.union(&b).to_string(), "0-9");
    assert_eq!(a.intersection(&b).to_string(), "3-5");
    assert_eq!(a.difference(&b).to_string(), "0-2");
    assert_eq!([0, 1, 2, 3, 7].into_iter().collect::<Idset>().to_string(), "0-3,7");
}
