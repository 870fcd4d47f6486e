//! libFuzzer's entry to `fuzz::gate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tearline_tests::fuzz::gate(data));
