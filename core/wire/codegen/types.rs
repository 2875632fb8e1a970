//! Structure definitions and their defaults.

use std::fmt::Write;

use crate::codegen::resolve::{Place, borrows, places, struct_borrows};
use crate::codegen::schema::{Message, Range, Struct, Type};

/// The Rust type of a value that is not null.
pub fn rust_type(message: &Message, ty: &Type, lifetime: &str) -> String {
    match ty {
        Type::Plain(name) => name.to_string(),
        Type::Uuid => "Uuid".into(),
        Type::Str => format!("&{lifetime} str"),
        Type::Bytes | Type::Records => format!("&{lifetime} [u8]"),
        Type::Array(item) => format!("Vec<{}>", rust_type(message, item, lifetime)),
        Type::Struct(name) if borrows(message, ty) => format!("{name}<{lifetime}>"),
        Type::Struct(name) => name.clone(),
    }
}

/// A structure's name with its lifetime, if it has one.
pub fn struct_type(message: &Message, owner: &Struct, lifetime: &str) -> String {
    rust_type(message, &Type::Struct(owner.name.clone()), lifetime)
}

fn field_type(place: &Place) -> String {
    let ty = rust_type(place.message, &place.field.ty, "'a");
    if place.optional() {
        format!("Option<{ty}>")
    } else {
        ty
    }
}

/// The value of a field that is not there.
pub fn default_value(place: &Place) -> String {
    let field = place.field;
    if place.defaults_to_null() {
        return "None".into();
    }
    let given = field.default.as_deref();
    let value = match &field.ty {
        Type::Plain("bool") => given.unwrap_or("false").to_string(),
        Type::Plain("f64") => format!("{:?}", given.unwrap_or("0").parse::<f64>().expect("a number")),
        Type::Plain(_) => given.unwrap_or("0").to_string(),
        Type::Uuid => "Uuid::ZERO".into(),
        Type::Str => given.unwrap_or("\"\"").to_string(),
        Type::Bytes | Type::Records => "&[]".into(),
        Type::Array(_) => "Vec::new()".into(),
        Type::Struct(name) => format!("{name}::default()"),
    };
    if place.optional() {
        format!("Some({value})")
    } else {
        value
    }
}

/// Whether `Default` can be derived for this field.
fn derives(place: &Place) -> bool {
    let plain = matches!(
        place.field.default.as_deref(),
        None | Some("0" | "false" | "\"\"")
    );
    if place.optional() {
        place.defaults_to_null()
    } else {
        plain
    }
}

/// The condition that a field holds something else than its default, as Rust text.
pub fn differs_from_default(place: &Place) -> String {
    let value = format!("self.{}", place.name());
    if place.optional() {
        return match &place.field.ty {
            _ if place.defaults_to_null() => format!("{value}.is_some()"),
            Type::Array(_) => format!("!matches!(&{value}, Some(items) if items.is_empty())"),
            Type::Bytes | Type::Records => format!("!matches!({value}, Some([]))"),
            Type::Struct(name) => format!("{value}.as_ref() != Some(&{name}::default())"),
            _ => format!("{value} != {}", default_value(place)),
        };
    }
    match &place.field.ty {
        Type::Plain("bool") if default_value(place) == "false" => value,
        Type::Plain("bool") => format!("!{value}"),
        Type::Str if place.field.default.as_deref().unwrap_or("\"\"") == "\"\"" => {
            format!("!{value}.is_empty()")
        }
        Type::Array(_) | Type::Bytes => format!("!{value}.is_empty()"),
        _ => format!("{value} != {}", default_value(place)),
    }
}

fn range_text(range: Range) -> String {
    match range {
        Range { low, high: i16::MAX } => format!("{low}+"),
        Range { low, high } if low == high => format!("{low}"),
        Range { low, high } => format!("{low}-{high}"),
    }
}

fn field_doc(place: &Place) -> String {
    let field = place.field;
    let mut doc = format!(
        "{}, versions {}",
        field.written.replace("[]", "array of "),
        range_text(field.versions)
    );
    if !place.nullable().is_empty() {
        write!(doc, ", null in {}", range_text(field.nullable)).expect("a String");
    }
    if let Some(tag) = field.tag {
        write!(doc, ", tag {tag}").expect("a String");
    }
    if let Some(default) = &field.default {
        write!(doc, ", default {default}").expect("a String");
    }
    if field.ignorable {
        doc.push_str(", ignorable");
    }
    doc
}

/// One structure: definition and `Default`.
pub fn structure(message: &Message, owner: &Struct) -> String {
    let ty = struct_type(message, owner, "'a");
    let derived = places(message, owner).all(|place| derives(&place));
    let mut out = String::new();
    let w = &mut out;
    writeln!(w, "/// `{}` of `{}`.", owner.name, message.name).expect("a String");
    writeln!(
        w,
        "#[derive(Debug, Clone, PartialEq{})]",
        if derived { ", Default" } else { "" }
    )
    .expect("a String");
    writeln!(w, "pub struct {ty} {{").expect("a String");
    for place in places(message, owner) {
        writeln!(w, "/// {}.", field_doc(&place)).expect("a String");
        writeln!(w, "pub {}: {},", place.name(), field_type(&place)).expect("a String");
    }
    writeln!(w, "}}\n").expect("a String");
    if !derived {
        let generics = if struct_borrows(message, owner) {
            "<'a>"
        } else {
            ""
        };
        writeln!(
            w,
            "impl{generics} Default for {ty} {{\nfn default() -> Self {{\n{} {{",
            owner.name
        )
        .expect("a String");
        for place in places(message, owner) {
            writeln!(w, "{}: {},", place.name(), default_value(&place)).expect("a String");
        }
        writeln!(w, "}}\n}}\n}}\n").expect("a String");
    }
    out
}
