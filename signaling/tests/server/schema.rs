//! Every message that a test's client is sent is one of docs/protocol.json: with all fields that it must have, and none that the schema does not know.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

/// Fails the test where the server sent what its schema does not describe.
pub(crate) fn check(message: &Value) {
    let all = part("ServerMessage")["oneOf"].as_array().unwrap();
    let t = |one: &&Value| one["properties"]["t"]["const"] == message["t"];
    let Some(schema) = all.iter().find(t) else {
        panic!("docs/protocol.json has no {}", message["t"]);
    };
    if let Err(fault) = fits(schema, message) {
        panic!(
            "docs/protocol.json has another {}: {fault}\n{message}",
            message["t"]
        );
    }
}

fn fits(schema: &'static Value, value: &Value) -> Result<(), String> {
    if let Some(other) = schema["$ref"].as_str() {
        return fits(part(other.trim_start_matches("#/$defs/")), value);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fitting = choices
            .iter()
            .filter(|one| fits(one, value).is_ok())
            .count();
        return require(fitting == 1, || format!("{fitting} choices fit {value}"));
    }
    if let Some(names) = schema["enum"].as_array() {
        return require(names.contains(value), || {
            format!("{value} is none of {names:?}")
        });
    }
    if !schema["const"].is_null() {
        return require(schema["const"] == *value, || format!("{value} is another"));
    }
    if schema["allOf"].is_array() {
        // Only objects are put together of parts.
        require(value.is_object(), || format!("{value} is no object"))?;
    } else {
        let kinds = schema["type"]
            .as_array()
            .map_or_else(|| vec![&schema["type"]], |all| all.iter().collect());
        let known = kinds.iter().any(|kind| is(kind, value));
        require(known, || format!("{value} is no {kinds:?}"))?;
    }
    match value {
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| fits(&schema["items"], item)),
        Value::Object(_) => fields_fit(schema, value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn fields_fit(schema: &'static Value, value: &Value) -> Result<(), String> {
    let mut shape = Shape::default();
    shape.add(schema);
    let lacking = shape.required.iter().find(|name| value.get(name).is_none());
    require(lacking.is_none(), || format!("{lacking:?} is missing"))?;
    for (name, field) in value.as_object().unwrap() {
        let Some(&schema) = shape.fields.get(name.as_str()).or(shape.others.as_ref()) else {
            return Err(format!("`{name}` is not known"));
        };
        fits(schema, field).map_err(|fault| format!("`{name}`: {fault}"))?;
    }
    Ok(())
}

/// The fields of an object, from all its parts.
#[derive(Default)]
struct Shape {
    fields: BTreeMap<&'static str, &'static Value>,
    required: Vec<&'static str>,
    /// What fields of any other name hold; `None` where there are none.
    others: Option<&'static Value>,
}

impl Shape {
    fn add(&mut self, schema: &'static Value) {
        if let Some(other) = schema["$ref"].as_str() {
            self.add(part(other.trim_start_matches("#/$defs/")));
        }
        for one in schema["allOf"].as_array().into_iter().flatten() {
            self.add(one);
        }
        let fields = schema["properties"].as_object().into_iter().flatten();
        self.fields
            .extend(fields.map(|(name, field)| (name.as_str(), field)));
        let names = schema["required"].as_array().into_iter().flatten();
        self.required.extend(names.filter_map(Value::as_str));
        let others = &schema["additionalProperties"];
        self.others = self.others.or_else(|| others.is_object().then_some(others));
    }
}

fn part(name: &str) -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        serde_json::from_str(include_str!("../../../docs/protocol.json")).unwrap()
    });
    &SCHEMA["$defs"][name]
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str() {
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some("null") => value.is_null(),
        other => panic!("the test does not know the type {other:?}"),
    }
}

fn require(good: bool, fault: impl Fn() -> String) -> Result<(), String> {
    if good { Ok(()) } else { Err(fault()) }
}
