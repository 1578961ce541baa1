//! Compiles the protos without protoc, and writes the descriptor set that reflection serves.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorSet};

/// The number of this type among those of `google.protobuf.FieldDescriptorProto`.
const TYPE_BYTES: i32 = 12;

/// Fields that stay encoded in Rust: who sends one encodes it once, for all who get it, and many who receive a manifest never look.
/// On the wire a message within another is its bytes, so nobody else can tell.
const ENCODED: [(&str, &str); 2] = [("Plugin", "manifest"), ("WatchStateResponse.EventBatch", "events")];

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
    let mut config = tonic_prost_build::configure();
    for (message, field) in ENCODED {
        keep_encoded(descriptors.file.iter_mut().flat_map(|file| &mut file.message_type), message, field);
        config = config.bytes(format!(".plugd.v1.{message}.{field}"));
    }
    config.compile_fds(descriptors)?;
    Ok(())
}

/// Has a field of a message, `Outer.Inner` if it is in another, hold bytes.
fn keep_encoded<'a>(messages: impl Iterator<Item = &'a mut DescriptorProto>, message: &str, field: &str) {
    let (outer, inner) = message.split_once('.').map_or((message, None), |(outer, inner)| (outer, Some(inner)));
    for found in messages.filter(|found| found.name() == outer) {
        if let Some(inner) = inner {
            keep_encoded(found.nested_type.iter_mut(), inner, field);
            continue;
        }
        for found in found.field.iter_mut().filter(|found| found.name() == field) {
            (found.r#type, found.type_name) = (Some(TYPE_BYTES), None);
        }
    }
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
