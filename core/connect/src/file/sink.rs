//! The sink's task: a line for each record's value, written when it is put and safe before its offset is committed. (Kafka's hides
//! every error of the file from its worker, which then commits what a full disk has lost.)

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use ottla_io::{BoxFuture, File, OpenOptions, write_all_at};

use super::file_of;
use crate::config::Props;
use crate::connector::{ConnectError, Result, Services};
use crate::data::Value;
use crate::offsets::directory;
use crate::sink::{Offsets, SinkContext, SinkRecord, SinkTask};

/// Where lines go.
enum Output {
    Stdout,
    File(PathBuf, Arc<dyn File>),
}

/// The task.
pub(super) struct FileSinkTask {
    services: Services,
    output: Output,
}

impl FileSinkTask {
    pub(super) fn new(services: Services) -> Self {
        FileSinkTask {
            services,
            output: Output::Stdout,
        }
    }

    async fn open(&mut self, path: &Path) -> Result<()> {
        let opened = self.services.env.disk.open(path, OpenOptions::Append).await;
        let file = opened.map_err(|e| {
            let path = path.display();
            ConnectError::Fatal(format!(
                "Couldn't find or create file '{path}' for FileStreamSinkTask: {e}; create its directory, or check its permissions"
            ))
        })?;
        // Its name must survive as its content does. Devices and pipes have neither.
        if let Err(error) = self.services.env.disk.sync_dir(directory(path)).await {
            tracing::debug!(%error, "the directory of the sink's file was not synced");
        }
        end_last_line(&*file).await.map_err(|e| failed(path, &e))?;
        self.output = Output::File(path.to_owned(), file);
        Ok(())
    }

    async fn write(&self, text: Bytes) -> Result<()> {
        match &self.output {
            Output::Stdout => {
                let written = self.services.standard.write(text).await;
                written.map_err(|e| ConnectError::Fatal(format!("stdout can't be written: {e}")))
            }
            Output::File(path, file) => {
                let (written, _) = write_all_at(&**file, 0, vec![text]).await;
                written.map_err(|e| failed(path, &e))
            }
        }
    }

    async fn sync(&self) -> Result<()> {
        let Output::File(path, file) = &self.output else {
            return Ok(());
        };
        match file.sync_data().await {
            // What can't be synced, a device or a pipe, has nothing to keep.
            Err(e) if e.kind() == std::io::ErrorKind::InvalidInput => Ok(()),
            result => result.map_err(|e| failed(path, &e)),
        }
    }
}

fn failed(path: &Path, error: &std::io::Error) -> ConnectError {
    let path = path.display();
    ConnectError::Fatal(format!(
        "the sink's file {path}: {error}; nothing is committed of what is not in it: make room or repair it, then restart the task"
    ))
}

/// Ends a line that a crash or a full disk has cut, so that the next record gets a line of its own.
async fn end_last_line(file: &dyn File) -> std::io::Result<()> {
    let Ok(len @ 1..) = file.len().await else {
        return Ok(());
    };
    let (read, last) = file.read_at(len - 1, BytesMut::new(), 1).await;
    // Devices and pipes can't be read back.
    if read.is_ok() && last.first().is_some_and(|byte| *byte != b'\n') {
        write_all_at(file, len, vec![Bytes::from_static(b"\n")]).await.0?;
    }
    Ok(())
}

/// The line of a value: bytes as they are, everything else as Java prints it.
fn put_line(value: &Value, out: &mut BytesMut) {
    match value {
        Value::Bytes(bytes) => out.put_slice(bytes),
        Value::String(text) => out.put_slice(text.as_bytes()),
        value => out.put_slice(value.to_string().as_bytes()),
    }
    out.put_u8(b'\n');
}

impl SinkTask for FileSinkTask {
    fn start<'a>(&'a mut self, props: &'a Props) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match file_of(props) {
                Some(file) => self.open(Path::new(&file)).await,
                None => Ok(()),
            }
        })
    }

    fn put<'a>(&'a mut self, _: &'a mut SinkContext, records: &'a [SinkRecord]) -> BoxFuture<'a, Result<()>> {
        let mut text = BytesMut::new();
        for record in records {
            put_line(&record.value.value, &mut text);
        }
        Box::pin(async move {
            match text.is_empty() {
                true => Ok(()),
                false => self.write(text.freeze()).await,
            }
        })
    }

    fn pre_commit<'a>(
        &'a mut self,
        _: &'a mut SinkContext,
        offsets: Offsets,
    ) -> BoxFuture<'a, Result<Offsets>> {
        Box::pin(async move {
            self.sync().await?;
            Ok(offsets)
        })
    }

    fn stop(&mut self) -> BoxFuture<'_, ()> {
        self.output = Output::Stdout;
        Box::pin(async {})
    }
}
