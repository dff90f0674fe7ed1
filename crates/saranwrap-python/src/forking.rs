//! A fork of the interpreter itself.  `unsafe`, as that is the C-API's.
#![allow(unsafe_code)] // The interpreter has no other way to be told of a fork that it did not make.

use std::io;

use pyo3::prelude::*;
use saranwrap::sys::fork::fork_sibling;

/// Fork this interpreter, which must have one thread.  The number of the new process here, `None` in the new one, where
/// `before_python` has run first.
///
/// What `os.register_at_fork` knows runs around it, as it does around `os.fork`.
pub(crate) fn fork(_: Python<'_>, before_python: impl FnOnce()) -> io::Result<Option<u32>> {
    // SAFETY: these three take nothing.  The thread is attached (it has the token), which each of them demands, and they are
    // called in the order that the C-API sets: before, then one of the others in each process.
    unsafe { pyo3::ffi::PyOS_BeforeFork() };
    let forked = fork_sibling();
    match forked {
        Ok(None) => {
            before_python();
            // SAFETY: as above; this is the new process.
            unsafe { pyo3::ffi::PyOS_AfterFork_Child() }
        }
        // SAFETY: as above; this is the old process, or there is no new one.
        _ => unsafe { pyo3::ffi::PyOS_AfterFork_Parent() },
    }
    forked
}
