//! Every kind of kernel, checked by naga without a device and against plain loops on one.

mod cases;
mod draft;
mod forced;
mod reference;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use draft::Case;

use super::{build, variants};
use crate::backend::gpu::GpuBackend;
use crate::backend::gpu::adapter;
use crate::backend::gpu::check::{LARGE, PLAIN, SOFTWARE, translate};
use crate::backend::gpu::dispatch::{Binding, Caps, Dispatch, Grid, Kernel, Target};
use crate::backend::gpu::join::join;
use crate::backend::gpu::strict;
use crate::backend::{Backend, DeviceKind, DeviceOptions, Executable, Kernels};
use crate::dtype::DType;
use crate::error::Result;
use crate::ir::program::ReduceOp;
use crate::ir::step::{BufferInfo, Plan, Role, Step};

fn kernels(case: &Case, caps: &Caps) -> Vec<Dispatch> {
    // A case may keep more results than plain devices bind at once.
    let caps = Caps { max_storage_bindings: 32, ..*caps };
    build(&case.plan, &case.plan.steps[0], &caps).unwrap_or_else(|e| panic!("{}: {e}", case.name))
}

#[test]
fn every_variant_validates() {
    let mut seen: Vec<Dispatch> = Vec::new();
    for caps in [PLAIN, LARGE, SOFTWARE] {
        for case in cases::all() {
            for kernel in kernels(&case, &caps) {
                assert!(kernel.groups != Grid::Row(0), "{}: an empty dispatch", case.name);
                if !seen.iter().any(|k| k.shader.same(&*kernel.shader)) {
                    translate(&kernel.shader.source().unwrap(), caps.subgroups, true)
                        .unwrap_or_else(|e| panic!("{}: {e}", case.name));
                    seen.push(kernel);
                }
            }
        }
    }
    assert!(seen.len() > 100, "{} variants", seen.len());
}

fn agree(case: &Case, dtype: DType, got: u32, want: u32) -> bool {
    if got == want {
        return true;
    }
    if dtype != DType::F32 {
        return false;
    }
    let (got, want) = (f32::from_bits(got), f32::from_bits(want));
    // Sums of thousands of terms in another order than the reference's.
    let bound = if case.name.starts_with("softmax") { 1e-6 + 1e-4 * want.abs() } else { 2e-3 + 1e-5 * want.abs() };
    (got.is_nan() && want.is_nan()) || (got - want).abs() <= bound
}

/// Runs a case on a device with the kernels of `build`; gives the words of all its buffers.
fn compute(
    backend: &GpuBackend,
    case: &Case,
    build: impl Fn(&Plan, &Step, &Caps) -> Result<Vec<Dispatch>>,
) -> Vec<Vec<u32>> {
    let executable = backend.prepare_with(&case.plan, build).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    compute_with(&executable, backend, case)
}

fn compute_with(executable: &dyn Executable, backend: &GpuBackend, case: &Case) -> Vec<Vec<u32>> {
    let place = |i: usize| {
        let bytes = case.bytes(i);
        let buffer = backend.alloc(bytes.len()).unwrap();
        backend.write(&buffer, &bytes).unwrap();
        buffer
    };
    let buffers: Vec<_> = (0..case.data.len()).map(place).collect();
    let of = |wanted: fn(&BufferInfo) -> bool| {
        let both = case.plan.buffers.iter().zip(&buffers).filter(|(info, _)| wanted(info));
        both.map(|(_, buffer)| buffer.clone()).collect::<Vec<_>>()
    };
    let leaves = of(BufferInfo::is_leaf);
    let outputs = of(|b| matches!(b.role, Role::Output(_)));
    executable.run(&leaves, &outputs, &case.params).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    let read = |(i, buffer): (usize, _)| {
        let bytes = pollster::block_on(backend.read_all(buffer, case.data[i].len() * case.size(i))).unwrap();
        case.elements(i, &bytes)
    };
    buffers.iter().enumerate().map(read).collect()
}

/// The cases, some of different kinds together.
fn together<'c>(cases: &[&'c Case]) -> Vec<(Vec<&'c Case>, Case)> {
    let apart = cases.len().div_ceil(4);
    let of = |i: usize| {
        let mut group: Vec<&Case> = Vec::new();
        for &case in cases.iter().skip(i).step_by(apart) {
            if case.params.is_empty() || group.iter().all(|c| c.params.is_empty()) {
                group.push(case);
            }
        }
        let all = Case::together(&group);
        (group, all)
    };
    (0..apart).map(of).collect()
}

#[test]
fn joined_kernels_compute_what_each_does_alone() {
    let cases: Vec<_> = cases::all().into_iter().map(|case| (reference::run(&case), case)).collect();
    for_each_backend(|backend, place| {
        let fitting = cases.iter().filter(|(_, case)| case.fits(backend.max_storage_bindings()));
        let (mut wrong, mut all) = (Vec::new(), 0);
        for (group, case) in together(&fitting.map(|(_, case)| case).collect::<Vec<_>>()) {
            let prepared = backend.prepare_joined(&case.plan, build).unwrap_or_else(|e| panic!("{}: {e}", case.name));
            let Some(executable) = prepared else { continue };
            all += 1;
            let mut got = compute_with(&executable, backend, &case);
            for one in group {
                let rest = got.split_off(one.data.len());
                let (want, _) = cases.iter().find(|(_, case)| std::ptr::eq(case, one)).expect("one of them");
                wrong.extend(difference(one, &got, want).map(|what| format!("{}:\n    {what}", case.name)));
                got = rest;
            }
        }
        assert!(wrong.is_empty(), "on {place}: {} wrong in {all}\n{}", wrong.len(), wrong.join("\n"));
        assert!(all > 40 || backend.caps().software, "on {place}: {all} joined");
    });
}

#[test]
fn joined_kernels_run_where_nothing_is_forgiven() {
    let cases = cases::all();
    for caps in [LARGE, PLAIN] {
        let fitting: Vec<&Case> = cases.iter().filter(|c| c.fits(caps.max_storage_bindings as usize)).collect();
        for (group, case) in together(&fitting) {
            // Where each binding's buffer is: of the plan, or a scratch of one of the steps.
            let mut waves = Vec::new();
            for (number, step) in (0..).zip(&case.plan.steps) {
                let kernels = build(&case.plan, step, &caps).unwrap();
                for (i, dispatch) in kernels.into_iter().enumerate().filter(|(_, k)| k.groups != Grid::Row(0)) {
                    let place = |binding: &Binding| match binding.target {
                        Target::Step(buf) => Target::Step(step.bufs[usize::from(buf)]),
                        Target::Scratch { id, bytes } => Target::Scratch { id: 8 * number + id, bytes },
                    };
                    let sources = dispatch.bindings.iter().map(place).collect();
                    waves.resize_with(waves.len().max(i + 1), Vec::new);
                    waves[i].push(Kernel { dispatch, sources, name: String::new() });
                }
            }
            let mut kernels = Vec::new();
            for wave in waves {
                for Kernel { mut dispatch, sources, .. } in join(wave.into_iter(), &caps).unwrap() {
                    dispatch.bindings.iter_mut().zip(sources).for_each(|(b, target)| b.target = target);
                    kernels.push(dispatch);
                }
            }
            if kernels.iter().all(|k| k.shader.name() != "joined") {
                continue;
            }
            // All of it as one step that has all buffers.
            let mut whole = case.plan.steps[0].clone();
            whole.bufs = (0..case.plan.buffers.len() as u16).collect();
            whole.program.stores.clear();
            let plan = Plan {
                buffers: case.plan.buffers.clone(),
                steps: vec![whole],
                params: case.params.len(),
                slots: vec![],
            };
            let got = strict::run(&plan, |i| case.packed(i), &case.params, vec![kernels], 32)
                .unwrap_or_else(|e| panic!("{}: {e}", case.name));
            let mut got = case.unpacked(&got);
            for one in group {
                let rest = got.split_off(one.data.len());
                assert_eq!(difference(one, &got, &reference::run(one)), None, "{}", case.name);
                got = rest;
            }
        }
    }
}

/// The first word that differs from what plain loops give.
fn difference(case: &Case, got: &[Vec<u32>], want: &[Vec<u32>]) -> Option<String> {
    let places = (0..want.len()).flat_map(|b| (0..want[b].len()).map(move |i| (b, i)));
    let (b, i) = places.into_iter().find(|&(b, i)| !agree(case, case.plan.buffers[b].dtype, got[b][i], want[b][i]))?;
    let show = |word: u32| format!("{word:#x} ({})", f32::from_bits(word));
    Some(format!("{}: buffer {b} at {i}: {}, expected {}", case.name, show(got[b][i]), show(want[b][i])))
}

/// Every adapter under plain WebGPU and with all it has, each with the kernels of real GPUs; a software adapter also with
/// those that suit it.
fn for_each_backend(mut body: impl FnMut(&GpuBackend, &str)) {
    for (index, info) in pollster::block_on(adapter::list()).iter().enumerate() {
        let software = (info.kind == DeviceKind::Software).then_some((false, Kernels::Software));
        for (webgpu_defaults, kernels) in
            [(true, Kernels::Hardware), (false, Kernels::Hardware)].into_iter().chain(software)
        {
            let options = DeviceOptions { webgpu_defaults, kernels, ..Default::default() };
            let backend = pollster::block_on(adapter::open(index, &options)).unwrap();
            body(&backend, &format!("{}, {kernels} kernels, plain WebGPU {webgpu_defaults}", info.name));
        }
    }
}

#[test]
fn kernels_agree_with_plain_loops() {
    let cases: Vec<_> = cases::all().into_iter().map(|case| (reference::run(&case), case)).collect();
    for_each_backend(|backend, place| {
        let fitting = cases.iter().filter(|(_, case)| case.fits(backend.max_storage_bindings()));
        let wrong: Vec<String> =
            fitting.filter_map(|(want, case)| difference(case, &compute(backend, case, build), want)).collect();
        assert!(wrong.is_empty(), "on {place}: {} of {} wrong\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    });
}

/// A kernel that no test executed does not exist: whatever the rules may choose for the adapters at hand runs here and
/// agrees with plain loops.
#[test]
fn every_variant_that_the_rules_may_choose_runs_and_agrees() {
    for_each_backend(|backend, place| {
        let caps = backend.caps();
        let forced = vec![forced::products(&caps), forced::nests(&caps), forced::others()];
        let ran = all_agree(backend, place, forced);
        assert_same(place, &ran, &variants(&caps, forced::MOST_ACCS));
    });
}

/// The same of those that adapters with cooperative matrices get on request.
#[test]
fn every_variant_with_cooperative_matrices_runs_and_agrees() {
    for index in 0..pollster::block_on(adapter::list()).len() {
        let options = DeviceOptions { kernels: Kernels::Hardware, cooperative_matrices: true, ..Default::default() };
        let backend = pollster::block_on(adapter::open(index, &options)).unwrap();
        let caps = backend.caps();
        let name = &backend.info().name;
        let Some(matrices) = caps.cooperative else {
            println!("{name} has no cooperative matrices of f16 with sums in f32");
            continue;
        };
        let place = format!("{name}, {matrices:?}");
        let [ran, there_are] = [all_agree(&backend, &place, vec![forced::cooperative(&caps)]), variants(&caps, 0)]
            .map(|all| all.into_iter().filter(|v| v.contains("cooperative")).collect());
        assert_same(&place, &ran, &there_are);
    }
}

/// Runs cases by force, which must agree with plain loops; gives the variants that ran.
fn all_agree(backend: &GpuBackend, place: &str, forced: Vec<forced::Forced>) -> BTreeSet<String> {
    let (ran, wrong) = (Mutex::new(BTreeSet::new()), Mutex::new(Vec::new()));
    let run = |forced: forced::Forced| {
        for (case, choices) in forced {
            let want = reference::run(&case);
            for choice in choices {
                let build = |plan: &Plan, step: &Step, caps: &Caps| {
                    let built = choice.build(plan, step, caps)?;
                    ran.lock().unwrap().extend(built.iter().flat_map(|k| k.shader.variants()));
                    Ok(built)
                };
                let off = difference(&case, &compute(backend, &case, build), &want);
                wrong.lock().unwrap().extend(off.map(|text| format!("{choice:?}: {text}")));
            }
        }
    };
    std::thread::scope(|scope| {
        let run = &run;
        forced.into_iter().for_each(|cases| drop(scope.spawn(move || run(cases))));
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "on {place}: {} wrong\n{}", wrong.len(), wrong.join("\n"));
    ran.into_inner().unwrap()
}

/// Real GPUs do at once what software adapters do in some order.
#[test]
fn every_variant_runs_where_nothing_is_forgiven() {
    let ran = Mutex::new(BTreeSet::new());
    let of = |caps: &Caps| vec![forced::products(caps), forced::nests(caps), forced::others()];
    for (name, caps) in [("a large GPU", LARGE), ("plain WebGPU", PLAIN), ("a processor", SOFTWARE)] {
        if caps.software {
            // By other kernels, which are called the same.
            ran.lock().unwrap().clear();
        }
        let without = Caps { cooperative: None, ..caps };
        strictly(&without, of(&without), Some(&ran));
        let there_are = variants(&without, forced::MOST_ACCS);
        let missing: Vec<_> = there_are.difference(&ran.lock().unwrap()).cloned().collect();
        assert_eq!(missing, [""; 0], "on {name}: the rules may choose what no test ran");
    }
}

#[test]
fn every_variant_with_cooperative_matrices_runs_where_nothing_is_forgiven() {
    let ran = Mutex::new(BTreeSet::new());
    strictly(&LARGE, vec![forced::cooperative(&LARGE)], Some(&ran));
    let all = variants(&LARGE, 0).into_iter().filter(|v| v.contains("cooperative"));
    assert_eq!(all.filter(|v| !ran.lock().unwrap().contains(v)).collect::<Vec<_>>(), [""; 0]);
}

/// Every kind of kernel in every shape, with what the rules choose: the variants of a shader do not tell all of what it does.
#[test]
fn every_case_runs_where_nothing_is_forgiven() {
    for caps in [LARGE, PLAIN] {
        let cases = cases::all().into_iter().filter(|case| case.fits(caps.max_storage_bindings as usize));
        strictly(&caps, vec![cases.map(|case| (case, vec![forced::Choice::Rule])).collect()], None);
    }
}

/// Runs those cases by force, on a GPU that forgives nothing: all, or those of which some variant is not among those that
/// ran.
fn strictly(caps: &Caps, forced: Vec<forced::Forced>, ran: Option<&Mutex<BTreeSet<String>>>) {
    let wrong = Mutex::new(Vec::new());
    let run = |(case, choices): (Case, Vec<forced::Choice>)| {
        let mut want = None;
        for choice in choices {
            let build = || choice.build(&case.plan, &case.plan.steps[0], caps).unwrap();
            let variants: Vec<_> = build().iter().flat_map(|k| k.shader.variants()).collect();
            // Taken before it has run: no other thread need run it too.
            let new = ran.is_none_or(|ran| {
                let mut ran = ran.lock().unwrap();
                variants.iter().fold(false, |new, v| ran.insert(v.clone()) | new)
            });
            // What overwrites what it reads has no name of its own.
            let leaf = |s: &crate::ir::program::Store| {
                let step = &case.plan.steps[0];
                case.plan.buffers[usize::from(step.bufs[usize::from(s.buf)])].is_leaf()
            };
            if !new && !case.plan.steps[0].program.stores.iter().any(leaf) {
                continue;
            }
            let want = want.get_or_insert_with(|| reference::run(&case));
            // Subgroups of other sizes must give the same.
            let sizes: &[usize] = match choice {
                forced::Choice::Varying(_) => &[32, 64],
                _ if variants.iter().any(|v| v.contains("subgroup")) => &[4, 32, 128],
                _ => &[32],
            };
            for &subgroup in sizes {
                let ended = strict::run(&case.plan, |i| case.packed(i), &case.params, vec![build()], subgroup);
                let off = ended.map_or_else(Some, |words| difference(&case, &case.unpacked(&words), want));
                let text = |text| format!("{}: {choice:?}, subgroups of {subgroup}: {text}", case.name);
                wrong.lock().unwrap().extend(off.map(text));
            }
        }
    };
    let work = Mutex::new(forced.into_iter().flatten());
    let next = || work.lock().unwrap().next();
    let worker = || {
        while let Some(case) = next() {
            run(case);
        }
    };
    std::thread::scope(|scope| (0..crate::sys::threads()).for_each(|_| drop(scope.spawn(worker))));
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

fn assert_same(place: &str, ran: &BTreeSet<String>, there_are: &BTreeSet<String>) {
    let list = |of: &BTreeSet<String>, but: &BTreeSet<String>| of.difference(but).cloned().collect::<Vec<_>>();
    assert_eq!(list(there_are, ran), [""; 0], "on {place}: the rules may choose what no test ran");
    assert_eq!(list(ran, there_are), [""; 0], "on {place}: what ran is not among what the rules may choose");
    println!("{} variants ran on {place}", ran.len());
}

/// Two cases of one structure need the same pipelines.
fn assert_same_shaders(a: Case, b: Case) {
    let (ka, kb) = (kernels(&a, &PLAIN), kernels(&b, &PLAIN));
    assert_eq!(ka.len(), kb.len(), "{} and {}", a.name, b.name);
    for (x, y) in ka.iter().zip(&kb) {
        assert!(
            x.shader.same(&*y.shader),
            "{} and {}:\n{}\n{}",
            a.name,
            b.name,
            x.shader.source().unwrap(),
            y.shader.source().unwrap()
        );
        assert_eq!(x.params.len(), y.params.len());
    }
}

#[test]
fn pipelines_do_not_depend_on_extents() {
    assert_same_shaders(cases::chain(&[6, 8]), cases::chain(&[60, 800]));
    assert_same_shaders(cases::chain(&[6, 7]), cases::chain(&[31, 801]));
    assert_same_shaders(
        cases::reduce(&[ReduceOp::Sum], DType::F32, &[64], &[600], false),
        cases::reduce(&[ReduceOp::Sum], DType::F32, &[80], &[640], false),
    );
    assert_same_shaders(
        cases::reduce(&[ReduceOp::Sum], DType::F32, &[], &[(1 << 20) - 4], false),
        cases::reduce(&[ReduceOp::Sum], DType::F32, &[], &[(1 << 20) - 4096], false),
    );
    assert_same_shaders(cases::softmax(&[64], &[480], false), cases::softmax(&[300], &[496], false));
    let t = [false, false];
    assert_same_shaders(cases::gemm(&[], [1024, 1024, 512], t, 0), cases::gemm(&[], [1152, 1024, 256], t, 0));
}

/// The products of a small network's step leave no large GPU empty, nor does the cube of 1024.
#[test]
fn small_products_are_cut_into_enough_work_groups() {
    // m, k and n, and which operands are turned.
    let products = [
        ([64, 784, 512], [false, false]),
        ([64, 512, 784], [false, true]),
        ([784, 64, 512], [true, false]),
        ([64, 512, 10], [false, false]),
        ([64, 10, 512], [false, true]),
        ([512, 64, 10], [true, false]),
        ([1024, 1024, 1024], [false, false]),
    ];
    for ([m, k, n], turned) in products {
        let case = cases::gemm(&[], [m, n, k], turned, 0);
        for caps in [PLAIN, LARGE] {
            let groups: Vec<Grid> = kernels(&case, &caps).iter().map(|k| k.groups).collect();
            let Grid::Row(first) = groups[0] else { panic!("{groups:?}") };
            assert!(first >= 128, "{m}x{k}x{n}: {groups:?}");
        }
    }
}

/// Where the epilogue cannot read it so, it is bound once more, as elements; and where there are too few bindings for that,
/// it is read as elements everywhere.
#[test]
fn an_operand_that_the_epilogue_reads_stays_in_vectors() {
    for (turned, most, bindings, width) in [(false, 8, 3, "vectors"), (true, 8, 4, "vectors"), (true, 3, 3, "scalars")]
    {
        let case = cases::residual(512, turned, DType::F32);
        let caps = Caps { max_storage_bindings: most, ..LARGE };
        let kernel = &build(&case.plan, &case.plan.steps[0], &caps).unwrap()[0];
        assert_eq!(kernel.bindings.len(), bindings, "{turned} {most}");
        let a = format!("gemm 32x32 a Strided along k in {width}");
        assert!(kernel.shader.variants().contains(&a), "{:?}", kernel.shader.variants());
    }
}

#[test]
fn a_space_beyond_32_bits_is_refused() {
    let mut case = cases::chain(&[4]);
    Arc::get_mut(&mut case.plan).expect("not shared").buffers[0].len = 1 << 32;
    let error = build(&case.plan, &case.plan.steps[0], &PLAIN).err().expect("too large");
    assert!(error.is_unsupported(), "{error}");
    assert!(error.to_string().contains("4294967296 elements"), "{error}");
}

#[test]
fn philox_reference_has_the_published_values() {
    // Known answers of Random123 for counter and key 0, and for counter (0, 0, 0, 0) with another key by hand.
    assert_eq!(reference::philox(0, 0, [0, 0]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
}
