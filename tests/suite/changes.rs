//! Changes at random, for files that are to be read or refused. The library's own tests use it too.

const TEXT: &[u8] = b"0123456789-,\"\n\r;()[]{}:'|<> .eE";

/// Numbers that follow from a seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }

    /// Bytes changed, cut out, doubled.
    pub(crate) fn change(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            let to = (at + 1 + self.below(16)).min(bytes.len());
            match self.below(7) {
                0 => drop(bytes.drain(at..to)),
                1 => {
                    let piece = bytes[at..to].to_vec();
                    bytes.splice(at..at, piece);
                }
                2 => bytes[at..to].fill([0, 255][self.below(2)]),
                3 => bytes.truncate(to),
                // What texts and headers are made of.
                4 => bytes[at] = TEXT[self.below(TEXT.len())],
                _ => bytes[at] = self.below(256) as u8,
            }
        }
    }
}
