//! The fuzzer's door to [`wharf_fuzz::manifests`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wharf_fuzz::manifests::run(data));
