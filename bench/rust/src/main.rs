//! The process that drives one contestant through one workload whose parent is a Rust program: `CONTESTANT WORKLOAD SECONDS`.
//!
//! Each line on its stdin is a turn; each line on its stdout is the answer, in JSON, as with the drivers in Python.

mod by_hand;
#[cfg(feature = "embedded")]
mod embedded;
mod ours;
mod over_ipc_channel;
mod over_procspawn;
mod over_tarpc;
mod repeated;

use std::error::Error;
use std::io::{BufRead, Write};

use repeated::Repeated;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Something to do over and over.
type Act = Box<dyn FnMut() -> Result<()>>;

fn main() -> Result<()> {
    procspawn::init();
    ours::serve_if_child();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [over_tarpc::CHILD, socket] => over_tarpc::serve(socket),
        [over_ipc_channel::CHILD, server] => over_ipc_channel::serve(server),
        [contestant, workload, seconds] => drive(contestant, workload, seconds.parse()?),
        _ => Err("say which contestant, which workload and how many seconds a turn takes".into()),
    }
}

/// What that contestant does in that workload.
fn act(contestant: &str, workload: &str) -> Result<Act> {
    match (contestant, workload) {
        ("saranwrap", "rust-getattr") => ours::getattr(),
        ("saranwrap", "rust-call") => ours::call(),
        ("saranwrap", "rust-rust") => ours::call_rust(),
        ("hand-written pipe", "rust-getattr") => by_hand::getattr(),
        ("hand-written pipe", "rust-call") => by_hand::call(),
        #[cfg(feature = "embedded")]
        ("embedded", "rust-getattr") => embedded::getattr(),
        #[cfg(feature = "embedded")]
        ("embedded", "rust-call") => embedded::call(),
        ("tarpc", "rust-rust") => over_tarpc::call(),
        ("ipc-channel", "rust-rust") => over_ipc_channel::call(),
        ("procspawn", "rust-rust") => over_procspawn::call(),
        _ => Err(format!("{contestant} has nothing for {workload}").into()),
    }
}

fn drive(contestant: &str, workload: &str, seconds: f64) -> Result<()> {
    let prepared = act(contestant, workload).and_then(|act| Repeated::prepare(act, seconds));
    let mut repeated = match prepared {
        Ok(repeated) => repeated,
        Err(fault) => return failed(&*fault),
    };
    say("{}")?;
    for turn in std::io::stdin().lock().lines() {
        turn?;
        match repeated.turn() {
            Ok(seconds) => say(&format!("{{\"{workload}\": {}}}", seconds * 1e6))?,
            Err(fault) => return failed(&*fault),
        }
    }
    Ok(())
}

fn failed(fault: &dyn Error) -> Result<()> {
    say(&serde_json::json!({ "failed": fault.to_string() }).to_string())
}

fn say(line: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}
