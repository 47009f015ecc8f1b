//! The fuzzer's door to [`wharf_fuzz::names`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wharf_fuzz::names::run(data));
