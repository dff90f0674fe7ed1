//! A fork of the interpreter itself, and how its memory is made ready for that.  `unsafe`, as that is the C-API's.
#![allow(unsafe_code)] // The interpreter has no other way to be told of a fork that it did not make.

use std::io;

use pyo3::prelude::*;
use saranwrap::sys::fork::fork_sibling;

/// The interpreter allocates blocks of up to 512 bytes in pools of 16 KiB, each for one size: a multiple of 16.
const LARGEST: usize = 512;
const STEP: usize = 16;
const POOL: usize = 1 << 14;

/// Where the first block of a pool is, behind the pool's own data.
const FIRST: usize = 48;

/// How much is allocated of one size in search of an unused pool.
const MOST: usize = 1 << 19;

/// Use up what is free in pools that are in use, and between the blocks of the C library's heap, for good.
///
/// A forked interpreter then allocates from pools of its own, one block beside the other, and not from the gaps that modules have
/// left on hundreds of pages when they were loaded: it would get a copy of each.
pub(crate) fn fill_gaps(py: Python<'_>) {
    (STEP..=LARGEST).step_by(STEP).all(|size| reach_new_pool(py, size));
    saranwrap::sys::heap::fill_gaps();
}

/// Allocate until that is done from a new pool; false where nothing looks like one, as with another allocator.
fn reach_new_pool(_: Python<'_>, size: usize) -> bool {
    let mut last = 0;
    for _ in 0..MOST / size {
        // SAFETY: it takes a number, and the thread is attached (it has the token).  Nobody uses the block.
        let block = unsafe { pyo3::ffi::PyObject_Malloc(size) } as usize;
        if last % POOL == FIRST && block == last + size {
            return true;
        }
        last = block;
    }
    false
}

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
