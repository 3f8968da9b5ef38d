//! Patches: what is there, with a change of it, is written like a whole object
//! (`k8s.io/apiserver/pkg/endpoints/handlers/patch.go`).

use serde_json::Value;

use crate::call::{Call, Reply};
use crate::error::{ApiError, Result};
use crate::kinds;
use crate::patch;
use crate::server::ApiServer;
use crate::shape;
use crate::write::{check_kind, reply};

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

impl ApiServer {
    pub(crate) fn patch(&mut self, call: &mut Call<'_>, subresource: &str) -> Result<Reply> {
        let kind = call.parsed.content_type().to_owned();
        let is_known = match kind.as_str() {
            JSON | MERGE | APPLY => true,
            STRATEGIC => !call.resource.is_custom,
            _ => false,
        };
        if !is_known {
            let mut supported = vec![JSON, MERGE, APPLY];
            if !call.resource.is_custom {
                supported.push(STRATEGIC);
            }
            return Err(ApiError::unsupported_media_type(&supported));
        }
        let body = call.parsed.value()?;
        if kind == APPLY {
            return self.apply(call, body, subresource);
        }
        let Some(old) = self.stored(&call.resource, &call.key()).cloned() else {
            return Err(call.not_found());
        };
        let before = old.value();
        let mut object = Value::clone(&before);
        kinds::to_served(&call.resource, &mut object);
        match kind.as_str() {
            JSON => patch::json_patch(&mut object, body)?,
            MERGE => patch::merge_patch(&mut object, body)?,
            _ => {
                let schema = shape::schema(self, &call.resource)
                    .ok_or_else(|| ApiError::unsupported_media_type(&[JSON, MERGE]))?;
                patch::strategic_merge(&schema, &mut object, body)?;
            }
        }
        check_kind(&call.resource, &object)?;
        shape::check_fields(self, call, &mut object)?;
        kinds::to_stored(&call.resource, &mut object);
        let manager = call.parsed.manager();
        let written = self.update_object(call, &old, &before, object, subresource, Some(&manager))?;
        Ok(reply(call, 200, written))
    }

    /// Server-side apply (KEP-555).
    fn apply(&mut self, call: &mut Call<'_>, mut config: Value, subresource: &str) -> Result<Reply> {
        let manager = call.parsed.query.get("fieldManager").to_owned();
        if manager.is_empty() {
            let missing = crate::error::FieldError::required("fieldManager", "is required for apply patch");
            return Err(ApiError::invalid("meta.k8s.io", "PatchOptions", "", &[missing]));
        }
        check_kind(&call.resource, &config)?;
        let name = crate::store::text(&config, "/metadata/name");
        if !name.is_empty() && name != call.target.name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                call.target.name
            )));
        }
        crate::write::metadata(&mut config).insert("name".to_owned(), call.target.name.as_str().into());
        if !call.target.namespace.is_empty() && crate::store::text(&config, "/metadata/namespace").is_empty()
        {
            crate::write::metadata(&mut config)
                .insert("namespace".to_owned(), call.target.namespace.as_str().into());
        }
        shape::check_fields(self, call, &mut config)?;
        let force = call.parsed.query.flag("force") == Some(true);
        let old = self.stored(&call.resource, &call.key()).cloned();
        let before = old.as_ref().map(|old| old.value());
        let live = before.as_deref().map(|before| kinds::served(&call.resource, before));
        if live.is_none() && !subresource.is_empty() {
            return Err(call.not_found());
        }
        let uid = crate::store::text(&config, "/metadata/uid");
        if live.is_none() && !uid.is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            );
            return Err(ApiError::conflict(
                &call.resource.group,
                &call.resource.plural,
                &call.target.name,
                &why,
            ));
        }
        let mut object = shape::apply(self, call, live.as_deref(), &config, &manager, force, subresource)?;
        kinds::to_stored(&call.resource, &mut object);
        match old.zip(before) {
            Some((old, before)) => {
                let written = self.update_object(call, &old, &before, object, subresource, None)?;
                Ok(reply(call, 200, written))
            }
            None => {
                let written = self.create_object(call, object, None)?;
                Ok(reply(call, 201, written))
            }
        }
    }
}
