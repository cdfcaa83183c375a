//! Pooling and its gradients.

use askama::Template;

use super::lanes::single;
use super::nest::pointwise;
use super::render::{Coordinates, Emitter};
use super::{Build, Head, storage_type, threads};
use crate::backend::gpu::dispatch::{Caps, Dispatch, Named};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::step::{Plan, Step};
use crate::ir::window::{Geometry, Window, WindowOp};

macro_rules! numbers {
    ($($name:ident),*) => {
        /// The numbers of a window's geometry, and of a convolution's, as literals: compilers turn divisions by them into
        /// products, and unroll loops over them. A layer has a pipeline of its own, for batches of any size.
        #[derive(PartialEq, Eq, Hash)]
        pub(super) struct Numbers { $(pub(super) $name: String),* }

        impl Numbers {
            pub(super) fn of(geometry: &Geometry) -> Self {
                Numbers { $($name: format!("{}u", geometry.$name)),* }
            }
        }
    };
}
numbers!(h, w, c, kh, kw, f, oh, ow, stride_h, stride_w, dilation_h, dilation_w, pad_h, pad_w);

#[derive(Template, PartialEq, Eq, Hash)]
#[template(path = "window.wgsl")]
struct Pool {
    head: Head,
    threads: u32,
    op: WindowOp,
    ty: &'static str,
    /// What the greatest of nothing is.
    lowest: &'static str,
    count: String,
    inputs: Vec<usize>,
    v: Numbers,
    body: Vec<String>,
}

impl Named for Pool {
    const NAME: &'static str = "window";

    fn variants(&self) -> Vec<String> {
        vec![Self::form(self.op, self.ty)]
    }
}

/// Every variant of windows.
#[cfg(test)]
pub(super) fn variants() -> Vec<String> {
    let types = super::STORED.iter().filter(|t| **t != DType::Bool).map(|&t| storage_type(t, false).expect("stored"));
    types.flat_map(|ty| WindowOp::ALL.iter().map(move |&op| format!("window {}", Pool::form(op, ty)))).collect()
}

impl Pool {
    fn form(op: WindowOp, ty: &str) -> String {
        format!("{op:?} of {ty}")
    }

    fn what(&self) -> &'static str {
        match self.op {
            WindowOp::Max => "the greatest element of its window",
            WindowOp::MaxGrad => "the gradients of the windows in which this input element is the first greatest",
            WindowOp::MaxPick => "the value of a second tensor where the window of the first is greatest",
            WindowOp::Sum => "the sum of its window",
            WindowOp::SumGrad => "the gradients of the windows that hold this input element",
        }
    }

    fn float(&self) -> bool {
        self.ty == "f32"
    }

    fn picks(&self) -> bool {
        matches!(self.op, WindowOp::Max | WindowOp::MaxGrad | WindowOp::MaxPick)
    }

    fn backward(&self) -> bool {
        matches!(self.op, WindowOp::MaxGrad | WindowOp::SumGrad)
    }
}

pub(super) fn build(plan: &Plan, step: &Step, caps: &Caps, window: &Window) -> Result<Vec<Dispatch>> {
    let count = window.op.numel(&window.geometry);
    let wanted = if matches!(window.op, WindowOp::MaxGrad | WindowOp::MaxPick) { 2 } else { 1 };
    if step.operands.len() != wanted || window.dtype == DType::Bool {
        let got = step.operands.len();
        return Err(Error::internal(format!("{:?} of {got} inputs of {}", window.op, window.dtype)));
    }
    let ty = storage_type(window.dtype, false)?;
    let lowest = match ty {
        "f32" => "k_float(0xff800000u)",
        "i32" => "i32(-2147483648)",
        _ => "0u",
    };
    let mut cx = Build::new(plan, step);
    let inputs: Result<Vec<usize>> = step.operands.iter().map(|&buf| cx.buffer(buf, false, false)).collect();
    let (inputs, count_word, v) = (inputs?, cx.size(count), Numbers::of(&window.geometry));
    let space = Coordinates::new(&[count], "o");
    let mut e = Emitter::new(cx, single(&step.program), space, Coordinates::new(&[], "i"));
    e.accs = &["acc"];
    let body = pointwise(&mut e)?;
    let threads = threads(caps);
    let shader = Pool { head: e.cx.head(), threads, op: window.op, ty, lowest, count: count_word, inputs, v, body };
    Ok(vec![e.cx.kernel(shader, count.div_ceil(threads as usize))])
}
