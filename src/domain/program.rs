//! What the first bytes of a program say about whether the kernel will run it, where its own words would not help.

use std::{env::consts::ARCH, ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

/// So many first bytes are enough: the kernel looks at no more of a script's first line (`BINPRM_BUF_SIZE`).
pub const HEAD_BYTES: usize = 256;

/// Processors, by ELF's numbers and Rust's names.
const PROCESSORS: [(u16, &str); 8] = [
    (3, "x86"),
    (21, "powerpc64"),
    (22, "s390x"),
    (40, "arm"),
    (62, "x86_64"),
    (183, "aarch64"),
    (243, "riscv64"),
    (258, "loongarch64"),
];

/// Why the kernel will not run a file as a program. Its words continue a sentence: "the program can't run: …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("none of its permission bits makes it executable")]
    NotExecutable,
    #[error("it is an empty file")]
    Empty,
    #[error("a byte order mark stands before its \"#!\": save it as UTF-8 without one")]
    ByteOrderMark,
    /// The carriage return belongs to the interpreter's name, and nothing has that name.
    #[error("its first line ends with CR LF, so that it asks for the program {0:?}: save it with LF line ends")]
    CarriageReturn(String),
    #[error("no interpreter follows the \"#!\" of its first line")]
    NoInterpreter,
    /// For another processor. A host that is set up to emulate that one runs it all the same.
    #[error("it is a program for {0} processors, and plugd runs on {ARCH}")]
    OtherProcessor(String),
    /// Nothing that Linux knows by itself. A host may be set up to run it all the same.
    #[error("it is neither an ELF program nor a script whose first line begins with \"#!\"")]
    Unknown,
}

/// What is wrong with a program, by its first bytes (at least [`HEAD_BYTES`], or all) and its mode. `None` does not promise
/// that it runs: its [`interpreter`] may be missing.
pub fn diagnose(head: &[u8], mode: u32) -> Option<Problem> {
    match head {
        _ if mode & 0o111 == 0 => Some(Problem::NotExecutable),
        [] => Some(Problem::Empty),
        [b'#', b'!', ..] => in_script(head),
        [0xef, 0xbb, 0xbf, b'#', b'!', ..] => Some(Problem::ByteOrderMark),
        [0x7f, b'E', b'L', b'F', ..] => other_processor(head).map(Problem::OtherProcessor),
        _ => Some(Problem::Unknown),
    }
}

/// What a script names to run it, by its first bytes.
pub fn interpreter(head: &[u8]) -> Option<&Path> {
    script(head).map(|(interpreter, _)| Path::new(OsStr::from_bytes(interpreter)))
}

/// The interpreter of a script, and the rest of its first line, as the kernel reads them.
fn script(head: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = head[..head.len().min(HEAD_BYTES)].strip_prefix(b"#!")?;
    let line = line.split(|byte| matches!(byte, b'\n' | 0)).next().unwrap_or_default();
    let line = line.trim_ascii_start();
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
    let (interpreter, rest) = line.split_at(end);
    (!interpreter.is_empty()).then_some((interpreter, rest))
}

/// A carriage return at the end of an option is left to the interpreter: some take it.
fn in_script(head: &[u8]) -> Option<Problem> {
    let Some((interpreter, rest)) = script(head) else { return Some(Problem::NoInterpreter) };
    let is_env = Path::new(OsStr::from_bytes(interpreter)).file_name() == Some(OsStr::new("env"));
    let named = if is_env { last_word(rest) } else { interpreter };
    named.ends_with(b"\r").then(|| Problem::CarriageReturn(String::from_utf8_lossy(named).into_owned()))
}

fn last_word(line: &[u8]) -> &[u8] {
    line.rsplit(|byte| matches!(byte, b' ' | b'\t')).find(|word| !word.is_empty()).unwrap_or_default()
}

/// The processor of an ELF program, if it is not this host's. A processor of 64 bits mostly runs the programs of its 32-bit
/// ancestor: whether it does is for the kernel to say.
fn other_processor(head: &[u8]) -> Option<String> {
    let number = [*head.get(18)?, *head.get(19)?];
    let is_big_endian = head[5] == 2;
    let number = if is_big_endian { u16::from_be_bytes(number) } else { u16::from_le_bytes(number) };
    let Some((_, name)) = PROCESSORS.iter().find(|(known, _)| *known == number) else {
        return Some(format!("other (ELF machine {number})"));
    };
    let is_native = *name == ARCH || matches!((ARCH, *name), ("x86_64", "x86") | ("aarch64", "arm"));
    (!is_native).then(|| (*name).to_owned())
}

#[cfg(test)]
mod tests;
