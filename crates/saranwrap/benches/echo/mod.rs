//! The least of a world: a host that answers a call with its argument, and a link whose other end is a thread of this process.
// Each benchmark takes this in as a module of its own and uses a part of it.
#![allow(dead_code, unreachable_pub)]

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use saranwrap::transport::{ring, stream};
use saranwrap::wire::{Reader, Writer};
use saranwrap::{Applied, Host, Link, Op, Outcome, Request, Result, Side, Transport};

/// Answers with the first argument of `callattr`. No objects live here.
pub struct Echo;

impl Host for Echo {
    fn apply(&self, body: &[u8], out: &mut Writer) -> Result<Applied> {
        let mut reader = Reader::new(body);
        Request::read(&mut reader)?;
        reader.text("name")?;
        reader.array("args")?;
        out.u64(reader.u64("x")?);
        Ok(Outcome::Answered.into())
    }

    fn release(&self, _: &[(u64, u64)]) -> Result<()> {
        Ok(())
    }

    fn discard(&self, _: &[u8]) {}

    fn detached(&self, wait: &mut (dyn FnMut() + Send)) {
        wait();
    }

    fn interrupted(&self) -> Result<()> {
        Ok(())
    }

    fn queued_releases(&self) -> Vec<(u64, u64)> {
        Vec::new()
    }
}

/// Two ends that are joined.
pub type Pair = (Box<dyn Transport>, Box<dyn Transport>);

/// A name, and how to make two ends that are joined.
pub type Joined = (&'static str, fn() -> Result<Pair>);

/// The transports that links are measured over.
pub const TRANSPORTS: &[Joined] = &[("ring", over_ring), ("stream", over_stream)];

fn over_ring() -> Result<Pair> {
    let (ours, theirs) = ring::pair()?;
    Ok((Box::new(ours), Box::new(theirs)))
}

fn over_stream() -> Result<Pair> {
    let (ours, theirs) = stream::pair()?;
    Ok((Box::new(ours), Box::new(theirs)))
}

/// A parent here, and a child that serves in a thread.
pub struct World {
    link: Arc<Link>,
    child: Arc<Link>,
    serving: JoinHandle<Result<()>>,
}

impl World {
    /// Over that transport.
    pub fn over(pair: fn() -> Result<Pair>) -> Result<Self> {
        let (ours, theirs) = pair()?;
        let link = Link::new(ours, Side::Parent);
        let child = Link::new(theirs, Side::Child);
        let serving = std::thread::spawn({
            let child = Arc::clone(&child);
            move || child.serve(&Echo)
        });
        Ok(Self { link, child, serving })
    }

    /// From now on, sleep at once: how often one looks before is no property of the code.
    pub fn sleep_at_once(&self) {
        self.link.set_spin(Duration::ZERO);
        self.child.set_spin(Duration::ZERO);
    }

    /// `p.noop(x)`: there and back.
    pub fn call(&self, x: u64) -> Result<u64> {
        let (_, answer) = self.link.call(&Echo, noop(x).as_slice())?;
        Reader::new(&answer).u64("answer")
    }

    /// Close, and wait for the child's end.
    pub fn end(self) {
        self.link.close();
        // How the thread ended is no matter of a benchmark.
        let _ = self.serving.join();
    }
}

/// The request `p.noop(x)`.
pub fn noop(x: u64) -> Writer {
    let mut body = Writer::new();
    Request { op: Op::CallAttr, target: 1, argc: 3 }.write(&mut body);
    body.text("noop");
    body.array(1);
    body.u64(x);
    body.map(0);
    body
}
