#!/usr/bin/env python3
"""What AMD's compiler makes of the kernels, on a machine without an AMD GPU.

    cargo build --bench static
    benches/static/amd.py [--write | --same-version] [CHIP ...]

Runs each workload of `benches/static/main.rs` with Mesa's own Vulkan driver for a chip (default: navi31 navi21) on top of
mesa-drm-shim, a kernel interface that does nothing: shaders are compiled for the chip, submissions succeed and compute
nothing. Prints for each pipeline the registers, spills, work-group memory, waves a SIMD, the driver's estimates of latency
and inverse throughput, and of the innermost loop with the most multiply-adds: issue slots, multiply-adds, other vector
instructions, loads from memory, barriers. None of these is a time.

Compares with `amd.json` beside it and fails where a kernel spills or a figure is worse by more than 3 %; `--write` writes
that file instead. Under another version of the driver the figures are only printed; with `--same-version` they are not
even made, and it succeeds.

Needs Debian with `mesa-vulkan-drivers`; the shim of the same version is fetched and unpacked, not installed.
"""
import re, sys, tempfile

import common

# Of these less is better.
JUDGED = ["vgprs", "latency", "inverse throughput", "slots", "other vector"]
STATS = {"VGPRs": "vgprs", "Spilled VGPRs": "spills", "LDS size": "work-group memory", "Subgroups per SIMD": "waves",
         "Instructions": "instructions", "Latency": "latency", "Inverse Throughput": "inverse throughput"}


def kind(op):
    if re.match(r"v_(dual_)?(pk_)?(fma|mad_f|mac_f|wmma)", op):
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


def pipelines(log):
    """The figures of each pipeline that a log tells of."""
    rows, text, inside = [], [], False
    lines = iter(log.splitlines())
    for line in lines:
        if line.strip() == "disasm:":
            text, inside = [], True
        elif "*** SHADER STATS ***" in line:
            inside, row = False, {}
            for line in lines:
                if line.startswith("*****"):
                    break
                stat = re.match(r"^([\w \-]+): (\d+)$", line.strip())
                if stat and stat[1] in STATS:
                    row[STATS[stat[1]]] = int(stat[2])
            rows.append(row | main_loop(text))
        elif inside:
            text.append(line)
    return rows


def of_folder(folder, chip, debug="shaderstats,asm,nocache"):
    """The figures of each WGSL file of a folder, and what the driver says of those it refuses."""
    log, done = common.on_noop([common.built(), "--compile", folder], chip, RADV_DEBUG=debug)
    if not done:
        sys.exit(f"{chip}: the compiler stopped\n{log[-2000:]}")
    found = {name: (pipelines(text), text) for name, text in common.sections(log)}
    good = {name: rows[0] for name, (rows, _) in found.items() if rows}
    return good, {name: text for name, (rows, text) in found.items() if not rows or "refused: " in text}


def figures(chip):
    with tempfile.TemporaryDirectory() as folder:
        common.workloads(folder, chip)
        good, bad = of_folder(folder, chip)
    if bad:
        sys.exit(f"{chip} refuses {bad}")
    return good


if __name__ == "__main__":
    version = common.driver()
    common.same_version("amd.json", "AMD's compiler", version)
    common.report("amd.json", "the driver", version, ["navi31", "navi21"], figures, JUDGED)
