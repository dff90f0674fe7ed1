//! Fuzzes what `targets::link` describes.
#![no_main]

#[allow(dead_code)] // Each binary uses one of them.
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::link(bytes));
