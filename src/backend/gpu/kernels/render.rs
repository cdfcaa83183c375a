//! Programs as WGSL statements.

use std::collections::HashMap;

use super::lanes::Lanes;
use super::{Build, storage_type, value_type};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::program::{Access, Gather, Instr, Reg, Store};

/// Members of a vector, by lane.
pub(super) const LANES: [&str; 4] = ["x", "y", "z", "w"];

/// Functions of so many statements are called in a loop over the lanes.
const LONG: usize = 8;

/// One level of a program's space: how its linear index and its coordinates are called in the shader.
pub(super) struct Coordinates {
    extents: Vec<usize>,
    linear: String,
    coords: Vec<String>,
    /// The first `decoded` coordinates are taken from this index; the others are there already.
    source: String,
    decoded: usize,
    used: bool,
}

impl Coordinates {
    /// A space walked by the linear index `linear`.
    pub(super) fn new(extents: &[usize], linear: &str) -> Self {
        Self::given(extents, linear, linear, &[])
    }

    /// A space whose last coordinates are called `given`, and whose first ones are decoded from the index `source`.
    pub(super) fn given(extents: &[usize], linear: &str, source: &str, given: &[&str]) -> Self {
        let decoded = extents.len() - given.len();
        let first = (0..decoded).map(|d| if decoded == 1 { source.to_string() } else { format!("{source}{d}") });
        let coords = first.chain(given.iter().map(|s| s.to_string())).collect();
        Coordinates {
            extents: extents.to_vec(),
            linear: linear.to_string(),
            coords,
            source: source.to_string(),
            decoded,
            used: false,
        }
    }

    /// `sum(strides[d] * coordinate[d])`, `None` where that is 0. Dimensions of one point do not count.
    pub(super) fn address(&mut self, strides: &[i64], cx: &mut Build) -> Option<String> {
        let dims: Vec<usize> = (0..self.extents.len()).filter(|&d| self.extents[d] != 1 && strides[d] != 0).collect();
        let &last = dims.last()?;
        let unit = strides[last];
        let mut expect = unit;
        let contiguous = (0..self.extents.len()).rev().filter(|&d| self.extents[d] != 1).all(|d| {
            let fits = strides[d] == expect;
            expect = expect.wrapping_mul(self.extents[d] as i64);
            fits
        });
        let mut term = |name: &str, stride: i64| match stride {
            1 => name.to_string(),
            _ => format!("{name} * {}", cx.stride(stride)),
        };
        if contiguous {
            return Some(term(&self.linear, unit));
        }
        self.used |= dims.iter().any(|&d| d < self.decoded) && self.decoded > 1;
        let terms: Vec<String> = dims.iter().map(|&d| term(&self.coords[d], strides[d])).collect();
        Some(terms.join(" + "))
    }

    /// The statements that find the coordinates, if any address needs them.
    pub(super) fn decode(&self, cx: &mut Build, out: &mut Vec<String>) {
        if !self.used {
            return;
        }
        let mut rest = self.source.clone();
        for d in (1..self.decoded).rev() {
            let extent = cx.size(self.extents[d]);
            let name = &self.coords[d];
            out.push(format!("let {name}_up = {rest} / {extent};"));
            out.push(format!("let {name} = {rest} - {name}_up * {extent};"));
            rest = format!("{name}_up");
        }
        out.push(format!("let {} = {rest};", self.coords[0]));
    }
}

/// Renders the lines and stores of one program.
pub(super) struct Emitter<'a> {
    pub(super) cx: Build<'a>,
    pub(super) lanes: Lanes,
    pub(super) outer: Coordinates,
    pub(super) inner: Coordinates,
    /// The names of the values that `Acc` reads: vectors where there are four lanes.
    pub(super) accs: &'static [&'static str],
    /// Statements that must precede all others: addresses of the outer level.
    pub(super) hoisted: Vec<String>,
    addresses: HashMap<(Access, bool), String>,
    /// Words that belong to one line: lane strides, streams, extents and strides of gathers.
    own: HashMap<(Reg, usize), String>,
}

impl<'a> Emitter<'a> {
    /// `outer` and `inner` count elements, also along the dimension that is cut into lanes.
    pub(super) fn new(cx: Build<'a>, lanes: Lanes, mut outer: Coordinates, mut inner: Coordinates) -> Self {
        let (hoisted, addresses, own) = Default::default();
        let mut extents = outer.extents.iter_mut().chain(&mut inner.extents);
        if let Some(cut) = lanes.along.and_then(|d| extents.nth(d)) {
            *cut /= 4;
        }
        let mut e = Emitter { cx, lanes, outer, inner, accs: &[], hoisted, addresses, own };
        for store in &e.lanes.program.stores {
            if e.cx.dtype(store.buf).is_narrow() && !e.lanes.stores(store) {
                e.cx.shared_words.push(e.cx.step.bufs[usize::from(store.buf)]);
            }
        }
        e
    }

    /// The `n`th word of a line; rendering the line again finds it again.
    fn own_word(&mut self, reg: Reg, n: usize, value: u32) -> String {
        let cx = &mut self.cx;
        self.own.entry((reg, n)).or_insert_with(|| cx.word(value)).clone()
    }

    /// The name of a register in a lane.
    pub(super) fn name(&self, reg: Reg, lane: usize) -> String {
        if self.lanes.varies[reg as usize] { format!("r{reg}_{lane}") } else { format!("r{reg}") }
    }

    pub(super) fn dtype(&self, reg: Reg) -> DType {
        self.lanes.program.lines[reg as usize].dtype
    }

    /// The statements of a line other than a reduction.
    pub(super) fn line(&mut self, reg: Reg, out: &mut Vec<String>) -> Result<()> {
        let line = self.lanes.program.lines[reg as usize].clone();
        let ty = value_type(line.dtype)?;
        let lanes = if self.lanes.varies[reg as usize] { self.lanes.width() } else { 1 };
        if let Instr::Load { buf, at, gather } = &line.instr {
            return self.load(reg, *buf, at, gather, line.inner, lanes, out);
        }
        if let Instr::Random { at, key, stream, .. } = &line.instr {
            self.random(reg, at, *key, *stream, line.inner, lanes, out);
        }
        if lanes == 4 && line.cost() >= LONG && self.in_turn(reg, &line.instr, ty, out)? {
            return Ok(());
        }
        for lane in 0..lanes {
            let value = self.value(reg, &line.instr, line.inner, lane)?;
            out.push(format!("let {}: {ty} = {value};", self.name(reg, lane)));
        }
        Ok(())
    }

    /// A long function of four lanes, in a loop: a driver's compiler gets one copy of it and unrolls it if it likes. Each
    /// turn takes the first lane's value and puts its result behind the last one's. Gives whether the instruction is such a function.
    fn in_turn(&self, reg: Reg, instr: &Instr, ty: &str, out: &mut Vec<String>) -> Result<bool> {
        let vector = |x: Reg| [0, 1, 2, 3].map(|lane| self.name(x, lane)).join(", ");
        let (first, second, value) = match instr {
            Instr::Unary(f, x) => (*x, None, substitute(f.expression(self.dtype(*x)), &[("x", &format!("v{reg}.x"))])),
            Instr::Binary(f, a, b) => {
                let names = [("a", &*format!("v{reg}.x")), ("b", &*format!("w{reg}.x"))];
                (*a, Some(*b), substitute(f.expression(self.dtype(*a)), &names))
            }
            _ => return Ok(false),
        };
        if value_type(self.dtype(first))? != ty {
            return Ok(false);
        }
        out.push(format!("var v{reg} = vec4<{ty}>({});", vector(first)));
        let mut turn = format!("v{reg} = vec4<{ty}>(v{reg}.yzw, {value});");
        if let Some(second) = second {
            out.push(format!("var w{reg} = vec4<{ty}>({});", vector(second)));
            turn += &format!(" w{reg} = w{reg}.yzwx;");
        }
        out.push(format!("for (var turn = 0u; turn < 4u; turn++) {{ {turn} }}"));
        out.extend((0..4).map(|lane| format!("let {}: {ty} = v{reg}.{};", self.name(reg, lane), LANES[lane])));
        Ok(true)
    }

    fn value(&mut self, reg: Reg, instr: &Instr, inner: bool, lane: usize) -> Result<String> {
        let dtype = self.dtype(reg);
        Ok(match instr {
            Instr::Index { at } => format!("bitcast<i32>({})", self.lane_address(reg, at, inner, lane)),
            Instr::Param { slot } => from_bits(dtype, &self.cx.param(*slot, dtype)),
            Instr::Random { .. } if self.lanes.wide[reg as usize] => format!("r{reg}_bits.{}", LANES[lane]),
            Instr::Random { .. } => format!("{}_bits", self.name(reg, lane)),
            Instr::Acc(i) => match (self.accs.get(usize::from(*i)), self.lanes.width()) {
                (Some(acc), 1) => acc.to_string(),
                (Some(acc), _) => format!("{acc}.{}", LANES[lane]),
                (None, _) => return Err(Error::internal("a result that the family does not have")),
            },
            Instr::Unary(f, x) => substitute(f.expression(self.dtype(*x)), &[("x", &self.name(*x, lane))]),
            Instr::Binary(f, a, b) => {
                let (a_name, b_name) = (self.name(*a, lane), self.name(*b, lane));
                substitute(f.expression(self.dtype(*a)), &[("a", &a_name), ("b", &b_name)])
            }
            Instr::Select(c, a, b) => {
                format!("select({}, {}, {})", self.name(*b, lane), self.name(*a, lane), self.name(*c, lane))
            }
            Instr::Repeat(x) => self.name(*x, lane),
            Instr::Cast(x) => cast(self.dtype(*x), dtype, &self.name(*x, lane)),
            Instr::Load { .. } | Instr::Reduce(..) => return Err(Error::internal("not a pointwise line")),
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one instruction")]
    fn load(
        &mut self,
        reg: Reg,
        buf: u16,
        at: &Access,
        gather: &[Gather],
        inner: bool,
        lanes: usize,
        out: &mut Vec<String>,
    ) -> Result<()> {
        let dtype = self.dtype(reg);
        let wide = self.lanes.wide[reg as usize];
        let b = self.cx.buffer(buf, wide, false)?;
        let raw = storage_type(dtype, false)?;
        let ty = value_type(dtype)?;
        let place = Narrow::of(&self.cx, buf, b);
        if wide {
            let address = self.address(at, inner);
            let element = |address: &str| match &place {
                Some(narrow) => format!("vec4<{raw}>({})", narrow.four(address)),
                None => format!("b{b}[{address}]"),
            };
            match self.gathers(reg, gather, &format!("v{reg}"), 0, out)? {
                None => out.push(format!("let v{reg} = {};", element(&address))),
                Some((inside, shift)) => {
                    let bad = if dtype.is_float() { "k_float(0x7fc00000u)" } else { "" };
                    out.push(format!("var v{reg} = vec4<{raw}>({bad});"));
                    let value = element(&format!("{address}{shift}"));
                    out.push(format!("if {inside} {{ v{reg} = {value}; }}"));
                }
            }
            for lane in 0..lanes {
                let value = from_storage(dtype, &format!("v{reg}.{}", LANES[lane]));
                out.push(format!("let {}: {ty} = {value};", self.name(reg, lane)));
            }
            return Ok(());
        }
        let element = |address: &str| match &place {
            Some(narrow) => narrow.one(address),
            None => from_storage(dtype, &format!("b{b}[{address}]")),
        };
        for lane in 0..lanes {
            let address = self.lane_address(reg, at, inner, lane);
            let name = self.name(reg, lane);
            match self.gathers(reg, gather, &name, lane, out)? {
                None => out.push(format!("let {name}: {ty} = {};", element(&address))),
                Some((inside, shift)) => {
                    let bad = if dtype.is_float() { "k_float(0x7fc00000u)" } else { "" };
                    out.push(format!("var {name} = {ty}({bad});"));
                    let value = element(&format!("{address}{shift}"));
                    out.push(format!("if {inside} {{ {name} = {value}; }}"));
                }
            }
        }
        Ok(())
    }

    /// Wraps the indices of a load; gives the test that they are inside and what they add to the address.
    fn gathers(
        &mut self,
        reg: Reg,
        gather: &[Gather],
        name: &str,
        lane: usize,
        out: &mut Vec<String>,
    ) -> Result<Option<(String, String)>> {
        let (mut inside, mut shift) = (Vec::new(), String::new());
        for (n, g) in gather.iter().enumerate() {
            let extent = self.own_word(reg, 2 * n + 2, g.extent as u32);
            let stride = self.own_word(reg, 2 * n + 3, g.stride as u32);
            let index = self.name(g.index, lane);
            let at = match self.dtype(g.index) {
                DType::I32 => format!("k_wrap({index}, {extent})"),
                DType::U32 => index,
                other => return Err(Error::internal(format!("an index of {other}"))),
            };
            out.push(format!("let {name}_at{n} = {at};"));
            inside.push(format!("{name}_at{n} < {extent}"));
            shift.push_str(&format!(" + {name}_at{n} * {stride}"));
        }
        Ok((!inside.is_empty()).then(|| (inside.join(" && "), shift)))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one instruction")]
    fn random(
        &mut self,
        reg: Reg,
        at: &Access,
        key: u16,
        stream: u32,
        inner: bool,
        lanes: usize,
        out: &mut Vec<String>,
    ) {
        let stream = self.own_word(reg, 1, stream);
        let (low, high) = (self.cx.param(key, DType::U32), self.cx.param(key + 1, DType::U32));
        if self.lanes.wide[reg as usize] {
            let address = self.address(at, inner);
            out.push(format!("let r{reg}_bits = k_philox({address}, {stream}, {low}, {high});"));
            return;
        }
        for lane in 0..lanes {
            let address = self.lane_address(reg, at, inner, lane);
            let name = self.name(reg, lane);
            out.push(format!("let {name}_bits = k_random({address}, {stream}, {low}, {high});"));
        }
    }

    /// The statement of a store.
    pub(super) fn store(&mut self, store: &Store, out: &mut Vec<String>) -> Result<()> {
        let dtype = self.dtype(store.reg);
        let wide = self.lanes.stores(store);
        let b = self.cx.buffer(store.buf, wide, true)?;
        let address = self.address(&store.at, store.inner);
        if let Some(narrow) = Narrow::of(&self.cx, store.buf, b) {
            let names: Vec<String> = (0..if wide { 4 } else { 1 }).map(|lane| self.name(store.reg, lane)).collect();
            out.extend(if wide { narrow.store_four(&address, &names) } else { narrow.store(&address, &names[0]) });
            return Ok(());
        }
        let value = |name: String| if dtype == DType::Bool { format!("u32({name})") } else { name };
        if wide {
            let lanes: Vec<String> = (0..4).map(|lane| value(self.name(store.reg, lane))).collect();
            out.push(format!("b{b}[{address}] = {}({});", storage_type(dtype, true)?, lanes.join(", ")));
        } else {
            out.push(format!("b{b}[{address}] = {};", value(self.name(store.reg, 0))));
        }
        Ok(())
    }

    fn lane_address(&mut self, reg: Reg, at: &Access, inner: bool, lane: usize) -> String {
        let address = self.address(at, inner);
        let stride = self.lanes.stride[reg as usize];
        match (lane, stride) {
            (0, _) | (_, 0) => address,
            (_, 1) => format!("{address} + {lane}u"),
            _ => {
                let word = self.own_word(reg, 0, stride as u32);
                format!("{address} + {lane}u * {word}")
            }
        }
    }

    /// The expression of an address; what depends on the outer point alone is hoisted.
    pub(super) fn address(&mut self, at: &Access, inner: bool) -> String {
        let key = (at.clone(), inner);
        if let Some(known) = self.addresses.get(&key) {
            return known.clone();
        }
        let rank = self.outer.extents.len();
        let mut terms = Vec::new();
        if at.offset != 0 {
            terms.push(self.cx.stride(at.offset));
        }
        terms.extend(self.outer.address(&at.strides[..rank], &mut self.cx));
        let mut whole = terms.join(" + ");
        if terms.len() > 1 || whole.contains('*') || whole.contains('+') {
            let name = format!("a{}", self.hoisted.len());
            self.hoisted.push(format!("let {name} = {whole};"));
            whole = name;
        }
        if inner && let Some(moving) = self.inner.address(&at.strides[rank..], &mut self.cx) {
            whole = if whole.is_empty() { moving } else { format!("{whole} + {moving}") };
        }
        if whole.is_empty() {
            whole.push_str("0u");
        }
        self.addresses.insert(key, whole.clone());
        whole
    }
}

/// A buffer of a narrow type: an array of words of several elements each.
struct Narrow {
    buffer: usize,
    /// The type's name in `shaders/narrow.wgsl`.
    name: DType,
    /// Its words are atomic.
    shared: bool,
}

impl Narrow {
    /// Buffer `buf` of the step, bound as `b{buffer}`, if it is of a narrow type.
    fn of(cx: &Build, buf: u16, buffer: usize) -> Option<Self> {
        let (name, shared) = (cx.dtype(buf), cx.slots[buffer].1.ty == "atomic<u32>");
        name.is_narrow().then_some(Narrow { buffer, name, shared })
    }

    /// Elements of a word, as a power of two.
    fn log(&self) -> u32 {
        (4 / self.name.size() as u32).ilog2()
    }

    fn word(&self, at: &str) -> String {
        match self.shared {
            true => format!("atomicLoad(&b{}[{at}])", self.buffer),
            false => format!("b{}[{at}]", self.buffer),
        }
    }

    /// The bits before the element at an address in its word.
    fn shift(&self, address: &str) -> String {
        format!("((({address}) & {}u) * {}u)", (1 << self.log()) - 1, 8 * self.name.size())
    }

    /// The element at an address.
    fn one(&self, address: &str) -> String {
        let word = self.word(&format!("({address}) >> {}u", self.log()));
        format!("k_{}({word} >> {})", self.name, self.shift(address))
    }

    /// Four elements, from the address of a vector.
    fn four(&self, address: &str) -> String {
        let (words, bits) = (self.name.size(), 8 * self.name.size());
        let word = |lane: usize| match words {
            1 => self.word(address),
            _ => self.word(&format!("({address}) * {words}u + {}u", lane * words / 4)),
        };
        let element = |lane| format!("k_{}({} >> {}u)", self.name, word(lane), lane * bits % 32);
        (0..4).map(element).collect::<Vec<_>>().join(", ")
    }

    /// The bits of a value.
    fn bits(&self, value: &str) -> String {
        format!("k_to_{}({value})", self.name)
    }

    /// Stores a value into its part of a word, which other threads share: each changes its own bits alone, so that the
    /// result does not depend on their order.
    fn store(&self, address: &str, value: &str) -> Vec<String> {
        let (word, shift) = (format!("&b{}[({address}) >> {}u]", self.buffer, self.log()), self.shift(address));
        let mask = format!("{}u", (1u32 << (8 * self.name.size())) - 1);
        vec![
            format!("atomicAnd({word}, ~({mask} << {shift}));"),
            format!("atomicOr({word}, {} << {shift});", self.bits(value)),
        ]
    }

    /// Stores four values at the address of a vector.
    fn store_four(&self, address: &str, values: &[String]) -> Vec<String> {
        let (words, bits) = (self.name.size(), 8 * self.name.size());
        let store = |word: usize| {
            let mine = &values[word * 4 / words..(word + 1) * 4 / words];
            let parts = mine.iter().enumerate().map(|(i, v)| format!("({} << {}u)", self.bits(v), i * bits));
            let value = parts.collect::<Vec<_>>().join(" | ");
            match words {
                1 => format!("b{}[{address}] = {value};", self.buffer),
                _ => format!("b{}[({address}) * {words}u + {word}u] = {value};", self.buffer),
            }
        };
        (0..words).map(store).collect()
    }
}

/// A value of `dtype` from the bits of a uniform word.
fn from_bits(dtype: DType, word: &str) -> String {
    match dtype {
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => format!("bitcast<f32>({word})"),
        DType::I8 | DType::I32 => format!("bitcast<i32>({word})"),
        DType::U8 | DType::U32 => word.to_string(),
        DType::Bool => format!("({word} != 0u)"),
    }
}

/// A value of `dtype` from an element of a buffer.
pub(super) fn from_storage(dtype: DType, element: &str) -> String {
    if dtype == DType::Bool { format!("({element} != 0u)") } else { element.to_string() }
}

/// A conversion. Floats saturate (WGSL's own conversion leaves NaN open), integers keep their bits.
fn cast(from: DType, to: DType, x: &str) -> String {
    match (from, to) {
        (a, b) if a == b => x.to_string(),
        (DType::F32, DType::I32) => format!("k_f32_to_i32({x})"),
        (DType::F32, DType::U32) => format!("k_f32_to_u32({x})"),
        (DType::F32, DType::Bool) => format!("((bitcast<u32>({x}) & 0x7fffffffu) != 0u)"),
        (DType::I32, DType::Bool) => format!("({x} != 0i)"),
        (DType::U32, DType::Bool) => format!("({x} != 0u)"),
        (_, DType::I32) => format!("i32({x})"),
        (_, DType::U32) => format!("u32({x})"),
        _ => format!("f32({x})"),
    }
}

/// `expression` with whole identifiers replaced. Members (`.x`) are not identifiers.
pub(super) fn substitute(expression: &str, names: &[(&str, &str)]) -> String {
    replace(expression, |token| names.iter().find(|(from, _)| *from == token).map(|(_, to)| to.to_string()))
}

/// `expression` with the whole identifiers replaced for which `to` gives something.
pub(super) fn replace(expression: &str, to: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(expression.len() + 16);
    let mut rest = expression;
    let mut member = false;
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = if word(first) { rest.find(|c| !word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        let (token, tail) = rest.split_at(end);
        match to(token).filter(|_| !member) {
            Some(name) => out.push_str(&name),
            None => out.push_str(token),
        }
        member = token == ".";
        rest = tail;
    }
    out
}
