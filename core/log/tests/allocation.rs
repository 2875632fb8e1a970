//! A steady append allocates nothing: not for a plain batch, nor for one of a known idempotent producer, nor with index
//! entries.

use ottla_log::*;
use ottla_types::Time;

fn batch(producer_id: i64, base_sequence: i32) -> BatchMeta {
    BatchMeta {
        base_offset: 0,
        last_offset: 0,
        size: 1000,
        max_timestamp: i64::from(base_sequence),
        leader_epoch: -1,
        producer_id,
        producer_epoch: if producer_id < 0 { -1 } else { 0 },
        base_sequence: if producer_id < 0 { -1 } else { base_sequence },
        record_count: 1,
        is_transactional: false,
        is_control: false,
        control: None,
    }
}

#[test]
fn a_steady_append_does_not_allocate() {
    let (mut out, cfg) = (Vec::with_capacity(8), LogConfig::default());
    let mut log = Log::create(0, Time(0), &mut out);
    let mut run = |from: i32, to: i32| {
        let mut entries = 0;
        for i in from..to {
            for producer in [-1, 7] {
                out.clear();
                let info = AppendInfo::client(batch(producer, i), 0, Time(0));
                log.append(&cfg, &info, &mut out).expect("append");
                entries += out
                    .iter()
                    .filter(|e| matches!(e, Effect::IndexEntry { .. }))
                    .count();
            }
        }
        entries
    };
    let first = allocation_counter::measure(|| assert_eq!(run(0, 1), 0));
    assert!(
        first.count_total > 0,
        "the first batch of an epoch and of a producer does, so the counter works"
    );
    let steady = allocation_counter::measure(|| assert!(run(1, 1000) > 100));
    assert_eq!(steady.count_total, 0);
}
