//! Texts that came before, and are likely to come again: a short one is not made anew each time.

use std::sync::Mutex;

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::ahead::lock;

/// A longer text is hardly a name.
const MAX_LEN: usize = 64;
const SLOTS: usize = 256;

/// The last text for each of some numbers that a text is reduced to. It neither grows nor has to be kept tidy.
pub(crate) struct Texts(Mutex<[Option<Py<PyString>>; SLOTS]>);

impl Default for Texts {
    fn default() -> Self {
        Self(Mutex::new([const { None }; SLOTS]))
    }
}

impl Texts {
    /// The name of an attribute or a parameter: interned, so that the interpreter finds it in its caches by its address.
    pub(crate) fn name<'py>(&self, py: Python<'py>, text: &str) -> Bound<'py, PyString> {
        self.find(py, text, PyString::intern)
    }

    /// The key of a dict, whose hash is known already if it came before.
    pub(crate) fn key<'py>(&self, py: Python<'py>, text: &str) -> Bound<'py, PyString> {
        self.find(py, text, PyString::new)
    }

    fn find<'py>(
        &self,
        py: Python<'py>,
        text: &str,
        make: fn(Python<'py>, &str) -> Bound<'py, PyString>,
    ) -> Bound<'py, PyString> {
        if text.len() > MAX_LEN {
            return PyString::new(py, text);
        }
        let slot = slot(text.as_bytes());
        if let Some(known) = &lock(&self.0)[slot]
            && known.to_str(py).is_ok_and(|known| known == text)
        {
            return known.bind(py).clone();
        }
        let made = make(py, text);
        let replaced = lock(&self.0)[slot].replace(made.clone().unbind());
        drop(replaced);
        made
    }
}

/// The length and both ends tell most names apart.
fn slot(text: &[u8]) -> usize {
    let four = |bytes: &[u8]| bytes.iter().take(4).fold(0_u32, |all, &byte| all << 8 | u32::from(byte));
    let ends = four(text) ^ four(&text[text.len().saturating_sub(4)..]).rotate_left(13) ^ text.len() as u32;
    (ends.wrapping_mul(0x9e37_79b9) >> 24) as usize
}
