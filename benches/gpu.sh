#!/usr/bin/env bash
# Checks and measures wgtensor on this machine's GPU, in one command and with nothing but what it brings along.
#
#   benches/gpu.sh --build DIR                  where there is a Rust toolchain: builds what is needed and puts it into DIR
#   DIR/gpu.sh --binaries DIR --out OUT         where there is a GPU: writes OUT/results.json and OUT/results.md, and
#              [--seconds N] [--only P,P...]    OUT/failures.log if a part fails
#
# DIR may be carried to another machine of the same processor and system; there it takes a GPU's driver and, for the
# comparison, python3 with PyTorch (without them that part says so). The parts are `adapter`, `conformance`, `bench`, `tuned`,
# `cooperative`, `peers`, `cpu_vs_gpu` (whose figures and charts are put into OUT/cpu_vs_gpu), `defaults`, `unit`,
# `halves` (the tests of narrow types with cooperative matrices) and `suite`; each has a time limit, and the rest goes on if
# one fails. `--seconds` bounds them all together. WGTENSOR_DEVICE chooses the device, as everywhere.
set -uo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

usage() {
    sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

# What cargo says that it built, stripped.
take() {
    local to="$1" executable
    shift
    cargo "$@"
    executable="$(cargo "$@" 2>&1 | sed -n 's/^ *Executable .*(\(.*\))$/\1/p' | tail -1)"
    strip -o "$to" "$executable"
}

build() {
    set -e
    local dir loader name
    mkdir -p "$1"
    dir="$(cd "$1" && pwd)"
    stage="$(mktemp -d)"
    trap 'rm -rf "$stage"' EXIT
    cd "$here/.."
    mkdir -p "$stage"/{bin,lib,tests,examples}
    take "$stage/bin/device" bench --no-run --bench device
    take "$stage/bin/unit" test --no-run --lib
    take "$stage/bin/suite" test --no-run --test suite
    cargo build --release --features plot --example conformance --example cpu_vs_gpu
    for name in conformance cpu_vs_gpu; do
        strip -o "$stage/bin/$name" "${CARGO_TARGET_DIR:-target}/release/examples/$name"
    done
    cp -r tests/fixtures "$stage/tests/"
    cp -r examples/data "$stage/examples/"
    # The Vulkan loader, for a machine that has a driver and no loader.
    loader="$( (PATH="$PATH:/sbin:/usr/sbin" ldconfig -p || true) | sed -n 's/.*libvulkan\.so\.1 .*=> //p' | head -1)"
    [[ -z "$loader" ]] || cp -L "$loader" "$stage/lib/libvulkan.so.1"
    tar -czf "$dir/gpu.tar.gz" -C "$stage" .
    cp "$here/gpu.sh" "$here/peers_gpu.py" "$dir/"
    echo "$dir: $(du -sh "$dir" | cut -f1), $(du -sh "$stage" | cut -f1) unpacked"
}

# The newest figures, readable also if what comes next is stopped from outside.
report() {
    if "$work/bin/device" report "$work" 2>>"$work/report.log"; then
        cp "$work/results.json" "$work/results.md" "$out/"
    else
        cat "$work/parts.txt" "$work/report.log" >"$out/failures.log"
    fi
}

# part NAME SECONDS COMMAND...: runs it within its limit and notes how it went.
part() {
    local name="$1" limit="$2" log="$work/$1.log" begin="$SECONDS" left status result
    shift 2
    [[ -z "$only" || ",$only," == *",$name,"* ]] || return 0
    left=$((total - SECONDS))
    if ((left < 5)); then
        printf '%s\tnot run: no time left\t0\t\n' "$name" >>"$work/parts.txt"
        report
        return 0
    fi
    ((limit <= left)) || limit="$left"
    echo "== $name (up to $limit s)"
    timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null
    status=$?
    case "$status" in
    0) result=passed ;;
    3) result="left out" ;;
    124 | 137) result="stopped after $limit s" ;;
    *) result="FAILED ($status)" ;;
    esac
    printf '%s\t%s\t%s\t%s\n' "$name" "$result" "$((SECONDS - begin))" \
        "$(grep -v '^[[:space:]]*$' "$log" | tail -1 | tr '\t' ' ' | cut -c1-200)" >>"$work/parts.txt"
    tail -1 "$work/parts.txt"
    if ((status != 0 && status != 3)); then
        { echo "==== $name: $result"; tail -c 1000000 "$log"; } >>"$out/failures.log"
    fi
    report
}

run() {
    local icd device="${WGTENSOR_DEVICE:-gpu}"
    work="$(mktemp -d)"
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$out"
    out="$(cd "$out" && pwd)"
    rm -rf "$out"/{results.json,results.md,failures.log,cpu_vs_gpu}
    tar -xzf "$binaries/gpu.tar.gz" -C "$work" || exit 1
    printf 'date\t%s\n' "$(date -u '+%Y-%m-%d %H:%M UTC')" >"$work/parts.txt"
    # Where the tests and the cases find their files.
    export CARGO_MANIFEST_DIR="$work" WGTENSOR_REQUIRE_GPU=1 WGTENSOR_CACHE=off
    if ! (PATH="$PATH:/sbin:/usr/sbin" ldconfig -p) 2>/dev/null | grep -q 'libvulkan\.so\.1 '; then
        export LD_LIBRARY_PATH="$work/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    fi
    # Drivers that are installed where the loader does not look.
    for icd in /usr/local/*/share/vulkan/icd.d/*.json; do
        [[ ! -f "$icd" ]] || export VK_ADD_DRIVER_FILES="${VK_ADD_DRIVER_FILES:+$VK_ADD_DRIVER_FILES:}$icd"
    done
    cd "$work" || exit 1

    "$work/bin/device" info >"$work/adapter.json" 2>/dev/null
    part adapter 60 "$work/bin/device" info
    part conformance 120 env WGTENSOR_KERNELS=hardware "$work/bin/conformance" --device "$device"
    part bench 300 "$work/bin/device" run "$work/bench.json"
    part tuned 200 env WGTENSOR_TUNE=1 "$work/bin/device" run "$work/tuned.json" 'product|convolution'
    part cooperative 60 env WGTENSOR_COOPERATIVE=1 "$work/bin/device" run "$work/cooperative.json" 'product-f16'
    part peers 150 "$(command -v python3 || echo python3)" "$binaries/peers_gpu.py" "$work/bench.json" "$work/peers.json"
    # There `gpu` is all adapters, here the first.
    part cpu_vs_gpu 120 "$work/bin/cpu_vs_gpu" --device cpu --device "${device/#%gpu/gpu:0}" --out "$out/cpu_vs_gpu"
    [[ ! -d "$out/cpu_vs_gpu" ]] || cp "$work/cpu_vs_gpu.log" "$out/cpu_vs_gpu/text.txt"
    part defaults 120 env WGTENSOR_KERNELS=hardware "$work/bin/conformance" --device "$device" --defaults
    part unit 240 "$work/bin/unit" --skip nothing_is_forgiven
    part halves 100 env WGTENSOR_COOPERATIVE=1 WGTENSOR_KERNELS=hardware "$work/bin/suite" suite::mixed suite::narrow
    # The rules of the house are about the sources, which are not here.
    part suite 400 "$work/bin/suite" --skip suite::house
    echo "$out: $(ls "$out" | tr '\n' ' ')"
    ! grep -q 'FAILED\|stopped\|not run' "$work/parts.txt"
}

binaries="" out="" only="" total=100000
while (($#)); do
    (($# > 1)) || usage
    case "$1" in
    --build) build "$2" && exit 0 ;;
    --binaries) binaries="$(cd "$2" && pwd)" || exit 1 ;;
    --out) out="$2" ;;
    --only) only="$2" ;;
    --seconds) total="$2" ;;
    *) usage ;;
    esac
    shift 2
done
[[ -n "$binaries" && -n "$out" ]] || usage
run
