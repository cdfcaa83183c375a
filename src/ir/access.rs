//! Affine addresses over an iteration space: splitting and merging dimensions, and pulling an address back through views.

use smallvec::SmallVec;

use super::op::Op;
use super::program::{Access, Dims};
use crate::shape::Shape;

/// An iteration space during planning: extents, outermost first.
pub(crate) type Space = Dims<usize>;

impl Access {
    /// Element `flat` for the flat row-major index of the space.
    pub(crate) fn contiguous(space: &[usize]) -> Access {
        let mut strides: Dims<i64> = SmallVec::from_elem(0, space.len());
        let mut step = 1i64;
        for d in (0..space.len()).rev() {
            strides[d] = step;
            step *= space[d] as i64;
        }
        Access { offset: 0, strides }
    }

    /// The same element everywhere.
    pub(crate) fn constant(rank: usize) -> Access {
        Access { offset: 0, strides: SmallVec::from_elem(0, rank) }
    }

    /// Equal as functions on the space (strides of extents 1 do not count).
    pub(crate) fn same(&self, other: &Access, space: &[usize]) -> bool {
        self.offset == other.offset && self.same_strides(other, space)
    }

    /// Equal but for the offset.
    pub(crate) fn same_strides(&self, other: &Access, space: &[usize]) -> bool {
        space.iter().enumerate().all(|(d, &e)| e == 1 || self.strides[d] == other.strides[d])
    }

    /// The address over `fine`, a refinement of `coarse`.
    pub(crate) fn split(&self, coarse: &[usize], fine: &[usize]) -> Access {
        let mut strides: Dims<i64> = SmallVec::from_elem(0, fine.len());
        let mut f = fine.len();
        for (c, &extent) in coarse.iter().enumerate().rev() {
            let mut covered = 1usize;
            let mut step = self.strides[c];
            while covered < extent {
                f -= 1;
                strides[f] = step;
                step *= fine[f] as i64;
                covered *= fine[f];
            }
        }
        Access { offset: self.offset, strides }
    }

    /// The address over `coarse`, which merges runs of `fine`; `None` where it is not affine there.
    pub(crate) fn merge(&self, fine: &[usize], coarse: &[usize]) -> Option<Access> {
        let mut strides: Dims<i64> = SmallVec::from_elem(0, coarse.len());
        let mut f = fine.len();
        for (c, &extent) in coarse.iter().enumerate().rev() {
            let (mut covered, mut first) = (1usize, None);
            while covered < extent {
                f -= 1;
                if fine[f] == 1 {
                    continue;
                }
                match first {
                    None => first = Some(self.strides[f]),
                    Some(s) if self.strides[f] != s * covered as i64 => return None,
                    Some(_) => {}
                }
                covered *= fine[f];
            }
            strides[c] = first.unwrap_or(0);
        }
        Some(Access { offset: self.offset, strides })
    }
}

/// The space without extents of 1. A space with an extent of 0 becomes `[0]`.
pub(crate) fn squeeze(space: &[usize]) -> Space {
    if space.contains(&0) {
        return SmallVec::from_slice(&[0]);
    }
    space.iter().copied().filter(|&e| e != 1).collect()
}

/// The coarsest space that refines both (which have equal element counts); `None` if their factors do not nest.
/// Extents of 1 do not appear in it.
pub(crate) fn refine(a: &[usize], b: &[usize]) -> Option<Space> {
    let (a, b) = (squeeze(a), squeeze(b));
    if a == b {
        return Some(a);
    }
    let mut out: Space = SmallVec::new();
    let (mut i, mut j) = (0, 0);
    let (mut ra, mut rb) = (1usize, 1usize);
    loop {
        if ra == 1 && i < a.len() {
            ra = a[i];
            i += 1;
        }
        if rb == 1 && j < b.len() {
            rb = b[j];
            j += 1;
        }
        if ra == 1 && rb == 1 {
            break;
        }
        // Outermost first: of the two remaining extents the smaller must divide the larger.
        let (small, large) = (ra.min(rb), ra.max(rb));
        if small == 1 || large % small != 0 {
            return None;
        }
        out.push(small);
        ra /= small;
        rb /= small;
    }
    Some(out)
}

/// What stands in the way of pulling an address back through a view.
#[derive(Debug)]
pub(crate) enum Blocked {
    /// Dimension `dim` of the space has to be split with an inner extent of `inner`.
    Split { dim: usize, inner: usize },
    /// No split helps: the view's result has to be written out.
    Never,
}

/// The address in the view's input (flat, contiguous) from the address in its output (flat, contiguous).
pub(crate) fn pull_back(
    op: &Op,
    output: &Shape,
    input: &Shape,
    at: &Access,
    space: &[usize],
) -> Result<Access, Blocked> {
    if matches!(op, Op::Reshape) || space.contains(&0) || output.numel() == 0 {
        return Ok(at.clone());
    }
    let strides = input.strides();
    // What one step along output dimension d moves in the input.
    let mut base = 0i64;
    let mut moves = [0i64; crate::shape::MAX_RANK];
    match op {
        Op::Permute(axes) => axes.iter().enumerate().for_each(|(d, &a)| moves[d] = strides[a as usize]),
        Op::Expand => (0..output.rank()).for_each(|d| moves[d] = if input[d] == 1 { 0 } else { strides[d] }),
        Op::Slice(bounds) => {
            for (d, (start, step)) in bounds.iter().enumerate() {
                base += start * strides[d];
                moves[d] = step * strides[d];
            }
        }
        _ => unreachable!("not a view"),
    }
    let mut out = project(output, at, space, &moves)?;
    out.offset += base;
    Ok(out)
}

/// The address that moves by `moves[d]` for each step along dimension `d` of `shape`, from the flat address `at` in `shape`.
pub(crate) fn project(shape: &Shape, at: &Access, space: &[usize], moves: &[i64; 8]) -> Result<Access, Blocked> {
    // Coordinates in the shape: offset and one coefficient per dimension of the space.
    let (offsets, digits) = coordinates(shape, at, space)?;
    let offset = (0..shape.rank()).map(|d| offsets[d] * moves[d]).sum::<i64>();
    let strides = digits.iter().map(|q| (0..shape.rank()).map(|d| q[d] * moves[d]).sum()).collect();
    Ok(Access { offset, strides })
}

type Coordinates = ([i64; 8], SmallVec<[[i64; 8]; 4]>);

/// Splits flat addresses into coordinates of `shape`, as affine functions of the space.
fn coordinates(shape: &Shape, at: &Access, space: &[usize]) -> Result<Coordinates, Blocked> {
    let strides = shape.strides();
    let unravel = |mut v: i64| {
        let mut out = [0i64; 8];
        let sign = v.signum();
        v = v.abs();
        for d in 0..shape.rank() {
            if shape[d] > 1 {
                out[d] = sign * (v / strides[d]);
                v %= strides[d];
            }
        }
        out
    };
    let offsets = unravel(at.offset);
    let digits: SmallVec<[[i64; 8]; 4]> =
        at.strides.iter().zip(space).map(|(&s, &e)| if e == 1 { [0; 8] } else { unravel(s) }).collect();
    for d in 0..shape.rank() {
        let (mut low, mut high) = (offsets[d], offsets[d]);
        for (q, &e) in digits.iter().zip(space) {
            let reach = q[d] * (e as i64 - 1);
            low += reach.min(0);
            high += reach.max(0);
        }
        if low >= 0 && high < shape[d] as i64 {
            continue;
        }
        // A carry out of dimension d. Splitting the space where it happens may help.
        for (dim, (q, &e)) in digits.iter().zip(space).enumerate() {
            let reach = q[d].unsigned_abs() as usize;
            if reach == 0 || reach * (e - 1) < shape[d] && low >= 0 && high < shape[d] as i64 {
                continue;
            }
            if shape[d].is_multiple_of(reach) {
                let inner = shape[d] / reach;
                if inner > 1 && inner < e && e % inner == 0 {
                    return Err(Blocked::Split { dim, inner });
                }
            }
        }
        return Err(Blocked::Never);
    }
    Ok((offsets, digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refinement_nests_factors() {
        assert_eq!(refine(&[6], &[2, 3]).unwrap().as_slice(), &[2, 3]);
        assert_eq!(refine(&[2, 6], &[4, 3]).unwrap().as_slice(), &[2, 2, 3]);
        assert_eq!(refine(&[1, 5, 1], &[5]).unwrap().as_slice(), &[5]);
        assert!(refine(&[2, 3], &[3, 2]).is_none());
        assert_eq!(refine(&[], &[1, 1]).unwrap().as_slice(), &[] as &[usize]);
    }

    #[test]
    fn splitting_and_merging_are_inverse() {
        let at = Access { offset: 3, strides: SmallVec::from_slice(&[10, 2]) };
        let fine = at.split(&[4, 6], &[2, 2, 3, 2]);
        assert_eq!(fine.strides.as_slice(), &[20, 10, 4, 2]);
        assert_eq!(fine.merge(&[2, 2, 3, 2], &[4, 6]).unwrap(), at);
        assert!(fine.merge(&[2, 2, 3, 2], &[24]).is_none());
    }

    #[test]
    fn a_transposed_read_of_a_flat_space_asks_for_a_split() {
        let op = Op::Permute(SmallVec::from_slice(&[1, 0]));
        let (output, input) = (Shape::of(&[3, 2]), Shape::of(&[2, 3]));
        let at = Access::contiguous(&[6]);
        match pull_back(&op, &output, &input, &at, &[6]) {
            Err(Blocked::Split { dim: 0, inner: 2 }) => {}
            other => panic!("{other:?}"),
        }
        let at = Access::contiguous(&[3, 2]);
        let got = pull_back(&op, &output, &input, &at, &[3, 2]).unwrap();
        assert_eq!(got.strides.as_slice(), &[1, 3]);
    }

    #[test]
    fn slices_step_and_flip() {
        let op = Op::Slice(Box::new([(4, -2)]));
        let got = pull_back(&op, &Shape::of(&[3]), &Shape::of(&[5]), &Access::contiguous(&[3]), &[3]).unwrap();
        assert_eq!((got.offset, got.strides.as_slice()), (4, &[-2i64][..]));
    }
}
