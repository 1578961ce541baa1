//! Compiles the protos without protoc, and writes the descriptor set that reflection serves.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;
use prost_types::FileDescriptorSet;

/// The number of this type among those of `google.protobuf.FieldDescriptorProto`.
const TYPE_BYTES: i32 = 12;

const PROTOS: [&str; 9] = [
    "plugd/v1/access.proto",
    "plugd/v1/bus.proto",
    "plugd/v1/configuration.proto",
    "plugd/v1/hook.proto",
    "plugd/v1/log.proto",
    "plugd/v1/package.proto",
    "plugd/v1/plugin.proto",
    "plugd/v1/policy.proto",
    "plugd/v1/server.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut descriptors = protox::compile(PROTOS, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("plugd_descriptor.bin"), descriptors.encode_to_vec())?;
    fs::write(out.join("unary.rs"), unary(&descriptors))?;
    // A plugin's manifest stays encoded in Rust: whoever sends it encodes it once for all answers, and most who receive it never
    // look. On the wire a message within another is its bytes, so nobody else can tell.
    let messages = descriptors.file.iter_mut().flat_map(|file| &mut file.message_type);
    let fields = messages.filter(|message| message.name() == "Plugin").flat_map(|message| &mut message.field);
    for manifest in fields.filter(|field| field.name() == "manifest") {
        (manifest.r#type, manifest.type_name) = (Some(TYPE_BYTES), None);
    }
    tonic_prost_build::configure().bytes(".plugd.v1.Plugin.manifest").compile_fds(descriptors)?;
    Ok(())
}

/// For each method whose request is one message and that has one answer, what it takes and answers: `api::Unary`.
fn unary(descriptors: &FileDescriptorSet) -> String {
    let name = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let files = descriptors.file.iter().filter(|file| file.package() == "plugd.v1");
    let services = files.flat_map(|file| &file.service);
    let methods = services.flat_map(|service| service.method.iter().map(move |method| (service.name(), method)));
    let unary = methods.filter(|(_, method)| !method.client_streaming() && !method.server_streaming());
    let implemented = unary.map(|(service, method)| {
        let (request, answer) = (name(method.input_type()), name(method.output_type()));
        let path = format!("/plugd.v1.{service}/{}", method.name());
        format!("impl super::Unary for {request} {{ type Answer = {answer}; const METHOD: &str = {path:?}; }}\n")
    });
    implemented.collect()
}
