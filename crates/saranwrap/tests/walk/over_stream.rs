//! Over a socket.

use saranwrap::transport::{Transport, stream};

#[path = "fronts.rs"]
mod fronts;
#[path = "steps.rs"]
mod steps;

fn pair() -> (Box<dyn Transport>, Box<dyn Transport>) {
    let (one, other) = stream::pair().unwrap();
    (Box::new(one), Box::new(other))
}
