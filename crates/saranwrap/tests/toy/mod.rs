//! A host for tests: a handful of commands, a body being an array of a text and one value.  No objects live here.
// Each test file takes this in as a module of its own and uses a part of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use saranwrap::message::Hello;
use saranwrap::transport::Transport;
use saranwrap::wire::{Reader, Writer};
use saranwrap::{Applied, Child, Command, Error, GivenUp, Host, Kind, Link, Outcome, Result, Side};

/// What a test shares with the hosts of all its threads.
#[derive(Default)]
pub struct Shared {
    pub released: Mutex<Vec<(u64, u64)>>,
    pub discarded: Mutex<Vec<Vec<u8>>>,
    pub to_release: Mutex<Vec<(u64, u64)>>,
    /// "hold" says here that it runs, and waits for the other to go on.
    pub holding: Mutex<Option<Sender<()>>>,
    pub go_on: Mutex<Option<Receiver<()>>>,
    /// The calls that "later" left to be answered.
    pub later: Mutex<Vec<u64>>,
    /// Where "meet" waits for others.
    pub barrier: Mutex<Option<Arc<std::sync::Barrier>>>,
    /// Bodies that were declined rather than applied.
    pub declined: Mutex<Vec<Vec<u8>>>,
    /// How often it was told that a call which was interrupted is over.
    pub calmed: Mutex<u64>,
}

/// A host for one thread; `name` is what "who" answers.
pub struct Toy {
    pub link: Arc<Link>,
    pub name: u64,
    pub shared: Arc<Shared>,
    /// Whether the next wait is interrupted rather than begun.
    pub interrupt: std::cell::Cell<bool>,
    /// What is waited for before that.
    pub when: std::cell::RefCell<Option<Receiver<()>>>,
    /// Whether the next interruption ends a call.
    pub give_up: std::cell::Cell<bool>,
    /// How many more times it waits for a call that was given up.
    pub patience: std::cell::Cell<u64>,
}

impl Toy {
    pub fn new(link: &Arc<Link>, name: u64, shared: &Arc<Shared>) -> Self {
        Self {
            link: Arc::clone(link),
            name,
            shared: Arc::clone(shared),
            interrupt: false.into(),
            when: None.into(),
            give_up: false.into(),
            patience: 0.into(),
        }
    }

    /// Ask for a number.
    pub fn number(&self, command: &str, argument: u64) -> Result<u64> {
        let (outcome, body) = self.link.call(self, &request(command, argument))?;
        assert_eq!(outcome, Outcome::Answered, "{command} raised");
        Reader::new(&body).u64("answer")
    }

    /// Send bytes there and back.
    pub fn echo(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let mut body = Writer::new();
        body.array(2);
        body.text("echo");
        body.bytes(bytes);
        let (_, answer) = self.link.call(self, body.as_slice())?;
        Ok(Reader::new(&answer).bytes("answer")?.to_vec())
    }

    /// Start a child that serves a call which never ends, and say its pid.
    fn spawn_stuck(&self) -> Result<u64> {
        let (child, link) = Child::spawn(&toy_command())?;
        link.hello(&Hello::ours(Vec::new()), None)?;
        link.start(&Toy::new(&link, 0, &self.shared), &request("stuck", 0))?;
        // The two live as long as this process.
        let pid = child.pid();
        std::mem::forget((child, link));
        Ok(u64::from(pid))
    }

    fn hold(&self) -> u64 {
        if let Some(holding) = &*self.shared.holding.lock().unwrap() {
            holding.send(()).unwrap();
        }
        if let Some(go_on) = &*self.shared.go_on.lock().unwrap() {
            go_on.recv().unwrap();
        }
        u64::from(self.link.cancelled())
    }

    fn nest(&self, depth: u64) -> Result<u64> {
        if depth == 0 { Ok(0) } else { Ok(self.number("nest", depth - 1)? + 1) }
    }

    /// Start a thread that asks on a chain of its own, and wait for it.
    fn thread(&self, argument: u64) -> Result<u64> {
        let (link, shared) = (Arc::clone(&self.link), Arc::clone(&self.shared));
        let thread = std::thread::spawn(move || {
            let toy = Toy::new(&link, 1000 + argument, &shared);
            toy.number("ask-who", argument)
        });
        thread.join().unwrap()
    }

    fn answer(&self, command: &str, reader: &mut Reader<'_>, out: &mut Writer) -> Result<Outcome> {
        let number = match command {
            "echo" => {
                out.raw(reader.rest());
                return Ok(Outcome::Answered);
            }
            "raise" => {
                out.text("as you wish");
                return Ok(Outcome::Raised);
            }
            "garble" => return Err(Error::garbled("the toy was told to find a fault")),
            "panic" => panic!("the toy was told to panic"),
            "who" => self.name,
            "chain" => self.link.chain().unwrap(),
            "ask-who" => self.number("who", 0)?,
            "nest" => self.nest(reader.u64("depth")?)?,
            "thread" => self.thread(reader.u64("argument")?)?,
            "hold" => self.hold(),
            "meet" => {
                let barrier = self.shared.barrier.lock().unwrap().clone();
                u64::from(barrier.unwrap().wait().is_leader())
            }
            "interrupted" => {
                while !self.link.interrupts().0 {
                    std::thread::yield_now();
                }
                u64::from(self.link.interrupts().0)
            }
            "call-hold" => self.number("hold", 0)?,
            "call-echo" => {
                let bytes = vec![7; reader.u64("length")? as usize];
                u64::from(self.echo(&bytes)? == bytes)
            }
            "pid" => u64::from(std::process::id()),
            "exit" => std::process::exit(reader.u64("code")? as i32),
            "abort" => std::process::abort(),
            "say" => {
                eprintln!("these are last words");
                0
            }
            "stdin" => std::fs::metadata("/proc/self/fd/0").unwrap().ino(),
            "stuck" => loop {
                std::thread::park();
            },
            "spawn-stuck" => self.spawn_stuck()?,
            _ => return Err(Error::garbled(format!("unknown command {command}"))),
        };
        out.u64(number);
        Ok(Outcome::Answered)
    }
}

impl Host for Toy {
    fn apply(&self, body: &[u8], out: &mut Writer) -> Result<Applied> {
        let mut reader = Reader::new(body);
        reader.array("request")?;
        let command = reader.text("command")?;
        if command == "later" {
            self.shared.later.lock().unwrap().push(self.link.serving().unwrap());
            return Ok(Applied::Later);
        }
        self.answer(command, &mut reader, out).map(Applied::Done)
    }

    fn decline(&self, body: &[u8], out: &mut Writer) -> Result<Applied> {
        self.shared.declined.lock().unwrap().push(body.to_vec());
        out.text("declined");
        Ok(Outcome::Raised.into())
    }

    fn given_up(&self, _: &GivenUp<'_>) -> Option<Instant> {
        let left = self.patience.get().checked_sub(1)?;
        self.patience.set(left);
        Some(Instant::now() + Duration::from_millis(5))
    }

    fn calm(&self) {
        *self.shared.calmed.lock().unwrap() += 1;
    }

    fn release(&self, releases: &[(u64, u64)]) -> Result<()> {
        self.shared.released.lock().unwrap().extend(releases);
        Ok(())
    }

    fn discard(&self, body: &[u8]) {
        self.shared.discarded.lock().unwrap().push(body.to_vec());
    }

    fn detached(&self, wait: &mut (dyn FnMut() + Send)) {
        if !self.interrupt.take() {
            wait();
        } else if let Some(when) = self.when.take() {
            when.recv().unwrap();
        }
    }

    fn interrupted(&self) -> Result<()> {
        if self.give_up.take() { Err(Error::new(Kind::Interrupted, "interrupted")) } else { Ok(()) }
    }

    fn queued_releases(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut *self.shared.to_release.lock().unwrap())
    }
}

pub fn request(command: &str, argument: u64) -> Vec<u8> {
    let mut body = Writer::new();
    body.array(2);
    body.text(command);
    body.u64(argument);
    body.into_vec()
}

/// A parent here, and a child that serves in a thread.
pub struct World {
    pub link: Arc<Link>,
    pub parents: Arc<Shared>,
    pub child_link: Arc<Link>,
    pub childs: Arc<Shared>,
    pub serving: JoinHandle<Result<()>>,
}

impl World {
    pub fn new((ours, theirs): (Box<dyn Transport>, Box<dyn Transport>)) -> Self {
        let link = Link::new(ours, Side::Parent);
        let child_link = Link::new(theirs, Side::Child);
        let (parents, childs) = (Arc::default(), Arc::default());
        let serving = std::thread::spawn({
            let (link, shared) = (Arc::clone(&child_link), Arc::clone(&childs));
            move || link.serve(&Toy::new(&link, 500, &shared))
        });
        Self { link, parents, child_link, childs, serving }
    }

    pub fn parent(&self, name: u64) -> Toy {
        Toy::new(&self.link, name, &self.parents)
    }

    /// Close, and look that the child's main loop came to an orderly end.
    pub fn end(self) {
        self.link.close();
        self.serving.join().unwrap().unwrap();
    }
}

/// Gates for "hold": wait on the first until it runs, and send on the second to let it go on.
pub fn gates(shared: &Shared) -> (Receiver<()>, Sender<()>) {
    let (holding, is_holding) = channel();
    let (let_go, go_on) = channel();
    *shared.holding.lock().unwrap() = Some(holding);
    *shared.go_on.lock().unwrap() = Some(go_on);
    (is_holding, let_go)
}

/// The test program that is running, once more, as a child: its test `toy_child` is the child's main function.
pub fn toy_command() -> Command {
    let env = std::env::vars_os().chain([("SARANWRAP_TOY".into(), "1".into())]);
    Command {
        program: std::env::current_exe().unwrap().into(),
        args: ["toy_child", "--exact", "--nocapture", "--quiet"].map(Into::into).to_vec(),
        env: Some(env.collect()),
        ..Command::default()
    }
}

/// The main function of a toy child; returns at once when the test program does not run as one.
pub fn toy_child_main() {
    if std::env::var_os("SARANWRAP_TOY").is_none() {
        return;
    }
    let link = saranwrap::adopt_link().unwrap().link;
    link.hello(&Hello::ours(Vec::new()), None).unwrap();
    let served = link.serve(&Toy::new(&link, 500, &Arc::default()));
    std::process::exit(if served.is_ok() { 0 } else { 99 });
}
