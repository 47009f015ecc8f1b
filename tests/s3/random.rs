//! Random numbers that a seed repeats, and content made of them.

/// A generator (xorshift64*); the same seed gives the same numbers.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    /// A generator of this seed and one more number.
    pub fn of(seed: u64, stream: u64) -> Random {
        let mixed = (seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1;
        let mut random = Random(mixed);
        // Seeds that are close to each other soon differ.
        (0..8).for_each(|_| {
            random.next();
        });
        random
    }

    /// The seed of this run: `WHARF_SEED`, or the clock.
    pub fn seed() -> u64 {
        let given = std::env::var("WHARF_SEED").ok();
        given.and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.expect("a clock").as_millis() as u64
        })
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number from 0 to just below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from((self.next() >> 11) % bound as u64).expect("a size")
    }

    /// A number from 0 to `most`, small ones as likely as large ones.
    pub fn size(&mut self, most: usize) -> usize {
        let bits = self.below(usize::BITS as usize - most.leading_zeros() as usize + 1);
        self.below((1 << bits).min(most + 1))
    }

    /// Bytes that don't compress.
    pub fn bytes(&mut self, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        for word in bytes.chunks_mut(8) {
            let random = self.next().to_le_bytes();
            word.copy_from_slice(&random[..word.len()]);
        }
        bytes
    }
}
