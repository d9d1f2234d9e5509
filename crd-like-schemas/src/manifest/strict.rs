//! JSON and YAML as plain JSON values: a key that stands twice is refused, and so is what is nested too deep, or becomes far larger
//! than it was written.

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::{cell::Cell, fmt};

/// Deepest nesting of a document.
pub const MAX_DEPTH: usize = 64;

/// A document may always become so large, in bytes.
const ALWAYS: usize = 4 * 1024;
/// Beyond that it may become so many times as large as it was written: an alias repeats what its anchor holds.
const GROWTH: usize = 4;

/// Why a text is no document. It shows no value of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Line, from 1; 0 if it is not known.
    pub line: usize,
    /// Column, from 1; 0 if it is not known.
    pub column: usize,
    /// What is wrong, without the place.
    pub message: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "{} at line {line} column {}", self.message, self.column),
        }
    }
}

/// Reads JSON.
///
/// # Errors
/// It is none, has a key twice, or is nested deeper than [`MAX_DEPTH`].
pub fn json(bytes: &[u8]) -> Result<Value, Unreadable> {
    let left = Cell::new(usize::MAX);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = Strict { left: &left, depth: 0 }.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    read.map_err(|e| Unreadable { line: e.line(), column: e.column(), message: before_place(&e.to_string()) })
}

/// Reads one YAML document; `Null` if it is empty.
///
/// # Errors
/// As [`json`]; or it has tags, a key that is no text, or aliases that make it far larger than it is.
pub fn yaml(text: &str) -> Result<Value, Unreadable> {
    let left = Cell::new(ALWAYS.max(text.len().saturating_mul(GROWTH)));
    Strict { left: &left, depth: 0 }.deserialize(yaml_serde::Deserializer::from_str(text)).map_err(|e| {
        let (line, column) = e.location().map_or((0, 0), |at| (at.line(), at.column()));
        Unreadable { line, column, message: before_place(&e.to_string()) }
    })
}

fn before_place(message: &str) -> String {
    message.split(" at line ").next().unwrap_or_default().into()
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    /// Bytes that the value may still grow by.
    left: &'a Cell<usize>,
    depth: usize,
}

impl Strict<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format!("it is nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Strict { depth: self.depth + 1, ..self })
    }

    fn takes<E: Error>(self, bytes: usize) -> Result<(), E> {
        match self.left.get().checked_sub(bytes) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(E::custom("its aliases (*x) make it far larger than it is written; write out what they repeat")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.takes(1).map(|()| Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.takes(1).map(|()| value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.takes(1).map(|()| value.into())
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<Value, E> {
        Err(E::custom("a number is out of range; put it in quotes if it is a text"))
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<Value, E> {
        self.visit_i128(0)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.takes(1)?;
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is infinite, or none; put it in quotes if it is a text"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.takes(1 + value.len()).map(|()| value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.takes(1).map(|()| Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let (inner, mut list) = (self.deeper()?, Vec::new());
        self.takes(1)?;
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let (inner, mut map) = (self.deeper()?, Map::new());
        self.takes(1)?;
        while let Some(key) = members.next_key::<String>()? {
            self.takes(key.len())?;
            if map.contains_key(&key) {
                let shown: String = key.chars().take(64).collect();
                return Err(A::Error::custom(format!("duplicate key {shown:?}; write it once")));
            }
            let value = members.next_value_seed(inner)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(A::Error::custom("tags (!x) are not supported; leave them out"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json as value;

    #[test]
    fn json_and_yaml_are_read_as_they_are_written() {
        let text = r#"{"a": [1, -2, 18446744073709551615, 1.5, true, null, "x"], "b": {"c": {}}}"#;
        let want = value!({"a": [1, -2, 18446744073709551615_u64, 1.5, true, null, "x"], "b": {"c": {}}});
        assert_eq!((json(text.as_bytes()), yaml(text)), (Ok(want.clone()), Ok(want)));
        assert_eq!(yaml("# nothing\n"), Ok(Value::Null));
        assert_eq!(yaml("a: &x {b: On}\nc: *x\n"), Ok(value!({"a": {"b": "On"}, "c": {"b": "On"}})));
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_at_any_depth() {
        for text in [r#"{"a": 1, "a": 2}"#, r#"{"x": [{"a": {"b": 1, "b": 1}}]}"#] {
            for wrong in [json(text.as_bytes()).unwrap_err(), yaml(text).unwrap_err()] {
                assert!(wrong.message.contains("duplicate key") && wrong.line == 1, "{wrong:?}");
            }
        }
    }

    #[test]
    fn what_is_too_deep_is_refused_and_never_overflows_the_stack() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(json(nested(MAX_DEPTH).as_bytes()).is_ok() && yaml(&nested(MAX_DEPTH)).is_ok());
        for n in [MAX_DEPTH + 1, 100_000] {
            assert!(json(nested(n).as_bytes()).is_err(), "{n}");
        }
        assert!(yaml(&nested(MAX_DEPTH + 1)).unwrap_err().message.contains("nested deeper"));
        assert!(yaml("a: &x [*x]\n").is_err());
    }

    #[test]
    fn aliases_may_repeat_a_little_and_not_explode() {
        let mut bomb = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
        for n in 1..12 {
            let all = vec![format!("*a{}", n - 1); 9].join(", ");
            bomb.push_str(&format!("a{n}: &a{n} [{all}]\n"));
        }
        assert!(yaml(&bomb).unwrap_err().message.contains("aliases"), "{:?}", yaml(&bomb));
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(40_000), ["*a"; 9].join(", "));
        assert!(yaml(&long).unwrap_err().message.contains("aliases"));
    }

    #[test]
    fn what_json_cannot_say_is_refused_without_showing_it() {
        for (text, want) in [("a: !secret hunter2", "tags"), ("a: .inf", "number"), ("? [hunter2]\n: 1", ""), ("a: 987654321987654321987654321", "")]
        {
            let read = yaml(text);
            let Err(wrong) = read else {
                assert!(want.is_empty() && read.unwrap()["a"].is_f64());
                continue;
            };
            assert!(wrong.message.contains(want) && !wrong.message.contains("hunter2") && !wrong.message.contains("98765"), "{wrong:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-{}\\[\\]:,&*!#'\"a-c \n\t0-9|>?%@~.]{0,80}") {
            let _ = (json(text.as_bytes()), yaml(&text));
            for document in crate::manifest::parse("f", &text) {
                let _ = document.checked();
            }
        }

        #[test]
        fn what_json_says_is_read_the_same_by_both(text in "[a-zA-Z \\\\\"\n]{0,20}", number in proptest::prelude::any::<i64>()) {
            let said = value!({"k": [text, number, {"x": null}]});
            let written = said.to_string();
            proptest::prop_assert_eq!(json(written.as_bytes()).unwrap(), said.clone());
            proptest::prop_assert_eq!(yaml(&written).unwrap(), said);
        }
    }
}
