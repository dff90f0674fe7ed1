//! The conversation of two processes: asking, serving, and waiting for both.  Which transport carries it, and what the bodies
//! mean, is not known here.
//!
//! # How it works
//!
//! The link has no thread and no loop of its own: whoever waits, reads.  Of the threads that wait on a link one leads.  It
//! waits for the transport, for the end of the other process and for its own bell, and puts what comes into the inbox; the
//! others wait for their bells.  A leader that has got what it wanted wakes another one to lead.  Each wait is a `poll`, so
//! that a signal reaches a thread that follows as well as one that leads.
//!
//! A thread may block only inside [`Host::detached`], but for a fraction of a millisecond (`wait` tells where), and foreign code runs
//! only outside it and with no lock held.
//!
//! There are two locks.  `state` guards what has come in and who waits for it, `send` guards what goes out.  No thread ever
//! holds both, and neither is held while anything waits.

mod side;
mod chain;
mod crew;
mod outbox;
mod inbox;
mod patience;
mod wait;
mod serve;
mod ask;
mod front;

use std::borrow::Cow;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::arena::{Arena, BLOCK, Room};
use crate::error::{Error, Kind, Result};
use crate::host::Host;
use crate::message::{self, HEADER_LEN, Header, Hello, MAX_HELLO, PROTOCOL, encode_releases};
use crate::sys::fd::Bell;
use crate::sys::process::{self, Alarm};
use crate::transport::Transport;
use crate::wire::Writer;
pub use ask::Answer;
pub use chain::{Visit, set_strand};
use crew::Crew;
pub use front::{Front, Taken};
use inbox::Inbox;
use outbox::Outbox;
use patience::Patience;
pub use side::Side;

/// How long a thread looks for an answer before it sleeps, at most.
const FOR_ANSWERS: Duration = Duration::from_micros(50);

/// How long a child looks for the next call.  Well above the time that it takes to be woken: with less, a caller that sleeps while
/// the child does would find it asleep every time.
const FOR_CALLS: Duration = Duration::from_micros(200);

/// What has gone over a link so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Calls this side has made.
    pub calls_asked: u64,
    /// Calls this side has answered.
    pub calls_served: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
}

/// One conversation, as one side sees it.
pub struct Link {
    /// Tells this link from the others in the stack of a thread.
    number: u64,
    side: Side,
    transport: Box<dyn Transport>,
    process: OnceLock<OwnedFd>,
    at_end: OnceLock<Arc<Bell>>,
    forgotten: AtomicBool,
    /// Whether `state` has an error, to be read without its lock.
    broken: AtomicBool,
    state: Mutex<State>,
    send: Mutex<Outbox>,
    /// How many bytes wait in `send`, to be read without its lock.
    backlog: AtomicUsize,
    for_answers: Patience,
    for_calls: Patience,
    /// Whoever left the host's world last had to wait for a thread there that kept it.
    is_crowded: AtomicBool,
    calls: AtomicU64,
    chains: AtomicU64,
    served: AtomicU64,
}

/// What `state` guards.
struct State {
    inbox: Inbox,
    crew: Crew,
    /// Why the link is broken.  The first reason stays.
    error: Option<Error>,
    /// Room for frames that come in, lent to the leader.
    spare: Vec<message::Frame>,
    /// Tells the main thread of a child that the other side gave up a call which a thread is in the middle of.
    alarm: Alarm,
}

impl Link {
    /// A conversation over this transport.
    pub fn new(transport: Box<dyn Transport>, side: Side) -> Arc<Self> {
        static LINKS: AtomicU64 = AtomicU64::new(0);
        // With one processor nothing happens while somebody looks for it.
        let [for_answers, for_calls] = [FOR_ANSWERS, FOR_CALLS]
            .map(|bound| Patience::new(if process::has_company() { bound } else { Duration::ZERO }));
        Arc::new(Self {
            number: LINKS.fetch_add(1, Ordering::Relaxed),
            side,
            transport,
            process: OnceLock::new(),
            at_end: OnceLock::new(),
            forgotten: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            state: Mutex::new(State {
                inbox: Inbox::new(side),
                crew: Crew::default(),
                error: None,
                spare: Vec::new(),
                alarm: Alarm::default(),
            }),
            send: Mutex::default(),
            backlog: AtomicUsize::new(0),
            for_answers,
            for_calls,
            is_crowded: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            chains: AtomicU64::new(0),
            served: AtomicU64::new(0),
        })
    }

    /// How long a thread may look for what it waits for before it sleeps; nothing at all where the transport has nothing to look at.
    /// Within this bound the link finds out by itself what is worth it.
    pub fn set_spin(&self, bound: Duration) {
        self.for_answers.set_bound(bound);
        self.for_calls.set_bound(bound);
    }

    /// End waits when this process has ended, too: its socket may live on in a process that it started.
    pub fn watch(&self, pidfd: OwnedFd) {
        // A second one would be for the same process; the first stays.
        let _ = self.process.set(pidfd);
    }

    /// Ring this bell when the link ends, for whatever reason.
    pub fn ring_at_end(&self, bell: Arc<Bell>) {
        let bell = self.at_end.get_or_init(|| bell);
        // It may have ended already.
        if self.error().is_some() {
            bell.ring();
        }
    }

    /// Say who we are and wait for who they are.
    pub fn hello(&self, hello: &Hello, deadline: Option<Instant>) -> Result<Hello> {
        self.usable()?;
        let body = hello.encode()?;
        if body.len() > MAX_HELLO as usize {
            return Err(Error::refused(format!("a Hello of {} bytes is too long", body.len())));
        }
        if !self.state().inbox.await_hello() {
            return Err(Error::refused("the handshake is over"));
        }
        self.post(&header(message::Kind::Hello, 0, 0, &body), Cow::Owned(body))?;
        let theirs = self.wait_for_hello(deadline).map_err(|error| self.fail(error))?;
        if theirs.protocol == PROTOCOL {
            return Ok(theirs);
        }
        Err(self.fail(Error::refused(format!(
            "the {} speaks version {} of the protocol, this side version {PROTOCOL}",
            self.side.other().name(),
            theirs.protocol,
        ))))
    }

    /// Hand what has been given back to the host, and send what the host gives back.  Never waits: what cannot go now stays
    /// with the host.
    pub fn flush_releases(&self, host: &dyn Host) -> Result<()> {
        self.pump()?;
        self.settle(host)?;
        if self.backlog.load(Ordering::Acquire) > 0 {
            return Ok(());
        }
        let frame = release_frame(&host.queued_releases());
        if frame.is_empty() { Ok(()) } else { self.post(&frame, Cow::Borrowed(&[])) }
    }

    /// Room in the arena for so many bytes to send. A block that was given back just now has pages, which to make anew takes ten times
    /// as long as to fill them; so what has come is looked through for that. Nothing of the host's runs.
    pub fn room(&self, arena: &Arc<Arena>, len: usize) -> Option<Room> {
        if arena.usage().blocks_out > 0 && self.pump().is_ok() {
            let given_back = self.state().inbox.released(|id| id & BLOCK != 0);
            let known = given_back.iter().try_for_each(|&(id, count)| arena.released(id, count));
            known.map_err(|error| self.fail(error)).ok()?;
        }
        arena.room(len)
    }

    /// Send ids back now, from a destructor: without waiting, and without running anything of the host's.  Whether they went;
    /// if not, they are to ride on the next frame.
    pub fn send_releases(&self, releases: &[(u64, u64)]) -> bool {
        if self.usable().is_err() || self.backlog.load(Ordering::Acquire) > 0 {
            return false;
        }
        self.post(&release_frame(releases), Cow::Borrowed(&[])).is_ok()
    }

    /// End the conversation: say Bye if that goes without waiting, and wake every waiter.
    pub fn close(&self) {
        self.end(Error::closed("the link was closed"), Parting::Bye, |_| true);
    }

    /// End the conversation as [`close`](Self::close) does, unless something is under way or was asked since the first `asked` calls.
    /// Whether it has ended: then a call that was about to be made fails without a byte of it having gone.
    pub fn retire(&self, asked: u64) -> bool {
        let is_idle = |state: &State| state.inbox.is_idle() && self.calls.load(Ordering::Relaxed) == asked;
        self.at_home().is_ok() && self.end(Error::closed("the link was closed"), Parting::Bye, is_idle)
    }

    /// How many calls of this side, and how many of the other, are not answered yet.
    pub fn under_way(&self) -> (usize, usize) {
        if self.at_home().is_err() { (0, 0) } else { self.state().inbox.under_way() }
    }

    /// Break the link for good.  The first error stays; every later call repeats it, and every waiter wakes with it.
    pub fn break_with(&self, error: Error) {
        self.end(error, Parting::Silent, |_| true);
    }

    /// Why the link is broken, if it is.
    pub fn error(&self) -> Option<Error> {
        self.usable().err()
    }

    /// Ring this bell when something has come for whoever pumps this link rather than waits: another thread read it, or it was read
    /// during a wait of the same thread's.  Then the descriptor is silent: pump on either.
    pub fn set_pumper(&self, bell: Option<Arc<Bell>>) {
        self.state().crew.set_pumper(bell);
    }

    /// Signal the current thread, which has the host's handler of that signal, whenever a call that a thread is in the middle of is
    /// cancelled.  For as long as the link lives that thread has to.
    pub fn sound_alarm_here(&self, signal: i32) {
        self.state().alarm = Alarm::here(signal);
    }

    /// What has gone over the link so far.
    pub fn stats(&self) -> Stats {
        let (bytes_in, bytes_out) = self.transport.bytes();
        Stats {
            calls_asked: self.calls.load(Ordering::Relaxed),
            calls_served: self.served.load(Ordering::Relaxed),
            bytes_in,
            bytes_out,
        }
    }

    /// The chain that the current thread is in on this link.
    pub fn chain(&self) -> Option<u64> {
        chain::current(self.number)
    }

    /// Be in a chain, a new one if the current thread is in none: what is asked while the guard lives belongs to it.
    ///
    /// A face that keeps something for the length of a chain needs to know it before it writes the call.
    pub fn enter(&self) -> Result<Option<Visit>> {
        self.usable()?;
        match self.chain() {
            Some(_) => Ok(None),
            None => Visit::begin(self.number, self.new_chain(), None).map(Some),
        }
    }

    /// The descriptor that is readable when [`pump`](Self::pump) has something to do.  It is `pump` that asks for it to be: pump, look
    /// what has come, and only then wait.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.transport.read_fd()
    }

    /// The descriptor to wait for until it is writable, while something is left to send.
    pub fn write_fd(&self) -> Option<BorrowedFd<'_>> {
        if self.backlog.load(Ordering::Acquire) > 0 { self.transport.write_fd() } else { None }
    }

    /// After a fork, in the new process: the link is broken here, and goes on for the process it belongs to.
    ///
    /// Nothing is locked, now or later: a lock may have been held, at the moment of the fork, by a thread that this process
    /// does not have.
    pub fn forget(&self) {
        self.forgotten.store(true, Ordering::Release);
    }

    /// Put bytes in order to be sent.  What does not go at once goes when the leader finds room.
    fn post(&self, head: &[u8], body: Cow<'_, [u8]>) -> Result<()> {
        let posted = {
            let mut outbox = self.outbox();
            let posted = outbox.post(&*self.transport, head, body);
            self.backlog.store(outbox.waiting(), Ordering::Release);
            posted.map(|()| outbox.waiting())
        };
        match posted {
            Ok(0) => Ok(()),
            Ok(_) => {
                self.state().crew.ring_leader();
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Send what waits, if anything does.
    fn flush(&self) -> Result<()> {
        if self.backlog.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let mut outbox = self.outbox();
        let flushed = outbox.flush(&*self.transport);
        self.backlog.store(outbox.waiting(), Ordering::Release);
        flushed
    }

    /// Break the link and say why it is broken, which may be an older story.
    fn fail(&self, error: Error) -> Error {
        self.break_with(error.clone());
        self.error().unwrap_or(error)
    }

    /// Whether this was what ended it.
    fn end(&self, error: Error, parting: Parting, may_end: impl FnOnce(&State) -> bool) -> bool {
        if self.forgotten.load(Ordering::Acquire) {
            return false;
        }
        {
            let mut state = self.state();
            if let Some(first) = &state.error {
                // Except that a lie stays a lie, though the liar was gone before it was read.
                if first.kind() == Kind::Died && error.kind() == Kind::Garbled {
                    state.error = Some(error);
                }
                return false;
            }
            if !may_end(&state) {
                return false;
            }
            state.error = Some(error);
            self.broken.store(true, Ordering::Release);
            state.inbox.drop_calls();
            state.inbox.pending.fail_all().iter().for_each(|bell| bell.ring());
            state.crew.ring_all();
        }
        {
            let mut outbox = self.outbox();
            if parting == Parting::Bye {
                let bye = header(message::Kind::Bye, 0, 0, &[]);
                let _ = outbox.post(&*self.transport, &bye, Cow::Borrowed(&[]));
            }
            outbox.end();
            self.backlog.store(0, Ordering::Release);
        }
        self.transport.shut_down();
        self.ring_the_end();
        true
    }

    fn ring_the_end(&self) {
        if let Some(bell) = self.at_end.get() {
            bell.ring();
        }
    }

    fn usable(&self) -> Result<()> {
        self.at_home()?;
        if !self.broken.load(Ordering::Acquire) {
            return Ok(());
        }
        self.state().error.clone().map_or(Ok(()), Err)
    }

    /// Whether this process is the one that the link belongs to.  To be asked before every lock that follows foreign code.
    fn at_home(&self) -> Result<()> {
        if self.forgotten.load(Ordering::Acquire) {
            return Err(Error::closed("this link belongs to another process"));
        }
        Ok(())
    }

    /// The number of a chain that nobody is in.
    pub fn new_chain(&self) -> u64 {
        self.side.number(self.chains.fetch_add(1, Ordering::Relaxed) + 1)
    }

    // A panic while a lock is held would be a fault of this crate's own; what the lock guards is still whole, since no
    // change under it is made in two steps that could be torn apart.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.send.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if !self.forgotten.load(Ordering::Acquire) {
            self.ring_the_end();
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("side", &self.side).field("number", &self.number).finish()
    }
}

/// Whether the other side is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parting {
    Bye,
    Silent,
}

fn header(kind: message::Kind, id: u64, chain: u64, body: &[u8]) -> [u8; HEADER_LEN] {
    // Every body was checked against MAX_BODY, which fits.
    Header { kind, id, chain, len: body.len() as u32 }.encode()
}

/// A whole Release frame, or nothing.
fn release_frame(releases: &[(u64, u64)]) -> Vec<u8> {
    if releases.is_empty() {
        return Vec::new();
    }
    let mut body = Writer::new();
    encode_releases(releases, &mut body);
    [&header(message::Kind::Release, 0, 0, body.as_slice()), body.as_slice()].concat()
}
