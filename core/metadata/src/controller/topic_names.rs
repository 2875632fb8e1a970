//! Which topic names are legal, and which collide (Kafka class `Topic`).

use crate::image::MetadataImage;

/// The longest name: a partition's folder adds a dash and up to ten digits, and a folder's name ends at 255.
pub const MAX_NAME_LENGTH: usize = 249;

/// The metadata log's own name; not a topic that anybody may create.
pub const METADATA_TOPIC: &str = "__cluster_metadata";

/// Whether `name` is legal; the error is what Kafka says of it.
pub fn validate_topic_name(name: &str) -> Result<(), String> {
    let fault = if name.is_empty() {
        "the empty string is not allowed".to_string()
    } else if name == "." || name == ".." {
        format!("'{name}' is not allowed")
    } else if name.chars().map(char::len_utf16).sum::<usize>() > MAX_NAME_LENGTH {
        format!("the length of '{name}' is longer than the max allowed length {MAX_NAME_LENGTH}")
    } else if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    {
        format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
    } else {
        return Ok(());
    };
    Err(format!("Topic name is invalid: {fault}"))
}

/// The name that all names colliding with this one share: metrics write `.` as `_`.
pub(super) fn unified(name: &str) -> String {
    name.replace('.', "_")
}

/// The existing topic that a new one with this name would collide with.
pub(super) fn collision<'a>(image: &'a MetadataImage, name: &str) -> Option<&'a str> {
    if !name.contains(['.', '_']) {
        return None;
    }
    let unified_name = unified(name);
    let names = image.topics().iter().map(|topic| &*topic.name);
    names
        .filter(|other| other.len() == name.len())
        .find(|other| unified(other) == unified_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_and_illegal_names() {
        let long = "x".repeat(249);
        for name in ["a", "A-b_c.9", "...", "__consumer_offsets", long.as_str()] {
            assert_eq!(validate_topic_name(name), Ok(()));
        }
        let too_long = "x".repeat(250);
        for name in ["", ".", "..", "a b", "a/b", "ä", "a\0", too_long.as_str()] {
            let message = validate_topic_name(name).unwrap_err();
            assert!(message.starts_with("Topic name is invalid: "), "{message}");
        }
    }
}
