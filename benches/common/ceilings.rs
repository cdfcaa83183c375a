//! What a device can do at most, measured by shaders, or on the CPU engine's device by loops on as many threads, that do nothing
//! else: the most bytes that a copy moves, the most multiply-adds that registers take.

use std::cell::RefCell;
use std::hint::black_box;
use std::thread;

use pulp::{Arch, Simd, WithSimd};
use wgtensor::{CustomOp, DType, Device, Result, Tensor};

use super::data::random;
use super::steps::Step;
use super::workloads::{Amount, Work};

/// Threads of a work-group.
const THREADS: usize = 256;
/// Multiply-adds of vectors of four in a turn of the loop; eight at a time do not wait for each other.
const FMAS: usize = 64;

/// Each thread moves so many vectors of four, a work-group's width apart.
fn copy_shader(each: usize) -> String {
    let moves: String = (0..each)
        .map(|i| format!("    if at + {0}u < arrayLength(&x) {{ y[at + {0}u] = x[at + {0}u]; }}\n", i * THREADS))
        .collect();
    format!(
        "@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@compute @workgroup_size({THREADS})
fn copy(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) t: u32) {{
    let at = (w.y * n.x + w.x) * {}u + t;
{moves}}}",
        each * THREADS
    )
}

/// Each thread multiplies and adds in registers.
fn fma_shader() -> String {
    let begin: String = (0..8).map(|i| format!("    var a{i} = vec4(x[0] + f32(t + {i}u));\n")).collect();
    let fmas: String = (0..FMAS).map(|i| format!("        a{0} = fma(a{0}, m, c);\n", i % 8)).collect();
    format!(
        "@group(0) @binding(0) var<uniform> turns: u32;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size({THREADS})
fn multiply_add(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) t: u32) {{
    let m = vec4(x[1]);
    let c = vec4(x[2]);
{begin}    for (var i = 0u; i < turns; i++) {{
{fmas}    }}
    let sum = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7;
    if id.x < arrayLength(&y) {{ y[id.x] = sum.x + sum.y + sum.z + sum.w; }}
}}"
    )
}

/// A grid of so many work-groups, within what every device takes along each side.
fn grid(groups: usize) -> [u32; 3] {
    let rows = groups.div_ceil(32_768);
    [groups.div_ceil(rows) as u32, rows as u32, 1]
}

/// A named limit of the device.
fn limit(device: &Device, name: &str) -> u64 {
    device.info().limits.iter().find(|(n, _)| *n == name).map_or(u64::MAX, |(_, limit)| *limit)
}

/// The largest power of two of bytes, up to 256 MiB, that the device binds.
fn copied(device: &Device, small: bool) -> usize {
    let most = limit(device, "max_buffer_size").min(limit(device, "max_storage_buffer_binding_size"));
    let most = most.min(if small { 16 << 20 } else { 256 << 20 });
    1 << most.ilog2()
}

/// Copies, of which the best counts, and multiply-adds; fewer if `small`, for drivers that compute on the processor.
pub(crate) fn all(device: &Device, small: bool) -> Vec<Work> {
    if !device.is_gpu() {
        let threads = limit(device, "threads") as usize;
        return vec![processor_copy(threads), processor_fma(threads)];
    }
    let bytes = copied(device, small);
    let copy = |each: usize| {
        let make = move |device: &Device| -> Result<Step> {
            let x = random(&[bytes / 4], 1, device)?;
            let groups = grid(bytes / 16 / THREADS / each);
            let op = CustomOp::new("copy").wgsl(&copy_shader(each))?.groups(move |_| groups);
            Ok(Box::new(move || op.call([&x], x.shape(), DType::F32, &[])))
        };
        let name = format!("copy of {} MiB, {each} vectors a thread", bytes >> 20);
        Work::new(name, Amount::Bytes(2.0 * bytes as f64), make)
    };
    let (threads, turns) = if small { (1 << 12, 256) } else { (1 << 20, 512) };
    let make = move |device: &Device| -> Result<Step> {
        let x = Tensor::new([0.5f32, 0.999, 0.001, 0.0], device)?;
        let op = CustomOp::new("fma").wgsl(&fma_shader())?;
        Ok(Box::new(move || op.call([&x], [threads], DType::F32, &[turns])))
    };
    let flops = 2.0 * 4.0 * (FMAS * threads) as f64 * f64::from(turns);
    let fma = Work::new(format!("multiply-adds in registers, {threads} threads"), Amount::Flops(flops), make);
    vec![copy(1), copy(4), fma]
}

/// More than the processor's caches hold, divided among the threads.
fn processor_copy(threads: usize) -> Work {
    const BYTES: usize = 256 << 20;
    let make = move |device: &Device| -> Result<Step> {
        let (x, y) = (vec![1u64; BYTES / 8], RefCell::new(vec![0u64; BYTES / 8]));
        let done = random(&[1], 1, device)?;
        Ok(Box::new(move || {
            let (each, mut y) = ((BYTES / 8).div_ceil(threads), y.borrow_mut());
            thread::scope(|scope| {
                for (x, y) in x.chunks(each).zip(y.chunks_mut(each)) {
                    scope.spawn(|| black_box(y).copy_from_slice(x));
                }
            });
            Ok(done.clone())
        }))
    };
    Work::new(format!("copy of {} MiB, {threads} threads", BYTES >> 20), Amount::Bytes(2.0 * BYTES as f64), make)
}

/// As many multiply-adds of numbers in registers, on the widest vectors that there are.
struct InRegisters(usize);

/// Sums that do not wait for each other, as many as registers hold beside the two factors.
const SUMS: usize = 12;

impl WithSimd for InRegisters {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let (m, c) = (simd.splat_f32s(black_box(0.999)), simd.splat_f32s(black_box(0.001)));
        let mut sums: [S::f32s; SUMS] = std::array::from_fn(|i| simd.splat_f32s(i as f32));
        for _ in 0..self.0 / (SUMS * S::F32_LANES) {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, m, c);
            }
        }
        simd.reduce_sum_f32s(sums.into_iter().reduce(|a, b| simd.add_f32s(a, b)).unwrap_or(m))
    }
}

/// Each thread multiplies and adds in registers.
fn processor_fma(threads: usize) -> Work {
    const EACH: usize = 1 << 29;
    let make = move |device: &Device| -> Result<Step> {
        let done = random(&[1], 1, device)?;
        Ok(Box::new(move || {
            thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| black_box(Arch::new().dispatch(InRegisters(EACH))));
                }
            });
            Ok(done.clone())
        }))
    };
    let flops = 2.0 * (EACH * threads) as f64;
    Work::new(format!("multiply-adds in registers, {threads} threads"), Amount::Flops(flops), make)
}
