//! Python object <-> wire. By value or by reference is decided in this room and nowhere else.

mod decode;
mod encode;

pub(crate) use decode::Decoder;
pub(crate) use encode::{Encoder, Mode};
