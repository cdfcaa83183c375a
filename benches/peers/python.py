#!/usr/bin/env python3
"""A peer in Python; `run.py` beside this file starts it.

    python.py tf | jax | torch | torch-compile

Reads requests from its input, `SECONDS NAME` in a line, and answers each with a line of JSON, as `serve.rs` does. TensorFlow
and JAX run the same definitions, in Keras: TensorFlow as functions of graphs, with XLA and without, and the better counts;
JAX as jitted functions. PyTorch's are those of `peers_gpu.py`. Results are waited for; threads are each framework's default.
"""
import gc, json, os, statistics, sys, time

FRAMEWORK = sys.argv[1]
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="", JAX_PLATFORMS="cpu")
os.environ["KERAS_BACKEND"] = {"tf": "tensorflow", "jax": "jax"}.get(FRAMEWORK, "torch")


class Missing(Exception):
    """What this peer does not do."""


if FRAMEWORK in ("tf", "jax"):
    import keras
    from keras import layers, ops

    if FRAMEWORK == "tf":
        import tensorflow as tf
        PEER = f"TensorFlow {tf.__version__}, Keras {keras.__version__}"
    else:
        import jax
        PEER = f"Keras {keras.__version__} on JAX {jax.__version__}"
else:
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    import peers_gpu
    import torch
    import torch.nn.functional as F
    PEER = f"PyTorch {torch.__version__}" + (", torch.compile" if FRAMEWORK == "torch-compile" else "")


def rand(*shape):
    return keras.random.uniform(shape, -0.5, 0.5)


def pointwise(a, b, tanh, sqrt):
    """The chain of eight pointwise operations."""
    t = tanh(a * b + a) * 0.5 - b
    return sqrt(t * t + 1.0)


# Keras's definitions: functions of their operands.

def attention(q, k, v):
    scores = ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) * (q.shape[-1] ** -0.5)
    return ops.matmul(ops.softmax(scores), v)


def layer_norm(x, scale, offset):
    mean, variance = ops.moments(x, -1, keepdims=True)
    return (x - mean) * ops.rsqrt(variance + 1e-5) * scale + offset


def gradient(f):
    """The gradient of `f`'s first operand, given that of the result."""
    if FRAMEWORK == "jax":
        return lambda x, other, dy: jax.vjp(lambda x: f(x, other), x)[1](dy)[0]

    def of_tape(x, other, dy):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = f(x, other)
        return tape.gradient(y, x, dy)

    return of_tape


def function(kind, ways, sizes):
    """What a name stands for: a function and its operands."""
    if kind in ("product", "start"):
        m, k, n = sizes if kind == "product" else (64, 64, 64)
        turned = [w == "T" for w in (ways or "NN")]
        a, b = rand(*((k, m) if turned[0] else (m, k))), rand(*((n, k) if turned[1] else (k, n)))
        return lambda a, b: ops.matmul(*(ops.transpose(x) if t else x for x, t in zip((a, b), turned))), (a, b)
    if kind == "pointwise-8":
        return lambda a, b: pointwise(a, b, ops.tanh, ops.sqrt), (rand(*sizes), rand(*sizes))
    if kind == "attention":
        return attention, tuple(rand(*sizes) for _ in range(3))
    if kind == "layer-norm":
        return layer_norm, (rand(*sizes), rand(sizes[1]), rand(sizes[1]))
    if kind.startswith("convolution"):
        batch, side, _, channels, filters = sizes
        x, w = rand(batch, side, side, channels), rand(3, 3, channels, filters)
        dy = rand(batch, side, side, filters)
        if kind == "convolution":
            return lambda x, w: ops.conv(x, w, padding="same"), (x, w)
        if kind == "convolution-input-gradient":
            return gradient(lambda x, w: ops.conv(x, w, padding="same")), (x, w, dy)
        return gradient(lambda w, x: ops.conv(x, w, padding="same")), (w, x, dy)
    simple = {
        "sum": ops.sum,
        "sum-rows": lambda x: ops.sum(x, 1),
        "sum-columns": lambda x: ops.sum(x, 0),
        "argmax": lambda x: ops.argmax(x, -1),
        "softmax": ops.softmax,
    }
    if kind not in simple:
        raise Missing
    return simple[kind], (rand(*sizes),)


def model(kind, sizes):
    if kind == "mlp-adam-step":
        dense = [layers.Dense(512, "relu"), layers.Dense(512, "relu"), layers.Dense(10)]
        return keras.Sequential([layers.Input((784,)), *dense])
    if kind == "cnn-adam-step":
        return keras.Sequential([
            layers.Input((28, 28, 1)), layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten(),
            layers.Dense(128, "relu"), layers.Dense(10)])
    inputs = x = layers.Input(sizes[1:])
    width = sizes[2]
    if kind == "lstm-adam-step":
        x = layers.LSTM(width)(x)
    else:
        normal = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(8, width // 8)(normal, normal)])
        between = layers.Dense(4 * width, "relu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(width)(between)])
        x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(10)(x))


def adam():
    return keras.optimizers.Adam(1e-3)


def loss_of(logits, y):
    return -ops.sum(ops.log_softmax(logits) * y)


def training(kind, sizes):
    """A step of Adam, one for each way to compile it."""
    batch = sizes[0]
    shape = {"mlp-adam-step": (batch, 784), "cnn-adam-step": (batch, 28, 28, 1)}.get(kind, sizes)
    x, y, net, optimizer = rand(*shape), rand(batch, 10), model(kind, sizes), adam()
    optimizer.build(net.trainable_variables)
    if FRAMEWORK == "jax":
        def loss(trainable, fixed):
            logits, _ = net.stateless_call(trainable, fixed, x, training=True)
            return loss_of(logits, y)

        fixed = [v.value for v in net.non_trainable_variables]

        def step(trainable, state):
            value, grads = jax.value_and_grad(loss)(trainable, fixed)
            return value, *optimizer.stateless_apply(state, grads, trainable)

        return [("", carried(step, [v.value for v in net.trainable_variables], [v.value for v in optimizer.variables]))]

    def step():
        with tf.GradientTape() as tape:
            loss = loss_of(net(x, training=True), y)
        optimizer.apply(tape.gradient(loss, net.trainable_variables), net.trainable_variables)
        return loss

    return both_ways(step, ())


def carried(step, *state):
    """A jitted step of JAX, which gives a value and the new state."""
    step = jax.jit(step, donate_argnums=tuple(range(len(state))))
    state = [jax.tree.map(lambda a: a.copy(), part) for part in state]

    def run():
        value, *state[:] = step(*state)
        return jax.block_until_ready((value, state))

    return run


def update(count, shape):
    """Adam on parameters whose gradients are at hand."""
    variables, grads = [keras.Variable(rand(*shape)) for _ in range(count)], [rand(*shape) for _ in range(count)]
    optimizer = adam()
    optimizer.build(variables)
    if FRAMEWORK == "tf":
        return both_ways(lambda *grads: optimizer.apply(list(grads), variables), tuple(grads))

    def step(values, state):
        return 0.0, *optimizer.stateless_apply(state, grads, values)

    return [("", carried(step, [v.value for v in variables], [v.value for v in optimizer.variables]))]


def both_ways(f, operands):
    """A function of graphs of TensorFlow, without XLA and with it; it waits on the processor by itself."""
    ways = [(how, tf.function(f, jit_compile=xla)) for how, xla in [("", False), ("XLA", True)]]
    return [(how, lambda run=run: run(*operands)) for how, run in ways]


def tiny(x, length):
    """Operations called one at a time, whatever the framework makes of them."""
    for _ in range(length // 2):
        x = x * 0.999
        x = x + 0.001
    return x


def fit():
    """A new model for the seed's `fit`, and its training."""
    x, y = rand(569, 30), ops.cast(rand(569) > 0, "float32")
    net = keras.Sequential([layers.Input((30,)), layers.Dense(16, "relu"), layers.Dense(1, "sigmoid")])
    net.compile("adam", "binary_crossentropy")
    return lambda: net.fit(x, y, epochs=10, batch_size=64, verbose=0)


def of_keras(kind, ways, sizes):
    if kind.startswith("fit"):
        return [("", fit())]
    if kind in ("adam", "adam-tensors"):
        return update(*(sizes[:1] + [sizes[1:]] if kind == "adam-tensors" else [1, sizes]))
    if kind.endswith("-adam-step"):
        return training(kind, sizes)
    ready = jax.block_until_ready if FRAMEWORK == "jax" else lambda x: x
    if kind == "tiny-ops":
        x = rand(4, 4)
        return [("", lambda: ready(tiny(x, *sizes)))]
    f, operands = function(kind, ways, sizes)
    if FRAMEWORK == "tf":
        return both_ways(f, operands)
    f = jax.jit(f)
    return [("", lambda: jax.block_until_ready(f(*operands)))]


# PyTorch's, beside those of `peers_gpu.py`.

def fit_torch():
    x, y = peers_gpu.rand(569, 30), (peers_gpu.rand(569, 1) > 0).float()
    nn = torch.nn
    net = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = peers_gpu.adam(net.parameters(), False)
    bce = F.binary_cross_entropy_with_logits
    loss_of = torch.compile(lambda x, y: bce(net(x), y)) if FRAMEWORK == "torch-compile" else lambda x, y: bce(net(x), y)

    def run():
        for _ in range(10):
            for rows in torch.randperm(569).split(64):
                optimizer.zero_grad(set_to_none=True)
                loss_of(x[rows], y[rows]).backward()
                optimizer.step()

    return run


def of_torch(name, kind, sizes):
    compiles = FRAMEWORK == "torch-compile"
    torch._dynamo.reset()
    if kind.startswith("fit"):
        return fit_torch()
    if kind == "tiny-ops":
        if compiles:  # it would be one program then
            raise Missing
        x = peers_gpu.rand(4, 4)
        return lambda: tiny(x, *sizes)
    if kind in ("adam", "adam-tensors"):
        if compiles:
            raise Missing
        count, shape = (sizes[0], sizes[1:]) if kind == "adam-tensors" else (1, sizes)
        parameters = [peers_gpu.rand(*shape).requires_grad_() for _ in range(count)]
        for p in parameters:
            p.grad = peers_gpu.rand(*shape)
        return peers_gpu.adam(parameters, False).step
    if kind.endswith("-adam-step"):
        return peers_gpu.workload(name, False, torch.compile if compiles else lambda f: f)
    if kind == "pointwise-8":
        a, b = peers_gpu.rand(*sizes), peers_gpu.rand(*sizes)
        f = lambda: pointwise(a, b, torch.tanh, torch.sqrt)
    else:
        f = peers_gpu.workload("product NN 64x64x64" if kind == "start" else name, False)
    return torch.compile(f) if compiles else f


def make(name):
    kind, *rest = name.split(" ")
    sizes = [int(n) for n in rest[-1].split("x")] if rest else []
    if FRAMEWORK in ("tf", "jax"):
        return of_keras(kind, rest[0] if len(rest) > 1 else "", sizes)
    return [("", of_torch(name, kind, sizes))]


def samples(run, seconds):
    begin = time.perf_counter()
    for i in range(1_000_000):
        run()
        past = (time.perf_counter() - begin) / seconds
        if past > 0.4 and i >= 2 or past > 16:
            break
    found, begin = [], time.perf_counter()
    while True:
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
        past = (time.perf_counter() - begin) / seconds
        enough = 1 if past > 16 else 3 if past > 4 else 5
        if len(found) >= 1000 or past > 1 and len(found) >= enough:
            return found


def measured(name, seconds):
    begin, best = time.perf_counter(), None
    ways = make(name)
    if name == "start" or name.split(" ")[0].endswith("cold"):
        ways[0][1]()
        took = time.perf_counter() - begin
        return {"median": took, "least": took, "runs": 1}
    errors = []
    for how, run in ways:
        try:
            found = samples(run, seconds)
        except Exception as e:  # one of two ways may not be possible
            errors.append(e)
            continue
        one = {"median": statistics.median(found), "least": min(found), "runs": len(found)} | ({"how": how} if how else {})
        best = one if best is None or one["median"] < best["median"] else best
    if best is None:
        raise errors[0]
    return best


def main():
    print(json.dumps({"peer": PEER}), flush=True)
    for line in sys.stdin:
        seconds, name = line.rstrip("\n").split(" ", 1)
        try:
            found = measured(name, float(seconds))
        except Missing:
            found = {"missing": True}
        except Exception as e:
            found = {"error": (str(e) or repr(e)).splitlines()[0][:300]}
        print(json.dumps({"name": name} | found), flush=True)
        gc.collect()


main()
