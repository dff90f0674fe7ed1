//! Frames that have come in and wait for a thread: answers, calls, releases.  It checks what the protocol demands of them and
//! of their order; it does no I/O and knows no threads.
//!
//! Frames are numbered as they come.  A release is handed out only when everything that came before it has been looked at: an
//! answer may bring an object home whose release follows close behind, and with several threads the release would otherwise
//! reach the table before the answer is decoded.

use std::collections::VecDeque;

use super::Side;
use crate::error::{Error, Result};
use crate::message::{Frame, Kind, MAX_BODY, decode_releases};
use crate::pending::{Completed, Numbered, Pending};

/// How many calls of a child may wait at once, and how many bytes they may hold.  An honest child has one for each thread.
const MAX_CALLS: usize = 4096;
const MAX_CALL_BYTES: usize = 2 * MAX_BODY as usize;

/// How many released ids may wait at once.
const MAX_RELEASES: usize = 1 << 26;

/// Where the handshake stands.
#[derive(Debug, Default)]
enum Greeting {
    /// This side has not asked for it; tests leave it out.
    #[default]
    Open,
    /// Nothing but a Hello may come.
    Awaited,
    /// It has come and has not been read.
    Here(Vec<u8>),
    /// It is over.
    Done,
}

/// What a thread that holds no lock has to hand to the host.
#[derive(Debug)]
pub(super) struct Settlement {
    /// Answers that nobody waits for.
    pub(super) late: Vec<Vec<u8>>,
    /// Ids given back.
    pub(super) releases: Vec<(u64, u64)>,
}

/// Frames that wait for a thread.
#[derive(Debug)]
pub(super) struct Inbox {
    side: Side,
    greeting: Greeting,
    pub(super) pending: Pending,
    calls: VecDeque<(Frame, u64)>,
    call_bytes: usize,
    /// Calls that have come and are not answered yet.
    serving: Numbered<Service>,
    /// How many of those that no thread has taken yet were cancelled.
    doomed: usize,
    /// Those that are to be answered later and were cancelled.
    cancelled: Vec<u64>,
    late: Vec<Vec<u8>>,
    releases: VecDeque<(Vec<(u64, u64)>, u64)>,
    release_count: usize,
    /// The numbers of frames that nobody has decoded yet, and that later releases must wait for.
    undecoded: Vec<u64>,
    order: u64,
    farewell: bool,
}

/// A call that has come and is not answered yet.
#[derive(Debug, Default)]
pub(super) struct Service {
    chain: u64,
    /// It goes on without a thread, and is answered later.
    later: bool,
    /// Nobody waits for the answer any more.
    cancelled: bool,
    /// Whoever serves it has been told so.
    interrupted: bool,
    /// It was by another thread, and may not have heard it yet.
    pub(super) disturbed: bool,
}

/// For whom an incoming frame is of interest.
#[derive(Debug)]
pub(super) enum Filed {
    /// For whoever has this bell.
    For(Option<std::sync::Arc<crate::sys::fd::Bell>>),
    /// For whoever may serve this chain.
    Chain(u64),
    /// For whoever is in the middle of a call: it was cancelled.
    Cancelled,
    /// For whoever pumps: a call that goes on without a thread was cancelled.
    Pumper,
    /// For the reader itself.
    Nobody,
}

impl Inbox {
    pub(super) fn new(side: Side) -> Self {
        Self {
            side,
            greeting: Greeting::default(),
            pending: Pending::default(),
            calls: VecDeque::new(),
            call_bytes: 0,
            serving: Numbered::default(),
            doomed: 0,
            cancelled: Vec::new(),
            late: Vec::new(),
            releases: VecDeque::new(),
            release_count: 0,
            undecoded: Vec::new(),
            order: 0,
            farewell: false,
        }
    }

    /// Put a frame where it belongs.  An error means that the other side broke the protocol.
    pub(super) fn file(&mut self, frame: Frame) -> Result<Filed> {
        self.order += 1;
        if matches!(self.greeting, Greeting::Awaited) && frame.header.kind != Kind::Hello {
            return Err(Error::garbled(format!("a {:?} before the Hello", frame.header.kind)));
        }
        match frame.header.kind {
            Kind::Hello => self.file_hello(frame),
            Kind::Call => self.file_call(frame),
            Kind::Reply | Kind::Raised => self.file_answer(frame),
            Kind::Release => self.file_release(&frame),
            Kind::Cancel => self.file_cancel(&frame),
            Kind::Bye => {
                self.farewell = true;
                empty(&frame)
            }
        }
    }

    /// The handshake begins.  False when it is over already.
    pub(super) fn await_hello(&mut self) -> bool {
        if matches!(self.greeting, Greeting::Open) {
            self.greeting = Greeting::Awaited;
        }
        !matches!(self.greeting, Greeting::Done)
    }

    /// The other side's Hello, once.
    pub(super) fn take_hello(&mut self) -> Option<Vec<u8>> {
        if !matches!(self.greeting, Greeting::Here(_)) {
            return None;
        }
        match std::mem::replace(&mut self.greeting, Greeting::Done) {
            Greeting::Here(body) => Some(body),
            _ => None,
        }
    }

    /// The same for a thread that serves it while the current one says so.
    pub(super) fn disturb(&mut self, id: u64) -> bool {
        let due = self.interrupt(id);
        if let Some(service) = self.serving.get_mut(&id).filter(|_| due) {
            service.disturbed = true;
        }
        due
    }

    /// The first waiting call whose chain this thread may serve.
    pub(super) fn take_call(&mut self, may_serve: impl Fn(u64) -> bool) -> Option<Frame> {
        let index = self.calls.iter().position(|(frame, _)| may_serve(frame.header.chain))?;
        self.take_call_at(index)
    }

    /// The first waiting call that was cancelled, if its chain is one that no thread is in.
    pub(super) fn take_cancelled_call(&mut self, is_free: impl Fn(u64) -> bool) -> Option<Frame> {
        let cancelled = |frame: &Frame| self.is_cancelled(frame.header.id) && is_free(frame.header.chain);
        let index = self.calls.iter().position(|(frame, _)| cancelled(frame))?;
        self.take_call_at(index)
    }

    fn take_call_at(&mut self, index: usize) -> Option<Frame> {
        let (frame, order) = self.calls.remove(index)?;
        self.call_bytes -= frame.body.len();
        self.decoded(order);
        Some(frame)
    }

    /// The chains of the calls that wait for a thread.
    pub(super) fn chains(&self) -> impl Iterator<Item = u64> {
        self.calls.iter().map(|(frame, _)| frame.header.chain)
    }

    /// What can be handed to the host now.
    pub(super) fn settlement(&mut self) -> Option<Settlement> {
        if self.releases.is_empty() && self.late.is_empty() {
            return None;
        }
        let horizon = self.horizon();
        let mut releases = Vec::new();
        while self.releases.front().is_some_and(|(_, order)| *order < horizon) {
            let Some((batch, _)) = self.releases.pop_front() else { break };
            self.release_count -= batch.len();
            if releases.is_empty() { releases = batch } else { releases.extend(batch) }
        }
        if releases.is_empty() && self.late.is_empty() {
            return None;
        }
        Some(Settlement { late: std::mem::take(&mut self.late), releases })
    }

    /// The releases of such ids that can be handed out now, ahead of all else that waits.
    pub(super) fn released(&mut self, such: impl Fn(u64) -> bool) -> Vec<(u64, u64)> {
        let horizon = self.horizon();
        let mut found = Vec::new();
        for (batch, _) in self.releases.iter_mut().take_while(|(_, order)| *order < horizon) {
            found.extend(batch.extract_if(.., |(id, _)| such(*id)));
        }
        self.release_count -= found.len();
        found
    }

    /// What came from here on must wait for something that is not decoded yet.
    fn horizon(&self) -> u64 {
        self.undecoded.iter().copied().min().unwrap_or(u64::MAX)
    }

    /// A frame has been decoded; releases that came after it need not wait for it any more.
    pub(super) fn decoded(&mut self, order: u64) {
        // Mostly the only one: a list is faster here than any set.
        if let Some(index) = self.undecoded.iter().position(|&known| known == order) {
            self.undecoded.swap_remove(index);
        }
    }

    /// Nobody waits for the answer to this call any more.  False when it has come already.
    pub(super) fn abandon(&mut self, id: u64) -> bool {
        match self.pending.abandon(id) {
            Some((frame, order)) => {
                self.decoded(order);
                self.late.push(frame.body);
                false
            }
            None => true,
        }
    }

    /// Whether the other side has cancelled this call, which is being served.
    pub(super) fn is_cancelled(&self, id: u64) -> bool {
        self.serving.get(&id).is_some_and(|service| service.cancelled)
    }

    /// A thread takes the call.  Whether it is still worth it: it may have been cancelled.
    pub(super) fn begin(&mut self, id: u64) -> bool {
        if self.doomed == 0 || !self.is_cancelled(id) {
            return true;
        }
        self.doomed -= 1;
        false
    }

    /// How many calls of this side, and how many of the other, are not answered yet.
    pub(super) fn under_way(&self) -> (usize, usize) {
        (self.pending.len(), self.serving.len())
    }

    /// Whether nothing is under way, and no answer that has come is still to be decoded: it may bring objects.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way() == (0, 0) && self.undecoded.is_empty()
    }

    /// A call has been served.
    pub(super) fn served(&mut self, id: u64) -> Option<Service> {
        self.serving.remove(&id)
    }

    /// The thread leaves the call; it is answered later.  Whether the thread was interrupted by another one.
    pub(super) fn defer(&mut self, id: u64) -> bool {
        let Some(service) = self.serving.get_mut(&id) else { return false };
        service.later = true;
        if service.cancelled {
            self.cancelled.push(id);
        }
        std::mem::take(&mut service.disturbed)
    }

    /// The chain of a call that has begun and is not answered.  Whoever answers it later may be faster than the thread that
    /// leaves it.
    pub(super) fn chain_of(&self, id: u64) -> Option<u64> {
        self.serving.get(&id).filter(|_| !self.waits(id)).map(|service| service.chain)
    }

    /// Calls that are to be answered later and were cancelled since the last time.
    pub(super) fn take_cancelled(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.cancelled)
    }

    /// Whether whoever serves this call is to be interrupted: true once.
    pub(super) fn interrupt(&mut self, id: u64) -> bool {
        match self.serving.get_mut(&id) {
            Some(service) if service.cancelled => !std::mem::replace(&mut service.interrupted, true),
            _ => false,
        }
    }

    /// Whether the other side has said Bye.
    pub(super) fn farewell(&self) -> bool {
        self.farewell
    }

    /// The link is broken: no call will be served any more.
    pub(super) fn drop_calls(&mut self) {
        for (frame, order) in std::mem::take(&mut self.calls) {
            self.serving.remove(&frame.header.id);
            self.decoded(order);
        }
        self.call_bytes = 0;
        self.serving.retain(|_, service| !service.later);
        self.doomed = 0;
        self.cancelled.clear();
    }

    /// Whether no thread has taken this call yet.
    fn waits(&self, id: u64) -> bool {
        self.calls.iter().any(|(frame, _)| frame.header.id == id)
    }

    fn file_hello(&mut self, frame: Frame) -> Result<Filed> {
        if matches!(self.greeting, Greeting::Here(_) | Greeting::Done) {
            return Err(Error::garbled("a second Hello"));
        }
        self.greeting = Greeting::Here(frame.body);
        Ok(Filed::Nobody)
    }

    fn file_call(&mut self, frame: Frame) -> Result<Filed> {
        let (id, chain) = (frame.header.id, frame.header.chain);
        if !self.side.other().numbers(id) {
            return Err(Error::garbled(format!("the id {id:#x} of a call is one of ours")));
        }
        if self.serving.insert(id, Service { chain, ..Service::default() }).is_some() {
            return Err(Error::garbled(format!("the call {id:#x} is being served already")));
        }
        self.call_bytes += frame.body.len();
        // The parent may have thousands of calls on their way, and is trusted.
        if self.side == Side::Parent && (self.serving.len() > MAX_CALLS || self.call_bytes > MAX_CALL_BYTES) {
            return Err(Error::garbled("the child asks more at once than can be kept"));
        }
        self.undecoded.push(self.order);
        self.calls.push_back((frame, self.order));
        Ok(Filed::Chain(chain))
    }

    fn file_answer(&mut self, frame: Frame) -> Result<Filed> {
        match self.pending.complete(frame, self.order)? {
            Completed::Expected(bell) => {
                self.undecoded.push(self.order);
                Ok(Filed::For(bell))
            }
            Completed::Unwanted(body) => {
                self.late.push(body);
                Ok(Filed::Nobody)
            }
        }
    }

    fn file_release(&mut self, frame: &Frame) -> Result<Filed> {
        let batch = decode_releases(&frame.body)?;
        self.release_count += batch.len();
        if self.release_count > MAX_RELEASES {
            return Err(Error::garbled("more ids were released than can be kept"));
        }
        if !batch.is_empty() {
            self.releases.push_back((batch, self.order));
        }
        Ok(Filed::Nobody)
    }

    /// Cancelling is advice: a call that is answered already, or about to be, is not found any more, which is no fault.
    fn file_cancel(&mut self, frame: &Frame) -> Result<Filed> {
        empty(frame)?;
        let id = frame.header.id;
        let waits = self.waits(id);
        let Some(service) = self.serving.get_mut(&id) else { return Ok(Filed::Nobody) };
        if std::mem::replace(&mut service.cancelled, true) {
            return Ok(Filed::Nobody);
        }
        if waits {
            self.doomed += 1;
            return Ok(Filed::Nobody);
        }
        if !service.later {
            return Ok(Filed::Cancelled);
        }
        self.cancelled.push(id);
        Ok(Filed::Pumper)
    }
}

fn empty(frame: &Frame) -> Result<Filed> {
    if frame.body.is_empty() {
        return Ok(Filed::Nobody);
    }
    Err(Error::garbled(format!("a {:?} with a body", frame.header.kind)))
}
