//! What the first bytes of a program say about whether the kernel will run it.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use object::{
    Endianness, FileKind,
    elf::{self, FileHeader32, FileHeader64},
    read::elf::{FileHeader, ProgramHeader},
};

/// So many first bytes tell all: a script's first line, and the headers of an ELF file with its loader's name.
pub const HEAD_BYTES: usize = 4096;

/// So many bytes of a script's first line does the kernel look at (`BINPRM_BUF_SIZE`).
const SCRIPT_LINE: usize = 256;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The processor that plugd was built for, as ELF numbers it.
const HOST: elf::Machine = if cfg!(target_arch = "aarch64") {
    elf::EM_AARCH64
} else if cfg!(target_arch = "arm") {
    elf::EM_ARM
} else if cfg!(target_arch = "riscv64") {
    elf::EM_RISCV
} else if cfg!(target_arch = "x86") {
    elf::EM_386
} else {
    elf::EM_X86_64
};

/// Why the kernel will not run a file as a program. Its words continue a sentence: "the program can't run: …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("none of its permission bits makes it executable")]
    NotExecutable,
    #[error("it is an empty file")]
    Empty,
    #[error("a byte order mark stands before its \"#!\": save it as UTF-8 without one")]
    ByteOrderMark,
    #[error("it is text in UTF-16: save it as UTF-8 without a byte order mark")]
    Utf16,
    /// The carriage return belongs to the interpreter's name, and nothing has that name.
    #[error("its first line ends with CR LF, so that it asks for the program {0:?}: save it with LF line ends")]
    CarriageReturn(String),
    #[error("no interpreter follows the \"#!\" of its first line")]
    NoInterpreter,
    /// For another processor. A host that is set up to emulate that one runs it all the same.
    #[error("it is a program for {0} processors, and plugd runs on {host}", host = processor(HOST))]
    OtherProcessor(String),
    /// For another operating system. A host that is set up to emulate that one runs it all the same.
    #[error("it is a program for {0}, and plugins run on Linux")]
    OtherSystem(&'static str),
    /// An object file, a core dump, or a program that is cut off or damaged.
    #[error("it is an ELF file, but not a whole program")]
    NotAProgram,
    /// Nothing that Linux knows by itself. A host may be set up to run it all the same.
    #[error("it is neither an ELF program nor a script whose first line begins with \"#!\"")]
    Unknown,
}

/// What runs a program: it must be on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runner {
    Interpreter(PathBuf),
    Loader(PathBuf),
}

/// What is wrong with a program, by its first bytes (at least [`HEAD_BYTES`], or all) and its mode. `None` does not promise
/// that it runs: what it names may be missing, see [`runner`].
pub fn diagnose(head: &[u8], mode: u32) -> Option<Problem> {
    if mode & 0o111 == 0 {
        return Some(Problem::NotExecutable);
    }
    match head {
        [] => Some(Problem::Empty),
        [b'#', b'!', ..] => in_script(head),
        _ if head.strip_prefix(BYTE_ORDER_MARK).is_some_and(|rest| rest.starts_with(b"#!")) => {
            Some(Problem::ByteOrderMark)
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(Problem::Utf16),
        [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, ..] => {
            Some(Problem::OtherSystem("macOS"))
        }
        [b'M', b'Z', ..] => Some(Problem::OtherSystem("Windows")),
        [0x7f, b'E', b'L', b'F', ..] => match FileKind::parse(head) {
            Ok(FileKind::Elf64) => in_elf::<FileHeader64<Endianness>>(head),
            Ok(FileKind::Elf32) => in_elf::<FileHeader32<Endianness>>(head),
            _ => Some(Problem::NotAProgram),
        },
        _ => Some(Problem::Unknown),
    }
}

/// What a program names to run it, by its first bytes.
pub fn runner(head: &[u8]) -> Option<Runner> {
    let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
    if head.starts_with(b"#!") {
        return script(head).map(|(interpreter, _)| Runner::Interpreter(path(interpreter)));
    }
    let loader = match FileKind::parse(head) {
        Ok(FileKind::Elf64) => loader::<FileHeader64<Endianness>>(head),
        Ok(FileKind::Elf32) => loader::<FileHeader32<Endianness>>(head),
        _ => None,
    };
    loader.map(|loader| Runner::Loader(path(loader)))
}

/// The interpreter of a script, and the rest of its first line, as the kernel reads them.
fn script(head: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = &head[2..head.len().min(SCRIPT_LINE)];
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

fn in_elf<H: FileHeader<Endian = Endianness>>(head: &[u8]) -> Option<Problem> {
    let header = H::parse(head).ok();
    let Some((header, endian)) = header.and_then(|header| Some((header, header.endian().ok()?))) else {
        return Some(Problem::NotAProgram);
    };
    let machine = header.e_machine(endian);
    if !is_native(machine) {
        return Some(Problem::OtherProcessor(processor(machine)));
    }
    let is_program = matches!(header.e_type(endian), elf::ET_EXEC | elf::ET_DYN) && header.e_phnum(endian) > 0;
    (!is_program).then_some(Problem::NotAProgram)
}

/// A processor of 64 bits mostly runs the programs of its 32-bit ancestor: whether it does is for the kernel to say.
fn is_native(machine: elf::Machine) -> bool {
    machine == HOST || matches!((HOST, machine), (elf::EM_X86_64, elf::EM_386) | (elf::EM_AARCH64, elf::EM_ARM))
}

fn loader<H: FileHeader<Endian = Endianness>>(head: &[u8]) -> Option<&[u8]> {
    let header = H::parse(head).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, head).ok()?;
    segments.iter().find_map(|segment| segment.interpreter(endian, head).ok().flatten())
}

fn processor(machine: elf::Machine) -> String {
    let name = match machine {
        elf::EM_X86_64 => "x86-64 (amd64)",
        elf::EM_386 => "32-bit x86",
        elf::EM_AARCH64 => "ARM64 (aarch64)",
        elf::EM_ARM => "32-bit ARM",
        elf::EM_RISCV => "RISC-V",
        elf::EM_PPC64 => "PowerPC (ppc64)",
        elf::EM_S390 => "IBM Z (s390x)",
        elf::EM_MIPS => "MIPS",
        elf::EM_LOONGARCH => "LoongArch",
        other => return format!("other (ELF machine {})", other.0),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests;
