use super::{super::tests::Console, *};

#[tokio::test]
async fn webhooks_are_listed_with_how_they_fare_and_what_they_say_as_text() {
    let console = Console::new();
    for (who, may_write) in [("admin", true), ("viewer", false)] {
        let page = console.get(who, "/hooks").await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.contains("https://host.test/&lt;script&gt;"), "{}", page.text);
        assert!(page.text.contains("failed 3 times: the receiver answered &lt;b&gt;500&lt;/b&gt;"), "{}", page.text);
        assert!(page.text.contains("7, missed 2"), "{}", page.text);
        assert_eq!(page.text.contains("New webhook"), may_write);
        assert_eq!(page.text.contains("Delete for good"), may_write);
    }
}

#[tokio::test]
async fn a_new_webhooks_secret_is_shown_once_and_what_is_wrong_is_said_beside_its_form() {
    let console = Console::new();
    let made = console.post("admin", "/hooks", "url=https%3A%2F%2Fhost.test%2F&on=error&on=active").await;
    assert!(made.text.contains("value=\"whsec_secret\""), "{}", made.text);
    assert!(console.fake.seen().join("\n").contains("states: [Error, Active]"), "{:?}", console.fake.seen());
    let refused = console.post("admin", "/hooks", "url=https%3A%2F%2Fhost.test%2F").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.text.contains("A state is missing.") && refused.text.contains("value=\"https://host.test/\""));
    assert_eq!(console.post("viewer", "/hooks", "url=x&on=error").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_buttons_of_a_webhook_do_what_they_say() {
    let console = Console::new();
    for (button, call) in
        [("test", "TestHookRequest"), ("enable", "EnableHookRequest"), ("delete", "DeleteHookRequest")]
    {
        let answer = console.post("admin", "/hooks/change", &format!("id=hook&do={button}")).await;
        assert_eq!((answer.status, &answer.headers["location"]), (StatusCode::SEE_OTHER, &"/hooks".parse().unwrap()));
        assert!(console.fake.seen().join("\n").contains(call), "{button}: {:?}", console.fake.seen());
    }
    assert_eq!(console.post("admin", "/hooks/change", "id=hook&do=x").await.status, StatusCode::BAD_REQUEST);
}
