//! Random graphs computed three ways: fused, with every node realised on its own, and in `f64` on the CPU.

use wgtensor::{DType, Device, Result, Tensor};

use super::close::{Tolerance, check};
use super::devices::for_each_device;
use super::naive::Nd;
use crate::conformance::case::hash24;

/// A stream of small random numbers.
struct Dice(u32, u32);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 += 1;
        (f64::from(hash24(self.0, self.1, false)) * n as f64) as usize
    }
}

/// One recorded operation on earlier values. All are continuous, so that rounding cannot choose another branch.
#[derive(Clone, Copy, Debug)]
enum Op {
    Unary(usize, usize),
    Binary(usize, usize, usize),
    /// Reduce an axis, then combine with the operand again by broadcasting.
    Centre(usize, usize, usize),
    Softmax(usize, usize),
    Flip(usize, usize),
    Transpose(usize),
    /// `tanh(x x^T) x`.
    Product(usize),
    Halves(usize),
    Gather(usize),
}

const ROWS: usize = 6;
const COLUMNS: usize = 10;

/// Values keep the shape `(6, 10)` and a magnitude near 1, so that any op may follow any other.
fn apply(op: Op, v: &[Tensor], device: &Device) -> Result<Tensor> {
    Ok(match op {
        Op::Unary(k, x) => match k {
            0 => v[x].tanh()?,
            1 => v[x].sigmoid()?,
            2 => v[x].sin()?,
            3 => v[x].square()?.neg()?.exp()?,
            4 => v[x].relu()?,
            5 => v[x].abs()?.add(0.5)?.ln()?,
            6 => v[x].mul(0.7)?.add(0.1)?,
            _ => v[x].clamp(-0.8, 0.9)?,
        },
        Op::Binary(k, x, y) => match k {
            0 => v[x].add(&v[y])?.mul(0.5)?,
            1 => v[x].mul(&v[y])?,
            2 => v[x].maximum(&v[y])?,
            3 => v[x].sub(&v[y])?.mul(0.5)?,
            _ => v[x].div(&v[y].square()?.add(1.0)?)?,
        },
        Op::Centre(k, x, axis) => {
            let axis = axis as isize;
            let of = match k {
                0 => v[x].mean_keepdims(axis)?,
                1 => v[x].max_keepdims(axis)?,
                2 => v[x].logsumexp_keepdims(axis)?,
                _ => v[x].square()?.mean_keepdims(axis)?.add(0.1)?.sqrt()?,
            };
            v[x].sub(&of)?.mul(0.5)?
        }
        Op::Softmax(x, axis) => v[x].softmax(axis as isize)?,
        Op::Flip(x, axis) => v[x].flip(&[axis as isize])?,
        Op::Transpose(x) => v[x].t()?.reshape([ROWS, COLUMNS])?,
        Op::Product(x) => v[x].matmul(&v[x].t()?)?.mul(0.2)?.tanh()?.matmul(&v[x])?.tanh()?,
        Op::Halves(x) => {
            let half = COLUMNS as isize / 2;
            Tensor::concat(&[&v[x].slice(1, half..)?, &v[x].slice(1, ..half)?.neg()?], 1)?
        }
        Op::Gather(x) => {
            let rows = Tensor::from_slice(&[5i32, 0, 3, 3, -2, 1], [ROWS], device)?;
            v[x].take(&rows, 0)?
        }
    })
}

fn random_op(dice: &mut Dice, values: usize) -> Op {
    let (x, y, axis) = (dice.below(values), dice.below(values), dice.below(2));
    match dice.below(16) {
        0..=4 => Op::Unary(dice.below(8), x),
        5..=8 => Op::Binary(dice.below(5), x, y),
        9 | 10 => Op::Centre(dice.below(4), x, axis),
        11 => Op::Softmax(x, axis),
        12 => Op::Flip(x, axis),
        13 => Op::Transpose(x),
        14 => {
            if dice.below(2) == 0 {
                Op::Product(x)
            } else {
                Op::Halves(x)
            }
        }
        _ => Op::Gather(x),
    }
}

/// The last values of the graph and the gradients of their sum with respect to the two inputs.
fn run(ops: &[Op], inputs: &[Nd; 2], device: &Device, dtype: DType, alone: bool) -> Result<Vec<Tensor>> {
    let mut values = Vec::new();
    for input in inputs {
        values.push(input.float(dtype, device)?.requires_grad());
    }
    for &op in ops {
        let value = apply(op, &values, device)?;
        if alone {
            value.realize()?;
        }
        values.push(value);
    }
    let last = values.len() - 1;
    let outs = [values[last].clone(), values[last - 1].clone()];
    let loss = outs[0].mul(0.3)?.add(&outs[1])?.sum(())?;
    let mut all = outs.to_vec();
    all.extend(wgtensor::grad(&loss, &[&values[0], &values[1]])?);
    Ok(all)
}

#[test]
fn fused_unfused_and_double_precision_agree() {
    let cpu = Device::cpu();
    for_each_device(|device| {
        let mut failures = Vec::new();
        for seed in 0..80u32 {
            let mut dice = Dice(0, seed.wrapping_mul(7919));
            let ops: Vec<Op> = (0..14).map(|i| random_op(&mut dice, 2 + i)).collect();
            let inputs =
                [Nd::random(&[ROWS, COLUMNS], seed, -1.0, 1.0), Nd::random(&[ROWS, COLUMNS], seed + 1000, -1.0, 1.0)];
            let reference = run(&ops, &inputs, &cpu, DType::F64, false)?;
            for (how, alone) in [("fused", false), ("node by node", true)] {
                let got = run(&ops, &inputs, device, DType::F32, alone)?;
                for (i, (got, want)) in got.iter().zip(&reference).enumerate() {
                    let want = want.to_f64_vec()?;
                    // Fourteen operations pass errors on, and gradients sum over all elements: relative to the largest.
                    let scale = want.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
                    let loose = Tolerance { rtol: 1e-3, atol: if device.is_gpu() { 2e-3 } else { 5e-4 } * scale };
                    let verdict = check(got, &[ROWS, COLUMNS], &want, loose);
                    failures.extend(verdict.err().map(|e| format!("seed {seed}, {how}, result {i}: {e}\n  {ops:?}")));
                }
            }
        }
        super::close::assert_all(failures);
        Ok(())
    });
}
