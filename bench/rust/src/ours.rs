//! Saranwrap itself: an object of Python and a value of Rust, each in a process of its own.

use std::env;

use saranwrap::{Object, Offer, Program, Python, Value};

use crate::{Act, Result};

/// What the child holds.
pub struct Root;

#[saranwrap::wrap]
impl Root {
    /// One of them.
    pub fn new() -> Self {
        Self
    }

    /// Nothing but the way there and back.
    pub fn noop(&self, x: i64) -> i64 {
        x
    }
}

/// In a child of this contestant: serve, and do not come back.
pub fn serve_if_child() {
    Offer::new().class::<Root>().serve_if_child();
}

fn python() -> Result<Value> {
    let interpreter = env::var("SARANWRAP_BENCH_PYTHON")?;
    let child = Python::new().interpreter(interpreter).path(env::current_dir()?).spawn()?;
    Ok(child.wrap_module("bench.subject")?.call_method0("Root")?)
}

/// `root.number`.
pub fn getattr() -> Result<Act> {
    let root = python()?;
    Ok(Box::new(move || {
        let number: i64 = root.getattr("number")?.extract()?;
        assert_eq!(number, 7);
        Ok(())
    }))
}

/// `root.noop(7)`.
pub fn call() -> Result<Act> {
    let root = python()?;
    Ok(Box::new(move || {
        let number: i64 = root.call_method("noop", (7,))?.extract()?;
        assert_eq!(number, 7);
        Ok(())
    }))
}

/// The same of a value of Rust.
pub fn call_rust() -> Result<Act> {
    let root = RootProxy::new(&Program::this()?.spawn()?)?;
    Ok(Box::new(move || {
        assert_eq!(root.noop(7)?, 7);
        Ok(())
    }))
}
