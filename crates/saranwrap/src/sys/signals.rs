//! Which signals a thread is ready for.

use std::cell::Cell;
use std::marker::PhantomData;

/// Leave every signal to the other threads: one that lands here would not interrupt the thread that waits for it.
pub fn block_signals() {
    // SAFETY: `set` is filled by sigfillset before it is read, both calls get valid pointers for their whole length, and the
    // mask of this thread alone is changed.
    unsafe {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(set.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}

thread_local! {
    /// The signals that were blocked in this thread before it held them all.
    static HELD: Cell<Option<libc::sigset_t>> = const { Cell::new(None) };
}

/// While this lives no signal is handled in this thread but within [`poll`](super::fd::poll).  One that comes after its pending signals
/// were looked at, and before it waits, would else not end the wait.
#[derive(Debug)]
#[must_use = "signals are held as long as this lives"]
pub struct HeldSignals {
    /// The mask is the thread's own.
    thread: PhantomData<*const ()>,
}

/// Hold all signals of this thread.
pub fn hold_signals() -> HeldSignals {
    // SAFETY: `all` is filled by sigfillset before it is read, `before` is written by pthread_sigmask, which cannot fail with these
    // arguments; both are valid for their whole length, and the mask of this thread alone is changed.
    let before = unsafe {
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    };
    HELD.set(Some(before));
    HeldSignals { thread: PhantomData }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        if let Some(before) = HELD.take() {
            // SAFETY: the mask is one that this thread had; it is read, and the old one is not asked for.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) };
        }
    }
}

/// The mask to wait with, where this thread holds its signals.
pub(super) fn mask_before() -> Option<libc::sigset_t> {
    HELD.get()
}
