//! Narrow types: how their elements are read into registers and written from them, on the CPU and in WGSL
//! (`shaders/narrow.wgsl` has the twins of these functions), and the rounding that a conversion to one of them is.
//!
//! All of it is arithmetic on bits, so that nothing depends on how a device treats subnormals and NaN.

use super::math::map;
use super::scalar::{Unary1, UnaryFn};
use crate::dtype::DType;

/// The value of a half-precision float (IEEE 754 binary16).
#[inline(always)]
pub(crate) fn f16_to_f32(h: u16) -> f32 {
    let (sign, size) = (u32::from(h & 0x8000) << 16, u32::from(h & 0x7fff));
    // Subnormals count steps of 2^-24; the others' exponents are moved by 127 - 15.
    let small = (size as f32 * f32::from_bits(0x3380_0000)).to_bits();
    let normal = (size << 13) + 0x3800_0000;
    let special = (size << 13) | 0x7f80_0000;
    let value = if size < 0x400 { small } else { normal };
    f32::from_bits(sign | if size >= 0x7c00 { special } else { value })
}

/// The nearest half-precision float, ties to even; infinity from 65,520 on; NaN stays NaN.
#[inline(always)]
pub(crate) fn f32_to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let (sign, size) = ((bits >> 16) & 0x8000, bits & 0x7fff_ffff);
    // Adding 1/2 leaves the steps of 2^-24 in the lowest bits, rounded.
    let small = (f32::from_bits(size.min(0x3880_0000)) + 0.5).to_bits().wrapping_sub(0x3f00_0000);
    let normal = size.wrapping_add(0x0fff + ((size >> 13) & 1)).wrapping_sub(0x3800_0000) >> 13;
    let value = if size < 0x3880_0000 { small } else { normal.min(0x7c00) };
    let value = if size >= 0x477f_f000 { 0x7c00 } else { value };
    (sign | if size > 0x7f80_0000 { 0x7e00 } else { value }) as u16
}

/// The value of a bfloat16: the upper half of a single-precision float.
#[inline(always)]
pub(crate) fn bf16_to_f32(h: u16) -> f32 {
    f32::from_bits(u32::from(h) << 16)
}

/// The nearest bfloat16, ties to even; NaN stays NaN.
#[inline(always)]
pub(crate) fn f32_to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    (if bits & 0x7fff_ffff > 0x7f80_0000 { (bits >> 16) | 0x40 } else { rounded }) as u16
}

macro_rules! rounding {
    ($($(#[$doc:meta])* $row:ident $name:literal $t:ident: |$x:ident| $value:expr, $wgsl:literal;)*) => {$(
        $(#[$doc])*
        static $row: UnaryFn = UnaryFn {
            name: $name,
            cpu: Unary1 { $t: Some(|x, y| map(x, y, #[inline(always)] |$x: $t| $value)), ..Unary1::NONE },
            wgsl: $wgsl,
            wgsl_int: "", wgsl_bool: "",
        };
    )*};
}
rounding! {
    ROUND_F16 "to_f16" f32: |x| f16_to_f32(f32_to_f16(x)), "k_f16(k_to_f16(x))";
    ROUND_BF16 "to_bf16" f32: |x| bf16_to_f32(f32_to_bf16(x)), "k_bf16(k_to_bf16(x))";
    /// Of a number that was a float.
    CLAMP_U8 "clamp_u8" u32: |x| x.min(255), "min(x, 255u)";
    CLAMP_I8 "clamp_i8" i32: |x| x.clamp(-128, 127), "clamp(x, -128, 127)";
    WRAP_U8 "wrap_u8" u32: |x| x & 255, "(x & 255u)";
    WRAP_I8 "wrap_i8" i32: |x| i32::from(x as i8), "extractBits(x, 0u, 8u)";
}

/// What makes a value of `to` from a number of type `from` in the register type of `to`; `None` where every value fits.
pub(crate) fn rounding(from: DType, to: DType) -> Option<&'static UnaryFn> {
    match (from, to) {
        (DType::Bool, _) => None,
        (from, to) if from == to => None,
        (_, DType::F16) => Some(&ROUND_F16),
        (_, DType::BF16) => Some(&ROUND_BF16),
        (from, DType::U8) if from.is_float() => Some(&CLAMP_U8),
        (from, DType::I8) if from.is_float() => Some(&CLAMP_I8),
        _ => wrapping(to),
    }
}

/// What keeps the result of arithmetic in range, as integers wrap; `None` for types that need nothing of the kind.
pub(crate) fn wrapping(dtype: DType) -> Option<&'static UnaryFn> {
    match dtype {
        DType::U8 => Some(&WRAP_U8),
        DType::I8 => Some(&WRAP_I8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    #[test]
    fn every_pattern_is_read_as_the_reference_reads_it() {
        for bits in 0..=u16::MAX {
            let (a, b) = (f16_to_f32(bits), f16::from_bits(bits).to_f32());
            assert!(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(), "f16 {bits:#06x}: {a} against {b}");
            let (a, b) = (bf16_to_f32(bits), bf16::from_bits(bits).to_f32());
            assert!(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(), "bf16 {bits:#06x}: {a} against {b}");
        }
    }

    #[test]
    fn numbers_are_rounded_as_the_reference_rounds_them() {
        // Every value of both types, the ties between them, and what lies next to all of these.
        let known = (0..=u16::MAX).flat_map(|bits| [f16::from_bits(bits).to_f32(), bf16::from_bits(bits).to_f32()]);
        let ties = (0..u32::from(u16::MAX)).flat_map(|h| [(h << 16) | 0x8000, (h << 16) | 0x1000, (h << 16) | 0x3000]);
        for bits in known.map(f32::to_bits).chain(ties) {
            for bits in [bits.wrapping_sub(1), bits, bits.wrapping_add(1)] {
                let x = f32::from_bits(bits);
                let (a, b) = (f16::from_bits(f32_to_f16(x)), f16::from_f32(x));
                assert!(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(), "f16 of {x:e}: {a} against {b}");
                let (a, b) = (bf16::from_bits(f32_to_bf16(x)), bf16::from_f32(x));
                assert!(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(), "bf16 of {x:e}: {a} against {b}");
            }
        }
    }
}
