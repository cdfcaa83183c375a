//! From nodes to kernels: which values are written out, and one kernel for each of these with everything else inlined.

use rustc_hash::FxHashMap;
use smallvec::{SmallVec, smallvec};

use super::Limits;
use super::expression::Builder;
use super::rewrite::MAX_COST;
use super::written::{Built, Stop, Stuck, Written};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::access::{Space, squeeze};
use crate::ir::op::{Axes, Keep, Op, PlanNode};
use crate::ir::program::{Access, Instr, Line, Program, Reg, Store};
use crate::ir::step::{BufId, BufferInfo, Family, Role, Step};
use crate::shape::Shape;

/// An inlined expression that costs a GPU's compiler more than this, in statements, is cut by writing out a value.
const MAX_INLINE: usize = MAX_COST / 2;
/// Expressions without loads that cost a GPU's compiler at most this, in statements, are computed again wherever they are used.
const MAX_PURE: usize = 160;

/// An inlined expression reads at most so many products that nothing else does: all of them wait for it in memory. (The sum of
/// a weight's gradients in a recurrent layer has one for each step.)
const MAX_PRODUCTS: usize = 4;

/// What plans call the copy of a value into its variable's memory.
pub(super) const ASSIGN: &str = "assign";

/// A part is written in so many places at most, by the kernel that computes it.
const MOST_PLACES: usize = 16;

/// The assemblies that a node is a part of, and where it begins in them.
type Wholes = SmallVec<[(usize, Axes<usize>); 1]>;

/// Kernels in a valid order, the buffers they use, and orders that no buffer shows.
pub(crate) struct Lowered {
    pub(crate) kernels: Vec<Step>,
    pub(crate) buffers: Vec<BufferInfo>,
    /// `(before, after)` pairs of kernels, besides those that follow from reading what another wrote.
    pub(crate) order: Vec<(usize, usize)>,
}

/// What decides whether a value is written out.
#[derive(Clone, Copy)]
struct Weight {
    /// How many kernels use it, if all are apart.
    uses: u32,
    /// A user takes it from memory only.
    must: bool,
    /// What its inlined expression costs a GPU's compiler, in statements.
    size: usize,
    /// It reads nothing and costs little, so it is computed again wherever it is used.
    pure: bool,
    /// Buffers that its inlined expression reads, at most.
    loads: usize,
    /// How many of these hold products that nothing else reads.
    products: usize,
}

impl Default for Weight {
    fn default() -> Self {
        Weight { uses: 0, must: false, size: 1, pure: false, loads: 1, products: 0 }
    }
}

impl Weight {
    /// Its users load it.
    fn write_out(&mut self) {
        (self.size, self.pure, self.loads, self.products) = (1, false, 1, 0);
    }
}

/// A value on its way into a variable's memory.
struct Assign {
    n: usize,
    source: BufId,
    target: BufId,
}

pub(super) struct Lower<'a> {
    pub(super) graph: Written<'a>,
    /// Views and gathers whose result is written out.
    forced: Vec<bool>,
    leaves: FxHashMap<u32, BufId>,
    fusion: bool,
    /// Distinct buffers a kernel may bind, its result among them.
    max_buffers: usize,
}

/// Lowers a graph. With `fusion` off every operation is written out (views are still folded).
pub(crate) fn lower(nodes: &[PlanNode], limits: Limits) -> Result<Lowered> {
    let mut slots = Vec::with_capacity(nodes.len());
    let mut next = 0usize;
    for node in nodes {
        slots.push(next as u16);
        next += node.op.params();
    }
    if next > usize::from(u16::MAX) || nodes.len() > usize::from(u16::MAX) {
        return Err(Error::internal("a flush of more than 65,535 nodes"));
    }
    let mut lower = Lower {
        graph: Written { nodes, slots, buffer: Vec::new(), buffers: Vec::new() },
        forced: vec![false; nodes.len()],
        leaves: FxHashMap::default(),
        fusion: limits.fusion,
        max_buffers: limits.max_buffers,
    };
    // Each failed attempt writes out more values, so this ends.
    loop {
        lower.choose();
        match lower.kernels() {
            _ if lower.graph.buffers.len() > usize::from(BufId::MAX) => {
                return Err(Error::internal("a flush of more than 65,535 buffers"));
            }
            Ok((kernels, order)) => return Ok(Lowered { kernels, buffers: lower.graph.buffers, order }),
            Err(stuck) => {
                for Stuck(n) in stuck {
                    if std::mem::replace(&mut lower.forced[n], true) {
                        return Err(Error::internal("a value that was written out stands in the way"));
                    }
                }
            }
        }
    }
}

impl Lower<'_> {
    /// The value a chain of folded views looks at.
    fn base(&self, mut n: usize) -> usize {
        while self.graph.nodes[n].leaf.is_none() && self.graph.nodes[n].op.is_view() && !self.forced[n] {
            n = self.graph.nodes[n].inputs[0] as usize;
        }
        n
    }

    /// A pending variable is another name for the value assigned to it.
    fn through(&self, mut n: usize) -> usize {
        loop {
            n = self.base(n);
            match &self.graph.nodes[n] {
                PlanNode { op: Op::Var, leaf: None, keep, inputs, .. } if *keep != Keep::Output => {
                    n = inputs[0] as usize
                }
                _ => return n,
            }
        }
    }

    /// How often each value is used, and which have to be written out for their users.
    fn uses(&self) -> Vec<Weight> {
        let mut weights = vec![Weight::default(); self.graph.nodes.len()];
        for (n, node) in self.graph.nodes.iter().enumerate() {
            let passes_on = matches!(node.op, Op::Var) && node.keep == Keep::No;
            // (A view that is a result is written out, and read like that.)
            let folds = node.op.is_view() && !self.forced[n] && node.keep == Keep::No;
            if node.leaf.is_some() || passes_on || folds {
                continue;
            }
            let mut seen: SmallVec<[usize; 3]> = SmallVec::new();
            for (i, &input) in node.inputs.iter().enumerate() {
                let base = self.through(input as usize);
                if !seen.contains(&base) {
                    seen.push(base);
                    weights[base].uses += 1;
                }
                weights[base].must |= node.op.is_opaque() || i == 0 && matches!(node.op, Op::Gather { .. });
            }
        }
        weights
    }

    /// Decides which values are written out and gives them buffers.
    fn choose(&mut self) {
        let nodes = self.graph.nodes;
        let mut weights = self.uses();
        self.graph.buffer = vec![None; nodes.len()];
        self.graph.buffers.clear();
        self.leaves.clear();
        let mut outputs = 0;
        for (n, node) in nodes.iter().enumerate() {
            if node.leaf.is_none() && node.op.is_pointwise() {
                (weights[n].loads, weights[n].products) = self.bound_loads(node, &mut weights);
            }
            let role = if let Some(leaf) = node.leaf {
                Some(Role::Leaf(leaf))
            } else if node.keep == Keep::Output {
                outputs += 1;
                Some(Role::Output(outputs - 1))
            } else if node.op.results() > 1 {
                // Its parts are written out.
                None
            } else if node.op.is_view() {
                let Weight { size, pure, loads, products, .. } = weights[node.inputs[0] as usize];
                weights[n] = Weight { size: size + 1, pure, loads, products, ..weights[n] };
                self.forced[n].then_some(Role::Temp { slot: 0 })
            } else if node.op.is_pointwise() {
                let pending = matches!(node.op, Op::Var);
                (self.is_written_out(n, &mut weights) && !pending).then_some(Role::Temp { slot: 0 })
            } else {
                Some(Role::Temp { slot: 0 })
            };
            if let Some(role) = role {
                weights[n].write_out();
                weights[n].products = usize::from(node.op.is_product() && weights[n].uses == 1);
                self.graph.buffer[n] = Some(self.new_buffer(role, node.dtype, node.shape.numel()));
            }
        }
    }

    /// Weighs a pointwise value, and decides whether it is written out (a pending variable never: it passes its input on).
    fn is_written_out(&self, n: usize, weights: &mut [Weight]) -> bool {
        let node = &self.graph.nodes[n];
        let (mut size, mut pure) = (node.op.cost(), !matches!(node.op, Op::Gather { .. }));
        for &input in &node.inputs {
            let written = self.graph.buffer[self.through(input as usize)].is_some();
            pure &= !written && weights[input as usize].pure;
            size += if written { 1 } else { weights[input as usize].size };
        }
        pure &= size <= MAX_PURE;
        weights[n] = Weight { size, pure, ..weights[n] };
        let shared = weights[n].uses > 1 && !pure || size > MAX_INLINE;
        let alone = !self.fusion && !node.inputs.is_empty() && !matches!(node.op, Op::Var);
        shared || alone || weights[n].must || self.forced[n]
    }

    /// How many buffers a pointwise node reads with its inputs inlined, and how many products of its own. Where these would be
    /// more than a kernel may bind, or than are to wait for it, the inputs that read most are written out.
    fn bound_loads(&mut self, node: &PlanNode, weights: &mut [Weight]) -> (usize, usize) {
        let mut bases: SmallVec<[usize; 3]> = node.inputs.iter().map(|&i| self.through(i as usize)).collect();
        bases.sort_unstable();
        bases.dedup();
        loop {
            let loads = bases.iter().map(|&b| if weights[b].pure { 0 } else { weights[b].loads }).sum::<usize>();
            let products = bases.iter().map(|&b| weights[b].products).sum::<usize>();
            let most = |of: fn(&Weight) -> usize| {
                let wide = bases.iter().copied().filter(|&b| self.graph.buffer[b].is_none() && of(&weights[b]) > 1);
                wide.max_by_key(|&b| of(&weights[b]))
            };
            let widest = if loads + 1 > self.max_buffers {
                most(|weight| weight.loads)
            } else if products > MAX_PRODUCTS {
                most(|weight| weight.products)
            } else {
                None
            };
            let Some(widest) = widest else { return (loads, products) };
            let PlanNode { dtype, shape, .. } = &self.graph.nodes[widest];
            self.graph.buffer[widest] = Some(self.new_buffer(Role::Temp { slot: 0 }, *dtype, shape.numel()));
            weights[widest].write_out();
        }
    }

    fn new_buffer(&mut self, role: Role, dtype: DType, len: usize) -> BufId {
        // One buffer per leaf, however many nodes name it.
        if let Role::Leaf(leaf) = role
            && let Some(&b) = self.leaves.get(&leaf)
        {
            return b;
        }
        let b = self.graph.buffers.len() as BufId;
        self.graph.buffers.push(BufferInfo { role, dtype, len });
        if let Role::Leaf(leaf) = role {
            self.leaves.insert(leaf, b);
        }
        b
    }

    /// One kernel for each value that is written out; or the values that must be, where some stand in the way.
    fn kernels(&mut self) -> std::result::Result<(Vec<Step>, Vec<(usize, usize)>), Vec<Stuck>> {
        let nodes = self.graph.nodes;
        let mut kernels: Vec<Step> = Vec::new();
        let mut order = Vec::new();
        let mut assigns = Vec::new();
        let mut stuck = Vec::new();
        let parts = self.wanted_parts();
        let wholes = self.wholes();
        for (n, node) in nodes.iter().enumerate() {
            // Parts are written by the kernel that computes all of them.
            if node.leaf.is_some() || matches!(node.op, Op::Part(_)) {
                continue;
            }
            if let Keep::InPlace(leaf) = node.keep {
                if node.shape.numel() > 0 {
                    assigns.push(self.assigned(n, leaf, &mut kernels, &mut stuck));
                }
                continue;
            }
            if node.op.results() > 1 {
                match self.opaque(n, &parts[n]) {
                    Ok(kernel) if !kernel.program.stores.is_empty() => kernels.push(kernel),
                    Ok(_) => {}
                    Err(view) => stuck.push(view),
                }
                continue;
            }
            let Some(buf) = self.graph.buffer[n].filter(|_| node.shape.numel() > 0) else { continue };
            let made = match &node.op {
                Op::Reduce { .. } => self.reduce(n, buf).map(|k| kernels.push(k)),
                Op::Assemble { .. } => self.assemble(n, &wholes, &mut kernels, &mut order),
                op if op.is_pointwise() || op.is_view() => self.pointwise(n, n, buf).map(|k| kernels.push(k)),
                _ => self.opaque(n, &[(0, buf)]).map(|k| kernels.push(k)),
            };
            stuck.extend(made.err());
        }
        if !stuck.is_empty() {
            stuck.sort_unstable();
            stuck.dedup();
            return Err(stuck);
        }
        self.assign(assigns, &mut kernels, &mut order);
        Ok((kernels, order))
    }

    /// For each node with several results: which of them are wanted, and where.
    fn wanted_parts(&self) -> Vec<SmallVec<[(u8, BufId); 2]>> {
        let mut parts: Vec<SmallVec<[(u8, BufId); 2]>> = vec![SmallVec::new(); self.graph.nodes.len()];
        for (node, buf) in self.graph.nodes.iter().zip(&self.graph.buffer) {
            if let (Op::Part(i), None, Some(buf)) = (&node.op, node.leaf, *buf) {
                parts[node.inputs[0] as usize].push((*i, buf));
            }
        }
        parts
    }

    /// A value for a variable's memory, which is written out elsewhere first: the node, that buffer, and the variable's.
    fn assigned(&mut self, n: usize, leaf: u32, kernels: &mut Vec<Step>, stuck: &mut Vec<Stuck>) -> Assign {
        let node = &self.graph.nodes[n];
        let input = node.inputs[0] as usize;
        let target = self.new_buffer(Role::Leaf(leaf), node.dtype, node.shape.numel());
        let written = self.graph.buffer[input].filter(|&b| !self.graph.buffers[b as usize].is_leaf());
        let source = written.unwrap_or_else(|| {
            let temp = self.new_buffer(Role::Temp { slot: 0 }, node.dtype, node.shape.numel());
            match self.pointwise(n, input, temp) {
                Ok(kernel) => kernels.push(kernel),
                Err(view) => stuck.push(view),
            }
            temp
        });
        Assign { n, source, target }
    }

    /// Assignments: each a copy into the variable's storage, after every kernel that reads the old value. Fusion makes
    /// the copy a part of the kernel that computes the value wherever that order allows it.
    fn assign(&self, assigns: Vec<Assign>, kernels: &mut Vec<Step>, order: &mut Vec<(usize, usize)>) {
        let mut readers: FxHashMap<BufId, Vec<usize>> = assigns.iter().map(|a| (a.target, Vec::new())).collect();
        for (k, kernel) in kernels.iter().enumerate() {
            for buf in kernel.reads() {
                if let Some(list) = readers.get_mut(&buf) {
                    list.push(k);
                }
            }
        }
        for Assign { n, source, target } in assigns {
            let mut before = readers.remove(&target).unwrap_or_default();
            before.dedup();
            order.extend(before.into_iter().map(|k| (k, kernels.len())));
            let node = &self.graph.nodes[n];
            let space = squeeze(&node.shape);
            let at = Access::contiguous(&space);
            let instr = Instr::Load { buf: source, at: at.clone(), gather: SmallVec::new() };
            let program = Program {
                lines: vec![Line { instr, dtype: node.dtype.register(), inner: false }],
                stores: vec![Store { reg: 0, buf: target, at, inner: false }],
            };
            kernels.push(Step { ops: vec![ASSIGN], at: node.at, ..Step::nest(&space, &[], program) });
        }
    }

    /// Builds until no dimension needs splitting: `build` gets the space and mask of each attempt.
    fn attempt<T>(
        &self,
        space: Space,
        mask: u32,
        mut build: impl FnMut(&mut Builder<'_>) -> std::result::Result<T, Stop>,
    ) -> Built<(T, Builder<'_>)> {
        let (mut space, mut mask) = (space, mask);
        loop {
            let mut builder = Builder::new(&self.graph, space.clone(), mask);
            match build(&mut builder) {
                Ok(out) => return Ok((out, builder)),
                Err(Stop::Force(view)) => return Err(Stuck(view)),
                Err(Stop::Split { dim, inner }) => {
                    let outer = space[dim] / inner;
                    space[dim] = inner;
                    space.insert(dim, outer);
                    let low = mask & ((1 << dim) - 1);
                    let bit = mask >> dim & 1;
                    mask = low | bit << dim | (mask >> dim) << (dim + 1);
                }
            }
        }
    }

    /// A kernel that computes `n` pointwise (or reads it, if it is written already) and writes it to `buf`, in the space of node `of`.
    fn pointwise(&self, of: usize, n: usize, buf: BufId) -> Built<Step> {
        let node = &self.graph.nodes[of];
        let root = of == n;
        let (reg, builder) = self.attempt(squeeze(&node.shape), 0, |b| {
            let at = Access::contiguous(&b.space);
            if root { b.compute(n, at) } else { b.value(n, at) }
        })?;
        let at = Access::contiguous(&builder.space);
        let mut kernel = builder.finish(node, reg, buf, at);
        kernel.tidy();
        Ok(kernel)
    }

    fn reduce(&self, n: usize, buf: BufId) -> Built<Step> {
        let node = &self.graph.nodes[n];
        let Op::Reduce { op, axes } = node.op else { unreachable!("called for reductions") };
        let input = node.inputs[0] as usize;
        let from = &self.graph.nodes[input].shape;
        let reduce = |b: &mut Builder<'_>, value: Reg| {
            // Every reduction reads an inner line.
            let line = Line { instr: Instr::Repeat(value), dtype: b.lines[value as usize].dtype, inner: true };
            let value = b.push(line);
            b.push(Line { instr: Instr::Reduce(op, value), dtype: node.dtype.register(), inner: false })
        };
        if from.numel() == 0 {
            // Nothing to reduce: the operation's identity, over an empty inner space.
            let space: Space = SmallVec::from_slice(&[node.shape.numel(), 0]);
            let dtype = self.graph.nodes[input].dtype.register();
            let (reg, builder) = self.attempt(space, 0b10, |b| {
                let value =
                    b.push(Line { instr: Instr::Index { at: Access::constant(2) }, dtype: DType::I32, inner: true });
                let value = b.push(Line { instr: Instr::Cast(value), dtype, inner: true });
                Ok(reduce(b, value))
            })?;
            let at = Access { offset: 0, strides: SmallVec::from_slice(&[1, 0]) };
            return Ok(builder.finish(node, reg, buf, at));
        }
        let mut mask = 0;
        let mut space: Space = SmallVec::new();
        for (d, &extent) in from.iter().enumerate() {
            if extent != 1 {
                mask |= (axes >> d & 1) << space.len();
                space.push(extent);
            }
        }
        let (reg, builder) = self.attempt(space, mask, |b| {
            let at = Access::contiguous(&b.space);
            let value = b.value(input, at)?;
            // Over extents of 1 alone there is nothing to combine.
            Ok(if mask == 0 { value } else { reduce(b, value) })
        })?;
        // The result is contiguous over the outer dimensions.
        let mut at = Access::constant(builder.space.len());
        let mut step = 1;
        for d in (0..builder.space.len()).rev() {
            if builder.mask >> d & 1 == 0 {
                at.strides[d] = step;
                step *= builder.space[d] as i64;
            }
        }
        let mut kernel = builder.finish(node, reg, buf, at);
        kernel.tidy();
        Ok(kernel)
    }

    /// For each assembly those that it is a part of, and where in them: its own parts are written there too. (A background
    /// would have to come first.) None where that would be in too many places: then it is copied.
    fn wholes(&self) -> Vec<Wholes> {
        let nodes = &self.graph.nodes;
        let plain = |node: &PlanNode| node.leaf.is_none() && matches!(node.op, Op::Assemble { fill: false, .. });
        let mut wholes = vec![Wholes::new(); nodes.len()];
        for (n, node) in nodes.iter().enumerate().filter(|(_, node)| plain(node)) {
            let Op::Assemble { starts, .. } = &node.op else { unreachable!("only assemblies are plain ones") };
            for (&part, start) in node.inputs.iter().zip(starts).filter(|(part, _)| plain(&nodes[**part as usize])) {
                wholes[part as usize].push((n, start.clone()));
            }
        }
        // A part comes before its wholes.
        let mut places = vec![1; nodes.len()];
        for n in (0..nodes.len()).rev() {
            let outside: usize = wholes[n].iter().map(|(outer, _)| places[*outer]).sum();
            if outside < MOST_PLACES {
                places[n] += outside;
            } else {
                wholes[n].clear();
            }
        }
        wholes
    }

    /// Each part is a kernel of its own that writes into a slice of the result, and of whatever that is a part of in its turn.
    fn assemble(
        &self,
        n: usize,
        wholes: &[Wholes],
        kernels: &mut Vec<Step>,
        order: &mut Vec<(usize, usize)>,
    ) -> Built<()> {
        let node = &self.graph.nodes[n];
        let Op::Assemble { starts, fill } = &node.op else { unreachable!("called for assemblies") };
        let buffer = |n: usize| self.graph.buffer[n].expect("assemblies are written out");
        // All it goes into, and where it begins there.
        let mut into: SmallVec<[(usize, Axes<usize>); 2]> = smallvec![(n, smallvec![0; node.shape.rank()])];
        let mut background = None;
        if *fill {
            kernels.push(self.pointwise(n, node.inputs[starts.len()] as usize, buffer(n))?);
            background = Some(kernels.len() - 1);
        } else {
            let mut next = 0;
            while let Some((whole, at)) = into.get(next).cloned() {
                let within = |start: &Axes<usize>| at.iter().zip(start).map(|(a, b)| a + b).collect();
                into.extend(wholes[whole].iter().map(|(outer, start)| (*outer, within(start))));
                next += 1;
            }
        }
        for (part, start) in starts.iter().enumerate() {
            let input = node.inputs[part] as usize;
            let shape = &self.graph.nodes[input].shape;
            // (Its own parts go here too.)
            let written = !*fill && wholes[input].iter().any(|(outer, _)| *outer == n);
            if shape.numel() == 0 || written {
                continue;
            }
            let (reg, builder) = self.attempt(squeeze(shape), 0, |b| {
                let at = Access::contiguous(&b.space);
                b.value(input, at)
            })?;
            let whole: SmallVec<[usize; 8]> = shape.iter().copied().collect();
            let coarse = squeeze(shape);
            let space = builder.space.clone();
            let store = |(outer, at): &(usize, Axes<usize>)| {
                let to = &self.graph.nodes[*outer].shape;
                let within = Access { offset: 0, strides: to.strides()[..to.rank()].iter().copied().collect() };
                let within = within.merge_ones(&whole).split(&coarse, &space);
                (buffer(*outer), Access { offset: element(at, to) + element(start, to), ..within })
            };
            let (buf, at) = store(&into[0]);
            let mut kernel = builder.finish(node, reg, buf, at);
            for (buf, at) in into[1..].iter().map(store) {
                kernel.program.stores.push(Store { reg, buf, at, inner: false });
            }
            kernel.tidy();
            // In kernels of as many results as one may bind.
            let mut stores = std::mem::take(&mut kernel.program.stores).into_iter();
            while let Some(first) = stores.next() {
                let mut kernel = kernel.clone();
                kernel.program.stores.push(first);
                while kernel.buffers().len() < self.max_buffers
                    && let Some(next) = stores.next()
                {
                    kernel.program.stores.push(next);
                }
                kernels.push(kernel);
                order.extend(background.map(|first| (first, kernels.len() - 1)));
            }
        }
        Ok(())
    }

    /// A step of a family; `results`: which of its results go where.
    fn opaque(&self, n: usize, results: &[(u8, BufId)]) -> Built<Step> {
        let node = &self.graph.nodes[n];
        let (family, operands): (Family, SmallVec<[BufId; 4]>) = match &node.op {
            Op::MatMul => self.matmul(node)?,
            Op::Conv(g) | Op::ConvInputGrad(g) | Op::ConvKernelGrad(g) => self.convolution(node, **g)?,
            Op::Family(family) => {
                let operands = node.inputs.iter().map(|&i| self.graph.dense(i as usize)).collect::<Built<_>>()?;
                ((**family).clone(), operands)
            }
            op => unreachable!("{} is not opaque", op.name()),
        };
        let mut step = Step::new(family, &operands, Program::default());
        let at = Access::contiguous(&step.space);
        for (reg, &(i, buf)) in results.iter().enumerate() {
            let dtype = self.graph.buffers[buf as usize].dtype.register();
            step.program.lines.push(Line { instr: Instr::Acc(i), dtype, inner: false });
            step.program.stores.push(Store { reg: reg as Reg, buf, at: at.clone(), inner: false });
        }
        Ok(Step { ops: vec![node.op.name()], at: node.at, ..step })
    }
}

/// Which element of a tensor is at these coordinates.
fn element(at: &[usize], shape: &Shape) -> i64 {
    at.iter().zip(shape.strides()).map(|(&i, stride)| i as i64 * stride).sum()
}

impl Access {
    /// Drops the dimensions of extent 1.
    fn merge_ones(&self, space: &[usize]) -> Access {
        let strides = space.iter().zip(&self.strides).filter(|(e, _)| **e != 1).map(|(_, &s)| s).collect();
        Access { offset: self.offset, strides }
    }
}
