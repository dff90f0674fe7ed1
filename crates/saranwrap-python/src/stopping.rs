//! What becomes of a call that nobody waits for any more: it is cancelled, then interrupted, and the child of one that goes on all
//! the same is killed. When that is due is not decided here.

use std::cell::Cell;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use saranwrap::child::{Fate, Stage};
use saranwrap::error::{Error, Kind};
use saranwrap::host::{GivenUp, Outcome};
use saranwrap::op::{self, Op, Request};
use saranwrap::wire::Reader;

use crate::ahead::lock;
use crate::deadlines::Limit;
use crate::names;
use crate::session::Session;

/// The ending of one call.
#[derive(Debug, Default)]
pub(crate) struct Stopping(Cell<Stage>);

impl Stopping {
    /// Do what is due to make the call end, and say when to ask again; None when there is no more to be done.
    pub(crate) fn push(&self, session: &Session, call: &GivenUp<'_>) -> Option<Instant> {
        // A parent is only told: what its threads do is no business of the child's.
        let child = session.child.as_ref()?;
        let mut stage = self.0.get();
        let due = stage.push(child, session.grace(), call);
        self.0.set(stage);
        due
    }

    /// The call has ended.
    pub(crate) fn ended(&self, outcome: Outcome) {
        self.0.set(self.0.get().ended(outcome));
    }

    /// Whether this error of the link means that the call took too long.
    pub(crate) fn is_late(&self, error: &Error) -> bool {
        self.0.get().is_late(error)
    }

    /// What it took to end the call, in one word and in a few.
    fn told(&self, session: &Session, error: &Error) -> (&'static str, String) {
        let pid = session.pid();
        match self.0.get().fate(error.kind() == Kind::Died) {
            Fate::Killed => {
                let grace = session.grace().as_secs_f64();
                ("killed", format!("the child (pid {pid}) did not stop within {grace} s and was killed"))
            }
            Fate::Died => ("killed", format!("the child (pid {pid}) ended as it was interrupted")),
            Fate::Interrupted => ("interrupted", "it was interrupted in the child".to_owned()),
            Fate::Cancelled => ("cancelled", "the child ended it when it was told to".to_owned()),
            Fate::Abandoned => ("abandoned", "nobody waits for it, and it may go on".to_owned()),
        }
    }

    /// The exception for a call that took too long.
    pub(crate) fn late(&self, session: &Bound<'_, Session>, error: &Error, limit: &Limit, body: &[u8]) -> PyErr {
        let (stopped, story) = self.told(session.get(), error);
        timeout(session.py(), limit.seconds, stopped, &describe(session, body), &story)
    }
}

/// A call for which no thread waits any more, on the way to its end. Whoever gave it up looks after it from time to time.
#[pyclass(frozen, module = "saranwrap._native")]
pub(crate) struct Stop {
    session: Py<Session>,
    id: u64,
    since: Instant,
    stopping: Mutex<Stopping>,
}

#[pymethods]
impl Stop {
    /// Do what is due to make a call end that is late, and say in how many seconds to ask again; None when there is no more to be
    /// done. In the end that is to kill the child.
    fn push(&self) -> Option<f64> {
        self.go_on(Kind::TimedOut).map(|pause| pause.as_secs_f64())
    }

    /// The same for a call whose answer is not wanted any more. It is not worth a child's life.
    pub(crate) fn nudge(&self) -> Option<f64> {
        self.go_on(Kind::Interrupted).map(|pause| pause.as_secs_f64())
    }

    /// The exception for a call that was late: how long it had in seconds, what it was, and what it took to end it.
    fn late(&self, py: Python<'_>, seconds: f64, act: &str) -> Py<PyAny> {
        let session = self.session.get();
        let error = session.link().error().unwrap_or_else(|| given_up(Kind::TimedOut));
        let (stopped, story) = lock(&self.stopping).told(session, &error);
        timeout(py, seconds, stopped, act, &story).into_value(py).into_any()
    }
}

fn given_up(kind: Kind) -> Error {
    Error::new(kind, "nobody waits for the answer any more")
}

impl Stop {
    /// Of a call that was abandoned just now.
    pub(crate) fn of(session: &Bound<'_, Session>, id: u64) -> Self {
        session.get().link().follow(id);
        Self { session: session.clone().unbind(), id, since: Instant::now(), stopping: Mutex::default() }
    }

    fn go_on(&self, kind: Kind) -> Option<Duration> {
        let session = self.session.get();
        let link = session.link();
        let stopping = lock(&self.stopping);
        if !link.goes_on(self.id) {
            if let Some(outcome) = link.end_of(self.id) {
                stopping.ended(outcome);
            }
            return None;
        }
        let call = GivenUp { why: &given_up(kind), since: self.since, is_behind: link.is_behind(self.id) };
        let due = stopping.push(session, &call)?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// Push until there is no more to be done; `wait` passes the time.
    pub(crate) fn see_through(&self, wait: impl Fn(Duration) -> PyResult<()>) -> PyResult<()> {
        while let Some(pause) = self.go_on(Kind::TimedOut) {
            wait(pause)?;
        }
        Ok(())
    }

    /// How it went, for who tells of it; and the error that it is for the link.
    pub(crate) fn told_to(&self, stopping: &Stopping) -> Error {
        stopping.0.set(lock(&self.stopping).0.get());
        self.session.get().link().error().unwrap_or_else(|| given_up(Kind::TimedOut))
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.session.get().link().unfollow(self.id);
    }
}

/// The exception for a call whose time was over before it was sent.
pub(crate) fn unsent(session: &Bound<'_, Session>, limit: &Limit, body: &[u8]) -> PyErr {
    timeout(session.py(), limit.seconds, "unsent", &describe(session, body), "the time was over before it was sent")
}

/// The exception for an act that took too long.
pub(crate) fn timeout(py: Python<'_>, seconds: f64, stopped: &str, act: &str, story: &str) -> PyErr {
    // To the microsecond, as a limit that came with a call has no round number.
    let rounded = (seconds * 1e6).round() / 1e6;
    let arguments = (format!("{act} took longer than {rounded} s: {story}"), seconds, stopped, act);
    match names::CALL_TIMEOUT.get(py).and_then(|class| class.call1(arguments)) {
        Ok(instance) => PyErr::from_value(instance),
        Err(error) => error,
    }
}

/// The act and its object, as far as the request itself tells.
fn describe(session: &Bound<'_, Session>, body: &[u8]) -> String {
    let mut reader = Reader::new(body);
    let Ok(Request { op, target, .. }) = Request::read(&mut reader) else { return "a request".to_owned() };
    let named = matches!(op, Op::GetAttr | Op::SetAttr | Op::DelAttr | Op::CallAttr | Op::Special | Op::Import);
    let name = if named { op::name(&mut reader).ok() } else { None };
    let kind = session.get().live(session.py(), target).and_then(|proxy| proxy.get_type().name().ok());
    let mut act = format!("`{}`", op.name());
    if let Some(name) = name {
        act += &format!(" of `{name}`");
    }
    if let Some(kind) = kind {
        act += &format!(" on a `{kind}`");
    }
    act
}
