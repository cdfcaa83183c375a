#!/usr/bin/env python3
"""What AMD's compiler makes of the kernels, on a machine without an AMD GPU.

    cargo build --release --bench static
    benches/static/amd.py [--write | --same-driver] [CHIP ...]

Runs each workload of `benches/static/main.rs` with Mesa's own Vulkan driver for a chip (default: navi31 navi21) on top of
mesa-drm-shim, a kernel interface that does nothing: shaders are compiled for the chip, submissions succeed and compute
nothing. Prints for each pipeline the registers, spills, work-group memory, waves a SIMD, the driver's estimates of latency
and inverse throughput, and of the innermost loop with the most multiply-adds: issue slots, multiply-adds, other vector
instructions, loads from memory, barriers. None of these is a time.

Compares with `amd.json` beside it and fails where a kernel spills or a figure is worse by more than 3 %; `--write` writes
that file instead. Under another version of the driver the figures are only printed; with `--same-driver` they are not
even made, and it succeeds.

Needs Debian with `mesa-vulkan-drivers`; the shim of the same version is fetched and unpacked, not installed.
"""
import glob, json, os, pathlib, re, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TABLE = HERE / "amd.json"
# Of these less is better.
JUDGED = ["vgprs", "latency", "inverse throughput", "slots", "other vector"]
STATS = {"VGPRs": "vgprs", "Spilled VGPRs": "spills", "LDS size": "work-group memory", "Subgroups per SIMD": "waves",
         "Instructions": "instructions", "Latency": "latency", "Inverse Throughput": "inverse throughput"}


def driver():
    """The version of the driver that is installed."""
    query = ["dpkg-query", "-W", "-f", "${Version}", "mesa-vulkan-drivers"]
    return subprocess.run(query, capture_output=True, text=True).stdout


def shim(version):
    """The file of the shim that belongs to the driver."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "wgtensor" / f"shim-{version}"
    pattern = str(cache / "usr/lib/*/libamdgpu_noop_drm_shim.so")
    if not glob.glob(pattern):
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", f"mesa-drm-shim={version}"], cwd=cache, check=True, stdout=sys.stderr)
        subprocess.run(["dpkg", "-x", *glob.glob(str(cache / "*.deb")), str(cache)], check=True)
    return glob.glob(pattern)[0]


def log_of(chip, library):
    """What the driver says of all workloads."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [f for f in glob.glob(str(target / "release/deps/static-*")) if "." not in os.path.basename(f)]
    if not built:
        sys.exit("The workloads are not built: cargo build --release --bench static")
    with tempfile.TemporaryDirectory() as runtime:
        env = dict(os.environ, AMDGPU_GPU_ID=chip, XDG_RUNTIME_DIR=runtime, LD_PRELOAD=library, WGTENSOR_DEVICE="gpu",
                   WGTENSOR_CACHE="off",
                   VK_DRIVER_FILES=glob.glob("/usr/share/vulkan/icd.d/radeon_icd*.json")[0],
                   RADV_DEBUG="shaderstats,asm,nocache")
        run = subprocess.run([max(built, key=os.path.getmtime)], env=env, capture_output=True, text=True, errors="replace")
    if run.returncode:
        sys.exit(f"{chip}: the workloads failed\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    return run.stderr


def kind(op):
    if re.match(r"v_(dual_)?(pk_)?(fma|mad_f|mac_f)", op):
        return "multiply-adds"
    if re.match(r"(buffer|global|flat)_load", op):
        return "loads"
    if op.startswith("s_barrier"):
        return "barriers"
    return "other vector" if op.startswith("v_") else "rest"


def main_loop(text):
    """The mix of the innermost loop with the most multiply-adds."""
    blocks, names = [[]], {}
    for line in text:
        label = re.match(r"^(BB\d+):", line)
        if label:
            names[label[1]] = len(blocks)
            blocks.append([])
        op = re.match(r"^\s+([a-z]+_\w+)(.*)", line)
        if op:
            blocks[-1].append((op[1], op[2]))
    back = {}
    for i, block in enumerate(blocks):
        for op, rest in block:
            goal = re.search(r"\bBB\d+\b", rest) if "branch" in op else None
            if goal and names.get(goal[0], i + 1) <= i:
                back[names[goal[0]]] = max(i, back.get(names[goal[0]], 0))
    best = {}
    for first, last in back.items():
        if any(first < f and l <= last for f, l in back.items()):
            continue
        mix = dict.fromkeys(["slots", "multiply-adds", "other vector", "loads", "barriers"], 0)
        for op, _ in (x for block in blocks[first:last + 1] for x in block):
            mix["slots"] += 1
            if kind(op) in mix:
                mix[kind(op)] += 1
        if mix["multiply-adds"] > best.get("multiply-adds", 0):
            best = mix
    return best


def figures(log):
    """For each workload its pipelines."""
    out, name, text, inside = {}, None, [], False
    lines = iter(log.splitlines())
    for line in lines:
        if line.startswith("=== "):
            name = None if line == "=== end" else line[4:]
        elif line.strip() == "disasm:":
            text, inside = [], True
        elif "*** SHADER STATS ***" in line:
            inside, row = False, {}
            for line in lines:
                if line.startswith("*****"):
                    break
                stat = re.match(r"^([\w \-]+): (\d+)$", line.strip())
                if stat and stat[1] in STATS:
                    row[STATS[stat[1]]] = int(stat[2])
            if name:
                out.setdefault(name, []).append(row | main_loop(text))
        elif inside:
            text.append(line)
    return out


def main():
    arguments = sys.argv[1:]
    write = "--write" in arguments
    chips = [a for a in arguments if not a.startswith("--")] or ["navi31", "navi21"]
    known = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    version = driver()
    if "--same-driver" in arguments and version != known.get("driver"):
        print(f"AMD's compiler is not asked: the table is of {known.get('driver')}, installed is {version or 'none'}.")
        return
    library = shim(version)
    judged = known.get("driver") == version and not write
    now, wrong = {}, []
    for chip in chips:
        now[chip] = figures(log_of(chip, library))
        for name in now[chip].keys() | (table := known.get("chips", {}).get(chip, {})).keys():
            counts = [len(rows.get(name, [])) for rows in (table, now[chip])]
            if judged and table and counts[0] != counts[1]:
                wrong.append(f"{chip} {name}: {counts[0]} -> {counts[1]} pipelines")
        for name, rows in now[chip].items():
            before = table.get(name, [])
            for i, row in enumerate(rows):
                share = f"; {row['multiply-adds'] / row['slots']:.0%} of the slots multiply" if row.get("slots") else ""
                print(f"{chip} {name}: " + ", ".join(f"{k} {v}" for k, v in row.items()) + share)
                if row.get("spills"):
                    wrong.append(f"{chip} {name}: spills")
                old = before[i] if judged and len(before) == len(rows) else {}
                wrong += [f"{chip} {name}: {k} {old[k]} -> {row[k]}" for k in JUDGED
                          if k in old and row.get(k, 0) > old[k] * 1.03 + 1]
    if write:
        TABLE.write_text(json.dumps({"driver": version, "chips": now}, indent=1) + "\n")
    elif not judged:
        print(f"Not judged: the table is of {known.get('driver')}, the driver here is {version}.")
    if wrong:
        sys.exit("Worse than before:\n" + "\n".join(wrong))


main()
