//! The writing half of a structure.

use std::fmt::Write;

use crate::codegen::resolve::{
    Place, condition, contained, flexible, has_records, negated, places, type_has_records, uses,
};
use crate::codegen::schema::{Message, Struct, Type};
use crate::codegen::types::differs_from_default;

/// What is written where a message has records.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// The records.
    Whole,
    /// Only their length; the caller sends them from elsewhere.
    Around,
}

/// `pub fn encode` of a structure, inside its `impl`, and `encode_around` when there are records in it. The outermost one
/// checks the version and leaves nothing behind when it fails; its fields are written by a private function.
pub fn encode(message: &Message, owner: &Struct) -> String {
    let top = owner.name == message.name;
    let mut out = if top {
        format!(
            "{}\n{}",
            outermost(message),
            function("", "write", message, owner, Mode::Whole)
        )
    } else {
        let doc = "/// Appends it in version `version`.\npub ";
        function(doc, "encode", message, owner, Mode::Whole)
    };
    if has_records(message, owner) {
        out.push('\n');
        out.push_str(&if top {
            function("", "write_around", message, owner, Mode::Around)
        } else {
            let doc = "/// Appends it in version `version`, but for its records.\npub(crate) ";
            function(doc, "encode_around", message, owner, Mode::Around)
        });
    }
    out
}

fn outermost(message: &Message) -> String {
    let (low, high) = (message.versions.low, message.versions.high);
    format!(
        "/// Appends version `version` of it; appends nothing when that fails.\n\
         pub fn encode(&self, w: &mut Vec<u8>, version: i16) -> Result<(), EncodeError> {{\n\
         check_encode({:?}, version, {low}, {high})?;\nlet start = w.len();\nlet result = self.write(w, version);\n\
         if result.is_err() {{ w.truncate(start); }}\nresult\n}}\n",
        message.name,
    )
}

/// The implementation of `EncodeAround` for a message with records, or nothing.
pub fn around(message: &Message, ty: &str) -> String {
    if !has_records(message, &message.structs[0]) {
        return String::new();
    }
    let (low, high) = (message.versions.low, message.versions.high);
    format!(
        "impl<'a> crate::EncodeAround<'a> for {ty} {{\n\
         fn encode_around(&self, w: &mut Vec<u8>, version: i16, lengths: &[usize]) -> Result<Vec<usize>, EncodeError> {{\n\
         check_encode({:?}, version, {low}, {high})?;\nlet start = w.len();\nlet mut holes = Holes::new(lengths);\n\
         let result = self.write_around(w, version, &mut holes).and_then(|()| holes.finish());\n\
         if result.is_err() {{ w.truncate(start); }}\nresult\n}}\n}}\n\n",
        message.name,
    )
}

fn function(head: &str, name: &str, message: &Message, owner: &Struct, mode: Mode) -> String {
    let mut body = String::new();
    let w = &mut body;
    if flexible(message, owner) == "flexible" {
        let is_flexible = contained(message.flexible, owner.versions);
        writeln!(w, "let flexible = {is_flexible};").expect("a String");
    }
    for place in places(message, owner).filter(|p| p.field.tag.is_none()) {
        let write = statement(&place, mode);
        let absent = absent(&place, None);
        match (condition(place.versions(), owner.versions), absent) {
            (None, _) => writeln!(w, "{write}"),
            (Some(there), None) => writeln!(w, "if {there} {{ {write} }}"),
            (Some(there), Some(absent)) => writeln!(w, "if {there} {{ {write} }} else {absent}"),
        }
        .expect("a String");
    }
    tags(message, owner, w);
    let version = if uses(&body, "version") {
        "version"
    } else {
        "_version"
    };
    let writer = if uses(&body, "w") { "w" } else { "_w" };
    let holes = if mode == Mode::Around {
        ", holes: &mut Holes<'_>"
    } else {
        ""
    };
    format!(
        "{head}fn {name}(&self, {writer}: &mut Vec<u8>, {version}: i16{holes}) -> Result<(), EncodeError> {{\n{body}Ok(())\n}}\n"
    )
}

/// What happens to a field in versions that do not have it, which `missing` names if need be: it is refused when a peer must
/// not miss it.
fn absent(place: &Place, missing: Option<String>) -> Option<String> {
    if place.field.ignorable {
        return None;
    }
    let set = differs_from_default(place);
    let set = missing.map_or(set.clone(), |missing| format!("{missing} && {set}"));
    let label = place.label();
    Some(format!(
        "if {set} {{ return Err(EncodeError::FieldNotInVersion {{ field: {label}, version }}); }}"
    ))
}

fn statement(place: &Place, mode: Mode) -> String {
    let around = mode == Mode::Around && type_has_records(place.message, &place.field.ty);
    let encode = if around {
        "encode_around(w, version, holes)?;"
    } else {
        "encode(w, version)?;"
    };
    let (name, label, fl, null) = (
        place.name(),
        place.label(),
        place.flexible(),
        place.null_allowed(),
    );
    let nullable = place.optional();
    match &place.field.ty {
        Type::Plain(ty) => format!("put_{ty}(w, self.{name});"),
        Type::Uuid => format!("put_uuid(w, self.{name});"),
        Type::Str if nullable => format!("put_nullable_string(w, self.{name}, {fl}, {null}, {label})?;"),
        Type::Str => format!("put_string(w, self.{name}, {fl}, {label})?;"),
        Type::Records if around => format!("holes.put(w, {fl}, {label})?;"),
        Type::Bytes | Type::Records if nullable => {
            format!("put_nullable_bytes(w, self.{name}, {fl}, {null}, {label})?;")
        }
        Type::Bytes | Type::Records => format!("put_bytes(w, self.{name}, {fl}, {label})?;"),
        Type::Struct(_) if !nullable => format!("self.{name}.{encode}"),
        Type::Struct(_) => {
            let (some, none) = if place.field.tag.is_some() {
                ("1", "0")
            } else {
                ("1", "-1")
            };
            let refuse = match place.null_refused() {
                None => String::new(),
                Some(refused) => {
                    format!(
                        "None if {refused} => return Err(EncodeError::NullNotAllowed {{ field: {label} }}),"
                    )
                }
            };
            format!(
                "match &self.{name} {{ Some(value) => {{ put_i8(w, {some}); value.{encode} }} {refuse} \
                 None => put_i8(w, {none}), }}"
            )
        }
        Type::Array(item) => {
            let items = if nullable {
                "items".into()
            } else {
                format!("&self.{name}")
            };
            let write = match &**item {
                Type::Plain(ty) => format!("put_{ty}s(w, {items}, {fl}, {label})?;"),
                Type::Uuid => format!("put_uuids(w, {items}, {fl}, {label})?;"),
                Type::Str => format!("put_strings(w, {items}, {fl}, {label})?;"),
                Type::Struct(_) => {
                    let items = if nullable {
                        "items".into()
                    } else {
                        format!("self.{name}")
                    };
                    format!(
                        "put_count(w, {items}.len(), {fl}, {label})?; for item in {}{items} {{ item.{encode} }}",
                        if nullable { "" } else { "&" }
                    )
                }
                other => panic!("{name}: arrays of {other:?} do not occur"),
            };
            if nullable {
                format!(
                    "match &self.{name} {{ Some(items) => {{ {write} }} None => put_null(w, {fl}, {null}, {label})?, }}"
                )
            } else {
                write
            }
        }
    }
}

/// The tagged fields, in the order of their tags and only those that hold something.
fn tags(message: &Message, owner: &Struct, w: &mut String) {
    let mut known: Vec<Place> = places(message, owner).filter(|p| p.field.tag.is_some()).collect();
    known.sort_by_key(|p| p.field.tag);
    let is_flexible = flexible(message, owner);
    let mut refuse = String::new();
    let mut write = String::new();
    for place in &known {
        let there = condition(place.versions(), owner.versions);
        let set = differs_from_default(place);
        let both = match &there {
            None => set,
            Some(there) => format!("{there} && {set}"),
        };
        writeln!(write, "let has_{} = {both};", place.name()).expect("a String");
        if let Some(missing) = negated(place.versions(), owner.versions)
            && let Some(absent) = absent(place, Some(missing))
        {
            writeln!(refuse, "{absent}").expect("a String");
        }
    }
    w.push_str(&refuse);
    let count: Vec<String> = known
        .iter()
        .map(|p| format!("u32::from(has_{})", p.name()))
        .collect();
    let count = if count.is_empty() {
        "0".into()
    } else {
        count.join(" + ")
    };
    writeln!(write, "put_uvarint(w, {count});").expect("a String");
    for place in &known {
        writeln!(
            write,
            "if has_{} {{ let start = begin_tag(w, {}); {} end_tag(w, start); }}",
            place.name(),
            place.field.tag.expect("filtered"),
            statement(place, Mode::Whole)
        )
        .expect("a String");
    }
    match is_flexible.as_str() {
        "false" => {}
        "true" => w.push_str(&write),
        _ => writeln!(w, "if flexible {{\n{write}}}").expect("a String"),
    }
}
