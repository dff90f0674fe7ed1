//! What a Rust program holds as a child in the stories of the four quadrants; `quadrant_subject.py` is the same for Python.

use std::time::Duration;

use saranwrap::{Fault, Here, Object, Proxy, Value};

/// A number, and what can go wrong or go on with it.
pub struct Subject {
    number: i64,
}

#[saranwrap::wrap]
impl Subject {
    pub fn new(number: i64) -> Self {
        Self { number }
    }

    pub fn number(&self) -> i64 {
        self.number
    }

    pub fn echo(&self, value: Value) -> Value {
        value
    }

    pub fn fail(&self, text: &str) -> Result<(), Fault> {
        Err(Fault::raise("ValueError", text))
    }

    pub fn call(&self, function: Proxy, x: i64) -> Result<Value, Fault> {
        function.call((x,))
    }

    pub fn twin(&self) -> Self {
        Self { number: self.number + 1 }
    }

    pub fn sum_with(&self, other: Here<Subject>) -> Result<i64, Fault> {
        Ok(self.number + other.read(|other| other.number)?)
    }

    pub fn sleep(&self, seconds: f64) {
        std::thread::sleep(Duration::from_secs_f64(seconds));
    }

    pub fn exit(&self, code: i32) {
        std::process::exit(code);
    }

    pub fn __len__(&self) -> usize {
        3
    }

    pub fn __getitem__(&self, place: i64) -> Result<i64, Fault> {
        if place < 3 { Ok(self.number + place) } else { Err(Fault::raise("IndexError", place.to_string())) }
    }
}
