//! JSON read as Rust types, an object from an object only. Left to itself, serde takes a list for a struct as well, field by field:
//! `"metadata": ["c1"]` would name an object.

use serde::{
    Deserializer,
    de::{
        self, IntoDeserializer, Unexpected, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::{Error, Value};

/// A value that is read so.
#[derive(Clone, Copy)]
pub(crate) struct Strictly<'de>(pub &'de Value);

impl<'de> IntoDeserializer<'de, Error> for Strictly<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Strictly<'de> {
    fn map<V: Visitor<'de>>(members: &'de serde_json::Map<String, Value>, visitor: V) -> Result<V::Value, Error> {
        let mut map = MapDeserializer::new(members.iter().map(|(key, value)| (key.as_str(), Strictly(value))));
        let read = visitor.visit_map(&mut map)?;
        map.end()?;
        Ok(read)
    }
}

impl<'de> Deserializer<'de> for Strictly<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => {
                let mut list = SeqDeserializer::new(items.iter().map(Strictly));
                let read = visitor.visit_seq(&mut list)?;
                list.end()?;
                Ok(read)
            }
            Value::Object(members) => Strictly::map(members, visitor),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(_) => Err(de::Error::invalid_type(Unexpected::Seq, &visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    /// What clients may send holds no enumeration with an object in it; the records of steps do, and are our own.
    fn deserialize_enum<V: Visitor<'de>>(self, name: &'static str, variants: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    /// A whole number may be written as `12.0`, as in JSON Schema; beyond 2^53 that would be a guess.
    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        const EXACT: f64 = (1_i64 << 53) as f64;
        match self.0.as_f64() {
            Some(number) if self.0.is_f64() && number.fract() == 0.0 && number.abs() <= EXACT => visitor.visit_i64(number as i64),
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct
        map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use crate::{ObjectMeta, object::decode, v1::HostSpec};
    use serde_json::{Value, json};

    #[test]
    fn a_list_is_no_object_however_deep() {
        for (value, field) in [(json!([]), "spec"), (json!({"remediationPolicyRef": ["default"]}), "spec.remediationPolicyRef")] {
            let error = decode::<HostSpec>("spec", &value).unwrap_err();
            assert_eq!((error.field.as_str(), error.reason.as_str()), (field, "Invalid"), "{error}");
            assert!(error.message.contains("sequence"), "{error}");
        }
        assert_eq!(
            decode::<ObjectMeta>("metadata", &json!({"ownerReferences": [["Host", "c1", "u"]]})).unwrap_err().field,
            "metadata.ownerReferences[0]"
        );
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_point_and_no_other() {
        let seconds = |text: &str| {
            let value: Value = serde_json::from_str(&format!("{{\"softOffTimeoutSeconds\": {text}}}")).unwrap();
            decode::<HostSpec>("spec", &value).map(|spec| spec.soft_off_timeout_seconds.unwrap()).map_err(|e| e.field)
        };
        for (text, want) in [("12.0", 12), ("-1e3", -1_000), ("9007199254740992.0", 1 << 53), ("9223372036854775807", i64::MAX)] {
            assert_eq!(seconds(text), Ok(want), "{text}");
        }
        for text in ["12.5", "1e300", "9007199254740994.0", "9223372036854775808"] {
            assert_eq!(seconds(text).unwrap_err(), "spec.softOffTimeoutSeconds", "{text}");
        }
    }

    #[test]
    fn all_else_is_read_as_ever() {
        let value = json!({"title": "t", "power": "On", "softOffTimeoutSeconds": 5, "remediationPolicyRef": {"name": "p"}, "failureDomains": ["a"], "approvedReturn": null});
        assert_eq!(decode::<HostSpec>("spec", &value).unwrap(), serde_json::from_value::<HostSpec>(value).unwrap());
        let any = json!({"a": [1, -1, 1.5, null, true, {"b": "c"}], "big": u64::MAX});
        assert_eq!(decode::<Value>("x", &any).unwrap(), any);
        for (value, reason) in
            [(json!({"pwr": 1}), "UnknownField"), (json!({"power": "Sideways"}), "Invalid"), (json!("x"), "Invalid"), (json!(null), "Invalid")]
        {
            assert_eq!(decode::<HostSpec>("spec", &value).unwrap_err().reason, reason, "{value}");
        }
    }
}
