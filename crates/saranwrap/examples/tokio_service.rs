//! A service that answers over HTTP with what a Python library says, from four children at once: one that crashes costs one answer.
//!
//! `GET /?TEXT` gives the words of TEXT as `shlex.split` finds them; `GET /crash` ends a child.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use saranwrap::{Fault, Proxy, Python};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::RwLock;

const CHILDREN: usize = 4;

/// The same library in several children, which take turns.
struct Library {
    python: Python,
    module: &'static str,
    children: Vec<RwLock<Proxy>>,
    next: AtomicUsize,
}

impl Library {
    fn new(python: Python, module: &'static str) -> Result<Self, Fault> {
        let start = |_| Ok(RwLock::new(python.spawn()?.wrap_module(module)?));
        let children = (0..CHILDREN).map(start).collect::<Result<_, Fault>>()?;
        Ok(Self { python, module, children, next: AtomicUsize::new(0) })
    }

    /// The words of a text.
    async fn words(&self, text: &str) -> Result<String, Fault> {
        let place = self.next_place();
        let library = place.read().await.later();
        let words = match library.call_method("split", (text,)).await {
            Ok(list) => list.later()?.fetch().await,
            failed => failed,
        };
        self.mend(place).await?;
        Ok(words?.extract::<Vec<String>>()?.join("\n"))
    }

    /// What a library with a fault in its C code may do at any moment.
    async fn crash(&self) -> Result<String, Fault> {
        let place = self.next_place();
        let library = place.read().await.later();
        let crashed = match library.getattr("os").await {
            Ok(os) => os.later()?.call_method("abort", ()).await,
            failed => failed,
        };
        self.mend(place).await?;
        crashed.map(|value| value.to_string())
    }

    fn next_place(&self) -> &RwLock<Proxy> {
        &self.children[self.next.fetch_add(1, Ordering::Relaxed) % CHILDREN]
    }

    /// Where the child is dead, another one from now on.
    async fn mend(&self, place: &RwLock<Proxy>) -> Result<(), Fault> {
        if !place.read().await.session().is_alive() {
            *place.write().await = self.python.spawn()?.wrap_module(self.module)?;
        }
        Ok(())
    }
}

async fn answer(library: &Library, stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufStream::new(stream);
    let mut request = String::new();
    stream.read_line(&mut request).await?;
    let path = request.split(' ').nth(1).unwrap_or("/");
    let said = match path.strip_prefix("/?") {
        Some(text) => library.words(&text.replace('+', " ")).await,
        None if path == "/crash" => library.crash().await,
        None => Ok("GET /?TEXT".to_owned()),
    };
    let (status, body) = match said {
        Ok(body) => ("200 OK", body),
        Err(Fault::Raised(raised)) => ("400 Bad Request", raised.to_string()),
        Err(fault) => ("503 Service Unavailable", fault.to_string()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.flush().await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let interpreter = arguments.next().unwrap_or_else(|| "python3".to_owned());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let library = Arc::new(Library::new(Python::new().interpreter(interpreter), "shlex")?);
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let library = Arc::clone(&library);
        tokio::spawn(async move {
            if let Err(error) = answer(&library, stream).await {
                eprintln!("a client left: {error}");
            }
        });
    }
}
