"""Reads what the example `tensorboard` writes with TensorBoard itself, and its profiler, and compares it with what the example prints.

    cargo build --example tensorboard --features full
    python tests/keras/event_files.py target/debug/examples/tensorboard

Needs the packages `tensorboard` and `xprof`.
"""

import ast
import glob
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.graph import keras_util
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.util.tensor_util import make_ndarray
from xprof.convert.raw_to_tool_data import xspace_to_tool_data


def part(folder):
    """The tensors of a run, by tag: a list of (step, value) each."""
    read = EventAccumulator(folder, size_guidance={"tensors": 0})
    read.Reload()
    tags = read.Tags()["tensors"]
    plugins = {tag: read.SummaryMetadata(tag).plugin_data.plugin_name for tag in tags}
    return plugins, {tag: [(e.step, make_ndarray(e.tensor_proto)) for e in read.Tensors(tag)] for tag in tags}


def tool(name, file):
    """What a tool of the profiler says, without the log of its work."""
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        return json.loads(xspace_to_tool_data([file], name, {})[0])
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def profile(logs, gpu):
    """Checks what the profiler makes of the profile of three steps."""
    (file,) = glob.glob(f"{logs}/plugins/profile/*/*.xplane.pb")
    events = [event for event in tool("trace_viewer", file)["traceEvents"] if event]
    planes = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    device = "/device:GPU:0" if gpu else "/device:CUSTOM:CPU engine"
    assert set(planes.values()) == {"/host:CPU", device}, planes
    spans = [(planes[e["pid"]], e) for e in events if e["ph"] == "X"]
    (whole,) = [e for plane, e in spans if plane == "/host:CPU" and e["name"] == "profile"]
    assert sum(e["name"] == "replay" for _, e in spans) == 3, spans
    for _, e in spans:
        # Microseconds; kernels are placed by the device's clock.
        assert whole["ts"] <= e["ts"] and (gpu or e["ts"] + e["dur"] <= whole["ts"] + whole["dur"] + 1), (e, whole)
    operations = [e["args"]["tf_op"] for plane, e in spans if plane == device and "tf_op" in e.get("args", {})]
    assert sum("matmul" in each for each in operations) >= 9, operations
    if gpu:
        table = tool("kernel_stats", file)
        columns = [column["id"] for column in table["cols"]]
        rows = [dict(zip(columns, (cell["v"] for cell in row["c"]))) for row in table["rows"]]
        assert sum(row["occurrences"] for row in rows) >= 9 and all(row["grid_dim"] != "0,0,0" for row in rows), rows
        assert any("matmul" in row["op_name"] for row in rows), rows


def check(example, device):
    with tempfile.TemporaryDirectory() as logs:
        env = {**os.environ, "WGTENSOR_DEVICE": device}
        out = subprocess.run([example, logs], check=True, capture_output=True, text=True, env=env).stdout
        plugins, train = part(f"{logs}/train")
        val_plugins, validation = part(f"{logs}/validation")
        profile(logs, device == "gpu")
    printed = {}
    for line in out.splitlines():
        name, _, figures = line.partition(" ")
        if figures.startswith("["):
            printed[name] = ast.literal_eval(figures)

    scalars = {tag for tag, plugin in plugins.items() if plugin == "scalars"}
    epoch = {"epoch_loss", "epoch_accuracy", "epoch_learning_rate", "epoch_steps_per_second"}
    assert scalars == epoch | {"batch_loss", "batch_accuracy", "batch_steps_per_second"}, scalars
    evaluation = {"evaluation_loss_vs_iterations", "evaluation_accuracy_vs_iterations"}
    assert set(val_plugins) == {"epoch_loss", "epoch_accuracy"} | evaluation, val_plugins
    for name in ["loss", "accuracy"]:
        for read, figures in [(train, printed[name]), (validation, printed[f"val_{name}"])]:
            steps, values = zip(*read[f"epoch_{name}"])
            assert steps == (0, 1, 2, 3, 4), steps
            np.testing.assert_array_equal(np.array(values), np.float32(figures))
    steps, values = zip(*train["epoch_learning_rate"])
    assert np.all(np.float32(values) == np.float32(0.001)), values
    # 8 steps an epoch, every second of which is written.
    assert [step for step, _ in train["batch_loss"]] == list(range(2, 41, 2))
    assert [step for step, _ in validation["evaluation_loss_vs_iterations"]] == [8, 16, 24, 32, 40]
    assert all(value > 0 for _, value in train["batch_steps_per_second"] + train["epoch_steps_per_second"])

    histograms = {tag for tag, plugin in plugins.items() if plugin == "histograms"}
    layers = ["wide", "deep", "malignant"]
    assert histograms == {f"{layer}/{weight}/histogram" for layer in layers for weight in ["kernel", "bias"]}
    ours = train["wide/kernel/histogram"][-1][1]
    theirs = make_ndarray(histogram_pb("", np.float32(printed["wide/kernel"])).value[0].tensor)
    np.testing.assert_array_equal(ours[:, 2], theirs[:, 2])
    np.testing.assert_allclose(ours[:, :2], theirs[:, :2], rtol=0, atol=1e-12)

    assert plugins["keras"] == "graph_keras_model"
    ((step, text),) = train["keras"]
    graph = keras_util.keras_model_to_graph_def(json.loads(text.item()))
    nodes = {node.name: (list(node.input), node.attr["keras_class"].s.decode()) for node in graph.node}
    assert step == 0 and nodes == {
        "two_branches/cells": ([], "InputLayer"),
        "two_branches/wide": (["two_branches/cells"], "Dense"),
        "two_branches/deep": (["two_branches/wide"], "Dense"),
        "two_branches/add": (["two_branches/wide", "two_branches/deep"], "Add"),
        "two_branches/malignant": (["two_branches/add"], "Dense"),
    }, nodes
    print(f"TensorBoard reads what was written on {device}.")


if __name__ == "__main__":
    check(sys.argv[1], "cpu")
    check(sys.argv[1], "gpu")
