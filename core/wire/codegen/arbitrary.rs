//! Random values of every structure, for tests: each field that a version has gets a value, every other its default.

use std::fmt::Write;

use crate::codegen::resolve::{Place, condition, places};
use crate::codegen::schema::{Message, Struct, Type};
use crate::codegen::types::{default_value, struct_type};

/// An `impl` block with `arbitrary`; `path` is the module of the message.
pub fn arbitrary(message: &Message, owner: &Struct, path: &str) -> String {
    let ty = format!("{path}::{}", struct_type(message, owner, "'static"));
    let mut body = String::new();
    for place in places(message, owner) {
        let value = value(&place);
        let value = match condition(place.versions(), owner.versions) {
            None => value,
            Some(there) => format!("if {there} {{ {value} }} else {{ {} }}", default_value(&place)),
        };
        writeln!(body, "{}: {value},", place.name()).expect("a String");
    }
    format!(
        "impl {ty} {{\n/// A random value that version `version` can carry.\n#[allow(unused_imports, unused_variables, reason = \"not every structure needs both\")]\n\
         pub fn arbitrary(s: &mut Seed, version: i16) -> Self {{\nuse {path}::*;\nSelf {{\n{body}}}\n}}\n}}\n\n"
    )
}

fn value(place: &Place) -> String {
    let value = match &place.field.ty {
        Type::Array(item) => {
            format!(
                "{{ let count = s.count(); (0..count).map(|_| {}).collect() }}",
                plain(item)
            )
        }
        other => plain(other),
    };
    let value = match place.null_allowed().as_str() {
        _ if !place.optional() => value,
        "false" => return format!("Some({value})"),
        "true" => format!("if s.rarely() {{ None }} else {{ Some({value}) }}"),
        null => format!("if ({null}) && s.rarely() {{ None }} else {{ Some({value}) }}"),
    };
    // Defaults are rare among random values, and the tagged fields treat them specially. A null is in there already.
    if place.defaults_to_null() {
        return value;
    }
    format!("if s.rarely() {{ {} }} else {{ {value} }}", default_value(place))
}

fn plain(ty: &Type) -> String {
    match ty {
        Type::Plain(name) => format!("s.{name}()"),
        Type::Uuid => "s.uuid()".into(),
        Type::Str => "s.string()".into(),
        Type::Bytes | Type::Records => "s.bytes()".into(),
        Type::Struct(name) => format!("{name}::arbitrary(s, version)"),
        Type::Array(_) => unreachable!("arrays of arrays do not occur"),
    }
}
