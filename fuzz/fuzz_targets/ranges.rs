//! The fuzzer's door to [`wharf_fuzz::ranges`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wharf_fuzz::ranges::run(data));
