//! libFuzzer's door to `ottla_fuzz_checks::connect::check`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ottla_fuzz::bounded(ottla_fuzz_checks::connect::check, data));
