//! A Rust value for a Python program, which starts this one: `counter = saranwrap.wrap_program([".../served_to_python"])`.

use std::process::ExitCode;

use saranwrap::{Fault, Offer, Proxy, Value};

/// Counts.
pub struct Counter {
    value: i64,
}

/// Counts, in a process of its own.
#[saranwrap::wrap]
impl Counter {
    /// A counter that begins at `start`.
    pub fn new(start: Option<i64>) -> Self {
        Self { value: start.unwrap_or_default() }
    }

    /// Count on, and tell how far it is.
    pub fn add(&mut self, by: i64) -> i64 {
        self.value += by;
        self.value
    }

    /// How far it is.
    pub fn value(&self) -> i64 {
        self.value
    }

    /// Count down; not below zero.
    pub fn lower(&mut self, by: i64) -> Result<i64, Fault> {
        if by > self.value {
            return Err(Fault::raise("ValueError", format!("{by} is more than {}", self.value)));
        }
        self.value -= by;
        Ok(self.value)
    }

    /// Call `each` for every number below this one, and add up what it returns.
    pub fn sum_of(&self, each: Proxy) -> Result<i64, Fault> {
        use saranwrap::Object;
        (0..self.value).map(|x| each.call((x,))?.extract::<i64>()).sum()
    }

    /// Whatever it is given, once more.
    pub fn echo(&self, value: Value) -> Value {
        value
    }

    /// Another one that is as far.
    pub fn twin(&self) -> Self {
        Self { value: self.value }
    }

    /// Something that goes wrong.
    pub fn panic(&self) {
        panic!("this counter is broken");
    }

    /// What Python's `len` asks for.
    pub fn __len__(&self) -> usize {
        usize::try_from(self.value).unwrap_or_default()
    }
}

fn main() -> ExitCode {
    match Offer::new().class::<Counter>().root(Counter::new(None)).serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}
