//! Until when a call may take: what the blocks around it say, its child's own limit, and what came with the call that this thread
//! serves. What happens to a call that takes longer is not decided here.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::names;

/// How many blocks with a deadline are open in this process. While there is none, no call looks for one.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// A block with a deadline was opened.
#[pyfunction]
pub(crate) fn open_block() {
    OPEN.fetch_add(1, Ordering::Relaxed);
}

/// A block with a deadline was closed.
#[pyfunction]
pub(crate) fn close_block() {
    // Which block an odd generator closes cannot be known. One too many left open costs time, one too few would cost deadlines.
    let _ = OPEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| open.checked_sub(1));
}

/// Until when a call may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) at: Instant,
    /// What the user said, in seconds.
    pub(crate) seconds: f64,
}

impl Limit {
    /// The limit of a call that begins now; `own` is what its child has for each call, in seconds.
    pub(crate) fn here(py: Python<'_>, own: Option<f64>) -> PyResult<Option<Self>> {
        if OPEN.load(Ordering::Relaxed) == 0 && own.is_none() {
            return Ok(None);
        }
        let around: Option<(f64, f64)> = names::DEADLINE.get(py)?.call0()?.extract()?;
        let own = own.map(|seconds| (seconds, seconds));
        let earliest = match (around, own) {
            (Some(around), Some(own)) if own.0 < around.0 => Some(own),
            (around, own) => around.or(own),
        };
        Ok(earliest.and_then(|(left, seconds)| Some(Self { seconds, ..Self::within(left)? })))
    }

    /// A number of seconds from now.
    pub(crate) fn within(seconds: f64) -> Option<Self> {
        let at = Instant::now().checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
        Some(Self { at, seconds })
    }

    /// What is left of it.
    pub(crate) fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left().is_zero()
    }
}

/// A call that came with what its caller has left: as long as this lives, what is called from here is bound by that.
pub(crate) struct Bounded<'py>(Python<'py>);

impl<'py> Bounded<'py> {
    pub(crate) fn by(py: Python<'py>, left: Duration) -> PyResult<Self> {
        names::ENTER_DEADLINE.get(py)?.call1((left.as_secs_f64(),))?;
        Ok(Self(py))
    }
}

impl Drop for Bounded<'_> {
    fn drop(&mut self) {
        // It can only fail where no code of Python runs any more, and then there is no call to be bound either.
        let _ = names::LEAVE_DEADLINE.get(self.0).and_then(|leave| leave.call0());
    }
}
