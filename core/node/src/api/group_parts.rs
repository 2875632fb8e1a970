//! What the group APIs have in common: topics by name or by id, and how Kafka writes a peer's address.

use std::net::{IpAddr, SocketAddr};

use ottla_metadata::MetadataImage;
use ottla_types::{ErrorCode, Uuid};

/// A topic as a request names it, by id from some version on, or what is wrong with it.
pub fn topic(image: &MetadataImage, by_id: bool, name: &str, id: Uuid) -> Result<(String, Uuid), ErrorCode> {
    if !by_id {
        return Ok((name.to_string(), Uuid::ZERO));
    }
    match image.topics().by_id(id) {
        Some(topic) => Ok((topic.name.to_string(), id)),
        None => Err(ErrorCode::UnknownTopicId),
    }
}

/// Whether the metadata knows a partition.
pub fn exists(image: &MetadataImage, topic: &str, partition: i32) -> bool {
    let found = image.topics().by_name(topic);
    found.is_some_and(|topic| topic.partitions.get(&partition).is_some())
}

/// An address as Java's `InetAddress.toString` writes one without a name.
pub fn client_host(peer: &SocketAddr) -> String {
    match peer.ip() {
        IpAddr::V4(ip) => format!("/{ip}"),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => format!("/{ip}"),
            None => {
                let parts = ip.segments().map(|part| format!("{part:x}"));
                format!("/{}", parts.join(":"))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::client_host;

    #[test]
    fn addresses_are_written_as_java_does() {
        let host = |text: &str| client_host(&text.parse().expect("an address"));
        assert_eq!(host("127.0.0.1:1"), "/127.0.0.1");
        assert_eq!(host("[::1]:1"), "/0:0:0:0:0:0:0:1");
        assert_eq!(host("[::ffff:10.0.0.9]:1"), "/10.0.0.9");
    }
}
