use super::*;

fn of(text: &str) -> Result<Deadline> {
    let mut headers = HeaderMap::new();
    headers.insert(TIMEOUT, text.as_bytes().try_into().unwrap());
    Deadline::of(&headers)
}

#[tokio::test(start_paused = true)]
async fn a_call_s_deadline_is_read_in_every_unit() {
    let left = |text| of(text).unwrap().bound(Duration::MAX);
    assert_eq!(left("2M"), Duration::from_secs(120));
    assert_eq!(left("1500m"), Duration::from_millis(1_500));
    assert_eq!(left("99999999H"), Duration::from_secs(99_999_999 * 3_600));
    assert_eq!(Deadline::of(&HeaderMap::new()), Ok(Deadline(None)));
}

#[test]
fn a_timeout_that_can_not_be_read_is_refused_with_what_is_expected() {
    for text in ["", "S", "5", "5x", "-1S", "+1S", "1.5S", "123456789S", "5S ", "\u{fffd}"] {
        let error = of(text).unwrap_err();
        assert_eq!((error.reason, error.violations[0].field.as_str()), (Reason::InvalidArgument, TIMEOUT), "{text}");
        assert!(error.message.contains("H, M, S, m, u or n"), "{}", error.message);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_the_shorter_of_what_is_asked_and_the_call_s_deadline() {
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let endless = Deadline::default();
    assert_eq!(wait(None, endless), Ok(Wait::UpTo(MAX_WAIT)));
    assert_eq!(wait(seconds(0), endless), Ok(Wait::No), "the commit is enough");
    let deadline = of("2S").unwrap();
    assert_eq!(wait(None, deadline), Ok(Wait::UpTo(Duration::from_secs(2))));
    assert_eq!(wait(seconds(9), deadline), Ok(Wait::UpTo(Duration::from_secs(2))));
    assert_eq!(wait(seconds(1), deadline), Ok(Wait::UpTo(Duration::from_secs(1))));
    for wrong in [-1, 301] {
        assert_eq!(wait(seconds(wrong), endless).unwrap_err().violations[0].field, "wait");
    }
}

/// As after an upload.
#[tokio::test(start_paused = true)]
async fn the_time_that_a_call_has_taken_is_no_more_of_its_deadline() {
    let deadline = of("60S").unwrap();
    tokio::time::advance(Duration::from_secs(50)).await;
    assert_eq!(Deadline::default().bound(MAX_WAIT), MAX_WAIT, "it has none");
    assert_eq!(deadline.bound(MAX_WAIT), Duration::from_secs(10));
    tokio::time::advance(Duration::from_secs(50)).await;
    assert_eq!(deadline.bound(MAX_WAIT), Duration::ZERO);
}
