//! The interpreter that tests put their objects into: the one of the environment that `make build` sets up.
// Each test file takes this in as a module of its own and uses a part of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::path::Path;

use saranwrap::{Python, Session};

/// How to start it; `None`, with a word on stderr, where there is none and that is no fault.
pub fn python() -> Option<Python> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
    if own.exists() {
        return Some(Python::new().interpreter(own));
    }
    assert!(std::env::var_os("CI").is_none(), "{} is not there: `make build` sets it up", own.display());
    eprintln!("skipped: {} is not there; `make build` sets it up", own.display());
    None
}

/// How to start each of its children, the native and the portable one.
pub fn pythons() -> impl Iterator<Item = Python> {
    python().into_iter().flat_map(|python| [python.clone(), python.portable()])
}

/// Children to put objects into.
pub fn children() -> impl Iterator<Item = Session> {
    pythons().map(|python| python.spawn().unwrap())
}

/// Run the body with a child of each kind, or not at all.
#[macro_export]
macro_rules! with_child {
    (|$child:ident| $body:block) => {
        for $child in $crate::interpreter::children() {
            $body
        }
    };
}
