// Helpers that rendered programs and reductions call. They need no globals.
// WGSL lets a compiler assume that NaN and infinity do not occur, so they are told by their bits,
// and made from bits that no constant evaluator sees.

fn k_float(bits: u32) -> f32 {
    return bitcast<f32>(bits);
}

fn k_is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// The greater one, NaN where either is NaN.
fn k_max(a: f32, b: f32) -> f32 {
    return select(select(max(a, b), b, k_is_nan(b)), a, k_is_nan(a));
}

// The lesser one, NaN where either is NaN.
fn k_min(a: f32, b: f32) -> f32 {
    return select(select(min(a, b), b, k_is_nan(b)), a, k_is_nan(a));
}

// Truncates and saturates; NaN gives 0.
fn k_f32_to_i32(x: f32) -> i32 {
    let bits = bitcast<u32>(x);
    let size = bits & 0x7fffffffu;
    // From 2^31 on (0x4f000000) the sign says which bound.
    let bound = bitcast<i32>(0x7fffffffu + (bits >> 31u));
    let big = size >= 0x4f000000u;
    let y = i32(select(x, 0.0, big));
    return select(select(y, bound, big), 0, size > 0x7f800000u);
}

// Truncates and saturates; NaN gives 0.
fn k_f32_to_u32(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    // As unsigned numbers, negative floats and NaN stand above plus infinity (0x7f800000); 2^32 is 0x4f800000.
    let big = bits >= 0x4f800000u;
    let y = u32(select(x, 0.0, big));
    return select(select(y, 0xffffffffu, big), 0u, bits > 0x7f800000u);
}

// An index with negative ones counted from the end. What is still outside is not below `extent`.
fn k_wrap(index: i32, extent: u32) -> u32 {
    let at = bitcast<u32>(index);
    return select(at, at + extent, index < 0);
}

// A number that orders as floats do: NaN last whichever the direction, zeros equal.
fn k_order(x: f32, descending: bool) -> u32 {
    let bits = bitcast<u32>(x);
    let size = bits & 0x7fffffffu;
    let key = bits ^ select(0x80000000u, 0xffffffffu, bits > 0x7fffffffu);
    let zero = select(key, 0x80000000u, size == 0u);
    return select(select(zero, ~zero, descending), 0xffffffffu, size > 0x7f800000u);
}
