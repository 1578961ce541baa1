//! What it takes to make of a report the rows that are written.

use std::hint::black_box;

use super::*;
use crate::{
    counts::repeat,
    store::batch::{Batch, Records},
};

/// A time that is always written as long.
fn at(second: u64) -> Timestamp {
    Timestamp::new(1_800_000_000 + second as i64, 123_456_000).unwrap()
}

fn mk_usual_report(state: State, number: u64) -> Reported {
    let (run, pid) = (Some(RunId::from_bytes([9; 12])), Some(4711));
    Reported { state, run, pid, ..Reported::inactive(at(number), number) }
}

/// The records of a plugin that was installed, and has what most have.
fn mk_records() -> Records {
    let manifest = Arc::new(mk_manifest("greeter"));
    let desired =
        Desired { package: Some(Digest([1; 32])), ..Desired::new(Mode::Supervised, manifest, ActiveState::Active) };
    let plugin =
        Plugin { created: at(0), desired, reported: Reported::inactive(at(0), 1), request: None, ..mk_plugin(1) };
    let (mut records, mut batch) = (Records::default(), Batch::new(0, at(0)));
    batch.apply(&records, What::Install(Box::new(plugin))).unwrap();
    batch.take_effect(&mut records);
    records
}

/// A transaction each: with a single plugin no hash collides, whatever the seed.
#[test]
fn append() {
    let records = mk_records();
    let reports = [mk_usual_report(State::Starting, 2), mk_usual_report(State::Active, 3)];
    repeat(|| {
        let mut batch = Batch::new(1, at(4));
        for reported in &reports {
            batch.apply(&records, What::Report { id: mk_id(1), reported: Box::new(reported.clone()) }).unwrap();
        }
        assert_eq!(black_box(batch.journal).len(), 2);
    });
}
