//! The audit as lines of JSON in a file. A record may be there twice after a crash, and none is missing: how far the file has
//! come is written down, in `FILE.cursor`, after the lines are on disk.

use crate::context::Ctx;
use schemas::v1::AuditRecord;
use std::{
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use store::{AuditLog, AuditQuery, AuditRow};

/// Records written at once.
const AT_ONCE: i64 = 500;
/// Pause between looks for new records.
const PAUSE: Duration = Duration::from_secs(1);
/// Pause after the file could not be written.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(10);

fn cursor_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_os_string();
    name.push(".cursor");
    name.into()
}

fn private(path: &Path) -> io::Result<std::fs::File> {
    std::fs::OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

/// Up to which record the file has come; 0: it begins.
fn read_cursor(file: &Path) -> io::Result<i64> {
    match std::fs::read_to_string(cursor_of(file)) {
        Ok(text) => text.trim().parse().map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} holds no number; remove it, and all records are written again", cursor_of(file).display()),
            )
        }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(e),
    }
}

/// Appends records, and writes down how far that was once they are on disk.
fn append(file: &Path, rows: &[AuditRow]) -> io::Result<()> {
    let Some(last) = rows.last() else { return Ok(()) };
    let mut text = String::new();
    for row in rows {
        text.push_str(&AuditRecord::line(row.seq, &row.body, &row.key_id, &row.previous, &row.mac));
        text.push('\n');
    }
    let mut out = private(file)?;
    // A line that a crash cut off ends here, so that the next is whole.
    if out.metadata()?.len() > 0 && !ends_with_newline(file)? {
        out.write_all(b"\n")?;
    }
    out.write_all(text.as_bytes())?;
    out.sync_data()?;
    let (cursor, draft) = (cursor_of(file), file.with_extension("cursor.new"));
    std::fs::write(&draft, format!("{}\n", last.seq))?;
    std::fs::rename(&draft, cursor)
}

fn ends_with_newline(file: &Path) -> io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let mut reader = std::fs::File::open(file)?;
    reader.seek(SeekFrom::End(-1))?;
    let mut last = [0u8];
    reader.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Writes what comes, until the server stops.
pub(crate) async fn follow(ctx: Ctx, log: Arc<dyn AuditLog>, file: PathBuf) {
    let mut after = None;
    loop {
        let pause = match step(log.as_ref(), &file, &mut after).await {
            Ok(true) => Duration::ZERO,
            Ok(false) => PAUSE,
            Err(error) => {
                tracing::error!(file = %file.display(), %error, "the audit file cannot be written: it is behind, and goes on where it stopped once it can");
                PAUSE_AFTER_FAILURE
            }
        };
        tokio::select! {
            () = ctx.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Writes the next records; whether there may be more.
async fn step(log: &dyn AuditLog, file: &Path, after: &mut Option<i64>) -> Result<bool, String> {
    let from = match *after {
        Some(after) => after,
        None => read_cursor(file).map_err(|e| e.to_string())?,
    };
    *after = Some(from);
    let rows = log.audit_records(AuditQuery { after: from, limit: AT_ONCE, ..AuditQuery::default() }).await.map_err(|e| e.to_string())?;
    let Some(last) = rows.last().map(|r| r.seq) else { return Ok(false) };
    let (path, many) = (file.to_path_buf(), rows.len() as i64 == AT_ONCE);
    tokio::task::spawn_blocking(move || append(&path, &rows)).await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
    *after = Some(last);
    Ok(many)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: i64) -> AuditRow {
        AuditRow { seq, body: format!("{{\"n\":{seq}}}"), ..AuditRow::default() }
    }

    #[test]
    fn a_file_goes_on_where_it_stopped_and_a_line_that_was_cut_off_spoils_none_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("audit.jsonl");
        assert_eq!(read_cursor(&file).unwrap(), 0);
        append(&file, &[row(1), row(2)]).unwrap();
        assert_eq!(read_cursor(&file).unwrap(), 2);
        // A crash in the middle of the third: it comes again, whole.
        private(&file).unwrap().write_all(b"{\"seq").unwrap();
        append(&file, &[row(3)]).unwrap();
        assert_eq!(read_cursor(&file).unwrap(), 3);
        let text = std::fs::read_to_string(&file).unwrap();
        let whole: Vec<i64> = text.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok()?["sequence"].as_i64()).collect();
        assert_eq!(whole, [1, 2, 3], "{text}");
        std::fs::write(cursor_of(&file), "x").unwrap();
        assert!(read_cursor(&file).unwrap_err().to_string().contains("holds no number"));
    }
}
