//! Errors that say what was tried on what, keep their kind, and keep the system's error inside.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

#[derive(Debug)]
struct Context {
    what: String,
    source: io::Error,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.source)
    }
}

impl Error for Context {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

fn wrap(what: String, source: io::Error) -> io::Error {
    io::Error::new(source.kind(), Context { what, source })
}

/// `e`, which `operation` met at `path`.
pub(crate) fn at(path: &Path, operation: &str, e: io::Error) -> io::Error {
    wrap(format!("{operation} {}", path.display()), e)
}

/// `e`, which `operation` met between two paths.
pub(crate) fn between(from: &Path, to: &Path, operation: &str, e: io::Error) -> io::Error {
    wrap(format!("{operation} {} to {}", from.display(), to.display()), e)
}

/// `e`, which `operation` met with `host:port`.
pub(crate) fn peer(host: &str, port: u16, operation: &str, e: io::Error) -> io::Error {
    wrap(format!("{operation} {host}:{port}"), e)
}

/// The error of work that a stopping pool has dropped.
pub(crate) fn stopping() -> io::Error {
    io::Error::other("the process is stopping")
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn kinds_and_codes_survive() {
        for (code, kind) in [
            (libc::ENOSPC, ErrorKind::StorageFull),
            (libc::EDQUOT, ErrorKind::QuotaExceeded),
            (libc::EROFS, ErrorKind::ReadOnlyFilesystem),
            (libc::EACCES, ErrorKind::PermissionDenied),
            (libc::EFBIG, ErrorKind::FileTooLarge),
        ] {
            let e = at(
                Path::new("/data/00.log"),
                "write",
                io::Error::from_raw_os_error(code),
            );
            assert_eq!(e.kind(), kind);
            assert!(e.to_string().starts_with("write /data/00.log: "), "{e}");
            let inner = e
                .get_ref()
                .and_then(Error::source)
                .and_then(|s| s.downcast_ref::<io::Error>());
            assert_eq!(inner.and_then(io::Error::raw_os_error), Some(code));
        }
    }
}
