//! What one writes by hand: an interpreter that reads a line of JSON from a pipe, and writes one.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::{Act, Result};

const CHILD: &str = "
import json, sys
from bench.subject import Root
root = Root()
for line in sys.stdin:
    name, arguments = json.loads(line)
    attribute = getattr(root, name)
    answer = attribute if arguments is None else attribute(*arguments)
    sys.stdout.write(json.dumps(answer) + '\\n')
    sys.stdout.flush()
";

struct Piped {
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    line: String,
    // Its pipes are held above; it ends when they do.
    _process: Child,
}

impl Piped {
    fn start() -> Result<Self> {
        let mut command = Command::new(env::var("SARANWRAP_BENCH_PYTHON")?);
        command.args(["-c", CHILD]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let to = process.stdin.take().ok_or("it has no stdin")?;
        let from = process.stdout.take().ok_or("it has no stdout")?;
        Ok(Self { to, from: BufReader::new(from), line: String::new(), _process: process })
    }

    fn ask(&mut self, request: &Value) -> Result<()> {
        self.to.write_all(format!("{request}\n").as_bytes())?;
        self.line.clear();
        self.from.read_line(&mut self.line)?;
        assert_eq!(self.line.trim().parse::<i64>()?, 7);
        Ok(())
    }
}

/// `root.number`.
pub fn getattr() -> Result<Act> {
    let mut piped = Piped::start()?;
    Ok(Box::new(move || piped.ask(&json!(["number", null]))))
}

/// `root.noop(7)`.
pub fn call() -> Result<Act> {
    let mut piped = Piped::start()?;
    Ok(Box::new(move || piped.ask(&json!(["noop", [7]]))))
}
