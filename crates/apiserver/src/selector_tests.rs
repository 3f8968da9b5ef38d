use super::*;
use serde_json::json;

fn selects(text: &str, labels: Value) -> bool {
    LabelSelector::parse(text).unwrap_or_else(|why| panic!("{text}: {why}")).matches(&labels)
}

/// The cases of `TestSelectorMatches` in labels/selector_test.go that differ in kind.
#[test]
fn label_selectors_select() {
    let both = || json!({"x": "y", "z": "w"});
    for yes in
        ["", "x=y", "x==y", "x=y,z=w", "x!=y1,z!=w1", "x in (y)", "x in (y,q)", "x", "!a", "x notin (a)"]
    {
        assert!(selects(yes, both()), "{yes}");
    }
    for no in ["x=z", "x=y,z=z", "x!=y", "!x", "a", "x notin (y,q)", "x in (a)", "a in (y)"] {
        assert!(!selects(no, both()), "{no}");
    }
    assert!(selects("n>1,n<3", json!({"n": "2"})) && !selects("n>2", json!({"n": "2"})));
    assert!(selects("in in (in)", json!({"in": "in"})));
    assert!(selects("x in (a,)", json!({"x": ""})) && selects("x=", json!({"x": ""})));
    assert!(selects("a notin (b)", json!({})), "an absent label is not in the set");
}

#[test]
fn label_selectors_are_refused() {
    for bad in ["x=a||y=b", "x==a==b", "!x=a", "x<a", "x,", ",x", "x in", "x in (a", "x in a", "-x=a", "x=-"]
    {
        assert!(LabelSelector::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(
        LabelSelector::parse("x y").unwrap_err(),
        "unable to parse requirement: found 'y', expected: in, notin, =, ==, !=, gt, lt"
    );
}

#[test]
fn selector_objects() {
    let object = json!({
        "matchLabels": {"app": "a"},
        "matchExpressions": [{"key": "n", "operator": "NotIn", "values": ["2", "1"]}]
    });
    let selector = LabelSelector::from_object(&object).unwrap();
    assert_eq!(selector.to_string(), "app=a,n notin (1,2)");
    assert_eq!(selector.exact("app"), Some("a"));
    assert!(
        selector.matches(&json!({"app": "a", "n": "3"})) && !selector.matches(&json!({"app": "a", "n": "1"}))
    );
    assert!(!LabelSelector::from_object(&Value::Null).unwrap().matches(&json!({})));
    assert!(LabelSelector::from_object(&json!({})).unwrap().is_everything());
}

#[test]
fn field_selectors() {
    let allowed = ["metadata.name", "status.phase", "spec.unschedulable"];
    let parse = |text| FieldSelector::parse(text, &allowed);
    let pod = json!({"metadata": {"name": "a,b"}, "status": {"phase": "Running"}});
    for yes in
        ["", "metadata.name=a\\,b", "status.phase!=Failed,status.phase==Running", "spec.unschedulable="]
    {
        assert!(parse(yes).unwrap().matches(&pod), "{yes}");
    }
    for no in ["metadata.name=a", "status.phase!=Running"] {
        assert!(!parse(no).unwrap().matches(&pod), "{no}");
    }
    assert_eq!(parse("spec.x=1").unwrap_err(), "field label not supported: spec.x");
    assert!(parse("metadata.name").is_err() && parse("status.phase=a=b").is_err());
    assert_eq!(parse("metadata.name=a").unwrap().exact("metadata.name"), Some("a"));
}
