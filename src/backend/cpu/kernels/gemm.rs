//! Which of the ways to compute a product a step takes.

use super::Kernel;
use super::conv;
use super::epilogue::{Epilogue, Sink};
use super::matrix::{Float, MULTIPLY, View, product, row_parts};
use crate::backend::cpu::bindings::Bindings;
use crate::backend::cpu::program::interp::Ctx;
use crate::backend::cpu::program::space::Outs;
use crate::backend::cpu::threads::{forks, threads};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::gemm::{Gemm, Loader};
use crate::ir::program::Dims;
use crate::ir::step::Step;
use crate::ir::window::Geometry;

/// A matrix for each batch index.
#[derive(Clone, Debug)]
struct Strided {
    view: View,
    batch: Dims<i64>,
}

impl Strided {
    fn at(&self, dims: &[usize], mut index: usize) -> View {
        let mut view = self.view;
        for (&extent, &stride) in dims.iter().zip(&self.batch).rev() {
            view.offset += (index % extent) as i64 * stride;
            index /= extent;
        }
        view
    }
}

#[derive(Debug)]
enum Method {
    Strided {
        a: Strided,
        b: Strided,
    },
    /// Convolution: rows of patches times a matrix.
    Forward {
        conv: Geometry,
        b: View,
    },
    /// Its kernel gradient: transposed rows of patches times a matrix.
    KernelGradient {
        conv: Geometry,
        b: View,
    },
    /// Its input gradient.
    InputGradient {
        conv: Geometry,
    },
}

pub(in crate::backend::cpu) struct Product {
    dtype: DType,
    batch: Dims<usize>,
    m: usize,
    n: usize,
    k: usize,
    a: u16,
    b: u16,
    method: Method,
    epilogue: Epilogue,
}

impl Product {
    pub(in crate::backend::cpu) fn new(g: &Gemm, step: &Step, bufs: &mut Bindings) -> Result<Self> {
        let [a_buf, b_buf] = step.operands[..] else { return Err(Error::internal("a product of other than two")) };
        let (mut batch, mut m) = (g.batch.clone(), g.m);
        let lengths = |l: &Loader| match l {
            Loader::Strided { .. } => 0,
            Loader::Patches { conv, .. } => conv.batch * conv.h * conv.w * conv.c,
            Loader::Spread { conv } => conv.batch * conv.oh * conv.ow * conv.f,
            Loader::Kernel { conv } => conv.kh * conv.kw * conv.c * conv.f,
        };
        bufs.operand(a_buf, g.dtype, lengths(&g.a))?;
        bufs.operand(b_buf, g.dtype, lengths(&g.b))?;
        let single = |s: Strided| s.batch.iter().all(|&s| s == 0).then_some(s.view);
        let unknown = || Error::internal(format!("a product of {:?} and {:?}", g.a, g.b));
        let method = match (simple(&g.a), simple(&g.b), &g.a, &g.b) {
            (Some(mut a), Some(mut b), ..) => {
                // A batch that only lengthens the rows of `a` is one product.
                while let Some(&extent) = batch.last() {
                    let (x, y) = (a.batch.last().copied().unwrap_or(0), b.batch.last().copied().unwrap_or(0));
                    if extent != 1 && (y != 0 || x != a.view.row * m as i64) {
                        break;
                    }
                    m *= extent;
                    batch.pop();
                    a.batch.pop();
                    b.batch.pop();
                }
                Method::Strided { a, b }
            }
            (_, Some(b), Loader::Patches { conv, transposed: false }, _) => {
                Method::Forward { conv: *conv, b: single(b).ok_or_else(unknown)? }
            }
            (_, Some(b), Loader::Patches { conv, transposed: true }, _) => {
                Method::KernelGradient { conv: *conv, b: single(b).ok_or_else(unknown)? }
            }
            (_, _, Loader::Spread { conv }, Loader::Kernel { .. }) => Method::InputGradient { conv: *conv },
            _ => return Err(unknown()),
        };
        let epilogue = Epilogue::new(step, &[g.dtype], bufs)?;
        Ok(Product { dtype: g.dtype, batch, m, n: g.n, k: g.k, a: a_buf, b: b_buf, method, epilogue })
    }
}

impl Kernel for Product {
    fn work(&self) -> usize {
        let count: usize = self.batch.iter().product();
        let product = match &self.method {
            Method::Strided { .. } => (count * self.m * self.n).saturating_mul(self.k) * MULTIPLY,
            Method::Forward { conv, .. } | Method::KernelGradient { conv, .. } => conv::work(conv),
            Method::InputGradient { conv } => conv::work(conv),
        };
        product.max(self.epilogue.work())
    }

    fn scratch(&self) -> usize {
        let elements = match &self.method {
            Method::Strided { .. } | Method::Forward { .. } => 0,
            Method::KernelGradient { conv, .. } => conv::partial_sums(conv, self.dtype.size()),
            Method::InputGradient { conv } => conv.kh * conv.kw * conv.c * conv.f,
        };
        self.epilogue.scratch() + (elements * self.dtype.size()).div_ceil(8)
    }

    fn run(&self, scratch: &mut [u64], ctx: Ctx<'_>, outs: Outs<'_>) -> Result<()> {
        let (sink, scratch) = self.epilogue.sink(scratch, ctx, outs);
        match self.dtype {
            DType::F64 => self.compute::<f64>(scratch, ctx, sink),
            _ => self.compute::<f32>(scratch, ctx, sink),
        }
    }
}

impl Product {
    fn compute<T: Float>(&self, scratch: &mut [u64], ctx: Ctx<'_>, sink: Sink<'_, '_>) -> Result<()> {
        if self.m * self.n * self.k == 0 {
            return sink.whole(|out: &mut [T]| {
                out.fill(T::ZERO);
                Ok(())
            });
        }
        let a: &[T] = bytemuck::cast_slice(ctx.ins[self.a as usize]);
        let b: &[T] = bytemuck::cast_slice(ctx.ins[self.b as usize]);
        let scratch: &mut [T] = bytemuck::cast_slice_mut(scratch);
        match &self.method {
            Method::Strided { a: av, b: bv } => self.strided(sink, a, av, b, bv),
            Method::Forward { conv, b: bv } => conv::forward(conv, sink, a, b, *bv),
            Method::KernelGradient { conv, b: bv } => {
                sink.whole(|out| conv::kernel_gradient(conv, scratch, out, a, b, *bv))
            }
            Method::InputGradient { conv } => conv::input_gradient(conv, scratch, sink, a, b),
        }
    }

    fn strided<T: Float>(&self, sink: Sink<'_, '_>, a: &[T], av: &Strided, b: &[T], bv: &Strided) -> Result<()> {
        let (size, each) = ((self.m, self.n, self.k), (self.m * self.n).saturating_mul(self.k) * MULTIPLY);
        let count: usize = self.batch.iter().product();
        let one = |i: usize, out: &mut [T], divided: bool| {
            product(size, out, false, a, av.at(&self.batch, i), b, bv.at(&self.batch, i), divided)
        };
        let matrices = self.m * self.n;
        let all = each.saturating_mul(count);
        // Several matrices: each on one thread, unless they are few and large. What follows is done while they are in the caches.
        if count > 1 && (!forks(all) || count >= 2 * threads() || each < 64 * LITTLE) {
            let group = (LITTLE / each).max(1);
            return sink.parts(matrices * group, all, |at, out| {
                out.chunks_mut(matrices).enumerate().try_for_each(|(i, out)| one(at / matrices + i, out, false))
            });
        }
        // One matrix, and something to do with it: by rows, which is done at once by the thread that computed them.
        if count == 1 && forks(all) && !sink.is_direct() {
            let (av, bv) = (av.at(&self.batch, 0), bv.at(&self.batch, 0));
            if let Some(rows) = row_parts(size, av, bv, threads()) {
                return sink.parts(rows * self.n, all, |at, out| {
                    let av = View { offset: av.offset + (at / self.n) as i64 * av.row, ..av };
                    product((out.len() / self.n, self.n, self.k), out, false, a, av, b, bv, false)
                });
            }
        }
        sink.whole(|out| out.chunks_mut(matrices).enumerate().try_for_each(|(i, out)| one(i, out, forks(all))))
    }
}

/// Picoseconds of work that one task has at least.
const LITTLE: usize = 8_000_000;

/// The operand as plain matrices, where it is that.
fn simple(load: &Loader) -> Option<Strided> {
    match load {
        Loader::Strided { offset, batch, row, col } => {
            Some(Strided { view: View { offset: *offset, row: *row, col: *col }, batch: batch.clone() })
        }
        _ => None,
    }
}
