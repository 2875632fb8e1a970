//! What follows from a schema: names in Rust's style, the condition under which a field is there, what borrows from the
//! frame, and the least size of a value on the wire.

use crate::codegen::schema::{Field, Message, Range, Struct, Type};

/// `ThrottleTimeMs` becomes `throttle_time_ms`, `KRaftVersion` `k_raft_version`; keywords get a trailing underscore.
pub fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (i, c) in chars.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| chars[i]);
        let after = chars.get(i + 1);
        if c.is_ascii_uppercase()
            && before.is_some_and(|b| {
                b.is_ascii_lowercase()
                    || b.is_ascii_digit()
                    || (b.is_ascii_uppercase() && after.is_some_and(|a| a.is_ascii_lowercase()))
            })
        {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    const KEYWORDS: [&str; 8] = ["type", "match", "in", "ref", "move", "where", "use", "loop"];
    if KEYWORDS.contains(&out.as_str()) {
        out.push('_');
    }
    out
}

/// The module of a message: `list_offsets_request`.
pub fn module_of(message: &Message) -> String {
    snake(&message.name)
}

/// The condition, as Rust text, that `version` is in `range`, given that it is in `known`; `None` when it always is.
pub fn condition(range: Range, known: Range) -> Option<String> {
    match (range.low > known.low, range.high < known.high) {
        (false, false) => None,
        (true, false) => Some(format!("version >= {}", range.low)),
        (false, true) => Some(format!("version <= {}", range.high)),
        (true, true) => Some(format!("({}..={}).contains(&version)", range.low, range.high)),
    }
}

/// The condition that `version` is not in `range`; `None` when it always is.
pub fn negated(range: Range, known: Range) -> Option<String> {
    match (range.low > known.low, range.high < known.high) {
        (false, false) => None,
        (true, false) => Some(format!("version < {}", range.low)),
        (false, true) => Some(format!("version > {}", range.high)),
        (true, true) => Some(format!("!({}..={}).contains(&version)", range.low, range.high)),
    }
}

/// Whether `version` is in `range`, as a Rust expression.
pub fn contained(range: Range, known: Range) -> String {
    let range = range.intersect(known);
    if range.is_empty() {
        "false".into()
    } else {
        condition(range, known).unwrap_or("true".into())
    }
}

/// A field in its structure, with everything that generation asks about it.
pub struct Place<'s> {
    pub message: &'s Message,
    pub owner: &'s Struct,
    pub field: &'s Field,
}

impl Place<'_> {
    /// The versions in which the field is there.
    pub fn versions(&self) -> Range {
        self.field.versions.intersect(self.owner.versions)
    }

    /// The versions in which it may be null.
    pub fn nullable(&self) -> Range {
        self.field.nullable.intersect(self.versions())
    }

    /// Whether its Rust type is an `Option`. Records always are.
    pub fn optional(&self) -> bool {
        !self.nullable().is_empty() || self.field.ty == Type::Records
    }

    /// Whether null is allowed, as a Rust expression.
    pub fn null_allowed(&self) -> String {
        contained(self.nullable(), self.versions())
    }

    /// The condition, as Rust text, under which a null must be refused, beside being null; `None` when it never is.
    pub fn null_refused(&self) -> Option<String> {
        if self.nullable().is_empty() {
            return Some("true".into());
        }
        negated(self.nullable(), self.versions())
    }

    /// Whether a missing value is null rather than empty.
    pub fn defaults_to_null(&self) -> bool {
        let records = self.field.ty == Type::Records && !self.nullable().is_empty();
        self.optional() && (self.field.default.as_deref() == Some("null") || records)
    }

    /// Whether the flexible encoding is used, as a Rust expression.
    pub fn flexible(&self) -> String {
        if self.field.never_flexible {
            "false".into()
        } else if self.field.tag.is_some() {
            "true".into()
        } else {
            flexible(self.message, self.owner)
        }
    }

    /// The local variable and structure field that hold it.
    pub fn name(&self) -> String {
        snake(&self.field.name)
    }

    /// Its place in documentation and errors.
    pub fn label(&self) -> String {
        format!("{:?}", self.field.name)
    }
}

/// The fields of a structure.
pub fn places<'s>(message: &'s Message, owner: &'s Struct) -> impl Iterator<Item = Place<'s>> {
    owner.fields.iter().map(move |field| Place {
        message,
        owner,
        field,
    })
}

/// The condition that a structure is in a flexible version: `true`, `false` or the local variable `flexible`.
pub fn flexible(message: &Message, owner: &Struct) -> String {
    match contained(message.flexible, owner.versions).as_str() {
        constant @ ("true" | "false") => constant.into(),
        _ => "flexible".into(),
    }
}

pub fn find<'s>(message: &'s Message, name: &str) -> &'s Struct {
    message
        .structs
        .iter()
        .find(|s| s.name == name)
        .expect("checked when parsed")
}

/// Whether a value of this type borrows from the frame.
pub fn borrows(message: &Message, ty: &Type) -> bool {
    match ty {
        Type::Str | Type::Bytes | Type::Records => true,
        Type::Plain(_) | Type::Uuid => false,
        Type::Array(item) => borrows(message, item),
        Type::Struct(name) => struct_borrows(message, find(message, name)),
    }
}

pub fn struct_borrows(message: &Message, owner: &Struct) -> bool {
    owner.fields.iter().any(|field| borrows(message, &field.ty))
}

/// Whether there are records in a value of this type.
pub fn type_has_records(message: &Message, ty: &Type) -> bool {
    match ty {
        Type::Records => true,
        Type::Array(item) => type_has_records(message, item),
        Type::Struct(name) => has_records(message, find(message, name)),
        _ => false,
    }
}

pub fn has_records(message: &Message, owner: &Struct) -> bool {
    owner
        .fields
        .iter()
        .any(|field| type_has_records(message, &field.ty))
}

/// The least number of bytes that an element of an array takes, over all versions of the array.
pub fn min_wire(message: &Message, ty: &Type, versions: Range) -> usize {
    let all = versions.intersect(message.versions);
    let least = (all.low..=all.high)
        .map(|v| size(message, ty, v, message.flexible.contains(v)))
        .min();
    let least = least.expect("an array that no version has was dropped");
    assert!(
        least > 0,
        "{}: an element of no bytes cannot be bounded",
        message.name
    );
    least
}

fn size(message: &Message, ty: &Type, version: i16, flexible: bool) -> usize {
    match ty {
        Type::Plain("bool" | "i8") => 1,
        Type::Plain("i16" | "u16") => 2,
        Type::Plain("i32" | "u32") => 4,
        Type::Plain(_) => 8,
        Type::Uuid => 16,
        Type::Str if !flexible => 2,
        Type::Str | Type::Bytes | Type::Records | Type::Array(_) => {
            if flexible {
                1
            } else {
                4
            }
        }
        Type::Struct(name) => {
            let owner = find(message, name);
            let fields = places(message, owner)
                .filter(|p| p.versions().contains(version) && p.field.tag.is_none())
                .map(|p| {
                    // A structure that may be null can be one byte.
                    let null = p.nullable().contains(version) && matches!(p.field.ty, Type::Struct(_));
                    let flexible = flexible && !p.field.never_flexible;
                    if null {
                        1
                    } else {
                        size(message, &p.field.ty, version, flexible)
                    }
                })
                .sum::<usize>();
            fields + usize::from(flexible)
        }
    }
}

/// Whether generated text uses the local variable `name`, so that an unused parameter can be marked.
pub fn uses(text: &str, name: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_' || c == '"';
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        !before.is_some_and(|c| part_of_name(c) || c == '.') && !after.is_some_and(part_of_name)
    })
}
