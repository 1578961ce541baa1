//! The OpenAPI document as a page for people: no script, nothing from elsewhere. Each operation is shown with what it takes,
//! what it answers, and commands to try it.

use serde_json::Value;

use super::request::PLUGIN_ID;

const STYLE: &str = include_str!("docs.css");

/// What the commands of the page refer to.
const VARIABLES: &str = "PLUGD=http://127.0.0.1:8000   # where plugd is
TOKEN=$(cat data/admin.token)   # in plugd's data folder
ID=...   # from the list of plugins";

/// The page about this document.
pub(super) fn page(document: &Value) -> String {
    let info = &document["info"];
    let (title, version, description) = (text(&info["title"]), text(&info["version"]), text(&info["description"]));
    let tags = || document["tags"].as_array().into_iter().flatten();
    let links: String = tags().map(|tag| format!("<a href=\"#{}\">{}</a>", anchor(tag), text(&tag["name"]))).collect();
    let groups: String = tags().map(|tag| group(document, tag)).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} API</title><style>{STYLE}</style></head><body><main>\
         <h1>{title} API <span class=\"soft\">{version}</span></h1><p>{description}</p>\
         <nav aria-label=\"Groups\">{links}<a href=\"openapi.json\">openapi.json, with the schema of each body</a></nav>\
         <p>The commands below want a shell that knows where plugd is and who you are:</p><pre>{}</pre>\
         {groups}</main></body></html>\n",
        escape(VARIABLES)
    )
}

fn group(document: &Value, tag: &Value) -> String {
    let paths = entries(&document["paths"]);
    let all = paths.flat_map(|(path, methods)| entries(methods).map(move |(method, it)| (path, method, it)));
    let of_this = all.filter(|(.., operation)| operation["tags"][0] == tag["name"]);
    let operations: String = of_this.map(|one| operation(document, one)).collect();
    let (name, description) = (text(&tag["name"]), text(&tag["description"]));
    format!("<h2 id=\"{}\">{name}</h2><p class=\"soft\">{description}</p>{operations}", anchor(tag))
}

fn operation(document: &Value, (path, method, operation): (&str, &str, &Value)) -> String {
    let (id, summary, verb) = (text(&operation["operationId"]), text(&operation["summary"]), method.to_uppercase());
    let commands: String = commands(document, path, method, operation)
        .iter()
        .map(|command| format!("<pre>{}</pre>", escape(command)))
        .collect();
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let parameters = parameters.map(|it| row(&text(&it["name"]), &text(&it["in"]), &text(&it["description"])));
    let answers = entries(&operation["responses"]).map(|(status, answer)| {
        let media: Vec<_> = entries(&answer["content"]).map(|(media, _)| escape(media)).collect();
        row(status, &media.join(", "), &text(&answer["description"]))
    });
    let rows: String = parameters.chain(answers).collect();
    format!(
        "<details id=\"{id}\"><summary><span class=\"method {method}\">{verb}</span><code>{}</code>\
         <span>{summary}</span></summary>{commands}<div class=\"wide\"><table>{rows}</table></div></details>",
        escape(path)
    )
}

fn row(name: &str, kind: &str, meaning: &str) -> String {
    format!("<tr><td><code>{name}</code></td><td>{kind}</td><td>{meaning}</td></tr>")
}

/// One command for each body that the operation takes, or one without a body.
fn commands(document: &Value, path: &str, method: &str, operation: &Value) -> Vec<String> {
    let verb = if method == "get" { String::new() } else { format!(" -X {}", method.to_uppercase()) };
    // Streams are printed as they come, and archives go into a file.
    let flags = match entries(&operation["responses"]["200"]["content"]).next() {
        Some(("text/event-stream", _)) => " -N",
        Some(("application/zip", _)) => " -OJ",
        _ => "",
    };
    let path = path.replace(&format!("{{{PLUGIN_ID}}}"), "$ID");
    let is_open = operation["security"] == serde_json::json!([]);
    let credential = if is_open { "" } else { " \\\n  -H \"Authorization: Bearer $TOKEN\"" };
    let command = format!("curl{verb}{flags} \"$PLUGD{path}\"{credential}");
    let bodies = entries(&operation["requestBody"]["content"]);
    let with_body = |(media, body): (&str, &Value)| {
        format!("{command} \\\n  -H 'Content-Type: {media}' \\\n  {}", data(document, media, body))
    };
    let commands: Vec<String> = bodies.map(with_body).collect();
    if commands.is_empty() { vec![command] } else { commands }
}

/// A file for an archive, and the schema's example for JSON.
fn data(document: &Value, media: &str, body: &Value) -> String {
    if media == "application/zip" {
        return "--data-binary @plugin.zip".to_owned();
    }
    let named = |body: &Value| {
        let reference = body["$ref"].as_str().unwrap_or_default();
        document.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null)
    };
    let schema = named(&body["schema"]);
    let variants = schema["oneOf"].as_array().into_iter().flatten().map(named);
    let mut examples = std::iter::once(schema).chain(variants).map(|schema| &schema["examples"][0]);
    let example = examples.find(|example| !example.is_null()).unwrap_or(&Value::Null);
    format!("-d '{example}'")
}

fn entries(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    object.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn anchor(tag: &Value) -> String {
    text(&tag["name"]).to_lowercase().replace(' ', "-")
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
