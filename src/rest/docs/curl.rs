//! The command lines with which a person tries an operation.

use serde_json::Value;

use super::entries;
use crate::rest::path;

/// One command for each body that the operation takes, or one without a body.
pub(super) fn lines(document: &Value, path: &str, method: &str, operation: &Value) -> Vec<String> {
    let bodies: Vec<Vec<String>> = entries(&operation["requestBody"]["content"])
        .map(|(media, body)| vec![header("Content-Type", media), data(document, media, body)])
        .collect();
    let bodies = if bodies.is_empty() { vec![Vec::new()] } else { bodies };
    bodies.into_iter().map(|body| line(path, method, operation, body)).collect()
}

fn line(path: &str, method: &str, operation: &Value, body: Vec<String>) -> String {
    let mut words = vec![format!("curl{} \"$PLUGD{}\"", flags(method, operation), path_of_variables(path))];
    if operation["security"] != serde_json::json!([]) {
        words.push("-H \"Authorization: Bearer $TOKEN\"".to_owned());
    }
    words.extend(body);
    words.join(" \\\n  ")
}

/// Streams are printed as they come, and archives go into a file.
fn flags(method: &str, operation: &Value) -> String {
    let media: Vec<&String> = entries(&operation["responses"]["200"]["content"]).map(|(media, _)| media).collect();
    let verb = if method == "get" { String::new() } else { format!(" -X {}", method.to_ascii_uppercase()) };
    match media.first().map(|media| media.as_str()) {
        Some("text/event-stream") => format!("{verb} -N"),
        Some("application/zip") => format!("{verb} -OJ"),
        _ => verb,
    }
}

fn path_of_variables(path: &str) -> String {
    path.replace(&format!("{{{}}}", path::PARAMETER), "$ID")
}

fn header(name: &str, value: &str) -> String {
    format!("-H '{name}: {value}'")
}

/// A file for an archive, and the schema's example for JSON.
fn data(document: &Value, media: &str, body: &Value) -> String {
    if media == "application/zip" {
        return "--data-binary @plugin.zip".to_owned();
    }
    let name = super::schema_name(body);
    let example = &document["components"]["schemas"][name]["examples"][0];
    format!("-d '{example}'")
}
