//! What follows the value of a message: the loans that changed, and the modules that were loaded since.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict, PyList, PySet, PySlice};
use saranwrap::arena::Looking;
use saranwrap::error::Error;
use saranwrap::link::Side;
use saranwrap::wire::{Item, tag};

use super::bulk::is_array;
use super::decode::Decoder;
use super::encode::Encoder;
use crate::ahead::lock;
use crate::buffer::Lent;
use crate::fault::{Fault, Result};
use crate::loans::{self, Change, Content, Item as Changed};
use crate::names;
use crate::session::Session;

/// The modules that a zygote had loaded. Its children begin with these, and need not look at the names themselves: to count
/// who holds one is to write to it, and what a child writes to is no longer shared with the zygote.
static LOADED: OnceLock<Vec<String>> = OnceLock::new();

/// In a zygote that is ready: note what is loaded.
pub(crate) fn note_loaded(py: Python<'_>) -> PyResult<()> {
    let modules = names::SYS_MODULES.get(py)?.cast::<PyDict>()?;
    let loaded: PyResult<Vec<String>> = modules.keys().iter().map(|name| name.extract()).collect();
    // A name that is no text is one that cannot be told; then each child looks for itself.
    let _ = loaded.map(|loaded| LOADED.set(loaded));
    Ok(())
}

impl<'py> Encoder<'_, 'py> {
    /// What follows a message's own value: the changed loans, the modules that were loaded since, and how long the asker waits, if
    /// not for ever. Absent when empty.
    pub(crate) fn trailer(&mut self, changes: Vec<Change<'py>>, news: &[String], left: Option<Duration>) -> Result<()> {
        if changes.is_empty() && news.is_empty() && left.is_none() {
            return Ok(());
        }
        self.news(changes, news, left)
    }

    /// The same ahead of the steps of a pipeline, which are performed as they are read. Null where it is empty.
    pub(crate) fn ahead(&mut self, changes: Vec<Change<'py>>, news: &[String], left: Option<Duration>) -> Result<()> {
        if changes.is_empty() && news.is_empty() && left.is_none() {
            self.out.null();
            return Ok(());
        }
        self.news(changes, news, left)
    }

    fn news(&mut self, changes: Vec<Change<'py>>, news: &[String], left: Option<Duration>) -> Result<()> {
        // Inside a change a lent container is named by its number, kept or not: it is the caller's own that it belongs to.
        self.answers = false;
        self.out.array(2 + usize::from(left.is_some()));
        self.out.array(changes.len());
        for change in &changes {
            self.change(change)?;
        }
        self.out.array(news.len());
        for module in news {
            self.out.text(module);
        }
        if let Some(left) = left {
            // In microseconds; what would not fit is for ever.
            self.out.u64(u64::try_from(left.as_micros()).unwrap_or(u64::MAX));
        }
        // Only now: where one of them cannot be sent, none is, and all have to be told the next time.
        changes.iter().for_each(|change| self.agree(change));
        Ok(())
    }

    fn agree(&self, change: &Change<'py>) {
        match &change.content {
            Content::Memory(..) => {}
            // Not settled: what is larger would no longer be compared.
            Content::Array(bytes) => loans::agree_on_array(self.key, change.number, bytes),
            Content::Places(_, changed) => {
                // Found among what was agreed upon, these fit.
                loans::agree_on_places(self.key, change.number, changed, self.session.py());
            }
            Content::Bytes(_) | Content::Items(_) => loans::settle(self.key, change.number, self.session.py()),
        }
    }

    pub(super) fn change(&mut self, change: &Change<'py>) -> Result<()> {
        self.out.array(2);
        self.out.u64(change.number);
        match &change.content {
            Content::Bytes(bytes) => {
                self.content(&Lent::of(bytes)?, 0..bytes.len())?;
            }
            Content::Memory(memory, parts) => {
                let lent = Lent::of(memory)?;
                self.out.array(parts.len());
                for part in parts {
                    self.out.array(2);
                    self.out.u64(part.start as u64);
                    self.content(&lent, part.clone())?;
                }
            }
            Content::Array(bytes) => {
                let lent = Lent::of(bytes)?;
                self.out.array(1);
                self.out.array(2);
                self.out.u64(0);
                self.content(&lent, 0..lent.len())?;
            }
            Content::Items(items) => {
                self.out.array(items.len());
                items.iter().try_for_each(|item| self.changed_item(item))?;
            }
            Content::Places(_, changed) if self.session.get().side() == Side::Child => {
                self.out.map(changed.len());
                for (place, item) in changed {
                    self.out.u64(*place);
                    self.changed_item(item)?;
                }
            }
            // A portable child reads no places, which would gain it nothing: it hears of changes in callbacks alone.
            Content::Places(len, changed) => {
                self.out.array(*len);
                for place in 0..*len as u64 {
                    match changed.iter().find(|(at, _)| *at == place) {
                        Some((_, item)) => self.changed_item(item)?,
                        None => self.changed_item(&Changed::Known(place))?,
                    }
                }
            }
        }
        Ok(())
    }

    /// An item both sides knew before goes by its old place, which keeps its identity at home.
    fn changed_item(&mut self, item: &Changed<'py>) -> Result<()> {
        match item {
            Changed::Known(place) => {
                self.out.tag(tag::MARKED);
                self.out.u64(*place);
                Ok(())
            }
            Changed::New(object) => self.value(object),
        }
    }
}

impl Session {
    /// Modules that this process has loaded since it last told the other side.
    pub(crate) fn news(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        if self.side == Side::Parent {
            return Ok(self.posted.take());
        }
        let modules = names::SYS_MODULES.get(py)?.cast::<PyDict>()?;
        let count = modules.len();
        let told = self.told.swap(count, Ordering::Relaxed);
        if count <= told {
            return Ok(Vec::new());
        }
        if let Some(loaded) = LOADED.get().filter(|loaded| told == 0 && loaded.len() == count) {
            return Ok(loaded.clone());
        }
        // A dict keeps the order of insertion, so what is new stands at the end; a module loaded again is told again.
        Ok(modules.keys().iter().skip(told).filter_map(|name| name.extract::<String>().ok()).collect())
    }
}

impl Session {
    /// What stood behind a message: the modules that a child has loaded, or what a parent has posted.
    pub(crate) fn hear_of(slf: &Bound<'_, Self>, texts: Vec<String>) -> PyResult<()> {
        if texts.is_empty() {
            return Ok(());
        }
        let session = slf.get();
        if session.side == Side::Child {
            for text in texts {
                names::POSTED.get(slf.py())?.call1((slf, text))?;
            }
            return Ok(());
        }
        let logs = texts.iter().any(|name| name == "logging");
        lock(&session.heard).extend(texts);
        if logs {
            names::LISTEN.get(slf.py())?.call1((slf,))?;
        }
        Ok(())
    }
}

impl<'py> Decoder<'_, 'py> {
    /// What follows the value: changed loans, and modules the other side has loaded.
    pub(crate) fn trailer(&mut self) -> Result<()> {
        if self.reader.at_end() {
            return Ok(());
        }
        self.news()?;
        if self.reader.at_end() { Ok(()) } else { Err(Error::garbled("a message goes on after its end").into()) }
    }

    /// Changed loans, modules the other side has loaded, and how long it waits.
    pub(super) fn news(&mut self) -> Result<()> {
        let parts = self.reader.array("trailer")?;
        if !(2..=3).contains(&parts) {
            return Err(Error::garbled(format!("a trailer of {parts} parts")).into());
        }
        for _ in 0..self.reader.array("changes")? {
            self.change()?;
        }
        let mut news = Vec::new();
        for _ in 0..self.reader.array("modules")? {
            news.push(self.reader.text("module")?.to_owned());
        }
        Session::hear_of(self.session, news)?;
        if parts == 3 {
            self.left = Some(Duration::from_micros(self.reader.u64("the time that is left")?));
        }
        Ok(())
    }

    fn change(&mut self) -> Result<()> {
        let py = self.py();
        self.pair("change")?;
        let number = self.reader.u64("loan number")?;
        let Some(twin) = loans::twin(self.key, number, py) else {
            return Err(Error::garbled(format!("loan {number} was never made")).into());
        };
        if let Ok(bytes) = twin.cast_exact::<PyByteArray>() {
            let content = self.bulk(Looking::Shared)?.to_bytearray(py)?;
            bytes.set_item(PySlice::full(py), content)?;
        } else if is_array(&twin)? {
            self.patch(&twin)?;
        } else if let Item::Map(count) = self.reader.peek()? {
            self.reader.next()?;
            return self.places(number, &twin, count);
        } else {
            let before = loans::agreed_items(self.key, number, py);
            let count = self.reader.array("changed items")?;
            let mut items = Vec::with_capacity(count.min(4096));
            for _ in 0..count {
                items.push(match self.changed_item()? {
                    Changed::New(item) => item,
                    Changed::Known(place) => {
                        let item = usize::try_from(place).ok().and_then(|place| before.get(place));
                        item.cloned().ok_or_else(|| no_place(number))?
                    }
                });
            }
            restore(&twin, items)?;
        }
        loans::settle(self.key, number, py);
        Ok(())
    }

    /// A change that tells of a few places. In a twin that is as it was when both sides agreed, all else is left alone.
    fn places(&mut self, number: u64, twin: &Bound<'py, PyAny>, count: usize) -> Result<()> {
        let py = self.py();
        let mut changed = Vec::with_capacity(count.min(4096));
        for _ in 0..count {
            changed.push((self.reader.u64("place")?, self.changed_item()?));
        }
        let untouched = loans::is_as_agreed(self.key, number, twin);
        if !loans::agree_on_places(self.key, number, &changed, py) {
            return Err(no_place(number).into());
        }
        if !untouched {
            return restore(twin, loans::agreed_items(self.key, number, py));
        }
        let item = |place| loans::agreed_item(self.key, number, place, py).ok_or_else(|| no_place(number));
        for (place, _) in changed {
            put(twin, place, item)?;
        }
        Ok(())
    }

    fn changed_item(&mut self) -> Result<Changed<'py>> {
        let mut reader = self.reader.clone();
        if reader.next()? != Item::Tag(tag::MARKED) {
            return Ok(Changed::New(self.value()?));
        }
        let place = reader.u64("place")?;
        self.reader = reader;
        Ok(Changed::Known(place))
    }
}

fn no_place(number: u64) -> Error {
    Error::garbled(format!("loan {number} has no such place as a change names"))
}

/// Put the item of this place into the caller's own object.
fn put<'py>(
    twin: &Bound<'py, PyAny>,
    place: u64,
    item: impl Fn(u64) -> std::result::Result<Bound<'py, PyAny>, Error>,
) -> Result<()> {
    if let Ok(dict) = twin.cast_exact::<PyDict>() {
        // The value that stands behind a new key puts in both.
        if !loans::is_key(place) {
            dict.set_item(item(place - 1)?, item(place)?)?;
        }
    } else if let Ok(list) = twin.cast_exact::<PyList>() {
        match usize::try_from(place) {
            Ok(place) if place < list.len() => list.set_item(place, item(place as u64)?)?,
            _ => list.append(item(place)?)?,
        }
    }
    Ok(())
}

/// Put the new content into the caller's own object.
fn restore<'py>(twin: &Bound<'py, PyAny>, items: Vec<Bound<'py, PyAny>>) -> Result<()> {
    let py = twin.py();
    if let Ok(list) = twin.cast_exact::<PyList>() {
        list.set_slice(0, list.len(), PyList::new(py, items)?.as_any())?;
    } else if let Ok(dict) = twin.cast_exact::<PyDict>() {
        dict.clear();
        for pair in items.chunks_exact(2) {
            dict.set_item(&pair[0], &pair[1])?;
        }
    } else if let Ok(set) = twin.cast_exact::<PySet>() {
        set.clear();
        for item in items {
            set.add(item)?;
        }
    } else {
        return Err(Fault::Python(PyRuntimeError::new_err("a loan without content was changed")));
    }
    Ok(())
}
