//! A Rust value in a process of its own: this program once more.  What crashes there leaves this one alone.

use saranwrap::{Callback, Fault, Object, Offer};

/// Keeps the largest number that it was shown.
#[derive(Default)]
pub struct Largest {
    seen: Option<i64>,
}

#[saranwrap::wrap]
impl Largest {
    /// One that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Look at some numbers.
    pub fn look(&mut self, numbers: &[i64]) -> Option<i64> {
        self.seen = numbers.iter().copied().chain(self.seen).max();
        self.seen
    }

    /// Tell a function of the caller's.
    pub fn tell(&self, listener: saranwrap::Proxy) -> Result<(), Fault> {
        listener.call((self.seen,)).map(drop)
    }

    /// Crash.
    pub fn abort(&self) {
        std::process::abort();
    }
}

fn main() -> Result<(), Fault> {
    // Where this program finds itself a child it serves, and does not come back from here.
    Offer::new().class::<Largest>().serve_if_child();

    let largest = LargestProxy::spawn()?;
    println!("{:?}", largest.look(&[3, 9, 4])?);
    println!("{:?}", largest.look(&[5])?);
    largest.tell(Callback::new(|(seen,): (Option<i64>,)| println!("it has seen {seen:?}")))?;
    let fault = largest.abort().err();
    println!("it is gone: {}", fault.map(|fault| fault.to_string()).unwrap_or_default());
    Ok(())
}
