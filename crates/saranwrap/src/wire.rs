//! Self-describing values as bytes and back (CBOR, RFC 8949; sequences of items, RFC 8742).  No I/O, no objects, no panics.
//!
//! Only a part of CBOR is spoken: definite lengths, 64-bit floats, `null`, `true` and `false`.  A [`Writer`] writes the
//! preferred (shortest) form; a [`Reader`] takes one head at a time and builds no tree, so what it costs is decided by
//! whoever reads.  Every length is checked against the bytes that are really there before anybody may allocate for it.

use std::fmt;

use crate::error::{Error, Result};

pub mod packed;
pub mod tag;

/// How deep values may nest.  A recursive decoder counts; nothing in this file recurses.
pub const MAX_DEPTH: usize = 900;

const UINT: u8 = 0;
const NINT: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;
const DOUBLE: u8 = 0xfb;

/// Writes items one after the other.  It does not check that the announced number of them follows an array or a map.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty writer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    /// Nothing.
    pub fn null(&mut self) {
        self.bytes.push(NULL);
    }

    /// A truth value.
    pub fn bool(&mut self, value: bool) {
        self.bytes.push(if value { TRUE } else { FALSE });
    }

    /// A non-negative integer.
    pub fn u64(&mut self, value: u64) {
        self.head(UINT, value);
    }

    /// An integer.
    pub fn i64(&mut self, value: i64) {
        match u64::try_from(value) {
            Ok(value) => self.head(UINT, value),
            // `!value` is `-1 - value`, which cannot overflow.
            Err(_) => self.head(NINT, !value as u64),
        }
    }

    /// An integer of any size; when `negative`, the magnitude is that of `-1 - value`.  Small ones become plain integers.
    pub fn bigint(&mut self, negative: bool, magnitude_be: &[u8]) {
        let zeros = magnitude_be.iter().take_while(|&&byte| byte == 0).count();
        let magnitude = &magnitude_be[zeros..];
        if magnitude.len() <= 8 {
            let value = magnitude.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
            return self.head(if negative { NINT } else { UINT }, value);
        }
        self.tag(if negative { tag::NEG_BIGNUM } else { tag::POS_BIGNUM });
        self.bytes(magnitude);
    }

    /// A float, always in eight bytes: a shorter form saves little and costs the reader two more cases.
    pub fn f64(&mut self, value: f64) {
        self.bytes.push(DOUBLE);
        self.bytes.extend_from_slice(&value.to_bits().to_be_bytes());
    }

    /// Bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        self.head(BYTES, value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    /// Text.
    pub fn text(&mut self, value: &str) {
        self.head(TEXT, value.len() as u64);
        self.bytes.extend_from_slice(value.as_bytes());
    }

    /// The head of an array; `len` items must follow.
    pub fn array(&mut self, len: usize) {
        self.head(ARRAY, len as u64);
    }

    /// The head of a map; `len` keys, each with its value, must follow.
    pub fn map(&mut self, len: usize) {
        self.head(MAP, len as u64);
    }

    /// A tag; one item must follow.
    pub fn tag(&mut self, tag: u64) {
        self.head(TAG, tag);
    }

    /// Items that are encoded already.
    pub fn raw(&mut self, items: &[u8]) {
        self.bytes.extend_from_slice(items);
    }

    /// How many bytes have been written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What has been written.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// What has been written, without copying it.
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }

    /// Forget everything after the first `len` bytes: an attempt that failed halfway is taken back.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// Forget everything and keep the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    fn head(&mut self, major: u8, value: u64) {
        let major = major << 5;
        match value {
            0..=23 => self.bytes.push(major | value as u8),
            24..=0xff => self.bytes.extend_from_slice(&[major | 24, value as u8]),
            0x100..=0xffff => self.long_head(major | 25, &(value as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.long_head(major | 26, &(value as u32).to_be_bytes()),
            _ => self.long_head(major | 27, &value.to_be_bytes()),
        }
    }

    fn long_head(&mut self, first: u8, argument: &[u8]) {
        self.bytes.push(first);
        self.bytes.extend_from_slice(argument);
    }
}

/// One head, with its content where that is a run of bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Item<'a> {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A non-negative integer.
    Uint(u64),
    /// A negative integer: the value is `-1 - n`.
    Nint(u64),
    /// A float.
    Float(f64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Text, checked to be UTF-8.
    Text(&'a str),
    /// So many items follow.
    Array(usize),
    /// So many keys follow, each with its value.
    Map(usize),
    /// One item follows, and is meant in this way.
    Tag(u64),
}

impl fmt::Display for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::Null => f.write_str("null"),
            Item::Bool(value) => write!(f, "{value}"),
            Item::Uint(value) => write!(f, "the integer {value}"),
            Item::Nint(value) => write!(f, "the integer -1-{value}"),
            Item::Float(value) => write!(f, "the float {value}"),
            Item::Bytes(value) => write!(f, "{} bytes", value.len()),
            Item::Text(value) => write!(f, "a text of {} bytes", value.len()),
            Item::Array(len) => write!(f, "an array of {len}"),
            Item::Map(len) => write!(f, "a map of {len}"),
            Item::Tag(tag) => write!(f, "the tag {tag}"),
        }
    }
}

/// Reads items one after the other from bytes that nobody vouches for.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// The next head.  A failure leaves the reader where it was.
    // Not an `Iterator`: running out of bytes is a fault here, not an end.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Item<'a>> {
        let (item, position) = self.decode()?;
        self.position = position;
        Ok(item)
    }

    /// The next head, which stays unread.
    pub fn peek(&self) -> Result<Item<'a>> {
        self.decode().map(|(item, _)| item)
    }

    /// A non-negative integer; `field` names it in the error.
    pub fn u64(&mut self, field: &'static str) -> Result<u64> {
        if let Some(value) = self.number(UINT) {
            return Ok(value);
        }
        match self.next_for(field)? {
            Item::Uint(value) => Ok(value),
            other => Err(self.mismatch(field, "a non-negative integer", other)),
        }
    }

    /// Text.
    pub fn text(&mut self, field: &'static str) -> Result<&'a str> {
        match self.next_for(field)? {
            Item::Text(value) => Ok(value),
            other => Err(self.mismatch(field, "text", other)),
        }
    }

    /// Bytes.
    pub fn bytes(&mut self, field: &'static str) -> Result<&'a [u8]> {
        match self.next_for(field)? {
            Item::Bytes(value) => Ok(value),
            other => Err(self.mismatch(field, "bytes", other)),
        }
    }

    /// The head of an array: how many items follow.
    pub fn array(&mut self, field: &'static str) -> Result<usize> {
        if let Some(len) = self.entries(ARRAY, 1) {
            return Ok(len);
        }
        match self.next_for(field)? {
            Item::Array(len) => Ok(len),
            other => Err(self.mismatch(field, "an array", other)),
        }
    }

    /// The head of a map: how many keys follow, each with its value.
    pub fn map(&mut self, field: &'static str) -> Result<usize> {
        if let Some(len) = self.entries(MAP, 2) {
            return Ok(len);
        }
        match self.next_for(field)? {
            Item::Map(len) => Ok(len),
            other => Err(self.mismatch(field, "a map", other)),
        }
    }

    /// A tag.
    pub fn tag(&mut self, field: &'static str) -> Result<u64> {
        match self.next_for(field)? {
            Item::Tag(tag) => Ok(tag),
            other => Err(self.mismatch(field, "a tag", other)),
        }
    }

    /// Exactly this tag.
    pub fn expect_tag(&mut self, tag: u64, field: &'static str) -> Result<()> {
        match self.tag(field)? {
            found if found == tag => Ok(()),
            found => Err(self.fault(format!("`{field}` should have the tag {tag}, not {found}"))),
        }
    }

    /// Pass over one item with everything in it.
    pub fn skip(&mut self) -> Result<()> {
        // One number stands for the whole stack of open containers.  It cannot overflow by much: each head adds at most
        // twice the bytes that follow it, and saturation only means that the bytes run out first.
        let mut open: usize = 1;
        while open > 0 {
            let inside = match self.next()? {
                Item::Array(len) => len,
                Item::Map(len) => len.saturating_mul(2),
                Item::Tag(_) => 1,
                _ => 0,
            };
            open = (open - 1).saturating_add(inside);
        }
        Ok(())
    }

    /// Whether every byte has been read.
    pub fn at_end(&self) -> bool {
        self.position == self.bytes.len()
    }

    /// Nothing may be left; `what` names the whole in the error.
    pub fn finish(self, what: &str) -> Result<()> {
        if self.at_end() {
            return Ok(());
        }
        Err(Error::garbled(format!("{what} has {} bytes too many", self.rest().len())))
    }

    /// How many bytes have been read.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The bytes that have not been read.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.position..]
    }

    /// The number in the next head, if that is what is expected: most are, and no `Item` is made of them. What is wrong with
    /// others is found by whoever reads them again.
    #[inline]
    fn number(&mut self, major: u8) -> Option<u64> {
        let first = *self.bytes.get(self.position).filter(|&&first| first >> 5 == major)?;
        let (number, after) = self.argument(first, self.position + 1).ok()?;
        self.position = after;
        Some(number)
    }

    /// How many items the container holds that is expected next.
    #[inline]
    fn entries(&mut self, major: u8, bytes_each: usize) -> Option<usize> {
        let start = self.position;
        let count = self.number(major).and_then(|claim| self.count(claim, bytes_each, self.position).ok());
        if count.is_none() {
            self.position = start;
        }
        count
    }

    fn next_for(&mut self, field: &'static str) -> Result<Item<'a>> {
        self.next().map_err(|error| Error::garbled(format!("`{field}`: {}", error.what())))
    }

    fn decode(&self) -> Result<(Item<'a>, usize)> {
        let first = self.take(self.position, 1)?[0];
        let after = self.position + 1;
        match first {
            FALSE | TRUE => return Ok((Item::Bool(first == TRUE), after)),
            NULL => return Ok((Item::Null, after)),
            DOUBLE => {
                let bits = big_endian(self.take(after, 8)?);
                return Ok((Item::Float(f64::from_bits(bits)), after + 8));
            }
            _ => {}
        }
        let (argument, after) = self.argument(first, after)?;
        match first >> 5 {
            UINT => Ok((Item::Uint(argument), after)),
            NINT => Ok((Item::Nint(argument), after)),
            BYTES => {
                let content = self.content(argument, after)?;
                Ok((Item::Bytes(content), after + content.len()))
            }
            TEXT => {
                let content = self.content(argument, after)?;
                let text =
                    std::str::from_utf8(content).map_err(|error| self.fault("the text is not UTF-8").because(error))?;
                Ok((Item::Text(text), after + content.len()))
            }
            ARRAY => Ok((Item::Array(self.count(argument, 1, after)?), after)),
            MAP => Ok((Item::Map(self.count(argument, 2, after)?), after)),
            TAG => Ok((Item::Tag(argument), after)),
            _ => Err(self.fault(format!("the byte {first:#04x} starts no item known here"))),
        }
    }

    /// The number in a head: the low five bits themselves, or one, two, four or eight bytes.
    fn argument(&self, first: u8, after: usize) -> Result<(u64, usize)> {
        let width = match first & 0x1f {
            small @ 0..=23 => return Ok((u64::from(small), after)),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return Err(self.fault("indefinite and reserved lengths are not spoken here")),
        };
        Ok((big_endian(self.take(after, width)?), after + width))
    }

    fn content(&self, len: u64, after: usize) -> Result<&'a [u8]> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.take(after, len)
    }

    /// How many items a container holds.  Each takes a byte at least, so a claim beyond that is a lie: nobody allocates for it.
    fn count(&self, claim: u64, bytes_each: usize, after: usize) -> Result<usize> {
        let room = (self.bytes.len() - after) / bytes_each;
        match usize::try_from(claim) {
            Ok(count) if count <= room => Ok(count),
            _ => Err(self.fault(format!("{claim} entries cannot stand in the bytes that follow"))),
        }
    }

    fn take(&self, from: usize, len: usize) -> Result<&'a [u8]> {
        let end = from.checked_add(len);
        end.and_then(|end| self.bytes.get(from..end)).ok_or_else(|| self.fault(format!("{len} bytes more are needed")))
    }

    fn fault(&self, what: impl fmt::Display) -> Error {
        Error::garbled(format!("at byte {} of {}: {what}", self.position, self.bytes.len()))
    }

    fn mismatch(&self, field: &str, wanted: &str, found: Item<'_>) -> Error {
        Error::garbled(format!("`{field}` before byte {} should be {wanted}, but is {found}", self.position))
    }
}

/// The number in at most eight bytes.
fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Kind;

    /// A tree as a test thinks of it; the crate itself has none.
    #[derive(Debug, Clone, PartialEq)]
    enum Tree {
        Null,
        Bool(bool),
        Int(i128),
        Float(u64),
        Bytes(Vec<u8>),
        Text(String),
        Array(Vec<Tree>),
        Map(Vec<(Tree, Tree)>),
        Tag(u64, Box<Tree>),
    }

    impl Tree {
        fn write(&self, out: &mut Writer) {
            match self {
                Tree::Null => out.null(),
                Tree::Bool(value) => out.bool(*value),
                Tree::Int(value) if *value < 0 => out.bigint(true, &(-1 - value).to_be_bytes()),
                Tree::Int(value) => out.bigint(false, &value.to_be_bytes()),
                Tree::Float(bits) => out.f64(f64::from_bits(*bits)),
                Tree::Bytes(value) => out.bytes(value),
                Tree::Text(value) => out.text(value),
                Tree::Array(items) => {
                    out.array(items.len());
                    items.iter().for_each(|item| item.write(out));
                }
                Tree::Map(entries) => {
                    out.map(entries.len());
                    entries.iter().for_each(|(key, value)| {
                        key.write(out);
                        value.write(out);
                    });
                }
                Tree::Tag(tag, inner) => {
                    out.tag(*tag);
                    inner.write(out);
                }
            }
        }

        fn read(reader: &mut Reader<'_>) -> Result<Self> {
            Ok(match reader.next()? {
                Item::Null => Tree::Null,
                Item::Bool(value) => Tree::Bool(value),
                Item::Uint(value) => Tree::Int(i128::from(value)),
                Item::Nint(value) => Tree::Int(-1 - i128::from(value)),
                Item::Float(value) => Tree::Float(value.to_bits()),
                Item::Bytes(value) => Tree::Bytes(value.to_vec()),
                Item::Text(value) => Tree::Text(value.to_owned()),
                Item::Array(len) => Tree::Array((0..len).map(|_| Self::read(reader)).collect::<Result<_>>()?),
                Item::Map(len) => {
                    Tree::Map((0..len).map(|_| Ok((Self::read(reader)?, Self::read(reader)?))).collect::<Result<_>>()?)
                }
                Item::Tag(tag::POS_BIGNUM) => Tree::Int(bignum(reader)?),
                Item::Tag(tag::NEG_BIGNUM) => Tree::Int(-1 - bignum(reader)?),
                Item::Tag(tag) => Tree::Tag(tag, Box::new(Self::read(reader)?)),
            })
        }
    }

    fn bignum(reader: &mut Reader<'_>) -> Result<i128> {
        let bytes = reader.bytes("bignum")?;
        Ok(bytes.iter().fold(0, |value, &byte| value << 8 | i128::from(byte)))
    }

    fn trees() -> impl Strategy<Value = Tree> {
        let leaf = prop_oneof![
            Just(Tree::Null),
            any::<bool>().prop_map(Tree::Bool),
            any::<i128>().prop_map(Tree::Int),
            any::<i64>().prop_map(|value| Tree::Int(i128::from(value))),
            (-300..300i128).prop_map(Tree::Int),
            any::<u64>().prop_map(Tree::Float),
            any::<Vec<u8>>().prop_map(Tree::Bytes),
            any::<String>().prop_map(Tree::Text),
        ];
        leaf.prop_recursive(5, 60, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..30).prop_map(Tree::Array),
                prop::collection::vec((inner.clone(), inner.clone()), 0..8).prop_map(Tree::Map),
                (4..u64::MAX, inner).prop_map(|(tag, inner)| Tree::Tag(tag, Box::new(inner))),
            ]
        })
    }

    proptest! {
        #[test]
        fn trees_come_back(tree in trees()) {
            let mut out = Writer::new();
            tree.write(&mut out);
            let mut reader = Reader::new(out.as_slice());
            let mut skipping = reader.clone();
            prop_assert_eq!(Tree::read(&mut reader).unwrap(), tree);
            prop_assert!(reader.at_end());
            skipping.skip().unwrap();
            skipping.finish("a tree").unwrap();
        }

        #[test]
        fn every_cut_is_noticed(tree in trees(), cut in any::<prop::sample::Index>()) {
            let mut out = Writer::new();
            tree.write(&mut out);
            let cut = cut.index(out.len());
            let mut reader = Reader::new(&out.as_slice()[..cut]);
            prop_assert!(reader.skip().is_err());
        }

        #[test]
        fn rubbish_never_panics(bytes in any::<Vec<u8>>()) {
            let mut reader = Reader::new(&bytes);
            while !reader.at_end() {
                let before = reader.position();
                match reader.next() {
                    Ok(_) => prop_assert!(reader.position() > before),
                    Err(error) => {
                        prop_assert_eq!(error.kind(), Kind::Garbled);
                        prop_assert_eq!(reader.position(), before);
                        break;
                    }
                }
            }
            let _ = Reader::new(&bytes).skip();
        }
    }

    fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut out = Writer::new();
        write(&mut out);
        out.into_vec()
    }

    /// Examples of RFC 8949, appendix A.
    #[test]
    fn the_examples_of_the_standard() {
        assert_eq!(written(|out| out.u64(23)), [0x17]);
        assert_eq!(written(|out| out.u64(24)), [0x18, 0x18]);
        assert_eq!(written(|out| out.u64(1000)), [0x19, 0x03, 0xe8]);
        assert_eq!(written(|out| out.u64(1_000_000)), [0x1a, 0x00, 0x0f, 0x42, 0x40]);
        assert_eq!(written(|out| out.i64(-1000)), [0x39, 0x03, 0xe7]);
        assert_eq!(written(|out| out.u64(u64::MAX)), [0x1b, 255, 255, 255, 255, 255, 255, 255, 255]);
        let bignum = [0xc2, 0x49, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(written(|out| out.bigint(false, &bignum[2..])), bignum);
        assert_eq!(written(|out| out.bigint(true, &bignum[2..]))[0], 0xc3);
        assert_eq!(written(|out| out.f64(1.1)), [0xfb, 0x3f, 0xf1, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a]);
        assert_eq!(written(|out| out.text("\u{6c34}")), [0x63, 0xe6, 0xb0, 0xb4]);
        assert_eq!(written(|out| out.bytes(&[1, 2])), [0x42, 1, 2]);
        assert_eq!(written(|out| out.map(0)), [0xa0]);
        assert_eq!(written(|out| out.tag(1)), [0xc1]);
    }

    #[test]
    fn integers_of_every_width_come_back() {
        for value in [i64::MIN, i64::MIN + 1, -257, -256, -25, -24, -1, 0, 23, 24, 255, 256, i64::MAX] {
            let bytes = written(|out| out.i64(value));
            let item = Reader::new(&bytes).next().unwrap();
            let back = match item {
                Item::Uint(n) => i128::from(n),
                Item::Nint(n) => -1 - i128::from(n),
                other => panic!("{other}"),
            };
            assert_eq!(back, i128::from(value));
        }
    }

    #[test]
    fn what_is_not_spoken_is_refused() {
        // Half and single floats, undefined, indefinite lengths, a simple value, a break, reserved lengths.
        for bytes in [
            &[0xf9, 0, 0][..],
            &[0xfa, 0, 0, 0, 0],
            &[0xf7],
            &[0x5f, 0xff],
            &[0x9f, 0xff],
            &[0xbf, 0xff],
            &[0xf8, 0x20],
            &[0xff],
            &[0x1c],
            &[0x7f],
            &[0x62, 0xff, 0xff],
        ] {
            assert_eq!(Reader::new(bytes).next().unwrap_err().kind(), Kind::Garbled, "{bytes:x?}");
        }
    }

    #[test]
    fn a_claim_beyond_the_bytes_is_refused() {
        assert!(Reader::new(&[0x9b, 255, 255, 255, 255, 255, 255, 255, 255, 0]).next().is_err());
        assert!(Reader::new(&[0x5b, 255, 255, 255, 255, 255, 255, 255, 255, 0]).next().is_err());
        assert!(Reader::new(&[0x83, 0, 0]).next().is_err());
        assert!(Reader::new(&[0xa1, 0]).next().is_err());
        assert_eq!(Reader::new(&[0xa1, 0, 0]).next().unwrap(), Item::Map(1));
    }

    #[test]
    fn skipping_does_not_recurse() {
        let deep = [vec![0x81; 5_000_000], vec![0xf6]].concat();
        let mut reader = Reader::new(&deep);
        reader.skip().unwrap();
        assert!(reader.at_end());
    }

    #[test]
    fn errors_name_the_field() {
        let error = Reader::new(&[0x61, b'x']).u64("target").unwrap_err();
        assert_eq!(error.what(), "`target` before byte 2 should be a non-negative integer, but is a text of 1 bytes");
        assert!(Reader::new(&[]).text("name").unwrap_err().what().starts_with("`name`: at byte 0"));
        assert!(Reader::new(&[0xc1]).expect_tag(tag::LIST, "x").is_err());
    }

    #[test]
    fn private_tags_are_consecutive() {
        for (index, (tag, name)) in tag::NAMES.iter().enumerate() {
            assert_eq!(*tag, 0x5300 + index as u64, "{name}");
        }
    }
}
