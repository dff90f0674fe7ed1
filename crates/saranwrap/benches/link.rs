//! What a call costs through both ends of a link, over each transport; and the floors: a word by spinning, a byte through pipes.
#![allow(clippy::unwrap_used, missing_docs)] // In a benchmark a panic is the message.

mod echo;

use std::hint::spin_loop;
use std::io::{Read, Write, pipe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use criterion::{Criterion, criterion_group, criterion_main};

fn link(criterion: &mut Criterion) {
    for &(name, pair) in echo::TRANSPORTS {
        let world = echo::World::over(pair).unwrap();
        criterion.bench_function(&format!("call over {name}"), |bencher| bencher.iter(|| world.call(7).unwrap()));
        world.end();
    }
}

/// What two cores can do: each writes the word that the other looks at.
fn spin(criterion: &mut Criterion) {
    if thread::available_parallelism().unwrap().get() < 2 {
        return;
    }
    let (there, back) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let echo = thread::spawn({
        let (there, back) = (Arc::clone(&there), Arc::clone(&back));
        move || {
            let mut seen = 0;
            while seen != u64::MAX {
                while there.load(Ordering::Acquire) == seen {
                    spin_loop();
                }
                seen = there.load(Ordering::Acquire);
                back.store(seen, Ordering::Release);
            }
        }
    });
    let mut sent = 0;
    criterion.bench_function("floor: a word by spinning", |bencher| {
        bencher.iter(|| {
            sent += 1;
            there.store(sent, Ordering::Release);
            while back.load(Ordering::Acquire) != sent {
                spin_loop();
            }
        });
    });
    there.store(u64::MAX, Ordering::Release);
    echo.join().unwrap();
}

fn pipes(criterion: &mut Criterion) {
    let (mut their_in, mut there) = pipe().unwrap();
    let (mut back, mut their_out) = pipe().unwrap();
    let echo = thread::spawn(move || {
        let mut byte = [0];
        while their_in.read(&mut byte).unwrap() == 1 {
            their_out.write_all(&byte).unwrap();
        }
    });
    criterion.bench_function("floor: a byte through pipes", |bencher| {
        bencher.iter(|| {
            let mut byte = [7];
            there.write_all(&byte).unwrap();
            back.read_exact(&mut byte).unwrap();
        });
    });
    drop(there);
    echo.join().unwrap();
}

criterion_group!(benches, link, spin, pipes);
criterion_main!(benches);
