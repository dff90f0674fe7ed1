//! One wait of one thread on a link: what it may wait for, what may come of it, and who reads meanwhile.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use super::inbox::{Filed, Settlement};
use super::{Link, Side, State};
use crate::error::{Error, Kind, Result};
use crate::host::Host;
use crate::message::{Frame, Hello};
use crate::sys::fd::{Bell, PollFd, PollFlags, Polled, poll};
use crate::transport::Received;

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
    /// Ask the host whether to go on.
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
        let crew = &self.crew;
        self.inbox.take_call(|chain| crew.may_serve(side, chain, me)).map(Turn::Serve)
    }
}

impl Link {
    /// What this thread has to do next; waits for it, outside the host's world, when there is nothing yet.
    pub(super) fn turn(&self, host: &dyn Host, want: Want, me: &Arc<Bell>, deadline: Option<Instant>) -> Turn {
        // The host's code may have forked meanwhile.
        if let Err(error) = self.at_home() {
            return Turn::Failed(error);
        }
        let ready = self.state().turn_for(self.side, want, me);
        if let Some(turn) = ready {
            return turn;
        }
        let mut turn = None;
        host.detached(&mut || turn = Some(self.wait(want, me, deadline)));
        // A host that does not wait when told to may have a reason, and says so when asked.
        turn.unwrap_or(Turn::Interrupted)
    }

    /// The body of the other side's Hello.  There is no host yet, so that a signal cannot end this wait; the deadline does.
    pub(super) fn wait_for_hello(&self, deadline: Option<Instant>) -> Result<Hello> {
        let me = super::chain::bell()?;
        loop {
            match self.wait(Want::Hello, &me, deadline) {
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
            let round = self.lead(&me, Some(Instant::now()));
            self.state().crew.abdicate(&me);
            round.map_err(|error| self.fail(error))?;
        }
        self.usable()
    }

    fn wait(&self, want: Want, me: &Arc<Bell>, deadline: Option<Instant>) -> Turn {
        let mut state = self.state();
        state.crew.join(me);
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
            let round = if leads { self.lead(me, deadline) } else { follow(me, deadline) };
            let interrupted = matches!(round, Ok(Polled::Interrupted));
            // By the clock: where other threads have much to say, a poll of this one may never time out.
            late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if let Err(error) = round {
                self.break_with(error);
            }
            state = self.state();
            // At once, whatever else there is to do: the host has a signal to look after before it blocks again.
            if interrupted {
                break Turn::Interrupted;
            }
        };
        state.crew.leave(me);
        // This thread may have been the one to serve a call that it leaves lying.
        state.inbox.chains().for_each(|chain| state.crew.ring_for(self.side, chain, me));
        turn
    }

    /// One round of the thread that reads: wait for the transport, the process or the bell, and move what is there.
    fn lead(&self, me: &Arc<Bell>, deadline: Option<Instant>) -> Result<Polled> {
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
        }
        Ok(Polled::Ready)
    }

    /// The process has ended.  What it sent before still counts, though its socket may be open in a process that it started.
    fn receive_the_rest(&self, me: &Arc<Bell>) -> Result<Polled> {
        while self.receive(me)? == Received::More {}
        Err(Error::died(format!("the {} ended", self.side.other().name())))
    }

    fn receive(&self, me: &Arc<Bell>) -> Result<Received> {
        let mut frames = Vec::new();
        let received = self.transport.receive(&mut frames);
        self.file(frames, me)?;
        match received? {
            Received::Ended => {
                let who = self.side.other().name();
                Err(Error::died(format!("the {who} ended the conversation")))
            }
            received => Ok(received),
        }
    }

    fn file(&self, frames: Vec<Frame>, me: &Arc<Bell>) -> Result<()> {
        let mut state = self.state();
        for frame in frames {
            match state.inbox.file(frame)? {
                Filed::For(Some(bell)) => bell.ring(),
                Filed::Chain(chain) => state.crew.ring_for(self.side, chain, me),
                Filed::For(None) | Filed::Nobody => {}
            }
            if state.inbox.farewell() {
                let who = self.side.other().name();
                return Err(Error::died(format!("the {who} closed the link")));
            }
        }
        Ok(())
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
