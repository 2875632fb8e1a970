//! The records, byte for byte as Kafka 4.3 lays them out (`OffsetCommitValue` 4, `GroupMetadataValue` 3).

mod support;

use ottla_group::*;
use support::*;

fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as i16).to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

fn bytes(text: &[u8]) -> Vec<u8> {
    let mut bytes = (text.len() as i32).to_be_bytes().to_vec();
    bytes.extend(text);
    bytes
}

fn wall(world: &World) -> Vec<u8> {
    world.now().wall.as_millis().to_be_bytes().to_vec()
}

#[test]
fn an_offset() {
    let mut world = World::new(Config::default());
    world.ask(commit(simple("g"), "t", 2, 77));
    let record = &world.log[0];
    assert_eq!(
        record.key,
        [vec![0, 1], text("g"), text("t"), vec![0, 0, 0, 2]].concat()
    );
    let value = [
        vec![0, 4],
        vec![0, 0, 0, 0, 0, 0, 0, 77, 0, 0, 0, 3],
        vec![2, b'm'],
        wall(&world),
        vec![0],
    ];
    assert_eq!(record.value, Some(value.concat()));
    world.ask(Request::OffsetDelete("g".into(), vec![tp("t", 2)]));
    assert_eq!(
        (&world.log[1].key, &world.log[1].value),
        (&world.log[0].key, &None)
    );
}

#[test]
fn a_group_from_its_first_member_to_its_deletion() {
    let mut world = World::new(Config::default());
    let born = wall(&world);
    let who = world.stable("g", 1).remove(0);
    let key = [vec![0, 2], text("g")].concat();
    // No protocol type, generation 0, neither protocol nor leader, no members.
    let new = [vec![0, 3], text(""), vec![0; 4], vec![0xff; 4], born, vec![0; 4]];
    assert_eq!(world.log[0].key, key);
    assert_eq!(world.log[0].value, Some(new.concat()));

    // Its initial rebalance took three seconds, and then it waited for its assignment.
    let since = ((WALL + 1_000 + 3_000) as i64).to_be_bytes().to_vec();
    let stable = [
        vec![0, 3],
        text("consumer"),
        vec![0, 0, 0, 1],
        text("range"),
        text(&who.member),
        since,
        vec![0, 0, 0, 1],
        text(&who.member),
        vec![0xff, 0xff],
        text("client"),
        text("/127.0.0.1"),
        30_000i32.to_be_bytes().to_vec(),
        10_000i32.to_be_bytes().to_vec(),
        bytes(&protocol("range", &["t"]).metadata),
        bytes(who.member.as_bytes()),
    ];
    assert_eq!(world.log[1].value, Some(stable.concat()));

    world.ask(Request::Leave(Leave {
        group: "g".into(),
        members: vec![(who.member, None)],
    }));
    let empty = [
        vec![0, 3],
        text("consumer"),
        vec![0, 0, 0, 2],
        vec![0xff; 4],
        wall(&world),
        vec![0; 4],
    ];
    assert_eq!(world.log[2].value, Some(empty.concat()));
    world.ask(Request::DeleteGroups(vec!["g".into()]));
    assert_eq!(world.log[3], Record { key, value: None });
}
