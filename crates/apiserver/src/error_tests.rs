use super::*;

#[test]
fn messages_are_those_of_apimachinery() {
    let text = |error: ApiError| error.message;
    assert_eq!(text(ApiError::not_found("", "pods", "a")), r#"pods "a" not found"#);
    assert_eq!(text(ApiError::already_exists("batch", "jobs", "a")), r#"jobs.batch "a" already exists"#);
    assert_eq!(
        text(ApiError::conflict("batch", "jobs", "a", OBJECT_MODIFIED)),
        "Operation cannot be fulfilled on jobs.batch \"a\": the object has been modified; \
         please apply your changes to the latest version and try again"
    );
}

#[test]
fn an_invalid_object_lists_each_field() {
    let errors = [
        FieldError::invalid("spec.size", 0, "must be positive"),
        FieldError::required("spec.containers", ""),
    ];
    let error = ApiError::invalid("flux-framework.org", "MiniCluster", "a", &errors);
    assert_eq!(
        error.message,
        "MiniCluster.flux-framework.org \"a\" is invalid: \
         [spec.size: Invalid value: 0: must be positive, spec.containers: Required value]"
    );
    let status = error.to_status();
    assert_eq!(status["details"]["causes"][0]["reason"], "FieldValueInvalid");
    assert_eq!(status["details"]["causes"][1]["message"], "Required value");
    assert_eq!(status["code"], 422);
}
