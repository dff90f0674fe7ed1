//! The items of an object of the other side, one after the other or several in one trip.

use std::collections::VecDeque;

use super::fault::{Fault, Result};
use super::object::Object;
use super::raised::Raised;
use super::value::Value;
use crate::error::Error;
use crate::op::Op;

/// The most items that come in one trip.
const MOST: usize = 4096;

/// Iterators over what cannot change, by the names of their classes: nobody can see that they are read ahead.
const UNCHANGING: &[&str] =
    &["tuple_iterator", "range_iterator", "longrange_iterator", "str_iterator", "str_ascii_iterator", "bytes_iterator"];

/// An iterator of the other side.
///
/// Each item is one trip, unless it is an iterator over something that cannot change, or [`prefetch`](Self::prefetch) was asked for.
#[derive(Debug)]
pub struct RemoteIter {
    iterator: Value,
    /// How many items come in one trip.
    count: usize,
    ready: VecDeque<Value>,
    /// What stands behind the items that are ready.
    end: Option<End>,
}

#[derive(Debug)]
enum End {
    Over,
    Raised(Box<Raised>),
}

impl RemoteIter {
    pub(crate) fn new(iterator: Value) -> Result<Self> {
        let name = iterator.proxy()?.class_name()?;
        let count = if name.module == "builtins" && UNCHANGING.contains(&&*name.qualname) { MOST } else { 1 };
        Ok(Self { iterator, count, ready: VecDeque::new(), end: None })
    }

    /// Take up to so many items in one trip.  Whoever else uses the iterator finds them gone, and what it does for each item it does
    /// early; what it raises comes behind the items before it.
    #[must_use]
    pub fn prefetch(mut self, count: usize) -> Self {
        self.count = count.clamp(1, MOST);
        self
    }

    /// The iterator itself.
    pub fn iterator(&self) -> &Value {
        &self.iterator
    }

    fn take(&mut self) -> Result<()> {
        if self.count == 1 {
            let item = self.iterator.special("__next__", ())?;
            self.ready.push_back(item);
            return Ok(());
        }
        let count = self.count as i64;
        let batch = self.iterator.proxy()?.ask(Op::Take, 1, |out| {
            out.int(count);
            Ok(())
        })?;
        let garbled = || Error::garbled("the answer to `take` is no batch");
        let Value::Tuple(parts) = batch else { return Err(garbled().into()) };
        let Ok([end, Value::Tuple(items)]) = <[Value; 2]>::try_from(parts) else { return Err(garbled().into()) };
        if items.is_empty() || items.len() > self.count {
            return Err(garbled().into());
        }
        self.ready.extend(items);
        self.end = match end {
            Value::None => None,
            Value::Exception(raised) => Some(End::of(raised)),
            _ => return Err(garbled().into()),
        };
        Ok(())
    }
}

impl End {
    fn of(raised: Box<Raised>) -> Self {
        if raised.is_instance("StopIteration") { Self::Over } else { Self::Raised(raised) }
    }
}

impl Iterator for RemoteIter {
    type Item = Result<Value>;

    /// The next item; what the iterator raised is the last one.
    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty() && self.end.is_none() {
            match self.take() {
                Ok(()) => {}
                Err(Fault::Raised(raised)) => self.end = Some(End::of(raised)),
                Err(fault) => {
                    self.end = Some(End::Over);
                    return Some(Err(fault));
                }
            }
        }
        if let Some(item) = self.ready.pop_front() {
            return Some(Ok(item));
        }
        match self.end.replace(End::Over) {
            Some(End::Raised(raised)) => Some(Err(Fault::Raised(raised))),
            _ => None,
        }
    }
}
