//! What a request asks for: its path, parameters and headers (`k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`).

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use crate::error::{ApiError, Result};

/// Longest path with parameters that is read.
const TARGET_BYTES_MAX: usize = 128 * 1024;
/// Longest body that is read (`MaxRequestBodyBytes`: 3 MiB).
pub(crate) const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;
/// How it is told of.
pub(crate) const BODY_LIMIT: &str = "limit is 3145728";

/// Parameters of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what stands behind the `?`.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name, true), decoded(value, true))
        });
        Self(pairs.collect())
    }

    /// The first value of a parameter; empty when it is not there.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(one, _)| one == name).map_or("", |(_, value)| value)
    }

    /// All values of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.0.iter().filter(move |(one, _)| one == name).map(|(_, value)| &**value)
    }

    /// A parameter that is true or false.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name) {
            "" if self.0.iter().any(|(one, _)| one == name) => Some(true),
            "" => None,
            "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
            _ => Some(true),
        }
    }
}

/// Undoes percent-encoding; what is no encoding stays as it is.
pub(crate) fn decoded(text: &str, plus_is_blank: bool) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut position = 0;
    let digit = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    while let Some(&byte) = bytes.get(position) {
        match (byte, digit(bytes.get(position + 1)), digit(bytes.get(position + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                position += 2;
            }
            (b'+', ..) if plus_is_blank => out.push(b' '),
            _ => out.push(byte),
        }
        position += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    /// What a method means for an object or a collection, if it means anything.
    pub(crate) fn of(method: &http::Method, target: &Target, is_watch: bool) -> Option<Self> {
        use http::Method;
        let is_one = !target.name.is_empty();
        Some(match (method, is_one) {
            (&Method::GET | &Method::HEAD, true) => Self::Get,
            (&Method::GET | &Method::HEAD, false) if is_watch => Self::Watch,
            (&Method::GET | &Method::HEAD, false) => Self::List,
            (&Method::POST, false) => Self::Create,
            (&Method::POST, true) if !target.subresource.is_empty() => Self::Create,
            (&Method::PUT, true) => Self::Update,
            (&Method::PATCH, true) => Self::Patch,
            (&Method::DELETE, true) if target.subresource.is_empty() => Self::Delete,
            (&Method::DELETE, false) => Self::DeleteCollection,
            _ => return None,
        })
    }

    /// As RBAC and audit logs have it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

/// What a request does, and to what: verb, and resource with subresource, as roles name them (`patch`, `miniclusters/status`); nothing where there is
/// no object.
pub(crate) fn kind_of(method: &http::Method, uri: &http::Uri) -> Option<(&'static str, String)> {
    let Path::Resource(target) = parse_path(uri.path()) else { return None };
    let is_watch = Query::parse(uri.query().unwrap_or_default()).flag("watch") == Some(true);
    let verb = Verb::of(method, &target, is_watch)?.as_str();
    Some((verb, target.resource()))
}

/// The object or collection that a path names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// Group; empty for `v1`.
    pub(crate) group: String,
    /// Version.
    pub(crate) version: String,
    /// Namespace; empty for all, or for objects of the cluster.
    pub(crate) namespace: String,
    /// Plural name of the resource.
    pub(crate) plural: String,
    /// Name; empty for a collection.
    pub(crate) name: String,
    /// Subresource, if any.
    pub(crate) subresource: String,
}

impl Target {
    /// The resource with its subresource, as roles name it.
    pub(crate) fn resource(&self) -> String {
        match &*self.subresource {
            "" => self.plural.clone(),
            subresource => format!("{}/{subresource}", self.plural),
        }
    }
}

/// A path, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Something that is no object: discovery, health, schemas.
    Other(Vec<String>),
    /// An object or a collection.
    Resource(Target),
}

/// Subresources of namespaces, which would otherwise be read as resources in one.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

/// Reads a path.
pub(crate) fn parse_path(path: &str) -> Path {
    let mut segments: Vec<Cow<'_, str>> =
        path.split('/').filter(|part| !part.is_empty()).map(Cow::Borrowed).collect();
    if path.contains('%') {
        for segment in &mut segments {
            *segment = decoded(segment, false).into();
        }
    }
    let parts: Vec<&str> = segments.iter().map(|one| &**one).collect();
    let other = || Path::Other(parts.iter().map(|&part| part.to_owned()).collect());
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return other(),
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, sub, more @ ..]
            if !(more.is_empty() && group.is_empty() && NAMESPACE_SUBRESOURCES.contains(sub)) =>
        {
            (*namespace, &rest[2..])
        }
        _ => ("", rest),
    };
    let part = |index: usize| rest.get(index).map(|part| (*part).to_owned()).unwrap_or_default();
    if rest.len() > 3 {
        return other();
    }
    Path::Resource(Target {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: namespace.to_owned(),
        plural: part(0),
        name: part(1),
        subresource: part(2),
    })
}

/// A request with everything read that does not depend on what is stored.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// Where.
    pub(crate) path: Path,
    /// `GET`, `POST`, …
    pub(crate) method: http::Method,
    /// Parameters.
    pub(crate) query: Query,
    /// Headers.
    pub(crate) headers: HeaderMap,
    /// Body.
    pub(crate) body: Bytes,
}

impl Parsed {
    /// Reads a request, within limits.
    pub(crate) fn read(request: http::Request<Bytes>) -> Result<Self> {
        let (head, body) = request.into_parts();
        let query = head.uri.query().unwrap_or_default();
        if head.uri.path().len() + query.len() > TARGET_BYTES_MAX {
            return Err(ApiError::bad_request("the request's path is too long"));
        }
        if body.len() > BODY_BYTES_MAX {
            return Err(ApiError::too_large(BODY_LIMIT));
        }
        Ok(Self {
            path: parse_path(head.uri.path()),
            method: head.method,
            query: Query::parse(query),
            headers: head.headers,
            body,
        })
    }

    /// A header's text; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The media type of the body, without parameters.
    pub(crate) fn content_type(&self) -> &str {
        self.header("content-type").split(';').next().unwrap_or_default().trim()
    }

    /// The value in a body of JSON or YAML.
    pub(crate) fn value(&self) -> Result<Value> {
        match self.content_type() {
            "application/yaml" | "application/apply-patch+yaml" => yaml_body(&self.body),
            _ => json_body(&self.body),
        }
    }

    /// Who manages the fields that this request writes: as asked, or what the client calls itself
    /// (`managerOrUserAgent`).
    pub(crate) fn manager(&self) -> String {
        const MANAGER_LEN_MAX: usize = 128;
        let asked = self.query.get("fieldManager");
        if !asked.is_empty() {
            return asked.to_owned();
        }
        let agent = self.header("user-agent").split('/').next().unwrap_or_default();
        let agent: String = agent.chars().filter(|c| !c.is_control()).take(MANAGER_LEN_MAX).collect();
        if agent.is_empty() { "unknown".to_owned() } else { agent }
    }

    /// Only judged, not stored.
    pub(crate) fn is_dry_run(&self) -> Result<bool> {
        let mut wanted = false;
        for value in self.query.all("dryRun") {
            match value {
                "All" => wanted = true,
                "" => {}
                other => {
                    let why = format!("invalid dryRun value {other:?}: supported values: \"All\"");
                    return Err(ApiError::bad_request(why));
                }
            }
        }
        Ok(wanted)
    }
}

/// How the client wants the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// Whole objects.
    Object,
    /// A table for people.
    Table,
    /// Metadata only.
    Partial,
}

/// Reads the `Accept` header: the first form that can be given.
pub(crate) fn view(accept: &str) -> Result<View> {
    if accept.is_empty() {
        return Ok(View::Object);
    }
    for one in accept.split(',') {
        let mut parts = one.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        if !matches!(media, "application/json" | "application/*" | "*/*") {
            continue;
        }
        let mut view = Some(View::Object);
        for parameter in parts {
            match parameter.split_once('=') {
                Some(("as", "Table")) => view = Some(View::Table),
                Some(("as", "PartialObjectMetadata" | "PartialObjectMetadataList")) => {
                    view = Some(View::Partial)
                }
                Some(("as", _)) => view = None,
                _ => {}
            }
        }
        if let Some(view) = view {
            return Ok(view);
        }
    }
    Err(ApiError::not_acceptable(&[
        "application/json",
        "application/yaml",
        "application/vnd.kubernetes.protobuf",
    ]))
}

/// Deepest nesting of a body in YAML.
const YAML_DEPTH_MAX: usize = 128;

/// Reads a body of YAML, of which JSON is a part.
pub(crate) fn yaml_body(body: &[u8]) -> Result<Value> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    let wrong = |why: &dyn std::fmt::Display| ApiError::bad_request(format!("error decoding YAML: {why}"));
    let text = std::str::from_utf8(body).map_err(|error| wrong(&error))?;
    let mut aliases = serde_saphyr::options::AliasLimits::default();
    aliases.max_total_replayed_events = 10_000;
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: YAML_DEPTH_MAX, flow_nesting_limit: YAML_DEPTH_MAX, max_documents: 1 },
        alias_limits: aliases,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| wrong(&error))
}

/// Reads a body of JSON.
pub(crate) fn json_body(body: &[u8]) -> Result<Value> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request(format!("couldn't parse the body of the request: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_resources_and_subresources() {
        let target = |path: &str| match parse_path(path) {
            Path::Resource(t) => Some([t.group, t.version, t.namespace, t.plural, t.name, t.subresource]),
            Path::Other(_) => None,
        };
        let of = |parts: [&str; 6]| Some(parts.map(str::to_owned));
        assert_eq!(target("/api/v1/namespaces/a/pods/b/status"), of(["", "v1", "a", "pods", "b", "status"]));
        assert_eq!(target("/api/v1/namespaces/a"), of(["", "v1", "", "namespaces", "a", ""]));
        assert_eq!(
            target("/api/v1/namespaces/a/finalize"),
            of(["", "v1", "", "namespaces", "a", "finalize"])
        );
        assert_eq!(target("/apis/batch/v1/jobs"), of(["batch", "v1", "", "jobs", "", ""]));
        assert_eq!(
            target("/apis/batch/v1/namespaces/n/jobs/a%2Db"),
            of(["batch", "v1", "n", "jobs", "a-b", ""])
        );
        for other in ["/api", "/apis/batch/v1", "/version", "/", "", "//", "/api/v1/namespaces/a/pods/b/c/d"]
        {
            assert_eq!(target(other), None, "{other}");
        }
    }

    #[test]
    fn parameters_are_decoded_and_odd_ones_stay() {
        let query = Query::parse("a=1%2C2&b=x+y&c&d=%zz&watch=true&a=3");
        assert_eq!(["a", "b", "c", "d", "e"].map(|name| query.get(name)), ["1,2", "x y", "", "%zz", ""]);
        assert_eq!(["c", "watch", "e"].map(|name| query.flag(name)), [Some(true), Some(true), None]);
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1,2", "3"]);
    }
}
