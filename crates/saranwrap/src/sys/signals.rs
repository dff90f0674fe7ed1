//! Which signals a thread is ready for.

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
