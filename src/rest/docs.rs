//! The OpenAPI document as a page for people: no script, nothing from elsewhere.

use std::fmt::Write;

use serde_json::Value;

use super::request::PLUGIN_ID;

const STYLE: &str = include_str!("docs.css");

/// What the command lines of the page refer to, after where the server is.
const VARIABLES: &str = "   # this server
TOKEN=$(cat data/admin.token)   # in plugd's data folder
ID=...   # from the list of plugins";

/// The page. It is made once, so that it says what the document says; only where the server is depends on who asks.
pub(super) struct Page {
    before: String,
    after: String,
}

impl Page {
    /// The page about this document.
    pub(super) fn of(document: &Value) -> Self {
        let (mut before, mut after) = (String::new(), String::new());
        push_head(&mut before, document);
        push_introduction(&mut before, document);
        before.push_str("<pre>PLUGD=");
        let _ = write!(after, "{}</pre>", escape_text(VARIABLES));
        for tag in document["tags"].as_array().into_iter().flatten() {
            push_group(&mut after, document, tag);
        }
        push_schemas(&mut after, &document["components"]["schemas"]);
        Self { before, after: after + "</main></body></html>\n" }
    }

    /// The page for somebody who finds the server there.
    pub(super) fn at(&self, origin: &str) -> String {
        [&self.before, &escape_text(origin), &self.after].map(String::as_str).concat()
    }
}

fn push_head(page: &mut String, document: &Value) {
    let title = escape(&document["info"]["title"]);
    page.push_str("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    let _ = write!(page, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    let _ = write!(page, "<title>{title} API</title><style>{STYLE}</style></head><body><main>");
}

fn push_introduction(page: &mut String, document: &Value) {
    let info = &document["info"];
    let (title, version) = (escape(&info["title"]), escape(&info["version"]));
    let _ = write!(page, "<h1>{title} API <span class=\"soft\">{version}</span></h1>");
    let _ = write!(page, "<p>{}</p><nav aria-label=\"Groups\">", escape(&info["description"]));
    for tag in document["tags"].as_array().into_iter().flatten() {
        let _ = write!(page, "<a href=\"#{}\">{}</a>", anchor(&tag["name"]), escape(&tag["name"]));
    }
    page.push_str("<a href=\"#schemas\">Schemas</a><a href=\"openapi.json\">openapi.json</a></nav>");
    page.push_str("<p>The commands below want a shell that knows where plugd is and who you are:</p>");
}

fn push_group(page: &mut String, document: &Value, tag: &Value) {
    let (id, name) = (anchor(&tag["name"]), escape(&tag["name"]));
    let _ = write!(page, "<h2 id=\"{id}\">{name}</h2><p class=\"soft\">{}</p>", escape(&tag["description"]));
    for (path, methods) in entries(&document["paths"]) {
        for (method, operation) in entries(methods).filter(|(_, operation)| operation["tags"][0] == tag["name"]) {
            push_operation(page, document, (path, method, operation));
        }
    }
}

fn push_operation(page: &mut String, document: &Value, (path, method, operation): (&str, &str, &Value)) {
    let id = escape(&operation["operationId"]);
    let verb = method.to_ascii_uppercase();
    let _ = write!(page, "<details id=\"{id}\"><summary><span class=\"method {method}\">{verb}</span>");
    let _ = write!(page, "<code>{}</code><span>{}</span></summary>", escape_text(path), escape(&operation["summary"]));
    for line in commands(document, path, method, operation) {
        let _ = write!(page, "<pre>{}</pre>", escape_text(&line));
    }
    if operation["security"] == serde_json::json!([]) {
        page.push_str("<p class=\"soft\">No credential is needed.</p>");
    }
    push_parameters(page, &operation["parameters"]);
    if !operation["requestBody"].is_null() {
        let _ = write!(page, "<h3>Body</h3><p>{}</p>", links(&operation["requestBody"]["content"]));
    }
    push_responses(page, &operation["responses"]);
    page.push_str("</details>");
}

fn push_parameters(page: &mut String, parameters: &Value) {
    let Some(parameters) = parameters.as_array() else { return };
    page.push_str("<h3>Parameters</h3><div class=\"wide\"><table><tr><th>Name</th><th>In</th><th>Meaning</th></tr>");
    for parameter in parameters {
        let (name, place) = (escape(&parameter["name"]), escape(&parameter["in"]));
        let meaning = escape(&parameter["description"]);
        let _ = write!(page, "<tr><td><code>{name}</code></td><td>{place}</td><td>{meaning}</td></tr>");
    }
    page.push_str("</table></div>");
}

fn push_responses(page: &mut String, responses: &Value) {
    page.push_str("<h3>Answers</h3><div class=\"wide\"><table><tr><th>Status</th><th>Meaning</th><th>Body</th></tr>");
    for (status, response) in entries(responses) {
        let meaning = escape(&response["description"]);
        let _ = write!(page, "<tr><td>{status}</td><td>{meaning}</td><td>{}</td></tr>", links(&response["content"]));
    }
    page.push_str("</table></div>");
}

fn push_schemas(page: &mut String, schemas: &Value) {
    page.push_str("<h2 id=\"schemas\">Schemas</h2>");
    for (name, schema) in entries(schemas) {
        let id = escape_text(name);
        let schema = escape_text(&format!("{schema:#}"));
        // The id is inside, because browsers open what is around the place that a link leads to.
        let _ = write!(
            page,
            "<details><summary><code>{id}</code></summary><pre id=\"schema-{id}\">{schema}</pre></details>"
        );
    }
}

/// One command for each body that the operation takes, or one without a body.
fn commands(document: &Value, path: &str, method: &str, operation: &Value) -> Vec<String> {
    let bodies: Vec<Vec<String>> = entries(&operation["requestBody"]["content"])
        .map(|(media, body)| vec![header("Content-Type", media), data(document, media, body)])
        .collect();
    let bodies = if bodies.is_empty() { vec![Vec::new()] } else { bodies };
    bodies.into_iter().map(|body| command(path, method, operation, body)).collect()
}

fn command(path: &str, method: &str, operation: &Value, body: Vec<String>) -> String {
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
    path.replace(&format!("{{{}}}", PLUGIN_ID), "$ID")
}

fn header(name: &str, value: &str) -> String {
    format!("-H '{name}: {value}'")
}

/// A file for an archive, and the schema's example for JSON.
fn data(document: &Value, media: &str, body: &Value) -> String {
    if media == "application/zip" {
        return "--data-binary @plugin.zip".to_owned();
    }
    let schemas = &document["components"]["schemas"];
    let schema = &schemas[schema_name(body)];
    let variants = schema["oneOf"].as_array().into_iter().flatten().map(|variant| &schemas[schema_name(variant)]);
    let mut examples = std::iter::once(schema).chain(variants).map(|schema| &schema["examples"][0]);
    let example = examples.find(|example| !example.is_null()).unwrap_or(&Value::Null);
    format!("-d '{example}'")
}

fn entries(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

/// The media types of a body, each with a link to its schema.
fn links(content: &Value) -> String {
    let links = entries(content).map(|(media, body)| {
        let name = escape_text(schema_name(body));
        format!("<code>{}</code> <a href=\"#schema-{name}\">{name}</a>", escape_text(media))
    });
    links.collect::<Vec<_>>().join(", ")
}

/// Name of the schema that a body, or a variant of another one, refers to.
fn schema_name(body: &Value) -> &str {
    body["schema"]["$ref"]
        .as_str()
        .or(body["$ref"].as_str())
        .and_then(|reference| reference.rsplit('/').next())
        .unwrap_or_default()
}

fn anchor(name: &Value) -> String {
    escape(name).to_lowercase().replace(' ', "-")
}

fn escape(text: &Value) -> String {
    escape_text(text.as_str().unwrap_or_default())
}

fn escape_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
