//! A plugin in memory, for tests that need a [`Session`] but no socket.

use std::{collections::HashMap, sync::Mutex};

use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::{CallError, CloseReason, Queued, RpcError, Session, envelope};

/// The plugin's end of [`Session::channel`]. Dropping it ends the connection.
pub(crate) struct FakePeer {
    session: Session,
    queue: mpsc::Receiver<Queued<String>>,
    /// The methods of the calls that it got, by their ids.
    methods: Mutex<HashMap<String, String>>,
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
    /// A session without a socket, and its plugin. Nothing pings by itself and no event is sent: a test sends
    /// those that it wants.
    pub(crate) fn channel(user_agent: &str) -> (Self, FakePeer) {
        let (session, queue) = Self::new(user_agent.to_owned(), super::Metrics::default());
        (session.clone(), FakePeer { session, queue, methods: Mutex::default() })
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
        match envelope::read(&message.item) {
            envelope::Inbound::Request(call) => {
                self.methods.lock().unwrap().insert(call.id.to_text(), call.method.clone());
                Some(FakeCall { id: call.id.to_text(), method: call.method, params: call.params })
            }
            other => panic!("the host sent {other:?}"),
        }
    }

    /// Answers a call with this object, or with an error. The object is given the method that it answers if it has none.
    pub(crate) fn answer(&self, id: &str, outcome: Result<Value, RpcError>) {
        let outcome = match outcome {
            Ok(Value::Object(mut result)) => {
                if let Some(method) = self.methods.lock().unwrap().get(id) {
                    result.entry("method").or_insert_with(|| method.clone().into());
                }
                Ok(result)
            }
            Ok(other) => Err(CallError::Undecodable(other.to_string())),
            Err(error) => Err(CallError::Refused(error)),
        };
        let _ = self.session.resolve(envelope::Response { id: id.to_owned(), outcome });
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
