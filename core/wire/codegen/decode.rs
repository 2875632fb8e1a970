//! The reading half of a structure.

use std::fmt::Write;

use crate::codegen::resolve::{
    Place, condition, contained, flexible, min_wire, places, struct_borrows, uses,
};
use crate::codegen::schema::{Message, Struct, Type};
use crate::codegen::types::{default_value, rust_type};

/// `pub fn decode` of a structure, inside its `impl`.
pub fn decode(message: &Message, owner: &Struct) -> String {
    let top = owner.name == message.name;
    let mut body = String::new();
    let w = &mut body;
    if top {
        writeln!(
            w,
            "check_decode(r, {:?}, version, {}, {})?;",
            message.name, message.versions.low, message.versions.high
        )
        .expect("a String");
    }
    if flexible(message, owner) == "flexible" {
        writeln!(
            w,
            "let flexible = {};",
            contained(message.flexible, owner.versions)
        )
        .expect("a String");
    }
    for place in places(message, owner).filter(|p| p.field.tag.is_none()) {
        let value = checked_value(&place);
        match condition(place.versions(), owner.versions) {
            None => writeln!(w, "let f_{} = {value};", place.name()),
            Some(there) => {
                writeln!(
                    w,
                    "let f_{} = if {there} {{ {value} }} else {{ {} }};",
                    place.name(),
                    default_value(&place)
                )
            }
        }
        .expect("a String");
    }
    tags(message, owner, w);
    let fields: Vec<String> = places(message, owner)
        .map(|p| format!("{0}: f_{0}", p.name()))
        .collect();
    format!(
        "/// Reads version `version` of it.\npub fn decode({}: &mut Reader<{}>, {}: i16) -> Result<Self, DecodeError> {{\n{body}\
         Ok(Self {{ {} }})\n}}\n",
        if uses(&body, "r") { "r" } else { "_r" },
        if struct_borrows(message, owner) {
            "'a"
        } else {
            "'_"
        },
        if uses(&body, "version") {
            "version"
        } else {
            "_version"
        },
        fields.join(", ")
    )
}

/// The value of a field, with the check that it is not null where only some versions allow that.
fn checked_value(place: &Place) -> String {
    let value = value(place);
    let refused = if place.optional() {
        place.null_refused()
    } else {
        None
    };
    let Some(refused) = refused else { return value };
    // A records field that may not be null is an Option all the same.
    let missing = match refused.as_str() {
        "true" => "value.is_none()".to_string(),
        refused => format!("value.is_none() && {refused}"),
    };
    format!(
        "{{ let value = {value}; if {missing} {{ return Err(r.null({})); }} value }}",
        place.label()
    )
}

fn value(place: &Place) -> String {
    let (label, fl) = (place.label(), place.flexible());
    let nullable = place.optional();
    match &place.field.ty {
        Type::Plain(name) => format!("r.{name}()?"),
        Type::Uuid => "r.uuid()?".into(),
        Type::Str if nullable => format!("r.nullable_string({fl}, {label})?"),
        Type::Str => format!("r.string({fl}, {label})?"),
        Type::Bytes | Type::Records if nullable => format!("r.nullable_bytes({fl}, {label})?"),
        Type::Bytes | Type::Records => format!("r.bytes({fl}, {label})?"),
        Type::Struct(name) if !nullable => format!("{name}::decode(r, version)?"),
        Type::Struct(name) => {
            // A tagged structure that may be null begins with a varint, 0 for null; any other as KIP-893 says.
            let present = if place.field.tag.is_some() {
                "r.uvarint()? > 0"
            } else {
                "r.present()?"
            };
            format!("if {present} {{ Some({name}::decode(r, version)?) }} else {{ None }}")
        }
        Type::Array(item) => array(place, item, nullable),
    }
}

fn array(place: &Place, item: &Type, nullable: bool) -> String {
    let (label, fl) = (place.label(), place.flexible());
    let helper = match item {
        Type::Plain(name) => format!("{name}s"),
        Type::Uuid => "uuids".into(),
        Type::Str => "strings".into(),
        _ => String::new(),
    };
    match (helper.as_str(), nullable) {
        ("", _) => {}
        ("strings", true) => return format!("r.nullable_strings({fl}, {label})?"),
        (_, true) => return format!("r.nullable_{helper}({fl})?"),
        (_, false) => return format!("r.{helper}({fl}, {label})?"),
    }
    let Type::Struct(name) = item else {
        panic!("{}: arrays of {item:?} do not occur", place.field.name)
    };
    let least = min_wire(place.message, item, place.versions());
    let memory = format!("size_of::<{}>()", rust_type(place.message, item, "'_"));
    let items = format!(
        "let mut items = Vec::with_capacity(count); for _ in 0..count {{ items.push({name}::decode(r, version)?); }}"
    );
    if nullable {
        format!(
            "match r.nullable_count({fl}, {least}, {memory})? {{ Some(count) => {{ {items} Some(items) }} None => None }}"
        )
    } else {
        format!("{{ let count = r.count({fl}, {label}, {least}, {memory})?; {items} items }}")
    }
}

/// The tagged fields that end a structure in flexible versions.
fn tags(message: &Message, owner: &Struct, w: &mut String) {
    let known: Vec<Place> = places(message, owner).filter(|p| p.field.tag.is_some()).collect();
    for place in &known {
        writeln!(w, "let mut f_{} = {};", place.name(), default_value(place)).expect("a String");
    }
    let is_flexible = flexible(message, owner);
    if is_flexible == "false" {
        return;
    }
    let mut read = String::new();
    if known.is_empty() {
        read.push_str("r.skip_tags()?;\n");
    } else {
        read.push_str("for _ in 0..r.uvarint()? {\nlet (tag, mut value) = r.tag()?;\nmatch tag {\n");
        for place in &known {
            let guard = condition(place.versions(), owner.versions)
                .map(|c| format!(" if {c}"))
                .unwrap_or_default();
            let tag = place.field.tag.expect("filtered");
            let value = checked_value(place);
            writeln!(
                read,
                "{tag}{guard} => {{ let r = &mut value; f_{} = {value}; }}",
                place.name()
            )
            .expect("a String");
        }
        read.push_str("_ => continue,\n}\nr.end_tag(tag, &value)?;\n}\n");
    }
    match is_flexible.as_str() {
        "true" => w.push_str(&read),
        _ => writeln!(w, "if flexible {{\n{read}}}").expect("a String"),
    }
}
