//! libFuzzer's entry to `fuzz::thin`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tearline_tests::fuzz::thin(data));
