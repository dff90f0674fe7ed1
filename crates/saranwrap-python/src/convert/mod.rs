//! Python object <-> wire. By value or by reference is decided in this room and nowhere else.

mod bulk;
mod decode;
mod encode;
mod foresee;
mod packed;
mod paths;
mod references;
mod steps;
mod trailer;

/// Loan numbers from here on mean something within one message only: a container given away, not lent.
const WITHIN_MESSAGE: u64 = 1 << 62;

pub(crate) use bulk::is_array;
pub(crate) use decode::{Decoder, Promised};
pub(crate) use encode::{Encoder, Mark, Mode};
pub(crate) use foresee::foreseen;
pub(crate) use paths::{Told, is_asked_here};
pub(crate) use references::{has_id, is_for_asker};
pub(crate) use steps::{Report, report};
pub(crate) use trailer::note_loaded;
