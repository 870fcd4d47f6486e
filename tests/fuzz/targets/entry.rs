//! libFuzzer's entry to `fuzz::entry`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tearline_tests::fuzz::entry(data));
