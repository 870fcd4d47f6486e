//! libFuzzer's entry to `fuzz::stripped`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    // libFuzzer's hook aborts at every panic, also at those of Automerge that the document catches;
    // a panic that nobody catches ends the process without it too.
    init: drop(std::panic::take_hook()),
    |data: &[u8]| tearline_tests::fuzz::stripped(data)
);
