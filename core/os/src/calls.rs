//! Positioned vectored system calls on a file, straight into a buffer's spare room and out of shared buffers.
#![allow(unsafe_code, reason = "preadv2(2), pread(2) and pwritev(2)")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use bytes::{BufMut, Bytes, BytesMut};

/// The most buffers of one call (IOV_MAX on Linux).
const MOST_BUFFERS: usize = 1024;
/// As many fit on the stack; a queue of batches rarely holds more.
const ON_STACK: usize = 32;

fn offset_of(offset: u64) -> io::Result<libc::off_t> {
    libc::off_t::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

fn counted(n: isize) -> io::Result<usize> {
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Appends at most `len` bytes to `buf`. With `cached`, only what needs no waiting: `WouldBlock` if that is nothing, `Unsupported`
/// if the file system can't tell.
pub(crate) fn read_at(
    file: &File,
    offset: u64,
    buf: &mut BytesMut,
    len: usize,
    cached: bool,
) -> io::Result<usize> {
    buf.reserve(len);
    let start = offset_of(offset)?;
    let spare = buf.chunk_mut();
    let len = len.min(spare.len());
    let vec = libc::iovec {
        iov_base: spare.as_mut_ptr().cast(),
        iov_len: len,
    };
    let flags = if cached { libc::RWF_NOWAIT } else { 0 };
    loop {
        let result = if cached {
            // SAFETY: `vec` describes `len` writable bytes of `buf`'s spare room, which outlives the call; nothing is read from it.
            counted(unsafe { libc::preadv2(file.as_raw_fd(), &vec, 1, start, flags) })
        } else {
            // SAFETY: as above, with the pointer and the length given directly.
            counted(unsafe { libc::pread(file.as_raw_fd(), vec.iov_base, len, start) })
        };
        match result {
            Ok(n) => {
                // SAFETY: the kernel has just initialised the first `n <= len` bytes of the spare room.
                unsafe { buf.advance_mut(n) };
                return Ok(n);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Whether reading `at` needs no waiting. File systems that can't tell count as ready.
pub(crate) fn is_cached(file: &File, at: u64) -> bool {
    let Ok(start) = offset_of(at) else { return true };
    let mut byte = [0u8; 1];
    let vec = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    // SAFETY: `vec` describes the one byte of `byte`, which outlives the call.
    let n = unsafe { libc::preadv2(file.as_raw_fd(), &vec, 1, start, libc::RWF_NOWAIT) };
    n >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::WouldBlock
}

/// Writes `bufs` in one call, as many as it takes: from an offset, or, in a file that was opened to append, at its end.
pub(crate) fn write(file: &File, offset: Option<u64>, bufs: &[Bytes]) -> io::Result<usize> {
    let start = offset.map(offset_of).transpose()?;
    let full = || bufs.iter().filter(|b| !b.is_empty()).take(MOST_BUFFERS);
    let vec_of = |b: &Bytes| libc::iovec {
        iov_base: b.as_ptr().cast_mut().cast(),
        iov_len: b.len(),
    };
    if bufs.len() > ON_STACK {
        let vecs: Vec<libc::iovec> = full().map(vec_of).collect();
        return write_vecs(file, start, &vecs);
    }
    let mut vecs = [libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    }; ON_STACK];
    let mut count = 0;
    for (slot, b) in vecs.iter_mut().zip(full()) {
        *slot = vec_of(b);
        count += 1;
    }
    write_vecs(file, start, &vecs[..count])
}

fn write_vecs(file: &File, start: Option<libc::off_t>, vecs: &[libc::iovec]) -> io::Result<usize> {
    if vecs.is_empty() {
        return Ok(0);
    }
    loop {
        // SAFETY: every element describes the bytes of a buffer that the caller borrows over this call; the kernel only reads
        // them. The count is at most IOV_MAX.
        let n = unsafe {
            let (fd, vec, count) = (file.as_raw_fd(), vecs.as_ptr(), vecs.len() as libc::c_int);
            match start {
                Some(start) => libc::pwritev(fd, vec, count, start),
                None => libc::writev(fd, vec, count),
            }
        };
        match counted(n) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
