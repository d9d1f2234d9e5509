//! The product's INI files: laid over each other, checked against the table, turned into our keys.

use super::{
    ini,
    layers::Origin,
    load::ConfigError,
    parameters::{Effect, PARAMETERS, Parameter, boolean, find, nearest},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::{Path, PathBuf},
};

/// The common file's name; other modules keep their own parameters in it.
const COMMON: &str = "aos.conf";
/// Deepest nesting of `$name` in values of what `$name` stands for.
const DEEPEST: usize = 10;

/// A parameter that is known and does nothing, or a line that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// `file:line [section] key`.
    pub place: String,
    /// Why it has no effect.
    pub why: String,
}

/// What the files say.
#[derive(Debug, Default)]
pub(super) struct Product {
    /// Our keys, with values as text.
    pub values: Vec<(String, String, Origin)>,
    pub notices: Vec<Notice>,
}

/// A value that a file sets.
struct Set {
    raw: String,
    path: PathBuf,
    line: usize,
}

type Found = BTreeMap<(&'static str, &'static str), Set>;

/// Reads the files; the later wins.
///
/// # Errors
/// What cannot be read or is not known, with file and line and the nearest name that is.
pub(super) fn read(files: &[PathBuf]) -> Result<Product, ConfigError> {
    let (mut found, mut product) = (Found::new(), Product::default());
    for path in files {
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError::of(path, format!("cannot be read: {e}.")))?;
        if path.extension().is_some_and(|e| e == "toml") {
            return Err(ConfigError::of(path, "this is a TOML file by its name; give it by --config, INI files by --config-file."));
        }
        one_file(path, &text, &mut found, &mut product.notices)?;
    }
    let mut texts = BTreeMap::new();
    for ((section, key), set) in &found {
        let Some(parameter) = find(section, key) else { continue };
        let origin = origin(&set.path, set.line, format!("[{section}] {key}"));
        let value = substituted(&found, section, &set.raw, &origin, DEEPEST)?;
        if let Err(want) = parameter.r#type.check(&value) {
            let shown = if parameter.r#type.may_be_shown() { format!("{value:?} does not fit; ") } else { String::new() };
            return Err(ConfigError::at(&origin, format!("{shown}{want}.")));
        }
        match parameter.effect {
            Effect::Sets(_) | Effect::SetsBoth(..) | Effect::Switches(..) | Effect::Minutes(_) | Effect::Shares(_) => {}
            Effect::Later(feature) => product
                .notices
                .push(Notice { place: origin.to_string(), why: format!("is known; its feature ({feature}) comes later; it has no effect now") }),
            Effect::Nothing(why) => {
                product.notices.push(Notice { place: origin.to_string(), why: format!("is known and has no effect here: {why}") })
            }
        }
        texts.insert((*section, *key), (value, origin));
    }
    product.values = mapped(&texts)?;
    Ok(product)
}

fn origin(path: &Path, line: usize, name: String) -> Origin {
    Origin::Parameter { path: path.into(), line, name }
}

/// Every assignment of a file, checked. In the common file, what is not known belongs to other modules.
fn one_file(path: &Path, text: &str, found: &mut Found, notices: &mut Vec<Notice>) -> Result<(), ConfigError> {
    let common = path.file_name().is_some_and(|n| n == COMMON);
    let file = ini::parse(path, text)?;
    let mut here: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let foreign = |notices: &mut Vec<Notice>, at: Origin, message: String| -> Result<(), ConfigError> {
        if !common {
            return Err(ConfigError::at(&at, message));
        }
        let why = format!("is not a parameter of this module and is left to the others that share the file ({message})");
        notices.push(Notice { place: at.to_string(), why });
        Ok(())
    };
    for (section, line) in &file.sections {
        if !sections().any(|s| s.eq_ignore_ascii_case(section)) {
            let message = format!("there is no such section{}", hint(section, sections(), "["));
            foreign(notices, origin(path, *line, format!("[{section}]")), message)?;
        }
    }
    for a in &file.assignments {
        let Some(parameter) = find(&a.section, &a.key) else {
            let mut keys = keys_of(&a.section).peekable();
            // A section that is not known was named above.
            if keys.peek().is_some() {
                let elsewhere = PARAMETERS.iter().find(|p| p.key == a.key).map(|p| format!("; [{}] has it", p.section));
                let message = format!("there is no such key{}", elsewhere.unwrap_or_else(|| hint(&a.key, keys, "")));
                foreign(notices, origin(path, a.line, format!("[{}] {}", a.section, a.key)), message)?;
            }
            continue;
        };
        if let Some(before) = here.insert((parameter.section, parameter.key), a.line) {
            let place = origin(path, before, format!("[{}] {}", parameter.section, parameter.key)).to_string();
            notices.push(Notice { place, why: format!("is set again in line {}; the last one counts", a.line) });
        }
        found.insert((parameter.section, parameter.key), Set { raw: a.value.clone(), path: path.into(), line: a.line });
    }
    Ok(())
}

fn sections() -> impl Iterator<Item = &'static str> {
    PARAMETERS.iter().map(|p| p.section).collect::<BTreeSet<_>>().into_iter()
}

fn keys_of(section: &str) -> impl Iterator<Item = &'static str> {
    PARAMETERS.iter().filter(move |p| p.section.eq_ignore_ascii_case(section)).map(|p: &Parameter| p.key)
}

/// The nearest name, or all of them.
fn hint<'a>(word: &str, names: impl Iterator<Item = &'a str>, open: &str) -> String {
    let close = if open.is_empty() { "" } else { "]" };
    let names: Vec<&str> = names.collect();
    match nearest(word, names.iter().copied()) {
        Some(name) => format!("; did you mean {open}{name}{close}?"),
        None => format!("; there are {}", names.iter().map(|n| format!("{open}{n}{close}")).collect::<Vec<_>>().join(", ")),
    }
}

/// Puts values in the place of `$name`, `${name}`, `$section.name`; `$$` and `\$` are a dollar sign.
/// A name is looked for in its own section, then in `[DEFAULT]`; what no file sets has its default.
fn substituted(found: &Found, section: &str, raw: &str, at: &Origin, depth: usize) -> Result<String, ConfigError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(ConfigError::at(at, "its $names stand for each other in a circle."));
    };
    let raw = raw.replace("\\$", "$$");
    let (mut out, mut rest) = (String::new(), raw.as_str());
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let braced = after.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        let (name, next) = braced.unwrap_or_else(|| after.split_at(name_length(after)));
        if name_length(name) == 0 || name_length(name) != name.len() {
            // No name follows: as oslo does, it is a plain dollar sign.
            out.push('$');
            rest = after;
            continue;
        }
        let (of, key) = name.split_once('.').unwrap_or((section, name));
        let Some(parameter) = find(of, key).or_else(|| find("DEFAULT", key)) else {
            return Err(ConfigError::at(
                at,
                "a $ with a name after it stands for another parameter, and there is none of that name; write $$ for a dollar sign.",
            ));
        };
        match found.get(&(parameter.section, parameter.key)) {
            Some(set) => out.push_str(&substituted(found, parameter.section, &set.raw, at, depth)?),
            None => out.push_str(parameter.default),
        }
        rest = next;
    }
    out.push_str(rest);
    Ok(out)
}

/// How much of the text is a name: a letter or `_`, then letters, digits, `_` and dots.
fn name_length(text: &str) -> usize {
    let fits = |(i, c): &(usize, char)| c.is_ascii_alphabetic() || *c == '_' || (*i > 0 && (c.is_ascii_digit() || *c == '.'));
    text.char_indices().take_while(fits).count()
}

/// Our keys.
fn mapped(texts: &BTreeMap<(&str, &str), (String, Origin)>) -> Result<Vec<(String, String, Origin)>, ConfigError> {
    let mut values = Vec::new();
    let is_set = |section: &str, key: &str| {
        let set = texts.get(&(section, key)).filter(|(text, _)| !text.trim().is_empty())?;
        Some((set.0.trim().to_string(), set.1.clone()))
    };
    for parameter in &PARAMETERS {
        let Some((text, origin)) = is_set(parameter.section, parameter.key) else { continue };
        match parameter.effect {
            Effect::Sets(key) => values.push((key.into(), text, origin)),
            Effect::SetsBoth(one, other) => values.extend([one, other].map(|key| (key.into(), text.clone(), origin.clone()))),
            Effect::Switches(key, [on, off]) => values.push((key.into(), if boolean(&text) == Some(true) { on } else { off }.into(), origin)),
            Effect::Minutes(key) => {
                let seconds = text.parse::<i64>().unwrap_or_default().saturating_mul(60);
                values.push((key.into(), seconds.to_string(), origin));
            }
            Effect::Shares(_) | Effect::Later(_) | Effect::Nothing(_) => {}
        }
    }
    let (host, port) = (is_set("api", "host"), is_set("api", "port"));
    if let Some((text, at)) = &host
        && text.parse::<IpAddr>().is_err()
    {
        return Err(ConfigError::at(at, format!("{text:?} is no IP address; write the address to listen on, 0.0.0.0 for all.")));
    }
    if let Some(origin) = both(host.as_ref(), port.as_ref()) {
        let host = host.map_or("127.0.0.1".into(), |h| h.0);
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        values.push(("api.listen".into(), format!("{host}:{}", port.map_or("9362".into(), |p| p.0)), origin));
    }
    let (interval, ticks) = (is_set("power", "shutdown_interval"), is_set("power", "shutdown_max_tick"));
    if let Some(origin) = both(interval.as_ref(), ticks.as_ref()) {
        let number = |set: Option<(String, Origin)>, default: i64| set.and_then(|s| s.0.parse::<i64>().ok()).unwrap_or(default);
        let seconds = number(interval, 30).saturating_mul(number(ticks, 10));
        values.push(("policy.soft_off_timeout_seconds".into(), seconds.to_string(), origin));
    }
    Ok(values)
}

/// Where a value comes from that two parameters make.
fn both(one: Option<&(String, Origin)>, other: Option<&(String, Origin)>) -> Option<Origin> {
    match (one.map(|o| &o.1), other.map(|o| &o.1)) {
        (Some(Origin::Parameter { name: first, .. }), Some(Origin::Parameter { path, line, name })) => {
            let key = name.rsplit(' ').next().unwrap_or_default();
            Some(origin(path, *line, format!("{first} and {key}")))
        }
        (one, other) => one.or(other).cloned(),
    }
}

/// Notices with the same reason in one line each, for the log.
pub fn told(notices: &[Notice]) -> Vec<String> {
    let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
    for notice in notices {
        match by_reason.iter_mut().find(|(why, _)| *why == notice.why) {
            Some((_, places)) => places.push(&notice.place),
            None => by_reason.push((&notice.why, vec![&notice.place])),
        }
    }
    by_reason.into_iter().map(|(why, places)| format!("{}: {why}", places.join(", "))).collect()
}
