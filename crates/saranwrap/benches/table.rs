//! What it costs to export, find and release an object, with few and with many others in the table.
#![allow(clippy::unwrap_used, missing_docs)] // In a benchmark a panic is the message.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use saranwrap::Table;

fn table(criterion: &mut Criterion) {
    for others in [1, 1_000, 1_000_000] {
        let mut table = Table::new();
        let ids: Vec<_> = (0..others).map(|number| table.insert(number)).collect();
        criterion.bench_with_input(BenchmarkId::new("insert and release", others), &others, |bencher, _| {
            bencher.iter(|| {
                let id = table.insert(black_box(7));
                table.release(id, 1).unwrap()
            });
        });
        // A stride that is no divisor of the size meets all of them, and not in the order of the memory.
        let mut at = 0;
        criterion.bench_with_input(BenchmarkId::new("find", others), &others, |bencher, _| {
            bencher.iter(|| {
                at = (at + 7_919) % ids.len();
                table.find(black_box(ids[at])).copied()
            });
        });
    }
}

criterion_group!(benches, table);
criterion_main!(benches);
