#!/usr/bin/env python3
"""The workloads of `benches/device` in PyTorch, on a GPU with CUDA.

    benches/peers_gpu.py BENCH_JSON PEERS_JSON [--cpu]

Reads the workloads' names from what `device run` wrote: they say all of a workload. f32 without TF32; convolutions channels
last with cuDNN's search on; Adam fused. Two times of each, medians after warming up: runs back to back between two CUDA
events (`wall_s`: what the host takes to launch them is in it where it is longer), and the same within a CUDA graph
(`device_s`: none of that is). `--cpu` runs on the processor, only to try this program. Exit status 3: no PyTorch, or no CUDA.

`peers/python.py` has the same definitions from here.
"""
import json, statistics, sys, time

args = [a for a in sys.argv[1:] if a != "--cpu"]
try:
    import torch
    import torch.nn.functional as F
except ImportError as e:
    print(f"no PyTorch here: {e}")
    sys.exit(3)
CPU = "--cpu" in sys.argv or __name__ != "__main__"
DEVICE = "cpu" if CPU else "cuda"
if not CPU and not torch.cuda.is_available():
    print("PyTorch is here, CUDA is not")
    sys.exit(3)
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
torch.backends.cudnn.benchmark = True
torch.manual_seed(1)


def rand(*shape, dtype=torch.float32):
    return (torch.rand(*shape, device=DEVICE) - 0.5).to(dtype)


def images(*shape):
    """Images given channels last, as PyTorch stores those."""
    return rand(*shape).permute(0, 3, 1, 2)


def product(ways, sizes, dtype=torch.float32):
    m, k, n = sizes
    a = rand(k, m, dtype=dtype).t() if ways[0] == "T" else rand(m, k, dtype=dtype)
    b = rand(n, k, dtype=dtype).t() if ways[1] == "T" else rand(k, n, dtype=dtype)
    return lambda: a @ b


def indexed(kind, rows, columns, taken):
    table, index = rand(rows, columns), torch.randint(rows, (taken,), device=DEVICE)
    if kind == "gather":
        return lambda: table.index_select(0, index)
    added = rand(taken, columns)
    return lambda: table.index_add(0, index, added)


def convolution(kind, batch, side, _side, channels, filters):
    x, dy = images(batch, side, side, channels), images(batch, side, side, filters)
    w = rand(filters, channels, 3, 3).contiguous(memory_format=torch.channels_last)
    if kind == "convolution":
        return lambda: F.conv2d(x, w, padding=1)
    if kind == "convolution-input-gradient":
        return lambda: torch.nn.grad.conv2d_input(x.shape, w, dy, padding=1)
    return lambda: torch.nn.grad.conv2d_weight(x, w.shape, dy, padding=1)


def pool(kind, batch, side, _side, channels):
    x = images(batch, side, side, channels)
    if kind == "max-pool":
        return lambda: F.max_pool2d(x, 2)
    x.requires_grad_()
    y, dy = F.max_pool2d(x, 2), images(batch, side // 2, side // 2, channels)
    return lambda: torch.autograd.grad(y, x, dy, retain_graph=True)[0]


def adam(parameters, captured):
    return torch.optim.Adam(parameters, lr=1e-3, eps=1e-7, fused=True, **({} if CPU else {"capturable": captured}))


def adam_update(rows, columns, captured):
    p = rand(rows, columns).requires_grad_()
    p.grad = rand(rows, columns)
    return adam([p], captured).step


def attention(batch, heads, length, width):
    q, k, v = (rand(batch, heads, length, width) for _ in range(3))
    return lambda: F.scaled_dot_product_attention(q, k, v)


class Recurrent(torch.nn.Module):
    """A recurrent layer as wide as its input, and a dense one of its last output."""

    def __init__(self, width):
        super().__init__()
        self.cell, self.last = torch.nn.LSTM(width, width, batch_first=True), torch.nn.Linear(width, 10)

    def forward(self, x):
        return self.last(self.cell(x)[0][:, -1])


class Block(torch.nn.Module):
    """A transformer block, normalised before each part, the mean of its tokens, and a dense layer."""

    def __init__(self, width, heads=8):
        super().__init__()
        nn, self.heads = torch.nn, heads
        self.one, self.two = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.between = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))
        self.last = nn.Linear(width, 10)

    def forward(self, x):
        parts = self.qkv(self.one(x)).chunk(3, -1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in parts)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        x = x + self.between(self.two(x))
        return self.last(x.mean(1))


def training(kind, sizes, captured, compiled):
    nn, batch = torch.nn, sizes[0]
    if kind == "mlp-adam-step":
        x = rand(batch, 784)
        model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    elif kind == "cnn-adam-step":
        x = images(batch, 28, 28, 1)
        layers = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
                  nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Linear(128, 10)]
        model = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    else:
        x = rand(*sizes)
        model = Recurrent(sizes[2]) if kind == "lstm-adam-step" else Block(sizes[2])
    model = model.to(DEVICE)
    y, optimizer = rand(batch, 10), adam(model.parameters(), captured)
    loss_of = compiled(lambda: -(F.log_softmax(model(x), -1) * y).sum())

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def workload(name, captured, compiled=lambda f: f):
    """What a name stands for; `captured`: it will be part of a CUDA graph; `compiled` makes something of a model's loss."""
    kind, *rest = name.split(" ")
    sizes = [int(n) for n in rest[-1].split("x")]
    if kind == "product":
        return product(rest[0], sizes)
    if kind == "product-f16":
        return product(rest[0], sizes, torch.float16)
    if kind == "pointwise-chain":
        a, b = rand(*sizes), rand(*sizes)
        return lambda: torch.tanh(a * b + a) * 0.5
    if kind in ("gather", "scatter-add"):
        return indexed(kind, *sizes)
    if kind.startswith("convolution"):
        return convolution(kind, *sizes)
    if kind.startswith("max-pool"):
        return pool(kind, *sizes)
    if kind == "adam":
        return adam_update(*sizes, captured)
    if kind == "attention":
        return attention(*sizes)
    if kind.endswith("-adam-step"):
        return training(kind, sizes, captured, compiled)
    x = rand(*sizes)
    if kind == "layer-norm":
        scale, offset = rand(sizes[1]), rand(sizes[1])
        return lambda: F.layer_norm(x, sizes[1:], scale, offset, 1e-5)
    if kind in ("transpose", "permute-heads"):
        return into(x.t() if kind == "transpose" else x.permute(0, 2, 1, 3))
    return {
        "sum": lambda: x.sum(),
        "sum-columns": lambda: x.sum(0),
        "sum-rows": lambda: x.sum(1),
        "argmax": lambda: x.argmax(-1),
        "softmax": lambda: x.softmax(-1),
        "add-bias-relu": lambda: F.relu(x + x[:1]),
    }[kind]


def into(view):
    """Twice a view, in one pass to memory that lies in the view's order."""
    out = torch.empty(view.shape, device=DEVICE)
    return lambda: torch.mul(view, 2.0, out=out)


def elapsed(f):
    """Seconds that `f` keeps the device busy."""
    if CPU:
        begin = time.perf_counter()
        f()
        return time.perf_counter() - begin
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    f()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) * 1e-3


def repeated(f, runs):
    def run():
        for _ in range(runs):
            f()
    return run


def median(f, runs, samples=7):
    return statistics.median(elapsed(f) / runs for _ in range(samples))


def measure(name):
    f = workload(name, False)
    begin = time.perf_counter()
    for i in range(1000):
        seconds = elapsed(f)
        if i >= 3 and (CPU or time.perf_counter() - begin > 0.2):
            break
    runs = max(1, min(200, int(0.05 / max(seconds, 1e-9))))
    found = {"wall_s": median(repeated(f, runs), runs)}
    if not CPU:
        try:
            f, runs = workload(name, True), min(runs, 20)
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                repeated(f, 3)()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                repeated(f, runs)()
            graph.replay()
            torch.cuda.synchronize()
            found["device_s"] = median(graph.replay, runs)
        except Exception as e:  # what cannot be captured has no such time
            found["no_graph"] = str(e).splitlines()[0]
    return found


def main():
    with open(args[0]) as f:
        names = [w["name"] for w in json.load(f)["works"]]
    peer = f"PyTorch {torch.__version__}"
    if not CPU:
        peer += f", CUDA {torch.version.cuda}, {torch.cuda.get_device_name()}"
    found, failed = {}, 0
    for name in names:
        try:
            found[name] = measure(name)
        except Exception as e:
            found[name] = {"error": (str(e) or repr(e)).splitlines()[0]}
            failed += 1
        print(name, found[name], flush=True)
        with open(args[1], "w") as f:
            json.dump({"peer": peer, "works": found}, f, indent=1)
        if not CPU:
            torch.cuda.empty_cache()
    print(f"{peer}: {len(found)} workloads, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
