//! What arrives of a gradient from the operations that use a value, and how it is put together.

use rustc_hash::FxHashMap;

use crate::Tensor;
use crate::error::Result;
use crate::graph::node::set_origin;
use crate::ir::op::{Axes, Op};
use crate::ops::assemble::place;
use crate::shape::Shape;

/// So many products that are added up become one.
const MANY: usize = 4;
/// One product is of so many rows at most: more do not make it faster, and all of them are in memory at a time.
const MOST_ROWS: usize = 4096;

/// What has arrived so far of the gradient for one node.
#[derive(Default)]
pub(super) struct Arrived {
    whole: Vec<Tensor>,
    /// Gradients of parts: zero but for a box that starts there.
    boxes: Vec<Part>,
    /// For a node with several results: the gradient for each.
    pub(super) results: Vec<Option<Tensor>>,
}

type Part = (Tensor, Axes<usize>);

impl Arrived {
    /// Adds to it. What is a box within zeros waits, so that the boxes of many slices become one tensor.
    pub(super) fn add(&mut self, grad: Tensor) {
        match boxed(&grad) {
            Some(boxed) => self.boxes.push(boxed),
            None => self.whole.push(grad),
        }
    }

    /// All of it, for a node like this one; `None` where only other results have a gradient.
    pub(super) fn total(mut self, like: &Tensor, assembled: &mut Assembled) -> Result<Option<Tensor>> {
        let mut whole = products_as_one(std::mem::take(&mut self.whole), assembled)?;
        let mut boxes = std::mem::take(&mut self.boxes);
        while !boxes.is_empty() {
            // As many as do not meet; the others go into another tensor.
            let mut apart: Vec<Part> = Vec::new();
            let mut rest = Vec::new();
            boxes.sort_by(|a, b| a.1.cmp(&b.1));
            for (part, start) in boxes {
                let free = apart.iter().all(|(other, at)| !meet(part.dims(), &start, other.dims(), at));
                if free { apart.push((part, start)) } else { rest.push((part, start)) }
            }
            whole.push(assembled.of(&apart, *like.shape())?);
            boxes = rest;
        }
        let mut whole = whole.into_iter();
        let Some(first) = whole.next() else { return Ok(None) };
        whole.try_fold(first, |sum, grad| sum.add(&grad)).map(Some)
    }
}

/// The box that a padded gradient is zero around, and where it starts.
fn boxed(grad: &Tensor) -> Option<Part> {
    let Op::Assemble { starts, fill: true } = &grad.0.op else { return None };
    let mut inputs = grad.inputs().into_iter();
    let (part, background, None) = (inputs.next()?, inputs.next()?, inputs.next()) else { return None };
    let Op::Scalar(value) = &background.0.op else { return None };
    if value.0 != 0.0 {
        return None;
    }
    Some(match boxed(&part) {
        Some((part, within)) => (part, within.iter().zip(&starts[0]).map(|(a, b)| a + b).collect()),
        None => (part, starts[0].clone()),
    })
}

/// Whether two boxes have an element in common.
fn meet(a: &[usize], at: &[usize], b: &[usize], bt: &[usize]) -> bool {
    (0..a.len()).all(|d| at[d] < bt[d] + b[d] && bt[d] < at[d] + a[d])
}

/// What a backward pass put together: the parts and where they start. Gradients of slices and of products with these slices
/// are often of the same parts.
#[derive(Default)]
pub(super) struct Assembled(FxHashMap<Vec<(u64, Axes<usize>)>, Tensor>);

impl Assembled {
    /// A tensor of this shape that is zero but for these parts.
    fn of(&mut self, parts: &[Part], shape: Shape) -> Result<Tensor> {
        let key = parts.iter().map(|(part, start)| (part.0.id, start.clone())).collect();
        if let Some(known) = self.0.get(&key).filter(|known| *known.shape() == shape) {
            return Ok(known.clone());
        }
        let made = place(parts, shape)?;
        self.0.insert(key, made.clone());
        Ok(made)
    }

    /// Matrices one below the other.
    fn rows(&mut self, matrices: Vec<Tensor>) -> Result<Tensor> {
        let mut rows = 0;
        let mut parts = Vec::with_capacity(matrices.len());
        for matrix in matrices {
            let start = [rows, 0].into_iter().collect();
            rows += matrix.dims()[0];
            parts.push((matrix, start));
        }
        let shape = Shape::new(&[rows, parts[0].0.dims()[1]])?;
        self.of(&parts, shape)
    }
}

/// Where many products are added up, as they are for weights that are used again and again, the products of the matrices beside
/// each other instead: `a1 b1 + a2 b2 = [a1 a2] [b1; b2]`.
fn products_as_one(whole: Vec<Tensor>, assembled: &mut Assembled) -> Result<Vec<Tensor>> {
    if whole.iter().filter(|grad| factors(grad).is_some()).count() < MANY {
        return Ok(whole);
    }
    let (mut products, mut sums) = (Vec::new(), Vec::new());
    let mut at = None;
    for grad in whole {
        match factors(&grad) {
            Some(factors) => {
                at = Some(grad.0.at);
                products.push(factors);
            }
            None => sums.push(grad),
        }
    }
    // They arrive last first.
    products.reverse();
    let origin = set_origin(at);
    let mut products = products.into_iter().peekable();
    while let Some((a, b)) = products.next() {
        let mut rows = b.dims()[0];
        let (mut left, mut right) = (vec![a.t()?], vec![b]);
        while let Some((a, b)) = products.next_if(|(_, b)| rows + b.dims()[0] <= MOST_ROWS) {
            rows += b.dims()[0];
            left.push(a.t()?);
            right.push(b);
        }
        sums.push(assembled.rows(left)?.t()?.matmul(&assembled.rows(right)?)?);
    }
    set_origin(origin);
    Ok(sums)
}

/// The factors of a product of two matrices that are no more than what they are multiplied to.
fn factors(grad: &Tensor) -> Option<(Tensor, Tensor)> {
    let Op::MatMul = grad.0.op else { return None };
    let [a, b] = <[Tensor; 2]>::try_from(grad.inputs().into_iter().collect::<Vec<_>>()).ok()?;
    let (&[m, k], &[_, n]) = (a.dims(), b.dims()) else { return None };
    (k > 0 && k * (m + n) <= m * n).then_some((a, b))
}
