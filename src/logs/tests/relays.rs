//! Output that a cluster has kept.

use super::*;

const HEAD: &str = "2026-01-02T03:04:05.00000000";

fn line(time: &str, text: &str) -> Line {
    (format!("{HEAD}{time}Z").parse().unwrap(), text.as_bytes().to_vec())
}

#[tokio::test]
async fn lines_keep_their_times_and_a_relay_after_it_knows_where_they_end() {
    let mut fixture = Fixture::new(Options::default());
    let source = Source { secret: "hush".to_owned().into(), ..fixture.source() };
    let relay = fixture.logs.relay(source.clone());
    assert_eq!(relay.last().await.unwrap(), None);
    relay.begin().await;
    relay.write(vec![line("1", "one\n"), line("2", "two hush\n"), line("2", "three\n"), line("3", "a piece ")]).await;
    assert_eq!(fixture.texts(From::Start).await, ["one", "two [token]", "three", "a piece "]);

    fixture.restart();

    let relay = fixture.logs.relay(source);
    assert_eq!(relay.last().await.unwrap(), Some((line("2", "").0, 2)), "a piece is no line yet");
    relay.write(vec![line("4", "four\n")]).await;
    relay.finish().await;
    let lines = fixture.lines(From::Start).await;
    assert_eq!(lines.last().unwrap().time, Some(line("4", "").0));
    assert_eq!(fixture.logs.relay(fixture.source()).last().await.unwrap(), None, "of another run");
}

#[tokio::test]
async fn a_token_that_is_cut_between_pieces_of_a_line_is_masked() {
    let fixture = Fixture::new(Options::default());
    let relay = fixture.logs.relay(Source { secret: "hush".to_owned().into(), ..fixture.source() });
    relay.write(vec![line("1", "a hu"), line("1", "s")]).await;
    relay.write(vec![line("1", "h, and hu"), line("1", "nt\n"), line("2", "two\n")]).await;
    assert_eq!(fixture.texts(From::Start).await.concat(), "a [token], and hunttwo");
}
