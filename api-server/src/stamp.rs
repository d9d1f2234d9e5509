//! Whether a file is the one that was read.

use std::{fs::Metadata, os::unix::fs::MetadataExt};

/// What tells one version of a file from the next: device, inode, length, time of change.
pub(crate) type Stamp = (u64, u64, u64, i64, i64);

pub(crate) fn stamp(meta: &Metadata) -> Stamp {
    (meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec())
}
