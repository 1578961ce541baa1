use proptest::prelude::*;

use super::*;

/// Programs switch on reasons, and their authors have only the API's descriptions.
#[test]
fn every_reason_is_named_in_the_description_of_the_api() {
    const DESCRIPTIONS: [&str; 7] = [
        include_str!("../../../proto/plugd/v1/access.proto"),
        include_str!("../../../proto/plugd/v1/bus.proto"),
        include_str!("../../../proto/plugd/v1/configuration.proto"),
        include_str!("../../../proto/plugd/v1/hook.proto"),
        include_str!("../../../proto/plugd/v1/log.proto"),
        include_str!("../../../proto/plugd/v1/package.proto"),
        include_str!("../../../proto/plugd/v1/plugin.proto"),
    ];
    let is_named = |reason: &&Reason| DESCRIPTIONS.iter().any(|text| text.contains(reason.name()));
    let unnamed: Vec<_> = Reason::ALL.iter().filter(|reason| !is_named(reason)).collect();
    assert_eq!(unnamed, Vec::<&Reason>::new());
}

#[test]
fn a_status_carries_the_reason_the_metadata_and_what_to_do() {
    let status = Status::from(Error::plugin_not_found("nope"));
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.message(), "there is no plugin \"nope\"");
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("PLUGIN_NOT_FOUND", api::ERROR_DOMAIN));
    assert_eq!(info.metadata["plugin_id"], "nope");
    assert_eq!(info.metadata[api::SUGGESTED], Reason::PluginNotFound.suggestion());
    assert!(status.get_details_bad_request().is_none());
}

#[test]
fn a_field_at_fault_is_a_violation() {
    let status = Status::from(Error::field("page_size", "must be 1 to 1000"));
    let request = status.get_details_bad_request().unwrap();
    assert_eq!(request.field_violations[0].field, "page_size");
    assert_eq!(request.field_violations[0].description, "must be 1 to 1000");
}

#[test]
fn violations_that_do_not_fit_are_counted() {
    let mut error = Error::field("manifest", "is wrong");
    error.violations = vec![Violation { field: "f".repeat(100), description: "d".repeat(100) }; 50];
    let fields = Status::from(error).get_details_bad_request().unwrap().field_violations;
    assert_eq!(fields.len(), 5);
    assert_eq!(fields[4].description, "46 more fields are at fault");
}

fn size(status: &Status) -> usize {
    status.message().len() + status.details().len()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_status_is_larger_than_allowed(
        message in "[aé€😀]{0,1200}",
        metadata in proptest::collection::btree_map("[a-zé]{0,200}", "[a€]{0,200}", 0..9),
        fields in proptest::collection::vec(("[a.é]{0,300}", "[b€]{0,300}"), 0..9),
    ) {
        let violations = fields.into_iter().map(|(field, description)| Violation { field, description }).collect();
        let longest = Reason::ManifestIdMismatch;
        let status = Status::from(Error { reason: longest, message, violations, metadata, retry_after: Some(std::time::Duration::MAX) });
        prop_assert!(size(&status) < MAX_STATUS_BYTES, "{}", size(&status));
        prop_assert_eq!(&status.get_details_error_info().unwrap().reason, longest.name());
    }
}

#[test]
fn many_small_entries_stay_under_the_limit_too() {
    let mut error = Error::new(Reason::Unauthenticated, "x".repeat(5000));
    error.metadata = (0..1000).map(|number| (format!("{number}"), String::new())).collect();
    error.violations = vec![Violation { field: "f".into(), description: String::new() }; 5000];
    assert!(size(&Status::from(error)) < MAX_STATUS_BYTES);
}

#[test]
fn the_field_that_can_not_be_decoded_is_named() {
    for (words, field, description) in [
        ("CallPluginRequest.plugin_id: invalid string value", "plugin_id", "can't be decoded: invalid string value"),
        (
            "Part.header: UpdatePackageRequest.part: buffer underflow",
            "part.header",
            "can't be decoded: buffer underflow",
        ),
        ("Struct.fields: Value.kind: CallPluginRequest.params: recursion limit reached", "params", "is nested deeper"),
        ("invalid varint", "message", "can't be decoded: invalid varint"),
    ] {
        let error = undecodable(&format!("{UNDECODABLE}{words}"));
        assert_eq!((error.reason, error.violations[0].field.as_str()), (Reason::InvalidArgument, field));
        assert!(error.message.contains(description), "{}", error.message);
    }
}

#[test]
fn what_plugd_said_itself_is_left_as_it_is() {
    assert!(explanation(&Status::from(Error::new(Reason::Internal, "a defect"))).is_none());
    assert!(explanation(&Status::not_found("unknown service")).is_none());
    assert_eq!(explanation(&Status::internal("Missing request message.")).unwrap().reason, Reason::InvalidArgument);
    assert_eq!(explanation(&Status::out_of_range("too large")).unwrap().reason, Reason::TooLarge);
}
