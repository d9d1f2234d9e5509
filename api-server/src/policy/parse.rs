//! The text of a check: a part of oslo.policy's language. Whatever the text is, the answer is a check or a sentence.

use super::check::Check;

/// Deepest nesting of parentheses and `not`.
const MAX_NESTING: usize = 32;
/// Longest text, in bytes.
const MAX_TEXT: usize = 8 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Check(Check),
}

/// Reads a check.
///
/// # Errors
/// A sentence that names the word at fault and the way out.
pub fn parse(text: &str) -> Result<Check, String> {
    if text.len() > MAX_TEXT {
        return Err(format!("is {} bytes long; at most {MAX_TEXT} are read. Give parts of it names of their own and use rule:NAME.", text.len()));
    }
    if text.trim().is_empty() {
        return Err("is empty; write @ to allow everybody, or ! to allow nobody.".into());
    }
    let mut tokens = tokens(text)?;
    tokens.reverse();
    let mut parser = Parser { tokens };
    let check = parser.any_of(0)?;
    match parser.tokens.pop() {
        None => Ok(check),
        Some(Token::Close) => Err("has a ) without a (; take it out, or open it before.".into()),
        Some(_) => Err("has two checks side by side; put `and` or `or` between them.".into()),
    }
}

/// Holds what is still to be read, last first.
struct Parser {
    tokens: Vec<Token>,
}

impl Parser {
    fn any_of(&mut self, depth: usize) -> Result<Check, String> {
        let mut all = vec![self.all_of(depth)?];
        while self.next_is(&Token::Or) {
            all.push(self.all_of(depth)?);
        }
        Ok(joined(all, Check::Or))
    }

    fn all_of(&mut self, depth: usize) -> Result<Check, String> {
        let mut all = vec![self.one(depth)?];
        while self.next_is(&Token::And) {
            all.push(self.one(depth)?);
        }
        Ok(joined(all, Check::And))
    }

    fn one(&mut self, depth: usize) -> Result<Check, String> {
        if depth > MAX_NESTING {
            return Err(format!("is nested deeper than {MAX_NESTING} levels; give parts of it names of their own and use rule:NAME."));
        }
        match self.tokens.pop() {
            Some(Token::Check(check)) => Ok(check),
            Some(Token::Not) => Ok(Check::Not(Box::new(self.one(depth + 1)?))),
            Some(Token::Open) => {
                let inner = self.any_of(depth + 1)?;
                if self.next_is(&Token::Close) { Ok(inner) } else { Err("has a ( that is not closed; put a ) where it ends.".into()) }
            }
            Some(Token::Close) => Err("has a ) where a check should stand.".into()),
            Some(Token::And) => Err("has an `and` where a check should stand.".into()),
            Some(Token::Or) => Err("has an `or` where a check should stand.".into()),
            None => Err("ends where a check should stand.".into()),
        }
    }

    fn next_is(&mut self, wanted: &Token) -> bool {
        let is = self.tokens.last() == Some(wanted);
        if is {
            self.tokens.pop();
        }
        is
    }
}

fn joined(mut all: Vec<Check>, join: impl Fn(Vec<Check>) -> Check) -> Check {
    match (all.len(), all.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            all.extend(last);
            join(all)
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '(' => {
                tokens.push(Token::Open);
                &rest[1..]
            }
            ')' => {
                tokens.push(Token::Close);
                &rest[1..]
            }
            _ => {
                let end = end_of_word(rest);
                tokens.push(token(&rest[..end])?);
                &rest[end..]
            }
        }
        .trim_start();
    }
    Ok(tokens)
}

/// Where the word ends that `text` begins with: at white space or a parenthesis, but for those in quotes and in `%(…)`.
fn end_of_word(text: &str) -> usize {
    let (mut quote, mut inside, mut before) = (None, false, ' ');
    for (at, c) in text.char_indices() {
        match c {
            _ if quote == Some(c) => quote = None,
            _ if quote.is_some() => {}
            '\'' | '"' => quote = Some(c),
            '(' if before == '%' => inside = true,
            ')' if inside => inside = false,
            '(' | ')' => return at,
            c if c.is_whitespace() && !inside => return at,
            _ => {}
        }
        before = c;
    }
    text.len()
}

fn token(word: &str) -> Result<Token, String> {
    Ok(match word {
        w if w.eq_ignore_ascii_case("and") => Token::And,
        w if w.eq_ignore_ascii_case("or") => Token::Or,
        w if w.eq_ignore_ascii_case("not") => Token::Not,
        _ => Token::Check(check(word)?),
    })
}

/// A word as it may be shown in an error.
fn shown(word: &str) -> String {
    word.chars().take(60).collect::<String>().escape_debug().to_string()
}

fn check(word: &str) -> Result<Check, String> {
    match word {
        "@" => return Ok(Check::Always),
        "!" => return Ok(Check::Never),
        _ => {}
    }
    let name = shown(word);
    if word.contains("%(") {
        return Err(format!(
            "has \"{name}\": objects here belong to the cloud and to no project or user, so there is nothing to put in; write the id itself."
        ));
    }
    let (kind, value) = split(word).ok_or_else(|| format!("has \"{name}\", which is no check; write role:NAME, rule:NAME, project_id:ID, user_id:ID, system_scope:all, is_admin_project:True, @ or !."))?;
    if value.is_empty() {
        return Err(format!("has \"{name}\" with nothing after the colon."));
    }
    let value = value.to_string();
    match kind {
        "role" => Ok(Check::Role(value)),
        "rule" => Ok(Check::Rule(value)),
        "project_id" => Ok(Check::Project(value)),
        "user_id" => Ok(Check::User(value)),
        "system_scope" if value == "all" => Ok(Check::System),
        "system_scope" => Err(format!("has \"{name}\"; the only system scope is all: write system_scope:all.")),
        "is_admin_project" if value.eq_ignore_ascii_case("true") => Ok(Check::AdminProject),
        "is_admin_project" if value.eq_ignore_ascii_case("false") => Ok(Check::Not(Box::new(Check::AdminProject))),
        "is_admin_project" => Err(format!("has \"{name}\"; write is_admin_project:True or is_admin_project:False.")),
        "http" | "https" => Err(format!(
            "has \"{name}\": checks by a remote server are not taken, because every request would wait for it; write it in roles, projects and users."
        )),
        literal => match constant(literal) {
            Some(text) => Ok(if text == value { Check::Always } else { Check::Never }),
            None => Err(format!(
                "has \"{name}\": {:?} is not known; there are role, rule, project_id, user_id, system_scope and is_admin_project.",
                shown(literal)
            )),
        },
    }
}

/// What stands before and after the colon; one in quotes is not it.
fn split(word: &str) -> Option<(&str, &str)> {
    let quote = word.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let from = match quote {
        Some(quote) => 2 + word[1..].find(quote)?,
        None => 0,
    };
    let colon = from + word[from..].find(':')?;
    Some((&word[..colon], &word[colon + 1..]))
}

/// The text of a literal: in quotes, a number, or a truth value.
fn constant(kind: &str) -> Option<&str> {
    let quoted = |q: char| kind.strip_prefix(q).and_then(|k| k.strip_suffix(q));
    let plain = || Some(kind).filter(|k| matches!(*k, "True" | "False" | "None") || (!k.is_empty() && k.bytes().all(|b| b.is_ascii_digit())));
    quoted('\'').or_else(|| quoted('"')).or_else(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> String {
        parse(text).map_or_else(|e| panic!("{text}: {e}"), |c| c.to_string())
    }

    #[test]
    fn and_binds_tighter_than_or_and_not_tightest() {
        for (text, means) in [
            ("role:admin", "role:admin"),
            ("role:a or role:b and role:c", "role:a or (role:b and role:c)"),
            ("role:a and role:b or role:c", "(role:a and role:b) or role:c"),
            ("(role:a or role:b) and role:c", "(role:a or role:b) and role:c"),
            ("not role:a and role:b", "not role:a and role:b"),
            ("not (role:a and role:b)", "not (role:a and role:b)"),
            ("  ( ( role:a ) )  ", "role:a"),
            ("role:a AND NOT rule:b", "role:a and not rule:b"),
            ("rule:cloud-manager:hosts:get", "rule:cloud-manager:hosts:get"),
            ("@ or !", "@ or !"),
            ("is_admin_project:False", "not is_admin_project:True"),
            ("'a b':c or 'x':x", "! or @"),
            ("True:True and 1:2", "@ and !"),
            ("user_id:u and project_id:p and system_scope:all", "user_id:u and project_id:p and system_scope:all"),
        ] {
            assert_eq!(read(text), means, "{text}");
            assert_eq!(read(&read(text)), means, "what is written reads back the same");
        }
    }

    #[test]
    fn what_makes_no_sense_is_told_in_a_sentence_with_the_way_out() {
        for (text, says) in [
            ("", "write @"),
            ("   ", "write @"),
            ("role:admin role:b", "`and` or `or`"),
            ("(role:admin", "not closed"),
            ("role:admin)", "without a ("),
            ("and role:admin", "an `and`"),
            ("role:a or", "ends where"),
            ("not", "ends where"),
            ("admin", "no check"),
            ("role:", "nothing after the colon"),
            ("http://policy.example/check", "remote server"),
            ("https://policy.example/%(name)s", "nothing to put in"),
            ("https://policy.example/", "remote server"),
            ("project_id:%(project_id)s", "nothing to put in"),
            ("system_scope:some", "system_scope:all"),
            ("is_admin_project:maybe", "is_admin_project:True"),
            ("domain_id:default", "not known"),
            ("'role:admin", "no check"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!(parse(&"(".repeat(5_000)).unwrap_err().contains("deeper"));
        assert!(parse(&"not ".repeat(1_500)).unwrap_err().contains("deeper"));
        assert!(parse(&"@ or ".repeat(5_000)).unwrap_err().contains("bytes long"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_check_or_a_sentence(text in "\\PC{0,200}") {
            if let Err(error) = parse(&text) {
                prop_assert!(error.len() < 900);
            }
        }

        #[test]
        fn any_text_of_the_languages_words_is_read_back_as_it_was_written(
            words in proptest::collection::vec(proptest::sample::select(vec!["(", ")", "and", "or", "not", "role:a", "rule:b", "@", "!", "%(", "'", ":"]), 0..30)
        ) {
            if let Ok(check) = parse(&words.join(" ")) {
                prop_assert_eq!(parse(&check.to_string()), Ok(check));
            }
        }
    }
}
