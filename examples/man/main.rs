//! Writes plugd's manual into a folder, a page a command: `cargo run --example man -- FOLDER`.

use std::{env, fs, io, path::PathBuf};

fn main() -> io::Result<()> {
    let folder: PathBuf = env::args_os().nth(1).ok_or(io::Error::other("name the folder"))?.into();
    fs::create_dir_all(&folder)?;
    clap_mangen::generate_to(plugd::cli::command(), folder)
}
