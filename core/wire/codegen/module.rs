//! Modules, re-exports, trait implementations; the enumerations over a group of records; the table of API schemas.

use std::fmt::Write;

use crate::codegen::arbitrary::arbitrary;
use crate::codegen::decode::decode;
use crate::codegen::encode::{around, encode};
use crate::codegen::resolve::{min_wire, module_of, places, struct_borrows};
use crate::codegen::schema::{Kind, Message, Struct, Type};
use crate::codegen::types::{rust_type, struct_type, structure};

/// A file of records that becomes one module.
pub struct Group {
    /// The definition file and the module.
    pub file: &'static str,
    /// The enumeration over its records of kind `metadata`, if it has any.
    pub metadata: Option<&'static str>,
    /// The prefix of the enumerations over its keys and values, if it has any.
    pub coordinator: Option<&'static str>,
}

const fn plain(file: &'static str) -> Group {
    Group {
        file,
        metadata: None,
        coordinator: None,
    }
}

/// Everything that is not a request or a response.
pub const GROUPS: &[Group] = &[
    plain("header"),
    plain("consumer_protocol"),
    plain("principal"),
    plain("control_records"),
    plain("raft_records"),
    Group {
        file: "storage_records",
        metadata: Some("RemoteLogMetadataRecord"),
        coordinator: None,
    },
    Group {
        file: "metadata_records",
        metadata: Some("MetadataRecord"),
        coordinator: None,
    },
    Group {
        file: "group_records",
        metadata: None,
        coordinator: Some("Group"),
    },
    Group {
        file: "txn_records",
        metadata: None,
        coordinator: Some("Txn"),
    },
    Group {
        file: "share_records",
        metadata: None,
        coordinator: Some("Share"),
    },
];

/// What only tests need, gathered over all modules.
#[derive(Default)]
pub struct TestOutput {
    impls: String,
    cases: String,
    arrays: String,
}

impl TestOutput {
    fn add(&mut self, group: &str, message: &Message) {
        let path = format!("crate::{group}::{}", module_of(message));
        for owner in &message.structs {
            self.impls.push_str(&arbitrary(message, owner, &path));
            for (field, item, least) in arrays(message, owner) {
                let name = format!("{}.{}.{field}", message.name, owner.name);
                writeln!(self.arrays, "({name:?}, size_of::<{path}::{item}>(), {least}),").expect("a String");
            }
        }
        writeln!(
            self.cases,
            "case!({group:?}, {:?}, {:?}, ({}, {}), {path}::{}),",
            message.name, message.key, message.versions.low, message.versions.high, message.name
        )
        .expect("a String");
    }

    /// The file.
    pub fn finish(self) -> String {
        format!(
            "{}/// Every message and record.\npub static CASES: &[Case] = &[\n{}];\n\n\
             /// Every array of structures: where it is, the size of an element in memory, and its least size on the wire.\n\
             pub static ARRAYS: &[(&str, usize, usize)] = &[\n{}];\n",
            self.impls, self.cases, self.arrays
        )
    }
}

/// The arrays of structures in a structure: the field, the type of an element, its least size on the wire.
fn arrays<'s>(message: &'s Message, owner: &'s Struct) -> impl Iterator<Item = (&'s str, String, usize)> {
    places(message, owner).filter_map(move |place| match &place.field.ty {
        Type::Array(item) if matches!(**item, Type::Struct(_)) => {
            let least = min_wire(message, item, place.versions());
            Some((
                place.field.name.as_str(),
                rust_type(message, item, "'static"),
                least,
            ))
        }
        _ => None,
    })
}

/// All requests and responses.
pub fn messages(all: &[Message], tests: &mut TestOutput) -> String {
    let mut out = String::new();
    for message in all.iter().filter(|m| !m.versions.is_empty()) {
        let response = all
            .iter()
            .find(|m| Some(m.name.as_str()) == response_name(message).as_deref());
        let response = response.map(|m| {
            format!(
                "crate::messages::{}::{}",
                module_of(m),
                struct_type(m, &m.structs[0], "'b")
            )
        });
        out.push_str(&module(message, response));
        tests.add("messages", message);
    }
    out
}

fn response_name(request: &Message) -> Option<String> {
    let name = request
        .name
        .strip_suffix("Request")
        .filter(|_| request.kind == Kind::Request)?;
    Some(format!("{name}Response"))
}

/// One group of records.
pub fn group(group: &Group, all: &[Message], tests: &mut TestOutput) -> String {
    let mut out = String::new();
    for message in all {
        out.push_str(&module(message, None));
        tests.add(group.file, message);
    }
    let of = |kind: Kind| all.iter().filter(|m| m.kind == kind).collect::<Vec<_>>();
    if let Some(name) = group.metadata {
        let doc = "A record of any type that this log can hold.";
        out.push_str(&enumeration(name, doc, &of(Kind::Metadata), "Record"));
    }
    if let Some(prefix) = group.coordinator {
        let doc = "A key of any record type of this log.";
        out.push_str(&enumeration(
            &format!("{prefix}RecordKey"),
            doc,
            &of(Kind::Key),
            "Key",
        ));
        let doc = "A value of any record type of this log.";
        out.push_str(&enumeration(
            &format!("{prefix}RecordValue"),
            doc,
            &of(Kind::Value),
            "Value",
        ));
    }
    out
}

/// `response` is the Rust type of a request's response, over the lifetime `'b`.
fn module(message: &Message, response: Option<String>) -> String {
    let mut out = String::new();
    let w = &mut out;
    let module = module_of(message);
    let key = message.key.map(|key| format!("key {key}, ")).unwrap_or_default();
    let (low, high) = (message.versions.low, message.versions.high);
    writeln!(w, "/// `{}` ({key}versions {low} to {high}).", message.name).expect("a String");
    let uuid = message
        .structs
        .iter()
        .flat_map(|s| &s.fields)
        .any(|field| field.written.ends_with("uuid"));
    let uuid = if uuid { "use ottla_types::Uuid;\n" } else { "" };
    writeln!(w, "pub mod {module} {{\nuse crate::codec::*;\n{uuid}").expect("a String");
    for owner in &message.structs {
        w.push_str(&structure(message, owner));
        let generics = if struct_borrows(message, owner) {
            "<'a>"
        } else {
            ""
        };
        writeln!(w, "impl{generics} {} {{", struct_type(message, owner, "'a")).expect("a String");
        if let (true, Kind::Metadata | Kind::Key | Kind::Value, Some(id)) =
            (owner.name == message.name, message.kind, message.key)
        {
            writeln!(
                w,
                "/// The number of this record type.\npub const RECORD_ID: i16 = {id};\n"
            )
            .expect("a String");
        }
        w.push_str(&decode(message, owner));
        w.push('\n');
        w.push_str(&encode(message, owner));
        w.push_str("}\n\n");
    }
    traits(message, response, w);
    writeln!(w, "}}\npub use {module}::{};\n", message.name).expect("a String");
    out
}

fn traits(message: &Message, response: Option<String>, w: &mut String) {
    let ty = struct_type(message, &message.structs[0], "'a");
    let api = |suffix: &str| message.name.trim_end_matches(suffix).to_string();
    let key = match message.kind {
        Kind::Request => format!("Some(crate::ApiKey::{})", api("Request")),
        Kind::Response => format!("Some(crate::ApiKey::{})", api("Response")),
        _ => "None".into(),
    };
    let flexible = if message.flexible.is_empty() {
        "i16::MAX".into()
    } else {
        message.flexible.low.to_string()
    };
    writeln!(
        w,
        "impl<'a> crate::Message<'a> for {ty} {{\nconst API_KEY: Option<crate::ApiKey> = {key};\n\
         const NAME: &'static str = {:?};\nconst VERSIONS: (i16, i16) = ({}, {});\nconst FLEXIBLE_SINCE: i16 = {flexible};\n\
         fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError> {{ Self::decode(r, version) }}\n\
         fn encode(&self, w: &mut Vec<u8>, version: i16) -> Result<(), EncodeError> {{ self.encode(w, version) }}\n}}\n",
        message.name, message.versions.low, message.versions.high
    )
    .expect("a String");
    w.push_str(&around(message, &ty));
    if let Some(response) = response {
        writeln!(
            w,
            "impl<'a> crate::Request<'a> for {ty} {{\ntype Response<'b> = {response};\n}}\n"
        )
        .expect("a String");
    }
}

/// An enumeration over records, decoded and encoded by number and version.
fn enumeration(name: &str, doc: &str, all: &[&Message], suffix: &str) -> String {
    let mut out = String::new();
    let w = &mut out;
    let borrows = all.iter().any(|m| struct_borrows(m, &m.structs[0]));
    let (generics, lifetime) = if borrows { ("<'a>", "'a") } else { ("", "'_") };
    let arms = |f: &dyn Fn(&str, &Message) -> String| -> String {
        all.iter()
            .map(|m| f(m.name.trim_end_matches(suffix), m))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let variants = arms(&|variant, m| {
        format!(
            "/// `{}`, number {}.\n{variant}({}),",
            m.name,
            id(m),
            struct_type(m, &m.structs[0], "'a")
        )
    });
    let decode =
        arms(&|variant, m| format!("{} => {name}::{variant}({}::decode(r, version)?),", id(m), m.name));
    let encode = arms(&|variant, _| format!("{name}::{variant}(record) => record.encode(w, version),"));
    let ids = arms(&|variant, m| format!("{name}::{variant}(_) => {},", id(m)));
    let versions = arms(&|variant, m| {
        format!(
            "{name}::{variant}(_) => ({}, {}),",
            m.versions.low, m.versions.high
        )
    });
    writeln!(
        w,
        "/// {doc}\n#[derive(Debug, Clone, PartialEq)]\npub enum {name}{generics} {{\n{variants}\n}}\n\n\
         impl{generics} {name}{generics} {{\n\
         /// Reads version `version` of the record type with this number.\n\
         pub fn decode(r: &mut crate::codec::Reader<{lifetime}>, id: i64, version: i16) \
         -> Result<Self, crate::codec::DecodeError> {{\nOk(match id {{\n{decode}\n\
         id => return Err(r.error(crate::codec::DecodeErrorKind::UnknownRecord {{ id }})),\n}})\n}}\n\n\
         /// Appends version `version` of the record, without any framing.\n\
         pub fn encode(&self, w: &mut Vec<u8>, version: i16) -> Result<(), crate::codec::EncodeError> {{\n\
         match self {{\n{encode}\n}}\n}}\n\n\
         /// The number of its type.\npub fn id(&self) -> i16 {{\nmatch self {{\n{ids}\n}}\n}}\n\n\
         /// The versions of its type.\npub fn versions(&self) -> (i16, i16) {{\nmatch self {{\n{versions}\n}}\n}}\n}}\n"
    )
    .expect("a String");
    out
}

fn id(message: &Message) -> i16 {
    message
        .key
        .unwrap_or_else(|| panic!("{} has no key", message.name))
}

/// One row for each API key, requests and responses together.
pub fn schema_table(all: &[Message]) -> String {
    let mut rows: Vec<(i16, String)> = Vec::new();
    for request in all.iter().filter(|m| m.kind == Kind::Request) {
        let name = request.name.trim_end_matches("Request");
        let response = all
            .iter()
            .find(|m| m.name == format!("{name}Response"))
            .expect("requests have responses");
        let key = id(request);
        assert_eq!(
            (request.key, request.versions),
            (response.key, response.versions),
            "{name}"
        );
        let since = |m: &Message| {
            if m.flexible.is_empty() {
                i16::MAX
            } else {
                m.flexible.low
            }
        };
        let has = |listener: &str| request.listeners.iter().any(|l| l == listener);
        let versions = match request.versions.is_empty() {
            true => "None".into(),
            false => format!("Some(({}, {}))", request.versions.low, request.versions.high),
        };
        rows.push((
            key,
            format!(
                "ApiSchema {{ name: {name:?}, versions: {versions}, request_flexible_since: {}, \
                 response_flexible_since: {}, broker: {}, controller: {} }},\n",
                since(request),
                since(response),
                has("broker"),
                has("controller")
            ),
        ));
    }
    rows.sort();
    let rows: String = rows.into_iter().map(|(_, row)| row).collect();
    format!("/// One row for each API key, by key.\npub(crate) static SCHEMAS: &[ApiSchema] = &[\n{rows}];\n")
}
