//! libFuzzer's entry to `fuzz::frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tearline_tests::fuzz::frame(data));
