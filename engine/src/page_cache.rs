//! The system's page cache: consumes files that are durable and that hardly anybody will read soon,
//! gives the memory of their pages back to the system, and has single pages fetched that are about to
//! be read. What they hold is not touched.
//!
//! Without the first, journal and runs fill all memory that is free, and each page of it is memory that
//! a virtual machine has to fetch from its host, for more than writing costs otherwise
//! (`docs/decisions/0022-page-cache.md`). A page that was given back is taken for the next write.

use std::{fs::File, num::NonZeroU64};

use rustix::fs::{Advice, fadvise};

/// Gives back the pages of a file. Those that were not synced stay, and a system that can't do it
/// goes on as it is.
pub(crate) fn release(file: &File) {
    release_range(file, 0, None);
}

/// Gives back the pages that lie wholly between these offsets.
pub(crate) fn release_up_to(file: &File, end: u64) {
    if let Some(len) = NonZeroU64::new(end) {
        release_range(file, 0, Some(len));
    }
}

/// Has these bytes of a file read while other things are done: whoever reads them next waits less.
pub(crate) fn fetch(file: &File, offset: u64, len: u64) {
    // It is advice, as above.
    let _ = fadvise(file, offset, NonZeroU64::new(len), Advice::WillNeed);
}

fn release_range(file: &File, offset: u64, len: Option<NonZeroU64>) {
    // It is advice: nothing depends on whether it is taken.
    let _ = fadvise(file, offset, len, Advice::DontNeed);
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{fs::File, io::IoSliceMut, os::unix::fs::FileExt as _, path::Path};

    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    use super::*;

    /// Whether the page at this offset is in memory; `None` where the file system can't tell.
    pub(crate) fn is_cached(file: &File, offset: u64) -> Option<bool> {
        let mut byte = [0];
        let mut into = [IoSliceMut::new(&mut byte)];
        match preadv2(file, &mut into, offset, ReadWriteFlags::NOWAIT) {
            Ok(_) => Some(true),
            Err(Errno::AGAIN) => Some(false),
            Err(_) => None,
        }
    }

    /// Whether the file system of this directory has pages that can be released, and tells.
    pub(crate) fn can_release(directory: &Path) -> bool {
        let file = tempfile::tempfile_in(directory).expect("a temporary file");
        file.write_all_at(&[1; 4096], 0).expect("written");
        file.sync_all().expect("synced");
        let before = is_cached(&file, 0);
        release(&file);
        (before, is_cached(&file, 0)) == (Some(true), Some(false))
    }

    const LEN: usize = 1 << 20;

    #[test]
    fn what_was_released_is_read_from_disk_again() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        if !can_release(directory.path()) {
            return;
        }
        let file = tempfile::tempfile_in(directory.path()).expect("a temporary file");
        let bytes: Vec<u8> = (0..LEN).map(|at| (at / 4096) as u8).collect();
        file.write_all_at(&bytes, 0).expect("written");
        file.sync_all().expect("synced");
        assert_eq!(is_cached(&file, 0), Some(true), "it was written just now");
        release_up_to(&file, LEN as u64 / 2);
        assert_eq!(is_cached(&file, LEN as u64 - 1), Some(true), "behind the end");
        release(&file);
        assert_eq!(is_cached(&file, LEN as u64 - 1), Some(false));
        let mut read = vec![0; LEN];
        file.read_exact_at(&mut read, 0).expect("read");
        assert!(read == bytes, "it is what was written");
    }
}
