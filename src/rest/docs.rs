//! The OpenAPI document as a page for people: no script, nothing from elsewhere.

use std::fmt::Write;

use serde_json::Value;

const STYLE: &str = "
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
summary{cursor:pointer;padding:.4rem 0}code,pre{font:14px/1.4 ui-monospace,monospace}
pre{background:#f4f4f4;padding:.7rem;overflow:auto}details{border-bottom:1px solid #ddd}
.method{display:inline-block;min-width:4.5rem;font-weight:bold}table{border-collapse:collapse}
td,th{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}pre{background:#262626}a{color:#8bf}}";

/// The page. It is made once, so that it says what the document says.
pub(super) fn page(document: &Value) -> String {
    let mut page = String::from("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    let title = escape(&document["info"]["title"]);
    let _ = write!(page, "<meta name=\"viewport\" content=\"width=device-width\"><title>{title} API</title>");
    let _ =
        write!(page, "<style>{STYLE}</style></head><body><h1>{title} {}</h1>", escape(&document["info"]["version"]));
    let _ = write!(page, "<p>{}</p>", escape(&document["info"]["description"]));
    page.push_str("<p><a href=\"openapi.json\">openapi.json</a></p><h2>Operations</h2>");
    for (path, methods) in entries(&document["paths"]) {
        for (method, operation) in entries(methods) {
            push_operation(&mut page, path, method, operation);
        }
    }
    page.push_str("<h2>Schemas</h2>");
    for (name, schema) in entries(&document["components"]["schemas"]) {
        let id = escape_text(name);
        let schema = escape_text(&format!("{schema:#}"));
        let _ = write!(page, "<details id=\"{id}\"><summary><code>{id}</code></summary><pre>{schema}</pre></details>");
    }
    page + "</body></html>\n"
}

fn entries(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

fn push_operation(page: &mut String, path: &str, method: &str, operation: &Value) {
    let (method, path) = (method.to_ascii_uppercase(), escape_text(path));
    let _ = write!(page, "<details><summary><code><span class=\"method\">{method}</span> {path}</code> ");
    let _ = write!(page, "{}</summary>", escape(&operation["summary"]));
    let access = if operation["security"] == serde_json::json!([]) { "none" } else { "bearer token or cookie" };
    let _ = write!(page, "<p>Credential: {access}</p>");
    push_parameters(page, &operation["parameters"]);
    if !operation["requestBody"].is_null() {
        let _ = write!(page, "<p>Body: {}</p>", links(&operation["requestBody"]["content"]));
    }
    page.push_str("<table><tr><th>Status</th><th>Meaning</th><th>Body</th></tr>");
    for (status, response) in entries(&operation["responses"]) {
        let meaning = escape(&response["description"]);
        let _ = write!(page, "<tr><td>{status}</td><td>{meaning}</td><td>{}</td></tr>", links(&response["content"]));
    }
    page.push_str("</table></details>");
}

fn push_parameters(page: &mut String, parameters: &Value) {
    for parameter in parameters.as_array().into_iter().flatten() {
        let (name, place) = (escape(&parameter["name"]), escape(&parameter["in"]));
        let _ = write!(page, "<p><code>{name}</code> ({place}): {}</p>", escape(&parameter["description"]));
    }
}

/// The media types of a body, each with a link to its schema.
fn links(content: &Value) -> String {
    let links = entries(content).map(|(media, body)| {
        let reference = body["schema"]["$ref"].as_str().unwrap_or_default();
        let name = escape_text(reference.rsplit('/').next().unwrap_or_default());
        format!("<code>{}</code> <a href=\"#{name}\">{name}</a>", escape_text(media))
    });
    links.collect::<Vec<_>>().join(", ")
}

fn escape(text: &Value) -> String {
    escape_text(text.as_str().unwrap_or_default())
}

fn escape_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
