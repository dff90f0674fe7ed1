//! ipc-channel: a channel each way to this program once more.

use std::process::Command;

use ipc_channel::ipc::{self, IpcOneShotServer, IpcReceiver, IpcSender};

use crate::{Act, Result};

/// The argument of a child.
pub const CHILD: &str = "--ipc-channel-child";

type Ends = (IpcSender<i64>, IpcReceiver<i64>);

/// The child.
pub fn serve(server: &str) -> Result<()> {
    let (questions, asked) = ipc::channel()?;
    let (answers, answered) = ipc::channel()?;
    IpcSender::<Ends>::connect(server.to_owned())?.send((questions, answered))?;
    while let Ok(x) = asked.recv() {
        answers.send(x)?;
    }
    Ok(())
}

/// `root.noop(7)`.
pub fn call() -> Result<Act> {
    let (server, name) = IpcOneShotServer::<Ends>::new()?;
    Command::new(std::env::current_exe()?).arg(CHILD).arg(name).spawn()?;
    let (_, (questions, answered)) = server.accept()?;
    Ok(Box::new(move || {
        questions.send(7)?;
        assert_eq!(answered.recv()?, 7);
        Ok(())
    }))
}
