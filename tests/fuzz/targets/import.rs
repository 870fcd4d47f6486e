//! libFuzzer's entry to `fuzz::import`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tearline_tests::fuzz::import(data));
