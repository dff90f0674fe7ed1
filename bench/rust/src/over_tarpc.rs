//! tarpc over a Unix socket, with this program once more as its server.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use futures::StreamExt;
use tarpc::client::Config;
use tarpc::context::{self, Context};
use tarpc::serde_transport::unix;
use tarpc::server::{BaseChannel, Channel};
use tarpc::tokio_serde::formats::Bincode;
use tokio::runtime::{Builder, Runtime};

use crate::{Act, Result};

/// The argument of a child.
pub const CHILD: &str = "--tarpc-child";

/// How long the child may take to be there.
const STARTING: Duration = Duration::from_secs(10);

#[tarpc::service]
trait Root {
    async fn noop(x: i64) -> i64;
}

#[derive(Clone)]
struct Here;

impl Root for Here {
    async fn noop(self, _: Context, x: i64) -> i64 {
        x
    }
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

/// The child.
pub fn serve(socket: &str) -> Result<()> {
    runtime()?.block_on(async {
        let mut incoming = unix::listen(socket, Bincode::default).await?;
        let Some(transport) = incoming.next().await else { return Ok(()) };
        let answering = BaseChannel::with_defaults(transport?).execute(Here.serve());
        answering.for_each(|answer| async move { drop(tokio::spawn(answer)) }).await;
        Ok(())
    })
}

/// `root.noop(7)`.
pub fn call() -> Result<Act> {
    let socket = PathBuf::from(std::env::temp_dir()).join(format!("tarpc-{}", std::process::id()));
    Command::new(std::env::current_exe()?).arg(CHILD).arg(&socket).spawn()?;
    let until = Instant::now() + STARTING;
    while !socket.exists() {
        if Instant::now() > until {
            return Err("the child did not come".into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let runtime = runtime()?;
    let client = runtime.block_on(async {
        let transport = unix::connect(&socket, Bincode::default).await?;
        Ok::<_, std::io::Error>(RootClient::new(Config::default(), transport).spawn())
    })?;
    Ok(Box::new(move || {
        assert_eq!(runtime.block_on(client.noop(context::current(), 7))?, 7);
        Ok(())
    }))
}
