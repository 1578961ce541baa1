use super::*;

/// The head of an ELF program of 64 bits for this processor, with a loader of this name.
fn mk_elf(machine: elf::Machine, kind: elf::FileType, loader: &[u8]) -> Vec<u8> {
    let mut head = vec![0; 64 + 56];
    head[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
    put(16, &kind.0.to_le_bytes());
    put(18, &machine.0.to_le_bytes());
    put(20, &1_u32.to_le_bytes());
    put(32, &64_u64.to_le_bytes());
    for (at, value) in [(52, 64_u16), (54, 56), (56, 1)] {
        put(at, &value.to_le_bytes());
    }
    put(64, &elf::PT_INTERP.0.to_le_bytes());
    put(64 + 8, &120_u64.to_le_bytes());
    put(64 + 32, &(loader.len() as u64 + 1).to_le_bytes());
    head.extend_from_slice(loader);
    head.push(0);
    head
}

fn said(head: &[u8]) -> String {
    diagnose(head, 0o755).map(|problem| problem.to_string()).unwrap_or_default()
}

#[test]
fn what_can_run_has_no_problem() {
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    for head in [
        &own[..HEAD_BYTES],
        &mk_elf(HOST, elf::ET_DYN, b"/lib/ld.so"),
        b"#!/bin/sh\n",
        b"#!/bin/sh",
        b"#! \t/usr/bin/env  -S python3 -u\necho\r\n",
        b"#!/usr/bin/perl -w\r\n",
    ] {
        assert_eq!(diagnose(head, 0o100_755), None);
    }
}

#[test]
fn each_problem_is_told_from_the_others() {
    let other = if HOST == elf::EM_AARCH64 { elf::EM_X86_64 } else { elf::EM_AARCH64 };
    let carriage_return = |name: &str| Some(Problem::CarriageReturn(name.to_owned()));
    for (head, problem) in [
        (&b""[..], Some(Problem::Empty)),
        (b"\xef\xbb\xbf#!/bin/sh\n", Some(Problem::ByteOrderMark)),
        (b"\xff\xfe#\0!\0", Some(Problem::Utf16)),
        (b"\xfe\xff\0#\0!", Some(Problem::Utf16)),
        (b"#!/bin/sh\r\n", carriage_return("/bin/sh\r")),
        (b"#!/usr/bin/env python3\r\nprint()\r\n", carriage_return("python3\r")),
        (b"#!/usr/bin/env\r\n", carriage_return("/usr/bin/env\r")),
        (b"#!", Some(Problem::NoInterpreter)),
        (b"#! \t \n/bin/sh", Some(Problem::NoInterpreter)),
        (b"\xcf\xfa\xed\xfe\x07\0\0\x01", Some(Problem::OtherSystem("macOS"))),
        (b"\xca\xfe\xba\xbe\0\0\0\x02", Some(Problem::OtherSystem("macOS"))),
        (b"MZ\x90\0", Some(Problem::OtherSystem("Windows"))),
        (b"echo hello\n", Some(Problem::Unknown)),
        (b"\x7fELF", Some(Problem::NotAProgram)),
        (&mk_elf(HOST, elf::ET_EXEC, b"")[..60], Some(Problem::NotAProgram)),
        (&mk_elf(HOST, elf::ET_REL, b""), Some(Problem::NotAProgram)),
        (&mk_elf(other, elf::ET_EXEC, b""), Some(Problem::OtherProcessor(processor(other)))),
    ] {
        assert_eq!(diagnose(head, 0o755), problem, "{}", String::from_utf8_lossy(head));
    }
    assert_eq!(diagnose(b"#!/bin/sh\n", 0o644), Some(Problem::NotExecutable));
    assert_eq!(diagnose(b"#!/bin/sh\n", 0o100), None);
}

#[test]
fn the_words_name_what_is_wrong() {
    assert!(said(&mk_elf(elf::EM_S390, elf::ET_EXEC, b"")).contains("IBM Z (s390x)"));
    assert!(said(&mk_elf(elf::Machine(0xfeed), elf::ET_EXEC, b"")).contains("ELF machine 65261"));
    assert!(said(b"#!/bin/bash\r\n").contains(r#""/bin/bash\r""#), "{}", said(b"#!/bin/bash\r\n"));
}

#[test]
fn what_runs_a_program_is_found() {
    let interpreter = |path: &str| Some(Runner::Interpreter(path.into()));
    let loader = |path: &str| Some(Runner::Loader(path.into()));
    assert_eq!(runner(b"#! /no/such/python3 -u\n"), interpreter("/no/such/python3"));
    assert_eq!(runner(b"#!/no/such"), interpreter("/no/such"));
    assert_eq!(runner(&mk_elf(HOST, elf::ET_DYN, b"/lib/ld-musl.so.1")), loader("/lib/ld-musl.so.1"));
    assert_eq!(runner(b"MZ\x90\0"), None);
    assert_eq!(runner(b""), None);
}
