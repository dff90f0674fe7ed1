//! What it costs to write and read the bytes of a call: `p.noop(7)`, a dict of 20 items, and a header.
#![allow(clippy::unwrap_used, missing_docs)] // In a benchmark a panic is the message.

mod echo;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use saranwrap::Request;
use saranwrap::message::{Header, Kind};
use saranwrap::wire::{Reader, Writer};

fn call(criterion: &mut Criterion) {
    criterion.bench_function("encode a call", |bencher| bencher.iter(|| echo::noop(black_box(7))));
    let body = echo::noop(7).into_vec();
    criterion.bench_function("decode a call", |bencher| {
        bencher.iter(|| {
            let mut reader = Reader::new(black_box(&body));
            let request = Request::read(&mut reader).unwrap();
            let name = reader.text("name").unwrap();
            reader.array("args").unwrap();
            let x = reader.u64("x").unwrap();
            reader.map("kwargs").unwrap();
            black_box((request, name, x));
        });
    });
}

fn dict(criterion: &mut Criterion) {
    let keys: Vec<_> = (0..20).map(|n| format!("k{n}")).collect();
    let write = |out: &mut Writer| {
        out.map(keys.len());
        for (value, key) in (0..).zip(&keys) {
            out.text(key);
            out.u64(value);
        }
    };
    let mut out = Writer::new();
    criterion.bench_function("encode a dict of 20", |bencher| {
        bencher.iter(|| {
            out.clear();
            write(black_box(&mut out));
        });
    });
    criterion.bench_function("decode a dict of 20", |bencher| {
        bencher.iter(|| {
            let mut reader = Reader::new(black_box(out.as_slice()));
            for _ in 0..reader.map("dict").unwrap() {
                black_box((reader.text("key").unwrap(), reader.u64("value").unwrap()));
            }
        });
    });
}

fn header(criterion: &mut Criterion) {
    let header = Header { kind: Kind::Call, id: 7, chain: 1 << 40, len: 14 };
    criterion.bench_function("encode a header", |bencher| bencher.iter(|| black_box(&header).encode()));
    let bytes = header.encode();
    criterion.bench_function("decode a header", |bencher| bencher.iter(|| Header::decode(black_box(&bytes)).unwrap()));
}

criterion_group!(benches, call, dict, header);
criterion_main!(benches);
