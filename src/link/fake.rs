//! A plugin in memory, for tests that need a [`Session`] but no socket.

use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::{CallError, CloseReason, RpcError, Session, envelope, outbound::Outgoing};

/// The plugin's end of [`Session::channel`]. Dropping it ends the connection.
pub(crate) struct FakePeer {
    session: Session,
    queue: mpsc::Receiver<Outgoing>,
}

/// A call that the fake plugin got.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FakeCall {
    pub(crate) id: String,
    pub(crate) method: String,
    /// Null when absent.
    pub(crate) params: Value,
}

impl Session {
    /// A session without a socket, and its plugin. Nothing pings by itself and no `SessionEvent` is sent: a test sends
    /// those that it wants.
    pub(crate) fn channel(user_agent: &str) -> (Self, FakePeer) {
        let (session, queue) = Self::new(user_agent.to_owned());
        (session.clone(), FakePeer { session, queue })
    }
}

impl FakePeer {
    /// The next call, pings included; `None` once the host closes the connection.
    pub(crate) async fn next(&mut self) -> Option<FakeCall> {
        let message = tokio::select! {
            biased;
            message = self.queue.recv() => message?,
            _ = self.session.closing() => return None,
        };
        match envelope::read(&message.text) {
            envelope::Inbound::Request(call) => {
                Some(FakeCall { id: call.id.to_text(), method: call.method, params: call.params })
            }
            other => panic!("the host sent {other:?}"),
        }
    }

    /// Answers a call with this object, or with an error.
    pub(crate) fn answer(&self, id: &str, outcome: Result<Value, RpcError>) {
        let outcome = match outcome {
            Ok(Value::Object(result)) => Ok(result),
            Ok(other) => Err(CallError::Undecodable(other.to_string())),
            Err(error) => Err(CallError::Refused(error)),
        };
        self.session.resolve(envelope::Response { id: id.to_owned(), outcome });
        self.session.hear();
    }

    /// Answers every call until the host closes the connection; why it did.
    pub(crate) async fn answer_all(
        mut self,
        mut answer: impl FnMut(&FakeCall) -> Result<Value, RpcError>,
    ) -> CloseReason {
        while let Some(call) = self.next().await {
            self.answer(&call.id, answer(&call));
        }
        self.session.closing().await
    }

    /// Waits until the host closes the connection; why it does.
    pub(crate) async fn closed(&self) -> CloseReason {
        self.session.closing().await
    }

    /// An answer that says that all is well.
    pub(crate) fn ok(call: &FakeCall) -> Value {
        Value::Object(Map::from_iter([
            ("method".to_owned(), Value::from(call.method.clone())),
            ("ok".to_owned(), Value::from(true)),
        ]))
    }
}

impl Drop for FakePeer {
    fn drop(&mut self) {
        self.session.end();
    }
}
