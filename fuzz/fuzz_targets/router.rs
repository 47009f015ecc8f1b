//! The fuzzer's door to [`wharf_fuzz::router`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wharf_fuzz::router::run(data));
