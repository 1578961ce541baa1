//! Compiles the protos without protoc, and writes the descriptor set that reflection serves.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const PROTOS: [&str; 7] = [
    "plugd/v1/access.proto",
    "plugd/v1/bus.proto",
    "plugd/v1/configuration.proto",
    "plugd/v1/log.proto",
    "plugd/v1/package.proto",
    "plugd/v1/plugin.proto",
    "plugd/v1/policy.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("plugd_descriptor.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
