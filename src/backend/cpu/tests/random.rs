//! Programs drawn by dice, over spaces that are worth dividing among threads: what is read and written in any order of
//! dimensions, backwards, repeated, beside each other in one buffer, in place.

use super::*;

const F: DType = DType::F32;

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Extents with at most `numel` positions: those with the most of some draws.
    fn dims(&mut self, rank: usize, numel: usize) -> Vec<usize> {
        const EXTENTS: [usize; 12] = [1, 2, 3, 5, 8, 17, 33, 64, 65, 130, 300, 1100];
        let draws = 1 + self.below(16);
        let drawn = (0..draws).map(|_| (0..rank).map(|_| self.one(&EXTENTS)).collect::<Vec<_>>());
        let fitting = drawn.filter(|dims| dims.iter().product::<usize>() <= numel);
        fitting.max_by_key(|dims| dims.iter().product::<usize>()).unwrap_or(vec![1; rank])
    }

    /// An address that is another one at each position (but along dimensions left out, where it `repeats`), how many elements
    /// it reaches, and how far apart the `parts` are that lie beside each other along an axis.
    fn access(&mut self, dims: &[usize], repeats: bool, parts: usize) -> (Access, usize, i64) {
        let mut order: Vec<usize> = (0..dims.len()).collect();
        if self.below(2) == 0 {
            (1..order.len()).for_each(|i| order.swap(i, self.below(i + 1)));
        }
        let axis = self.below(dims.len());
        let (mut to, mut len, mut apart) = (at(0, &vec![0; dims.len()]), 1, 0);
        for &d in order.iter().rev() {
            if repeats && self.below(4) == 0 {
                continue;
            }
            let pitch = len as i64;
            (to.strides[d], len) = (pitch, len * dims[d]);
            if d == axis {
                (apart, len) = (len as i64, len * parts);
            }
            if self.below(8) == 0 {
                to.offset += pitch * (dims[d] as i64 - 1);
                to.strides[d] = -pitch;
            }
            len += if self.below(8) == 0 { 3 } else { 0 };
        }
        (to, len, apart)
    }
}

/// A program with or without reductions over `inner`, its leaves, and the lengths of its outputs.
fn draw(dice: &mut Dice, outer: &[usize], inner: &[usize]) -> (Build, Vec<Values>, Vec<(DType, usize)>) {
    let all = [outer, inner].concat();
    let over = |is_inner: bool| if is_inner { &all[..] } else { outer };
    let mut b = Build::default();
    let (mut leaves, mut outputs, mut values) = (Vec::new(), Vec::new(), Vec::new());
    // What is read: where, and in which of the two spaces.
    let mut read = Vec::new();
    for leaf in 0..1 + dice.below(3) {
        let is_inner = !inner.is_empty() && (leaf == 0 || dice.below(3) > 0);
        let repeats = dice.below(3) == 0;
        let (from, len, _) = dice.access(over(is_inner), repeats, 1);
        values.push(b.load(leaf as u16, from.clone(), F, is_inner));
        leaves.push(Values::new(F, numbers(len, dice.0)));
        read.push((from, is_inner, repeats));
    }
    let product = b.binary(&MUL, values[0], values[dice.below(leaves.len())]);
    values.push(product);
    let some = |b: &mut Build, dice: &mut Dice, values: &mut Vec<Reg>| {
        for _ in 0..1 + dice.below(4) {
            let (x, y) = (dice.one(values), dice.one(values));
            values.push(match dice.below(4) {
                0 => b.unary(&NEG, x),
                1 => b.binary(&ADD, x, y),
                2 => b.binary(&SUB, x, y),
                _ => {
                    let less = b.binary(&LESS, x, y);
                    b.select(less, y, x)
                }
            });
        }
    };
    some(&mut b, dice, &mut values);
    if !inner.is_empty() {
        for _ in 0..1 + dice.below(2) {
            let level: Vec<Reg> = values.iter().copied().filter(|&r| b.level(&[r])).collect();
            let (op, of) = (dice.one(&[ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min]), dice.one(&level));
            values.push(b.reduce(op, of));
        }
        some(&mut b, dice, &mut values);
    }
    let first = leaves.len() as u16;
    for (leaf, (from, is_inner, repeats)) in read.into_iter().enumerate() {
        let level: Vec<Reg> = values[first as usize..].iter().copied().filter(|&r| b.level(&[r]) == is_inner).collect();
        if !repeats && !level.is_empty() && dice.below(4) == 0 {
            b.store(dice.one(&level), leaf as u16, from, is_inner);
        }
    }
    for output in 0..1 + dice.below(3) {
        let reg = if output == 0 { values[values.len() - 1] } else { dice.one(&values) };
        let is_inner = b.level(&[reg]);
        let level: Vec<Reg> = values.iter().copied().filter(|&r| b.level(&[r]) == is_inner).collect();
        let parts = dice.one(&[1, 1, 2, 3]);
        let (to, len, apart) = dice.access(over(is_inner), false, parts);
        let mut places: Vec<i64> = (0..parts as i64).collect();
        if dice.below(2) == 0 {
            places.reverse();
        }
        for (i, place) in places.into_iter().enumerate() {
            let reg = if i == 0 { reg } else { dice.one(&level) };
            b.store(reg, first + output as u16, Access { offset: to.offset + place * apart, ..to.clone() }, is_inner);
        }
        outputs.push((F, len));
    }
    (b, leaves, outputs)
}

#[test]
fn programs_drawn_by_dice() {
    for seed in 0..400 {
        let mut dice = Dice(seed * 977);
        let ranks = dice.one(&[(1, 0), (2, 0), (3, 0), (3, 0), (4, 0), (1, 1), (2, 1), (1, 2), (2, 2)]);
        let outer = dice.dims(ranks.0, 30_000);
        let inner = dice.dims(ranks.1, 30_000 / outer.iter().product::<usize>());
        let (b, leaves, outputs) = draw(&mut dice, &outer, &inner);
        println!("seed {seed}: {outer:?} {inner:?}");
        check(nests::nest(&outer, &inner, b), &leaves, &outputs, &[]);
    }
}
