//! stdin and stdout for connectors that are given no file.

use std::io::{self, ErrorKind, Read, Write};

use bytes::Bytes;
use ottla_connect::StandardStreams;
use ottla_io::{Env, Op, run_blocking};

/// What one read takes at most.
const PIECE: usize = 64 << 10;

/// This process's streams.
pub struct Standard {
    env: Env,
}

impl Standard {
    pub fn new(env: &Env) -> Self {
        Standard { env: env.clone() }
    }

    fn blocking<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Op<io::Result<T>> {
        let tasks = self.env.tasks.clone();
        Op::pending(async move {
            let stopping = || Err(io::Error::new(ErrorKind::Interrupted, "the process stops"));
            run_blocking(&*tasks, name, work).await.unwrap_or_else(stopping)
        })
    }
}

impl StandardStreams for Standard {
    fn read(&self) -> Op<io::Result<Bytes>> {
        self.blocking("stdin", || {
            let mut piece = vec![0; PIECE];
            loop {
                match io::stdin().lock().read(&mut piece) {
                    Ok(len) => {
                        piece.truncate(len);
                        return Ok(piece.into());
                    }
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
        })
    }

    fn write(&self, bytes: Bytes) -> Op<io::Result<()>> {
        self.blocking("stdout", move || {
            let mut out = io::stdout().lock();
            out.write_all(&bytes)?;
            out.flush()
        })
    }
}
