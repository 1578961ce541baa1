//! `plugd.v1.LogService`: what supervised plugins print.

use std::{collections::HashMap, io};

use futures_util::StreamExt;
use tonic::{Request, Response, Status};

use super::{
    Answer, BoxStream, Services,
    convert::{self, Named},
};
use crate::{
    api::{
        self,
        v1::{self, LogStream, StreamLogsRequest, StreamLogsResponse, log_service_server},
    },
    domain::{Error, Mode, PluginId, Reason, Result, RunId},
    logs::{Filter, From, LogBatch, LogCursor, LogLine, MAX_PLUGINS, NotACursor, Query, Stream},
    supervisor::{Handle, ListQuery},
};

#[tonic::async_trait]
impl log_service_server::LogService for Services {
    type StreamLogsStream = BoxStream<StreamLogsResponse>;

    async fn stream_logs(&self, request: Request<StreamLogsRequest>) -> Answer<Self::StreamLogsStream> {
        let caller = self.admit(&request)?;
        let asked = request.into_inner();
        let query = query(&asked)?;
        let starts = self.starts(&asked)?;
        let batches = match *starts.as_slice() {
            [start] if !asked.plugin_ids.is_empty() => self.of_one(start, query),
            _ => self.of_several(starts, asked.plugin_ids.is_empty(), query),
        };
        Ok(Response::new(self.until_ended(batches, caller)))
    }
}

impl Services {
    fn of_one(&self, (id, from): (PluginId, From), query: Query) -> BoxStream<StreamLogsResponse> {
        let handle = self.parts.handle.clone();
        let batches = self.parts.logs.stream(id, from, query);
        Box::pin(batches.map(move |batch| match batch {
            Ok(batch) => Ok(message(&handle, id, batch)),
            Err(error) => Err(unreadable(id, &error)),
        }))
    }

    fn of_several(&self, starts: Vec<(PluginId, From)>, is_all: bool, query: Query) -> BoxStream<StreamLogsResponse> {
        let (handle, among) = (self.parts.handle.clone(), self.parts.handle.clone());
        let now = is_all.then_some(move || supervised(&among));
        let batches = self.parts.logs.stream_several(starts, now, query);
        Box::pin(batches.map(move |(id, batch)| match batch {
            Ok(batch) => Ok(message(&handle, id, batch)),
            Err(error) if is_about_a_cursor(&error) => Err(unreadable(id, &error)),
            Err(error) => Ok(failure(&handle, id, &error)),
        }))
    }

    /// Which plugins are asked for, and where the lines of each begin.
    fn starts(&self, asked: &StreamLogsRequest) -> Result<Vec<(PluginId, From)>> {
        let ids = match asked.plugin_ids.as_slice() {
            [] => supervised(&self.parts.handle),
            named => named.iter().map(|id| self.with_log(id)).collect::<Result<_>>()?,
        };
        if ids.len() > MAX_PLUGINS {
            let message = format!("one stream takes {MAX_PLUGINS} plugins at the most, not {}: name fewer", ids.len());
            return Err(Error::field("plugin_ids", message));
        }
        let cursors = cursors(asked)?;
        let begin = match asked.tail_lines {
            _ if !cursors.is_empty() => From::Start,
            Some(lines) => From::Tail(lines),
            None => From::Start,
        };
        let start = |id| (id, cursors.get(&id).copied().map_or(begin, From::After));
        Ok(ids.into_iter().map(start).collect())
    }

    /// The plugin with this id, if plugd has logs of it.
    fn with_log(&self, id: &str) -> Result<PluginId> {
        let id = convert::plugin_id(id)?;
        if self.parts.handle.get(id)?.desired.mode == Mode::External {
            let message = "an external plugin prints where it is run; plugd has no logs of it";
            return Err(Error::new(Reason::ExternalPlugin, message).with("plugin_id", id));
        }
        Ok(id)
    }
}

/// The plugins that plugd has logs of.
fn supervised(handle: &Handle) -> Vec<PluginId> {
    let query = ListQuery { mode: Some(Mode::Supervised), ..ListQuery::default() };
    handle.list(&query, |_| true).iter().map(|plugin| plugin.id).collect()
}

/// Where an earlier stream was, a plugin.
fn cursors(asked: &StreamLogsRequest) -> Result<HashMap<PluginId, LogCursor>> {
    let parse = |text: &String| text.parse().map(|cursor: LogCursor| (cursor.plugin, cursor)).map_err(|_| no_cursor());
    let cursors: HashMap<_, _> = asked.cursors.iter().map(parse).collect::<Result<_>>()?;
    if cursors.len() < asked.cursors.len() {
        return Err(Error::field("cursors", "must have one cursor a plugin"));
    }
    if !cursors.is_empty() && asked.tail_lines.is_some() {
        return Err(Error::field("tail_lines", "can't be given together with cursors"));
    }
    let is_asked = |id: &PluginId| asked.plugin_ids.iter().any(|asked| *asked == id.to_string());
    if !asked.plugin_ids.is_empty() && !cursors.keys().all(is_asked) {
        return Err(Error::field("cursors", "must be of the plugins in plugin_ids"));
    }
    Ok(cursors)
}

fn query(asked: &StreamLogsRequest) -> Result<Query> {
    let stream = Stream::asked("stream", asked.stream)?;
    let no_run = |_| Error::field("run_id", "must be the id of a run");
    let run = asked.run_id.as_ref().map(|id| id.parse::<RunId>().map_err(no_run)).transpose()?;
    let no_time = || Error::field("since_time", "must be a time");
    let since = asked.since_time.map(|time| api::time(time).ok_or_else(no_time)).transpose()?;
    Ok(Query { filter: Filter { since, stream, run }, is_following: asked.follow })
}

fn no_cursor() -> Error {
    Error::field("cursors", "must be cursors of this service, unchanged")
}

/// Whether a stream can't begin because its cursor is none that plugd gave.
fn is_about_a_cursor(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<NotACursor>())
}

fn unreadable(id: PluginId, error: &io::Error) -> Status {
    if is_about_a_cursor(error) {
        return no_cursor().into();
    }
    tracing::warn!(plugin = %id, %error, "the log can't be read");
    Error::new(Reason::Internal, "the plugin's log can't be read").with("plugin_id", id).into()
}

/// The last message about a plugin whose log can't be read on, while the others go on.
fn failure(handle: &Handle, id: PluginId, error: &io::Error) -> StreamLogsResponse {
    tracing::warn!(plugin = %id, %error, "the log can't be read");
    let failure = match error.kind() {
        io::ErrorKind::QuotaExceeded => error.to_string(),
        _ => "the plugin's log can't be read".to_owned(),
    };
    StreamLogsResponse { failure: Some(failure), ..about(handle, id) }
}

fn about(handle: &Handle, id: PluginId) -> StreamLogsResponse {
    let plugin_name = handle.get(id).map(|plugin| plugin.desired.manifest.name.clone()).unwrap_or_default();
    StreamLogsResponse { plugin_id: id.to_string(), plugin_name, ..StreamLogsResponse::default() }
}

fn message(handle: &Handle, id: PluginId, batch: LogBatch) -> StreamLogsResponse {
    StreamLogsResponse {
        lines: batch.lines.into_iter().map(line).collect(),
        lines_lost: batch.lines_lost,
        caught_up: batch.caught_up,
        cursor: Some(batch.cursor.to_string()),
        ..about(handle, id)
    }
}

fn line(line: LogLine) -> v1::LogLine {
    let stream = line.stream.map_or(LogStream::Unspecified, LogStream::from);
    v1::LogLine {
        cursor: line.cursor.to_string(),
        text: line.text,
        continues: line.continues,
        time: line.time.map(convert::timestamp),
        stream: stream.into(),
        run_id: line.run.map(|run| run.to_string()),
    }
}
