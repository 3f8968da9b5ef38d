//! Reviews: questions about who somebody is and what they may do, answered and stored nowhere (`registry/authorization`, `registry/authentication`).

use serde_json::{Value, json};

use super::{Attributes, any_rule, is_allowed, is_master, is_path_allowed};
use crate::call::{Call, Reply};
use crate::error::Result;
use crate::server::{ApiServer, Caller};
use crate::store::{At as _, text};

/// Answers a review.
pub(crate) fn review(server: &mut ApiServer, call: &mut Call<'_>) -> Result<Reply> {
    let mut object = server.body_object(call)?;
    let kind = call.resource.kind.to_string();
    let status = match kind.as_str() {
        "SelfSubjectReview" => {
            json!({"userInfo": {"username": call.caller.name, "groups": call.caller.groups}})
        }
        "SelfSubjectRulesReview" => rules(server, call.caller, text(&object, "/spec/namespace")),
        _ => {
            let subject = subject_of(&kind, &object, call.caller);
            json!({"allowed": access(server, &subject, &object)})
        }
    };
    object["status"] = status;
    object["kind"] = kind.into();
    object["apiVersion"] = call.resource.api_version().into();
    crate::write::metadata(&mut object);
    Ok(Reply::json(201, &object))
}

/// All rules that hold for somebody in a namespace.
fn rules(server: &ApiServer, caller: &Caller, namespace: &str) -> Value {
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    if is_master(caller) {
        resources.push(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        paths.push(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    any_rule(server, caller, namespace, &mut |rule| {
        let has = |field: &str| rule.get(field).and_then(Value::as_array).is_some_and(|it| !it.is_empty());
        if has("resources") {
            resources.push(rule.clone());
        }
        if has("nonResourceURLs") {
            paths.push(rule.clone());
        }
        false
    });
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}

fn subject_of(kind: &str, object: &Value, caller: &Caller) -> Caller {
    if kind == "SelfSubjectAccessReview" {
        return caller.clone();
    }
    let groups = object.at("/spec/groups").and_then(Value::as_array).into_iter().flatten();
    Caller {
        name: text(object, "/spec/user").to_owned(),
        groups: groups.filter_map(|group| group.as_str().map(str::to_owned)).collect(),
        actor: caller.actor,
    }
}

fn access(server: &ApiServer, subject: &Caller, review: &Value) -> bool {
    let resource = |name: &str| text(review, &format!("/spec/resourceAttributes/{name}"));
    if review.at("/spec/resourceAttributes").is_none() {
        let path = |name: &str| text(review, &format!("/spec/nonResourceAttributes/{name}"));
        return is_path_allowed(server, subject, path("verb"), path("path"));
    }
    let wanted = Attributes {
        verb: resource("verb"),
        group: resource("group"),
        resource: resource("resource"),
        subresource: resource("subresource"),
        namespace: resource("namespace"),
        name: resource("name"),
    };
    is_allowed(server, subject, wanted)
}
