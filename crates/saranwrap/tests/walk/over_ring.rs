//! Over shared memory.

use saranwrap::transport::{Transport, ring};

#[path = "fronts.rs"]
mod fronts;
#[path = "steps.rs"]
mod steps;

fn pair() -> (Box<dyn Transport>, Box<dyn Transport>) {
    let (one, other) = ring::pair().unwrap();
    (Box::new(one), Box::new(other))
}
