//! What becomes of a call that nobody waits for any more: it is cancelled, then interrupted, and the child of one that goes on all
//! the same is killed. When that is due is not decided here.

use std::cell::Cell;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use saranwrap::error::{Error, Kind};
use saranwrap::host::{GivenUp, Outcome};
use saranwrap::op::{Op, Request};
use saranwrap::wire::Reader;

use crate::ahead::lock;
use crate::deadlines::Limit;
use crate::names;
use crate::session::Session;

/// How long a call that was cancelled has to end by itself before it is interrupted: a task does in less.
const COOPERATION: Duration = Duration::from_millis(1);

/// The longest pause between two signals. One that comes just before a system call begins does not end it, so there are several;
/// only the first that finds the call raises.
const PAUSE: Duration = Duration::from_millis(50);

/// A child that was killed has ended within this time.
const DYING: Duration = Duration::from_secs(5);

const SIGINT: i32 = 2;

/// How far the ending of one call has come.
#[derive(Debug, Default, Clone, Copy)]
struct Stage {
    signals: u32,
    killed: bool,
    /// When more is to be done: what the child asks meanwhile does not hasten it.
    due: Option<Instant>,
    /// How the call ended in the child, if it did.
    outcome: Option<Outcome>,
}

/// The ending of one call.
#[derive(Debug, Default)]
pub(crate) struct Stopping(Cell<Stage>);

impl Stopping {
    /// Do what is due to make the call end, and say when to ask again; None when there is no more to be done.
    pub(crate) fn push(&self, session: &Session, call: &GivenUp<'_>) -> Option<Instant> {
        let GivenUp { why, since, is_behind } = *call;
        // A parent is only told: what its threads do is no business of the child's.
        let child = session.child.as_ref()?;
        let mut stage = self.0.get();
        let end = since + session.grace();
        let now = Instant::now();
        if let Some(due) = stage.due.filter(|&due| now < due) {
            return Some(due);
        }
        let next = if now >= end {
            // Whoever pressed Ctrl-C wants this process back, and may want the child's objects, too. And the child may be busy with
            // what somebody else asked, who has all the time.
            if is_behind || stage.killed || why.kind() != Kind::TimedOut || child.kill().is_err() {
                return None;
            }
            stage.killed = true;
            now + DYING
        } else if why.kind() == Kind::TimedOut && stage.signals == 0 && now < since + COOPERATION {
            end.min(since + COOPERATION)
        } else {
            // A child that has ended meanwhile shows on the link.
            let _ = child.signal(SIGINT);
            stage.signals += 1;
            end.min(now + PAUSE.min(COOPERATION * (1 << stage.signals.min(8))))
        };
        stage.due = Some(next);
        self.0.set(stage);
        Some(next)
    }

    /// The call has ended.
    pub(crate) fn ended(&self, outcome: Outcome) {
        self.0.set(Stage { outcome: Some(outcome), ..self.0.get() });
    }

    /// Whether this error of the link means that the call took too long.
    pub(crate) fn is_late(&self, error: &Error) -> bool {
        let stage = self.0.get();
        error.kind() == Kind::TimedOut || (error.kind() == Kind::Died && (stage.killed || stage.signals > 0))
    }

    /// What it took to end the call, in one word and in a few.
    fn told(&self, session: &Session, error: &Error) -> (&'static str, String) {
        let stage = self.0.get();
        if stage.killed {
            let (pid, grace) = (session.pid(), session.grace().as_secs_f64());
            return ("killed", format!("the child (pid {pid}) did not stop within {grace} s and was killed"));
        }
        if error.kind() == Kind::Died {
            return ("killed", format!("the child (pid {}) ended as it was interrupted", session.pid()));
        }
        match stage.outcome {
            Some(Outcome::Raised) if stage.signals > 0 => ("interrupted", "it was interrupted in the child".to_owned()),
            Some(_) => ("cancelled", "the child ended it when it was told to".to_owned()),
            None => ("abandoned", "nobody waits for it, and it may go on".to_owned()),
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
    let name = if named { reader.text("name").ok() } else { None };
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
