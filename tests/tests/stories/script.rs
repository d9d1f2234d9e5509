//! The language of scripts: lines of words, with YAML where an object is described.
//!
//! A line is a verb and its words. `#` begins a comment. Words with blanks stand in `"…"`. `{…}` at the end of a line is YAML,
//! and `<<END` takes the lines up to `END` as YAML. A wrong line is told with its number and stops the story.

use serde_json::Value;

/// One line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// From 1.
    pub number: usize,
    /// As it is written, without what is YAML on further lines.
    pub text: String,
    /// The words after each other, `key=value` among them.
    pub words: Vec<String>,
    /// Described in YAML; null if nothing is.
    pub yaml: Value,
}

/// What is wrong, and in which line.
pub type Fault = (usize, String);

/// All lines that say something.
pub fn parse(text: &str) -> Result<Vec<Line>, Fault> {
    let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line));
    let mut all = Vec::new();
    while let Some((number, raw)) = lines.next() {
        let text = raw.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (head, mut described) = match text.split_once(" {") {
            Some((head, rest)) => (head, Some(format!("{{{rest}"))),
            None => (text, None),
        };
        let mut words = words(head).map_err(|why| (number, why))?;
        if let Some(end) = words.last().and_then(|w| w.strip_prefix("<<")).map(String::from) {
            words.pop();
            let mut body = String::new();
            loop {
                let Some((_, line)) = lines.next() else { return Err((number, format!("nothing ends it: a line `{end}` is missing"))) };
                if line.trim() == end {
                    break;
                }
                body.push_str(line);
                body.push('\n');
            }
            described = Some(body);
        }
        let yaml = match described {
            Some(text) => yaml_serde::from_str(&text).map_err(|e| (number, format!("that is no YAML: {e}")))?,
            None => Value::Null,
        };
        all.push(Line { number, text: text.into(), words, yaml });
    }
    Ok(all)
}

/// What the first comment says: what happened in which system, and what must happen here.
pub fn tale(text: &str) -> String {
    let comment = text.lines().map_while(|l| l.strip_prefix('#')).map(str::trim).filter(|l| !l.starts_with("lab:"));
    comment.collect::<Vec<_>>().join("\n")
}

fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut all, mut word, mut begun, mut quoted) = (Vec::new(), String::new(), false, false);
    for c in text.chars() {
        match c {
            '"' => (quoted, begun) = (!quoted, true),
            c if c.is_whitespace() && !quoted => {
                if begun {
                    all.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            c => {
                word.push(c);
                begun = true;
            }
        }
    }
    if quoted {
        return Err("a quotation mark is missing".into());
    }
    if begun {
        all.push(word);
    }
    Ok(all)
}

impl Line {
    /// The verb.
    pub fn verb(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The n-th word after the verb, from 1.
    pub fn word(&self, n: usize, what: &str) -> Result<&str, String> {
        self.words.get(n).map(String::as_str).ok_or_else(|| format!("`{}` needs {what}", self.verb()))
    }

    /// The words after the first `n` words that follow the verb.
    pub fn after(&self, n: usize) -> &[String] {
        self.words.get(n + 1..).unwrap_or_default()
    }

    /// The same without its verb, for verbs that go before others.
    pub fn rest(&self) -> Line {
        Line { words: self.after(0).to_vec(), text: self.text.clone(), yaml: self.yaml.clone(), number: self.number }
    }

    /// Nothing may follow the `n` words after the verb.
    pub fn ends(&self, n: usize) -> Result<(), String> {
        match self.after(n).first() {
            Some(word) => Err(format!("`{word}` is more than `{}` takes", self.verb())),
            None => Ok(()),
        }
    }
}

/// `key=value`.
pub fn pair(word: &str) -> Option<(&str, &str)> {
    word.split_once('=')
}

/// A number.
pub fn number<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("`{word}` is no such number"))
}

/// Seconds: `90s`, `5m`, `2h`.
pub fn seconds(word: &str) -> Result<u64, String> {
    let wrong = || format!("`{word}` is no time; write it as 90s, 5m or 2h");
    let (digits, factor) = match word.char_indices().last() {
        Some((i, 's')) => (&word[..i], 1),
        Some((i, 'm')) => (&word[..i], 60),
        Some((i, 'h')) => (&word[..i], 3_600),
        _ => return Err(wrong()),
    };
    digits.parse::<u64>().map(|n| n * factor).map_err(|_| wrong())
}

/// Milliseconds, of the same.
pub fn millis(word: &str) -> Result<i64, String> {
    seconds(word).and_then(|s| i64::try_from(s * 1_000).map_err(|e| e.to_string()))
}

/// `yes` or `no`.
pub fn truth(word: &str) -> Result<bool, String> {
    match word {
        "yes" => Ok(true),
        "no" => Ok(false),
        other => Err(format!("`{other}` is neither yes nor no")),
    }
}

#[test]
fn a_script_is_words_comments_and_yaml() {
    let lines =
        parse("# a\nguest web a meta.x=1\napply Host a {power: Off, n: [1]}\nnote \"two words\"\napply P d <<END\nx: 1\ny: {z: 2}\nEND\npass 5m\n");
    let lines = lines.expect("it is right");
    assert_eq!(lines[0].words, ["guest", "web", "a", "meta.x=1"]);
    assert_eq!((lines[1].words.len(), lines[1].yaml["n"][0].as_i64()), (3, Some(1)));
    assert_eq!(lines[2].words[1], "two words");
    assert_eq!((lines[3].number, lines[3].yaml["y"]["z"].as_i64()), (5, Some(2)));
    assert_eq!(lines[4].number, 9);
}

#[test]
fn what_is_wrong_in_a_script_is_told_with_its_line() {
    for (text, line, why) in [("hosts a\nnote \"x", 2, "quotation"), ("apply P d <<END\nx: 1\n", 1, "END"), ("\n\napply P d {x: [}", 3, "YAML")] {
        let (at, said) = parse(text).expect_err("it is wrong");
        assert!(at == line && said.contains(why), "{at}: {said}");
    }
    assert!(seconds("5").is_err() && seconds("5m") == Ok(300));
}
