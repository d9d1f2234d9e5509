//! `replay`: the decisions over what a controller recorded. Local: no server is asked.

use super::decide::read_policies;
use crate::{
    args::{ReplayArgs, Shape},
    output::{self, Failure},
};
use ::client::Exit;
use planner::remediation::{FORMAT, LaidOver, Line, Replay, Told, policy_from};
use serde_json::Value;
use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

/// Files of a state directory, the older first.
const FILES: [&str; 2] = ["decisions.1.jsonl", "decisions.jsonl"];

/// Runs it. `False` if anything is decided otherwise than it was.
pub fn replay(args: &ReplayArgs) -> Result<Exit, Failure> {
    let over = policies(&args.policies)?;
    if !over.is_empty() {
        let names: Vec<&str> = over.iter().map(|p| p.metadata.name.as_str()).collect();
        output::note(&format!(
            "As if RemediationPolicy {} had been as given. A host that would have been treated otherwise is taken to have stayed as it was then, and one whose guests nobody counted to have some.",
            names.join(", ")
        ));
    }
    let (mut replay, mut passes, mut differs) = (Replay::under(over), 0, false);
    for file in files(&args.file)? {
        let name = file.display().to_string();
        let mut lines = Lines::open(&file)?;
        while let Some((number, line)) = lines.next(&mut replay)? {
            passes += 1;
            let told = replay.next(line).map_err(|why| Failure::usage(format!("{name}, line {number}: {why}")))?;
            for told in told.into_iter().filter(|t| is_asked_for(t, args.host.as_deref())) {
                differs |= told.recorded.is_some();
                show(&told, args.output);
            }
        }
    }
    if passes == 0 {
        return Err(Failure::usage(format!("{} holds no recorded pass", args.file.display())));
    }
    let same = if differs { "some of it is decided otherwise than it was" } else { "all of it is decided as it was" };
    let word = if passes == 1 { "pass" } else { "passes" };
    output::note(&format!("{passes} {word}; {same}."));
    Ok(if differs { Exit::False } else { Exit::Ok })
}

fn policies(paths: &[String]) -> Result<Vec<LaidOver>, Failure> {
    let wrong = |place: &str, errors: Vec<schemas::FieldError>| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::usage(format!("{place}: {}", errors.join(" ")))
    };
    let found = read_policies(paths)?;
    found.iter().map(|(place, value)| policy_from("", value).map_err(|e| wrong(place, e))).collect()
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let found: Vec<PathBuf> = FILES.iter().map(|f| path.join(f)).filter(|f| f.exists()).collect();
    let nothing = || Failure::usage(format!("{} holds no {}; is controller.record_decisions_mb 0?", path.display(), FILES[1]));
    if found.is_empty() { Err(nothing()) } else { Ok(found) }
}

fn is_asked_for(told: &Told, host: Option<&str>) -> bool {
    host.is_none_or(|host| told.kind != "Host" || told.name == host)
}

/// The lines of a recording. A line that a crash cut off is told and left out, and so is what has lost its beginning by that.
struct Lines {
    name: String,
    reader: BufReader<File>,
    number: usize,
}

impl Lines {
    fn open(path: &Path) -> Result<Lines, Failure> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|e| Failure::usage(format!("{name} cannot be read: {e}")))?;
        Ok(Lines { name, reader: BufReader::new(file), number: 0 })
    }

    fn read(&mut self) -> Result<Option<String>, Failure> {
        let mut bytes = Vec::new();
        let read = self.reader.read_until(b'\n', &mut bytes);
        read.map_err(|e| Failure::usage(format!("{}, line {}: cannot be read: {e}", self.name, self.number + 1)))?;
        if bytes.is_empty() { Ok(None) } else { Ok(Some(String::from_utf8_lossy(&bytes).into_owned())) }
    }

    fn next(&mut self, replay: &mut Replay) -> Result<Option<(usize, Line)>, Failure> {
        loop {
            let Some(text) = self.read()? else { return Ok(None) };
            self.number += 1;
            if text.trim().is_empty() {
                continue;
            }
            let wrong = |why: String| Failure::usage(format!("{}, line {}: {why}", self.name, self.number));
            // Without its end: in a line that was cut off within a text, that would be a fault of another kind.
            let value: Value = match serde_json::from_str(text.trim_end_matches(['\r', '\n'])) {
                Ok(value) => value,
                Err(error) if error.is_eof() => {
                    output::note(&format!("warning: {}, line {}: is cut off, as by a crash; it is left out", self.name, self.number));
                    replay.interrupted();
                    continue;
                }
                Err(error) => return Err(wrong(format!("is no JSON (column {}); this is no recording of a controller", error.column()))),
            };
            match value["format"].as_i64() {
                Some(FORMAT) => {}
                Some(other) => {
                    return Err(wrong(format!("format: is {other}, and this program reads {FORMAT}; replay it with the version that recorded it")));
                }
                None => return Err(wrong("format: is missing; this is no recording of a controller".into())),
            }
            let line: Line = schemas::object::decode("line", &value).map_err(|mut e| {
                e.field = e.field.trim_start_matches("line").trim_start_matches('.').to_string();
                wrong(e.to_string())
            })?;
            if self.number > 1 && !line.whole && !replay.is_whole() {
                output::note(&format!("warning: {}, line {}: goes on from a line that is missing; it is left out", self.name, self.number));
                continue;
            }
            return Ok(Some((self.number, line)));
        }
    }
}

fn show(told: &Told, shape: Shape) {
    let value = || serde_json::to_value(told).unwrap_or_default();
    match shape {
        Shape::Json => output::data(&value().to_string()),
        Shape::Yaml => output::data(&format!("---\n{}", output::yaml(&value()))),
        Shape::Text => {
            let policy = told.policy.as_deref().map(|p| format!(" ({p})")).unwrap_or_default();
            let decided = if told.decided.is_empty() { "nothing" } else { &told.decided };
            output::data(&format!("{} {} {}{policy}: {decided}", told.at, told.kind, told.name));
            if let Some(recorded) = &told.recorded {
                output::data(&format!("    DIFFERS; recorded: {recorded}"));
            }
        }
    }
}
