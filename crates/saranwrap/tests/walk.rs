//! One body of tests, `walk/steps.rs`, over each transport.
#![allow(clippy::unwrap_used)] // In a test a panic is the message.
#![allow(clippy::duplicate_mod)] // That is what this is for.

mod toy;

#[path = "walk/over_ring.rs"]
mod over_ring;
#[path = "walk/over_stream.rs"]
mod over_stream;
