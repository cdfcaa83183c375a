// Scalar functions of whole numbers for fused programs, as `math.wgsl` has them for floats: division by 0 gives 0,
// overflow wraps, shifts past the width leave nothing but the sign. No bindings, no globals.

fn wgt_div_i32(a: i32, b: i32) -> i32 {
    // Neither 0 nor -1 reaches the division.
    let q = a / select(b, 1, b == 0 || b == -1);
    return select(select(q, 0 - a, b == -1), 0, b == 0);
}

fn wgt_div_u32(a: u32, b: u32) -> u32 {
    return select(a / max(b, 1u), 0u, b == 0u);
}

fn wgt_trunc_rem_i32(a: i32, b: i32) -> i32 {
    return select(a - wgt_div_i32(a, b) * b, 0, b == 0);
}

fn wgt_rem_i32(a: i32, b: i32) -> i32 {
    let r = wgt_trunc_rem_i32(a, b);
    return select(r, r + b, r != 0 && (r < 0) != (b < 0));
}

fn wgt_rem_u32(a: u32, b: u32) -> u32 {
    return select(a - a / max(b, 1u) * b, 0u, b == 0u);
}

fn wgt_floor_div_i32(a: i32, b: i32) -> i32 {
    let r = wgt_trunc_rem_i32(a, b);
    return wgt_div_i32(a, b) - select(0, 1, r != 0 && (r < 0) != (b < 0));
}

fn wgt_pow_u32(a: u32, b: u32) -> u32 {
    var result = 1u;
    var base = a;
    var left = b;
    while left > 0u {
        result *= select(1u, base, (left & 1u) == 1u);
        base *= base;
        left >>= 1u;
    }
    return result;
}

// A negative exponent gives the truncated quotient: 0 unless a is 1 or -1.
fn wgt_pow_i32(a: i32, b: i32) -> i32 {
    let poly = bitcast<i32>(wgt_pow_u32(bitcast<u32>(a), bitcast<u32>(max(b, 0))));
    let unit = select(0, select(1, a, (b & 1) == 1), abs(a) == 1);
    return select(poly, unit, b < 0);
}

fn wgt_shl(a: u32, b: u32) -> u32 {
    return select(a << (b & 31u), 0u, b > 31u);
}

fn wgt_shr_u32(a: u32, b: u32) -> u32 {
    return select(a >> (b & 31u), 0u, b > 31u);
}

fn wgt_shr_i32(a: i32, b: i32) -> i32 {
    return a >> min(bitcast<u32>(b), 31u);
}
