//! Random graphs computed several ways: fused with everything dropped that can be, with every handle held, with every
//! node realised on its own, and in `f64` on the CPU.

use wgtensor::{ConvOptions, DType, Device, Padding, PoolOptions, Result, Tensor, Var};

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

/// What happens to a value once it is recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// Nothing: handles go as the dice say, everything else at the end, and then the results are read.
    Dropped,
    /// All handles stay and one flush computes all.
    Held,
    /// It is realised at once.
    Alone,
}

/// A graph that grows. What it does depends on the dice and on shapes alone, so it is the same on every device.
struct Graph<'a> {
    dice: Dice,
    device: &'a Device,
    dtype: DType,
    way: Way,
    /// What has more elements than this is cut, so that graphs stay small.
    most: usize,
    /// Whether gradients will be asked for: then nothing is assigned (its past would be gone) and nothing chooses among
    /// several elements (rounding might choose another).
    smooth: bool,
    /// Of magnitudes near 1, so that any operation may follow any other. All operations are continuous.
    values: Vec<Tensor>,
    /// Of numbers from 0 to 4.
    integers: Tensor,
    vars: Vec<Var>,
    log: Vec<String>,
}

impl Graph<'_> {
    fn push(&mut self, what: &str, value: Tensor) -> Result<()> {
        let mut value = value;
        while value.numel() > self.most {
            let axis = (0..value.rank()).max_by_key(|&d| value.dims()[d]).expect("of many elements");
            value = value.narrow(axis, 1, value.dims()[axis] / 2)?;
        }
        self.log.push(format!("{what} -> {}", value.shape()));
        if self.way == Way::Alone {
            value.realize()?;
        }
        self.values.push(value);
        Ok(())
    }

    fn any(&mut self) -> Tensor {
        // Mostly a late one, so that graphs are deep.
        let n = self.values.len();
        let back = self.dice.below(n).min(self.dice.below(n));
        self.values[n - 1 - back].clone()
    }

    /// A value of the same shape, or one that broadcasts to it.
    fn beside(&mut self, x: &Tensor) -> Result<Tensor> {
        let fitting: Vec<Tensor> = self.values.iter().filter(|v| v.shape() == x.shape()).cloned().collect();
        match self.dice.below(4) {
            0 => self.any().mean(()),
            1 if x.rank() > 0 => x.mean_keepdims(self.dice.below(x.rank())),
            _ => Ok(fitting[self.dice.below(fitting.len())].clone()),
        }
    }

    fn unary(&mut self, x: &Tensor) -> Result<Tensor> {
        match self.dice.below(9) {
            0 => x.tanh(),
            1 => x.sigmoid(),
            2 => x.sin(),
            3 => x.square()?.neg()?.exp(),
            4 => x.relu(),
            5 => x.abs()?.add(0.5)?.log(),
            6 => x.mul(0.7)?.add(0.1),
            7 => x.clip(-0.8, 0.9),
            _ => x.square(),
        }
    }

    fn binary(&mut self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        match self.dice.below(5) {
            0 => x.add(y)?.mul(0.5),
            1 => x.mul(y),
            2 => x.maximum(y),
            3 => y.sub(x)?.mul(0.5),
            _ => x.div(&y.square()?.add(1.0)?),
        }
    }

    /// `x` as a matrix, of one row or column at least.
    fn matrix(&mut self, x: &Tensor) -> Result<Tensor> {
        let rows = if x.rank() == 0 { 1 } else { x.dims()[..self.dice.below(x.rank() + 1)].iter().product() };
        x.reshape([rows, x.numel() / rows])
    }

    /// Elements of `x`, again and again, as a matrix of these extents.
    fn weights(&self, x: &Tensor, rows: usize, columns: usize) -> Result<Tensor> {
        let at = Tensor::arange(0.0, (rows * columns) as f64, 1.0, DType::I32, self.device)?.rem(x.numel() as f64)?;
        x.reshape([x.numel()])?.take(&at, 0)?.reshape([rows, columns])
    }

    /// Something computed from `x`, or `x` itself, to be put beside it: what skip connections are made of.
    fn branch(&mut self, x: &Tensor, axis: isize) -> Result<Tensor> {
        let way = self.dice.below(6);
        self.log.push(format!("branch {way}"));
        match way {
            0 => Ok(x.clone()),
            1 => x.softmax(axis),
            2 => {
                let x2 = self.beside(x)?;
                self.binary(x, &x2)
            }
            3 => x.slice_step(axis, None, None, -2),
            _ => self.unary(x),
        }
    }

    /// Integers of this many elements, below 5.
    fn indices(&mut self, count: usize) -> Result<Tensor> {
        let n = self.integers.numel();
        let at = self.integers.reshape(n)?;
        let at = at.take(&Tensor::arange(0.0, count as f64, 1.0, DType::I32, self.device)?.rem(n as f64)?, 0)?;
        let mixed = match self.dice.below(3) {
            0 => at.mul(3.0)?.add(self.dice.below(5))?,
            1 => at.maximum(2.0)?.mul(&at)?,
            _ => at.ge(2.0)?.where_(&at, &at.add(1.0)?)?,
        };
        mixed.rem(5.0)
    }

    fn step(&mut self) -> Result<()> {
        let x = self.any();
        if x.rank() == 0 {
            let wide = x.broadcast_to([1 + self.dice.below(5), 3])?;
            let y = self.unary(&wide)?;
            return self.push("expand", y);
        }
        let d = self.dice.below(x.rank());
        let (axis, n) = (d as isize, x.dims()[d]);
        match self.dice.below(28) {
            0 | 1 => {
                let y = self.unary(&x)?;
                self.push("unary", y)
            }
            2 | 3 => {
                let y = self.beside(&x)?;
                let z = self.binary(&x, &y)?;
                self.push("binary", z)
            }
            4 => {
                let of = match self.dice.below(4) {
                    0 => x.mean_keepdims(axis)?,
                    1 => x.max_keepdims(axis)?,
                    2 => x.logsumexp_keepdims(axis)?,
                    _ => x.square()?.mean_keepdims(axis)?.add(0.1)?.sqrt()?,
                };
                self.push("centre", x.sub(&of)?.mul(0.5)?)
            }
            5 => self.push("softmax", x.softmax(axis)?),
            6 => {
                let y = if self.dice.below(2) == 0 { x.sum(axis)?.tanh()? } else { x.mean(axis)? };
                self.push("reduce", y)
            }
            7 => self.push("flip", x.flip([axis])?),
            8 => self.push("transpose", x.swapaxes(axis, -1)?),
            9 => {
                let y = self.matrix(&x)?;
                self.push("reshape", y)
            }
            10 => {
                let m = self.matrix(&x)?;
                let (y, z) = if m.dims()[0] <= 300 {
                    (m.matmul(&m.t()?)?.mul(0.2)?.tanh()?, m)
                } else {
                    (m.clone(), m.t()?.matmul(&m)?.mul(0.2)?.tanh()?)
                };
                self.push("product", y.matmul(&z)?.tanh()?)
            }
            11..=13 => {
                let mut parts = vec![x.clone()];
                for _ in 0..1 + self.dice.below(3) {
                    let part = self.branch(&x, axis)?;
                    parts.insert(self.dice.below(parts.len() + 1), part);
                }
                let y = Tensor::concat(&parts, axis)?;
                self.push(&format!("concat {axis}"), y)
            }
            14 => {
                let y = self.unary(&x)?;
                self.push("stack", Tensor::stack([&x, &y], axis)?.reshape([2, x.numel()])?)
            }
            15 => {
                let pads: Vec<_> = (0..x.rank()).map(|_| (self.dice.below(3), self.dice.below(2))).collect();
                self.push("pad", x.pad(&pads, 0.3)?)
            }
            16 => {
                let step = [1, 2, -1, -2, 3][self.dice.below(5)];
                let start = (step > 0).then(|| self.dice.below(n) as isize);
                self.push("slice", x.slice_step(axis, start, None, step)?)
            }
            17 => {
                let cut = self.dice.below(n + 1);
                let pieces = x.split(axis, &[cut, n - cut])?;
                let (a, b) = (self.unary(&pieces[0])?, pieces[1].clone());
                for piece in pieces.into_iter().filter(|p| p.numel() > 0) {
                    self.push("split", piece)?;
                }
                self.push("split and joined", Tensor::concat([&b, &a], axis)?)
            }
            18 => self.convolve(&x),
            19 => self.pool(&x),
            20 => {
                let index = self.indices(4)?.rem(n as f64)?;
                match self.dice.below(3) {
                    0 => self.push("take", x.take(&index, axis)?),
                    1 => {
                        let src = x.take(&index, axis)?.mul(0.5)?;
                        self.push("index_add", x.index_add(axis, &index, &src)?)
                    }
                    _ => {
                        let all = self.indices(x.numel())?.rem(n as f64)?.reshape(x.shape())?;
                        self.push("take_along_axis", x.take_along_axis(&all, axis)?)
                    }
                }
            }
            21 => {
                let integers = self.indices(x.numel())?.reshape(x.shape())?;
                let y = integers.eq(1.0)?.where_(&x, &x.mul(&integers.cast(self.dtype)?.mul(0.2)?)?)?;
                self.push("integers", y)
            }
            22 if self.values.len() > 2 => {
                let at = self.dice.below(self.values.len());
                self.log.push(format!("forget {}", self.values[at].shape()));
                drop(self.values.remove(at));
                let flush = self.dice.below(3) == 0;
                if flush && self.way == Way::Dropped { self.device.flush() } else { Ok(()) }
            }
            24 => self.push("cumsum", x.cumsum(axis)?.mul(0.3)?.tanh()?),
            25 => self.recur(&x),
            26 if !self.smooth => {
                let k = 1 + self.dice.below(n);
                let (values, places) = x.top_k(k, axis)?;
                self.push("top_k", values)?;
                // The places of equal elements depend on rounding, what stands there does not.
                self.push("at those places", x.take_along_axis(&places, axis)?.add(&x.sort(axis)?.narrow(axis, 0, k)?)?)
            }
            _ if self.smooth => self.push("scale", x.mul(0.9)?),
            _ => self.assign(&x),
        }
    }

    /// A recurrent layer: the same weights at each step, and a bias.
    fn recur(&mut self, x: &Tensor) -> Result<()> {
        let m = self.matrix(x)?;
        let (rows, inputs) = (m.dims()[0], m.dims()[1].min(20));
        let batch = 1 + self.dice.below(3).min(rows - 1);
        let units = 2 + self.dice.below(5);
        let (a, b) = (self.any(), self.any());
        let (w, u) = (self.weights(&a, inputs, units)?, self.weights(&b, units, units)?.mul(0.4)?);
        let bias = self.weights(&a, 1, units)?;
        let mut state = Tensor::zeros([batch, units], self.dtype, self.device)?;
        let mut states = Vec::new();
        for step in 0..(rows / batch).min(9) {
            let at = m.narrow(0, step * batch, batch)?.narrow(1, 0, inputs)?;
            state = at.matmul(&w)?.add(&state.matmul(&u)?)?.add(&bias)?.tanh()?;
            states.push(state.clone());
        }
        let y = if self.dice.below(2) == 0 { Tensor::concat(&states, 0)? } else { state };
        self.push("recurrence", y)
    }

    fn convolve(&mut self, x: &Tensor) -> Result<()> {
        let m = self.matrix(x)?;
        let image = m.reshape([1, m.dims()[0], m.dims()[1], 1])?.broadcast_to([1, m.dims()[0], m.dims()[1], 2])?;
        let image = image.mul(&Tensor::arange(1.0, 3.0, 1.0, DType::F32, self.device)?.cast(self.dtype)?)?;
        let size = (1 + self.dice.below(3), 1 + self.dice.below(3));
        let kernel = Nd::random(&[size.0, size.1, 2, 3], 5, -0.5, 0.5).float(self.dtype, self.device)?;
        let options = ConvOptions {
            strides: (1 + self.dice.below(2), 1 + self.dice.below(2)),
            padding: Padding::Same,
            dilation: (1, 1),
            groups: 1,
        };
        let y = image.conv2d(&kernel, &options)?;
        let bias = Nd::random(&[3], 6, -0.5, 0.5).float(self.dtype, self.device)?;
        self.push("conv2d", y.add(&bias)?.tanh()?.squeeze(0)?)
    }

    fn pool(&mut self, x: &Tensor) -> Result<()> {
        let m = self.matrix(x)?;
        let image = m.reshape([1, m.dims()[0], m.dims()[1], 1])?;
        let options = PoolOptions {
            size: (1 + self.dice.below(3), 1 + self.dice.below(3)),
            strides: (1 + self.dice.below(2), 1 + self.dice.below(2)),
            padding: Padding::Same,
        };
        let y = if self.smooth { image.avg_pool2d(&options)? } else { image.max_pool2d(&options)? };
        self.push("pool", y.reshape([y.dims()[1], y.dims()[2]])?)
    }

    /// A variable is made, set, or read (its value kept past later assignments).
    fn assign(&mut self, x: &Tensor) -> Result<()> {
        let fitting: Vec<Var> = self.vars.iter().filter(|v| v.shape() == x.shape()).cloned().collect();
        let Some(var) = fitting.last() else {
            self.log.push(format!("variable {}", x.shape()));
            self.vars.push(Var::new(x));
            return Ok(());
        };
        let before = var.value();
        self.log.push(format!("assign {}", x.shape()));
        var.assign(&before.mul(0.5)?.add(&x.flip([0])?.mul(0.5)?)?)?;
        match self.dice.below(3) {
            0 => self.push("the value before", before),
            1 => self.push("from the value before", before.sin()?),
            _ => self.push("from the value after", var.value().cos()?),
        }
    }
}

/// What a graph of so many steps is started with.
struct Start {
    seed: u32,
    shapes: [Vec<usize>; 2],
    steps: usize,
    most: usize,
}

/// The last values of the graph, its variables, and the gradients of the values' sum with respect to the two inputs.
fn run(start: &Start, device: &Device, dtype: DType, way: Way) -> Result<(Vec<Tensor>, Vec<String>)> {
    let mut values = Vec::new();
    for (i, shape) in start.shapes.iter().enumerate() {
        let input = Nd::random(shape, start.seed + 1000 * i as u32, -1.0, 1.0).float(dtype, device)?;
        values.push(input.requires_grad());
    }
    let mut graph = Graph {
        dice: Dice(0, start.seed.wrapping_mul(7919)),
        device,
        dtype,
        way,
        most: start.most,
        smooth: start.seed.is_multiple_of(2),
        integers: Tensor::from_slice(&[3i32, 0, 4, 1, 1, 2, 0], [7], device)?,
        values: values.clone(),
        vars: Vec::new(),
        log: Vec::new(),
    };
    let inputs = values;
    for _ in 0..start.steps {
        graph.step()?;
    }
    let n = graph.values.len();
    let mut outs = graph.values[n.saturating_sub(3)..].to_vec();
    outs.extend(graph.vars.iter().map(Var::value));
    if graph.smooth {
        let mut loss = outs[0].mean(())?;
        for out in &outs[1..] {
            loss = loss.add(&out.sum(())?.mul(0.3)?)?;
        }
        outs.extend(wgtensor::grad(&loss, &[&inputs[0], &inputs[1]])?);
    }
    if way == Way::Held {
        device.flush()?;
        // What is read first decides what is computed together.
        outs[0].realize()?;
    }
    Ok((outs, graph.log))
}

/// The shapes that graphs start from: scalars, single elements, short and long rows, extents that share no factor.
const SMALL: [&[usize]; 10] =
    [&[6, 10], &[5], &[2, 3, 4], &[1, 7], &[], &[4, 1, 6], &[3, 5, 2, 2], &[16, 33], &[40, 3], &[2, 300]];
/// Of so many elements that they are computed in several blocks, by several threads and work-groups.
const LARGE: [&[usize]; 7] =
    [&[600, 100], &[50_001], &[20, 30, 64], &[1, 70_000], &[128, 3, 150], &[3, 5, 20, 200], &[9001, 6]];

/// Graphs of these seeds. `WGTENSOR_SEEDS` says for how many times as many.
fn agree(device: &Device, seeds: u32, shapes: &[&[usize]], most: usize) -> Result<()> {
    let cpu = Device::cpu();
    let times: u32 = std::env::var("WGTENSOR_SEEDS").map_or(1, |times| times.parse().unwrap());
    let mut failures = Vec::new();
    for seed in 0..seeds * times {
        let shape = |i: u32| shapes[(seed * 3 + i) as usize % shapes.len()].to_vec();
        let second = if seed % 3 == 0 { shape(3) } else { shape(0) };
        let start = Start { seed, shapes: [shape(0), second], steps: 5 + seed as usize % 12, most };
        let (reference, log) = run(&start, &cpu, DType::F64, Way::Alone)?;
        let wanted: Vec<(Vec<usize>, Vec<f64>)> =
            reference.iter().map(|t| Ok((t.dims().to_vec(), t.to_f64_vec()?))).collect::<Result<_>>()?;
        for way in [Way::Dropped, Way::Held, Way::Alone] {
            println!("seed {seed}, {way:?}");
            let (got, _) = run(&start, device, DType::F32, way)?;
            for (i, (got, (dims, want))) in got.iter().zip(&wanted).enumerate() {
                // Many operations pass errors on, and gradients sum over all elements: relative to the largest.
                let scale = want.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
                let loose = Tolerance { rtol: 1e-3, atol: if device.is_gpu() { 2e-3 } else { 5e-4 } * scale };
                let verdict = check(got, dims, want, loose);
                failures.extend(verdict.err().map(|e| format!("seed {seed}, {way:?}, result {i}: {e}\n  {log:?}")));
            }
        }
    }
    super::close::assert_all(failures);
    Ok(())
}

#[test]
fn fused_unfused_and_double_precision_agree() {
    // Shaders take long to compile.
    for_each_device(|device| agree(device, if device.is_gpu() { 40 } else { 200 }, &SMALL, 3000));
}

#[test]
fn large_ones_agree_as_well() {
    for_each_device(|device| agree(device, if device.is_gpu() { 8 } else { 40 }, &LARGE, 200_000));
}

/// Skip connections: a value beside what was computed from it, in one kernel that writes both parts of one result.
#[test]
fn a_value_is_joined_with_what_was_computed_from_it() {
    for_each_device(|device| {
        let input = Nd::random(&[6, 10], 3, -1.0, 1.0);
        let x = input.f32(device)?;
        type Branch = fn(&Tensor) -> Result<Tensor>;
        let branches: [(&str, Branch); 5] = [
            ("sin", |a| a.sin()),
            ("softmax", |a| a.softmax(-1)),
            ("itself", |a| Ok(a.clone())),
            ("a product", |a| a.matmul(&a.t()?)?.matmul(a)),
            ("a chain", |a| a.mul(&a.exp()?)?.maximum(a)?.cos()),
        ];
        for (name, branch) in branches {
            for axis in [0, 1] {
                for first in [true, false] {
                    let joined = {
                        let a = x.square()?;
                        let b = branch(&a)?;
                        Tensor::concat(&if first { [&b, &a] } else { [&a, &b] }, axis)?
                    };
                    // The same with every part in memory before it is joined.
                    let a = x.square()?;
                    a.realize()?;
                    let b = branch(&a)?;
                    b.realize()?;
                    let want = Tensor::concat(&if first { [&b, &a] } else { [&a, &b] }, axis)?.to_f64_vec()?;
                    let what = format!("{name} along axis {axis}");
                    super::close::assert_close(&what, &joined, joined.dims(), &want);
                }
            }
        }
        Ok(())
    });
}
