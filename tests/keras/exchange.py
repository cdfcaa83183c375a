"""Models exchanged with Keras, both ways.

Keras makes models, trains them a little, saves them, and notes what they predict and what their losses are when training
goes on. The crate (`cargo test --features full --test suite exchanged -- --ignored`) opens each file, must predict and train alike,
and saves a file of its own with notes of its own; which Keras opens, and must predict and train alike.

    python3 tests/keras/exchange.py [folder]

Needs `keras` and a backend of it; `KERAS_BACKEND` chooses (default jax).
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers, losses, metrics, optimizers  # noqa: E402

EPOCHS, BATCH = 3, 8
rng = np.random.default_rng(7)


def floats(*shape):
    return rng.normal(size=shape).astype("float32")


def labels(n, classes):
    return rng.integers(0, classes, size=(n,)).astype("int32")


def mlp():
    x, scale = floats(24, 6), layers.Normalization()
    scale.adapt(3 * x + 1)
    model = keras.Sequential(
        [layers.Input((6,)), scale, layers.Dense(8, "relu"), layers.Dense(8, "gelu"), layers.Dense(3, "softmax")], name="mlp"
    )
    model.compile(optimizers.Adam(0.01, amsgrad=True), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, [x], [labels(24, 3)]


def cnn():
    model = keras.Sequential(name="cnn")
    for layer in [
        layers.Input((8, 8, 2)),
        layers.Rescaling(0.5, offset=-0.1),
        layers.Conv2D(4, 3, padding="same", use_bias=False),
        layers.BatchNormalization(momentum=0.9),
        layers.ReLU(),
        layers.MaxPooling2D(),
        layers.Conv2D(6, 3, strides=2, padding="same", activation="elu"),
        layers.BatchNormalization(scale=False),
        layers.AveragePooling2D(2),
        layers.Flatten(),
        layers.Dense(5),
    ]:
        model.add(layer)
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.SGD(0.05, momentum=0.9, nesterov=True), loss, metrics=["accuracy"])
    return model, [floats(24, 8, 8, 2)], [labels(24, 5)]


def words():
    model = keras.Sequential(
        [
            layers.Input((5,), dtype="int32"),
            layers.Embedding(12, 4),
            layers.LayerNormalization(),
            layers.Reshape((20,)),
            layers.Dense(1, "sigmoid"),
        ],
        name="words",
    )
    model.compile(
        optimizers.RMSprop(0.01, momentum=0.5, centered=True),
        "binary_crossentropy",
        metrics=[metrics.BinaryAccuracy(name="hits"), metrics.AUC(), metrics.Precision(), "mse"],
    )
    return model, [rng.integers(0, 12, size=(24, 5)).astype("int32")], [labels(24, 2).astype("float32")]


def skips():
    a, b = layers.Input((4,), name="a"), layers.Input((3,), name="b")
    h = layers.Dense(4, "tanh", name="h")(a)
    both = layers.Concatenate()([layers.Add()([a, h]), b])
    twice = layers.Dense(7, "swish", name="twice")
    model = keras.Model([a, b], layers.Dense(1)(layers.Multiply()([twice(both), twice(both)])), name="skips")
    model.compile(optimizers.Nadam(0.01), losses.Huber(), metrics=["mae"])
    return model, [floats(24, 4), floats(24, 3)], [floats(24, 1)]


def heads():
    x = layers.Input((5,))
    h = layers.Dense(6, "relu", kernel_initializer="he_normal")(x)
    kind, price = layers.Dense(3, "softmax", name="kind")(h), layers.Dense(1, name="price")(h)
    model = keras.Model(x, [kind, price], name="heads")
    model.compile(
        optimizers.AdamW(optimizers.schedules.CosineDecay(0.02, 50), weight_decay=0.01),
        loss=["sparse_categorical_crossentropy", "mse"],
        loss_weights=[1.0, 0.25],
        metrics=[["accuracy"], ["mae"]],
    )
    return model, [floats(24, 5)], [labels(24, 3), floats(24, 1)]


def nested():
    x = layers.Input((6,))
    inner = keras.Sequential([layers.Input((6,)), layers.Dense(6, "relu"), layers.Dense(6)], name="inner")
    y = layers.Input((6,))
    block = keras.Model(y, layers.Add()([y, layers.Dense(6, "relu")(y)]), name="block")
    model = keras.Model(x, layers.Dense(2)(block(inner(block(x)))), name="nested")
    model.compile(optimizers.Adamax(0.01), "mse")
    return model, [floats(24, 6)], [floats(24, 2)]


def frozen():
    model = keras.Sequential(
        [layers.Input((6,)), layers.Dense(5, "relu", trainable=False), layers.LeakyReLU(0.1), layers.Dense(2)], name="frozen"
    )
    model.compile(optimizers.Adagrad(0.05), losses.LogCosh(), weighted_metrics=["mae"])
    return model, [floats(24, 6)], [floats(24, 2)]


def averaged():
    model = keras.Sequential([layers.Input((6,)), layers.Dense(5, "selu"), layers.Dense(2, "softplus")], name="averaged")
    rule = optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=4, clipnorm=1.0)
    model.compile(rule, losses.Poisson())
    return model, [floats(24, 6)], [np.abs(floats(24, 2))]


def accumulated():
    model = keras.Sequential([layers.Input((6,)), layers.Dense(5, "relu"), layers.Dense(2)], name="accumulated")
    model.compile(optimizers.Lion(0.003, gradient_accumulation_steps=2), "mae", metrics=["mse"])
    return model, [floats(24, 6)], [floats(24, 2)]


def pooled():
    x = layers.Input((6, 6, 3))
    h = layers.Conv2D(4, (3, 2), activation="relu", dilation_rate=(1, 2), padding="valid")(x)
    ends = layers.Concatenate()([layers.GlobalMaxPooling2D()(h), layers.GlobalAveragePooling2D()(h)])
    model = keras.Model(x, layers.Activation("softmax")(layers.Dense(4)(ends)), name="pooled")
    model.compile(optimizers.Ftrl(0.05), losses.CategoricalCrossentropy(label_smoothing=0.1), metrics=["accuracy"])
    return model, [floats(24, 6, 6, 3)], [np.eye(4, dtype="float32")[labels(24, 4)]]


def slow():
    model = keras.Sequential([layers.Input((6,)), layers.Dense(5, "relu"), layers.Dense(2)], name="slow")
    model.compile(optimizers.Adadelta(1.0), "mse")
    return model, [floats(24, 6)], [floats(24, 2)]


def layerwise():
    model = keras.Sequential([layers.Input((6,)), layers.Dense(5, "relu"), layers.Dense(2)], name="layerwise")
    model.compile(optimizers.Lamb(0.01), "mse")
    return model, [floats(24, 6)], [floats(24, 2)]


MODELS = [mlp, cnn, words, skips, heads, nested, frozen, averaged, accumulated, pooled, slow, layerwise]


def array(a):
    a = np.asarray(a)
    return {"shape": a.shape, "dtype": str(a.dtype), "data": a.ravel().tolist()}


def numbers(note):
    return np.array(note["data"], note["dtype"]).reshape(note["shape"])


def listed(x):
    return x if isinstance(x, (list, tuple)) else [x]


def one(x):
    return x[0] if len(x) == 1 else x


def train(model, x, y, epochs):
    how = dict(epochs=epochs, batch_size=BATCH, shuffle=False, verbose=0)
    return model.fit(one(x), one(y), **how).history["loss"]


def make(folder):
    for build in MODELS:
        keras.utils.set_random_seed(3)
        model, x, y = build()
        train(model, x, y, 2)
        file = folder / f"{model.name}.keras"
        model.save(file)
        # (On JAX a model with moving averages is not trained twice.)
        model = keras.saving.load_model(file)
        note = {"x": [array(a) for a in x], "y": [array(a) for a in y]}
        note["predictions"] = [array(a) for a in listed(model.predict(one(x), verbose=0))]
        note["losses"] = train(model, x, y, EPOCHS)
        (folder / f"{model.name}.json").write_text(json.dumps(note))


def check(folder):
    worst = 0.0
    for build in MODELS:
        name = build.__name__
        model = keras.saving.load_model(folder / f"{name}.ours.keras")
        note = json.loads((folder / f"{name}.json").read_text())
        ours = json.loads((folder / f"{name}.ours.json").read_text())
        x, y = [numbers(a) for a in note["x"]], [numbers(a) for a in note["y"]]
        for got, expected in zip(listed(model.predict(one(x), verbose=0)), ours["predictions"], strict=True):
            off = np.abs(got - numbers(expected)).max()
            assert off < 1e-5, f"{name}: predictions off by {off}"
            worst = max(worst, off)
        got = train(model, x, y, EPOCHS)
        np.testing.assert_allclose(got, ours["losses"], rtol=2e-5, err_msg=name)
        print(f"{name}: predicts and trains in Keras as in wgtensor; losses {got}")
    print(f"{len(MODELS)} models exchanged both ways; predictions differ by at most {worst:.1e}")


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    make(folder)
    command = ["cargo", "test", "--features", "full", "--test", "suite", "exchanged", "--", "--ignored", "--nocapture"]
    subprocess.run(command, check=True, env={**os.environ, "WGTENSOR_EXCHANGE": str(folder.resolve())})
    check(folder)


if __name__ == "__main__":
    main()
