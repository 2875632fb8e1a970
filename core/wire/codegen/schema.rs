//! The definition format (described in `defs/extract.py`) and what it is parsed into.

/// An inclusive range of versions; `high` is `i16::MAX` when it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub low: i16,
    pub high: i16,
}

impl Range {
    pub const NONE: Range = Range { low: 0, high: -1 };

    fn parse(text: &str) -> Result<Self, String> {
        let number = |t: &str| {
            t.parse::<i16>()
                .map_err(|_| format!("`{text}` is not a range of versions"))
        };
        if text == "none" {
            Ok(Range::NONE)
        } else if let Some(low) = text.strip_suffix('+') {
            Ok(Range {
                low: number(low)?,
                high: i16::MAX,
            })
        } else if let Some((low, high)) = text.split_once('-') {
            Ok(Range {
                low: number(low)?,
                high: number(high)?,
            })
        } else {
            Ok(Range {
                low: number(text)?,
                high: number(text)?,
            })
        }
    }

    pub fn is_empty(self) -> bool {
        self.low > self.high
    }

    pub fn intersect(self, other: Range) -> Range {
        Range {
            low: self.low.max(other.low),
            high: self.high.min(other.high),
        }
    }

    pub fn contains(self, version: i16) -> bool {
        self.low <= version && version <= self.high
    }

    /// Whether every version of `other` is in this range.
    pub fn covers(self, other: Range) -> bool {
        self.low <= other.low && other.high <= self.high
    }
}

/// A field's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// A Rust number type by the same name, or bool.
    Plain(&'static str),
    Uuid,
    Str,
    Bytes,
    Records,
    Struct(String),
    Array(Box<Type>),
}

impl Type {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(item) = text.strip_prefix("[]") {
            return Ok(Type::Array(Box::new(Type::parse(item)?)));
        }
        Ok(match text {
            "bool" => Type::Plain("bool"),
            "int8" => Type::Plain("i8"),
            "int16" => Type::Plain("i16"),
            "uint16" => Type::Plain("u16"),
            "int32" => Type::Plain("i32"),
            "uint32" => Type::Plain("u32"),
            "int64" => Type::Plain("i64"),
            "float64" => Type::Plain("f64"),
            "uuid" => Type::Uuid,
            "string" => Type::Str,
            "bytes" => Type::Bytes,
            "records" => Type::Records,
            name if name.starts_with(|c: char| c.is_ascii_uppercase()) => Type::Struct(name.to_string()),
            other => return Err(format!("unknown type `{other}`")),
        })
    }
}

/// A field as the definition file says it.
#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    pub ty: Type,
    /// The type as written, for documentation.
    pub written: String,
    pub versions: Range,
    pub nullable: Range,
    pub tag: Option<u32>,
    pub tagged: Range,
    pub default: Option<String>,
    pub ignorable: bool,
    /// `flexible=none`: keeps the old encoding in every version.
    pub never_flexible: bool,
}

/// A structure: the message itself, one of its nested structures, or one that several fields share.
#[derive(Debug, Clone)]
pub struct Struct {
    pub name: String,
    /// The versions in which it can occur.
    pub versions: Range,
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Request,
    Response,
    Header,
    Metadata,
    Key,
    Value,
    Data,
}

/// A message or record with all its structures, the outermost first.
#[derive(Debug, Clone)]
pub struct Message {
    pub kind: Kind,
    pub name: String,
    pub key: Option<i16>,
    /// The versions that are served: without an unstable last one.
    pub versions: Range,
    pub flexible: Range,
    pub listeners: Vec<String>,
    pub structs: Vec<Struct>,
}

/// Reads a definition file.
pub fn parse(text: &str) -> Result<Vec<Message>, String> {
    let mut messages: Vec<Message> = Vec::new();
    // Indices into the current message's structures; the level of indentation is the position.
    let mut open: Vec<usize> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let at = |e: String| format!("line {}: {e}", number + 1);
        let body = line.trim_start();
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        let depth = (line.len() - body.len()) / 2;
        let words: Vec<&str> = body.split_whitespace().collect();
        if depth == 0 {
            messages.push(parse_message(&words).map_err(at)?);
            open = vec![0];
            continue;
        }
        let message = messages
            .last_mut()
            .ok_or_else(|| at("a field before any message".into()))?;
        open.truncate(depth);
        let parent = open.get(depth - 1).copied().filter(|index| *index != usize::MAX);
        let parent = parent.ok_or_else(|| at("wrong indentation".into()))?;
        if let ["struct", name, versions] = words[..] {
            let versions = Range::parse(versions).map_err(at)?.intersect(message.versions);
            open.push(message.structs.len());
            message.structs.push(Struct {
                name: name.to_string(),
                versions,
                fields: Vec::new(),
            });
            continue;
        }
        let field = parse_field(&words).map_err(at)?;
        let reach = field.versions.intersect(message.structs[parent].versions);
        let item = match &field.ty {
            Type::Array(item) => item,
            other => other,
        };
        // A structure that stands beneath its field; one that is shared gets no lines and is dropped again below.
        if let Type::Struct(name) = item {
            open.push(message.structs.len());
            message.structs.push(Struct {
                name: name.clone(),
                versions: reach,
                fields: Vec::new(),
            });
        } else {
            // Placeholder: nothing may be indented under a plain field.
            open.push(usize::MAX);
        }
        message.structs[parent].fields.push(field);
    }
    for message in &mut messages {
        finish(message)?;
    }
    Ok(messages)
}

/// Drops the empty stand-ins for shared structures, fields and structures that no served version has.
fn finish(message: &mut Message) -> Result<(), String> {
    let top = message.name.clone();
    message
        .structs
        .retain(|s| (s.name == top || !s.fields.is_empty()) && !s.versions.is_empty());
    for s in &mut message.structs {
        s.fields.retain(|f| !f.versions.intersect(s.versions).is_empty());
    }
    let mut names: Vec<_> = message.structs.iter().map(|s| s.name.clone()).collect();
    names.sort();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(format!("{top} defines a structure twice"));
    }
    for field in message.structs.iter().flat_map(|s| &s.fields) {
        let item = match &field.ty {
            Type::Array(item) => item,
            other => other,
        };
        if let Type::Struct(name) = item
            && names.binary_search(name).is_err()
        {
            return Err(format!("{top} uses the structure {name} but does not define it"));
        }
    }
    Ok(())
}

fn parse_message(words: &[&str]) -> Result<Message, String> {
    let [kind, name, rest @ ..] = words else {
        return Err("KIND NAME expected".into());
    };
    let kind = match *kind {
        "request" => Kind::Request,
        "response" => Kind::Response,
        "header" => Kind::Header,
        "metadata" => Kind::Metadata,
        "key" => Kind::Key,
        "value" => Kind::Value,
        "data" => Kind::Data,
        other => return Err(format!("unknown kind `{other}`")),
    };
    let mut message = Message {
        kind,
        name: name.to_string(),
        key: None,
        versions: Range::NONE,
        flexible: Range::NONE,
        listeners: Vec::new(),
        structs: Vec::new(),
    };
    let mut stable = None;
    for word in rest {
        match word.split_once('=') {
            Some(("key", n)) => message.key = Some(n.parse().map_err(|_| format!("`{n}` is no key"))?),
            Some(("versions", r)) => message.versions = Range::parse(r)?,
            Some(("stable", r)) => stable = Some(Range::parse(r)?),
            Some(("flexible", r)) => message.flexible = Range::parse(r)?,
            Some(("listeners", l)) => message.listeners = l.split(',').map(str::to_string).collect(),
            _ => return Err(format!("unknown attribute `{word}`")),
        }
    }
    message.versions = stable.unwrap_or(message.versions);
    let top = Struct {
        name: message.name.clone(),
        versions: message.versions,
        fields: Vec::new(),
    };
    message.structs.push(top);
    Ok(message)
}

fn parse_field(words: &[&str]) -> Result<Field, String> {
    let [name, ty, versions, rest @ ..] = words else {
        return Err("FIELD TYPE VERSIONS expected".into());
    };
    let mut field = Field {
        name: name.to_string(),
        ty: Type::parse(ty)?,
        written: ty.to_string(),
        versions: Range::parse(versions)?,
        nullable: Range::NONE,
        tag: None,
        tagged: Range::NONE,
        default: None,
        ignorable: false,
        never_flexible: false,
    };
    for word in rest {
        match word.split_once('=') {
            Some(("null", r)) => field.nullable = Range::parse(r)?,
            Some(("tag", n)) => field.tag = Some(n.parse().map_err(|_| format!("`{n}` is no tag"))?),
            Some(("tagged", r)) => field.tagged = Range::parse(r)?,
            Some(("default", v)) => field.default = Some(v.to_string()),
            Some(("flexible", "none")) => field.never_flexible = true,
            None if *word == "ignorable" => field.ignorable = true,
            _ => return Err(format!("unknown attribute `{word}`")),
        }
    }
    if field.tag.is_some() && !field.tagged.covers(field.versions) {
        return Err(format!(
            "{name} is tagged in some of its versions only, which no schema so far does"
        ));
    }
    Ok(field)
}
