//! Two basic operations at a time: `(a + b) * c` is one walk through memory, and nothing is written between the two.

use crate::dtype::DType;
use crate::ir::math::map3;
use crate::ir::program::{Instr, Program, Reg};
use crate::ir::scalar::Arithmetic;

/// A function of three blocks of one length.
pub(in crate::backend::cpu) type Block3 = fn(&[f32], &[f32], &[f32], &mut [f32]);

/// A line that is computed within the one line that uses it.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend::cpu) struct Inner {
    pub(in crate::backend::cpu) line: Reg,
    /// It is the right operand of the other.
    pub(in crate::backend::cpu) right: bool,
}

/// The basic operation that a line is, on `f32`, and its operands.
pub(in crate::backend::cpu) fn arithmetic(program: &Program, l: Reg) -> Option<(Arithmetic, [Reg; 2])> {
    let line = &program.lines[l as usize];
    match line.instr {
        Instr::Binary(f, a, b) if line.dtype == DType::F32 => Some((f.cpu.arithmetic?, [a, b])),
        _ => None,
    }
}

/// What a line computes with `inner` within it: the function, and its operands.
pub(in crate::backend::cpu) fn function(program: &Program, outer: Reg, inner: Inner) -> Option<(Block3, [Reg; 3])> {
    let ((second, others), (first, [a, b])) = (arithmetic(program, outer)?, arithmetic(program, inner.line)?);
    Some((block(first, second, inner.right), [a, b, others[usize::from(!inner.right)]]))
}

/// `(a first b) second c`, or `c second (a first b)` where that is the `right` operand.
fn block(first: Arithmetic, second: Arithmetic, right: bool) -> Block3 {
    macro_rules! after {
        ($first:tt) => {
            match (second, right) {
                (Arithmetic::Add, _) => |a, b, c, y| map3(a, b, c, y, #[inline(always)] |a, b, c| (a $first b) + c),
                (Arithmetic::Mul, _) => |a, b, c, y| map3(a, b, c, y, #[inline(always)] |a, b, c| (a $first b) * c),
                (Arithmetic::Sub, false) => |a, b, c, y| map3(a, b, c, y, #[inline(always)] |a, b, c| (a $first b) - c),
                (Arithmetic::Sub, true) => |a, b, c, y| map3(a, b, c, y, #[inline(always)] |a, b, c| c - (a $first b)),
                (Arithmetic::Div, false) => |a, b, c, y| map3(a, b, c, y, #[inline(always)] |a, b, c| (a $first b) / c),
                (Arithmetic::Div, true) => |a, b, c, y| map3(a, b, c, y, #[inline(always)] |a, b, c| c / (a $first b)),
            }
        };
    }
    match first {
        Arithmetic::Add => after!(+),
        Arithmetic::Sub => after!(-),
        Arithmetic::Mul => after!(*),
        Arithmetic::Div => after!(/),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_the_two_operations() {
        use Arithmetic::{Add, Div, Mul, Sub};
        let apply = |f: Arithmetic, a: f32, b: f32| match f {
            Add => a + b,
            Sub => a - b,
            Mul => a * b,
            Div => a / b,
        };
        let numbers = |k: f32| -> Vec<f32> { (0..37).map(|i| (i as f32 - 11.0) * k + 0.3).collect() };
        let (a, b, c) = (numbers(0.7), numbers(-1.3), numbers(0.31));
        for (first, second) in [Add, Sub, Mul, Div].into_iter().flat_map(|f| [Add, Sub, Mul, Div].map(|g| (f, g))) {
            for right in [false, true] {
                let mut y = vec![0.0; a.len()];
                block(first, second, right)(&a, &b, &c, &mut y);
                for (i, &y) in y.iter().enumerate() {
                    let inner = apply(first, a[i], b[i]);
                    let expected = if right { apply(second, c[i], inner) } else { apply(second, inner, c[i]) };
                    assert_eq!(y.to_bits(), expected.to_bits(), "{first:?} {second:?} {right}");
                }
            }
        }
    }
}
