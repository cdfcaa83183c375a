// Scalar functions of `f32` for fused programs, named `wgt_*`. No bindings, no globals, no state; every
// function is pure and works on one element. They exist because WGSL's own are loose (asin, acos and atan may be 4096
// units off, sin and cos are bounded on -pi..pi only) and because a driver may assume that NaN and infinities do not
// occur: tests for them work on bits, and neither appears as a literal. The polynomials are those of the CPU engine
// (`src/backend/cpu/math`), which says what each approximates and how well. Nothing here depends on `fma` rounding once.

fn wgt_is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn wgt_is_inf(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u;
}

fn wgt_is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) < 0x7f800000u;
}

// Variables keep the compiler from folding these into literals.
fn wgt_inf() -> f32 {
    var bits = 0x7f800000u;
    return bitcast<f32>(bits);
}

fn wgt_nan() -> f32 {
    var bits = 0x7fc00000u;
    return bitcast<f32>(bits);
}

// Choose `x` first where NaN must stay: where the choice follows, Mesa's compiler (LLVM 15) drops bits of such calls in a chain.
fn wgt_copysign(x: f32, s: f32) -> f32 {
    return bitcast<f32>((bitcast<u32>(x) & 0x7fffffffu) | (bitcast<u32>(s) & 0x80000000u));
}

fn wgt_is_negative(x: f32) -> bool {
    return (bitcast<u32>(x) >> 31u) == 1u;
}

fn wgt_sign(x: f32) -> f32 {
    let b = bitcast<u32>(x) & 0x7fffffffu;
    return select(wgt_copysign(1.0, x), x, b == 0u || b > 0x7f800000u);
}

// Negative numbers (with -0, without NaN) give 0.
fn wgt_relu(x: f32) -> f32 {
    return select(x, 0.0, bitcast<u32>(x) - 0x80000000u <= 0x7f800000u);
}

fn wgt_sqrt(x: f32) -> f32 {
    return select(sqrt(x), wgt_nan(), x < 0.0);
}

fn wgt_rsqrt(x: f32) -> f32 {
    let b = bitcast<u32>(x);
    var y = select(inverseSqrt(x), wgt_nan(), b > 0x80000000u || (b > 0x7f800000u && b < 0x80000000u));
    y = select(y, wgt_copysign(wgt_inf(), x), (b << 1u) == 0u);
    return select(y, 0.0, b == 0x7f800000u);
}

// --- comparisons: false beside NaN, except `ne` ---

fn wgt_ordered(a: f32, b: f32) -> bool {
    return max(bitcast<u32>(a) & 0x7fffffffu, bitcast<u32>(b) & 0x7fffffffu) <= 0x7f800000u;
}

fn wgt_eq(a: f32, b: f32) -> bool {
    return a == b && wgt_ordered(a, b);
}

fn wgt_ne(a: f32, b: f32) -> bool {
    return a != b || !wgt_ordered(a, b);
}

fn wgt_lt(a: f32, b: f32) -> bool {
    return a < b && wgt_ordered(a, b);
}

fn wgt_le(a: f32, b: f32) -> bool {
    return a <= b && wgt_ordered(a, b);
}

fn wgt_max(a: f32, b: f32) -> f32 {
    return select(wgt_nan(), max(a, b), wgt_ordered(a, b));
}

fn wgt_min(a: f32, b: f32) -> f32 {
    return select(wgt_nan(), min(a, b), wgt_ordered(a, b));
}

// --- exponentials ---

// 2^n for -126 <= n <= 127.
fn wgt_pow2(n: i32) -> f32 {
    return bitcast<f32>(bitcast<u32>(n + 127) << 23u);
}

// y * 2^n for |n| <= 252.
fn wgt_scale(y: f32, n: i32) -> f32 {
    let half = n >> 1u;
    return y * wgt_pow2(half) * wgt_pow2(n - half);
}

// A whole number below 2^15 as it is, but so that compilers do not see it: they would join `n * a + (n * b + c)` to
// `n * (a + b) + c`, and lose the digits for which the constant was split.
fn wgt_hide(n: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(n) & 0xffffff00u);
}

// n with x = n ln 2 + r and |r| <= ln(2) / 2.
fn wgt_exp_n(x: f32) -> f32 {
    return round(x * 1.44269504);
}

// That r.
fn wgt_exp_r(x: f32, n: f32) -> f32 {
    return fma(wgt_hide(n), 2.1219444e-4, fma(n, -0.693359375, x));
}

// e^x * 2^k.
fn wgt_exp_scaled(x: f32, k: i32) -> f32 {
    let c = clamp(x, -105.0, 91.0);
    let n = wgt_exp_n(c);
    let r = wgt_exp_r(c, n);
    var poly = fma(0.0013814435, r, 0.008368797);
    poly = fma(fma(poly, r, 0.041668396), r, 0.1666652);
    poly = fma(poly, r, 0.49999994);
    return select(wgt_scale(fma(r * r, poly, r) + 1.0, i32(n) + k), x, wgt_is_nan(x));
}

fn wgt_exp(x: f32) -> f32 {
    return wgt_exp_scaled(x, 0);
}

// 2^r for |r| <= 1/2.
fn wgt_exp2_core(r: f32) -> f32 {
    var poly = fma(0.00015353151, r, 0.0013399132);
    poly = fma(fma(poly, r, 0.00961844), r, 0.05550332);
    poly = fma(fma(poly, r, 0.24022648), r, 0.6931472);
    return fma(poly, r, 1.0);
}

fn wgt_exp2(x: f32) -> f32 {
    let c = clamp(x, -151.0, 129.0);
    let n = round(c);
    return select(wgt_scale(wgt_exp2_core(c - n), i32(n)), x, wgt_is_nan(x));
}

fn wgt_expm1(x: f32) -> f32 {
    let c = clamp(x, -20.0, 89.0);
    let n = wgt_exp_n(c);
    let r = wgt_exp_r(c, n);
    var poly = fma(0.00019845889, r, 0.0013940744);
    poly = fma(fma(poly, r, 0.00833339), r, 0.04166636);
    poly = fma(fma(poly, r, 0.16666666), r, 0.5);
    poly = fma(r * r, poly, r);
    // Half of the result, so that 2^128 does not overflow on the way.
    let s = wgt_pow2(i32(n) - 1);
    let y = select(fma(s, poly, s - 0.5) * 2.0, poly, n == 0.0);
    return wgt_copysign(select(y, x, wgt_is_nan(x)), x);
}

// --- logarithms ---

// (f, e) with x = (1 + f) 2^e and -1/3 <= f < 1/3, for finite x > 0. Subnormals become normal as integers, since devices
// may flush them.
fn wgt_split(x: f32) -> vec2<f32> {
    let given = bitcast<u32>(x);
    let tiny = given < 0x00800000u;
    let b = select(given, bitcast<u32>(f32(given)), tiny);
    let e = bitcast<i32>(b - 0x3f2aaaabu) >> 23u;
    let f = bitcast<f32>(b - (bitcast<u32>(e) << 23u)) - 1.0;
    return vec2<f32>(f, f32(e) - select(0.0, 149.0, tiny));
}

// ln(1 + f) - f.
fn wgt_log_tail(f: f32) -> f32 {
    var poly = fma(-0.12891677, f, 0.13984431);
    poly = fma(fma(poly, f, -0.12184263), f, 0.1400587);
    poly = fma(fma(poly, f, -0.16680487), f, 0.20010406);
    poly = fma(fma(poly, f, -0.24999797), f, 0.33333215);
    let z = f * f;
    return fma(z * f, poly, -0.5 * z);
}

// The logarithm `y` of `x`, put right where `x` is not a finite positive number.
fn wgt_log_edges(x: f32, y: f32) -> f32 {
    let b = bitcast<u32>(x);
    var r = select(y, x, b == 0x7f800000u);
    r = select(r, wgt_nan(), b > 0x7f800000u);
    return select(r, -wgt_inf(), (b << 1u) == 0u);
}

fn wgt_ln(x: f32) -> f32 {
    let s = wgt_split(x);
    return wgt_log_edges(x, fma(s.y, 0.693359375, fma(s.y, -2.1219444e-4, wgt_log_tail(s.x)) + s.x));
}

// log2(1 + f).
fn wgt_log2_core(f: f32) -> f32 {
    let t = wgt_log_tail(f);
    return fma(f, 0.44269504, fma(t, 0.44269504, t)) + f;
}

fn wgt_log2(x: f32) -> f32 {
    let s = wgt_split(x);
    return wgt_log_edges(x, wgt_log2_core(s.x) + s.y);
}

fn wgt_log10(x: f32) -> f32 {
    let s = wgt_split(x);
    let t = wgt_log_tail(s.x);
    let low = fma(t + s.x, 7.0073193e-4, fma(s.y, 2.4874567e-4, t * 0.43359375));
    return wgt_log_edges(x, fma(s.y, 0.30078125, fma(s.x, 0.43359375, low)));
}

fn wgt_log1p(x: f32) -> f32 {
    let u = 1.0 + x;
    let s = wgt_split(u);
    let lost = select(x - (u - 1.0), 1.0 - (u - x), u > 2.0);
    let near = s.y == 0.0;
    let f = select(s.x, x, near);
    let c = select(lost / u, 0.0, near);
    let y = fma(s.y, 0.693359375, fma(s.y, -2.1219444e-4, c) + wgt_log_tail(f) + f);
    return select(wgt_log_edges(u, y), x, (bitcast<u32>(x) << 1u) == 0u);
}

fn wgt_sigmoid(x: f32) -> f32 {
    let e = wgt_exp(-abs(x));
    return select(1.0, e, x < 0.0) / (1.0 + e);
}

fn wgt_softplus(x: f32) -> f32 {
    let tail = wgt_log1p(wgt_exp(-abs(x)));
    return select(tail, x + tail, x > 0.0);
}

fn wgt_logaddexp(a: f32, b: f32) -> f32 {
    let tail = select(wgt_log1p(wgt_exp(-abs(a - b))), 0.6931472, a == b);
    return wgt_max(a, b) + tail;
}

// x^y = 2^(y log2 |x|). The product with the exponent is taken exactly, in two parts, so that only the error of the
// fraction's logarithm grows with y.
fn wgt_pow(x: f32, y: f32) -> f32 {
    let a = abs(x);
    let ab = bitcast<u32>(a);
    let yb = bitcast<u32>(y) & 0x7fffffffu;
    let s = wgt_split(a);
    let y_high = bitcast<f32>(bitcast<u32>(y) & 0xfffff000u);
    let high = y_high * s.y;
    let low = fma(y - y_high, wgt_hide(s.y), y * wgt_log2_core(s.x));
    let t = clamp(high + low, -200.0, 200.0);
    let n = round(t);
    let r = select((high - n) + low, 0.0, abs(t) == 200.0);
    var poly = wgt_scale(wgt_exp2_core(r), i32(n));
    // 0, infinity or 1 where |x| or |y| is 0 or infinite: by the direction in which |x| lies from 1.
    if ab == 0u || ab == 0x7f800000u || yb == 0x7f800000u {
        poly = select(0.0, wgt_inf(), (a > 1.0) != wgt_is_negative(y));
        poly = select(poly, 1.0, a == 1.0);
    }
    let whole = trunc(y) == y;
    let odd = whole && trunc(0.5 * y) != 0.5 * y;
    poly = select(poly, -poly, odd && wgt_is_negative(x));
    poly = select(poly, wgt_nan(), x < 0.0 && ab < 0x7f800000u && !whole);
    poly = select(poly, wgt_nan(), ab > 0x7f800000u || yb > 0x7f800000u);
    return select(poly, 1.0, bitcast<u32>(x) == 0x3f800000u || yb == 0u);
}

// The cube root: 2^(log2(a) / 3) and one step of Newton's method; 0, infinity and NaN are their own.
fn wgt_cbrt(x: f32) -> f32 {
    let a = abs(x);
    let ab = bitcast<u32>(a);
    let near = wgt_exp2(wgt_log2(a) * 0.33333334);
    let y = near - (near - a / (near * near)) * 0.33333334;
    return wgt_copysign(select(y, a, ab == 0u || ab >= 0x7f800000u), x);
}

// --- circular functions ---

struct WgtAngle {
    // x = q pi/2 + r with |r| <= pi/4; q counts modulo 4 in its low bits.
    r: f32,
    q: u32,
}

fn wgt_mul_hi(a: u32, b: u32) -> u32 {
    let al = a & 0xffffu;
    let ah = a >> 16u;
    let bl = b & 0xffffu;
    let bh = b >> 16u;
    let mid = ah * bl + ((al * bl) >> 16u);
    let other = al * bh + (mid & 0xffffu);
    return ah * bh + (mid >> 16u) + (other >> 16u);
}

// Payne and Hanek: the significand times the 96 bits of 2/pi that matter modulo 4, in fixed point, two bits before the
// point. For finite |x| >= 8192.
fn wgt_reduce_far(x: f32) -> WgtAngle {
    let b = bitcast<u32>(x) & 0x7fffffffu;
    let m = (b & 0x7fffffu) | 0x800000u;
    let start = clamp((b >> 23u) + 32u, 152u, 286u) - 152u;
    let s = start & 31u;
    // The words of 2/pi from the `start >> 5`th on (0 to 4), by selections: an array with a computed index becomes a ladder of
    // branches in some compilers.
    let four = start >= 128u;
    let two = (start & 64u) != 0u;
    let one = (start & 32u) != 0u;
    let a = select(vec4<u32>(0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u), vec4<u32>(0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu), four);
    let c = select(vec3<u32>(0xf534ddc0u, 0xdb629599u, 0x3c439041u), vec3<u32>(0xdebbc561u, 0u, 0u), four);
    let d = select(a, vec4<u32>(a.zw, c.xy), two);
    let e = select(d, vec4<u32>(d.yzw, select(c.x, c.z, two)), one);
    // Shifting by 32 is not defined, by 1 and then up to 31 is.
    let w0 = (e.x << s) | ((e.y >> 1u) >> (31u - s));
    let w1 = (e.y << s) | ((e.z >> 1u) >> (31u - s));
    let w2 = (e.z << s) | ((e.w >> 1u) >> (31u - s));
    let carry = wgt_mul_hi(m, w2);
    let p1 = m * w1 + carry;
    let p0 = m * w0 + wgt_mul_hi(m, w1) + select(0u, 1u, p1 < carry);
    let q = (p0 + 0x20000000u) >> 30u;
    let rest = p0 - (q << 30u);
    // Taken positive before it becomes a float: the high word may be all ones.
    let flip = select(0u, 0xffffffffu, (rest >> 31u) == 1u);
    let r = (f32(rest ^ flip) * 9.313225746154785e-10 + f32(p1 ^ flip) * 2.168404344971009e-19) * 1.5707964;
    let negative = wgt_is_negative(x);
    let sign = (flip & 0x80000000u) ^ select(0u, 0x80000000u, negative);
    return WgtAngle(bitcast<f32>(bitcast<u32>(r) ^ sign), select(q, 0u - q, negative));
}

fn wgt_reduce(x: f32) -> WgtAngle {
    if abs(x) < 8192.0 {
        // pi/2 in three parts, the first two short enough for exact products (Cephes).
        let k = round(x * 0.63661975);
        let low = wgt_hide(k);
        let lowest = bitcast<f32>(bitcast<u32>(k) & 0xfffffe00u);
        let r = fma(lowest, -7.549789948768648e-8, fma(low, -4.837512969970703e-4, fma(k, -1.5703125, x)));
        return WgtAngle(r, bitcast<u32>(i32(k)));
    }
    return wgt_reduce_far(x);
}

fn wgt_sin_core(r: f32) -> f32 {
    let z = r * r;
    return fma(r * z, fma(fma(-0.00019515218, z, 0.00833216), z, -0.16666655), r);
}

fn wgt_cos_core(r: f32) -> f32 {
    let z = r * r;
    return fma(z, fma(z, fma(fma(2.4433082e-5, z, -0.0013887315), z, 0.041666646), -0.5), 1.0);
}

fn wgt_sin_at(a: WgtAngle) -> f32 {
    let y = select(wgt_cos_core(a.r), wgt_sin_core(a.r), (a.q & 1u) == 0u);
    return bitcast<f32>(bitcast<u32>(y) ^ ((a.q & 2u) << 30u));
}

fn wgt_sin(x: f32) -> f32 {
    return select(wgt_nan(), wgt_sin_at(wgt_reduce(x)), wgt_is_finite(x));
}

fn wgt_cos(x: f32) -> f32 {
    let a = wgt_reduce(x);
    return select(wgt_nan(), wgt_sin_at(WgtAngle(a.r, a.q + 1u)), wgt_is_finite(x));
}

fn wgt_tan(x: f32) -> f32 {
    let a = wgt_reduce(x);
    let s = wgt_sin_core(a.r);
    let c = wgt_cos_core(a.r);
    let even = (a.q & 1u) == 0u;
    return select(wgt_nan(), select(-c, s, even) / select(s, c, even), wgt_is_finite(x));
}

fn wgt_asin_core(s: f32, z: f32) -> f32 {
    var poly = fma(0.042166304, z, 0.024179516);
    poly = fma(fma(poly, z, 0.045470376), z, 0.074952975);
    poly = fma(poly, z, 0.16666752);
    return fma(s * z, poly, s);
}

fn wgt_asin(x: f32) -> f32 {
    let a = abs(x);
    let small = a <= 0.5;
    let z = select(fma(-0.5, a, 0.5), a * a, small);
    let poly = wgt_asin_core(select(sqrt(z), a, small), z);
    let y = select(fma(-2.0, poly, 1.5707964), poly, small);
    return select(wgt_copysign(y, x), wgt_nan(), !(a <= 1.0) || wgt_is_nan(x));
}

fn wgt_acos(x: f32) -> f32 {
    let a = abs(x);
    let small = a <= 0.5;
    let z = select(fma(-0.5, a, 0.5), a * a, small);
    let poly = wgt_asin_core(select(sqrt(z), a, small), z);
    let outer = select(fma(-2.0, poly, 3.1415927), 2.0 * poly, x > 0.0);
    let y = select(outer, 1.5707964 - wgt_copysign(poly, x), small);
    return select(y, wgt_nan(), !(a <= 1.0) || wgt_is_nan(x));
}

// atan(num / den) + base, the quotient within tan(pi/8).
fn wgt_atan_core(num: f32, den: f32, base: f32) -> f32 {
    let t = num / den;
    let z = t * t;
    var poly = fma(-0.060777627, z, 0.105936415);
    poly = fma(fma(poly, z, -0.14243512), z, 0.1999847);
    poly = fma(poly, z, -0.33333316);
    return fma(t * z, poly, t) + base;
}

fn wgt_atan(x: f32) -> f32 {
    // Beyond 2^24 the result is pi/2 already; infinity must not meet the division.
    let a = min(abs(x), 16777216.0);
    var y = 0.0;
    if a <= 0.41421357 {
        y = wgt_atan_core(a, 1.0, 0.0);
    } else if a <= 2.4142135 {
        y = wgt_atan_core(a - 1.0, a + 1.0, 0.7853982);
    } else {
        y = wgt_atan_core(-1.0, a, 1.5707964);
    }
    return wgt_copysign(select(y, x, wgt_is_nan(x)), x);
}

fn wgt_atan2(y: f32, x: f32) -> f32 {
    let ax = abs(x);
    let ay = abs(y);
    let down = select(1.0, 0.25, max(ax, ay) > 1e30);
    let most = max(ax, ay) * down;
    let least = min(ax, ay) * down;
    var t = 0.0;
    if ax == ay {
        t = select(0.7853982, 0.0, ax == 0.0);
    } else if least <= 0.41421357 * most {
        t = wgt_atan_core(least, most, 0.0);
    } else {
        t = wgt_atan_core(least - most, least + most, 0.7853982);
    }
    t = select(t, 1.5707964 - t, ay > ax);
    t = select(t, 3.1415927 - t, wgt_is_negative(x));
    return select(wgt_nan(), wgt_copysign(t, y), wgt_ordered(x, y));
}

fn wgt_hypot(a: f32, b: f32) -> f32 {
    let most = max(abs(a), abs(b));
    let t = min(abs(a), abs(b)) / select(most, 1.0, most == 0.0);
    let y = select(wgt_nan(), most * sqrt(fma(t, t, 1.0)), wgt_ordered(a, b));
    return select(y, wgt_inf(), wgt_is_inf(a) || wgt_is_inf(b));
}

// --- hyperbolic functions ---

fn wgt_tanh(x: f32) -> f32 {
    let t = wgt_expm1(2.0 * min(abs(x), 10.0));
    return wgt_copysign(select(t / (t + 2.0), x, wgt_is_nan(x)), x);
}

fn wgt_sinh(x: f32) -> f32 {
    let a = abs(x);
    let z = min(a * a, 1.0);
    let near = fma(a * z, fma(fma(fma(2.816951e-6, z, 0.0001983616), z, 0.00833335), z, 0.16666667), a);
    let half = wgt_exp_scaled(a, -1);
    return wgt_copysign(select(select(half - 0.25 / half, near, a < 1.0), x, wgt_is_nan(x)), x);
}

fn wgt_cosh(x: f32) -> f32 {
    let half = wgt_exp_scaled(abs(x), -1);
    return half + 0.25 / half;
}

fn wgt_asinh(x: f32) -> f32 {
    let a = abs(x);
    let large = a > 67108864.0;
    let c = min(a, 67108864.0);
    let y = wgt_log1p(select(c + c * c / (1.0 + sqrt(fma(c, c, 1.0))), a, large));
    return wgt_copysign(select(select(y, y + 0.6931472, large), x, wgt_is_nan(x)), x);
}

fn wgt_acosh(x: f32) -> f32 {
    let large = x > 67108864.0;
    let t = clamp(x - 1.0, 0.0, 67108864.0);
    let y = wgt_log1p(select(t + sqrt(fma(t, t, 2.0 * t)), x, large));
    return select(select(y, y + 0.6931472, large), wgt_nan(), x < 1.0 || wgt_is_nan(x));
}

fn wgt_atanh(x: f32) -> f32 {
    let a = abs(x);
    let y = wgt_copysign(0.5 * wgt_log1p(2.0 * a / (1.0 - a)), x);
    return select(select(y, wgt_copysign(wgt_inf(), x), a == 1.0), wgt_nan(), a > 1.0 || wgt_is_nan(x));
}

// --- the error function ---

fn wgt_erf(x: f32) -> f32 {
    let a = min(abs(x), 4.0);
    let z = a * a;
    var poly = fma(-0.00063151296, z, 0.005051095);
    poly = fma(fma(poly, z, -0.026802547), z, 0.112827174);
    poly = fma(fma(poly, z, -0.37612572), z, 0.12837917);
    var q = fma(-0.00020367652, a, 0.0031178524);
    q = fma(fma(q, a, -0.022519048), a, 0.10452592);
    q = fma(fma(q, a, 0.63651896), a, 1.128061);
    q = fma(q, a, 0.000104526065);
    let y = select(1.0 - wgt_exp(-q), fma(a, poly, a), a < 0.85);
    return wgt_copysign(select(y, x, wgt_is_nan(x)), x);
}

// M. Giles, "Approximating the erfinv function" (2010).
fn wgt_erfinv(x: f32) -> f32 {
    let w = -wgt_ln((1.0 - x) * (1.0 + x));
    var poly = 0.0;
    if w < 5.0 {
        let t = w - 2.5;
        poly = fma(2.81022636e-8, t, 3.43273939e-7);
        poly = fma(fma(poly, t, -3.5233877e-6), t, -4.39150654e-6);
        poly = fma(fma(poly, t, 0.00021858087), t, -0.00125372503);
        poly = fma(fma(poly, t, -0.00417768164), t, 0.246640727);
        poly = fma(poly, t, 1.50140941);
    } else {
        let t = sqrt(w) - 3.0;
        poly = fma(-0.000200214257, t, 0.000100950558);
        poly = fma(fma(poly, t, 0.00134934322), t, -0.00367342844);
        poly = fma(fma(poly, t, 0.00573950773), t, -0.0076224613);
        poly = fma(fma(poly, t, 0.00943887047), t, 1.00167406);
        poly = fma(poly, t, 2.83297682);
    }
    let y = select(poly * x, wgt_copysign(wgt_inf(), x), abs(x) == 1.0);
    return select(y, wgt_nan(), abs(x) > 1.0 || wgt_is_nan(x));
}

// --- remainders ---

// C's fmod, exact: long division of the significands, eight bits at a time.
fn wgt_trunc_rem(x: f32, y: f32) -> f32 {
    let a = bitcast<u32>(x) & 0x7fffffffu;
    let b = bitcast<u32>(y) & 0x7fffffffu;
    if b == 0u || b > 0x7f800000u || a >= 0x7f800000u {
        return wgt_nan();
    }
    if a < b {
        return x;
    }
    // Subnormals have the exponent of the least normals and no leading one.
    let unit = max(b >> 23u, 1u);
    var places = max(a >> 23u, 1u) - unit;
    let divisor = (b & 0x7fffffu) | select(0u, 0x800000u, b >= 0x800000u);
    var rest = ((a & 0x7fffffu) | select(0u, 0x800000u, a >= 0x800000u)) % divisor;
    while places > 0u {
        let step = min(places, 8u);
        rest = (rest << step) % divisor;
        places -= step;
    }
    return wgt_copysign(wgt_scale(f32(rest), i32(unit) - 150), x);
}

// Python's %: the sign of the divisor.
fn wgt_rem(a: f32, b: f32) -> f32 {
    let r = wgt_trunc_rem(a, b);
    let zero = (bitcast<u32>(r) << 1u) == 0u;
    let turned = !zero && wgt_is_negative(r) != wgt_is_negative(b);
    return select(select(r, r + b, turned), wgt_copysign(0.0, b), zero);
}

// Python's //.
fn wgt_floor_div(a: f32, b: f32) -> f32 {
    let r = wgt_rem(a, b);
    var q = round((a - r) / b);
    if wgt_is_inf(b) {
        q = select(0.0, -1.0, a != 0.0 && wgt_is_negative(a) != wgt_is_negative(b));
    }
    q = select(q, wgt_nan(), wgt_is_nan(r));
    return select(q, a / b, b == 0.0);
}
