//! The fuzzer's door to [`wharf_fuzz::volume`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wharf_fuzz::volume::run(data));
