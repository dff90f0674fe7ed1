//! What an operation of the Rust surface costs: on an object in an interpreter, and on a value in this program once more.
#![allow(missing_docs)]

use std::path::Path;

use criterion::{Criterion, Throughput};
use saranwrap::{AsBuffer, Fault, Object, Offer, Proxy, Python};

pub struct Counter {
    value: i64,
}

#[saranwrap::wrap]
impl Counter {
    pub fn new(value: i64) -> Self {
        Self { value }
    }

    pub fn add(&mut self, by: i64) -> i64 {
        self.value += by;
        self.value
    }
}

fn python(criterion: &mut Criterion) -> Result<(), Fault> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
    if !own.exists() {
        println!("skipped: {} is not there; `make build` sets it up", own.display());
        return Ok(());
    }
    let child = Python::new().interpreter(own).spawn()?;
    let namespace = child.wrap_module("types")?.call_method0("SimpleNamespace")?;
    namespace.setattr("x", 1)?;
    let abs = child.builtins()?.getattr("abs")?;
    let mut group = criterion.benchmark_group("python");
    group.bench_function("getattr", |bencher| bencher.iter(|| namespace.getattr("x")));
    group.bench_function("call", |bencher| bencher.iter(|| abs.call((1,))));
    group.bench_function("call_method", |bencher| bencher.iter(|| namespace.call_method("__eq__", (1,))));
    group.finish();
    large(criterion, &child.builtins()?)
}

fn large(criterion: &mut Criterion, builtins: &Proxy) -> Result<(), Fault> {
    let numbers = vec![1.5f64; 1 << 17];
    let lender = builtins.call_method("bytearray", (AsBuffer(&numbers),))?;
    let len = builtins.getattr("len")?;
    let mut copy = vec![0; 1 << 20];
    let mut group = criterion.benchmark_group("1 MiB");
    group.throughput(Throughput::Bytes(1 << 20));
    group.bench_function("lent", |bencher| bencher.iter(|| lender.buffer::<u8>()));
    group.bench_function("lent and copied", |bencher| {
        bencher.iter(|| lender.buffer::<u8>().and_then(|buffer| buffer.copy_to_slice(&mut copy)))
    });
    group.bench_function("given", |bencher| bencher.iter(|| len.call((AsBuffer(&numbers),))));
    group.finish();
    Ok(())
}

fn rust(criterion: &mut Criterion) -> Result<(), Fault> {
    let counter = CounterProxy::spawn(0)?;
    let mut group = criterion.benchmark_group("rust");
    group.bench_function("call", |bencher| bencher.iter(|| counter.add(1)));
    group.finish();
    Ok(())
}

fn main() -> Result<(), Fault> {
    Offer::new().class::<Counter>().serve_if_child();
    let mut criterion = Criterion::default().configure_from_args();
    python(&mut criterion)?;
    rust(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
