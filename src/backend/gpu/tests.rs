//! The runtime with a hand-made kernel, on every adapter of the machine.

use askama::Template;
use pollster::block_on;

use super::dispatch::{Binding, Dispatch, Grid, Named, Target};
use super::run::GpuExecutable;
use super::*;
use crate::backend::{CounterSnapshot, DeviceKind, Kernels};
use crate::ir::program::Program;
use crate::ir::step::{BufferInfo, Role, Step};

/// `dst[i] = src[i] * factor + 1`, one element a work-group.
#[derive(Template, Hash, PartialEq, Eq)]
#[template(
    source = "
@group(0) @binding(0) var<uniform> p: array<vec4<u32>, 1>;
@group(0) @binding(1) var<storage, read> src: array<f32>;
@group(0) @binding(2) var<storage, read_write> dst: array<f32>;
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = (w.z * n.y + w.y) * n.x + w.x;
    if i < p[0].x { dst[i] = src[i] * bitcast<f32>(p[0].y) + {{ add }}.0; }
}",
    ext = "wgsl"
)]
struct Scale {
    add: u32,
}
impl Named for Scale {
    const NAME: &'static str = "scale";
}

/// Two inputs.
#[derive(Template, Hash, PartialEq, Eq)]
#[template(
    source = "
@group(0) @binding(0) var<uniform> p: array<vec4<u32>, 1>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> dst: array<f32>;
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) w: vec3<u32>) { if w.x < p[0].x { dst[w.x] = a[w.x] + b[w.x]; } }",
    ext = "wgsl"
)]
struct Add;
impl Named for Add {
    const NAME: &'static str = "add";
}

#[derive(Template, Hash, PartialEq, Eq)]
#[template(source = "@compute @workgroup_size(1) fn main() { let x: u32 = 1.5; }", ext = "wgsl")]
struct Broken;
impl Named for Broken {
    const NAME: &'static str = "broken";
}

fn open(options: DeviceOptions) -> GpuBackend {
    block_on(adapter::open(0, &options)).expect("a GPU adapter (a software one will do)")
}

fn bind(target: Target, write: bool) -> Binding {
    Binding { target, write, bytes: None }
}

fn scale(from: Target, to: Target, len: usize) -> Dispatch {
    Dispatch {
        shader: Box::new(Scale { add: 1 }),
        bindings: vec![bind(from, false), bind(to, true)],
        params: vec![len as u32, 0],
        dynamic: vec![(1, 0, DType::F32)],
        groups: Grid::Row(len as u64),
    }
}

fn step(bufs: &[u16]) -> Step {
    Step { bufs: bufs.to_vec(), ops: vec!["scale"], ..Step::nest(&[], &[], Program::default()) }
}

/// leaf 0 -> temporary -> (scratch within the step) -> output 0, three kernels.
fn chain(len: usize) -> Plan {
    let info = |role| BufferInfo { role, dtype: DType::F32, len };
    Plan {
        buffers: vec![info(Role::Leaf(0)), info(Role::Temp { slot: 0 }), info(Role::Output(0))],
        steps: vec![step(&[0, 1]), step(&[1, 2])],
        params: 1,
        slots: vec![len * 4],
    }
}

fn ready(gpu: &GpuBackend, len: usize) -> GpuExecutable {
    let build = |_: &Plan, step: &Step, _: &dispatch::Caps| {
        let scratch = Target::Scratch { id: 3, bytes: len as u64 * 4 };
        Ok(match step.bufs[0] {
            0 => vec![scale(Target::Step(0), Target::Step(1), len)],
            _ => vec![scale(Target::Step(0), scratch, len), scale(scratch, Target::Step(1), len)],
        })
    };
    gpu.prepare_with(&chain(len), build).unwrap()
}

fn upload(gpu: &GpuBackend, values: &[f32]) -> Buffer {
    let buffer = gpu.alloc(values.len() * 4).unwrap();
    gpu.write(&buffer, bytemuck::cast_slice(values)).unwrap();
    buffer
}

fn download(gpu: &GpuBackend, buffer: &Buffer, len: usize) -> Vec<f32> {
    bytemuck::pod_collect_to_vec(&block_on(gpu.read_all(buffer, len * 4)).unwrap())
}

fn id(buffer: &Buffer) -> u64 {
    buffer.get::<GpuBuffer>().expect("on the GPU").id
}

fn since(gpu: &GpuBackend, before: CounterSnapshot) -> CounterSnapshot {
    gpu.counters().snapshot() - before
}

#[test]
fn adapters_are_listed_and_described() {
    let all = block_on(adapter::list());
    assert!(!all.is_empty());
    for (i, info) in all.iter().enumerate() {
        assert_eq!(info.id, format!("gpu:{i}"));
        assert!(info.name.contains("llvmpipe") <= (info.kind == DeviceKind::Software));
        assert!(info.limits.iter().any(|(name, n)| *name == "max_buffer_size" && *n > 0));
        assert!(!info.api.is_empty() && !info.driver.is_empty());
    }
    let gpu = open(DeviceOptions::default());
    assert_eq!(gpu.info().features, all[0].features);
    for kernels in [Kernels::Hardware, Kernels::Software] {
        let gpu = open(DeviceOptions { kernels, ..Default::default() });
        assert_eq!((gpu.info().kernels, gpu.core.caps.software), (kernels, kernels == Kernels::Software));
    }

    let error = block_on(adapter::open(99, &DeviceOptions::default())).err().unwrap();
    assert!(error.is_no_adapter());
    assert!(error.to_string().contains("gpu:99") && error.to_string().contains("Device::cpu()"), "{error}");
}

/// A device has every ability of its adapter that the crate uses; cooperative matrices where they are asked for.
#[test]
fn a_device_keeps_what_its_adapter_can_do() {
    for (index, info) in block_on(adapter::list()).iter().enumerate() {
        for cooperative_matrices in [false, true] {
            let options = DeviceOptions { cooperative_matrices, ..Default::default() };
            let opened = block_on(adapter::open(index, &options)).unwrap();
            let mut expected = info.features.clone();
            expected.retain(|&name| opened.core.caps.cooperative.is_some() || name != "cooperative matrices");
            assert_eq!(opened.info().features, expected, "{}", info.name);
            assert_eq!(opened.core.caps.subgroups, info.features.contains(&"subgroups"), "{}", info.name);
        }
    }
}

#[test]
fn webgpu_defaults_ask_for_nothing_more() {
    let gpu = open(DeviceOptions { webgpu_defaults: true, ..Default::default() });
    assert!(gpu.info().features.is_empty());
    assert_eq!(gpu.core.limits.max_storage_buffers_per_shader_stage, 8);
    assert!(!gpu.core.caps.subgroups);
    let error = gpu.alloc(200 << 20).err().unwrap();
    assert!(
        error.is_unsupported() && error.to_string().contains("max_storage_buffer_binding_size 134217728"),
        "{error}"
    );
    let x = upload(&gpu, &[1.0, 2.0]);
    let y = gpu.alloc(8).unwrap();
    ready(&gpu, 2).run(&[x], std::slice::from_ref(&y), &[2.0]).unwrap();
    assert_eq!(download(&gpu, &y, 2), [15.0, 23.0]);
}

#[test]
fn doubles_are_refused() {
    let gpu = open(DeviceOptions::default());
    let error = gpu.check_dtype(DType::F64).unwrap_err();
    assert!(error.is_dtype_mismatch() && error.to_string().contains("Use `Device::cpu()` or cast to f32"));
    assert!([DType::F32, DType::I32, DType::U32, DType::Bool].into_iter().all(|d| gpu.check_dtype(d).is_ok()));
}

#[test]
fn size_classes_are_four_an_octave() {
    let classes: Vec<u64> = (0..=1024).map(memory::round_up).collect();
    let mut distinct = classes.clone();
    distinct.dedup();
    assert_eq!(distinct, [256, 320, 384, 448, 512, 640, 768, 896, 1024]);
    assert!(classes.iter().zip(0..).all(|(&c, n)| c >= n));
    assert_eq!(memory::round_up((1 << 40) + 1), (1 << 40) + (1 << 38));
}

#[test]
fn freed_memory_is_taken_again() {
    let gpu = open(DeviceOptions::default());
    let (a, b) = (gpu.alloc(1000).unwrap(), gpu.alloc(1000).unwrap());
    let ids = [id(&a), id(&b)];
    assert_eq!(gpu.memory(), MemoryStats { in_use: 2048, peak: 2048, reserved: 2048 });
    // Whatever the order of the drops, the same requests get the same buffers.
    for swap in [false, true] {
        let pair = [gpu.alloc(600).unwrap(), gpu.alloc(600).unwrap()];
        drop(pair);
        let (a, b) = (gpu.alloc(1000).unwrap(), gpu.alloc(1000).unwrap());
        if swap { drop(b) } else { drop(a) }
    }
    drop((a, b));
    let before = gpu.counters().snapshot();
    let again = [gpu.alloc(900).unwrap(), gpu.alloc(1024).unwrap()];
    assert_eq!([id(&again[0]), id(&again[1])], ids);
    assert_eq!(since(&gpu, before).allocations, 0);
    drop(again);

    gpu.trim();
    assert_eq!(gpu.memory().reserved, 0);
    let fresh = gpu.alloc(1000).unwrap();
    assert!(!ids.contains(&id(&fresh)));
    assert_eq!(gpu.alloc(0).map(|b| id(&b) != id(&fresh)).ok(), Some(true));
}

#[test]
fn bytes_come_back_as_they_went() {
    let gpu = open(DeviceOptions::default());
    for len in [0usize, 1, 3, 4, 5, 255, 256, 257, 100_003] {
        let bytes: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8).collect();
        let buffer = gpu.alloc(len).unwrap();
        gpu.write(&buffer, &bytes).unwrap();
        assert_eq!(block_on(gpu.read_all(&buffer, len)).unwrap(), bytes, "{len} bytes");
    }
    // The copy is ordered by the call, not by the wait.
    let buffer = upload(&gpu, &[1.0]);
    let first = gpu.read_all(&buffer, 4);
    gpu.write(&buffer, &2f32.to_le_bytes()).unwrap();
    let second = gpu.read_all(&buffer, 4);
    assert_eq!(block_on(second).unwrap(), 2f32.to_le_bytes());
    assert_eq!(block_on(first).unwrap(), 1f32.to_le_bytes());
    // A read that nobody waits for does no harm, and staging buffers are used again.
    drop(gpu.read_all(&buffer, 4));
    block_on(gpu.sync()).unwrap();
    let before = gpu.counters().snapshot();
    assert_eq!(download(&gpu, &buffer, 1), [2.0]);
    let delta = since(&gpu, before);
    assert_eq!((delta.readbacks, delta.allocations, delta.uploads), (1, 0, 0));
}

#[test]
fn foreign_and_short_buffers_are_refused() {
    let (here, there) = (open(DeviceOptions::default()), open(DeviceOptions::default()));
    let buffer = there.alloc(4).unwrap();
    assert!(here.write(&buffer, &[0; 4]).unwrap_err().is_device_mismatch());
    assert!(block_on(here.read_all(&buffer, 4)).unwrap_err().is_device_mismatch());
    let plan = ready(&here, 1000);
    let (x, y) = (here.alloc(4000).unwrap(), here.alloc(4000).unwrap());
    assert!(plan.run(&[buffer], std::slice::from_ref(&y), &[1.0]).unwrap_err().is_device_mismatch());
    let short = here.alloc(100).unwrap();
    assert!(plan.run(&[short], std::slice::from_ref(&y), &[1.0]).is_err());
    assert!(plan.run(std::slice::from_ref(&x), &[], &[1.0]).is_err());
    assert!(plan.run(&[x], &[y], &[]).is_err());
}

#[test]
fn the_cap_holds_and_says_so() {
    let gpu = open(DeviceOptions { cap: Some(4 << 20), ..Default::default() });
    let kept = upload(&gpu, &[5.0; 1 << 18]);
    let pooled = gpu.alloc(2 << 20).unwrap();
    drop(pooled);
    // The pooled 2 MiB make way for 2.5 MiB.
    let big = gpu.alloc(5 << 19).unwrap();
    assert_eq!(gpu.memory().reserved, 7 << 19);
    let error = gpu.alloc(1 << 20).err().unwrap();
    assert!(error.is_out_of_memory());
    for part in ["request of 1.0 MiB", "3.5 MiB in use", "0 B pooled", "cap of 4.0 MiB"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    // All else goes on.
    drop(big);
    assert!(gpu.alloc(1 << 20).is_ok());
    assert_eq!(download(&gpu, &kept, 1 << 18), [5.0; 1 << 18]);
}

#[test]
fn the_reserve_makes_way() {
    let gpu = open(DeviceOptions { reserve: 100 << 20, cap: Some(128 << 20), ..Default::default() });
    let MemoryStats { in_use, reserved, .. } = gpu.memory();
    assert_eq!((in_use, reserved), (0, 100 << 20));
    let a = gpu.alloc(32 << 20).unwrap();
    assert!(gpu.memory().reserved <= 128 << 20);
    let b = gpu.alloc(96 << 20).unwrap();
    assert_eq!(gpu.memory(), MemoryStats { in_use: 128 << 20, peak: 128 << 20, reserved: 128 << 20 });
    assert!(gpu.alloc(1).err().unwrap().is_out_of_memory());
    drop((a, b));
    let options = DeviceOptions { reserve: 2, cap: Some(1), ..Default::default() };
    assert!(block_on(adapter::open(0, &options)).err().unwrap().is_invalid_argument());
}

#[test]
fn small_buffers_leave_the_reserve_alone() {
    let gpu = open(DeviceOptions { reserve: 128 << 20, ..Default::default() });
    let small: Vec<_> = (0..100).map(|_| gpu.alloc(4).unwrap()).collect();
    assert_eq!(gpu.memory().reserved, (128 << 20) + 100 * 256);
    drop(small);
}

#[test]
fn a_large_upload_goes_through_in_pieces() {
    let gpu = open(DeviceOptions::default());
    // Beyond two pieces, the last of them of an odd length.
    let bytes: Vec<u8> = (0..(40 << 20) + 13).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let buffer = gpu.alloc(bytes.len()).unwrap();
    gpu.write(&buffer, &bytes).unwrap();
    assert!(block_on(gpu.read_all(&buffer, bytes.len())).unwrap() == bytes);
}

#[test]
fn a_repeated_run_costs_a_submit() {
    let gpu = open(DeviceOptions::default());
    let before = gpu.counters().snapshot();
    let plan = ready(&gpu, 1000);
    let delta = since(&gpu, before);
    assert_eq!((delta.pipelines, delta.submits), (1, 0), "one shader, three kernels");
    assert_eq!(plan.sources().len(), 3);

    let x = upload(&gpu, &[2.0; 1000]);
    let y = gpu.alloc(4000).unwrap();
    let before = gpu.counters().snapshot();
    let run = |factor: f64| plan.run(std::slice::from_ref(&x), std::slice::from_ref(&y), &[factor]).unwrap();
    run(1.0);
    let first = since(&gpu, before);
    assert_eq!((first.submits, first.dispatches, first.bind_groups, first.uploads), (1, 3, 3, 1));
    assert_eq!(download(&gpu, &y, 1000), [5.0; 1000]);

    let before = gpu.counters().snapshot();
    run(1.0);
    let expected = CounterSnapshot { submits: 1, dispatches: 3, ..Default::default() };
    assert_eq!(since(&gpu, before), expected);

    // A new scalar is one short upload.
    let before = gpu.counters().snapshot();
    run(3.0);
    let delta = since(&gpu, before);
    assert_eq!((delta.uploads, delta.bind_groups, delta.allocations), (1, 0, 0));
    assert_eq!(download(&gpu, &y, 1000), [67.0; 1000]);

    // Two sets of outputs in turn stay bound.
    let z = gpu.alloc(4000).unwrap();
    let both = || {
        for out in [&y, &z] {
            plan.run(std::slice::from_ref(&x), std::slice::from_ref(out), &[3.0]).unwrap();
        }
    };
    both();
    let before = gpu.counters().snapshot();
    both();
    assert_eq!(since(&gpu, before), CounterSnapshot { submits: 2, dispatches: 6, ..Default::default() });

    // The same shader in another plan is not compiled again, and its transient buffers are the same ones.
    let held = gpu.memory().in_use;
    let before = gpu.counters().snapshot();
    let other = ready(&gpu, 1000);
    assert_eq!(since(&gpu, before).pipelines, 0);
    assert_eq!(gpu.memory().in_use, held);
    drop((plan, other));
    assert_eq!(gpu.memory().in_use, 3 * 4096);
}

#[test]
fn one_leaf_may_be_given_twice() {
    let gpu = open(DeviceOptions::default());
    let info = |role| BufferInfo { role, dtype: DType::F32, len: 3 };
    let plan = Plan {
        buffers: vec![info(Role::Leaf(0)), info(Role::Leaf(1)), info(Role::Output(0))],
        steps: vec![step(&[0, 1, 2])],
        params: 0,
        slots: vec![],
    };
    let plan = gpu.prepare_with(&plan, |_, _, _| {
        Ok(vec![Dispatch {
            shader: Box::new(Add),
            bindings: vec![bind(Target::Step(0), false), bind(Target::Step(1), false), bind(Target::Step(2), true)],
            params: vec![3],
            dynamic: vec![],
            groups: Grid::Row(3),
        }])
    });
    let (x, y) = (upload(&gpu, &[1.0, 2.0, 3.0]), gpu.alloc(12).unwrap());
    plan.unwrap().run(&[x.clone(), x], std::slice::from_ref(&y), &[]).unwrap();
    assert_eq!(download(&gpu, &y, 3), [2.0, 4.0, 6.0]);
    gpu.core.check().unwrap();
}

#[test]
fn many_work_groups_fold() {
    for groups in [1u64, 65_535, 65_536, 131_071, 65_535 * 65_535, 65_535 * 65_535 + 1, 4_294_900_000] {
        let [x, y, z] = run::fold(groups, 65_535).unwrap().map(u64::from);
        assert!(x.max(y).max(z) <= 65_535);
        let total = x * y * z;
        assert!(total >= groups && total - groups < 2 * 65_536, "{groups}: {x} {y} {z}");
    }
    assert!(run::fold(1 << 32, 65_535).unwrap_err().is_unsupported());
    for webgpu_defaults in [false, true] {
        let gpu = open(DeviceOptions { webgpu_defaults, ..Default::default() });
        let len = 65_535 * 2 + 3;
        let values: Vec<f32> = (0..len).map(|i| i as f32).collect();
        let (x, y) = (upload(&gpu, &values), gpu.alloc(len * 4).unwrap());
        ready(&gpu, len).run(&[x], std::slice::from_ref(&y), &[1.0]).unwrap();
        let expected: Vec<f32> = values.iter().map(|v| v + 3.0).collect();
        assert_eq!(download(&gpu, &y, len), expected);
    }
}

#[test]
fn several_threads_share_a_plan() {
    let gpu = open(DeviceOptions::default());
    let plan = ready(&gpu, 500);
    std::thread::scope(|scope| {
        for t in 0..4 {
            let (gpu, plan) = (&gpu, &plan);
            scope.spawn(move || {
                for i in 0..20 {
                    let (x, y) = (upload(gpu, &[t as f32; 500]), gpu.alloc(2000).unwrap());
                    plan.run(&[x], std::slice::from_ref(&y), &[f64::from(i)]).unwrap();
                    let f = i as f32;
                    assert_eq!(download(gpu, &y, 500), [((t as f32 * f + 1.0) * f + 1.0) * f + 1.0; 500]);
                }
            });
        }
    });
}

#[test]
fn a_shader_that_does_not_compile_is_an_error() {
    let gpu = open(DeviceOptions::default());
    let mut plan = chain(1);
    plan.steps.truncate(1);
    let error = gpu.prepare_with(&plan, |_, _, _| {
        let shader = Box::new(Broken);
        Ok(vec![Dispatch { shader, bindings: vec![], params: vec![], dynamic: vec![], groups: Grid::Row(1) }])
    });
    let error = error.err().unwrap().to_string();
    assert!(error.contains("shader `broken`") && error.contains("1.5"), "{error}");
    gpu.core.check().unwrap();
}

#[test]
fn a_lost_device_is_an_error_everywhere() {
    let gpu = open(DeviceOptions::default());
    let plan = ready(&gpu, 4);
    let (x, y) = (upload(&gpu, &[1.0; 4]), gpu.alloc(16).unwrap());
    gpu.core.device.destroy();
    let error = block_on(gpu.sync()).unwrap_err();
    assert!(error.is_device_lost() && error.to_string().contains("Open a new device"), "{error}");
    assert!(gpu.alloc(4).err().unwrap().is_device_lost());
    assert!(gpu.write(&x, &[0; 4]).unwrap_err().is_device_lost());
    assert!(block_on(gpu.read_all(&x, 4)).unwrap_err().is_device_lost());
    assert!(plan.run(std::slice::from_ref(&x), std::slice::from_ref(&y), &[1.0]).unwrap_err().is_device_lost());
    assert!(gpu.prepare_with(&chain(4), |_, _, _| Ok(vec![])).err().unwrap().is_device_lost());
    drop((x, y, plan));
    gpu.trim();

    // The process goes on with a new device.
    let gpu = open(DeviceOptions::default());
    let x = upload(&gpu, &[1.0]);
    assert_eq!(download(&gpu, &x, 1), [1.0]);

    // A run on a device that has gone unnoticed, then the read-back that notices.
    let plan = ready(&gpu, 1);
    let y = gpu.alloc(4).unwrap();
    gpu.core.device.destroy();
    let _ = plan.run(&[x], std::slice::from_ref(&y), &[1.0]);
    assert!(block_on(gpu.read_all(&y, 4)).unwrap_err().is_device_lost());
}

#[test]
fn a_borrowed_device_keeps_its_handlers() {
    let own = open(DeviceOptions::default());
    let (device, queue) = (own.core.device.clone(), own.core.queue.clone());
    let guest = GpuBackend::from_wgpu(device, queue, &DeviceOptions::default()).unwrap();
    assert_eq!(guest.info().id, "gpu:host");
    let x = upload(&guest, &[4.0]);
    let y = guest.alloc(4).unwrap();
    ready(&guest, 1).run(&[x], std::slice::from_ref(&y), &[1.0]).unwrap();
    assert_eq!(download(&guest, &y, 1), [7.0]);
    assert!(own.write(&y, &[0; 4]).unwrap_err().is_device_mismatch(), "each engine counts its own memory");
    own.core.device.destroy();
    assert!(block_on(guest.read_all(&y, 4)).unwrap_err().is_device_lost());
    assert!(guest.alloc(4).err().unwrap().is_device_lost());
    assert!(block_on(own.sync()).unwrap_err().is_device_lost(), "the host's callback was left in place");
}

#[test]
fn a_shared_device_that_was_lost_is_opened_anew() {
    use crate::tensor::device::SharedGpus;
    let shared = SharedGpus::default();
    let own = open(DeviceOptions::default());
    let raw = own.core.device.clone();
    let first = crate::Device::of_gpu(own, &DeviceOptions::default()).unwrap();
    shared.lock().insert(0, first.clone());
    assert_eq!(block_on(shared.get(0)).unwrap(), first);

    raw.destroy();
    assert!(first.sync().unwrap_err().is_device_lost());
    let second = block_on(shared.get(0)).unwrap();
    assert_ne!(second, first);
    assert_eq!(block_on(shared.get(0)).unwrap(), second);
    let x = crate::Tensor::new([1.0f32, 2.0], &second).unwrap();
    assert_eq!(x.add(1.0).unwrap().to_vec::<f32>().unwrap(), [2.0, 3.0]);
}

/// The host destroys what it lent. Nobody tells the crate: every kind of call must find out for itself.
#[test]
fn a_host_device_that_goes_away_is_lost_everywhere() {
    use crate::Tensor;
    type Call = fn(&crate::Device, &Tensor) -> Result<()>;
    let calls: [(&str, Call); 9] = [
        ("new", |d, _| Tensor::new([1.0f32], d).map(drop)),
        ("a large upload", |d, _| Tensor::from_slice(&vec![0.0f32; 1 << 20], [1 << 20], d).map(drop)),
        ("a value that is there", |_, x| x.to_vec::<f32>().map(drop)),
        ("a new plan", |_, x| x.exp()?.to_vec::<f32>().map(drop)),
        ("a plan that ran before", |_, x| x.add(1.0)?.to_vec::<f32>().map(drop)),
        ("realize", |_, x| x.add(1.0)?.realize()),
        ("flush", |d, _| d.flush()),
        ("sync", |d, _| d.sync()),
        ("interop", |_, x| crate::interop::buffer(x).map(drop)),
    ];
    for (name, call) in calls {
        let own = open(DeviceOptions::default());
        let lent =
            crate::interop::from_wgpu(own.core.device.clone(), own.core.queue.clone(), &DeviceOptions::default());
        let lent = lent.unwrap();
        let x = Tensor::new([1.0f32, 2.0], &lent).unwrap();
        assert_eq!(x.add(1.0).unwrap().to_vec::<f32>().unwrap(), [2.0, 3.0]);
        own.core.device.destroy();
        for time in ["first", "second"] {
            let error = call(&lent, &x).expect_err(name);
            assert!(error.is_device_lost(), "{name}, the {time} time: {error}");
            assert!(error.location().is_some_and(|at| at.file().ends_with("gpu/tests.rs")), "{error}");
        }
    }
}
