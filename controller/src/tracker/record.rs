//! What the watch over hosts goes by and decides, appended to a file. On a thread of its own, and nothing waits for it: a slow
//! or full disk costs lines of the recording, and no decision.

use engine::{Metrics, RecordLabels};
use planner::remediation::{self, Input, Verdicts};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
};

/// Passes that may wait for the disk.
const WAITING: usize = 4;
/// The file that is written, and the one before it.
const FILES: [&str; 2] = ["decisions.jsonl", "decisions.1.jsonl"];

/// Where passes are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Directory of `decisions.jsonl` and of the file before it, `decisions.1.jsonl`.
    pub dir: PathBuf,
    /// Bytes that both files have at most, apart from one line.
    pub most_bytes: u64,
}

/// Takes passes. The thread ends after it was dropped.
pub(super) struct Recorder {
    sender: SyncSender<(Input, Verdicts)>,
    metrics: Metrics,
}

fn count(metrics: &Metrics, result: &str) {
    metrics.recorded.get_or_create(&RecordLabels { result: result.into() }).inc();
}

impl Recorder {
    /// Begins to record.
    pub fn start(recording: Recording, metrics: Metrics) -> Recorder {
        let (sender, receiver) = sync_channel(WAITING);
        let counted = metrics.clone();
        let started = std::thread::Builder::new().name("decisions".into()).spawn(move || Writer::new(recording, counted).run(receiver));
        if let Err(error) = started {
            tracing::warn!(%error, "decisions are not recorded: their thread cannot be started");
        }
        Recorder { sender, metrics }
    }

    /// Records a pass, unless those before it still wait for the disk.
    pub fn take(&self, input: &Input, verdicts: &Verdicts) {
        match self.sender.try_send((input.clone(), verdicts.clone())) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => count(&self.metrics, "dropped"),
        }
    }
}

struct Writer {
    recording: Recording,
    metrics: Metrics,
    recorder: remediation::Recorder,
    file: Option<(File, u64)>,
    /// The last line could not be written, which was told.
    failed: bool,
}

/// Opens the file for appending; a line that a crash cut off is ended. Gives its length.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
    let length = file.metadata()?.len();
    if length > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            return Ok((file, length + 1));
        }
    }
    Ok((file, length))
}

impl Writer {
    fn new(recording: Recording, metrics: Metrics) -> Writer {
        Writer { recording, metrics, recorder: remediation::Recorder::default(), file: None, failed: false }
    }

    fn run(mut self, receiver: Receiver<(Input, Verdicts)>) {
        for (input, verdicts) in receiver {
            match self.one(input, verdicts) {
                Ok(false) => {}
                Ok(true) => {
                    count(&self.metrics, "written");
                    self.failed = false;
                }
                Err(error) => {
                    count(&self.metrics, "failed");
                    // The next line stands for itself.
                    self.recorder.forget();
                    self.file = None;
                    if !std::mem::replace(&mut self.failed, true) {
                        let dir = self.recording.dir.display();
                        tracing::warn!(%error, %dir, "decisions cannot be recorded; it is tried again with each, and nothing else is held up by that");
                    }
                }
            }
        }
    }

    /// Writes a pass, if there is anything new in it.
    fn one(&mut self, input: Input, verdicts: Verdicts) -> io::Result<bool> {
        let half = self.recording.most_bytes / 2;
        let path = self.recording.dir.join(FILES[0]);
        if self.file.as_ref().is_some_and(|(_, length)| *length >= half) {
            self.file = None;
            std::fs::rename(&path, self.recording.dir.join(FILES[1]))?;
            self.recorder.forget();
        }
        let Some(line) = self.recorder.line(input, verdicts) else { return Ok(false) };
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.push(b'\n');
        let size = bytes.len() as u64;
        if size > half {
            let message =
                format!("one pass over all hosts takes {size} bytes, more than half of what may be used; raise controller.record_decisions_mb");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        let (file, length) = match &mut self.file {
            Some(open) => open,
            None => self.file.insert(open(&path)?),
        };
        if let Err(error) = file.write_all(&bytes) {
            // Half a line is of no use; if it stays, the reader names it.
            let _ = file.set_len(*length);
            return Err(error);
        }
        *length += size;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use planner::{
        Fact,
        remediation::{HostRow, Line, Observer, pass},
    };
    use schemas::{Object, ObjectMeta, Time, v1};

    fn input(seconds: i64, up: bool) -> Input {
        let mut host: Object<v1::Host> = Object { metadata: ObjectMeta::named("a"), spec: Default::default(), status: Default::default() };
        host.metadata.annotations.insert("note".into(), "x".repeat(500));
        let now = Time(0).plus_seconds(seconds);
        Input {
            hosts: vec![HostRow::plain(host, Fact::Seen(up, now))],
            policies: Vec::new(),
            domains: Vec::new(),
            observer: Observer { conductor_up: true, computes_up: 1, unread: None },
            now,
            led_since: Time(0),
            frozen: false,
            halted: None,
        }
    }

    fn writer(dir: &Path, most_bytes: u64) -> Writer {
        Writer::new(Recording { dir: dir.into(), most_bytes }, Metrics::default())
    }

    fn write(writer: &mut Writer, seconds: i64, up: bool) -> io::Result<bool> {
        let input = input(seconds, up);
        let verdicts = pass(&input);
        writer.one(input, verdicts)
    }

    fn lines(path: PathBuf) -> Vec<Line> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn the_two_files_stay_within_their_bound_and_each_begins_with_a_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path(), 20_000);
        for n in 0..100 {
            assert!(write(&mut writer, n, n % 2 == 0).unwrap());
            let sizes = FILES.iter().map(|f| std::fs::metadata(dir.path().join(f)).map_or(0, |m| m.len()));
            // What is written last may go over the half by a line.
            assert!(sizes.sum::<u64>() < 30_000, "bounded");
        }
        for file in FILES {
            let lines = lines(dir.path().join(file));
            assert!(lines[0].whole && lines[1..].iter().all(|l| !l.whole), "{file}");
            // The file that is written may have been begun with the last line.
            assert!(lines.len() > usize::from(file == FILES[1]), "{file}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_line_that_a_crash_cut_off_is_ended_and_the_next_stands_for_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILES[0]);
        std::fs::write(&path, "{\"format\":1,\"whole\":tr").unwrap();
        assert!(write(&mut writer(dir.path(), 1_000_000), 0, true).unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        let all: Vec<&str> = text.lines().collect();
        assert_eq!(all.len(), 2);
        assert!(serde_json::from_str::<Line>(all[1]).unwrap().whole);
    }

    #[test]
    fn a_directory_that_is_missing_costs_lines_and_is_counted_and_the_first_after_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("later");
        let metrics = Metrics::default();
        let writer = Writer::new(Recording { dir: missing.clone(), most_bytes: 1_000_000 }, metrics.clone());
        let (sender, receiver) = sync_channel(10);
        let writing = std::thread::spawn(move || writer.run(receiver));
        let send = |seconds, up| {
            let input = input(seconds, up);
            let verdicts = pass(&input);
            sender.send((input, verdicts)).unwrap();
        };
        let counted = |result: &str| metrics.recorded.get_or_create(&RecordLabels { result: result.into() }).get();
        send(0, true);
        send(1, false);
        while counted("failed") < 2 {
            std::thread::yield_now();
        }
        std::fs::create_dir(&missing).unwrap();
        send(2, false);
        drop(sender);
        writing.join().unwrap();
        assert_eq!((counted("failed"), counted("written")), (2, 1));
        assert!(lines(missing.join(FILES[0]))[0].whole);
    }

    #[test]
    fn a_bound_that_one_line_does_not_fit_into_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let error = write(&mut writer(dir.path(), 1_000), 0, true).unwrap_err().to_string();
        assert!(error.contains("record_decisions_mb"), "{error}");
    }

    #[test]
    fn only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        write(&mut writer(dir.path(), 1_000_000), 0, true).unwrap();
        let mode = std::fs::metadata(dir.path().join(FILES[0])).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
