//! What the first run of a long recorded program costs: planning it, and above all the driver's compiler. Each program
//! runs in a process of its own with the driver's shader cache off, fused and with a kernel for each operation; fusion is
//! to cost at most twice as much then (and a fraction afterwards).

use std::process::Command;
use std::time::Instant;

use wgtensor::{DType, Device, DeviceOptions, Kernels, Result, Tensor, grad};

/// `x = sin(c x)`, 250 times, and the gradient.
fn sines(device: &Device) -> Result<Tensor> {
    let first = Tensor::uniform([4096], -1.0, 1.0, 1, device)?.requires_grad();
    let mut x = first.clone();
    for link in 0..250 {
        x = x.mul(1.0 + f64::from(link) / 1000.0)?.sin()?;
    }
    Ok(grad(&x.sum(())?, &[&first])?.swap_remove(0))
}

/// Different functions in turn, so that no two pieces of the program are alike.
fn mixture(device: &Device) -> Result<Tensor> {
    let first = Tensor::uniform([4096], -1.0, 1.0, 1, device)?.requires_grad();
    let mut x = first.clone();
    for link in 0..60u32 {
        x = match link * link % 11 {
            0 | 1 => x.tanh()?,
            3 => x.sigmoid()?.add(x)?,
            4 => x.square()?.add(0.5)?.sqrt()?,
            5 => x.mul(0.5)?.exp()?,
            _ => x.mul(0.9)?.softplus()?,
        };
    }
    Ok(grad(&x.sum(())?, &[&first])?.swap_remove(0))
}

/// A recurrent layer of 16 units over 20 steps, unrolled, and the gradient of its weights.
fn recurrent(device: &Device) -> Result<Tensor> {
    let steps = Tensor::uniform([20, 8, 4], -1.0, 1.0, 1, device)?;
    let (w, u) = (Tensor::uniform([4, 16], -0.5, 0.5, 2, device)?, Tensor::uniform([16, 16], -0.5, 0.5, 3, device)?);
    let (w, u) = (w.requires_grad(), u.requires_grad());
    let mut h = Tensor::zeros([8, 16], DType::F32, device)?;
    for t in 0..20 {
        let x = steps.slice(0, t..t + 1)?.reshape([8, 4])?;
        h = x.matmul(&w)?.add(h.matmul(&u)?)?.tanh()?;
    }
    let grads = grad(&h.square()?.sum(())?, &[&w, &u])?;
    grads[0].sum(())?.add(grads[1].sum(())?)
}

const PROGRAMS: [(&str, fn(&Device) -> Result<Tensor>); 3] = [
    ("250 sines with gradients", sines),
    ("60 mixed links with gradients", mixture),
    ("a recurrent layer, 20 steps", recurrent),
];

/// The child: runs one program and prints the seconds of its first run and of its second.
fn run(name: &str, kernels: &str) -> Result<()> {
    let options = DeviceOptions { kernels: kernels.parse::<Kernels>()?, ..DeviceOptions::default() };
    let device = Device::open_with("gpu", &options)?;
    let (_, program) = PROGRAMS.into_iter().find(|(n, _)| *n == name).expect("a program's name");
    let mut seconds = [0.0; 2];
    for seconds in &mut seconds {
        let start = Instant::now();
        program(&device)?.realize()?;
        device.sync()?;
        *seconds = start.elapsed().as_secs_f64();
    }
    let counters = device.counters();
    println!("{:.3} {:.4} {} {}", seconds[0], seconds[1], counters.dispatches / 2, counters.pipelines);
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    if let [child, name, kernels] = &arguments[..]
        && child == "run"
    {
        return run(name, kernels);
    }
    let wanted = |name: &str| arguments.first().is_none_or(|filter| name.contains(filter.as_str()));
    let executable = std::env::current_exe().expect("the bench itself");
    for (name, kernels) in PROGRAMS.iter().flat_map(|(n, _)| ["software", "hardware"].map(|k| (*n, k))) {
        if !wanted(name) {
            continue;
        }
        let mut first = Vec::new();
        for fusion in ["on", "off"] {
            let mut command = Command::new(&executable);
            command
                .args(["run", name, kernels])
                .env("WGTENSOR_FUSION", fusion)
                .env("MESA_SHADER_CACHE_DISABLE", "true");
            let output = command.output().expect("the bench runs itself");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let figures: Vec<f64> = text.split_whitespace().filter_map(|t| t.parse().ok()).collect();
            let [cold, warm, dispatches, pipelines] = figures[..] else {
                panic!("{name}: {text}{}", String::from_utf8_lossy(&output.stderr));
            };
            println!(
                "{name}, {kernels} kernels, fusion {fusion}: {cold:.2} s first, {:.1} ms then, {dispatches} dispatches, \
                 {pipelines} pipelines",
                warm * 1e3
            );
            first.push(cold);
        }
        println!("{name}, {kernels} kernels: fused / unfused first run {:.2} (at most 2)\n", first[0] / first[1]);
    }
    Ok(())
}
