#!/usr/bin/env python3
"""Whether real compilers take every kernel of a folder.

    cargo build --bench static
    WGTENSOR_DUMP=DIR cargo test --lib backend::gpu          # or any other program that uses the crate
    benches/static/every.py [--install] DIR [amd | tint | dx12 | nvidia ...]

`WGTENSOR_DUMP` has a process write every WGSL source that it compiles into a folder. Each different one is given to
- amd: AMD's compiler for navi31, on a GPU that computes nothing (see `amd.py`), which must not spill registers either;
- tint: Chromium's compiler for WebGPU, from the npm package `webgpu`, so that browsers take it;
- dx12: glslang, which reads the HLSL that naga writes for DX12 (Debian's `glslang-tools`); not Microsoft's compiler;
- nvidia: NVIDIA's compiler for sm_89 (see `nvidia.py`), if named: it takes a second a kernel.
Lists what is refused and fails then. A compiler that is not here is said to be missing; `--install` fetches Tint, and
glslang where apt-get may be used.
"""
import os, shutil, subprocess, sys, tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import amd, common, nvidia

TINT = "0.6.2"
# What kernels with cooperative matrices begin with: neither browsers nor DX12 get any.
COOPERATIVE = "enable wgpu_cooperative_matrix;"


def with_amd(folder):
    if not common.shim():
        return common.NO_SHIM
    good, bad = amd.of_folder(folder, "navi31", "shaderstats,nocache")
    return bad | {name: f"spills {row['spills']} registers" for name, row in good.items() if row["spills"]}


def with_tint(folder):
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
    with tempfile.TemporaryDirectory() as of_browsers:
        for path in Path(folder).glob("*.wgsl"):
            if COOPERATIVE not in path.read_text():
                shutil.copy(path, of_browsers)
        log, done = common.on_noop(["node", common.HERE / "tint.cjs", home / "node_modules", of_browsers])
    if not done:
        sys.exit(f"Tint stopped:\n{log[-2000:]}")
    return {name: text for name, text in common.sections(log) if "error" in text}


def with_dx12(folder):
    if "--install" in sys.argv and not shutil.which("glslangValidator") and shutil.which("apt-get") and not os.getuid():
        print("Fetching Debian's package glslang-tools", flush=True)
        packages = ["install", "-y", "-qq", "--no-install-recommends", "glslang-tools"]
        subprocess.run(["apt-get", *packages], check=False, stdout=sys.stderr)
    if not shutil.which("glslangValidator"):
        return "glslangValidator is not here (Debian: glslang-tools)"

    def refusal(path):
        command = ["glslangValidator", "-D", "-V", "-S", "comp", "-e", "main", "--target-env", "vulkan1.1", "-o", os.devnull]
        run = subprocess.run([*command, path], capture_output=True, text=True, timeout=60)
        return run.stdout if run.returncode else None

    return each(Path(folder).glob("*.hlsl"), refusal)


def with_nvidia(folder):
    home = nvidia.home()
    if not home:
        return "NVIDIA's compiler is not here (nvidia.py --install)"
    compiler = nvidia.Compiler(home)

    def refusal(path):
        try:
            spills = nvidia.of_kernel(compiler, path.read_text(), "sm_89")["spills"]
            return f"spills {spills} bytes" if spills else None
        except ValueError as e:
            return str(e)

    return each(Path(folder).glob("*.msl"), refusal)


def each(paths, refusal):
    paths = sorted(paths)
    with ThreadPoolExecutor() as pool:
        return {path.stem: why for path, why in zip(paths, pool.map(refusal, paths)) if why}


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
        number = len(list(Path(work).glob("*.wgsl")))
        cooperative = sum(COOPERATIVE in path.read_text() for path in Path(work).glob("*.wgsl"))
        for name in asked or ["amd", "tint", "dx12"]:
            refused = compilers[name](work)
            if isinstance(refused, str):
                print(f"{name}: not asked: {refused}")
                continue
            given = number - (cooperative if name in ("tint", "dx12") else 0)
            print(f"{name}: {given - len(refused)} of {given} kernels are taken")
            for kernel, why in sorted(refused.items()):
                print(f"{name} {kernel}: {why.strip()[:1000]}")
            failed |= bool(refused) or not number
    sys.exit(failed)


if __name__ == "__main__":
    main()
