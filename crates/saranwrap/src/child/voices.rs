//! What a child says on its standard output, on its standard error and beside them, and where that goes.
//!
//! # How it works
//!
//! Each voice is a pipe.  The thread that watches over the child reads it as soon as there is something, so that a child which
//! dies has been heard.  Whoever wants to know what has been kept reads the pipe as well, under the same lock: what the child wrote
//! before it answered is there when the answer is.
//!
//! Nothing here grows with what a child says.  What is kept has a bound, and loses its beginning; where everything has to be
//! delivered, nothing is read while too much waits for that, and the child waits in its `write`.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::io::Errno;

use crate::sys::fd::{self, PollFd, PollFlags, Polled, poll};

/// How much of what a child wrote to stderr is kept for its obituary.
const LAST_WORDS: usize = 64 << 10;

/// How much is read at once.  A pipe that is writable has room for this much, so that copying it never waits.
const CHUNK: usize = 4096;

/// How much may wait for being delivered.
const WAITING: usize = 64 << 10;

/// How much is taken from a pipe whose writer has ended, or is not to be trusted to stop.
const MOST_AT_ONCE: usize = 4 << 20;

/// Where a voice goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Destination {
    /// To where ours goes.
    #[default]
    Ours,
    /// The last bytes are kept, this many.
    Kept(usize),
    /// To whoever calls [`Listener::hear`](super::Listener::hear).
    Told,
}

/// Where the two standard voices of a child go.
#[derive(Debug, Clone, Copy, Default)]
pub struct Says {
    /// Its standard output.
    pub stdout: Destination,
    /// Its standard error.  The end of it is kept for the obituary as well.
    pub stderr: Destination,
}

/// The voices of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// What it has to tell beside its output, in a pipe that it finds on its link.
    Notes = 0,
    /// Its standard output, unless that is ours.
    Stdout = 1,
    /// Its standard error.
    Stderr = 2,
}

/// All voices.
const VOICES: [Voice; 3] = [Voice::Notes, Voice::Stdout, Voice::Stderr];

/// What the voices of one child have said.
#[derive(Debug)]
pub struct Voices {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug)]
struct State {
    heard: [Heard; 3],
    last_words: VecDeque<u8>,
    /// Whoever takes what is to be told has not come back from telling it.
    telling: bool,
    /// Nothing more will come.
    ended: bool,
}

#[derive(Debug)]
struct Heard {
    /// `None` when the child has closed it, or there never was one.  Shared, so that it can be polled without the lock.
    pipe: Option<Arc<OwnedFd>>,
    to: Destination,
    said: VecDeque<u8>,
    lost: u64,
}

impl Heard {
    fn has_room(&self) -> bool {
        match self.to {
            Destination::Ours => self.said.is_empty(),
            Destination::Kept(_) => true,
            Destination::Told => self.said.len() < WAITING,
        }
    }

    /// Read what is there, up to a chunk; empty when there is nothing now, or nothing any more.
    fn read(&mut self) -> Vec<u8> {
        let Some(pipe) = &self.pipe else { return Vec::new() };
        let mut chunk = vec![0; CHUNK];
        match rustix::io::read(pipe, &mut chunk[..]) {
            Ok(count) if count > 0 => {
                chunk.truncate(count);
                self.said.extend(&chunk);
                self.forget();
                return chunk;
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(_) | Err(_) => self.pipe = None,
        }
        Vec::new()
    }

    fn forget(&mut self) {
        if let Destination::Kept(bound) = self.to {
            let surplus = self.said.len().saturating_sub(bound);
            self.said.drain(..surplus);
            self.lost += surplus as u64;
        }
    }
}

impl Voices {
    /// The reading ends of the pipes, in the order of [`Voice`].
    pub(crate) fn new(pipes: [Option<OwnedFd>; 3], says: Says) -> io::Result<Arc<Self>> {
        pipes.iter().flatten().try_for_each(fd::set_nonblocking)?;
        let to = [Destination::Told, says.stdout, says.stderr];
        let mut to = to.into_iter();
        let heard = pipes.map(|pipe| Heard {
            pipe: pipe.map(Arc::new),
            to: to.next().unwrap_or_default(),
            said: VecDeque::new(),
            lost: 0,
        });
        let state = State { heard, last_words: VecDeque::new(), telling: false, ended: false };
        Ok(Arc::new(Self { state: Mutex::new(state), news: Condvar::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What it guards is whole after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pipes that are to be read now, as far as there is something.
    pub(crate) fn open(&self) -> Vec<(Voice, Arc<OwnedFd>)> {
        let state = self.state();
        let heard = VOICES.iter().zip(&state.heard).filter(|(_, heard)| heard.has_room());
        heard.filter_map(|(&voice, heard)| Some((voice, Arc::clone(heard.pipe.as_ref()?)))).collect()
    }

    /// Read some of what one voice says. False when there is nothing now, or nothing any more.
    pub(crate) fn listen(&self, voice: Voice) -> bool {
        let mut state = self.state();
        let chunk = state.heard[voice as usize].read();
        if voice == Voice::Stderr {
            state.last_words.extend(&chunk);
            let surplus = state.last_words.len().saturating_sub(LAST_WORDS);
            state.last_words.drain(..surplus);
        }
        if !chunk.is_empty() && state.heard[voice as usize].to == Destination::Told {
            self.news.notify_all();
        }
        !chunk.is_empty()
    }

    /// Whether something that the child wrote to stderr has yet to be written to ours.
    pub(crate) fn has_unrepeated(&self) -> bool {
        let state = self.state();
        let heard = &state.heard[Voice::Stderr as usize];
        heard.to == Destination::Ours && !heard.said.is_empty()
    }

    /// Write to our stderr as much as goes.  Only the thread that watches over the child does this.
    pub(crate) fn repeat(&self) {
        let stderr = std::io::stderr();
        let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
        if !self.has_unrepeated() || !matches!(poll(&mut fds, Some(Instant::now())), Ok(Polled::Ready)) {
            return;
        }
        // A terminal may make this wait after all, so that the lock is not held.
        let chunk: Vec<u8> = self.state().heard[Voice::Stderr as usize].said.iter().take(CHUNK).copied().collect();
        let written = match rustix::io::write(&stderr, &chunk) {
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            // We have no stderr.  The words are remembered all the same.
            Err(_) => chunk.len(),
        };
        self.state().heard[Voice::Stderr as usize].said.drain(..written);
    }

    /// Write the rest to our stderr, however long that takes.
    pub(crate) fn repeat_all(&self) {
        while self.has_unrepeated() {
            let stderr = std::io::stderr();
            if poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], None).is_err() {
                return;
            }
            self.repeat();
        }
    }

    /// The child has ended: take what it left in its pipes, and close them.  A process that it started may hold the other ends, so
    /// nothing waits for the end of those.  Returns the pipes that somebody holds.
    pub(crate) fn end(&self) -> Vec<(Voice, Arc<OwnedFd>)> {
        let mut held = Vec::new();
        for voice in VOICES {
            self.take_in(voice);
            held.extend(self.state().heard[voice as usize].pipe.take().map(|pipe| (voice, pipe)));
        }
        self.state().ended = true;
        self.news.notify_all();
        held
    }

    fn take_in(&self, voice: Voice) {
        for _ in 0..MOST_AT_ONCE / CHUNK {
            if !self.listen(voice) {
                break;
            }
            self.repeat();
        }
    }

    /// What is kept of a voice, and how many bytes before that are lost; `None` unless it is one that is kept.
    pub fn kept(&self, voice: Voice) -> Option<(Vec<u8>, u64)> {
        if !matches!(self.state().heard[voice as usize].to, Destination::Kept(_)) {
            return None;
        }
        self.take_in(voice);
        let heard = &self.state().heard[voice as usize];
        Some((heard.said.iter().copied().collect(), heard.lost))
    }

    /// Wait for something that is to be told, and take it; `None` when there will be nothing more. `made_room` is called when the
    /// child may say more.
    pub(crate) fn hear(&self, made_room: impl Fn()) -> Option<(Voice, Vec<u8>)> {
        let mut state = self.state();
        state.telling = false;
        self.news.notify_all();
        loop {
            for voice in VOICES {
                let heard = &mut state.heard[voice as usize];
                if heard.to == Destination::Told && !heard.said.is_empty() {
                    let said = std::mem::take(&mut heard.said).into();
                    state.telling = true;
                    drop(state);
                    made_room();
                    return Some((voice, said));
                }
            }
            if state.ended {
                return None;
            }
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Wait until all is told that has been said so far, at most until then.
    pub(crate) fn settle(&self, until: Instant) {
        VOICES.iter().for_each(|&voice| self.take_in(voice));
        let mut state = self.state();
        while state.telling || state.heard.iter().any(|heard| heard.to == Destination::Told && !heard.said.is_empty()) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The end of what was written to stderr.
    pub(crate) fn last_words(&self) -> String {
        let mut state = self.state();
        String::from_utf8_lossy(state.last_words.make_contiguous()).into_owned()
    }
}
