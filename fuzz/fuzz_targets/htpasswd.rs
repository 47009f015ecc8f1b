//! The fuzzer's door to [`wharf_fuzz::htpasswd`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wharf_fuzz::htpasswd::run(data));
