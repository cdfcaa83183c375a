#!/usr/bin/env bash
# What the crate and Keras exchange, with real Keras and real TensorBoard: model files both ways, event files. They are put into a
# Python environment in the target folder. Where they cannot be had, this is left out, and says so; with CI set that is a failure.
set -euo pipefail
cd "$(dirname "$0")/../.."

env="${CARGO_TARGET_DIR:-target}/keras"
python="$env/bin/python"
if ! { [[ -x "$python" ]] && "$python" -c 'import jax, keras, tensorboard, xprof, etils, fsspec, six' 2>/dev/null; }; then
    # TensorBoard's profiler, without what it needs to serve pages and to read from a cloud.
    if ! { python3 -m venv "$env" && "$env/bin/pip" install --quiet keras jax tensorboard etils fsspec six &&
        "$env/bin/pip" install --quiet --no-deps xprof; }; then
        echo "Keras, JAX and TensorBoard cannot be installed: what is exchanged with them is not tried." >&2
        [[ -z "${CI:-}" ]] && exit 0 || exit 1
    fi
fi
"$python" tests/keras/exchange.py
cargo build --example tensorboard --features full
"$python" tests/keras/event_files.py "${CARGO_TARGET_DIR:-target}/debug/examples/tensorboard"
