//! Who may do what: RBAC as it is stored, for everybody but masters (`plugin/pkg/auth/authorizer/rbac`).

use std::sync::Arc;

use serde_json::{Value, json};

use crate::error::{ApiError, Result};
use crate::kinds::Resource;
use crate::request::{Parsed, Target, Verb};
use crate::server::{ApiServer, Call, Caller, Reply};
use crate::store::{Version, text};

/// The group whose members may do anything.
pub(crate) const MASTERS: &str = "system:masters";
const RBAC: &str = "rbac.authorization.k8s.io";

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

/// The caller as which a master wants to act (`Impersonate-User`).
pub(crate) fn impersonated(server: &ApiServer, caller: &Caller, parsed: &Parsed) -> Result<Caller> {
    let user = parsed.header("impersonate-user");
    if user.is_empty() {
        return Ok(caller.clone());
    }
    let wanted = Attributes {
        verb: "impersonate",
        group: "",
        resource: "users",
        subresource: "",
        namespace: "",
        name: user,
    };
    if !is_allowed(server, caller, wanted) {
        return Err(ApiError::forbidden("", "users", user, &why(caller, &wanted)));
    }
    let groups = parsed.headers.get_all("impersonate-group").iter();
    let mut groups: Vec<String> = groups.filter_map(|group| group.to_str().ok().map(str::to_owned)).collect();
    if let Some((namespace, _)) =
        user.strip_prefix("system:serviceaccount:").and_then(|account| account.split_once(':'))
        && groups.is_empty()
    {
        groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    }
    groups.push("system:authenticated".to_owned());
    Ok(Caller { name: user.to_owned(), groups, actor: caller.actor })
}

/// Refuses what the caller may not do.
pub(crate) fn check(server: &ApiServer, caller: &Caller, verb: Verb, target: &Target) -> Result<()> {
    let wanted = Attributes {
        verb: verb.as_str(),
        group: &target.group,
        resource: &target.plural,
        subresource: &target.subresource,
        namespace: &target.namespace,
        name: &target.name,
    };
    // Everybody may ask what they may do (`system:basic-user`).
    let is_question = matches!(
        (&*target.group, &*target.plural),
        ("authorization.k8s.io", "selfsubjectaccessreviews" | "selfsubjectrulesreviews")
            | ("authentication.k8s.io", "selfsubjectreviews")
    );
    if is_question || is_allowed(server, caller, wanted) {
        return Ok(());
    }
    Err(ApiError::forbidden(&target.group, &target.plural, &target.name, &why(caller, &wanted)))
}

fn why(caller: &Caller, wanted: &Attributes<'_>) -> String {
    let resource = match wanted.subresource {
        "" => wanted.resource.to_owned(),
        subresource => format!("{}/{subresource}", wanted.resource),
    };
    let scope = match wanted.namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    format!(
        "User {:?} cannot {} resource {resource:?} in API group {:?} {scope}",
        caller.name, wanted.verb, wanted.group
    )
}

/// Whether a rule of a role that is bound to the caller allows it.
pub(crate) fn is_allowed(server: &ApiServer, caller: &Caller, wanted: Attributes<'_>) -> bool {
    if caller.groups.iter().any(|group| group == MASTERS) {
        return true;
    }
    rules_for(server, caller, wanted.namespace).iter().any(|rule| rule_allows(rule, &wanted))
}

/// The rules that hold for a caller in a namespace, those of the cluster included.
fn rules_for(server: &ApiServer, caller: &Caller, namespace: &str) -> Vec<Value> {
    let mut rules = Vec::new();
    let mut add = |bindings: &str, prefix: &str, namespace: &str| {
        for binding in objects(server, bindings, prefix) {
            let binding = binding.value();
            let subjects = binding.get("subjects").and_then(Value::as_array).into_iter().flatten();
            if subjects.into_iter().any(|subject| is_subject(subject, caller, namespace)) {
                rules.extend(rules_of(server, &binding["roleRef"], namespace));
            }
        }
    };
    add("clusterrolebindings", "", "");
    if !namespace.is_empty() {
        add("rolebindings", &format!("{namespace}/"), namespace);
    }
    rules
}

fn objects(server: &ApiServer, plural: &str, prefix: &str) -> Vec<Arc<Version>> {
    let Some(resource) = server.registry.get(RBAC, "v1", plural) else { return Vec::new() };
    let table = server.tables.get(resource.table);
    table.into_iter().flat_map(|table| table.range(prefix, None)).cloned().collect()
}

fn is_subject(subject: &Value, caller: &Caller, namespace: &str) -> bool {
    let name = text(subject, "/name");
    match text(subject, "/kind") {
        "User" => name == "*" || name == caller.name,
        "Group" => caller.groups.iter().any(|group| group == name),
        "ServiceAccount" => {
            let given = text(subject, "/namespace");
            let namespace = if given.is_empty() { namespace } else { given };
            caller.name == format!("system:serviceaccount:{namespace}:{name}")
        }
        _ => false,
    }
}

fn rules_of(server: &ApiServer, role: &Value, namespace: &str) -> Vec<Value> {
    let (plural, prefix) = match text(role, "/kind") {
        "ClusterRole" => ("clusterroles", ""),
        _ => ("roles", namespace),
    };
    let Some(resource) = server.registry.get(RBAC, "v1", plural) else { return Vec::new() };
    let role = server.stored(resource, &crate::store::key(prefix, text(role, "/name")));
    let role = role.map(|role| role.value());
    role.and_then(|role| role.get("rules").and_then(Value::as_array).cloned()).unwrap_or_default()
}

fn rule_allows(rule: &Value, wanted: &Attributes<'_>) -> bool {
    let has = |field: &str, fits: &dyn Fn(&str) -> bool| {
        let list = rule.get(field).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).any(|one| one == "*" || fits(one))
    };
    let resource = match wanted.subresource {
        "" => wanted.resource.to_owned(),
        subresource => format!("{}/{subresource}", wanted.resource),
    };
    let any_of = format!("*/{}", wanted.subresource);
    let names = rule.get("resourceNames").and_then(Value::as_array).filter(|names| !names.is_empty());
    has("verbs", &|one| one == wanted.verb)
        && has("apiGroups", &|one| one == wanted.group)
        && has("resources", &|one| one == resource || (!wanted.subresource.is_empty() && one == any_of))
        && names.is_none_or(|names| names.iter().any(|name| *name == wanted.name))
}

// ---- reviews ----

/// Answers a review: it is stored nowhere.
pub(crate) fn review(server: &mut ApiServer, call: &mut Call<'_>) -> Result<Reply> {
    let mut object = server.body_object(call)?;
    let kind = call.resource.kind.to_string();
    let status = match kind.as_str() {
        "SelfSubjectReview" => {
            json!({"userInfo": {"username": call.caller.name, "groups": call.caller.groups}})
        }
        "SelfSubjectRulesReview" => {
            let rules = if call.caller.groups.iter().any(|group| group == MASTERS) {
                vec![json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})]
            } else {
                rules_for(server, call.caller, text(&object, "/spec/namespace"))
            };
            json!({"resourceRules": rules, "nonResourceRules": [], "incomplete": false})
        }
        _ => {
            let subject = subject_of(&kind, &object, call.caller);
            let attributes = object.pointer("/spec/resourceAttributes").cloned();
            match attributes {
                Some(attributes) => access(server, &subject, &attributes),
                // Paths that are no resources are open to all who are known.
                None => json!({"allowed": object.pointer("/spec/nonResourceAttributes").is_some()}),
            }
        }
    };
    object["status"] = status;
    object["kind"] = kind.into();
    object["apiVersion"] = call.resource.api_version().into();
    crate::write::metadata(&mut object);
    Ok(Reply::json(201, &object))
}

fn subject_of(kind: &str, object: &Value, caller: &Caller) -> Caller {
    if kind == "SelfSubjectAccessReview" {
        return caller.clone();
    }
    let groups = object.pointer("/spec/groups").and_then(Value::as_array).into_iter().flatten();
    Caller {
        name: text(object, "/spec/user").to_owned(),
        groups: groups.filter_map(|group| group.as_str().map(str::to_owned)).collect(),
        actor: caller.actor,
    }
}

fn access(server: &ApiServer, subject: &Caller, attributes: &Value) -> Value {
    let field = |name: &str| attributes.get(name).and_then(Value::as_str).unwrap_or_default();
    let wanted = Attributes {
        verb: field("verb"),
        group: field("group"),
        resource: field("resource"),
        subresource: field("subresource"),
        namespace: field("namespace"),
        name: field("name"),
    };
    if is_allowed(server, subject, wanted) { json!({"allowed": true}) } else { json!({"allowed": false}) }
}

/// Verbs that a resource has, as discovery tells them.
pub(crate) fn verbs_of(resource: &Resource) -> &'static [&'static str] {
    if resource.class == crate::kinds::Class::Review {
        return &["create"];
    }
    if &*resource.kind == "Namespace" && resource.group.is_empty() {
        return &["create", "delete", "get", "list", "patch", "update", "watch"];
    }
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
}
