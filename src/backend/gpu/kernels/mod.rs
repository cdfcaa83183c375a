//! From steps to kernels: each family has a file here and templates of the same name in `shaders/`.
//!
//! What goes into a shader's source is structure: instructions, types, ranks, which strides vanish or run contiguously,
//! tile sizes, and the geometry of windows and convolutions. Extents, strides, offsets and run-time scalars are words of
//! the uniform `p`, so a new batch size reuses the pipeline.

mod combining;
mod custom;
mod gemm;
mod lanes;
pub(crate) mod library;
mod nest;
mod operand;
mod radix;
mod render;
mod rows;
mod scan;
mod scatter;
mod sort;
mod sweeps;
#[cfg(test)]
mod tests;
pub(super) mod tiles;
mod tiling;
mod turned;
mod walk;
mod window;

use std::collections::HashMap;

use super::dispatch::{Binding, Caps, Dispatch, Grid, Shader, Target};
pub(super) use gemm::for_operands;
use tiles::Method;

use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::ir::step::{BufId, Family, Plan, Step};

/// The most points of a space and elements of a buffer: indices are `u32`, with room for the last work-groups to overshoot.
const MAX_SPACE: usize = 0xff00_0000;

/// The kernels of a step, in the order of their dispatch; none where the step has nothing to compute.
pub(crate) fn build(plan: &Plan, step: &Step, caps: &Caps) -> Result<Vec<Dispatch>> {
    build_by(plan, step, caps, Method::Rule)
}

/// The same; if it is a product, computed in this way.
pub(crate) fn build_by(plan: &Plan, step: &Step, caps: &Caps, method: Method) -> Result<Vec<Dispatch>> {
    if numel(&step.outer()) == 0 || step.program.stores.is_empty() {
        return Ok(Vec::new());
    }
    let built = check(plan, step).and_then(|()| match &step.family {
        Family::Nest => nest::build(plan, step, caps),
        Family::Gemm(gemm) => gemm::build(plan, step, caps, gemm, method),
        Family::Window(window) => window::build(plan, step, caps, window),
        Family::Scatter(scatter) => scatter::build(plan, step, caps, scatter),
        Family::Scan(scan) => scan::build(plan, step, caps, scan),
        Family::Sort(sort) => sort::build(plan, step, caps, sort),
        Family::Custom(custom) => custom::build(plan, step, custom),
    });
    let kernels = built.map_err(|e| e.context(format_args!("kernel `{}`", step.ops.join("+"))))?;
    match kernels.iter().map(|k| k.bindings.len()).max() {
        Some(most) if most > caps.max_storage_bindings as usize => Err(Error::internal(format!(
            "step `{}` needs {most} storage buffers; the device binds {}",
            step.ops.join("+"),
            caps.max_storage_bindings
        ))),
        _ => Ok(kernels),
    }
}

/// Refuses what `u32` indices cannot reach.
fn check(plan: &Plan, step: &Step) -> Result<()> {
    let largest = step.bufs.iter().map(|&b| plan.buffers[usize::from(b)].len).max().unwrap_or(0);
    let most = largest.max(numel(&step.outer())).max(numel(&step.inner()));
    if most <= MAX_SPACE {
        return Ok(());
    }
    Err(Error::new(
        Kind::Unsupported,
        format!(
            "A GPU kernel indexes with 32 bits. Received: {most} elements. Expected: at most {MAX_SPACE}. \
             Split the tensor, or use the CPU engine."
        ),
    ))
}

fn numel(extents: &[usize]) -> usize {
    extents.iter().product()
}

/// The globals of a shader, as `head.wgsl` declares them.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Head {
    vectors: usize,
    buffers: Vec<Slot>,
}

/// A storage buffer in a shader.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Slot {
    ty: &'static str,
    write: bool,
}

/// What is collected while a kernel is written: its uniform words and its bindings.
struct Build<'a> {
    plan: &'a Plan,
    step: &'a Step,
    words: Vec<u32>,
    dynamic: Vec<(usize, u16, DType)>,
    params: HashMap<(u16, DType), String>,
    slots: Vec<(Target, Slot)>,
    /// Narrow buffers of which a thread writes less than whole words.
    shared_words: Vec<BufId>,
}

impl<'a> Build<'a> {
    fn new(plan: &'a Plan, step: &'a Step) -> Self {
        Build {
            plan,
            step,
            words: Vec::new(),
            dynamic: Vec::new(),
            params: HashMap::new(),
            slots: Vec::new(),
            shared_words: Vec::new(),
        }
    }

    /// A new uniform word; gives its expression, a `u32`.
    fn word(&mut self, value: u32) -> String {
        let at = self.words.len();
        self.words.push(value);
        format!("p[{}].{}", at / 4, ["x", "y", "z", "w"][at % 4])
    }

    /// A new word for an extent or count.
    fn size(&mut self, value: usize) -> String {
        self.word(value as u32)
    }

    /// A new word for a stride or offset, modulo 2^32 as all addresses are.
    fn stride(&mut self, value: i64) -> String {
        self.word(value as u32)
    }

    /// The word of a run-time scalar; gives its expression, the bits as a `u32`.
    fn param(&mut self, slot: u16, dtype: DType) -> String {
        if let Some(known) = self.params.get(&(slot, dtype)) {
            return known.clone();
        }
        let at = self.words.len();
        let name = self.word(0);
        self.dynamic.push((at, slot, dtype));
        self.params.insert((slot, dtype), name.clone());
        name
    }

    /// The type of a buffer of the step.
    fn dtype(&self, buf: u16) -> DType {
        self.plan.buffers[usize::from(self.step.bufs[usize::from(buf)])].dtype
    }

    /// The number of a buffer of the step among `b0`, `b1`, ...; `wide` buffers hold vectors of four,
    /// and narrow ones always words. One that is only read may be bound as vectors and as elements.
    fn buffer(&mut self, buf: u16, wide: bool, write: bool) -> Result<usize> {
        let id = self.step.bufs[buf as usize];
        let ty = match self.dtype(buf) {
            narrow if narrow.is_narrow() && self.shared_words.contains(&id) => "atomic<u32>",
            narrow if narrow.is_narrow() => "u32",
            dtype => storage_type(dtype, wide)?,
        };
        self.bound(buf, ty, write)
    }

    /// The number of a buffer of the step that is declared with elements of that type.
    fn bound(&mut self, buf: u16, ty: &'static str, write: bool) -> Result<usize> {
        let id = self.step.bufs[buf as usize];
        // Atomic words are never read-only.
        let write = write || ty == "atomic<u32>";
        let same = |target: &Target| matches!(target, Target::Step(other) if self.step.bufs[*other as usize] == id);
        let mut bound = None;
        for (at, (_, slot)) in self.slots.iter_mut().enumerate().filter(|(_, (target, _))| same(target)) {
            if slot.ty == ty {
                slot.write |= write;
                bound = Some(at);
            } else if slot.write || write {
                return Err(Error::internal(format!("one buffer bound as {} and {ty}", slot.ty)));
            }
        }
        Ok(bound.unwrap_or_else(|| {
            self.slots.push((Target::Step(buf), Slot { ty, write }));
            self.slots.len() - 1
        }))
    }

    /// Binds a buffer for a shader that declares it itself, also if another binding has it already.
    fn bind(&mut self, buf: u16, write: bool) {
        self.slots.push((Target::Step(buf), Slot { ty: "", write }));
    }

    /// The number of the step's scratch, of so many words.
    fn scratch(&mut self, words: usize, ty: &'static str, write: bool) -> usize {
        self.scratch_of(0, words, ty, write)
    }

    /// The number of one of several scratch buffers of the step.
    fn scratch_of(&mut self, id: u16, words: usize, ty: &'static str, write: bool) -> usize {
        let bytes = (words as u64 * 4).next_multiple_of(16);
        self.slots.push((Target::Scratch { id, bytes }, Slot { ty, write }));
        self.slots.len() - 1
    }

    fn head(&self) -> Head {
        Head {
            vectors: self.words.len().div_ceil(4).max(1),
            buffers: self.slots.iter().map(|(_, slot)| slot.clone()).collect(),
        }
    }

    fn kernel(self, shader: impl Shader + 'static, groups: usize) -> Dispatch {
        Dispatch {
            shader: Box::new(shader),
            bindings: self
                .slots
                .iter()
                .map(|(target, slot)| Binding { target: *target, write: slot.write, bytes: None })
                .collect(),
            params: self.words,
            dynamic: self.dynamic,
            groups: Grid::Row(groups as u64),
        }
    }
}

/// The element types that a GPU stores.
#[cfg(test)]
const STORED: [DType; 4] = [DType::F32, DType::I32, DType::U32, DType::Bool];

/// Every variant of every kernel that the rules may choose for a device with such abilities, in the words of
/// [`Shader::variants`]; of nests those with up to `accs` reductions.
#[cfg(test)]
fn variants(caps: &Caps, accs: usize) -> std::collections::BTreeSet<String> {
    let products = gemm::variants(caps).into_iter().map(|v| format!("gemm {v}"));
    let nests = [nest::variants(caps), turned::variants(caps), rows::variants(caps, accs)].concat();
    let rest = nests.into_iter().chain(window::variants()).chain(scatter::variants());
    products.chain(rest).chain(scan::variants(caps)).chain(sort::variants()).collect()
}

/// How a buffer of `dtype` is declared.
fn storage_type(dtype: DType, wide: bool) -> Result<&'static str> {
    Ok(match (value_type(dtype)?, wide) {
        ("f32", false) => "f32",
        ("i32", false) => "i32",
        (_, false) => "u32",
        ("f32", true) => "vec4<f32>",
        ("i32", true) => "vec4<i32>",
        (_, true) => "vec4<u32>",
    })
}

/// The WGSL type of a register of `dtype`.
fn value_type(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::F16 | DType::BF16 | DType::F32 => Ok("f32"),
        DType::I8 | DType::I32 => Ok("i32"),
        DType::U8 | DType::U32 => Ok("u32"),
        DType::Bool => Ok("bool"),
        DType::F64 => Err(Error::new(
            Kind::DType,
            "GPU kernels have no f64. Received: an f64 tensor. Expected: f32. Cast it, or use the CPU engine.",
        )),
    }
}

/// Threads of a work-group where nothing else decides.
fn threads(caps: &Caps) -> u32 {
    256.min(caps.max_workgroup_size)
}
