use super::*;

/// The head of an ELF program for the processor with this number.
fn mk_elf(machine: u16) -> Vec<u8> {
    let mut head = vec![0; 64];
    head[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    head[18..20].copy_from_slice(&machine.to_le_bytes());
    head
}

#[test]
fn what_can_run_has_no_problem() {
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    for head in [
        &own[..HEAD_BYTES],
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
    let carriage_return = |name: &str| Some(Problem::CarriageReturn(name.to_owned()));
    let processor = |name: &str| Some(Problem::OtherProcessor(name.to_owned()));
    for (head, problem) in [
        (&b""[..], Some(Problem::Empty)),
        (b"\xef\xbb\xbf#!/bin/sh\n", Some(Problem::ByteOrderMark)),
        (b"#!/bin/sh\r\n", carriage_return("/bin/sh\r")),
        (b"#!/usr/bin/env python3\r\nprint()\r\n", carriage_return("python3\r")),
        (b"#!/usr/bin/env\r\n", carriage_return("/usr/bin/env\r")),
        (b"#!", Some(Problem::NoInterpreter)),
        (b"#! \t \n/bin/sh", Some(Problem::NoInterpreter)),
        (b"MZ\x90\0", Some(Problem::Unknown)),
        (b"echo hello\n", Some(Problem::Unknown)),
        (b"\x7fELF", None),
        (&mk_elf(22), processor("s390x")),
        (&mk_elf(0xfeed), processor("other (ELF machine 65261)")),
    ] {
        assert_eq!(diagnose(head, 0o755), problem, "{}", String::from_utf8_lossy(head));
    }
    assert_eq!(diagnose(b"#!/bin/sh\n", 0o644), Some(Problem::NotExecutable));
    assert_eq!(diagnose(b"#!/bin/sh\n", 0o100), None);
}

#[test]
fn the_interpreter_of_a_script_is_found() {
    assert_eq!(interpreter(b"#! /no/such/python3 -u\n"), Some(Path::new("/no/such/python3")));
    assert_eq!(interpreter(b"#!/no/such"), Some(Path::new("/no/such")));
    assert_eq!([&b"MZ\x90\0"[..], b"", b"#!"].map(interpreter), [None; 3]);
}
