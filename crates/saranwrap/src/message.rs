//! The header that says who a body is for, and the bodies that belong to the link itself.  No I/O, no ops, no values.

use crate::error::{Error, Result};
use crate::wire::{Reader, Writer};

/// The version of the protocol; both sides must speak the same.
pub const PROTOCOL: u64 = 1;

/// The longest body of a frame.
pub const MAX_BODY: u32 = 1 << 30;

/// The longest body of a Hello: it comes from a process that nobody knows yet.
pub const MAX_HELLO: u32 = 1 << 20;

/// How long an encoded header is.
pub const HEADER_LEN: usize = 24;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The first frame of each side.
    Hello = 1,
    /// Asks; exactly one Reply or Raised with the same id comes back.
    Call = 2,
    /// The answer to a call.
    Reply = 3,
    /// The answer to a call whose code raised.
    Raised = 4,
    /// Gives ids back.
    Release = 5,
    /// Nobody waits for the answer to this call any more.
    Cancel = 6,
    /// The sender will say nothing more.
    Bye = 7,
}

impl Kind {
    fn from_code(code: u8) -> Result<Self> {
        Ok(match code {
            1 => Kind::Hello,
            2 => Kind::Call,
            3 => Kind::Reply,
            4 => Kind::Raised,
            5 => Kind::Release,
            6 => Kind::Cancel,
            7 => Kind::Bye,
            _ => return Err(Error::garbled(format!("{code} is no kind of frame"))),
        })
    }
}

/// What stands before each body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the frame is.
    pub kind: Kind,
    /// The call it belongs to; 0 where it belongs to none.
    pub id: u64,
    /// The chain of nested calls it belongs to; 0 where it belongs to none.
    pub chain: u64,
    /// The length of the body.
    pub len: u32,
}

impl Header {
    /// Little endian: `len` (4 bytes), kind (1), three zeros, `id` (8), `chain` (8).
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..4].copy_from_slice(&self.len.to_le_bytes());
        bytes[4] = self.kind as u8;
        bytes[8..16].copy_from_slice(&self.id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.chain.to_le_bytes());
        bytes
    }

    /// The reverse; refuses unknown kinds and lengths over the limit of the kind.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self> {
        let [l0, l1, l2, l3, kind, z0, z1, z2, rest @ ..] = *bytes;
        if [z0, z1, z2] != [0; 3] {
            return Err(Error::garbled("the reserved bytes of a frame header are not zero"));
        }
        let kind = Kind::from_code(kind)?;
        let [i0, i1, i2, i3, i4, i5, i6, i7, c0, c1, c2, c3, c4, c5, c6, c7] = rest;
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        let limit = if kind == Kind::Hello { MAX_HELLO } else { MAX_BODY };
        if len > limit {
            return Err(Error::garbled(format!("a {kind:?} frame of {len} bytes is over the limit of {limit}")));
        }
        Ok(Self {
            kind,
            id: u64::from_le_bytes([i0, i1, i2, i3, i4, i5, i6, i7]),
            chain: u64::from_le_bytes([c0, c1, c2, c3, c4, c5, c6, c7]),
            len,
        })
    }
}

/// A header with its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What stands before the body.
    pub header: Header,
    /// The sealed content; the link does not look inside.
    pub body: Vec<u8>,
}

/// The body of a Release: pairs of an id and how often it is given back.
pub fn encode_releases(releases: &[(u64, u64)], out: &mut Writer) {
    for &(id, count) in releases {
        out.u64(id);
        out.u64(count);
    }
}

/// The reverse.
pub fn decode_releases(body: &[u8]) -> Result<Vec<(u64, u64)>> {
    let mut reader = Reader::new(body);
    let mut releases = Vec::new();
    while !reader.at_end() {
        releases.push((reader.u64("released id")?, reader.u64("release count")?));
    }
    Ok(releases)
}

/// What each side says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The version of the protocol that the sender speaks.
    pub protocol: u64,
    /// The version of the sender's own code.
    pub version: String,
    /// The sender's process id, as it sees it.
    pub pid: u32,
    /// Further entries of the map, as encoded `key value key value ..`; keys are texts.  Opaque to the engine.
    pub extra: Vec<u8>,
}

impl Hello {
    /// Ours: this engine's versions and this process, with the face's own entries.
    pub fn ours(extra: Vec<u8>) -> Self {
        Self { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned(), pid: std::process::id(), extra }
    }

    /// The body of a Hello frame.  Fails when `extra` is no sequence of texts with their values.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Writer::with_capacity(64 + self.extra.len());
        out.map(3 + entries(&self.extra)?);
        out.text("protocol");
        out.u64(self.protocol);
        out.text("version");
        out.text(&self.version);
        out.text("pid");
        out.u64(u64::from(self.pid));
        out.raw(&self.extra);
        Ok(out.into_vec())
    }

    /// The reverse; what it does not know goes to `extra`.
    pub fn decode(body: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(body);
        let (mut protocol, mut version, mut pid) = (None, None, None);
        let mut extra = Vec::new();
        for _ in 0..reader.map("Hello")? {
            let start = reader.position();
            match reader.text("a key of Hello")? {
                "protocol" => protocol = Some(reader.u64("protocol")?),
                "version" => version = Some(reader.text("version")?.to_owned()),
                "pid" => pid = Some(reader.u64("pid")?),
                _ => {
                    reader.skip()?;
                    extra.extend_from_slice(&body[start..reader.position()]);
                }
            }
        }
        reader.finish("a Hello")?;
        let absent = |key| Error::garbled(format!("a Hello without `{key}`"));
        Ok(Self {
            protocol: protocol.ok_or_else(|| absent("protocol"))?,
            version: version.ok_or_else(|| absent("version"))?,
            pid: u32::try_from(pid.ok_or_else(|| absent("pid"))?)
                .map_err(|error| Error::garbled("the pid in a Hello").because(error))?,
            extra,
        })
    }
}

/// How many keys with values `items` holds.
fn entries(items: &[u8]) -> Result<usize> {
    let mut reader = Reader::new(items);
    let mut count = 0;
    while !reader.at_end() {
        reader.text("a key of Hello")?;
        reader.skip()?;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error;

    #[test]
    fn headers_come_back() {
        let header = Header { kind: Kind::Raised, id: 1 << 63 | 7, chain: 99, len: 12345 };
        assert_eq!(Header::decode(&header.encode()).unwrap(), header);
    }

    #[test]
    fn headers_are_checked() {
        let good = Header { kind: Kind::Hello, id: 0, chain: 0, len: 1 };
        let spoilt = |index: usize, value: u8| {
            let mut bytes = good.encode();
            bytes[index] = value;
            Header::decode(&bytes).unwrap_err().kind()
        };
        assert_eq!(spoilt(4, 0), error::Kind::Garbled);
        assert_eq!(spoilt(4, 8), error::Kind::Garbled);
        assert_eq!(spoilt(5, 1), error::Kind::Garbled);
        assert_eq!(spoilt(2, 0x11), error::Kind::Garbled, "a Hello over its own limit");
    }

    #[test]
    fn releases_come_back() {
        let mut out = Writer::new();
        encode_releases(&[(1, 2), (u64::MAX, 1)], &mut out);
        assert_eq!(decode_releases(out.as_slice()).unwrap(), [(1, 2), (u64::MAX, 1)]);
        assert!(decode_releases(&out.as_slice()[..1]).is_err());
    }

    #[test]
    fn hello_keeps_what_it_does_not_know() {
        let mut extra = Writer::new();
        extra.text("implementation");
        extra.text("toy");
        extra.text("paths");
        extra.array(2);
        extra.text("a");
        extra.null();
        let hello = Hello::ours(extra.into_vec());
        assert_eq!(Hello::decode(&hello.encode().unwrap()).unwrap(), hello);
    }

    #[test]
    fn hello_names_what_is_absent() {
        let mut out = Writer::new();
        out.map(1);
        out.text("protocol");
        out.u64(1);
        assert_eq!(Hello::decode(out.as_slice()).unwrap_err().what(), "a Hello without `version`");
    }
}
