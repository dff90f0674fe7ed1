//! Real processes: how a child starts, what is known of its end, and what stays behind (nothing).
#![allow(clippy::unwrap_used)] // In a test a panic is the message.

mod toy;

use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use saranwrap::child::{Fate, Stage, Voice};
use saranwrap::error::Error;
use saranwrap::host::GivenUp;
use saranwrap::message::Hello;
use saranwrap::sys::fd::{PollFd, PollFlags, Polled, poll};
use saranwrap::sys::process::pidfd_open;
use saranwrap::{Child, Command, Destination, Exit, Kind, Link, Says};
use toy::{Shared, Toy, toy_child_main, toy_command};

/// Tests here look at all descriptors, threads and children of this process, so that they run one after the other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn toy_child() {
    toy_child_main();
}

fn spawn_toy() -> (Child, Arc<Link>, Toy) {
    let (child, link) = Child::spawn(&toy_command()).unwrap();
    let theirs = link.hello(&Hello::ours(Vec::new()), None).unwrap();
    assert_eq!(theirs.pid, child.pid());
    let toy = Toy::new(&link, 1, &Arc::new(Shared::default()));
    (child, link, toy)
}

fn shell(script: &str) -> Command {
    Command { program: "sh".into(), args: vec!["-c".into(), script.into()], ..Command::default() }
}

#[test]
fn a_child_answers_and_ends_when_its_link_is_closed() {
    let _alone = alone();
    let (child, link, toy) = spawn_toy();
    assert_eq!(toy.number("pid", 0).unwrap(), u64::from(child.pid()));
    assert_eq!(toy.number("nest", 20).unwrap(), 20);
    assert_eq!(child.exit(), None);
    assert_eq!(child.wait(Some(Instant::now())), None);
    link.close();
    assert_eq!(child.wait(None), Some(Exit::Code(0)));
}

#[test]
fn a_child_has_our_standard_input() {
    let _alone = alone();
    let (_child, _link, toy) = spawn_toy();
    let ours = std::fs::metadata("/proc/self/fd/0").unwrap().ino();
    assert_eq!(toy.number("stdin", 0).unwrap(), ours);
}

#[test]
fn an_exit_code_is_told() {
    let _alone = alone();
    let (child, link, toy) = spawn_toy();
    toy.number("say", 0).unwrap();
    assert_eq!(toy.number("exit", 7).unwrap_err().kind(), Kind::Died);
    assert_eq!(link.error().unwrap().kind(), Kind::Died);
    let obituary = child.obituary();
    assert!(obituary.contains(&format!("the child (pid {}) ended with exit code 7", child.pid())));
    assert!(obituary.contains("its last words:\n"), "{obituary}");
    assert!(obituary.ends_with("these are last words"), "{obituary}");
}

#[test]
fn a_signal_is_told_by_name() {
    let _alone = alone();
    let (child, _link, toy) = spawn_toy();
    assert_eq!(toy.number("abort", 0).unwrap_err().kind(), Kind::Died);
    assert!(child.obituary().contains("was killed by SIGABRT"), "{}", child.obituary());
}

#[test]
fn a_child_can_be_killed_in_the_middle_of_a_call() {
    let _alone = alone();
    let (child, link, toy) = spawn_toy();
    link.start(&toy, &toy::request("stuck", 0)).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| child.wait(None));
        child.kill().unwrap();
        assert_eq!(waiter.join().unwrap(), Some(Exit::Signal(9)));
    });
    assert_eq!(toy.number("who", 0).unwrap_err().kind(), Kind::Died);
    assert!(child.obituary().contains("SIGKILL"));
    // The process is gone: nobody is signalled, and least of all whoever has its number now.
    child.kill().unwrap();
}

#[test]
fn a_link_learns_of_the_end_though_nobody_uses_it() {
    let _alone = alone();
    let (child, link, _toy) = spawn_toy();
    child.condemn("it was in the way".to_owned());
    child.kill().unwrap();
    child.wait(None);
    assert_eq!(link.error().unwrap().kind(), Kind::Died);
    assert!(child.obituary().ends_with("was killed by SIGKILL: it was in the way"), "{}", child.obituary());
}

#[test]
fn a_link_is_retired_only_when_nothing_is_under_way_and_nothing_was_asked_meanwhile() {
    let _alone = alone();
    let (child, link, toy) = spawn_toy();
    let before = link.stats().calls_asked;
    toy.number("pid", 0).unwrap();
    assert!(!link.retire(before));
    let asked = link.start(&toy, &toy::request("pid", 0)).unwrap();
    assert_eq!(link.under_way(), (1, 0));
    assert!(!link.retire(link.stats().calls_asked));
    let answer = loop {
        link.pump().unwrap();
        if let Some(answer) = link.finish(asked).unwrap() {
            break answer;
        }
    };
    // What has come may bring objects, which nobody knows of before it is decoded.
    assert!(!link.retire(link.stats().calls_asked));
    drop(answer);
    assert!(link.retire(link.stats().calls_asked));
    assert!(!link.retire(link.stats().calls_asked));
    assert_eq!(toy.number("pid", 0).unwrap_err().kind(), Kind::Closed);
    assert_eq!(child.wait(None), Some(Exit::Code(0)));
}

#[test]
fn what_a_child_says_is_kept_up_to_a_bound() {
    let _alone = alone();
    let says = Says { stdout: Destination::Kept(4), stderr: Destination::Kept(100) };
    let (child, _link) = Child::spawn(&Command { says, ..shell("printf 123456; echo words >&2") }).unwrap();
    let listener = child.listener().unwrap();
    child.wait(None);
    assert_eq!(listener.kept(Voice::Stdout), Some((b"3456".to_vec(), 2)));
    assert_eq!(listener.kept(Voice::Stderr), Some((b"words\n".to_vec(), 0)));
    assert_eq!(listener.kept(Voice::Notes), None);
    assert_eq!(child.last_words(), "words\n");
}

#[test]
fn what_a_child_says_is_told_whole_though_nobody_listens_for_a_while() {
    let _alone = alone();
    let says = Says { stdout: Destination::Told, stderr: Destination::Ours };
    let (child, _link) = Child::spawn(&Command { says, ..shell("yes | head -c 1000000") }).unwrap();
    let listener = child.listener().unwrap();
    let mut heard = Vec::new();
    while let Some((voice, said)) = listener.hear() {
        assert_eq!(voice, Voice::Stdout);
        heard.extend(said);
    }
    assert_eq!(heard, b"y\n".repeat(500_000));
}

#[test]
fn what_a_child_has_started_is_killed_with_it() {
    let _alone = alone();
    let says = Says { stdout: Destination::Told, stderr: Destination::Ours };
    let script = "(sleep 1000 2>/dev/null & echo $!; sleep 1000) 2>/dev/null & echo $!; wait";
    let (child, _link) = Child::spawn(&Command { says, ..shell(script) }).unwrap();
    let listener = child.listener().unwrap();
    let mut told = String::new();
    while told.lines().count() < 2 {
        told.push_str(&String::from_utf8(listener.hear().unwrap().1).unwrap());
    }
    let pids: Vec<u32> = told.lines().map(|pid| pid.parse().unwrap()).collect();
    let held: Vec<_> = pids.into_iter().map(|pid| pidfd_open(pid).unwrap()).collect();
    child.kill().unwrap();
    for process in held {
        let until = Some(Instant::now() + Duration::from_secs(10));
        assert_eq!(poll(&mut [PollFd::new(&process, PollFlags::IN)], until).unwrap(), Polled::Ready);
    }
    child.wait(None);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let _alone = alone();
    let command = Command { program: "/no/such/program".into(), args: vec!["-x".into()], ..Command::default() };
    let error = Child::spawn(&command).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert_eq!(
        error.to_string(),
        "could not start the child `/no/such/program -x`: No such file or directory (os error 2)"
    );
}

#[test]
fn a_program_that_says_no_hello_leaves_its_last_words() {
    let _alone = alone();
    // It reads the byte that carries the standard input, so that its end is an orderly one.
    let (child, link) = Child::spawn(&shell("head -c 1 >/dev/null; echo oops >&2; exit 3")).unwrap();
    assert_eq!(link.hello(&Hello::ours(Vec::new()), None).unwrap_err().kind(), Kind::Died);
    let obituary = child.obituary();
    assert!(obituary.contains("exit code 3") && obituary.ends_with("oops"), "{obituary}");
}

#[test]
fn only_the_end_of_many_words_is_kept() {
    let _alone = alone();
    let script = "i=0; while [ $i -lt 3000 ]; do echo \"$i 0123456789012345678901234567890\"; i=$((i+1)); done >&2";
    let (child, _link) = Child::spawn(&shell(script)).unwrap();
    assert_eq!(child.wait(None), Some(Exit::Code(0)));
    let words = child.last_words();
    assert_eq!(words.len(), 64 << 10);
    assert!(words.trim_end().ends_with("2999 0123456789012345678901234567890"));
}

#[test]
fn environment_and_directory_are_as_told() {
    let _alone = alone();
    let command = Command {
        env: Some(vec![("PATH".into(), "/usr/bin:/bin".into()), ("COLOUR".into(), "green".into())]),
        cwd: Some("/".into()),
        ..shell("test \"$COLOUR\" = green && test -z \"$HOME\" && test $(pwd) = /")
    };
    let (child, _link) = Child::spawn(&command).unwrap();
    assert_eq!(child.wait(None), Some(Exit::Code(0)));
}

#[test]
fn a_grandchild_that_keeps_the_socket_open_keeps_nobody_waiting() {
    let _alone = alone();
    let (child, link) = Child::spawn(&shell("exec 3<&0; cat <&3 >/dev/null 2>&1 & exit 5")).unwrap();
    let error = link.hello(&Hello::ours(Vec::new()), None).unwrap_err();
    assert_eq!(error.kind(), Kind::Died);
    assert_eq!(child.wait(None), Some(Exit::Code(5)));
}

#[test]
fn a_child_that_outlives_its_link_and_its_holder_is_killed() {
    let _alone = alone();
    let (child, link) = Child::spawn(&shell("exec sleep 1000")).unwrap();
    let pidfd = pidfd_open(child.pid()).unwrap();
    link.close();
    drop(child);
    until_ready(pidfd);
    drop(link);
    no_trace();
}

#[test]
fn a_child_ends_with_its_parent_whatever_it_is_doing() {
    let _alone = alone();
    let (child, _link, toy) = spawn_toy();
    let grandchild = pidfd_open(toy.number("spawn-stuck", 0).unwrap() as u32).unwrap();
    child.kill().unwrap();
    until_ready(grandchild);
}

#[test]
fn who_does_not_wait_on_the_link_looks_often_whether_a_killed_child_has_ended() {
    let _alone = alone();
    let (child, link) = Child::spawn(&shell("exec sleep 1000")).unwrap();
    let (late, since) = (Error::new(Kind::TimedOut, "it took too long"), Instant::now());
    let call = GivenUp { why: &late, since, is_behind: false };
    let mut stage = Stage::default();
    let again = stage.push(&child, Duration::ZERO, &call).unwrap();
    assert_eq!(stage.fate(false), Fate::Killed);
    assert!(again < Instant::now() + Duration::from_secs(1));
    assert_eq!(child.wait(None), Some(Exit::Signal(libc::SIGKILL)));
    drop((child, link));
    no_trace();
}

#[test]
fn nothing_stays_behind() {
    let _alone = alone();
    // This thread's bell is made once and stays.
    drop(spawn_toy());
    no_trace();
    let before = descriptors();
    for script in ["exit 0", "kill -9 $$", "exec 1>&- 2>&-; exit 1"] {
        let (child, link) = Child::spawn(&shell(script)).unwrap();
        child.wait(None);
        drop((child, link));
    }
    for _ in 0..3 {
        let (child, link, toy) = spawn_toy();
        toy.number("who", 0).unwrap();
        link.close();
        drop((toy, link));
        child.wait(None);
    }
    assert!(Child::spawn(&shell("").clone()).is_ok());
    assert!(Child::spawn(&Command { cwd: Some("/no/such".into()), ..shell("") }).is_err());
    no_trace();
    // Fewer when the thread of an earlier test was still ending at the first count.
    assert!(descriptors() <= before);
}

#[test]
fn a_forgotten_child_is_left_alone() {
    let _alone = alone();
    let (child, link, toy) = spawn_toy();
    child.forget();
    assert_eq!(child.kill().unwrap_err().kind(), Kind::Refused);
    assert_eq!(child.wait(None), None);
    drop(child);
    assert_eq!(toy.number("who", 0).unwrap(), 500);
    link.close();
}

fn until_ready(fd: impl AsFd) {
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], None).unwrap();
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Wait until no child, zombie or not, and no watching thread is left.
fn no_trace() {
    let deadline = Instant::now() + Duration::from_secs(20);
    let threads = || {
        let names = std::fs::read_dir("/proc/self/task").unwrap();
        let comm = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
        names.flatten().filter_map(|task| comm(task).ok()).any(|name| name.starts_with("saranwrap-"))
    };
    let children = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let list = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children"));
        tasks.flatten().filter_map(|task| list(task).ok()).any(|list| !list.trim().is_empty())
    };
    while threads() || children() {
        assert!(Instant::now() < deadline, "a child or its thread stays behind");
        std::thread::yield_now();
    }
}
