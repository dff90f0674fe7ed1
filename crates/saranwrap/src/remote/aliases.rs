//! Containers that stand in one message more than once: the second time only their number does.

use std::collections::BTreeMap;

use super::value::Value;
use crate::error::{Error, Result};

/// The head of the tag SAME in bytes.
const SAME: &[u8] = &[0xd9, 0x53, 0x04];

/// How much memory the repetitions of one message may take: a few bytes can stand for very much, as each may repeat a repetition.
const MAX_COPIED: usize = 128 << 20;

/// The containers of one message by their numbers.  A value has no identity here, so each of them becomes a copy.
pub(crate) struct Aliases<'a> {
    body: &'a [u8],
    /// Whether any is named again; looked for when the first one begins.  Most messages have none, and nothing is noted for them.
    any: Option<bool>,
    /// `None` for one that is not whole yet.  A tree, as every message has one, and an empty one costs nothing.
    by_number: BTreeMap<u64, Option<Value>>,
    copied: usize,
}

impl<'a> Aliases<'a> {
    pub(crate) fn of(body: &'a [u8]) -> Self {
        Self { body, any: None, by_number: BTreeMap::new(), copied: 0 }
    }

    /// A container begins.
    pub(crate) fn begin(&mut self, number: u64) {
        let body = self.body;
        if *self.any.get_or_insert_with(|| body.windows(SAME.len()).any(|bytes| bytes == SAME)) {
            self.by_number.insert(number, None);
        }
    }

    /// It is whole.
    pub(crate) fn note(&mut self, number: u64, value: &Value) {
        if let Some(noted) = self.by_number.get_mut(&number) {
            *noted = Some(value.clone());
        }
    }

    /// It stands here once more; or why it cannot.
    pub(crate) fn again(&mut self, number: u64) -> Result<std::result::Result<Value, String>> {
        match self.by_number.get(&number) {
            Some(Some(value)) => {
                self.copied = self.copied.saturating_add(value.size(MAX_COPIED - self.copied));
                if self.copied < MAX_COPIED {
                    return Ok(Ok(value.clone()));
                }
                self.copied = MAX_COPIED;
                Ok(Err(
                    "an argument that repeats parts of itself is too large to be copied to a Rust program".to_owned()
                ))
            }
            Some(None) => Ok(Err("a container that holds itself has no copy in a Rust program".to_owned())),
            None => Err(Error::garbled("the other side names something that was never lent")),
        }
    }
}

impl Value {
    /// About how many bytes it takes; counted no further than to the limit.
    fn size(&self, limit: usize) -> usize {
        let mut open = vec![self];
        let mut size = 0;
        while let Some(value) = open.pop() {
            size += std::mem::size_of::<Self>();
            if size >= limit {
                break;
            }
            match value {
                Self::Str(text) => size += text.len(),
                Self::Bytes(bytes) | Self::ByteArray(bytes) | Self::Surrogates(bytes) => size += bytes.len(),
                Self::Array(array) => size += array.bytes.len(),
                Self::Tuple(items) | Self::List(items) | Self::Set(items) | Self::FrozenSet(items) => {
                    open.extend(items)
                }
                Self::Dict(pairs) => open.extend(pairs.iter().flat_map(|(key, value)| [key, value])),
                Self::Slice(parts) | Self::Range(parts) => open.extend(parts.iter()),
                Self::Known(known) => open.extend(&known.parts),
                Self::Exception(raised) => open.extend(raised.args()),
                _ => {}
            }
        }
        size
    }
}
