//! The steps of a pipeline as one message: how they are written, and what the answer tells of each.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use super::fault::{Fault, Result};
use super::freight::Freight;
use super::shared::{Wait, lock};
use super::value::Value;
use crate::error::Error;
use crate::op::{Op, Request, Step, Target};
use crate::table::ROOT;
use crate::wire::Writer;

/// Where a step stands, for those who hold its promise.
pub(super) type Place = Mutex<Stand>;

#[derive(Clone)]
pub(super) enum Stand {
    /// In the message of this number, the step at this place.
    Recorded(u64, u64),
    Sent,
    Came(Result<Value>),
}

/// The steps of one message, on their way or about to be.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) steps: Vec<Written>,
    /// The arguments of all steps.
    arguments: Writer,
    pub(super) freight: Freight,
}

/// One of them.
pub(super) struct Written {
    pub(super) op: Op,
    pub(super) target: Target,
    pub(super) argc: usize,
    pub(super) arguments: Range<usize>,
    /// How often later steps name what it comes to.
    pub(super) uses: u64,
    pub(super) place: Arc<Place>,
}

impl Written {
    pub(super) fn come_to(&self, came: Result<Value>) {
        let before = std::mem::replace(&mut *lock(&self.place), Stand::Came(came));
        drop(before);
    }

    fn came(&self) -> Option<Result<Value>> {
        if let Stand::Came(came) = &*lock(&self.place) { Some(came.clone()) } else { None }
    }

    /// Whether somebody holds the promise.
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.place) > 1
    }
}

impl Batch {
    pub(super) fn add(&mut self, mut step: Written, arguments: &[u8], named: &[u64]) {
        let start = self.arguments.len();
        self.arguments.raw(arguments);
        step.arguments = start..self.arguments.len();
        for &place in named {
            // It is one of this message: whoever wrote it has looked.
            let named = usize::try_from(place).ok().and_then(|place| self.steps.get_mut(place));
            if let Some(named) = named {
                named.uses += 1;
            }
        }
        self.steps.push(step);
    }

    /// The message; its promises are on their way from now on.
    pub(super) fn write(&mut self, wait: &Wait) -> Vec<u8> {
        let mut out = Writer::with_capacity(64 + self.arguments.len() + 16 * self.steps.len());
        Request { op: Op::Pipeline, target: ROOT, argc: 1 + self.steps.len() }.write(&mut out);
        if wait.limit.is_some() {
            wait.tell(&mut out);
        } else {
            out.null();
        }
        for step in &mut self.steps {
            *lock(&step.place) = Stand::Sent;
            let &mut Written { op, target, argc, uses, .. } = step;
            Step { uses, wanted: step.is_held(), op, target, argc }.write(&mut out);
            out.raw(&self.arguments.as_slice()[step.arguments.clone()]);
        }
        out.into_vec()
    }

    /// Take the answer apart.  What surfaces: the first failure of a step that nobody holds and no other step names.
    pub(super) fn told(&self, answer: &Value) -> Result<Option<Fault>, Error> {
        let wrong = || Error::garbled("the answer to a pipeline tells what cannot be");
        let Value::Tuple(outcomes) = answer else { return Err(wrong()) };
        let mut unseen = None;
        for outcome in outcomes {
            let Value::Tuple(parts) = outcome else { return Err(wrong()) };
            let [Value::Int(place), number, told] = &parts[..] else { return Err(wrong()) };
            let step = self.at(*place).filter(|step| step.came().is_none()).ok_or_else(wrong)?;
            let came = match (number, told) {
                (Value::Int(0), value) => Ok(value.clone()),
                (Value::Int(1), Value::Exception(raised)) => Err(Fault::Raised(raised.clone())),
                (Value::Int(2), Value::Int(root)) => match self.at(*root).and_then(Written::came) {
                    Some(Err(fault)) => Err(fault),
                    _ => return Err(wrong()),
                },
                _ => return Err(wrong()),
            };
            if let (Err(fault), true, None) = (&came, step.uses == 0 && !step.is_held(), &unseen) {
                unseen = Some(fault.clone());
            }
            step.come_to(came);
        }
        match self.steps.iter().any(|step| step.is_held() && step.came().is_none()) {
            true => Err(wrong()),
            false => Ok(unseen),
        }
    }

    fn at(&self, place: i128) -> Option<&Written> {
        usize::try_from(place).ok().and_then(|place| self.steps.get(place))
    }
}
