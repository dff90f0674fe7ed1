//! Wire -> the steps of a pipeline, and what they came to. The values in them are read by `decode`.

use pyo3::prelude::*;
use saranwrap::arena::{Looking, Place};
use saranwrap::error::Error;
use saranwrap::link::Side;
use saranwrap::op::Step;
use saranwrap::wire::{Item, Reader, tag};

use super::decode::{Decoder, Promised};
use crate::fault::{Fault, Result};
use crate::loans;

/// What is told of one step.
pub(crate) enum Report<'py> {
    Value(Bound<'py, PyAny>),
    /// It raised this.
    Raised(Bound<'py, PyAny>),
    /// It was not performed, since it depends on this step.
    Skipped(usize),
    /// It has a value, which could not be made here.
    Unreadable(PyErr),
}

/// The numbers of what is told, on the wire.
pub(crate) mod report {
    pub(crate) const VALUE: u64 = 0;
    pub(crate) const RAISED: u64 = 1;
    pub(crate) const SKIPPED: u64 = 2;
}

impl<'a, 'py> Decoder<'a, 'py> {
    /// What goes ahead of the steps: what the sender has changed and loaded. Null stands for nothing.
    pub(crate) fn ahead(&mut self) -> Result<()> {
        if self.reader.peek()? == Item::Null {
            self.reader.next()?;
            return Ok(());
        }
        self.news()
    }

    /// The head of the next step; None where there is none.
    pub(crate) fn step(&mut self) -> Result<Option<Step>> {
        self.so_far.clear();
        self.completed.clear();
        Ok(Step::read(&mut self.reader)?)
    }

    /// Where the reader stands, so that `past` can go on behind the item that begins here.
    pub(crate) fn here(&self) -> Reader<'a> {
        self.reader.clone()
    }

    /// Go on behind the item that began there, whatever went wrong inside of it.
    pub(crate) fn past(&mut self, start: Reader<'a>) -> Result<()> {
        let mut unread = std::mem::replace(&mut self.reader, start);
        self.depth = 0;
        self.reader.skip()?;
        // What was not read may name blocks, which go back.
        while unread.position() < self.reader.position() {
            if unread.next()? == Item::Tag(tag::BLOCK) {
                let place = Place::read(&mut unread)?;
                drop(self.session.get().arena.receive(place, Looking::Shared)?);
            }
        }
        Ok(())
    }

    /// What a step came to. Of one that failed nothing is left: None stands for it, and `failed` tells.
    pub(crate) fn promised(&mut self, place: u64) -> Result<Bound<'py, PyAny>> {
        let py = self.session.py();
        self.named += 1;
        let slot = usize::try_from(place).ok().and_then(|place| self.promises.get_mut(place));
        match slot {
            Some(Promised::Object(object, uses)) if *uses > 1 => {
                *uses -= 1;
                Ok(object.clone())
            }
            Some(slot @ Promised::Object(..)) => match std::mem::replace(slot, Promised::Gone) {
                Promised::Object(object, _) => Ok(object),
                _ => Ok(py.None().into_bound(py)),
            },
            Some(Promised::Failed(root)) => {
                self.failed.get_or_insert(*root);
                Ok(py.None().into_bound(py))
            }
            Some(Promised::Gone) => Err(Error::garbled(format!("step {place} was named oftener than was said")).into()),
            None => Err(Error::garbled(format!("there is no step {place} before this one")).into()),
        }
    }

    /// The arguments of a call, without those that the other side has other objects for: an answer must not name these.
    pub(crate) fn nameable(&mut self, mut arguments: Vec<Bound<'py, PyAny>>) -> Vec<Bound<'py, PyAny>> {
        self.completed.sort_unstable();
        for argument in arguments.iter_mut().filter(|_| !self.completed.is_empty()) {
            if self.completed.binary_search(&(argument.as_ptr() as usize)).is_ok() {
                // It is named by nobody, since it is a value of which there is only one.
                *argument = self.session.py().None().into_bound(self.session.py());
            }
        }
        arguments
    }

    /// The step that failed, if what was read since the last time depends on one.
    pub(crate) fn failed(&mut self) -> Option<usize> {
        self.failed.take()
    }

    /// The loans that were spoken of since the last time.
    pub(crate) fn mentioned_since(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.mentioned)
    }

    /// Note what the next step came to.
    pub(crate) fn promise_is(&mut self, promised: Promised<'py>) {
        self.promises.push(promised);
    }

    /// Twins of loans were replaced: a result that is one and was not kept is the new one.
    pub(crate) fn part(&mut self, replaced: &[loans::Replaced<'py>]) {
        for promised in &mut self.promises {
            let Promised::Object(object, _) = promised else { continue };
            if let Some(twin) = replaced.iter().find(|twin| !twin.kept && twin.old.is(&*object)) {
                *object = twin.new.clone();
            }
        }
    }

    /// Nothing may be left.
    pub(crate) fn at_end(&self) -> Result<()> {
        if self.reader.at_end() { Ok(()) } else { Err(Error::garbled("a message goes on after its end").into()) }
    }

    /// How many steps an answer tells of.
    pub(crate) fn told_count(&mut self) -> Result<usize> {
        Ok(self.reader.array("outcomes")?)
    }

    /// What an answer tells of one step, and of which; `arguments` are those that each step was given.
    pub(crate) fn told(&mut self, arguments: &'a [Vec<Bound<'py, PyAny>>]) -> Result<(usize, Report<'py>)> {
        let parts = self.reader.array("outcome")?;
        if parts != 3 {
            return Err(Error::garbled(format!("an outcome has {parts} parts instead of 3")).into());
        }
        let place = self.reader.u64("place")?;
        let place = usize::try_from(place).ok().filter(|&place| place < arguments.len());
        let place = place.ok_or_else(|| Error::garbled("an outcome of a step that was not asked"))?;
        let told = match self.reader.u64("outcome")? {
            report::VALUE => {
                self.arguments = &arguments[place];
                self.readable().map_or_else(unreadable, |value| Ok(Report::Value(value)))
            }
            report::RAISED => self.readable().map_or_else(unreadable, |value| Ok(Report::Raised(value))),
            report::SKIPPED => match self.reader.u64("place")? {
                root if root < place as u64 => Ok(Report::Skipped(root as usize)),
                root => Err(Error::garbled(format!("step {place} cannot depend on step {root}")).into()),
            },
            other => Err(Error::garbled(format!("{other} is no outcome")).into()),
        };
        Ok((place, told?))
    }

    /// A value; when it cannot be made, the reader goes on behind it all the same.
    fn readable(&mut self) -> Result<Bound<'py, PyAny>> {
        let start = self.here();
        match self.value() {
            Err(Fault::Python(error)) => {
                self.past(start)?;
                Err(Fault::Python(error))
            }
            Ok(value) => {
                let mentioned = self.mentioned_since();
                if self.session.get().side() == Side::Child {
                    loans::count_references(self.key, &mentioned, Some(&value), self.session.py());
                }
                Ok(value)
            }
            broken => broken,
        }
    }
}

fn unreadable<'py>(fault: Fault) -> Result<Report<'py>> {
    match fault {
        Fault::Python(error) => Ok(Report::Unreadable(error)),
        Fault::Link(_) => Err(fault),
    }
}
