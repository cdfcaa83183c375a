#!/usr/bin/env python3
"""wgtensor and its peers, side by side, in one run on one machine.

    benches/peers/run.py --install [PEER,...]        fetches and builds the peers: the Rust ones with cargo, the Python ones
                                                     with pip, all of it outside the repository
    benches/peers/run.py [--device cpu | gpu] [--peers PEER,...] [--only REGEX] [--quick] [--patience S] [--out PREFIX]
                                                     times what is installed; prints a table, writes PREFIX.md and PREFIX.json

Every peer is a program that stays; each workload goes to one after the other, so that they are timed within seconds of each
other and whatever the machine does hits all of them. The whole list is gone through twice, the second time with the peers in
the opposite order; of a peer's two medians the lesser counts. `--quick` goes through it once, with few samples: a trial, no
figures to keep. Only a machine with nothing else to do gives those. Where Linux says what the processors do, a time that was
taken while others had more than 5 % of one is taken again, after them, for `--patience` seconds in all; what is left of
those is marked.

`--device gpu` compares with Burn through wgpu on the same adapter, in sizes that a driver which computes on the processor is
done with; `benches/gpu.sh` is for real GPUs. Cargo builds in CARGO_TARGET_DIR, and pip goes by its own settings.
"""
import argparse, json, os, re, select, subprocess, sys, tempfile, time
from pathlib import Path

import report

HERE = Path(__file__).resolve().parent
CACHE = Path.home() / ".cache" / "wgtensor-peers"
PYTHON = CACHE / "py" / "bin" / "python"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", CACHE / "target")).resolve()
PACKAGES = {
    "tf": ["tensorflow-cpu==2.21.*", "keras==3.15.*"],
    "jax": ["jax==0.10.*", "keras==3.15.*"],
    "torch": ["torch==2.15.*"],
}


def rust(package, *args, **env):
    return {"package": package, "command": [TARGET / "release" / f"peer-{package}", *args], "env": env}


def python(framework, package=None):
    return {"pip": package or framework, "command": [PYTHON, HERE / "python.py", framework], "env": {}}


PEERS = {
    "cpu": {
        "wgtensor": rust("wgtensor", WGTENSOR_DEVICE="cpu"),
        "tf": python("tf"),
        "jax": python("jax"),
        "torch": python("torch"),
        "torch-compile": python("torch-compile", "torch"),
        "candle": rust("candle"),
        "burn-flex": rust("burn", "flex"),
        "burn-ndarray": rust("burn", "ndarray"),
        "gemm": rust("gemm"),
    },
    "gpu": {"wgtensor": rust("wgtensor", WGTENSOR_DEVICE="gpu"), "burn-wgpu": rust("burn", "wgpu")},
}


def squares(*sizes):
    return [f"product NN {n}x{n}x{n}" for n in sizes]


def layer(batch, inputs, units):
    """The products of a dense layer: forward, of its weights' gradient, of its input's."""
    return [f"product NN {batch}x{inputs}x{units}", f"product TN {inputs}x{batch}x{units}",
            f"product NT {batch}x{units}x{inputs}"]


def convolutions(*sizes):
    """With both gradients; images of one channel are the first layer's, whose input needs none."""
    for s in sizes:
        yield f"convolution {s}"
        if "x1x" not in s:
            yield f"convolution-input-gradient {s}"
        yield f"convolution-kernel-gradient {s}"


WORKS = {
    "cpu": [
        *squares(64, 128, 256, 512, 1024, 2048, 4096),
        *layer(64, 784, 512), *layer(1024, 784, 512), *layer(64, 512, 10),
        *[f"pointwise-8 {2 ** n}" for n in range(10, 25, 2)],
        *[f"sum {2 ** n}" for n in (16, 20, 24)], "sum-rows 1024x1024", "sum-columns 1024x1024", "argmax 1024x1024",
        "softmax 32x10", "softmax 1024x1024", "layer-norm 2048x256", "layer-norm 1024x1024",
        *convolutions("64x28x28x1x32", "64x14x14x32x64", "8x56x56x64x64"),
        "attention 16x8x128x32", "attention 4x8x512x64",
        "adam 784x512", "adam-tensors 50x400x500",
        "mlp-adam-step 64", "mlp-adam-step 1024", "cnn-adam-step 64", "lstm-adam-step 32x64x128",
        "transformer-adam-step 16x128x256",
        "tiny-ops 1000", "fit-warm", "fit-cold", "start",
    ],
    "gpu": [
        *squares(64, 128, 256, 512), *layer(64, 784, 512),
        *[f"pointwise-8 {2 ** n}" for n in (10, 14, 18, 22)],
        *[f"sum {2 ** n}" for n in (16, 20)], "sum-rows 1024x1024", "sum-columns 1024x1024", "argmax 1024x1024",
        "softmax 32x10", "softmax 1024x1024", "layer-norm 2048x256",
        *convolutions("8x28x28x1x32", "8x14x14x32x64"),
        "attention 2x8x128x32", "adam 784x512", "adam-tensors 50x100x100",
        "mlp-adam-step 64", "cnn-adam-step 8", "lstm-adam-step 8x16x128", "transformer-adam-step 2x128x256",
        "tiny-ops 1000", "fit-warm", "start",
    ],
}


class Died(Exception):
    """A program that ended, or took too long and was ended."""


class Others:
    """Processor time of what is no program of ours, in seconds of one core. Ours are sessions of their own."""

    TICKS = os.sysconf("SC_CLK_TCK") if Path("/proc/stat").exists() else None

    def __init__(self):
        self.sessions = set()

    def used(self):
        if self.TICKS is None:
            return 0.0
        user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
        ours = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rsplit(")", 1)[1].split()
            except OSError:  # it has ended
                continue
            if int(fields[3]) in self.sessions or stat.parent.name == str(os.getpid()):
                ours += sum(map(int, fields[11:15]))
        return (user + nice + system + irq + softirq + steal - ours) / self.TICKS

    def share(self, seconds):
        """What others take of one core for a while."""
        before = self.used()
        time.sleep(seconds)
        return (self.used() - before) / seconds


class Program:
    """A peer, running."""

    def __init__(self, peer):
        self.begin, self.log = time.perf_counter(), tempfile.TemporaryFile()
        command, env = [str(part) for part in peer["command"]], os.environ | peer["env"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                        env=env, start_new_session=True)
        self.rest = b""
        self.label = self.line(300)["peer"].strip()

    def line(self, limit):
        end = time.monotonic() + limit
        while b"\n" not in self.rest:
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                self.process.kill()
                self.process.wait()
                raise Died(f"longer than {limit} s")
            read = os.read(self.process.stdout.fileno(), 1 << 16)
            if not read:
                self.process.wait()
                self.log.seek(0)
                last = self.log.read().decode(errors="replace").strip().splitlines() or ["no word"]
                raise Died(f"it ended: {last[-1][:200]}")
            self.rest += read
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def ask(self, name, seconds, limit):
        self.process.stdin.write(f"{seconds} {name}\n".encode())
        self.process.stdin.flush()
        return self.line(limit)

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def build(package, quiet=False):
    command = ["cargo", "build", "--release", "--manifest-path", HERE / package / "Cargo.toml"] + ["--quiet"] * quiet
    subprocess.run(command, check=True, env=os.environ | {"CARGO_TARGET_DIR": str(TARGET)})


def install(wanted):
    peers = {name: peer for device in PEERS.values() for name, peer in device.items() if not wanted or name in wanted}
    for package in dict.fromkeys(peer["package"] for peer in peers.values() if "package" in peer):
        build(package)
    packages = [p for pip in {peer["pip"] for peer in peers.values() if "pip" in peer} for p in PACKAGES[pip]]
    if packages:
        if not PYTHON.exists():
            subprocess.run([sys.executable, "-m", "venv", PYTHON.parent.parent], check=True)
        subprocess.run([PYTHON, "-m", "pip", "install", *sorted(set(packages))], check=True)


def installed(peer):
    if "pip" not in peer:
        return peer["command"][0].exists()
    modules = {"tf": ["tensorflow", "keras"], "jax": ["jax", "keras"], "torch": ["torch"]}[peer["pip"]]
    found = f"import importlib.util as u, sys; sys.exit(not all(u.find_spec(m) for m in {modules}))"
    return PYTHON.exists() and subprocess.run([PYTHON, "-c", found]).returncode == 0


class Round:
    """One pass through the workloads."""

    SHARE = 0.05

    def __init__(self, peers, seconds, limit, patience):
        self.peers, self.seconds, self.limit, self.patience = peers, seconds, limit, patience
        self.running, self.labels, self.others = {}, {}, Others()

    def start(self, key):
        program = Program(self.peers[key])
        self.others.sessions.add(program.process.pid)
        return program

    def one(self, name, key):
        """What a peer says of a workload."""
        try:
            if name in report.FRESH:
                program = self.start(key)
                found = program.ask(name, 0, self.limit)
                took = time.perf_counter() - program.begin
                program.close()
                return found | {"median": took, "least": took} if name == "start" and "median" in found else found
            if key not in self.running:
                self.running[key] = self.start(key)
                self.labels[key] = self.running[key].label
            return self.running[key].ask(name, self.seconds, self.limit)
        except (Died, OSError) as e:
            self.running.pop(key, None)
            return {"error": str(e)}

    def undisturbed(self, name, key):
        """The same, again until nothing else has been running meanwhile."""
        while True:
            before, begin = self.others.used(), time.monotonic()
            found = self.one(name, key)
            share = (self.others.used() - before) / (time.monotonic() - begin)
            if share <= self.SHARE:
                return found
            if self.patience <= 0:
                return found | {"others": share}
            begin = time.monotonic()
            while self.others.share(1) > self.SHARE and time.monotonic() - begin < self.patience:
                pass
            self.patience -= time.monotonic() - begin

    def go(self, names, works):
        for name in names:
            for key in self.peers:
                if key == "gemm" and not name.startswith("product"):
                    continue
                found = self.undisturbed(name, key)
                works[name].setdefault(key, []).append(found)
                time.sleep(0.05)  # until the threads of one are asleep
            print(report.progress(name, works[name]), file=sys.stderr, flush=True)

    def close(self):
        for program in self.running.values():
            program.close()


def combined(found):
    """The lesser of the rounds' medians, with all of them beside."""
    times = [f for f in found if "median" in f]
    if not times:
        return {k: v for k, v in found[-1].items() if k != "name"}
    best = min(times, key=lambda f: ("others" in f, f["median"]))
    one = {"median": best["median"], "least": min(f["least"] for f in times), "rounds": [f["median"] for f in times]}
    return one | {k: best[k] for k in ("how", "others") if k in best}


def commit():
    """What of wgtensor is measured."""
    git = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--exclude=*"]
    found = subprocess.run(git, capture_output=True, text=True)
    return f"commit {found.stdout.strip()}" if found.returncode == 0 else "not under version control"


def processor():
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) if Path("/proc/cpuinfo").exists() else []
    return f"{names[0] if names else 'processor'}, {os.cpu_count()} cores"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", nargs="?", const="", metavar="PEER,...")
    parser.add_argument("--device", choices=list(PEERS), default="cpu")
    parser.add_argument("--peers", default="", metavar="PEER,...")
    parser.add_argument("--only", default="", metavar="REGEX")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--patience", type=float, default=600, metavar="SECONDS")
    parser.add_argument("--out", default=str(CACHE / "last"), metavar="PREFIX")
    args = parser.parse_args()
    if args.install is not None:
        return install([p for p in args.install.split(",") if p])

    load = os.getloadavg()[0]
    build("wgtensor", quiet=True)
    wanted = [p for p in args.peers.split(",") if p]
    peers = {k: p for k, p in PEERS[args.device].items() if not wanted or k in (*wanted, "wgtensor")}
    absent = [k for k, p in peers.items() if not installed(p)]
    peers = {k: p for k, p in peers.items() if k not in absent}
    names = [n for n in WORKS[args.device] if re.search(args.only, n)]
    works = {name: {} for name in names}
    own, labels, patience = commit(), {}, 0 if args.quick else args.patience
    for i in range(1 if args.quick else 2):
        one = Round(dict(reversed(peers.items())) if i else peers, 0.1 if args.quick else 0.3, 60, patience)
        try:
            one.go(names, works)
        except KeyboardInterrupt:  # what there is by now is told
            break
        finally:
            one.close()
            patience, labels = one.patience, labels | one.labels
    results = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "device": args.device, "processor": processor(),
        "load": load, "quick": args.quick, "absent": absent,
        "peers": {k: labels.get(k, k) for k in peers} | {"wgtensor": own},
        "works": {n: {k: combined(works[n][k]) for k in peers if k in works[n]} for n in names},
    }
    report.judge(results)
    text = report.markdown(results)
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    Path(args.out + ".json").write_text(json.dumps(results, indent=1) + "\n")
    Path(args.out + ".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
