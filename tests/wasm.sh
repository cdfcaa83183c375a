#!/usr/bin/env bash
# Checks that the GPU engine, with all other features, compiles for browsers. The compiler's target wasm32-unknown-unknown comes from rustup, or,
# where rustup has none, Debian's compiler builds the standard library from its sources (installed if apt-get may be
# used). With CI set it is a failure that neither is to be had, otherwise the check is left out.
set -euo pipefail
cd "$(dirname "$0")/.."

target=wasm32-unknown-unknown
# A folder of its own, so that the other builds' lock and cache are left alone.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/wasm"
check=(check --target "$target" --no-default-features --features gpu,full)

has_target() {
    [[ -d "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/$target/lib" ]]
}

has_debian() {
    [[ -x /usr/bin/rustc && -x /usr/bin/cargo && -x /usr/bin/wasm-ld-19 && -d /usr/share/doc/rust-web-src ]]
}

install_debian() {
    local -a as_root=()
    command -v apt-get >/dev/null || return 1
    if [[ "$(id -u)" != 0 ]]; then
        sudo -n true 2>/dev/null || return 1
        as_root=(sudo -n)
    fi
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        rustc-web cargo-web rust-web-src lld-19
}

if ! has_target && command -v rustup >/dev/null; then
    rustup target add "$target" || true
fi
if has_target; then
    exec cargo "${check[@]}"
fi
if has_debian || { install_debian && has_debian; }; then
    RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-19 \
        exec /usr/bin/cargo "${check[@]}" -Zbuild-std=std,panic_abort
fi
echo "The target $target is not installed and cannot be: the check for browsers is left out." >&2
echo "Install it with: rustup target add $target" >&2
[[ -z "${CI:-}" ]]
