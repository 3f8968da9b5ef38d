//! Reads: get, list, and the beginning of a watch (`k8s.io/apiserver/pkg/storage`, resource version semantics of
//! "Kubernetes API Concepts").

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::call::{Call, Reply};
use crate::error::{ApiError, FieldError, Result};
use crate::present::{self, Filter, Include};
use crate::request::View;
use crate::selector::{FieldSelector, LabelSelector};
use crate::server::ApiServer;
use crate::store::{Compacted, Version};
use crate::table;
use crate::watch::{Watch, WatchId, error_line};

/// What a list is asked at which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The present.
    Now,
    /// Exactly this version.
    Exactly(u64),
}

impl ApiServer {
    pub(crate) fn get(&self, call: &Call<'_>) -> Result<Reply> {
        if let Some(rv) = version_parameter(call)? {
            self.check_not_ahead(call, rv)?;
        }
        let version = self.stored(&call.resource, &call.key()).ok_or_else(|| call.not_found())?;
        let body = match call.view {
            View::Table => {
                let filter = self.filter(call)?;
                let mut table = table::of(&call.resource, std::slice::from_ref(version), &filter, call.now);
                table["metadata"] = json!({"resourceVersion": version.rv.to_string()});
                crate::store::to_bytes(&table)
            }
            view => present::object(&call.resource, version, view),
        };
        Ok(Reply { code: 200, body })
    }

    pub(crate) fn filter(&self, call: &Call<'_>) -> Result<Filter> {
        let query = &call.parsed.query;
        let labels = LabelSelector::parse(query.get("labelSelector"))
            .map_err(|why| ApiError::bad_request(format!("unable to parse requirement: {why}")))?;
        let mut allowed: Vec<&str> = vec!["metadata.name", "metadata.namespace"];
        allowed.extend(call.resource.fields.iter().map(String::as_str));
        let fields =
            FieldSelector::parse(query.get("fieldSelector"), &allowed).map_err(ApiError::bad_request)?;
        let include = match query.get("includeObject") {
            "" | "Metadata" => Include::Metadata,
            "Object" => Include::Object,
            "None" => Include::None,
            other => {
                return Err(ApiError::bad_request(format!("unrecognized includeObject value: {other:?}")));
            }
        };
        Ok(Filter {
            prefix: call.prefix(),
            labels,
            fields,
            include,
            ..Filter::everything(self.config.version)
        })
    }

    pub(crate) fn list(&self, call: &Call<'_>) -> Result<Reply> {
        let filter = self.filter(call)?;
        let query = &call.parsed.query;
        let limit: usize = match query.get("limit") {
            "" => 0,
            // A number below zero is no limit.
            text => usize::try_from(text.parse::<i64>().map_err(|error| {
                use std::num::IntErrorKind::{NegOverflow, PosOverflow};
                let why = match error.kind() {
                    NegOverflow | PosOverflow => "value out of range",
                    _ => "invalid syntax",
                };
                ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: {why}"))
            })?)
            .unwrap_or(0),
        };
        let token = query.get("continue");
        let (at, after) = if token.is_empty() {
            (self.list_version(call, limit)?, None)
        } else {
            if !matches!(query.get("resourceVersion"), "" | "0") {
                return Err(ApiError::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
            let (rv, after) = read_token(token)?;
            (At::Exactly(rv), Some(after))
        };
        let Some(table) = self.tables.get(call.resource.table) else {
            return Err(ApiError::path_not_found());
        };
        let current = call.rows.resource_version();
        let (rv, versions): (u64, Vec<Arc<Version>>) = match at {
            At::Exactly(rv) if rv != current => {
                let versions = table.at(rv, &filter.prefix, after.as_deref());
                (rv, versions.map_err(|Compacted| expired_list(token))?)
            }
            At::Exactly(_) | At::Now => {
                (current, table.range(&filter.prefix, after.as_deref()).cloned().collect())
            }
        };
        let selects_all = filter.selects_everything();
        let mut wanted: Vec<Arc<Version>> = Vec::with_capacity(versions.len());
        let mut rest = 0_usize;
        for version in versions {
            if !selects_all && !filter.selects(&version) {
                continue;
            }
            if limit > 0 && wanted.len() == limit {
                rest += 1;
            } else {
                wanted.push(version);
            }
        }
        let mut metadata = json!({"resourceVersion": rv.to_string()});
        if rest > 0
            && let Some(last) = wanted.last()
        {
            metadata["continue"] = write_token(rv, &last.key).into();
            if selects_all {
                metadata["remainingItemCount"] = rest.into();
            }
        }
        Ok(self.list_reply(call, &filter, &wanted, metadata))
    }

    fn list_reply(
        &self,
        call: &Call<'_>,
        filter: &Filter,
        wanted: &[Arc<Version>],
        metadata: Value,
    ) -> Reply {
        let resource = &call.resource;
        if call.view == View::Table {
            let mut table = table::of(resource, wanted, filter, call.now);
            table["metadata"] = metadata;
            return Reply::json(200, &table);
        }
        let (kind, api_version) = match call.view {
            View::Partial => ("PartialObjectMetadataList", "meta.k8s.io/v1".to_owned()),
            _ => (&*resource.list_kind, resource.api_version()),
        };
        // The objects' own texts, one behind the other.
        let objects: Vec<bytes::Bytes> =
            wanted.iter().map(|version| present::object(resource, version, call.view)).collect();
        let mut head = String::with_capacity(160);
        let _ = write!(
            head,
            "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{metadata},\"items\":[",
            json!(kind),
            json!(api_version)
        );
        let mut body =
            Vec::with_capacity(head.len() + 2 + objects.iter().map(|one| one.len() + 1).sum::<usize>());
        body.extend_from_slice(head.as_bytes());
        for (position, object) in objects.iter().enumerate() {
            if position > 0 {
                body.push(b',');
            }
            body.extend_from_slice(object);
        }
        body.extend_from_slice(b"]}");
        Reply { code: 200, body: body.into() }
    }

    /// At which version a list without a token is to be answered.
    fn list_version(&self, call: &Call<'_>, limit: usize) -> Result<At> {
        let rv = version_parameter(call)?;
        let exactly = match (call.parsed.query.get("resourceVersionMatch"), rv) {
            ("", Some(rv)) => limit > 0 && rv > 0,
            ("" | "NotOlderThan", _) => false,
            ("Exact", Some(rv)) if rv > 0 => true,
            (text, _) => {
                let why =
                    format!("resourceVersionMatch {text:?} is forbidden unless resourceVersion is provided");
                return Err(invalid_options(&why));
            }
        };
        let Some(rv) = rv else { return Ok(At::Now) };
        self.check_not_ahead(call, rv)?;
        Ok(if exactly { At::Exactly(rv) } else { At::Now })
    }

    /// Nobody can be shown what has not happened (`waitUntilFreshAndBlock`, after three seconds).
    fn check_not_ahead(&self, call: &Call<'_>, rv: u64) -> Result<()> {
        let current = call.rows.resource_version();
        if rv <= current {
            return Ok(());
        }
        let mut error =
            ApiError::timeout(&format!("Too large resource version: {rv}, current: {current}"), 1);
        error.details.causes.push(crate::error::Cause {
            reason: "ResourceVersionTooLarge".to_owned(),
            message: "Too large resource version".to_owned(),
            field: String::new(),
        });
        Err(error)
    }

    pub(crate) fn watch(&mut self, call: &Call<'_>) -> Result<WatchId> {
        let filter = self.filter(call)?;
        let query = &call.parsed.query;
        let rv = version_parameter(call)?;
        let streams = query.flag("sendInitialEvents");
        let bookmarks = query.flag("allowWatchBookmarks") == Some(true);
        check_watch_options(call, streams, rv)?;
        let Some(table) = self.tables.get(call.resource.table) else {
            return Err(ApiError::path_not_found());
        };
        let current = call.rows.resource_version();
        // Without a version, and with 0, a watch begins with all that is there; so does a list that is streamed.
        let starts_with_all = streams.unwrap_or(matches!(rv, None | Some(0)));
        let mut failure = None;
        let mut position = table.end();
        match rv {
            Some(rv) if rv > current => self.check_not_ahead(call, rv)?,
            Some(rv) if rv > 0 && !starts_with_all => match table.position_after(rv) {
                Ok(first) => position = first,
                Err(Compacted) => {
                    let error = ApiError::expired(format!("too old resource version: {rv} ({current})"));
                    failure = Some(error_line(&error));
                }
            },
            _ => {}
        }
        let mut initial = VecDeque::new();
        if starts_with_all {
            let all = table.range(&filter.prefix, None).filter(|version| filter.selects(version));
            initial.extend(all.cloned());
        }
        let timeout = match query.get("timeoutSeconds").parse::<u64>() {
            Ok(seconds) if seconds > 0 => Duration::from_secs(seconds),
            _ => self.config.watch_timeout,
        };
        self.add_watch(Watch {
            resource: Arc::clone(&call.resource),
            filter,
            view: call.view,
            initial,
            initial_end: (streams == Some(true) && bookmarks).then_some(current),
            position,
            bookmarks,
            bookmark: None,
            told: rv.unwrap_or(current),
            failure,
            ends: call.now + timeout,
            is_closed: false,
            is_ready: true,
            has_columns: false,
        })
    }
}

/// `resourceVersion`: nothing, or a number.
fn version_parameter(call: &Call<'_>) -> Result<Option<u64>> {
    match call.parsed.query.get("resourceVersion") {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            ApiError::bad_request(format!(
                "invalid resource version \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"
            ))
        }),
    }
}

/// `ValidateListOptions`: which options go together.
fn check_watch_options(call: &Call<'_>, streams: Option<bool>, _rv: Option<u64>) -> Result<()> {
    let matching = call.parsed.query.get("resourceVersionMatch");
    let forbidden = |why: &str| Err(invalid_options(why));
    match streams {
        None if !matching.is_empty() => {
            forbidden("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
        }
        Some(_) if matching != "NotOlderThan" => {
            forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
        }
        _ => Ok(()),
    }
}

fn invalid_options(why: &str) -> ApiError {
    ApiError::invalid("meta.k8s.io", "ListOptions", "", &[FieldError::forbidden("resourceVersionMatch", why)])
}

fn expired_list(token: &str) -> ApiError {
    if token.is_empty() {
        return ApiError::expired("The resourceVersion for the provided list is too old.");
    }
    ApiError::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter.",
    )
}

// ---- tokens ----

/// A token: version and last key, which clients must not look into; hexadecimal keeps it safe in a URL.
fn write_token(rv: u64, key: &str) -> String {
    let mut token = format!("{rv:x}.");
    for byte in key.bytes() {
        let _ = write!(token, "{byte:02x}");
    }
    token
}

fn read_token(token: &str) -> Result<(u64, String)> {
    let read = || {
        let (rv, key) = token.split_once('.')?;
        let rv = u64::from_str_radix(rv, 16).ok()?;
        let bytes: Option<Vec<u8>> = (0..key.len())
            .step_by(2)
            .map(|at| key.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok()))
            .collect();
        Some((rv, String::from_utf8(bytes?).ok()?))
    };
    read().ok_or_else(|| {
        ApiError::bad_request("continue key is not valid: encoded start key could not be read")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_nonsense_is_refused() {
        assert_eq!(read_token(&write_token(77, "a/b-ä")).ok(), Some((77, "a/b-ä".to_owned())));
        for nonsense in ["", ".", "zz.", "1.a", "1.ä", "1.ff", "1"] {
            assert!(read_token(nonsense).is_err() || nonsense == ".", "{nonsense}");
        }
    }
}
