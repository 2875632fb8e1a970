//! The source's task: follows a file as `tail -F` does. A file that is missing is waited for; one that was cut or replaced under
//! its name is read from its beginning, with a warning. (Kafka's stays at the old position of a file that was cut, never opens
//! one that took its name, and never ends looking for a position behind the end.)

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ottla_io::{BoxFuture, File, FileId, OpenOptions, read_exact_at};

use super::{BATCH_SIZE, Lines, TOPIC, file_of, source_config};
use crate::config::Props;
use crate::connector::{ConnectError, Result, Services};
use crate::data::{Schema, SchemaAndValue, Value};
use crate::source::{SourceContext, SourceMap, SourceRecord, SourceTask};

/// How long an idle poll waits for more.
const PAUSE: Duration = Duration::from_secs(1);
/// What one read takes.
const PIECE: usize = 64 << 10;
/// A batch ends with the line that makes it larger.
const BATCH_BYTES: usize = 8 << 20;
/// The longest line: what a record can hold, with room for the escapes of JSON.
const LONGEST: usize = 256 << 20;
/// How many bytes before the position must still be what they were, or the file is another one.
const REMEMBERED: usize = 64;

const FILENAME: &str = "filename";
const POSITION: &str = "position";

/// The file that is open.
struct Open {
    file: Arc<dyn File>,
    id: FileId,
    /// Where the next read begins.
    read: u64,
    /// The bytes before that.
    before: Bytes,
    /// Another file had the name when it was last looked up; this one gets one more chance to be written to its end.
    replaced: bool,
}

/// The task.
pub(super) struct FileSourceTask {
    services: Services,
    /// As configured; `None` is stdin.
    file: Option<String>,
    topic: Arc<str>,
    batch: usize,
    partition: Arc<SourceMap>,
    schema: Arc<Schema>,
    open: Option<Open>,
    /// Where to begin once the file is there.
    begin: u64,
    lines: Lines,
    missing: bool,
    ended: bool,
}

fn fatal(text: String) -> ConnectError {
    ConnectError::Fatal(text)
}

impl FileSourceTask {
    pub(super) fn new(services: Services) -> Self {
        FileSourceTask {
            services,
            file: None,
            topic: "".into(),
            batch: 0,
            partition: Arc::default(),
            schema: Schema::string(),
            open: None,
            begin: 0,
            lines: Lines::default(),
            missing: false,
            ended: false,
        }
    }

    fn name(&self) -> &str {
        self.file.as_deref().unwrap_or("stdin")
    }

    async fn begin(&mut self, context: SourceContext, props: &Props) -> Result<()> {
        let config = source_config().parse(props).map_err(|e| fatal(e.join("; ")))?;
        self.file = file_of(props);
        self.topic = config.text(TOPIC).into();
        self.batch = usize::try_from(config.number(BATCH_SIZE)).unwrap_or(0).max(1);
        let Some(file) = &self.file else {
            return Ok(());
        };
        self.partition = Arc::new(SourceMap::from([(
            FILENAME.to_owned(),
            Value::String(file.clone()),
        )]));
        if let Some(offset) = context.offsets.offset(&self.partition).await? {
            self.begin = match offset.get(POSITION) {
                Some(Value::Int64(position)) if *position >= 0 => position.unsigned_abs(),
                other => {
                    return Err(fatal(format!(
                        "the stored offset of {file} has no valid position ({other:?}): remove it from the offset storage"
                    )));
                }
            };
        }
        Ok(())
    }

    async fn next_batch(&mut self) -> Result<Vec<SourceRecord>> {
        let mut records = Vec::new();
        let mut bytes = 0;
        loop {
            // A dropped poll must not lose what was taken out of `lines`: nothing waits between here and the return.
            while bytes < BATCH_BYTES && records.len() < self.batch {
                let Some(line) = self.lines.next_line() else { break };
                bytes += line.bytes.len();
                records.push(self.record(&line));
            }
            if !records.is_empty() {
                return Ok(records);
            }
            if self.lines.pending() > LONGEST {
                let (name, at) = (self.name(), self.lines.position());
                return Err(fatal(format!(
                    "{name}: the line at byte {at} is longer than {LONGEST} bytes, which no record holds: split it"
                )));
            }
            if !self.read_more().await? {
                self.services.env.clock.sleep(PAUSE).await;
                return Ok(records);
            }
        }
    }

    fn record(&self, line: &super::Line) -> SourceRecord {
        let position = Value::Int64(i64::try_from(line.end).unwrap_or(i64::MAX));
        let offset = self.file.as_ref().map(|_| (POSITION.to_owned(), position));
        let text = String::from_utf8_lossy(&line.bytes).into_owned();
        SourceRecord {
            source_partition: self.partition.clone(),
            source_offset: offset.into_iter().collect(),
            topic: self.topic.clone(),
            partition: None,
            key: SchemaAndValue::NULL,
            value: SchemaAndValue::new(self.schema.clone(), Value::String(text)),
            headers: Vec::new(),
            timestamp: Some(self.services.env.clock.wall().as_millis()),
        }
    }

    /// Feeds what there is; false if there is nothing now.
    async fn read_more(&mut self) -> Result<bool> {
        let Some(path) = self.file.as_ref().map(PathBuf::from) else {
            return self.read_stdin().await;
        };
        let Some(open) = &mut self.open else {
            return self.open_file(path).await;
        };
        let start = open.read - open.before.len() as u64;
        let (result, found) = open
            .file
            .read_at(start, BytesMut::new(), open.before.len() + PIECE)
            .await;
        match result {
            Err(e) if e.kind() == ErrorKind::Interrupted => return Ok(true),
            result => result
                .map_err(|e| fatal(format!("{e}; check the file and its disk, then restart the task")))?,
        };
        match found.strip_prefix(&*open.before) {
            Some([]) => {
                let file = open.file.clone();
                self.is_replaced(path, &*file).await
            }
            Some(new) => {
                self.lines.feed(new);
                open.read += new.len() as u64;
                open.replaced = false;
                open.before = found.freeze();
                let surplus = open.before.len().saturating_sub(REMEMBERED);
                open.before = Bytes::copy_from_slice(open.before.get(surplus..).unwrap_or_default());
                Ok(true)
            }
            // A short read, or the file is not what it was.
            None if open.before.starts_with(&found)
                && open.file.len().await.is_ok_and(|len| len >= open.read) =>
            {
                Ok(true)
            }
            None => {
                tracing::warn!(file = %path.display(), position = open.read,
                    "the file was cut or written anew: reading it from its beginning");
                (open.read, open.before, self.lines) = (0, Bytes::new(), Lines::default());
                Ok(true)
            }
        }
    }

    /// At the end of the open file: whether another one has its name by now. That one is opened once this one has had a second to
    /// be written to its end.
    async fn is_replaced(&mut self, path: PathBuf, file: &dyn File) -> Result<bool> {
        let Some(open) = &mut self.open else {
            return Ok(false);
        };
        let Ok(named) = self.services.env.disk.open(&path, OpenOptions::Read).await else {
            return Ok(false); // Renamed or removed, and no other is there yet.
        };
        if named.id() == file.id() {
            open.replaced = false;
            return Ok(false);
        }
        if !std::mem::replace(&mut open.replaced, true) {
            return Ok(false);
        }
        let unfinished = self.lines.pending();
        tracing::warn!(file = %path.display(), old = ?open.id, unfinished_bytes = unfinished,
            "another file has taken its name: reading that one from its beginning");
        (self.open, self.begin, self.lines) = (None, 0, Lines::default());
        Ok(true)
    }

    async fn open_file(&mut self, path: PathBuf) -> Result<bool> {
        let file = match self.services.env.disk.open(&path, OpenOptions::Read).await {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                if !std::mem::replace(&mut self.missing, true) {
                    tracing::warn!(file = %path.display(),
                        "the file of the source is not there: waiting for it to be made");
                }
                return Ok(false);
            }
            Err(e) => {
                return Err(fatal(format!(
                    "the source can't read its file: {e}; check `file` and its permissions"
                )));
            }
        };
        let failed = |e| fatal(format!("the source can't read its file: {e}; check the disk"));
        let len = file.len().await.map_err(failed)?;
        let position = if self.begin > len {
            tracing::warn!(file = %path.display(), position = self.begin, len,
                "the stored position lies behind the end, so the file is another one: reading it from its beginning");
            0
        } else {
            let start = line_start(&*file, self.begin).await.map_err(failed)?;
            if start != self.begin {
                tracing::warn!(file = %path.display(), position = self.begin, start,
                    "the stored position is not where a line begins: reading that line again");
            }
            start
        };
        tracing::info!(file = %path.display(), position, "opened the file of the source");
        self.missing = false;
        self.lines = Lines::from(position);
        self.open = Some(Open {
            id: file.id(),
            file,
            read: position,
            before: Bytes::new(),
            replaced: false,
        });
        Ok(true)
    }

    async fn read_stdin(&mut self) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let read = self.services.standard.read().await;
        let bytes = read.map_err(|e| fatal(format!("stdin can't be read: {e}")))?;
        self.lines.feed(&bytes);
        if bytes.is_empty() {
            self.ended = true;
            tracing::info!(
                unfinished_bytes = self.lines.pending(),
                "stdin has ended; what has no line end is no line"
            );
        }
        Ok(!self.ended)
    }
}

/// Where the line begins in which `position` lies: itself, if a line ends before it. Kafka's positions, which count characters, can
/// lie anywhere in a text that is not ASCII; they are too small rather than too large.
async fn line_start(file: &dyn File, position: u64) -> std::io::Result<u64> {
    let mut end = position;
    while end > 0 {
        let start = end.saturating_sub(PIECE as u64);
        let (read, piece) = read_exact_at(file, start, BytesMut::new(), (end - start) as usize).await;
        read?;
        if let Some(at) = piece.iter().rposition(|b| matches!(b, b'\n' | b'\r')) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

impl SourceTask for FileSourceTask {
    fn start<'a>(&'a mut self, context: SourceContext, props: &'a Props) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.begin(context, props))
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Vec<SourceRecord>>> {
        Box::pin(self.next_batch())
    }

    fn stop(&mut self) -> BoxFuture<'_, ()> {
        self.open = None;
        Box::pin(async {})
    }
}
