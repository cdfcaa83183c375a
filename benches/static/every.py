#!/usr/bin/env python3
"""Whether real compilers take every kernel of a folder.

    cargo build --bench static
    WGTENSOR_DUMP=DIR cargo test --lib backend::gpu          # or any other program that uses the crate
    benches/static/every.py [--install] DIR [amd | tint | dx12 | nvidia ...]

`WGTENSOR_DUMP` has a process write every WGSL source that it compiles into a folder. Each different one is given to
- amd: AMD's compiler for navi31, on a GPU that computes nothing (see `amd.py`), which must not spill registers either;
- tint: Chromium's compiler for WebGPU, from the npm package `webgpu`, so that browsers take it;
- dx12: glslang, which reads the HLSL that naga writes for DX12 (Debian's `glslc`); not Microsoft's compiler;
- nvidia: NVIDIA's compiler for sm_89 (see `nvidia.py`), if named: it takes a second a kernel.
Lists what is refused and fails then. A compiler that is not here is said to be missing; `--install` fetches Tint, and
glslang where apt-get may be used.
"""
import os, shutil, subprocess, sys, tempfile, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import amd, common, nvidia

TINT = "0.6.2"


def with_amd(kernels):
    if not common.shim():
        return common.NO_SHIM

    def of_part(folder):
        good, bad = amd.of_folder(folder, "navi31", "shaderstats,nocache")
        return bad | {name: f"spills {row['spills']} registers" for name, row in good.items() if row["spills"]}

    return in_parts(kernels, ".wgsl", of_part)


def with_tint(kernels):
    home = common.CACHE / f"tint-{TINT}"
    if "--install" in sys.argv and shutil.which("npm") and not home.exists():
        print(f"Fetching the npm package webgpu {TINT}", flush=True)
        half = home.with_name(f"half-{home.name}")
        subprocess.run(["npm", "install", "--silent", "--prefix", half, f"webgpu@{TINT}"], check=False, stdout=sys.stderr)
        if (half / "node_modules/webgpu").exists():
            half.rename(home)
    if not home.exists() or not shutil.which("node"):
        return "node and its package webgpu are not here (--install)"
    if not common.shim():
        return common.NO_SHIM

    def of_part(folder):
        log, done = common.on_noop(["node", common.HERE / "tint.cjs", home / "node_modules", folder])
        if not done:
            sys.exit(f"Tint stopped:\n{log[-2000:]}")
        return {name: text for name, text in common.sections(log) if "error" in text}

    return in_parts(kernels, ".wgsl", of_part)


def with_dx12(kernels):
    if "--install" in sys.argv and not shutil.which("glslc") and shutil.which("apt-get") and not os.getuid():
        print("Fetching Debian's package glslc", flush=True)
        packages = ["install", "-y", "-qq", "--no-install-recommends", "glslc"]
        subprocess.run(["apt-get", *packages], check=False, stdout=sys.stderr)
    if not shutil.which("glslc"):
        return "glslc is not here (Debian: glslc)"

    def of_part(folder):
        options = ["-c", "-x", "hlsl", "-fshader-stage=compute", "-fentry-point=main", "--target-env=vulkan1.1"]
        files = sorted(file.name for file in folder.iterdir())
        run = subprocess.run(["glslc", *options, *files], cwd=folder, capture_output=True, text=True)
        untaken = {file.stem for file in folder.glob("*.hlsl") if not file.with_suffix(".spv").exists()}
        return {name: "\n".join(l for l in run.stderr.splitlines() if l.startswith(f"{name}.hlsl:")) for name in untaken}

    return in_parts(kernels, ".hlsl", of_part)


def with_nvidia(kernels):
    home = nvidia.home()
    if not home:
        return "NVIDIA's compiler is not here (nvidia.py --install)"
    compiler = nvidia.Compiler(home)

    def refusal(path):
        try:
            spills = nvidia.of_kernel(compiler, path.with_suffix(".msl").read_text(), "sm_89")["spills"]
            return f"spills {spills} bytes" if spills else None
        except ValueError as e:
            return str(e)

    with ThreadPoolExecutor() as pool:
        return {path.stem: why for path, why in zip(kernels, pool.map(refusal, kernels)) if why}


def in_parts(kernels, suffix, of_part):
    """What is refused of the kernels, in the language of this suffix, by a compiler that takes a folder: each core has it
    compile a part of them."""
    cores = os.cpu_count()
    with tempfile.TemporaryDirectory() as work, ThreadPoolExecutor(cores) as pool:
        parts = [Path(work) / str(i) for i in range(min(cores, len(kernels)))]
        for i, part in enumerate(parts):
            part.mkdir()
            for kernel in kernels[i::cores]:
                shutil.copy(kernel.with_suffix(suffix), part)
        return {name: why for refused in pool.map(of_part, parts) for name, why in refused.items()}


def main():
    compilers = {"amd": with_amd, "tint": with_tint, "dx12": with_dx12, "nvidia": with_nvidia}
    folder, *asked = [a for a in sys.argv[1:] if not a.startswith("--")] or sys.exit(__doc__)
    different = {path.read_text(): path for path in sorted(Path(folder).glob("*.wgsl"), reverse=True)}
    failed = False
    with tempfile.TemporaryDirectory() as work:
        for path in different.values():
            shutil.copy(path, work)
        subprocess.run([common.built(), "--translate", work], check=True)
        for path in sorted(Path(work).glob("*.refused")):
            print(f"{path.stem}: not WGSL, says naga; left out")
            path.with_suffix(".wgsl").unlink()
        kernels = sorted(Path(work).glob("*.wgsl"))
        # Neither browsers nor DX12 get kernels with cooperative matrices: those are not translated for DX12.
        translated = [path for path in kernels if path.with_suffix(".hlsl").exists()]
        for name in asked or ["amd", "tint", "dx12"]:
            given = translated if name in ("tint", "dx12") else kernels
            start = time.monotonic()
            refused = compilers[name](given)
            if isinstance(refused, str):
                print(f"{name}: not asked: {refused}")
                continue
            seconds = time.monotonic() - start
            print(f"{name}: {len(given) - len(refused)} of {len(given)} kernels are taken ({seconds:.0f} s)", flush=True)
            for kernel, why in sorted(refused.items()):
                print(f"{name} {kernel}: {why.strip()[:1000]}")
            failed |= bool(refused) or not given
    sys.exit(failed)


if __name__ == "__main__":
    main()
