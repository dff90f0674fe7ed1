//! Forking a process that has one thread.  The new process is a sibling: a child of the parent of the one that forked.

use std::io;
use std::time::{Duration, Instant};

use super::fd::{PollFd, PollFlags, poll};
use super::process;

/// How long threads that have been told to end may take to be gone.
const SETTLING: Duration = Duration::from_millis(100);

/// How long the handlers of a trial fork may take.
const TRIAL: Duration = Duration::from_secs(2);

/// The flag of clone for a sibling, with those that keep the C library's idea of the thread's number true in the new process.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
const SIBLING: libc::c_int = libc::CLONE_PARENT | libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID | libc::SIGCHLD;

/// Fork.  The number of the new process here, `None` in the new one, whose parent is ours.
///
/// `fork(2)` cannot make siblings, so that this goes past the C library.  What its `fork` does beyond the system call is of
/// use to several threads only, and of those there must be none; what it does for the only thread is done here.  Handlers
/// that libraries have left with `pthread_atfork` do not run.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
pub fn fork_sibling() -> io::Result<Option<u32>> {
    let tid = address_of_thread_id()?;
    let robust = RobustList::of_this_thread()?;
    let null = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: fflush(NULL) takes no memory of ours; what C code has written and not yet sent would be written by both processes.
    unsafe { libc::fflush(std::ptr::null_mut()) };
    // SAFETY: without CLONE_VM the new process gets a copy of all memory and goes on where this one does, on its own copy of
    // the same stack (a null stack says so).  `tid` is where the C library keeps the number of this thread, checked just now;
    // the kernel writes to the copy of it.  There is one thread (the caller's promise), so that no lock is held by another.
    let pid = unsafe {
        #[cfg(target_arch = "x86_64")]
        let result = libc::syscall(libc::SYS_clone, libc::c_long::from(SIBLING), null, null, tid, null);
        #[cfg(not(target_arch = "x86_64"))]
        let result = libc::syscall(libc::SYS_clone, libc::c_long::from(SIBLING), null, null, null, tid);
        result
    };
    match u32::try_from(pid) {
        Err(_) => Err(io::Error::last_os_error()),
        Ok(0) => {
            robust.register();
            Ok(None)
        }
        Ok(pid) => Ok(Some(pid)),
    }
}

/// The order of clone's arguments is known for some processors only.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
pub fn fork_sibling() -> io::Result<Option<u32>> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Where the C library keeps the number of this thread.  It reads it there for `raise`, `abort` and locks that know their owner.
fn address_of_thread_id() -> io::Result<*mut libc::pid_t> {
    let mut address: *mut libc::pid_t = std::ptr::null_mut();
    // SAFETY: PR_GET_TID_ADDRESS writes one pointer, and gets the place of one.
    let result = unsafe { libc::prctl(libc::PR_GET_TID_ADDRESS, &raw mut address) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // Another C library may use this address for something else, such as a lock; then it must not be written to.
    // SAFETY: the kernel has this address from the C library, which keeps it valid for as long as the thread lives, since the
    // kernel writes there at its end.  Nobody else writes: there is one thread.
    let told = if address.is_null() { 0 } else { unsafe { address.read_volatile() } };
    // SAFETY: gettid takes nothing and cannot fail.
    let own = unsafe { libc::gettid() };
    if told != own || !forgets_process_id() {
        let what = "this C library does not keep the thread's number where the kernel could renew it";
        return Err(io::Error::new(io::ErrorKind::Unsupported, what));
    }
    Ok(address)
}

/// Whether the C library asks the kernel for the process id each time.  Before 2.25 glibc remembered it, and only its own `fork` renewed it.
#[cfg(target_env = "gnu")]
fn forgets_process_id() -> bool {
    // SAFETY: it takes nothing, and returns a text that stays and ends in a zero.
    let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
    let mut parts = version.to_str().unwrap_or_default().split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next(), parts.next()) >= (Some(2), Some(25))
}

#[cfg(not(target_env = "gnu"))]
fn forgets_process_id() -> bool {
    true
}

/// The list of locks that the kernel releases when this thread dies.  A new process has none until it says where it is.
struct RobustList {
    head: *mut libc::c_void,
    size: usize,
}

impl RobustList {
    fn of_this_thread() -> io::Result<Self> {
        let mut list = Self { head: std::ptr::null_mut(), size: 0 };
        // SAFETY: the kernel writes one pointer and one size, and gets the places of both; 0 means this thread.
        let result = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut list.head, &raw mut list.size) };
        if result == 0 { Ok(list) } else { Err(io::Error::last_os_error()) }
    }

    fn register(&self) {
        if !self.head.is_null() {
            // SAFETY: the head lies in this process at the place where it lay in the one that forked, in the C library's
            // memory for this thread; the kernel notes the address and reads there at the thread's end.
            unsafe { libc::syscall(libc::SYS_set_robust_list, self.head, self.size) };
        }
    }
}

/// See to it that this process has one thread; the names of the others when it cannot be done.
///
/// Some libraries (OpenBLAS, with it numpy) start threads as soon as they are loaded, and put them to rest when the process
/// is about to fork, to start them again at need.  So a fork that is good for nothing else is tried.
pub fn be_single() -> Result<(), Vec<String>> {
    if others().is_empty() {
        return Ok(());
    }
    settle().or_else(|_| {
        try_a_fork();
        settle()
    })
}

/// A thread that has been joined may still be listed for a moment.
fn settle() -> Result<(), Vec<String>> {
    let deadline = Instant::now() + SETTLING;
    loop {
        let others = others();
        if others.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(others);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The names of the other threads.
fn others() -> Vec<String> {
    // SAFETY: gettid takes nothing and cannot fail.
    let own = unsafe { libc::gettid() }.to_string();
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return vec!["threads that cannot be counted, without /proc".to_owned()];
    };
    let tasks = tasks.flatten().filter(|task| task.file_name().to_str() != Some(&own));
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.map(|task| name(task).trim_end().to_owned()).collect()
}

/// A fork by the C library whose new process ends at once.
fn try_a_fork() {
    // SAFETY: the new process calls nothing but _exit, which is allowed even where other threads held locks.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: _exit takes no memory and does not return.
        unsafe { libc::_exit(0) };
    }
    let Some(pidfd) = u32::try_from(pid).ok().and_then(|pid| process::pidfd_open(pid).ok()) else { return };
    let deadline = Instant::now() + TRIAL;
    while poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(deadline)).is_ok() {
        if process::reap(std::os::fd::AsFd::as_fd(&pidfd)).is_some() {
            return;
        }
        if Instant::now() >= deadline {
            let _ = process::send_signal(std::os::fd::AsFd::as_fd(&pidfd), libc::SIGKILL);
        }
    }
}
