//! Matrix products and convolutions as the one family of products: what its operands are and how they are read.

use smallvec::SmallVec;

use super::lower::Lower;
use super::written::Built;
use crate::ir::access::Space;
use crate::ir::gemm::{Gemm, Loader};
use crate::ir::op::{Op, PlanNode};
use crate::ir::program::Access;
use crate::ir::step::{BufId, Family};
use crate::ir::window::Geometry;

type Product = (Family, SmallVec<[BufId; 4]>);

impl Lower<'_> {
    /// A product of matrices, or of batches of them, whose operands may be views.
    pub(super) fn matmul(&self, node: &PlanNode) -> Built<Product> {
        let rank = node.shape.rank();
        let (m, n) = (node.shape[rank - 2], node.shape[rank - 1]);
        let k = self.graph.nodes[node.inputs[0] as usize].shape[rank - 1];
        let (a, b) = (self.graph.strided(node.inputs[0] as usize)?, self.graph.strided(node.inputs[1] as usize)?);
        let batch_shape = &node.shape[..rank - 2];
        // Batch dimensions without ones, merged where both operands allow.
        let keep: SmallVec<[usize; 4]> = (0..rank - 2).filter(|&d| batch_shape[d] != 1).collect();
        let fine: Space = keep.iter().map(|&d| batch_shape[d]).collect();
        let pick = |at: &Access| Access { offset: at.offset, strides: keep.iter().map(|&d| at.strides[d]).collect() };
        let (mut ba, mut bb, mut batch) = (pick(&a.1), pick(&b.1), fine.clone());
        let flat: Space = SmallVec::from_slice(&[fine.iter().product()]);
        if fine.len() > 1
            && let (Some(x), Some(y)) = (ba.merge(&fine, &flat), bb.merge(&fine, &flat))
        {
            (ba, bb, batch) = (x, y, flat);
        }
        let loader = |at: &Access, batch: &Access| Loader::Strided {
            offset: at.offset,
            batch: batch.strides.clone(),
            row: at.strides[rank - 2],
            col: at.strides[rank - 1],
        };
        let operands = SmallVec::from_slice(&[a.0, b.0]);
        let (a, b) = (loader(&a.1, &ba), loader(&b.1, &bb));
        Ok((Family::Gemm(Gemm { dtype: node.dtype.register(), batch, m, n, k, a, b }), operands))
    }

    /// A convolution or one of its gradients: the patches of an image, or what spreads into one, times a matrix.
    pub(super) fn convolution(&self, node: &PlanNode, g: Geometry) -> Built<Product> {
        let (out, taps) = (g.batch * g.oh * g.ow, g.kh * g.kw);
        let matrix = |row: usize, col: usize| Loader::Strided {
            offset: 0,
            batch: SmallVec::new(),
            row: row as i64,
            col: col as i64,
        };
        let (first, second) = (self.graph.dense(node.inputs[0] as usize)?, self.graph.dense(node.inputs[1] as usize)?);
        // A kernel of one tap at every position is a plain product.
        let every = |n: usize, out: usize, stride: usize, pad: usize| out == n && pad == 0 && (stride == 1 || n == 1);
        let plain = taps == 1 && every(g.h, g.oh, g.stride_h, g.pad_h) && every(g.w, g.ow, g.stride_w, g.pad_w);
        let (m, n, k, a, b) = match node.op {
            Op::Conv(_) => {
                let x = if plain { matrix(g.c, 1) } else { Loader::Patches { conv: g, transposed: false } };
                (out, g.f, taps * g.c, x, matrix(g.f, 1))
            }
            Op::ConvInputGrad(_) => {
                let dy = if plain { matrix(g.f, 1) } else { Loader::Spread { conv: g } };
                let kernel = if plain { matrix(1, g.f) } else { Loader::Kernel { conv: g } };
                (g.batch * g.h * g.w, g.c, taps * g.f, dy, kernel)
            }
            _ => {
                let x = if plain { matrix(1, g.c) } else { Loader::Patches { conv: g, transposed: true } };
                (taps * g.c, g.f, out, x, matrix(g.f, 1))
            }
        };
        let gemm = Gemm { dtype: node.dtype.register(), batch: SmallVec::new(), m, n, k, a, b };
        Ok((Family::Gemm(gemm), SmallVec::from_slice(&[first, second])))
    }
}
