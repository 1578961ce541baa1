//! The token of a run is not in its log.

use super::*;
use crate::logs::capture::Mask;

const TOKEN: &str = "c2VjcmV0LXRva2VuLW9mLWEtcnVu";

impl Fixture {
    fn with_token(&self) -> Source {
        Source { secret: TOKEN.to_owned().into(), ..self.source() }
    }
}

#[tokio::test]
async fn the_token_of_the_run_is_masked_on_both_streams() {
    let fixture = Fixture::new(Options::default());
    assert!(!format!("{:?}", fixture.with_token()).contains(TOKEN), "nor in plugd's");
    let [mut stdout, mut stderr] = fixture.capture_both(fixture.with_token());
    print(&mut stdout, &format!("dialling ws://host/rpc?token={TOKEN}&x=1 {TOKEN}{TOKEN}\n")).await;
    let mut stream = fixture.stream(From::Start, true);
    assert_eq!(texts(&take(&mut stream, 1).await), ["dialling ws://host/rpc?token=[token]&x=1 [token][token]"]);
    print(&mut stderr, &format!("no line break: {TOKEN}")).await;
    drop((stdout, stderr));
    assert_eq!(texts(&take(&mut stream, 1).await), ["no line break: [token]"]);
    for name in fixture.files() {
        assert!(!fs::read_to_string(fixture.folder().join(name)).unwrap().contains(TOKEN));
    }
}

#[tokio::test]
async fn a_token_that_comes_in_parts_or_where_a_long_line_is_cut_is_masked() {
    let fixture = Fixture::new(Options { max_line: 1000, ..Options::default() });
    let text = |at: usize| format!("{}{TOKEN}{}\n", "x".repeat(at), "y".repeat(2000));
    let expected = |at: usize| format!("{}[token]{}", "x".repeat(at), "y".repeat(2000));
    for at in [0, 980, 999, 1000, 1990] {
        let mut pipe = fixture.capture_both(fixture.with_token());
        let mut stream = fixture.stream(From::Tail(0), true);
        next(&mut stream).await;
        for part in text(at).as_bytes().chunks(7) {
            pipe[0].write_all(part).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut line = String::new();
        while line.len() < expected(at).len() {
            line += &texts(&take(&mut stream, 1).await).concat();
        }
        assert_eq!(line, expected(at));
    }
}

#[test]
fn only_what_may_become_a_token_is_held_back() {
    let mask = Mask(b"token".to_vec());
    assert_eq!(
        ["", "x", "xt", "xtok", "toke", "tokex", "tt"].map(|text| mask.settled(text.as_bytes())),
        [0, 1, 1, 1, 0, 5, 1]
    );
    assert_eq!(Mask(Vec::new()).settled(b"token"), 5);
}
