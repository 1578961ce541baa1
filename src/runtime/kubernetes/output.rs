//! What a pod prints: followed through the API server, and gone on with after a break at the line that was taken last.

use std::{io, time::Duration};

use futures_util::{AsyncBufRead, AsyncBufReadExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::LogParams};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    Printed,
    pod::CONTAINER,
    pods::Sight,
    requests,
    status::{self, Seen},
};

/// How long a log may say nothing before it is followed anew: a connection that was cut off would be silent for ever.
const SILENCE: Duration = Duration::from_secs(60);

/// A line of more bytes is handed on in pieces.
const MAX_LINE: usize = 64 * 1024;

/// Takes all that the pod prints until it has ended, and then the rest.
pub(super) async fn take(api: Api<Pod>, name: String, mut sight: watch::Receiver<Sight>, printed: Box<dyn Printed>) {
    let mut place = Place(last(&*printed).await);
    if place.0.is_none() {
        printed.begin().await;
    }
    loop {
        // Looked at before: nothing is printed after it.
        let has_ended = is_over(&sight.borrow());
        match follow(&api, &name, &mut place, (&*printed, has_ended)).await {
            Ok(()) if has_ended => break,
            Ok(()) => {}
            Err(kube::Error::Api(refusal)) if refusal.code == 404 => break,
            Err(error) => tracing::debug!(pod = name, %error, "the output of a pod breaks off"),
        }
        tokio::select! {
            () = sleep(requests::AGAIN) => {}
            // A log ends a moment before it is told that its container did.
            Ok(_) = sight.wait_for(is_over), if !has_ended => {}
        }
    }
    printed.finish().await;
}

/// Whether nothing more is printed.
fn is_over(sight: &Sight) -> bool {
    match sight {
        Sight::Here(pod) => matches!(status::read(pod, true), Seen::Over(_)),
        Sight::Gone(_) => true,
        Sight::Nothing => false,
    }
}

/// Where to go on. What can't be read is read again: to begin anew would have every line twice.
async fn last(printed: &dyn Printed) -> Option<(Timestamp, usize)> {
    loop {
        match printed.last().await {
            Ok(last) => return last,
            Err(error) => tracing::warn!(%error, "where the output of a pod goes on can't be read yet"),
        }
        sleep(requests::AGAIN).await;
    }
}

async fn follow(api: &Api<Pod>, name: &str, place: &mut Place, to: (&dyn Printed, bool)) -> kube::Result<()> {
    let params = LogParams {
        container: Some(CONTAINER.to_owned()),
        follow: true,
        timestamps: true,
        since_time: place.0.and_then(|(time, _)| whole_seconds(time)),
        ..LogParams::default()
    };
    let late = |_| kube::Error::ReadEvents(io::ErrorKind::TimedOut.into());
    let stream = timeout(requests::LIMIT, api.log_stream(name, &params)).await.map_err(late)??;
    read(stream, place, to).await.map_err(kube::Error::ReadEvents)
}

/// The time that is asked for, which is sent in whole seconds and would be rounded to a later one.
fn whole_seconds(time: Timestamp) -> Option<Timestamp> {
    Timestamp::from_second(time.as_second()).ok()
}

/// Hands on what comes. Of what has ended, the last line counts without a line break, too.
async fn read(
    stream: impl AsyncBufRead,
    place: &mut Place,
    (printed, has_ended): (&dyn Printed, bool),
) -> io::Result<()> {
    let mut stream = std::pin::pin!(stream);
    let (mut lines, mut rest) = (Lines::from(*place), Vec::new());
    loop {
        let bytes = timeout(SILENCE, stream.fill_buf()).await.map_err(io::Error::other)??;
        let length = bytes.len();
        let is_over = bytes.is_empty();
        rest.extend_from_slice(bytes);
        stream.as_mut().consume(length);
        if is_over && has_ended && !rest.is_empty() {
            rest.push(b'\n');
        }
        let taken = lines.cut(&mut rest);
        if !taken.is_empty() {
            printed.write(taken).await;
        }
        *place = lines.place;
        if is_over {
            return Ok(());
        }
    }
}

/// When the last line that was taken was printed, and how many were taken that were printed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place(Option<(Timestamp, usize)>);

impl Place {
    /// The place after a line of this time.
    fn after(self, time: Timestamp) -> Self {
        Self(match self.0 {
            Some((last, count)) if time == last => Some((last, count + 1)),
            Some(last) if time < last.0 => Some(last),
            _ => Some((time, 1)),
        })
    }
}

/// Cuts lines, and leaves out those that were taken before.
struct Lines {
    place: Place,
    /// Where the lines begin that were not taken before: at this time, after so many lines of that time. None once they have begun:
    /// two streams that are written at once have their times not quite in order.
    resumes: Option<(Timestamp, usize)>,
    /// The line whose first piece was handed on: its time, unless it is left out.
    begun: Option<Option<Timestamp>>,
}

impl From<Place> for Lines {
    fn from(place: Place) -> Self {
        Self { place, resumes: place.0, begun: None }
    }
}

impl Lines {
    /// Takes the whole lines of these bytes, and pieces of a long one; the rest stays.
    fn cut(&mut self, bytes: &mut Vec<u8>) -> Vec<(Timestamp, Vec<u8>)> {
        let mut taken = Vec::new();
        let mut done = 0;
        loop {
            let left = &bytes[done..];
            let end = left.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let Some(length) = end.or_else(|| (left.len() > MAX_LINE).then_some(MAX_LINE)) else { break };
            taken.extend(self.take(&left[..length], end.is_some()));
            done += length;
        }
        bytes.drain(..done);
        taken
    }

    /// A line with its time before it, or a piece of one, of which the first has the time.
    fn take(&mut self, piece: &[u8], is_end: bool) -> Option<(Timestamp, Vec<u8>)> {
        let (time, text) = match self.begun.take() {
            Some(time) => (time, piece),
            None => {
                let (time, text) = split_time(piece)?;
                (self.is_new(time).then_some(time), text)
            }
        };
        if !is_end {
            self.begun = Some(time);
        }
        let time = time?;
        if is_end {
            self.place = self.place.after(time);
        }
        Some((time, text.to_vec()))
    }

    fn is_new(&mut self, time: Timestamp) -> bool {
        let Some((last, again)) = &mut self.resumes else { return true };
        if time < *last {
            return false;
        }
        if time == *last && *again > 0 {
            *again -= 1;
            return false;
        }
        self.resumes = None;
        true
    }
}

/// The cluster writes the time of a line before it.
fn split_time(line: &[u8]) -> Option<(Timestamp, &[u8])> {
    let at = line.iter().position(|byte| *byte == b' ')?;
    let time = str::from_utf8(&line[..at]).ok()?.parse().ok()?;
    Some((time, &line[at + 1..]))
}

#[cfg(test)]
mod tests {
    use std::{future::ready, sync::Mutex};

    use futures_util::{TryStreamExt, future::BoxFuture, stream};

    use super::*;

    const HEAD: &str = "2026-01-02T03:04:05.00000000";

    fn texts(lines: &mut Lines, text: &str) -> Vec<String> {
        let taken = lines.cut(&mut text.as_bytes().to_vec());
        taken.into_iter().map(|(_, text)| String::from_utf8(text).unwrap()).collect()
    }

    #[test]
    fn after_a_break_a_line_that_was_taken_is_left_out_and_one_that_was_not_is_taken() {
        let mut lines = Lines::from(Place(None));
        let first = format!("{HEAD}1Z a\n{HEAD}2Z b\n{HEAD}2Z c\n");
        assert_eq!(texts(&mut lines, &first), ["a\n", "b\n", "c\n"]);
        let mut again = Lines::from(lines.place);
        assert_eq!(texts(&mut again, &format!("{first}{HEAD}2Z d\n{HEAD}3Z e\n")), ["d\n", "e\n"]);
        assert_eq!(again.place, Place(Some((format!("{HEAD}3Z").parse().unwrap(), 1))));
    }

    /// Keeps what it takes.
    #[derive(Default)]
    struct Taken(Mutex<Vec<u8>>);

    impl Printed for Taken {
        fn last(&self) -> BoxFuture<'_, io::Result<Option<(Timestamp, usize)>>> {
            Box::pin(ready(Ok(None)))
        }

        fn begin(&self) -> BoxFuture<'_, ()> {
            Box::pin(ready(()))
        }

        fn write(&self, lines: Vec<(Timestamp, Vec<u8>)>) -> BoxFuture<'_, ()> {
            self.0.lock().unwrap().extend(lines.into_iter().flat_map(|(_, line)| line));
            Box::pin(ready(()))
        }

        fn finish(&self) -> BoxFuture<'_, ()> {
            Box::pin(ready(()))
        }
    }

    #[tokio::test]
    async fn a_last_line_without_a_line_break_counts_once_the_container_has_ended() {
        let text = b"2026-11-30T12:00:00Z one\n2026-11-30T12:00:01Z two";
        for (has_ended, expected) in [(false, "one\n"), (true, "one\ntwo\n")] {
            let taken = Taken::default();
            read(&text[..], &mut Place(None), (&taken, has_ended)).await.unwrap();
            assert_eq!(String::from_utf8(taken.0.into_inner().unwrap()).unwrap(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_was_cut_off_in_silence_is_given_up() {
        let silent = stream::pending::<io::Result<Vec<u8>>>().into_async_read();
        let (mut place, taken) = (Place(None), Taken::default());
        let given_up = timeout(2 * SILENCE, read(silent, &mut place, (&taken, false))).await;
        assert!(given_up.expect("it is waited for").is_err());
    }

    #[test]
    fn no_line_is_asked_for_too_late() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(whole_seconds(time("2026-01-02T03:04:05.9Z")), Some(time("2026-01-02T03:04:05Z")));
    }

    #[test]
    fn a_long_line_is_handed_on_in_pieces_and_counts_once_it_is_whole() {
        let long = "x".repeat(MAX_LINE);
        let mut lines = Lines::from(Place(None));
        let mut bytes = format!("{HEAD}1Z {long}").into_bytes();
        assert_eq!(lines.cut(&mut bytes).len(), 1);
        assert_eq!(lines.place, Place(None));
        bytes.extend_from_slice(format!("\n{HEAD}2Z b\n").as_bytes());
        assert_eq!(lines.cut(&mut bytes).len(), 2);
        assert_eq!(lines.place, Place(Some((format!("{HEAD}2Z").parse().unwrap(), 1))));
    }

    #[test]
    fn what_a_line_begins_with_that_is_no_time_is_not_taken_for_one() {
        assert_eq!(texts(&mut Lines::from(Place(None)), "failed to watch\n"), [""; 0]);
    }
}
