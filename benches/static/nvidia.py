#!/usr/bin/env python3
"""What NVIDIA's compiler makes of the kernels, on a machine without an NVIDIA GPU.

    cargo build --bench static
    benches/static/nvidia.py [--install[=VERSION]] [--write | --same-version] [CHIP ...]

The kernels of `benches/static/main.rs` go from WGSL to MSL by naga, from there to CUDA C++ by `metal.h` and a few
replacements, and through NVRTC to machine code for a chip (default: sm_80 sm_89 sm_90). NVIDIA's Vulkan driver has another
front end, and very likely the same back end (ptxas): what it does with a loop is to be believed, registers to 10 to 30.
Prints for each kernel registers, spilled bytes and work-group memory, and of the loop over a piece (the innermost with the
most multiply-adds, and what is around it up to the loop that loads from memory): issue slots, multiply-adds, loads from
memory and from the work-group's (of 128 bits and narrower), barriers; "hidden" is how many multiply-adds lie between the
next piece's loads and the first instruction that waits for one. None of these is a time.

Compares with `nvidia.json` as `amd.py` does. `--install` fetches the compiler's two Python packages, of the version of the
table, into the user's cache; nothing is installed without it. With `--same-version` it succeeds at once where the compiler is
not there or another.
"""
import ctypes, json, re, subprocess, sys, tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import common

PACKAGES = ["nvidia-cuda-nvrtc", "nvidia-cuda-nvdisasm"]
HEADER = common.HERE / "metal.h"


def home(version=None):
    """Where the compiler is: the folder of this version, or the highest."""
    if version and (common.CACHE / f"nvidia-{version}").exists():
        return common.CACHE / f"nvidia-{version}"
    folders = [f for f in common.CACHE.glob("nvidia-*") if list(f.glob("nvidia/*/bin/nvdisasm"))]
    return max(folders, key=lambda f: [int(n) for n in re.findall(r"\d+", f.name)], default=None)


def install(version):
    goal = common.CACHE / f"nvidia-{version}"
    if goal.exists():
        return
    names = [f"{name}=={version}" for name in PACKAGES]
    print("Fetching NVIDIA's compiler: " + ", ".join(names), flush=True)
    half = goal.with_name(f"half-{version}")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(half), *names]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        print(f"NVIDIA's compiler cannot be fetched here:\n{run.stderr[-1000:]}")
    else:
        half.rename(goal)


def cuda(msl):
    """CUDA C++ for what naga wrote for Metal, and the threads of a work-group."""
    x, y, z = (int(n) for n in re.match(r"// workgroup (\d+) (\d+) (\d+)", msl).groups())
    threads = x * y * z
    msl = re.sub(r"(?m)^#include.*$|^using metal::uint;$", "", msl)
    # An array at a buffer's end has no length that the compiler could build on.
    msl = re.sub(r"typedef ([^;\[]+) (\w+)\[1\];", r"typedef \1 \2[];", msl)
    # In MSL a constant without a suffix is single.
    msl = re.sub(r"(?<![\w.])(\d+\.\d*(?:e[+-]?\d+)?)(?![\w.])", r"\1f", msl)
    parts = lambda m: f".of<{', '.join(str('xyzw'.index(c)) for c in m[1])}>()"
    msl = re.sub(r"(?<=[\w\])])\.([xyzw]{2,4})\b", parts, msl)
    kernel = r"(?s)(.*?)(?:\[\[max_total[^\]]*\]\] )?kernel void (\w+)\((.*?)\n\) \{(.*)"
    head, name, parameters, body = re.match(kernel, msl).groups()
    function = r"(?m)^((?!struct|typedef|using|template|static|constant|return|enum)[A-Za-z_][\w:<>, ]*[ &*]+)(\w+)\("
    head = re.sub(function, r"static __forceinline__ __device__ \1\2(", head)
    head = re.sub(r"\bconstant (?=[\w:]+&)", "const ", head)
    head = re.sub(r"(?m)^constant ", "static constexpr ", head)
    head, body = (re.sub(r"\b(?:device|constant|thread|threadgroup) (?=[\w:]+(?: const)?&)", "", t) for t in (head, body))
    t = "threadIdx.x"
    local = f"metal::uint3({t} % {x}u, {t} / {x}u % {y}u, {t} / {x * y}u)"
    group = "metal::uint3(blockIdx.x, blockIdx.y, blockIdx.z)"
    builtin = {
        "threadgroup_position_in_grid": group, "threadgroups_per_grid": "metal::uint3(gridDim.x, gridDim.y, gridDim.z)",
        "thread_index_in_threadgroup": t, "thread_position_in_threadgroup": local,
        "thread_position_in_grid": f"{group} * metal::uint3({x}u, {y}u, {z}u) + {local}",
        "thread_index_in_simdgroup": f"{t} % 32u", "simdgroup_index_in_threadgroup": f"{t} / 32u",
        "threads_per_simdgroup": "32u", "simdgroups_per_threadgroup": f"{(threads + 31) // 32}u"}
    takes, first = [], []
    for parameter in re.split(r"\n, |\n  ", parameters):
        parameter = parameter.strip()
        if m := re.match(r"threadgroup ([\w:]+)& (\w+)$", parameter):
            first.append(f"__shared__ {m[1]} {m[2]};")
        elif m := re.match(r"constant ([\w:]+)& (\w+) \[\[buffer", parameter):
            takes.append(f"const __grid_constant__ {m[1]} {m[2]}")  # in the constant bank, as a uniform buffer is
        elif m := re.match(r"device ([\w:]+)( const)?& (\w+) \[\[buffer", parameter):
            of = m[1] + (m[2] or "")
            takes.append(f"{of}* {m[3]}ptr")
            first.append(f"{of}& {m[3]} = *{m[3]}ptr;")
        elif m := re.match(r"([\w:]+) (\w+) \[\[(\w+)\]\]", parameter):
            first.append(f"{m[1]} {m[2]} = {builtin[m[3]]};")
        elif parameter:
            raise ValueError(f"a parameter that is not understood: {parameter}")
    declared = f'extern "C" __global__ void __launch_bounds__({threads}) {name}({", ".join(takes)})'
    return f'#include "metal.h"\n{head}\n{declared} {{\n{chr(10).join(first)}\n{body}'


class Compiler:
    def __init__(self, folder):
        self.library = ctypes.CDLL(str(next(folder.glob("nvidia/*/lib/libnvrtc.so.*"))))
        self.disassembler = next(folder.glob("nvidia/*/bin/nvdisasm"))

    def text(self, what, program):
        size = ctypes.c_size_t()
        getattr(self.library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        getattr(self.library, f"nvrtcGet{what}")(program, text)
        return text.raw

    def compile(self, source, chip):
        """The machine code, and what the compiler says."""
        program, one = ctypes.c_void_p(), ctypes.c_char_p * 1
        self.library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 1, one(HEADER.read_bytes()),
                                        one(b"metal.h"))
        flags = [f"--gpu-architecture={chip}", "--std=c++17", "--prec-div=false", "--prec-sqrt=false", "-default-device", "-w",
                 "--ptxas-options=-v"]
        flags = (ctypes.c_char_p * len(flags))(*(f.encode() for f in flags))
        failed = self.library.nvrtcCompileProgram(program, len(flags), flags)
        log = self.text("ProgramLog", program).decode().strip("\0")
        code = b"" if failed else self.text("CUBIN", program)
        self.library.nvrtcDestroyProgram(ctypes.byref(program))
        if failed:
            raise ValueError(log[:2000])
        return code, log

    def disassemble(self, code):
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            file.write(code)
            file.flush()
            command = [self.disassembler, "-c", "-hex", file.name]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def instructions(text):
    """Each instruction's name, the scoreboard that it sets (7: none) and those that it waits for (bits); and the loops, as
    first and last instruction. The scoreboards are in the upper word of the code."""
    out, labels, pending, jumps = [], {}, [], []
    lines = text.splitlines()
    for line, below in zip(lines, lines[1:] + [""]):
        if label := re.match(r"\s*(\.L_x_\d+):", line):
            pending.append(label[1])
        op = re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)(.*?);", line)
        if not op:
            continue
        labels.update(dict.fromkeys(pending, len(out)))
        pending = []
        if op[1].startswith("BRA") and (goal := re.search(r"\((\.L_x_\d+)\)", op[2])):
            jumps.append((len(out), goal[1]))
        upper = re.search(r"/\* 0x([0-9a-f]{16}) \*/", below)
        bits = int(upper[1], 16) if upper else 0
        out.append((op[1], bits >> 46 & 7, bits >> 52 & 63))
    loops = {}
    for at, goal in jumps:
        # A jump to itself only pads the code's end.
        if labels.get(goal, at) < at:
            loops[labels[goal]] = max(at, loops.get(labels[goal], 0))
    return out, sorted(loops.items())


def kind(op):
    base = op.split(".")[0]
    if base in ("FFMA", "FFMA2", "HMMA"):
        return "multiply-adds"
    names = {"LDG": "loads", "LDS": "work-group loads"}
    if base in names:
        return names[base] if ".128" in op else f"narrow {names[base]}"
    return "barriers" if base == "BAR" else "rest"


def main_loop(text):
    """The mix of the loop over a piece, and how much of it hides the loads of the next."""
    code, loops = instructions(text)
    kinds = [kind(op) for op, _, _ in code]
    within = lambda loop, what: sum(what in k for k in kinds[loop[0]:loop[1] + 1])
    inner = [a for a in loops if not any(a != b and a[0] <= b[0] and b[1] <= a[1] for b in loops)]
    best = max(inner, key=lambda loop: within(loop, "multiply-adds"), default=None)
    if best is None or not within(best, "multiply-adds"):
        return {}
    around = [a for a in loops if a[0] <= best[0] and best[1] <= a[1]]
    first, last = min((a for a in around if within(a, "loads") > within(a, "work-group loads")),
                      key=lambda a: a[1] - a[0], default=best)
    names = ["multiply-adds", "loads", "narrow loads", "work-group loads", "narrow work-group loads", "barriers"]
    mix = {"slots": last - first + 1} | {name: kinds[first:last + 1].count(name) for name in names}
    body = list(zip(kinds[first:last + 1], code[first:last + 1]))
    loads = [i for i, (k, _) in enumerate(body) if k in ("loads", "narrow loads")]
    if loads:
        boards = {body[i][1][1] for i in loads} - {7}
        mix["hidden"] = 0
        for k, (_, _, waits) in body[loads[-1] + 1:] + body[:loads[-1] + 1]:
            if any(waits >> b & 1 for b in boards):
                break
            mix["hidden"] += k == "multiply-adds"
    return mix


def of_kernel(compiler, msl, chip):
    code, log = compiler.compile(cuda(msl), chip)
    number = lambda pattern: int((re.search(pattern, log) or [0, 0])[1])
    row = {"registers": number(r"Used (\d+) registers"), "spills": number(r"(\d+) bytes spill stores"),
           "work-group memory": number(r"(\d+) bytes smem")}
    return row | main_loop(compiler.disassemble(code))


def main():
    asked = next((a for a in sys.argv if a.startswith("--install")), "")
    wanted = asked.partition("=")[2] or json.loads((common.HERE / "nvidia.json").read_text())["compiler"]
    if asked:
        install(wanted)
    folder = home(wanted)
    version = folder.name.partition("-")[2] if folder else None
    common.same_version("nvidia.json", "NVIDIA's compiler", version)
    if not folder:
        sys.exit("NVIDIA's compiler is not here: --install fetches it.")
    compiler = Compiler(folder)
    with tempfile.TemporaryDirectory() as kernels:
        common.workloads(kernels)
        subprocess.run([common.built(), "--translate", kernels], check=True)
        texts = {path.stem: path.read_text() for path in sorted(Path(kernels).glob("*.msl"))}

    def figures(chip):
        different = list(dict.fromkeys(texts.values()))
        with ThreadPoolExecutor() as pool:
            made = dict(zip(different, pool.map(lambda text: of_kernel(compiler, text, chip), different)))
        return {name: made[text] for name, text in texts.items()}

    chips = ["sm_80", "sm_89", "sm_90"]
    common.report("nvidia.json", "NVIDIA's compiler", version, chips, figures, ["registers", "slots"], ["hidden"])


if __name__ == "__main__":
    main()
