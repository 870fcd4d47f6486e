//! libFuzzer's entry to `fuzz::bundle`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tearline_tests::fuzz::bundle(data));
