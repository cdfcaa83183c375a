//! Operations of a program's own: WGSL for GPUs, a function for the CPU engine, a gradient.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashSet;

use super::pointwise::same_device;
use crate::dtype::DType;
use crate::error::{Error, Kind, Result, entry};
use crate::graph::Tensor;
use crate::graph::node::{InputGrads, Make, Vjp};
use crate::ir::custom::{Custom, Definition, Source};
use crate::ir::op::Op;
use crate::ir::step::Family;
use crate::shape::{IntoShape, Shape};

type Gradient = dyn Fn(&Tensor, &[Tensor], &Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync;
type Groups = dyn Fn(&Shape) -> [u32; 3] + Send + Sync;

/// An operation that the crate does not have: a compute shader in WGSL for GPUs, a function for the CPU engine, and a
/// gradient. Only what is used has to be given. It is recorded, planned and differentiated like any other operation.
///
/// The shader has one entry point and declares in group 0: at binding 0 a uniform with the call's numbers (or nothing),
/// at bindings 1, 2, ... the inputs, `var<storage, read>`, and behind them the result, `var<storage, read_write>`. Elements
/// are `f32`, `i32` or `u32` (booleans are `u32`, 0 or 1), row-major, without gaps. naga reads the bindings, the
/// work-group's size and the entry point from it, and all of wgpu's run-time checks stay on. The result must be written
/// whole: what it holds before is anything. `arrayLength` counts whole vectors of four elements.
///
/// ```
/// # use wgtensor::{CustomOp, Device, Tensor};
/// let wgsl = "
///     @group(0) @binding(1) var<storage, read> x: array<f32>;
///     @group(0) @binding(2) var<storage, read_write> y: array<f32>;
///     @compute @workgroup_size(64)
///     fn double(@builtin(global_invocation_id) id: vec3<u32>) {
///         if id.x < arrayLength(&x) { y[id.x] = 2.0 * x[id.x]; }
///     }";
/// let double = CustomOp::new("double")
///     .wgsl(wgsl)?
///     .cpu(|mut call| {
///         let x = call.input::<f32>(0).to_vec();
///         call.output::<f32>().iter_mut().zip(x).for_each(|(y, x)| *y = 2.0 * x);
///     })
///     .gradient(|_, _, grad| Ok(vec![Some(grad.mul(2.0)?)]));
/// let x = Tensor::new([1.0f32, 2.0, 3.0], &Device::best())?.requires_grad();
/// let y = double.call([&x], x.shape(), x.dtype(), &[])?;
/// assert_eq!(y.to_vec::<f32>()?, [2.0, 4.0, 6.0]);
/// assert_eq!(y.sum(())?.backward()?.wrt(&x).unwrap().to_vec::<f32>()?, [2.0, 2.0, 2.0]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
#[derive(Clone)]
pub struct CustomOp {
    of: Arc<Definition>,
}

/// What the graph wants to know of it.
#[derive(Clone, Default)]
struct User {
    gradient: Option<Arc<Gradient>>,
    groups: Option<Arc<Groups>>,
}

/// A call of a [`CustomOp`] on the CPU engine: its inputs, its numbers and room for its result.
///
/// ```
/// # use wgtensor::{CustomOp, DType, Device, Tensor};
/// let scaled = CustomOp::new("scaled").cpu(|mut call| {
///     let factor = call.params()[0] as i32;
///     let x = call.input::<i32>(0).to_vec();
///     call.output::<i32>().iter_mut().zip(x).for_each(|(y, x)| *y = factor * x);
/// });
/// let x = Tensor::new([1, 2, 3], &Device::cpu())?;
/// assert_eq!(scaled.call([&x], x.shape(), DType::I32, &[5])?.to_vec::<i32>()?, [5, 10, 15]);
/// # Ok::<(), wgtensor::Error>(())
/// ```
pub struct CpuCall<'a> {
    inputs: &'a [&'a [u8]],
    params: &'a [u32],
    output: &'a mut [u8],
}

impl CpuCall<'_> {
    /// The elements of an input, row-major; booleans are `u32`, 0 or 1.
    ///
    /// ```
    /// # use wgtensor::{CustomOp, DType, Device, Tensor};
    /// let choose = CustomOp::new("choose").cpu(|mut call| {
    ///     let chosen: Vec<f32> = call.input::<u32>(0).iter().zip(call.input::<f32>(1)).map(|(&c, &x)| c as f32 * x).collect();
    ///     call.output().copy_from_slice(&chosen);
    /// });
    /// let device = Device::cpu();
    /// let (mask, x) = (Tensor::new([true, false], &device)?, Tensor::new([2.0f32, 3.0], &device)?);
    /// assert_eq!(choose.call([&mask, &x], x.shape(), DType::F32, &[])?.to_vec::<f32>()?, [2.0, 0.0]);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// There is no such input, or its elements have another size.
    pub fn input<T: bytemuck::Pod>(&self, at: usize) -> &[T] {
        bytemuck::cast_slice(self.inputs[at])
    }

    /// The call's numbers, as given to [`CustomOp::call`].
    pub fn params(&self) -> &[u32] {
        self.params
    }

    /// The elements of the result, row-major, to be written.
    ///
    /// # Panics
    /// Its elements have another size.
    pub fn output<T: bytemuck::Pod>(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(self.output)
    }
}

impl CustomOp {
    /// An operation of this name, which plans and errors show.
    pub fn new(name: &str) -> Self {
        // Plans name operations by static strings; each name is kept once.
        static NAMES: Mutex<Option<FxHashSet<&'static str>>> = Mutex::new(None);
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        let names = names.get_or_insert_default();
        let name = names.get(name).copied().unwrap_or_else(|| {
            let name: &'static str = Box::leak(name.into());
            names.insert(name);
            name
        });
        let more = Arc::new(User::default());
        CustomOp { of: Arc::new(Definition { id: 0, name, wgsl: None, cpu: None, more }) }
    }

    /// Its shader.
    ///
    /// # Errors
    /// It does not parse or validate, has other than one entry point, or declares other bindings than the ones above.
    #[track_caller]
    pub fn wgsl(self, text: &str) -> Result<Self> {
        let source = entry(|| reflected(self.of.name, text))?;
        Ok(self.with(|of, _| of.wgsl = source))
    }

    /// What it does on the CPU engine; it runs on one thread.
    pub fn cpu(self, f: impl Fn(CpuCall<'_>) + Send + Sync + 'static) -> Self {
        let f = move |inputs: &[&[u8]], params: &[u32], output: &mut [u8]| f(CpuCall { inputs, params, output });
        self.with(|of, _| of.cpu = Some(Arc::new(f)))
    }

    /// Its gradient: from the result, the inputs and the gradient of the result, one for each input (`None` where there is
    /// none).
    pub fn gradient(
        self,
        f: impl Fn(&Tensor, &[Tensor], &Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync + 'static,
    ) -> Self {
        self.with(|_, user| user.gradient = Some(Arc::new(f)))
    }

    /// How many work-groups along x, y and z a result of some shape takes. Without it as many along x as give each
    /// element of the result a thread.
    pub fn groups(self, f: impl Fn(&Shape) -> [u32; 3] + Send + Sync + 'static) -> Self {
        self.with(|_, user| user.groups = Some(Arc::new(f)))
    }

    /// Another definition: this one, changed.
    fn with(self, change: impl FnOnce(&mut Definition, &mut User)) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (mut of, mut user) = ((*self.of).clone(), user(&self.of).clone());
        change(&mut of, &mut user);
        of.id = NEXT.fetch_add(1, Relaxed);
        of.more = Arc::new(user);
        CustomOp { of: Arc::new(of) }
    }

    /// Records a call; the result has this shape and type. `params` are the words of the uniform (an `f32` by its bits);
    /// other ones make another plan, so what changes from step to step is better an input.
    ///
    /// ```
    /// # use wgtensor::{CustomOp, DType, Device, Tensor};
    /// // How many elements are positive.
    /// let count = CustomOp::new("count").cpu(|mut call| {
    ///     let n = call.input::<f32>(0).iter().filter(|x| **x > 0.0).count();
    ///     call.output::<i32>()[0] = n as i32;
    /// });
    /// let x = Tensor::new([1.0f32, -2.0, 3.0], &Device::cpu())?;
    /// assert_eq!(count.call([&x], (), DType::I32, &[])?.item::<i32>()?, 2);
    /// # Ok::<(), wgtensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Inputs on different devices; no shader for a GPU or no function for the CPU engine; inputs, types or numbers
    /// other than the shader declares; more work-groups than a dispatch can have.
    #[track_caller]
    pub fn call(
        &self,
        inputs: impl IntoIterator<Item: AsRef<Tensor>>,
        shape: impl IntoShape,
        dtype: DType,
        params: &[u32],
    ) -> Result<Tensor> {
        let held: Vec<_> = inputs.into_iter().collect();
        let inputs: &[&Tensor] = &held.iter().map(AsRef::as_ref).collect::<Vec<_>>();
        let (op, shape) = entry(|| {
            let shape = shape.into_shape()?;
            Ok((self.checked(inputs, shape, dtype, params)?, shape))
        })?;
        let device = inputs[0].device();
        if shape.numel() == 0 {
            return Tensor::zeros(shape, dtype, device);
        }
        let op = Op::family(Family::Custom(op));
        Ok(Tensor::record(op, shape, dtype, inputs, Make::new(device, Vjp::Node(custom_grad))))
    }

    /// The call, if it can be one.
    fn checked(&self, inputs: &[&Tensor], shape: Shape, dtype: DType, params: &[u32]) -> Result<Custom> {
        let Some(first) = inputs.first() else {
            return Err(self.refused("no inputs", "at least one", "Give it an input; its device is where it runs"));
        };
        inputs.iter().try_for_each(|t| same_device(self.of.name, first, t))?;
        let wide = |d: DType| matches!(d, DType::F32 | DType::I32 | DType::U32 | DType::Bool | DType::F64);
        if let Some(odd) = inputs.iter().map(|t| t.dtype()).chain([dtype]).find(|&d| !wide(d)) {
            return Err(self.refused(&odd.to_string(), "elements of 4 bytes (or f64, on the CPU engine)", "Cast it"));
        }
        let groups = match first.device().is_gpu() {
            true => self.launch(inputs, &shape, dtype, params)?,
            false if self.of.cpu.is_none() => {
                return Err(self.refused("a call on the CPU engine", "a function for it", "Give it one with `cpu`"));
            }
            false => [0; 3],
        };
        Ok(Custom {
            of: Arc::clone(&self.of),
            inputs: inputs.iter().map(|t| (*t.shape(), t.dtype())).collect(),
            output: (shape, dtype),
            params: params.to_vec(),
            groups,
        })
    }

    /// The work-groups of a call on a GPU, if the shader takes what it is given.
    fn launch(&self, inputs: &[&Tensor], shape: &Shape, dtype: DType, params: &[u32]) -> Result<[u32; 3]> {
        let Some(source) = &self.of.wgsl else {
            return Err(self.refused("a call on a GPU", "a shader for it", "Give it one with `wgsl`"));
        };
        let given: Vec<(bool, DType)> = inputs.iter().map(|t| (false, t.dtype())).chain([(true, dtype)]).collect();
        let takes = |&(write, declared): &(bool, Option<&'static str>), &(output, dtype): &(bool, DType)| {
            let scalar = match dtype {
                DType::F32 => "f32",
                DType::I32 => "i32",
                DType::U32 | DType::Bool => "u32",
                _ => return false,
            };
            write == output && declared.is_none_or(|d| d == scalar)
        };
        let fits = given.len() == source.bindings.len() && source.bindings.iter().zip(&given).all(|(b, g)| takes(b, g));
        if !fits {
            let list = |all: &mut dyn Iterator<Item = String>| all.collect::<Vec<_>>().join(", ");
            let received = list(&mut given.iter().map(|(write, d)| format!("{} {d}", access(*write))));
            let declared =
                source.bindings.iter().map(|(write, d)| format!("{} {}", access(*write), d.unwrap_or("any")));
            let expected = list(&mut declared.into_iter());
            return Err(self.refused(
                &received,
                &expected,
                "The inputs stand at bindings 1, 2, ..., the result behind them",
            ));
        }
        if (params.len() * 4) < source.uniform as usize {
            return Err(self.refused(
                &format!("{} words of numbers", params.len()),
                &format!("the {} bytes of the uniform", source.uniform),
                "Pass them as `params`, with the gaps that WGSL leaves",
            ));
        }
        let groups = match &user(&self.of).groups {
            Some(groups) => groups(shape),
            None => {
                let threads: usize = source.threads.iter().map(|&t| t as usize).product();
                [u32::try_from(shape.numel().div_ceil(threads)).unwrap_or(u32::MAX), 1, 1]
            }
        };
        // What every WebGPU device takes.
        if groups.iter().any(|&g| g > 65_535) {
            return Err(self.refused(
                &format!("{groups:?} work-groups for a result of shape {shape}"),
                "at most 65535 along each of x, y and z",
                "Give it `groups` of several dimensions",
            ));
        }
        Ok(groups)
    }

    fn refused(&self, received: &str, expected: &str, fix: &str) -> Error {
        Error::parts(Kind::Argument, &format!("`{}` cannot be called like that", self.of.name), received, expected, fix)
    }
}

fn access(write: bool) -> &'static str {
    if write { "read_write" } else { "read" }
}

fn user(of: &Definition) -> &User {
    of.more.downcast_ref().expect("put there by `CustomOp`")
}

fn custom_grad(y: &Tensor, inputs: &[Tensor], grad: &Tensor) -> Result<InputGrads> {
    let Some(Family::Custom(custom)) = y.0.op.as_family() else { unreachable!("a custom operation's gradient") };
    let refused = |received: &str, expected: &str, fix: &str| {
        let name = custom.of.name;
        Err(Error::parts(Kind::State, &format!("`{name}` was differentiated"), received, expected, fix))
    };
    let Some(gradient) = &user(&custom.of).gradient else {
        return refused("no gradient", "a gradient", "Give it one with `gradient`, or call it within `no_grad`");
    };
    let grads = gradient(y, inputs, grad)?;
    let fits = |(g, x): (&Option<Tensor>, &Tensor)| g.as_ref().is_none_or(|g| g.shape() == x.shape());
    if grads.len() != inputs.len() || !grads.iter().zip(inputs).all(fits) {
        let shapes: Vec<_> = grads.iter().map(|g| g.as_ref().map(|g| g.shape().to_string())).collect();
        let wanted: Vec<_> = inputs.iter().map(|x| x.shape().to_string()).collect();
        return refused(
            &format!("gradients {shapes:?}"),
            &format!("{wanted:?}"),
            "Give one for each input, of its shape",
        );
    }
    Ok(grads.into_iter().collect())
}

#[cfg(feature = "gpu")]
fn reflected(name: &'static str, text: &str) -> Result<Option<Source>> {
    crate::backend::gpu::reflect::reflect(name, text).map(Some)
}

/// Without the GPU engine nothing would run it, and nothing reads it.
#[cfg(not(feature = "gpu"))]
fn reflected(_: &'static str, _: &str) -> Result<Option<Source>> {
    Ok(None)
}
