//! Which signals a thread, or the process, is ready for.

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

/// From now on SIGINT, by which Ctrl-C reaches a whole process group, ends nothing here.
pub fn ignore_interrupts() {
    // SAFETY: SIG_IGN runs no code of ours, so no handler has to be safe to run at any moment.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
}
