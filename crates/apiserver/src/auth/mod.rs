//! Who may do what: RBAC as it is stored, for everybody but masters (`plugin/pkg/auth/authorizer/rbac`).
//!
//! A rule that allows is all it takes; nothing forbids. Every request is judged, so a role is read where it lies.

mod review;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};

pub(crate) use self::review::review;
use crate::error::{ApiError, Result};
use crate::kinds::Resource;
use crate::request::{Parsed, Target, Verb};
use crate::server::{ApiServer, Caller};
use crate::store::{Version, text};

/// The group whose members may do anything.
pub(crate) const MASTERS: &str = "system:masters";
/// The group of all who are known.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
const RBAC: &str = "rbac.authorization.k8s.io";

/// What somebody wants to do with a resource.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

/// What everybody may who is known: ask who they are and what they may, and what is served (`system:basic-user`, `system:discovery` and
/// `system:public-info-viewer` of `bootstrappolicy/policy.go`).
static OF_EVERYBODY: LazyLock<[Value; 3]> = LazyLock::new(|| {
    [
        json!({"apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], "verbs": ["create"]}),
        json!({"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"]}),
        json!({"nonResourceURLs": [
            "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/",
        ], "verbs": ["get"]}),
    ]
});

/// The caller as whom somebody wants to act (`Impersonate-User`, `endpoints/filters/impersonation`).
pub(crate) fn impersonated<'a>(
    server: &ApiServer,
    caller: &'a Caller,
    parsed: &Parsed,
) -> Result<Cow<'a, Caller>> {
    let user = parsed.header("impersonate-user");
    if user.is_empty() {
        return Ok(Cow::Borrowed(caller));
    }
    let account = user.strip_prefix("system:serviceaccount:").and_then(|account| account.split_once(':'));
    let groups = parsed.headers.get_all("impersonate-group").iter();
    let mut groups: Vec<String> = groups.filter_map(|group| group.to_str().ok().map(str::to_owned)).collect();
    let whom = match account {
        Some((namespace, name)) => ("serviceaccounts", namespace, name),
        None => ("users", "", user),
    };
    let of_groups = groups.iter().map(|group| ("groups", "", &**group));
    for (resource, namespace, name) in std::iter::once(whom).chain(of_groups) {
        let wanted =
            Attributes { verb: "impersonate", group: "", resource, subresource: "", namespace, name };
        if !is_allowed(server, caller, wanted) {
            return Err(ApiError::forbidden("", resource, name, &why(caller, &wanted)));
        }
    }
    if let (Some((namespace, _)), true) = (account, groups.is_empty()) {
        groups = of_service_accounts(namespace);
    }
    if !groups.iter().any(|group| group == AUTHENTICATED) {
        groups.push(AUTHENTICATED.to_owned());
    }
    Ok(Cow::Owned(Caller { name: user.to_owned(), groups, actor: caller.actor }))
}

/// The groups of the service accounts of a namespace.
pub(crate) fn of_service_accounts(namespace: &str) -> Vec<String> {
    vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
}

/// Refuses what the caller may not do.
pub(crate) fn check(
    server: &ApiServer,
    caller: &Caller,
    verb: Verb,
    target: &Target,
    parsed: &Parsed,
) -> Result<()> {
    // The name of one object and its namespace, as `endpoints/request/requestinfo.go` finds them.
    let is_listed = target.name.is_empty() && matches!(verb, Verb::List | Verb::Watch);
    let is_namespace = target.group.is_empty() && target.plural == "namespaces";
    let wanted = Attributes {
        verb: verb.as_str(),
        group: &target.group,
        resource: &target.plural,
        subresource: &target.subresource,
        namespace: if is_namespace { &target.name } else { &target.namespace },
        name: if is_listed { only_name(parsed.query.get("fieldSelector")) } else { &target.name },
    };
    if is_allowed(server, caller, wanted) {
        return Ok(());
    }
    Err(ApiError::forbidden(&target.group, &target.plural, &target.name, &why(caller, &wanted)))
}

/// The name that a field selector chooses; empty when it chooses by something else.
fn only_name(selector: &str) -> &str {
    let clauses = selector.split(',').filter_map(|clause| clause.split_once('='));
    let mut names = clauses.filter(|(field, _)| *field == "metadata.name");
    names.next().map_or("", |(_, name)| name.trim_start_matches('='))
}

/// Refuses a path that is no resource.
pub(crate) fn check_path(server: &ApiServer, caller: &Caller, verb: &str, path: &str) -> Result<()> {
    if is_path_allowed(server, caller, verb, path) {
        return Ok(());
    }
    let why = format!("User {:?} cannot {verb} path {path:?}", caller.name);
    Err(ApiError::forbidden("", "", "", &why))
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

fn is_master(caller: &Caller) -> bool {
    caller.groups.iter().any(|group| group == MASTERS)
}

/// Whether a rule of a role that is bound to the caller allows it.
pub(crate) fn is_allowed(server: &ApiServer, caller: &Caller, wanted: Attributes<'_>) -> bool {
    is_master(caller) || any_rule(server, caller, wanted.namespace, &mut |rule| rule_allows(rule, &wanted))
}

/// Whether a rule allows a path that is no resource; Roles of namespaces have no say.
pub(crate) fn is_path_allowed(server: &ApiServer, caller: &Caller, verb: &str, path: &str) -> bool {
    let fits = |pattern: &str| {
        pattern == "*"
            || pattern == path
            || pattern.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
    };
    is_master(caller)
        || any_rule(server, caller, "", &mut |rule| {
            texts(rule, "verbs").any(|one| one == "*" || one == verb)
                && texts(rule, "nonResourceURLs").any(fits)
        })
}

/// Whether one of the rules fits that hold for a caller in a namespace, those of the cluster included
/// (`registry/rbac/validation` VisitRulesFor).
fn any_rule(
    server: &ApiServer,
    caller: &Caller,
    namespace: &str,
    fits: &mut dyn FnMut(&Value) -> bool,
) -> bool {
    let mut any_of = |bindings: &str, prefix: &str, namespace: &str| {
        objects(server, bindings, prefix).any(|binding| {
            let binding = binding.value();
            let mut subjects = binding.get("subjects").and_then(Value::as_array).into_iter().flatten();
            subjects.any(|subject| is_subject(subject, caller, namespace))
                && role(server, &binding["roleRef"], namespace).is_some_and(|role| {
                    let role = role.value();
                    role.get("rules").and_then(Value::as_array).into_iter().flatten().any(&mut *fits)
                })
        })
    };
    any_of("clusterrolebindings", "", "")
        || (!namespace.is_empty() && any_of("rolebindings", &format!("{namespace}/"), namespace))
        || OF_EVERYBODY.iter().any(fits)
}

fn objects<'a>(
    server: &'a ApiServer,
    plural: &str,
    prefix: &'a str,
) -> impl Iterator<Item = &'a Arc<Version>> {
    let table =
        server.registry.get(RBAC, "v1", plural).and_then(|resource| server.tables.get(resource.table));
    table.into_iter().flat_map(move |table| table.range(prefix, None))
}

fn is_subject(subject: &Value, caller: &Caller, namespace: &str) -> bool {
    let name = text(subject, "/name");
    match text(subject, "/kind") {
        "User" => name == caller.name,
        "Group" => caller.groups.iter().any(|group| group == name),
        "ServiceAccount" => {
            let given = text(subject, "/namespace");
            let namespace = if given.is_empty() { namespace } else { given };
            let account =
                caller.name.strip_prefix("system:serviceaccount:").and_then(|it| it.split_once(':'));
            account == Some((namespace, name))
        }
        _ => false,
    }
}

fn role<'a>(server: &'a ApiServer, role: &Value, namespace: &str) -> Option<&'a Arc<Version>> {
    let (plural, namespace) = match text(role, "/kind") {
        "ClusterRole" => ("clusterroles", ""),
        _ => ("roles", namespace),
    };
    let resource = server.registry.get(RBAC, "v1", plural)?;
    server.stored(resource, &crate::store::key(namespace, text(role, "/name")))
}

fn texts<'a>(rule: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    rule.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// `RuleAllows`, with the matches of `pkg/apis/rbac/v1/evaluation_helpers.go`.
fn rule_allows(rule: &Value, wanted: &Attributes<'_>) -> bool {
    let is_resource = |one: &str| match (one.split_once('/'), wanted.subresource) {
        (None, "") => one == wanted.resource,
        (Some((resource, subresource)), _) => {
            !wanted.subresource.is_empty()
                && subresource == wanted.subresource
                && (resource == "*" || resource == wanted.resource)
        }
        (None, _) => false,
    };
    let has_names = texts(rule, "resourceNames").next().is_some();
    texts(rule, "verbs").any(|one| one == "*" || one == wanted.verb)
        && texts(rule, "apiGroups").any(|one| one == "*" || one == wanted.group)
        && texts(rule, "resources").any(|one| one == "*" || is_resource(one))
        && (!has_names || texts(rule, "resourceNames").any(|name| name == wanted.name))
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
