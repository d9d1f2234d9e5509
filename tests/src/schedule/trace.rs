//! What happened, in order, and one number for all of it.

use std::collections::VecDeque;

/// Lines kept for people.
const KEPT: usize = 2_000;

/// See the module's text.
#[derive(Debug)]
pub struct Trace {
    tail: VecDeque<String>,
    hash: u64,
    /// Lines in all.
    pub lines: u64,
    /// Lines are printed as they come.
    pub loud: bool,
}

impl Default for Trace {
    fn default() -> Self {
        Trace { tail: VecDeque::new(), hash: 0xcbf2_9ce4_8422_2325, lines: 0, loud: false }
    }
}

impl Trace {
    /// Adds a line.
    pub fn add(&mut self, at_ms: i64, who: &str, what: &str) {
        for byte in at_ms.to_be_bytes().iter().chain(who.as_bytes()).chain(what.as_bytes()).chain(b"\n") {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.lines += 1;
        let line = format!("{:>10.3} {who:<4} {what}", at_ms as f64 / 1e3);
        if self.loud {
            println!("{line}");
        }
        if self.tail.len() == KEPT {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    /// A call that is not worth a line, but counts.
    pub fn count(&mut self, at_ms: i64, who: &str, call: &str) {
        for byte in at_ms.to_be_bytes().iter().chain(who.as_bytes()).chain(call.as_bytes()) {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// One number for every line there was.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The last lines.
    pub fn tail(&self, lines: usize) -> String {
        let skip = self.tail.len().saturating_sub(lines);
        self.tail.iter().skip(skip).cloned().collect::<Vec<_>>().join("\n")
    }
}
