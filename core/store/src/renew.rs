//! Writing the unflushed end of a log again. After a failed sync the system counts pages as written that are not on the platter, and no
//! later sync writes them (Linux, and what `Disk` promises); a process that starts anew can't tell them from sound ones. Written
//! again they are dirty again.

use ottla_io::{read_exact_at, write_all_at};
use ottla_types::Offset;

use bytes::BytesMut;

use crate::errors::StoreError;
use crate::writer::LogWriter;

/// Bytes that are read and written at once.
const CHUNK: u64 = 1 << 20;

impl LogWriter {
    /// Makes a log as durable as it looks: writes all that no sync is known to have seen once more, and syncs it. To be called before
    /// anything is appended to a log whose acknowledgements promise durability.
    pub async fn renew(&self) -> Result<(), StoreError> {
        let (segments, from) = {
            let view = self.shared.view();
            let from = view.offsets.recovery_point;
            if from >= view.offsets.end {
                return Ok(());
            }
            let first = view
                .segments
                .partition_point(|s| s.base <= from)
                .saturating_sub(1);
            (view.segments.get(first..).unwrap_or_default().to_vec(), from)
        };
        for segment in segments {
            let written = async {
                let file = segment.file().await?;
                let mut position = match segment.base < from {
                    true => segment.position_at_or_below(from).await?,
                    false => 0,
                };
                segment.touched();
                while position < segment.size() {
                    let len = CHUNK.min(segment.size() - position);
                    let buf = BytesMut::with_capacity(len as usize);
                    let (done, buf) = read_exact_at(&*file, position, buf, len as usize).await;
                    done?;
                    write_all_at(&*file, position, vec![buf.freeze()]).await.0?;
                    position += len;
                }
                segment.touched();
                Ok(())
            };
            self.shared
                .home
                .dir
                .io_or_full("writing the end of a log again", written.await)?;
        }
        let end = self.reader().offsets().end;
        if self.reader().flush_to(Offset::MAX).await? < end {
            return Err(self.shared.home.dir.found_full("writing leader epochs"));
        }
        Ok(())
    }
}
