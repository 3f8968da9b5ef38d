//! Writes of whole objects: create and update, and what a patch comes to (`registry/rest`, `registry/generic/registry`).

use std::sync::Arc;

use serde_json::{Map, Value, json};
use towtank_wire as wire;

use crate::call::{Call, Reply};
use crate::error::{ApiError, FieldError, OBJECT_MODIFIED, Result};
use crate::kinds::{self, Class, Resource};
use crate::present;
use crate::server::ApiServer;
use crate::shape;
use crate::store::{At as _, Version, text};
use crate::strategy;

/// How often a generated name is tried (`maxNameGenerationCreateAttempts`).
const NAME_ATTEMPTS_MAX: u32 = 8;

/// What a write has come to.
pub(crate) enum Written {
    /// A stored version; also the last one of an object that went with the write.
    Version(Arc<Version>),
    /// What would be stored.
    Rehearsed(Value),
}

/// `metadata` of an object, which every stored one has.
pub(crate) fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    let fields = object.as_object_mut().expect("it was made one");
    let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
    if !metadata.is_object() {
        *metadata = json!({});
    }
    metadata.as_object_mut().expect("it was made one")
}

/// Takes away what is empty in the metadata: Go's types do not write it, so it is no difference.
fn tidy(object: &mut Value) {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    // An empty account of managed fields says something: that it is to be forgotten.
    metadata(object).retain(|field, value| field == "managedFields" || !is_empty(value));
}

impl ApiServer {
    /// The object in the body, in its stored form.
    pub(crate) fn body_object(&self, call: &mut Call<'_>) -> Result<Value> {
        let mut object = shape::decode(call.parsed)?;
        check_kind(&call.resource, &object)?;
        shape::check_fields(self, call, &mut object)?;
        kinds::to_stored(&call.resource, &mut object);
        Ok(object)
    }

    pub(crate) fn create(&mut self, call: &mut Call<'_>) -> Result<Reply> {
        if call.resource.class == Class::Review {
            return crate::auth::review(self, call);
        }
        let object = self.body_object(call)?;
        let manager = call.parsed.manager();
        let written = self.create_object(call, object, Some(&manager))?;
        Ok(reply(call, 201, written))
    }

    /// Stores a new object; with a manager, its fields are noted as that one's.
    pub(crate) fn create_object(
        &mut self,
        call: &mut Call<'_>,
        mut object: Value,
        manager: Option<&str>,
    ) -> Result<Written> {
        let resource = Arc::clone(&call.resource);
        self.check_new_namespace(call, &mut object)?;
        if !text(&object, "/metadata/resourceVersion").is_empty() {
            return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
        }
        let (name, is_generated) = self.new_name(call, &object)?;
        let now = wire::time_text(call.now);
        let uid = self.new_uid();
        let fields = metadata(&mut object);
        fields.insert("name".to_owned(), name.as_str().into());
        fields.insert("uid".to_owned(), uid.into());
        fields.insert("creationTimestamp".to_owned(), now.into());
        for field in
            ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion", "generation"]
        {
            fields.shift_remove(field);
        }
        if resource.has_generation {
            fields.insert("generation".to_owned(), 1.into());
        }
        if let Some(all) = object.as_object_mut()
            && resource.has_status
        {
            all.shift_remove("status");
        }
        let given = (resource.class == Class::Job).then(|| object.clone());
        tidy(&mut object);
        shape::default(self, &resource, &mut object);
        strategy::prepare_create(self, call, &mut object)?;
        if let Some(manager) = manager {
            shape::manage(self, call, None, &mut object, manager, "");
        }
        let errors = self.faults(call, &object, None);
        // Of rows the model has its say, too.
        let is_row = matches!(resource.class, Class::Pod | Class::Job);
        if !is_row {
            check(&resource, &name, &errors)?;
        }
        let key = crate::store::key(&call.target.namespace, &name);
        if errors.is_empty() && self.stored(&resource, &key).is_some() {
            return Err(if is_generated {
                ApiError::generate_name_conflict(&resource.group, &resource.plural, &name, 1)
            } else {
                ApiError::already_exists(&resource.group, &resource.plural, &name)
            });
        }
        if self.tables.get(resource.table).is_some_and(|table| table.len() >= self.config.objects_max) {
            return Err(ApiError::forbidden(&resource.group, &resource.plural, &name, "too many objects"));
        }
        if let Some(given) = given {
            return self.create_job(call, &given, object, errors);
        }
        match resource.class {
            Class::Pod => return self.create_pod(call, object, errors),
            Class::Node => return self.create_node(call, object),
            _ if call.is_dry_run => return Ok(Written::Rehearsed(object)),
            _ => {}
        }
        let version = self.store(call.rows, resource.table, key, object);
        strategy::created(self, call, &version)?;
        Ok(Written::Version(self.latest(&resource, &version)))
    }

    /// The stored version of an object that a write may have changed once more.
    pub(crate) fn latest(&self, resource: &Resource, version: &Arc<Version>) -> Arc<Version> {
        self.stored(resource, &version.key).unwrap_or(version).clone()
    }

    /// The namespace of a new object is that of the path, and is there to stay (admission plugin NamespaceLifecycle).
    fn check_new_namespace(&self, call: &Call<'_>, object: &mut Value) -> Result<()> {
        let wanted = &call.target.namespace;
        let given = text(object, "/metadata/namespace");
        if !given.is_empty() && given != wanted {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        self.check_namespace_is_open(call)?;
        metadata(object).insert("namespace".to_owned(), wanted.as_str().into());
        Ok(())
    }

    pub(crate) fn check_namespace_is_open(&self, call: &Call<'_>) -> Result<()> {
        let wanted = &call.target.namespace;
        let Some(namespace) = self.namespace(wanted) else {
            return Err(ApiError::not_found("", "namespaces", wanted));
        };
        if !namespace.is_deleting() {
            return Ok(());
        }
        Err(namespace_terminates(&call.resource, &call.target.name, wanted))
    }

    pub(crate) fn namespace(&self, name: &str) -> Option<&Arc<Version>> {
        let resource = self.registry.get("", "v1", "namespaces")?;
        self.stored(resource, name)
    }

    /// The name of a new object, and whether it was made up.
    fn new_name(&mut self, call: &Call<'_>, object: &Value) -> Result<(String, bool)> {
        let given = text(object, "/metadata/name");
        if !given.is_empty() {
            return Ok((given.to_owned(), false));
        }
        let base = text(object, "/metadata/generateName");
        if base.is_empty() {
            let missing = FieldError::required("metadata.name", "name or generateName is required");
            return Err(ApiError::invalid(&call.resource.group, &call.resource.kind, "", &[missing]));
        }
        let mut name = String::new();
        for _ in 0..NAME_ATTEMPTS_MAX {
            name = self.generated_name(base);
            if self.stored(&call.resource, &crate::store::key(&call.target.namespace, &name)).is_none() {
                break;
            }
        }
        Ok((name, true))
    }

    pub(crate) fn update(&mut self, call: &mut Call<'_>, subresource: &str) -> Result<Reply> {
        let object = self.body_object(call)?;
        let given = text(&object, "/metadata/name");
        if given != call.target.name {
            return Err(ApiError::bad_request(if given.is_empty() {
                "name must be provided".to_owned()
            } else {
                format!(
                    "the name of the object ({given}) does not match the name on the URL ({})",
                    call.target.name
                )
            }));
        }
        let manager = call.parsed.manager();
        let Some(old) = self.stored(&call.resource, &call.key()).cloned() else {
            if call.resource.creates_on_update && subresource.is_empty() {
                let written = self.create_object(call, object, Some(&manager))?;
                return Ok(reply(call, 201, written));
            }
            return Err(missed(call, &object));
        };
        let written = self.update_object(call, &old, &old.value(), object, subresource, Some(&manager))?;
        Ok(reply(call, 200, written))
    }

    /// Stores the next version of an object, whose value is `before`; with a manager, the fields that change are noted as that one's.
    pub(crate) fn update_object(
        &mut self,
        call: &mut Call<'_>,
        old: &Arc<Version>,
        before: &Value,
        mut object: Value,
        subresource: &str,
        manager: Option<&str>,
    ) -> Result<Written> {
        let resource = Arc::clone(&call.resource);
        self.check_is_same(call, old, before, &mut object, subresource)?;
        let given = (resource.class == Class::Job && subresource.is_empty()).then(|| object.clone());
        tidy(&mut object);
        shape::default(self, &resource, &mut object);
        if let Some(given) = &given {
            strategy::drop_default_of_selectors(call.rows.features(), given, &mut object);
        }
        keep_system_fields(&resource, before, &mut object, subresource);
        strategy::prepare_update(self, call, &mut object, before, subresource)?;
        if resource.has_generation && wants_new_generation(&resource, before, &object) {
            let generation = before.at("/metadata/generation").and_then(Value::as_i64).unwrap_or(0);
            metadata(&mut object).insert("generation".to_owned(), (generation + 1).into());
        }
        if let Some(manager) = manager {
            shape::manage(self, call, Some(before), &mut object, manager, subresource);
        }
        let errors = self.faults(call, &object, Some(before));
        if !matches!(resource.class, Class::Pod | Class::Job) {
            check(&resource, old.name(), &errors)?;
        }
        match resource.class {
            Class::Job => {
                return self.update_job(call, old, before, given.as_ref(), object, errors);
            }
            Class::Pod => return self.update_pod(call, old, before, object, subresource, errors),
            Class::Node => return self.update_node(call, old, before, object),
            Class::Document | Class::Review => {}
        }
        if object == *before {
            return Ok(Written::Version(Arc::clone(old)));
        }
        if call.is_dry_run {
            return Ok(Written::Rehearsed(object));
        }
        if strategy::is_ready_to_go(&resource, &object) {
            let last =
                Version::new(Arc::clone(&old.key), old.rv, crate::store::Content::Document(Arc::new(object)));
            let gone = self.drop_document(call.rows, resource.table, &last);
            return Ok(Written::Version(gone));
        }
        let version = self.store(call.rows, resource.table, Arc::clone(&old.key), object);
        strategy::updated(self, call, &version)?;
        Ok(Written::Version(self.latest(&resource, &version)))
    }

    /// All that is wrong with an object. Where the rules of its kind say what its schema says, they say it in Kubernetes' words.
    fn faults(&self, call: &Call<'_>, object: &Value, before: Option<&Value>) -> Vec<FieldError> {
        let told = strategy::validate(call.rows.features().version, &call.resource, object, before);
        let mut errors = shape::validate(self, &call.resource, object, before);
        let is_told =
            |error: &FieldError| told.iter().any(|told| told.kind == error.kind && told.field == error.field);
        errors.retain(|error| !is_told(error));
        errors.extend(told);
        errors
    }

    /// The object that is written is the one that is stored: name, uid and version.
    fn check_is_same(
        &self,
        call: &Call<'_>,
        old: &Version,
        before: &Value,
        object: &mut Value,
        subresource: &str,
    ) -> Result<()> {
        let resource = &call.resource;
        let conflict =
            |why: &str| Err(ApiError::conflict(&resource.group, &resource.plural, old.name(), why));
        let namespace = text(object, "/metadata/namespace");
        if !namespace.is_empty() && namespace != old.namespace() {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        let uid = text(object, "/metadata/uid").to_owned();
        let stored_uid = text(before, "/metadata/uid");
        let is_put = call.parsed.method == http::Method::PUT;
        let is_another = !uid.is_empty() && uid != stored_uid;
        // The object of a PUT is a precondition (`DefaultUpdatedObjectInfo`); what a patch comes to is only validated.
        if is_another && is_put {
            return conflict(&format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {stored_uid}"
            ));
        }
        let rv = text(object, "/metadata/resourceVersion").to_owned();
        if rv.is_empty() || rv == "0" {
            if is_put && resource.is_custom {
                let missing =
                    FieldError::invalid("metadata.resourceVersion", 0, "must be specified for an update");
                return Err(ApiError::invalid(&resource.group, &resource.kind, old.name(), &[missing]));
            }
        } else if rv.parse::<u64>().is_err() {
            let why = format!("strconv.ParseUint: parsing {rv:?}: invalid syntax");
            let wrong = FieldError::invalid("metadata.resourceVersion", rv, &why);
            return Err(ApiError::invalid(&resource.group, &resource.kind, old.name(), &[wrong]));
        } else if rv != old.rv.to_string() {
            return conflict(OBJECT_MODIFIED);
        }
        // The status of a custom resource takes nothing else over.
        if is_another && !(resource.is_custom && subresource == "status") {
            let changed = FieldError::invalid("metadata.uid", uid, "field is immutable");
            return Err(ApiError::invalid(&resource.group, &resource.kind, old.name(), &[changed]));
        }
        let fields = metadata(object);
        fields.insert("resourceVersion".to_owned(), old.rv.to_string().into());
        if !old.namespace().is_empty() {
            fields.insert("namespace".to_owned(), old.namespace().into());
        }
        Ok(())
    }
}

/// The answer to an update of what is not there (`Store.Update`): it was compared with nothing once.
fn missed(call: &Call<'_>, object: &Value) -> ApiError {
    let (resource, target) = (&call.resource, &call.target);
    let uid = text(object, "/metadata/uid");
    if uid.is_empty() || !call.rows.compares_uids_with_nothing() {
        return call.not_found();
    }
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: /registry/{}/{}, ResourceVersion: 0, AdditionalErrorMsg: \
         Precondition failed: UID in precondition: {uid}, UID in object meta: ",
        resource.plural,
        call.key(),
    );
    ApiError::conflict(&resource.group, &resource.plural, &target.name, &why)
}

/// What cannot be created because its namespace is on its way out: clients look for the cause (`HasStatusCause`).
pub(crate) fn namespace_terminates(resource: &Resource, name: &str, namespace: &str) -> ApiError {
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let mut error = ApiError::forbidden(&resource.group, &resource.plural, name, &why);
    error.details.causes.push(crate::error::Cause {
        reason: "NamespaceTerminating".to_owned(),
        message: format!("namespace {namespace} is being terminated"),
        field: "metadata.namespace".to_owned(),
    });
    error
}

/// What a client cannot write: system fields, and the part of the object that belongs to another subresource.
fn keep_system_fields(resource: &Resource, before: &Value, object: &mut Value, subresource: &str) {
    let take = |object: &mut Value, field: &str| match before.get(field) {
        Some(value) => object[field] = value.clone(),
        None => {
            if let Some(fields) = object.as_object_mut() {
                fields.shift_remove(field);
            }
        }
    };
    if subresource == "status" {
        // Whether an account was sent is the business of those who keep it.
        let managed = metadata(object).shift_remove("managedFields");
        let status = object.get_mut("status").map(Value::take);
        *object = without_status(before);
        if let (Some(managed), Some(fields)) = (managed, object["metadata"].as_object_mut()) {
            fields.insert("managedFields".to_owned(), managed);
        }
        if let Some(status) = status {
            object["status"] = status;
        }
    } else if resource.has_status {
        take(object, "status");
    }
    let old = before.get("metadata").and_then(Value::as_object);
    let fields = metadata(object);
    for field in [
        "uid",
        "creationTimestamp",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
    ] {
        match old.and_then(|old| old.get(field)) {
            Some(value) => {
                fields.insert(field.to_owned(), value.clone());
            }
            None => {
                fields.shift_remove(field);
            }
        }
    }
    fields.shift_remove("selfLink");
}

/// An object without its status and its account of managed fields.
fn without_status(object: &Value) -> Value {
    let copied = |fields: &Map<String, Value>, left_out: &str| -> Map<String, Value> {
        let others = fields.iter().filter(|(field, _)| *field != left_out);
        others.map(|(field, value)| (field.clone(), value.clone())).collect()
    };
    let fields = object.as_object().into_iter().flatten().filter(|(field, _)| *field != "status");
    let one = |(field, value): (&String, &Value)| {
        let value = match value {
            Value::Object(metadata) if field == "metadata" => copied(metadata, "managedFields").into(),
            value => value.clone(),
        };
        (field.clone(), value)
    };
    Value::Object(fields.map(one).collect())
}

/// Whether what is wanted differs: all but metadata and status in custom resources, else the spec.
fn wants_new_generation(resource: &Resource, before: &Value, object: &Value) -> bool {
    if !resource.is_custom {
        return before.get("spec") != object.get("spec");
    }
    let is_wanted = |field: &str| {
        let is_of_all = matches!(field, "metadata" | "apiVersion" | "kind");
        !(is_of_all || resource.has_status && field == "status")
    };
    let has_other = |one: &Value, other: &Value| {
        let mut fields = one.as_object().into_iter().flatten();
        fields.any(|(field, value)| is_wanted(field) && other.get(field) != Some(value))
    };
    has_other(before, object) || has_other(object, before)
}

/// Refuses an object that breaks rules.
pub(crate) fn check(resource: &Resource, name: &str, errors: &[FieldError]) -> Result<()> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(&resource.group, &resource.kind, name, errors))
}

/// The body is of the kind that the path is about.
pub(crate) fn check_kind(resource: &Resource, object: &Value) -> Result<()> {
    if !object.is_object() {
        return Err(ApiError::bad_request(
            "couldn't get version/kind; json parse error: json: cannot unmarshal into Go value of type struct",
        ));
    }
    let (kind, api_version) = (text(object, "/kind"), text(object, "/apiVersion"));
    let wanted = resource.api_version();
    // Clients may leave both out for built-in kinds, which are then taken for what the path says.
    let fits = |given: &str, wanted: &str| given == wanted || (given.is_empty() && !resource.is_custom);
    if kind.is_empty() && resource.is_custom {
        return Err(ApiError::bad_request("Object 'Kind' is missing in the body of the request"));
    }
    if fits(kind, &resource.kind) && fits(api_version, &wanted) {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "{} in version {:?} cannot be handled as a {}: the API version in the data ({api_version}) does not match the expected API version ({wanted})",
        if kind.is_empty() { &*resource.kind } else { kind },
        resource.version,
        resource.kind,
    )))
}

/// The answer to a write.
pub(crate) fn reply(call: &Call<'_>, code: u16, written: Written) -> Reply {
    let body = match written {
        Written::Version(version) if call.view == crate::request::View::Table => {
            let versions = [version];
            let filter = present::Filter::everything(call.rows.features().version);
            let mut table = crate::table::of(&call.resource, &versions, &filter, call.now);
            table["metadata"] = json!({"resourceVersion": versions[0].rv.to_string()});
            crate::store::to_bytes(&table)
        }
        Written::Version(version) => present::object(&call.resource, &version, call.view),
        Written::Rehearsed(value) => present::value(&call.resource, value, call.view),
    };
    Reply { code, body }
}
