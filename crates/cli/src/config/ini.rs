//! Reading INI files as oslo.config does: `key = value` or `key: value`, `#` and `;` comments, indented
//! continuation lines, one pair of quotes around a value. No line is ever shown: it may hold a password.

use super::{layers::Origin, load::ConfigError};
use std::path::Path;

/// One `key = value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    /// Section; `DEFAULT` or as written.
    pub section: String,
    /// Key as written.
    pub key: String,
    /// Value, continuation lines joined by line breaks.
    pub value: String,
    /// Line of the key, from 1.
    pub line: usize,
}

/// A file: its assignments in order, and its sections with their lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ini {
    pub assignments: Vec<Assignment>,
    pub sections: Vec<(String, usize)>,
}

/// Splits a text into assignments.
///
/// # Errors
/// A line that is none of the above, with its number.
pub(super) fn parse(path: &Path, text: &str) -> Result<Ini, ConfigError> {
    let mut ini = Ini::default();
    // An assignment that a continuation line may still add to.
    let mut open = false;
    for (number, raw) in text.lines().enumerate() {
        let line = raw.trim_end();
        let at = Origin::File { path: path.into(), line: number + 1 };
        let fail = |message: &str| Err(ConfigError::at(&at, message));
        match line.chars().next() {
            None => open = false,
            Some(' ' | '\t') => match ini.assignments.last_mut().filter(|_| open) {
                Some(assignment) => {
                    assignment.value.push('\n');
                    assignment.value.push_str(line.trim_start());
                }
                None => return fail("this line is indented, so it continues a value, but there is none above it; remove the spaces before it."),
            },
            Some('#' | ';') => open = false,
            Some('[') => {
                open = false;
                let Some(name) = line[1..].strip_suffix(']').filter(|n| !n.is_empty()) else {
                    return fail("a section is written [name], alone on its line.");
                };
                ini.sections.push((name.into(), number + 1));
            }
            Some(_) => {
                let Some(end) = line.find(['=', ':']) else { return fail("this is neither `key = value` nor a [section]; a comment begins with #.") };
                let key = line[..end].trim();
                if key.is_empty() {
                    return fail("the key before the = is missing.");
                }
                let Some((section, _)) = ini.sections.last() else {
                    return fail("this key is in no section; write [DEFAULT] or another section above it.");
                };
                let value = unquoted(line[end + 1..].trim()).to_string();
                ini.assignments.push(Assignment { section: section.clone(), key: key.into(), value, line: number + 1 });
                open = true;
            }
        }
    }
    Ok(ini)
}

fn unquoted(value: &str) -> &str {
    let inside = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String, String, usize)> {
        let ini = parse(Path::new("c.conf"), text).unwrap();
        ini.assignments.into_iter().map(|a| (a.section, a.key, a.value, a.line)).collect()
    }

    fn one(text: &str) -> String {
        read(&format!("[s]\n{text}"))[0].2.clone()
    }

    #[test]
    fn a_value_is_what_stands_after_the_first_equals_or_colon() {
        assert_eq!(one("a = b"), "b");
        assert_eq!(one("a: b"), "b");
        assert_eq!(one("url = mysql+pymysql://aos:p%ss=w#rd;@h:3306/d?charset=utf8"), "mysql+pymysql://aos:p%ss=w#rd;@h:3306/d?charset=utf8");
        assert_eq!(one("a: b = c"), "b = c");
        assert_eq!(one("a ="), "");
        assert_eq!(one("a = \"  b \""), "  b ");
        assert_eq!(one("a = 'b\""), "'b\"");
        assert_eq!(one("a = \""), "\"");
        assert_eq!(one(r"a = C:\n"), r"C:\n");
    }

    #[test]
    fn comments_stand_at_the_beginning_of_a_line_only() {
        let all = read("# x = 1\n; y = 2\n[DEFAULT]\na = 1 # not a comment\n\n[two]\nb = 2\n");
        let expected = [("DEFAULT", "a", "1 # not a comment", 4), ("two", "b", "2", 7)];
        assert_eq!(all, expected.map(|(s, k, v, l)| (s.to_string(), k.to_string(), v.to_string(), l)));
    }

    #[test]
    fn an_indented_line_continues_the_value_until_an_empty_line() {
        assert_eq!(one("a = 1,\n  2,\n\t3\nb = 4"), "1,\n2,\n3");
        assert_eq!(one("a =\n  # no comment\n  2"), "\n# no comment\n2");
        let error = parse(Path::new("c.conf"), "[s]\na = 1\n\n  2\n").unwrap_err().to_string();
        assert!(error.starts_with("c.conf:4: this line is indented"), "{error}");
    }

    #[test]
    fn a_repeated_key_is_given_each_time() {
        assert_eq!(read("[s]\na = 1\na = 2\n").len(), 2);
    }

    #[test]
    fn what_is_no_ini_is_named_by_its_line_and_never_shown() {
        for (text, line, what) in [
            ("[s]\nhunter2\n", 2, "neither"),
            ("[s]\n= hunter2\n", 2, "key before"),
            ("a = hunter2\n", 1, "in no section"),
            ("[hunter2\n", 1, "a section is written"),
            ("[]\n", 1, "a section is written"),
        ] {
            let error = parse(Path::new("c.conf"), text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("c.conf:{line}: ")) && error.contains(what) && !error.contains("hunter2"), "{error}");
        }
    }
}
