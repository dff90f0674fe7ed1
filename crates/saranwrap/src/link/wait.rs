//! One wait of one thread on a link: what it may wait for, what may come of it, and who reads meanwhile.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::inbox::{Filed, Settlement};
use super::patience::{Naps, Patience};
use super::{Link, Side, State};
use crate::error::{Error, Kind, Result};
use crate::host::Host;
use crate::message::{Frame, Hello};
use crate::sys::fd::{Bell, PollFd, PollFlags, Polled, poll};
use crate::transport::Received;

/// How long the leader looks before it leaves the host's world.
const ATTACHED: Duration = Duration::from_micros(50);

/// How long it then sleeps before it leaves, where coming back takes longer than that: as long as it takes to wake the other side, or
/// to give it the processor that this thread is on.
const DOZING: Duration = Duration::from_micros(200);

/// Who takes longer to come back into the host's world has waited for a thread that does not leave it by itself.
const RETURNING: Duration = Duration::from_millis(1);

/// How often it finds something for others before it does.
const FINDS: usize = 64;

/// What a thread waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// The answer to this call.
    Answer(u64),
    /// Something to serve.
    Call,
    /// The other side's Hello; nothing is served before.
    Hello,
}

/// What a thread has to do next.
#[derive(Debug)]
pub(super) enum Turn {
    /// Take the answer; its number is released by whoever decodes it.
    Answer(Frame, u64),
    /// Read the Hello.
    Hello(Vec<u8>),
    /// Hand this to the host.
    Settle(Settlement),
    /// Serve this call.
    Serve(Frame),
    /// Give up: the link is broken.
    Failed(Error),
    /// Ask the host whether to go on: a signal came, or may have come.
    Interrupted,
    /// Give up: it is late.
    TimedOut,
}

impl State {
    /// What is there for this thread.  What it waits for comes before the end of the link: an answer that came is an answer.
    pub(super) fn turn_for(&mut self, side: Side, want: Want, me: &Arc<Bell>) -> Option<Turn> {
        let wanted = match want {
            Want::Answer(id) => self.inbox.pending.take(id).map(|(frame, order)| Turn::Answer(frame, order)),
            Want::Hello => self.inbox.take_hello().map(Turn::Hello),
            Want::Call => None,
        };
        if wanted.is_some() {
            return wanted;
        }
        if let Some(error) = &self.error {
            return Some(Turn::Failed(error.clone()));
        }
        if want == Want::Hello {
            return None;
        }
        if let Some(settlement) = self.inbox.settlement() {
            return Some(Turn::Settle(settlement));
        }
        let (crew, idle) = (&self.crew, want == Want::Call);
        self.inbox.take_call(|chain| crew.may_serve(side, chain, me, idle)).map(Turn::Serve)
    }

    /// Put frames where they belong, and wake whom they are for.
    fn file(&mut self, side: Side, frames: &mut Vec<Frame>, me: &Arc<Bell>) -> Result<()> {
        for frame in frames.drain(..) {
            let id = frame.header.id;
            match self.inbox.file(frame)? {
                Filed::For(Some(bell)) => {
                    self.crew.note_answer(&bell, id);
                    if !Arc::ptr_eq(&bell, me) {
                        bell.ring();
                    }
                }
                Filed::Chain(chain) => self.crew.ring_for(side, chain, me),
                Filed::For(None) | Filed::Pumper => self.crew.ring_pumper(),
                Filed::Cancelled => self.alarm.sound(),
                Filed::Nobody => {}
            }
            if self.inbox.farewell() {
                return Err(Error::died(format!("the {} closed the link", side.other().name())));
            }
        }
        Ok(())
    }
}

impl Link {
    /// What this thread has to do next; looks for it, and then waits, outside the host's world, when there is nothing yet.
    pub(super) fn turn(
        &self,
        host: &dyn Host,
        want: Want,
        me: &Arc<Bell>,
        deadline: Option<Instant>,
        naps: &mut Naps,
    ) -> Turn {
        // The host's code may have forked meanwhile.
        if let Err(error) = self.at_home() {
            return Turn::Failed(error);
        }
        let limit = self.patience(want).limit();
        let spare = {
            let mut state = self.state();
            if let Some(turn) = state.turn_for(self.side, want, me) {
                return turn;
            }
            let looks = !limit.is_zero() && state.crew.lead(me);
            looks.then(|| std::mem::take(&mut state.spare))
        };
        if let Some(spare) = spare
            && let Some(turn) =
                self.look(want, me, limit.min(ATTACHED), spare).or_else(|| self.doze(want, me, deadline, limit))
        {
            return turn;
        }
        let (mut turn, mut since) = (None, None);
        host.detached(&mut || {
            turn = Some(self.wait(want, me, deadline, naps.begin(), limit));
            since = Some(Instant::now());
        });
        self.is_crowded.store(since.is_some_and(|since| since.elapsed() > RETURNING), Ordering::Relaxed);
        // A host that does not wait when told to may have a reason, and says so when asked.
        turn.unwrap_or_else(|| {
            self.state().crew.abdicate(me);
            Turn::Interrupted
        })
    }

    fn patience(&self, want: Want) -> &Patience {
        if want == Want::Call { &self.for_calls } else { &self.for_answers }
    }

    /// The leader looks for its turn without leaving the host's world.  A host with a global lock that others are after would wait
    /// for it far longer, after a sleep however short, than most answers take.
    fn look(&self, want: Want, me: &Arc<Bell>, limit: Duration, mut frames: Vec<Frame>) -> Option<Turn> {
        for _ in 0..FINDS {
            if !self.transport.spin(limit) {
                return None;
            }
            let received = self.transport.receive(&mut frames);
            let (turn, filed) = {
                let mut state = self.state();
                let filed = state.file(self.side, &mut frames, me);
                let turn = state.turn_for(self.side, want, me);
                if turn.is_some() {
                    state.crew.abdicate(me);
                    state.spare = std::mem::take(&mut frames);
                }
                (turn, filed)
            };
            let heard = filed.and_then(|()| self.still_there(received?)).and_then(|_| self.flush());
            if let Err(error) = heard {
                self.break_with(error);
            }
            if turn.is_some() {
                return turn;
            }
        }
        None
    }

    /// The same, asleep after a while, where it takes milliseconds to come back: not every answer that comes soon can be looked for.
    /// Elsewhere other threads of the host had better go on meanwhile.
    fn doze(&self, want: Want, me: &Arc<Bell>, deadline: Option<Instant>, limit: Duration) -> Option<Turn> {
        if !matches!(want, Want::Answer(_)) || !self.is_crowded.load(Ordering::Relaxed) {
            return None;
        }
        let until = Instant::now() + DOZING;
        match self.wait(want, me, deadline, Some(until), limit) {
            Turn::Interrupted if Instant::now() >= until => None,
            turn => Some(turn),
        }
    }

    /// The body of the other side's Hello.  There is no host yet, so that a signal cannot end this wait; the deadline does.
    pub(super) fn wait_for_hello(&self, deadline: Option<Instant>) -> Result<Hello> {
        let me = super::chain::bell()?;
        loop {
            match self.wait(Want::Hello, &me, deadline, Naps::new().begin(), self.for_answers.limit()) {
                Turn::Hello(body) => return Hello::decode(&body),
                Turn::Failed(error) => return Err(error),
                Turn::TimedOut => {
                    let what = format!("the {} did not say Hello in time", self.side.other().name());
                    return Err(Error::new(Kind::TimedOut, what));
                }
                _ => {}
            }
        }
    }

    /// Move bytes without waiting: what goes out, and what has come in unless another thread is reading.
    pub fn pump(&self) -> Result<()> {
        self.usable()?;
        let me = super::chain::bell()?;
        if self.state().crew.lead(&me) {
            let round = self.pump_as_leader(&me);
            self.state().crew.pass_on(&me);
            round.map_err(|error| self.fail(error))?;
        }
        self.usable()
    }

    /// Leaves the transport parked, so that its descriptor tells whoever watches it of what comes next.
    fn pump_as_leader(&self, me: &Arc<Bell>) -> Result<()> {
        loop {
            self.lead(me, Some(Instant::now()), Duration::ZERO)?;
            if self.transport.park()? {
                return Ok(());
            }
        }
    }

    /// Look for so long, and then sleep: until there is something, or the deadline or the end of the nap comes.
    fn wait(
        &self,
        want: Want,
        me: &Arc<Bell>,
        deadline: Option<Instant>,
        nap: Option<Instant>,
        limit: Duration,
    ) -> Turn {
        let until = deadline.into_iter().chain(nap).min();
        let since = Instant::now();
        let mut state = self.state();
        state.crew.join(me, want == Want::Call);
        let mut late = false;
        let turn = loop {
            if let Some(turn) = state.turn_for(self.side, want, me) {
                break turn;
            }
            if late {
                break Turn::TimedOut;
            }
            let leads = state.crew.lead(me);
            drop(state);
            let limit = limit.saturating_sub(since.elapsed());
            let round = if leads { self.lead(me, until, limit) } else { follow(me, until) };
            // By the clock: where other threads have much to say, a poll of this one may never time out.
            let now = Instant::now();
            late = deadline.is_some_and(|deadline| now >= deadline);
            let interrupted = matches!(round, Ok(Polled::Interrupted)) || nap.is_some_and(|nap| now >= nap);
            if let Err(error) = round {
                self.break_with(error);
            }
            state = self.state();
            // At once, whatever else there is to do: the host has a signal to look after before it blocks again.
            if interrupted {
                break Turn::Interrupted;
            }
        };
        let waited = since.elapsed();
        // A wait that goes on says nothing yet.
        if waited > limit && !matches!(turn, Turn::Interrupted) {
            self.patience(want).slept(waited);
        }
        state.crew.leave(me);
        // This thread may have been the one to serve a call that it leaves lying.
        state.inbox.chains().for_each(|chain| state.crew.ring_for(self.side, chain, me));
        turn
    }

    /// One round of the thread that reads: look for so long, then wait for the transport, the process or the bell, and move what is
    /// there.
    pub(super) fn lead(&self, me: &Arc<Bell>, deadline: Option<Instant>, limit: Duration) -> Result<Polled> {
        if (!limit.is_zero() && self.transport.spin(limit)) || !self.transport.park()? {
            self.receive(me)?;
            self.flush()?;
            return Ok(Polled::Ready);
        }
        let round = self.sleep(me, deadline);
        self.transport.unpark();
        round
    }

    fn sleep(&self, me: &Arc<Bell>, deadline: Option<Instant>) -> Result<Polled> {
        // The bell stands in for what is not to be watched; a descriptor may be polled twice.
        let bell = PollFd::from_borrowed_fd(me.as_fd(), PollFlags::IN);
        let process = self.process.get();
        let mut fds = [
            PollFd::from_borrowed_fd(self.transport.read_fd(), PollFlags::IN),
            self.write_fd().map_or(bell.clone(), |fd| PollFd::from_borrowed_fd(fd, PollFlags::OUT)),
            process.map_or(bell.clone(), |process| PollFd::new(process, PollFlags::IN)),
            bell,
        ];
        let polled = poll(&mut fds, deadline).map_err(|error| Error::os("could not wait for the link", error))?;
        if polled != Polled::Ready {
            return Ok(polled);
        }
        let [readable, writable, ended, rung] = fds.map(|fd| !fd.revents().is_empty());
        if rung {
            me.clear();
        }
        if writable {
            self.flush()?;
        }
        if ended && process.is_some() {
            return self.receive_the_rest(me);
        }
        if readable {
            self.receive(me)?;
            // The room for what could not go may be told by the same descriptor.
            self.flush()?;
        }
        Ok(Polled::Ready)
    }

    /// The process has ended.  What it sent before still counts, though its socket may be open in a process that it started.
    fn receive_the_rest(&self, me: &Arc<Bell>) -> Result<Polled> {
        while self.receive(me)? == Received::More {}
        Err(Error::died(format!("the {} ended", self.side.other().name())))
    }

    pub(super) fn receive(&self, me: &Arc<Bell>) -> Result<Received> {
        let mut frames = Vec::new();
        let received = self.transport.receive(&mut frames);
        self.state().file(self.side, &mut frames, me)?;
        self.still_there(received?)
    }

    fn still_there(&self, received: Received) -> Result<Received> {
        match received {
            Received::Ended => {
                let who = self.side.other().name();
                Err(Error::died(format!("the {who} ended the conversation")))
            }
            received => Ok(received),
        }
    }
}

/// Wait for the bell: another thread reads.
fn follow(me: &Bell, deadline: Option<Instant>) -> Result<Polled> {
    let mut fds = [PollFd::new(me, PollFlags::IN)];
    let polled = poll(&mut fds, deadline).map_err(|error| Error::os("could not wait for a bell", error))?;
    if polled == Polled::Ready {
        me.clear();
    }
    Ok(polled)
}
