//! The end of the interpreter, as threads that nobody joins see it.
//!
//! The interpreter ends such a thread where it next asks for leave to run Python code, by tearing its stack down. With a call of ours
//! on that stack, which cannot be torn, this ends the whole process. So such a thread sleeps from the end's beginning on.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use saranwrap::sys::process::is_main_thread;

static BEGUN: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread has something to tell until its child has ended, and is waited for.
    static TELLS: Cell<bool> = const { Cell::new(false) };
}

/// From here on no thread but the main one comes back from a wait, or begins a call.
#[pyfunction]
pub(crate) fn begin_to_end() {
    BEGUN.store(true, Ordering::Release);
}

/// End this process with what the C library does at the end, and with nothing that the interpreter would do.
#[pyfunction]
pub(crate) fn end_process() {
    std::process::exit(0);
}

/// This thread goes on.
pub(crate) fn go_on() {
    TELLS.set(true);
}

/// Whether this thread is to sleep. Only a flag is looked at, as long as the end has not begun.
pub(crate) fn concerns_us() -> bool {
    BEGUN.load(Ordering::Relaxed) && !TELLS.get() && !is_main_thread()
}

/// Sleep until the process has ended, if this thread is to. Nothing of Python's may be held.
pub(crate) fn hold() {
    while concerns_us() {
        std::thread::park();
    }
}
