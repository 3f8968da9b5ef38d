//! `/openapi/v3`: the schemas of what is served, made when somebody asks and kept until resources change.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::call::Outcome;
use crate::error::{ApiError, Result};
use crate::kinds::{Class, Resource};
use crate::openapi;
use crate::request::Parsed;
use crate::schema::{GroupVersionKind, Schema};
use crate::server::ApiServer;
use crate::{discovery, shape};

/// Answers a path below `/openapi`.
pub(crate) fn answer(server: &mut ApiServer, parts: &[&str], _parsed: &Parsed) -> Result<Outcome> {
    let json = |body: Bytes| Outcome::Typed(body, "application/json".to_owned());
    match parts {
        ["v3"] => {
            let groups: Vec<(String, String)> = discovery::groups(server)
                .into_iter()
                .flat_map(|(group, versions)| {
                    versions.into_iter().map(move |version| (group.clone(), version))
                })
                .collect();
            let mut entries = Vec::new();
            for (group, version) in groups {
                let document = document(server, &group, &version)?;
                let hash = openapi::hash(&String::from_utf8_lossy(&document));
                entries.push((openapi::group_path(&group, &version), hash));
            }
            let index = openapi::index(entries.iter().map(|(path, hash)| (path.as_str(), hash.as_str())));
            Ok(json(crate::store::to_bytes(&index)))
        }
        ["v3", "api", version] => Ok(json(document(server, "", version)?)),
        ["v3", "apis", group, version] => Ok(json(document(server, group, version)?)),
        _ => Err(ApiError::path_not_found()),
    }
}

fn document(server: &mut ApiServer, group: &str, version: &str) -> Result<Bytes> {
    let name = openapi::group_path(group, version);
    if let Some(known) = discovery::cached(server, &name) {
        return Ok(known);
    }
    let resources: Vec<Arc<Resource>> = server
        .registry
        .iter()
        .filter(|one| *one.group == *group && *one.version == *version && one.class != Class::Review)
        .cloned()
        .collect();
    if resources.is_empty()
        && server.registry.iter().all(|one| *one.group != *group || *one.version != *version)
    {
        return Err(ApiError::path_not_found());
    }
    let described: Vec<(Arc<Resource>, Arc<Schema>, Vec<&str>)> = resources
        .into_iter()
        .filter_map(|resource| {
            let schema = shape::schema(server, &resource)?;
            let parts = discovery::subresources(&resource).into_iter().map(|(name, ..)| name).collect();
            Some((resource, schema, parts))
        })
        .collect();
    let resources: Vec<openapi::Resource<'_>> = described
        .iter()
        .map(|(resource, schema, parts)| openapi::Resource {
            plural: &resource.plural,
            kind: GroupVersionKind {
                group: resource.group.to_string(),
                version: resource.version.to_string(),
                kind: resource.kind.to_string(),
            },
            namespaced: resource.is_namespaced,
            custom: resource.is_custom,
            subresources: parts,
            schema,
        })
        .collect();
    let document: Value = openapi::document(group, version, &resources);
    let document = crate::store::to_bytes(&document);
    discovery::keep(server, &name, document.clone());
    Ok(document)
}
