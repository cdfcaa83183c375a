// Elements of narrow types, several in a 32-bit word, the first in the lowest bits: their values, and words of values.
// The twins of `src/ir/encoding.rs`. They need no globals. All of it is arithmetic on bits, and no intermediate result
// is a subnormal float, which devices may take for 0.

fn k_f16(word: u32) -> f32 {
    let size = word & 0x7fffu;
    // Subnormals count steps of 2^-24; the others' exponents are moved by 127 - 15.
    let small = bitcast<u32>(f32(size) * 5.9604644775390625e-8);
    let value = select((size << 13u) + 0x38000000u, small, size < 0x400u);
    let bits = select(value, (size << 13u) | 0x7f800000u, size >= 0x7c00u);
    return bitcast<f32>(((word & 0x8000u) << 16u) | bits);
}

fn k_to_f16(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let size = bits & 0x7fffffffu;
    // What is not below 2^-14 is cut there: it takes another way.
    let small = u32(round(bitcast<f32>(min(size, 0x38800000u)) * 16777216.0));
    let normal = (size + 0x0fffu + ((size >> 13u) & 1u) - 0x38000000u) >> 13u;
    let finite = select(normal, small, size < 0x38800000u);
    let value = select(finite, 0x7c00u, size >= 0x477ff000u);
    return ((bits >> 16u) & 0x8000u) | select(value, 0x7e00u, size > 0x7f800000u);
}

fn k_bf16(word: u32) -> f32 {
    return bitcast<f32>(word << 16u);
}

fn k_to_bf16(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let rounded = (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
    return select(rounded, (bits >> 16u) | 0x40u, (bits & 0x7fffffffu) > 0x7f800000u);
}

fn k_u8(word: u32) -> u32 {
    return word & 255u;
}

fn k_to_u8(x: u32) -> u32 {
    return x & 255u;
}

fn k_i8(word: u32) -> i32 {
    return extractBits(bitcast<i32>(word), 0u, 8u);
}

fn k_to_i8(x: i32) -> u32 {
    return bitcast<u32>(x) & 255u;
}
