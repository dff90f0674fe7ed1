//! What a new process has from the one that started it: descriptors under their numbers, and attributes.

use std::fmt::Write;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::fd::move_high;

/// A descriptor, and the number that it is to have in the new process.
pub type Placed = (i32, OwnedFd);

/// The lines of a thread's status that a process which it starts has too.
const STATUS: &[&str] = &[
    "Umask",
    "Uid",
    "Gid",
    "Groups",
    "NSpgid",
    "NSsid",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Seccomp_filters",
    "Cpus_allowed",
    "Mems_allowed",
    "THP_enabled",
];

/// Signals 32 and 33, which the C library keeps for itself: whether they are ignored changes when it first needs them.
const OF_THE_C_LIBRARY: u64 = 0b11 << 31;

/// Up to how many descriptors each number is asked for.
const MOST_ASKED_FOR: i32 = 1 << 14;

/// Copies of the descriptors that a program started now would find open, but for 0 and 2, which are given to each child anew.
pub fn descriptors() -> io::Result<Vec<Placed>> {
    Ok(inheritable()?.into_iter().filter(|&number| number != 0 && number != 2).filter_map(copy).collect())
}

/// Close what this program found open beyond 0, 1 and 2 when it started.  What it has opened itself does not get into others, which
/// is how the two are told apart.
pub fn close_inherited() -> io::Result<()> {
    for number in inheritable()?.into_iter().filter(|&number| number > 2) {
        // SAFETY: close takes a number.  Nothing in this program owns it: it came from the program before this one.
        unsafe { libc::close(number) };
    }
    Ok(())
}

/// The open descriptors that stay open when another program is started.
///
/// The kernel makes an entry for each that a directory lists, which takes ten times as long as asking for each number that the table
/// of descriptors has room for.  Only where one of a few has a very high number the directory is shorter.
fn inheritable() -> io::Result<Vec<i32>> {
    let inherits = |&number: &i32| flags(number).is_some_and(|flags| flags & libc::FD_CLOEXEC == 0);
    match room_for_descriptors() {
        Some(room) if room <= MOST_ASKED_FOR => Ok((0..room).filter(inherits).collect()),
        _ => {
            let mut found = Vec::new();
            for entry in std::fs::read_dir("/proc/self/fd")? {
                found.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()).filter(inherits));
            }
            Ok(found)
        }
    }
}

/// Below which number all descriptors of this process are, as the kernel tells it.
fn room_for_descriptors() -> Option<i32> {
    let place = rustix::fs::open("/proc/self", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    read_at(&place, "status").lines().find_map(|line| line.strip_prefix("FDSize:"))?.trim().parse().ok()
}

/// The flags of a descriptor; `None` when nothing is open under that number.
fn flags(number: i32) -> Option<i32> {
    // SAFETY: F_GETFD takes numbers only, and one that means no descriptor is an error.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    (flags >= 0).then_some(flags)
}

fn copy(number: i32) -> Option<Placed> {
    // SAFETY: F_DUPFD_CLOEXEC takes numbers only.  Another thread may have closed this one meanwhile; then it is an error.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 10) };
    // SAFETY: the copy was made just now and belongs to nobody else.
    (copy >= 0).then(|| (number, unsafe { OwnedFd::from_raw_fd(copy) }))
}

/// Move the descriptors out of the way of the numbers that they are to have, unless something else is open there.  `own` will be
/// closed by then.
pub fn make_way(placed: &mut [Placed], own: &[BorrowedFd<'_>]) -> io::Result<()> {
    let leaving: Vec<_> =
        placed.iter().map(|(_, fd)| fd.as_fd()).chain(own.iter().copied()).map(|fd| fd.as_raw_fd()).collect();
    let taken = |number: i32| number > 2 && flags(number).is_some() && !leaving.contains(&number);
    if let Some((number, _)) = placed.iter().find(|(number, _)| taken(*number)) {
        let what = format!("something else is open as descriptor {number}");
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    }
    let highest = placed.iter().map(|(number, _)| *number).max().unwrap_or(0);
    for (_, fd) in placed.iter_mut().filter(|(_, fd)| fd.as_raw_fd() <= highest) {
        *fd = rustix::io::fcntl_dupfd_cloexec(&*fd, highest + 1)?;
    }
    Ok(())
}

/// Give each descriptor its number; one of 0, 1 and 2 that is not among them is closed.  Only after [`make_way`].
pub fn place(placed: Vec<Placed>) -> io::Result<()> {
    for number in (0..3).filter(|number| placed.iter().all(|(given, _)| given != number)) {
        // SAFETY: close takes a number.  The three standard ones are owned by no object of Rust.
        unsafe { libc::close(number) };
    }
    for (number, fd) in placed {
        // SAFETY: dup2 takes numbers.  What it replaces is one of the standard three or nothing, as `make_way` has seen.
        if unsafe { libc::dup2(fd.as_raw_fd(), number) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Have an empty standard input, and the former one under a high number, out of the reach of other programs.
pub fn take_stdin() -> io::Result<OwnedFd> {
    let former = move_high(io::stdin())?;
    super::process::set_stdin(super::fd::null_device()?)?;
    Ok(former)
}

/// What else a process that this thread starts has from it, as a text to compare: rights, limits, groups, masks, namespaces.
pub fn attributes() -> String {
    let mut text = String::new();
    // One walk to the directory in place of a dozen: this is asked for each child.
    let Ok(place) = rustix::fs::open("/proc/thread-self", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else {
        return text;
    };
    for line in read_at(&place, "status").lines() {
        match line.split_once(':') {
            Some(("SigIgn", set)) => {
                let set = u64::from_str_radix(set.trim(), 16).unwrap_or_default() & !OF_THE_C_LIBRARY;
                let _ = writeln!(text, "SigIgn {set:x}");
            }
            Some((name, _)) if STATUS.contains(&name) => text.extend([line, "\n"]),
            _ => {}
        }
    }
    for name in ["limits", "oom_score_adj", "cgroup"] {
        text.push_str(&read_at(&place, name));
    }
    // SAFETY: neither takes any memory; 0 means this thread.
    let (nice, scheduler) = unsafe { (libc::getpriority(libc::PRIO_PROCESS, 0), libc::sched_getscheduler(0)) };
    let _ = writeln!(text, "{nice} {scheduler}");
    for name in ["ns/mnt", "ns/net", "ns/ipc", "ns/uts", "ns/user", "ns/pid_for_children", "ns/cgroup", "root"] {
        let link = rustix::fs::readlinkat(&place, name, Vec::new()).unwrap_or_default();
        let _ = writeln!(text, "{}", link.to_string_lossy());
    }
    text
}

/// The text of a file in this directory; empty where it cannot be read.
fn read_at(place: &OwnedFd, name: &str) -> String {
    let mut bytes = Vec::with_capacity(4096);
    if let Ok(file) = rustix::fs::openat(place, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        let _ = std::fs::File::from(file).read_to_end(&mut bytes);
    }
    String::from_utf8(bytes).unwrap_or_default()
}
