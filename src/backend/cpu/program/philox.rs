//! Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a block cipher of the
//! element's index, so that any element of any draw is computed on its own, with the same bits on every engine.

use crate::ir::math::vectorize;

const MUL: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// The four words for a counter and a key.
#[inline(always)]
fn philox(mut c: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let (p0, p1) = (u64::from(MUL[0]) * u64::from(c[0]), u64::from(MUL[1]) * u64::from(c[2]));
        c = [(p1 >> 32) as u32 ^ c[1] ^ key[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ key[1], p0 as u32];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    c
}

/// The bits of the elements `address + i * stride`: word `element % 4` for the counter `(element / 4, stream, 0, 0)`.
pub(in crate::backend::cpu) fn fill(out: &mut [u32], address: i64, stride: i64, stream: u32, key: [u32; 2]) {
    let block = |at: u32| philox([at, stream, 0, 0], key);
    let single = |element: u32| block(element / 4)[element as usize % 4];
    let (start, stride) = (address as u32, stride as u32);
    vectorize(
        #[inline(always)]
        || {
            if stride != 1 {
                for (i, o) in out.iter_mut().enumerate() {
                    *o = single(start.wrapping_add((i as u32).wrapping_mul(stride)));
                }
                return;
            }
            let head = (start.wrapping_neg() as usize % 4).min(out.len());
            let (first, rest) = out.split_at_mut(head);
            for (i, o) in first.iter_mut().enumerate() {
                *o = single(start + i as u32);
            }
            let start = start + head as u32;
            let (blocks, last) = rest.as_chunks_mut::<4>();
            for (i, four) in blocks.iter_mut().enumerate() {
                *four = block(start / 4 + i as u32);
            }
            let start = start + 4 * blocks.len() as u32;
            for (i, o) in last.iter_mut().enumerate() {
                *o = single(start + i as u32);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_random123() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
        let counter = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344];
        let expected = [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1];
        assert_eq!(philox(counter, [0xa4093822, 0x299f31d0]), expected);
    }

    #[test]
    fn any_run_is_a_part_of_the_whole() {
        let at = |e: u32| philox([e / 4, 9, 0, 0], [1, 2])[e as usize % 4];
        for (start, stride, len) in [(0, 1, 64), (5, 1, 37), (6, 1, 1), (7, 1, 2), (4, 1, 3), (5, 3, 37), (100, -2, 20)]
        {
            let mut out = vec![0; len];
            fill(&mut out, start, stride, 9, [1, 2]);
            for (i, &o) in out.iter().enumerate() {
                assert_eq!(o, at((start + stride * i as i64) as u32), "{start} {stride} {i}");
            }
        }
    }
}
