"""What `run.py` found, judged and as a table."""
import math

TRAINING = "-adam-step "
# These are of a process that has done nothing before; they are in no mean.
FRESH = ("fit-cold", "start")
# What is asked of wgtensor, as the best peer's time over its own: of every workload, of every training step, of the geometric
# mean of those, and of products beside the crate that computes them. On a GPU, of every workload and of the mean of all.
TARGETS = {
    "cpu": {"peers": ["tf", "jax", "torch", "torch-compile"], "all": 0.9, "training": 1.0, "mean": 1.5, "gemm": 0.95},
    "gpu": {"peers": ["burn-wgpu"], "all": 1.0, "training": 1.0, "mean": 2.0},
}
NAMES = {"tf": "TensorFlow", "jax": "Keras on JAX", "torch": "PyTorch", "burn-flex": "Burn flex",
         "burn-ndarray": "Burn ndarray", "burn-wgpu": "Burn wgpu", "gemm": "gemm, bare"}


def seconds(s):
    """A time with three digits and a unit that suits it."""
    value, unit = next((s * f, u) for limit, f, u in [(1e-3, 1e6, "us"), (1, 1e3, "ms"), (math.inf, 1, "s")] if s < limit)
    return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f} {unit}"


def cell(found):
    if found is None:
        return ""
    if "median" in found:
        return seconds(found["median"]) + (f" ({found['how']})" if "how" in found else "") + "*" * ("others" in found)
    return "-" if "missing" in found else "failed"


def progress(name, works):
    return f"{name}: " + ", ".join(f"{k} {cell(found[-1])}" for k, found in works.items())


def mean(ratios):
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


def everything(results):
    """Every peer's answer to every workload."""
    return [f for found in results["works"].values() for f in found.values() if isinstance(f, dict)]


def judge(results):
    """Adds the ratios, and what is below the targets."""
    target, below = TARGETS[results["device"]], []
    training, every = [], []
    for name, found in results["works"].items():
        own = found.get("wgtensor", {}).get("median")
        times = {k: found[k]["median"] for k in target["peers"] if "median" in found.get(k, {})}
        if own is None or not times:
            continue
        found["best"] = min(times, key=times.get)
        found["ratio"] = ratio = times[found["best"]] / own
        every += [ratio] * (name not in FRESH)
        least = target["training"] if TRAINING in name else target["all"]
        if TRAINING in name:
            training.append(ratio)
        if ratio < least:
            below.append(f"{name}: {ratio:.2f} of {NAMES.get(found['best'], found['best'])}, asked {least}")
        bare = found.get("gemm", {}).get("median")
        if bare and bare / own < target.get("gemm", 0):
            below.append(f"{name}: {bare / own:.2f} of gemm bare, asked {target['gemm']}")
    results["mean_of_all"], results["mean_of_training"] = mean(every), mean(training)
    judged = results["mean_of_training" if results["device"] == "cpu" else "mean_of_all"]
    if judged is not None and judged < target["mean"]:
        below.append(f"geometric mean: {judged:.2f}, asked {target['mean']}")
    results["below"] = below
    rounds = [f["rounds"] for f in everything(results) if len(f.get("rounds", [])) > 1]
    apart = sorted(max(r) / min(r) for r in rounds)
    tenths = {"median": apart[len(apart) // 2], "tenth": apart[len(apart) * 9 // 10]} if apart else None
    results["rounds_apart"] = tenths


def markdown(results):
    peers, device, quick = results["peers"], results["device"], results["quick"]
    name_of = lambda k: NAMES.get(k, k)
    show = lambda value: "not measured" if value is None else f"{value:.2f}"
    how = " --quick: one round with few samples, a trial" if quick else ""
    lines = [
        f"# wgtensor and its peers, {results['date'][:10]}, {'CPU' if device == 'cpu' else 'one adapter'}", "",
        f"{results['processor']}; load when it began {results['load']:.2f}. Taken with `benches/peers/run.py`{how}. Times are",
        f"medians, the wait for the result included{'' if quick else ', the lesser of two rounds'}; the ratio is the best judged",
        "peer's time over wgtensor's, above one where wgtensor is faster. `(XLA)`: TensorFlow's better way was with it.", "",
        *[f"- {name_of(k)}: {label}" for k, label in peers.items()],
    ]
    if any("others" in f for f in everything(results)):
        lines += ["", "`*`: while something else was running."]
    if results["absent"]:
        lines += [f"- not installed: {', '.join(map(name_of, results['absent']))}"]
    if results["rounds_apart"]:
        median, tenth = (results["rounds_apart"][k] - 1 for k in ("median", "tenth"))
        lines += ["", f"The two rounds were apart by {median:.0%} in the median, by {tenth:.0%} or more in a tenth."]
    columns = [name_of(k) for k in peers]
    lines += ["", "| work (f32) | " + " | ".join(columns) + " | ratio |", "| --- |" + " --- |" * (len(columns) + 1)]
    for name, found in results["works"].items():
        ratio = f"{found['ratio']:.2f}" if "ratio" in found else ""
        lines.append(f"| {name} | " + " | ".join(cell(found.get(k)) for k in peers) + f" | {ratio} |")
    training, every = show(results["mean_of_training"]), show(results["mean_of_all"])
    lines += ["", f"Geometric mean of the training steps: {training}; of all: {every}.", ""]
    below = [f"- {b}" for b in results["below"]]
    if below:
        lines += ["Below what is asked:", "", *below]
    elif any("ratio" in found for found in results["works"].values()):
        lines += ["Nothing is below what is asked."]
    failed = [f"- {name}, {name_of(k)}: {f['error']}" for name, found in results["works"].items()
              for k, f in found.items() if isinstance(f, dict) and "error" in f]
    if failed:
        lines += ["", "Failed:", "", *failed]
    return "\n".join(lines) + "\n"
