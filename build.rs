//! Compiles the protos without protoc, and writes the descriptor set that reflection serves.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

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
