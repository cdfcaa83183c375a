//! The tuner: which tile a product gets is measured on the device itself, once for each product, and kept for the next
//! process.

use std::collections::BTreeMap;
use std::fs;
use std::hash::Hasher;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use rustc_hash::FxHasher;

use super::GpuBackend;
use super::device::Core;
use super::dispatch::Caps;
use super::kernels::{self, tiles::Method};
use super::run::GpuExecutable;
use crate::backend::{Backend, Buffer, DeviceOptions, Executable};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ir::gemm::Gemm;
use crate::ir::step::{BufferInfo, Family, Plan, Role, Step};
use crate::sys::{Instant, block_on};

/// Seconds of runs that a candidate is measured by, and how many runs these are at most.
const SECONDS: f64 = 0.004;
const RUNS: u32 = 40;
/// A candidate must be so much faster than the rule's choice to replace it.
const GAIN: f64 = 0.97;
/// How far results may be from those of the rule's choice, as a share of the largest: sums are taken in another order.
const TOLERANCE: f32 = 1e-4;

/// What was found to be fastest, by product.
pub(super) struct Tuner {
    found: Mutex<BTreeMap<String, Method>>,
    /// Where that is kept, and for which driver.
    file: Option<(PathBuf, String)>,
}

impl Tuner {
    /// The tuner of a device, with what was found before.
    pub(super) fn of(core: &Core, options: &DeviceOptions) -> Tuner {
        let info = core.device.adapter_info();
        let name: String = info.driver.chars().filter(char::is_ascii_alphanumeric).collect();
        let name = format!("tuned_{:?}_{:x}_{:x}_{name}.json", info.backend, info.vendor, info.device);
        let driver = format!("{} {} {}", info.name, info.driver, info.driver_info);
        Self::open(options.cache.directory(core.guest).map(|folder| (folder.join(name), driver)))
    }

    /// A tuner with what the file has for this driver.
    fn open(file: Option<(PathBuf, String)>) -> Tuner {
        let found = file.as_ref().and_then(|(path, driver)| read(&fs::read_to_string(path).ok()?, driver));
        Tuner { found: Mutex::new(found.unwrap_or_default()), file }
    }

    /// How to compute a step: measured now, where it is a product that was not before. A tuner that fails leaves it to the
    /// rule.
    pub(super) fn method(&self, backend: &GpuBackend, plan: &Plan, step: &Step) -> Method {
        let Family::Gemm(g) = &step.family else { return Method::Rule };
        let caps = kernels::for_operands(plan, step, &backend.core.caps);
        let key = key(g, plan, step, &caps);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(method) = found.get(&key) {
            return *method;
        }
        let measured = measure(backend, plan, step, g, &caps);
        let method = measured.unwrap_or_else(|error| {
            log::warn!(target: "wgtensor::tune", "{key}: {error}");
            Method::Rule
        });
        log::info!(target: "wgtensor::tune", "{key}: {method}");
        found.insert(key, method);
        if let Some((path, driver)) = &self.file
            && let Err(error) = write(path, driver, &found)
        {
            log::debug!(target: "wgtensor::tune", "{}: {error}", path.display());
        }
        method
    }
}

/// What tells products apart: their sizes, how many buffers their step has, how the operands lie and are read, and with what.
fn key(g: &Gemm, plan: &Plan, step: &Step, caps: &Caps) -> String {
    let mut hasher = FxHasher::default();
    hasher.write(format!("{:?} {:?}", g.a, g.b).as_bytes());
    hasher.write(format!("{:?}", caps.cooperative).as_bytes());
    for &buf in &step.operands {
        hasher.write(format!("{}", plan.buffers[usize::from(step.bufs[usize::from(buf)])].dtype).as_bytes());
    }
    let batch: usize = g.batch.iter().product();
    format!("{}x{}x{} batch {batch} buffers {} {:016x}", g.m, g.k, g.n, step.bufs.len(), hasher.finish())
}

fn read(text: &str, driver: &str) -> Option<BTreeMap<String, Method>> {
    let mut file: serde_json::Value = serde_json::from_str(text).ok()?;
    if file.get("driver")?.as_str()? != driver || file.get("crate")?.as_str()? != env!("CARGO_PKG_VERSION") {
        return None;
    }
    let products = file.get_mut("products")?.as_object_mut().map(std::mem::take)?;
    products.into_iter().map(|(key, way)| Some((key, way.as_str()?.parse().ok()?))).collect()
}

fn write(path: &PathBuf, driver: &str, found: &BTreeMap<String, Method>) -> std::io::Result<()> {
    let products: serde_json::Map<_, _> = found.iter().map(|(k, way)| (k.clone(), way.to_string().into())).collect();
    let file = serde_json::json!({ "crate": env!("CARGO_PKG_VERSION"), "driver": driver, "products": products });
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Whole or not at all, for other processes.
    let part = path.with_extension(format!("part{}", std::process::id()));
    fs::write(&part, format!("{file:#}"))?;
    fs::rename(&part, path).inspect_err(|_| drop(fs::remove_file(&part)))
}

/// The fastest way whose results are those of the rule's.
fn measure(backend: &GpuBackend, plan: &Plan, step: &Step, g: &Gemm, caps: &Caps) -> Result<Method> {
    let bench = Bench::new(backend, plan, step)?;
    let (mut best, mut seconds) = (Method::Rule, bench.seconds(&bench.prepare(Method::Rule)?)?);
    let least = seconds * GAIN;
    let expected = bench.results(&bench.prepare(Method::Rule)?)?;
    log::debug!(target: "wgtensor::tune", "{:?}: {} {:.1} us", [g.m, g.k, g.n], best, seconds * 1e6);
    for method in Method::candidates(g, caps) {
        // A tile that the driver refuses is none.
        let Ok(executable) = bench.prepare(method) else { continue };
        let took = bench.seconds(&executable)?;
        log::debug!(target: "wgtensor::tune", "{:?}: {method} {:.1} us", [g.m, g.k, g.n], took * 1e6);
        if took >= seconds.min(least) {
            continue;
        }
        match alike(&bench.results(&executable)?, &expected) {
            true => (best, seconds) = (method, took),
            false => log::warn!(target: "wgtensor::tune", "{:?}: {method} computes something else", [g.m, g.k, g.n]),
        }
    }
    Ok(best)
}

/// A step on its own, with buffers of its own.
struct Bench<'a> {
    backend: &'a GpuBackend,
    plan: Plan,
    leaves: Vec<Buffer>,
    outputs: Vec<Buffer>,
    params: Vec<f64>,
}

impl<'a> Bench<'a> {
    fn new(backend: &'a GpuBackend, plan: &Plan, step: &Step) -> Result<Self> {
        let (mut infos, mut leaves, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
        let writes: Vec<u16> = step.program.stores.iter().map(|store| store.buf).collect();
        for (i, &buf) in (0u16..).zip(&step.bufs) {
            let BufferInfo { role, dtype, len } = &plan.buffers[buf as usize];
            let buffer = backend.alloc(dtype.bytes(*len))?;
            let mut info = BufferInfo { role: *role, dtype: *dtype, len: *len };
            match writes.contains(&i) && !matches!(role, Role::Leaf(_)) {
                true => {
                    info.role = Role::Output(outputs.len() as u32);
                    outputs.push(buffer);
                }
                false => {
                    info.role = Role::Leaf(leaves.len() as u32);
                    leaves.push(buffer);
                }
            }
            infos.push(info);
        }
        let step = Step { bufs: (0..step.bufs.len()).map(|i| i as _).collect(), ..step.clone() };
        let plan = Plan { buffers: infos, steps: vec![step], params: plan.params, slots: Vec::new() };
        let params = vec![0.5; plan.params];
        let bench = Bench { backend, plan, leaves, outputs, params };
        bench.fill()?;
        Ok(bench)
    }

    /// Positive numbers, so that roots and logarithms exist; zeros for whole numbers, which may be indices.
    fn fill(&self) -> Result<()> {
        let infos = self.plan.buffers.iter().filter(|info| matches!(info.role, Role::Leaf(_)));
        for (info, buffer) in infos.zip(&self.leaves) {
            let bytes = info.dtype.bytes(info.len);
            let mut words = vec![0u32; bytes.div_ceil(4)];
            if info.dtype == DType::F32 {
                let mut state = 0x9e37_79b9u32;
                for word in &mut words {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    *word = (0.25 + (state >> 8) as f32 / (1 << 25) as f32).to_bits();
                }
            }
            self.backend.write(buffer, bytemuck::cast_slice(&words))?;
        }
        Ok(())
    }

    fn prepare(&self, method: Method) -> Result<GpuExecutable> {
        self.backend.prepare_with(&self.plan, |plan, step, caps| kernels::build_by(plan, step, caps, method))
    }

    fn run(&self, executable: &GpuExecutable) -> Result<()> {
        executable.run(&self.leaves, &self.outputs, &self.params)
    }

    /// Seconds of a run, the best of three rounds of runs in a row.
    fn seconds(&self, executable: &GpuExecutable) -> Result<f64> {
        let round = |runs: u32| -> Result<f64> {
            let start = Instant::now();
            (0..runs).try_for_each(|_| self.run(executable))?;
            block_on(self.backend.sync())?;
            Ok(start.elapsed().as_secs_f64() / f64::from(runs))
        };
        round(1)?;
        let runs = (SECONDS / round(1)?.max(1e-9)).clamp(1.0, f64::from(RUNS)) as u32;
        (0..3).try_fold(f64::INFINITY, |least, _| Ok(round(runs)?.min(least)))
    }

    /// What a run writes.
    fn results(&self, executable: &GpuExecutable) -> Result<Vec<Vec<u8>>> {
        // What is updated in place begins anew.
        self.fill()?;
        self.run(executable)?;
        let step = &self.plan.steps[0];
        let written = (0..step.bufs.len()).filter(|&i| step.program.stores.iter().any(|s| usize::from(s.buf) == i));
        written
            .map(|i| {
                let info = &self.plan.buffers[i];
                let buffer = match info.role {
                    Role::Output(at) => &self.outputs[at as usize],
                    Role::Leaf(at) => &self.leaves[at as usize],
                    Role::Temp { .. } => return Err(Error::internal("a temporary of a step on its own")),
                };
                let (send, receive) = std::sync::mpsc::channel();
                let take = Box::new(move |bytes: &[u8]| drop(send.send(bytes.to_vec())));
                block_on(self.backend.read(buffer, info.dtype.bytes(info.len), take).boxed())?;
                receive.recv().map_err(|_| Error::internal("a read-back without bytes"))
            })
            .collect()
    }
}

/// Whether results are equal but for rounding.
fn alike(got: &[Vec<u8>], expected: &[Vec<u8>]) -> bool {
    got.iter().zip(expected).all(|(got, expected)| {
        let numbers = |bytes: &[u8]| -> Vec<f32> { bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect() };
        let (got, expected) = (numbers(got), numbers(expected));
        let largest = expected.iter().fold(0f32, |most, v| most.max(v.abs()));
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= TOLERANCE * largest || a.to_bits() == b.to_bits();
        got.len() == expected.len() && got.iter().zip(&expected).all(near)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_comes_back_for_its_driver_alone() {
        let folder = std::env::temp_dir().join(format!("wgtensor-tuner-{}", std::process::id()));
        let path = folder.join("table.json");
        let ways = ["rule", "reduction", "128x64/4"].map(|text| text.parse::<Method>().unwrap());
        let found: BTreeMap<String, Method> = (0..).map(|i| format!("product {i}")).zip(ways).collect();
        write(&path, "driver 1", &found).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(read(&text, "driver 1"), Some(found));
        assert_eq!(read(&text, "driver 2"), None);
        assert_eq!(read(&text[..text.len() / 2], "driver 1"), None);
        assert_eq!(read(&text.replace("128x64/4", "7x9/0"), "driver 1"), None);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn wrong_results_are_told_from_rounding() {
        let bytes = |values: &[f32]| vec![bytemuck::cast_slice::<f32, u8>(values).to_vec()];
        let expected = bytes(&[1.0, -200.0, f32::INFINITY.min(3.0)]);
        assert!(alike(&bytes(&[1.001, -200.01, 3.0]), &expected));
        assert!(!alike(&bytes(&[1.001, -200.5, 3.0]), &expected));
        assert!(!alike(&bytes(&[1.0, f32::NAN, 3.0]), &expected));
        assert!(!alike(&bytes(&[1.0, -200.0]), &expected));
    }
}
