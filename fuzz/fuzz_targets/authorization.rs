//! The fuzzer's door to [`wharf_fuzz::authorization`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wharf_fuzz::authorization::run(data));
