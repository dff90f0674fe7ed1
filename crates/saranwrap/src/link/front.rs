//! Asking without waiting, for those who wait for much else besides: event loops, hubs of greenlets, a thread for many futures.
//!
//! A front has one descriptor, which is readable when there is something to do for it.  Then it pumps: what has come moves in, and the
//! front takes the calls of its own that are answered, and what the other side asks in their chains.  Threads that wait on the same
//! link read for a front as well, and ring its bell.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use super::Link;
use super::wait::{Turn, Want};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::message::Frame;
use crate::sys::fd::{Bell, Gathered, move_high};

/// Somebody who has calls on their way and waits for none of them.
#[derive(Debug)]
pub struct Front {
    bell: Arc<Bell>,
    gathered: Gathered,
    /// The descriptor that is written to, as long as something waits for room.  Whoever holds this pumps.
    writing: Mutex<Option<OwnedFd>>,
}

/// A call of the other side that has been taken, and not been served yet.
#[derive(Debug)]
#[must_use = "the other side waits for the answer"]
pub struct Taken {
    frame: Frame,
}

impl Taken {
    /// Its number.
    pub fn id(&self) -> u64 {
        self.frame.header.id
    }

    /// The chain that it belongs to.
    pub fn chain(&self) -> u64 {
        self.frame.header.chain
    }
}

impl AsFd for Front {
    /// Readable when [`Link::pump_for`] has something to do.  It is that which asks for it to be: pump, take what has come, and only then
    /// wait.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.gathered.as_fd()
    }
}

impl Link {
    /// A front, to be withdrawn when it is used no more.
    pub fn front(&self) -> Result<Front> {
        self.usable()?;
        let os = |error| Error::os("could not gather the descriptors of a link", error);
        let front = Front {
            bell: Arc::new(Bell::new().map_err(os)?),
            gathered: Gathered::new().map_err(os)?,
            writing: Mutex::default(),
        };
        front.gathered.add(self.transport.read_fd()).map_err(os)?;
        front.gathered.add(&*front.bell).map_err(os)?;
        if let Some(process) = self.process.get() {
            front.gathered.add(process).map_err(os)?;
        }
        self.state().crew.add_front(&front.bell);
        Ok(front)
    }

    /// The front takes nothing more.
    pub fn withdraw(&self, front: &Front) {
        if self.at_home().is_ok() {
            self.state().crew.remove_front(&front.bell);
        }
    }

    /// Ask without waiting, in this chain: what the other side asks in it is for the front, unless it is for a thread already.  With the
    /// id, whether the chain is the front's from now on, until [`end_chain`](Self::end_chain).
    pub fn begin(&self, host: &dyn Host, front: &Front, chain: u64, body: &[u8]) -> Result<(u64, bool)> {
        self.check(body)?;
        self.settle(host)?;
        let id = self.new_call();
        let begins = {
            let mut state = self.state();
            state.inbox.pending.add(id, Some(Arc::clone(&front.bell)));
            state.crew.front_chain(chain, &front.bell)
        };
        self.post_call(host, id, chain, body)?;
        self.watch_room(front)?;
        Ok((id, begins))
    }

    /// A call of the front's whose chain began with it is over.
    pub fn end_chain(&self, chain: u64) {
        if self.at_home().is_ok() {
            self.state().crew.end_chain(chain);
        }
    }

    /// The next call of the front that is answered: [`finish`](Self::finish) has what came, unless it was given up meanwhile.  When the
    /// link has ended, what came before is still to be had.
    pub fn answered(&self, front: &Front) -> Option<u64> {
        self.at_home().ok()?;
        self.state().crew.next_answered(&front.bell)
    }

    /// The next call of the other side that the front is to serve, and what has been given back, which goes to the host.
    pub fn take(&self, host: &dyn Host, front: &Front) -> Result<Option<Taken>> {
        loop {
            self.at_home()?;
            let turn = self.state().turn_for(self.side, Want::Call, &front.bell);
            match turn {
                None => return Ok(None),
                Some(Turn::Failed(error)) => return Err(error),
                Some(Turn::Serve(frame)) => return Ok(Some(Taken { frame })),
                Some(turn) => self.attend(host, turn, &front.bell)?,
            }
        }
    }

    /// Serve a call that was taken.  Any thread may.
    pub fn serve_taken(&self, host: &dyn Host, front: &Front, taken: &Taken) -> Result<()> {
        self.serve_one(host, &taken.frame, &front.bell)
    }

    /// Move bytes without waiting, and leave the descriptor such that it tells of what comes next.
    pub fn pump_for(&self, front: &Front) -> Result<()> {
        // Where another thread does just that nothing is left to do.
        let Some(writing) = front.writing() else { return self.usable() };
        self.usable()?;
        front.bell.clear();
        if self.state().crew.lead(&front.bell) {
            let round = self.move_all(front);
            self.state().crew.pass_on(&front.bell);
            round.map_err(|error| self.fail(error))?;
        }
        drop(writing);
        self.watch_room(front)?;
        self.usable()
    }

    /// Look for so long at most whether something comes.  It is for whoever would sleep otherwise.
    pub fn look_for(&self, limit: Duration) -> bool {
        self.usable().is_ok() && self.transport.spin(limit.min(self.for_answers.bound()))
    }

    fn move_all(&self, front: &Front) -> Result<()> {
        let (before, _) = self.transport.bytes();
        // What most wake-ups are about is found without asking the kernel.
        self.receive(&front.bell)?;
        self.flush()?;
        if self.transport.bytes().0 == before {
            self.lead(&front.bell, Some(Instant::now()), Duration::ZERO)?;
        }
        while !self.transport.park()? {
            self.receive(&front.bell)?;
            self.flush()?;
        }
        Ok(())
    }

    /// Have the descriptor tell of room as well, as long as something waits for it.
    fn watch_room(&self, front: &Front) -> Result<()> {
        let room = self.write_fd();
        let Some(mut writing) = front.writing() else { return Ok(()) };
        let os = |error| Error::os("could not watch a link", error);
        match (room, writing.take()) {
            // Under a number of its own: it may be the one that is read from, which is watched already.
            (Some(room), None) => {
                let room = move_high(room).map_err(os)?;
                front.gathered.add_writing(&room).map_err(os)?;
                *writing = Some(room);
            }
            (None, Some(room)) => front.gathered.remove(&room).map_err(os)?,
            (_, watched) => *writing = watched,
        }
        Ok(())
    }
}

impl Front {
    /// Wake whoever waits for its descriptor.
    pub fn ring(&self) {
        self.bell.ring();
    }

    /// None while another thread pumps. A panic while the lock was held left nothing half done.
    fn writing(&self) -> Option<MutexGuard<'_, Option<OwnedFd>>> {
        match self.writing.try_lock() {
            Ok(writing) => Some(writing),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
