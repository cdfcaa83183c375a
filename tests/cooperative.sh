#!/usr/bin/env bash
# Runs the kernels with cooperative matrices on a machine whose driver has none: on the software driver of a newer Mesa, which
# has, from another Debian than the machine's. It is fetched with its C library and unpacked, not installed, and kept in the
# user's cache. Where it cannot be had the script says so, and succeeds.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=trixie
home="${XDG_CACHE_HOME:-$HOME/.cache}/wgtensor/mesa-$suite"

fetch() {
    local keys=/usr/share/keyrings/debian-archive-keyring.gpg mirror half
    command -v apt-get >/dev/null && [[ -f "$keys" && "$(uname -m)" == x86_64 ]] || return 1
    # Where the machine has its own packages from.
    mirror="$(. /etc/os-release && apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $VERSION_CODENAME" | head -1)"
    [[ -n "$mirror" ]] || return 1
    half="$(mktemp -d)"
    trap 'rm -rf "$half"' RETURN
    mkdir -p "$half"/{state/lists/partial,cache/archives/partial,root,none}
    : >"$half/status"
    printf 'deb [signed-by=%s] %s %s main\n' "$keys" "$mirror" "$suite" "$keys" "$mirror" "$suite-backports" >"$half/list"
    # With nothing installed, as far as this apt-get knows, it fetches everything down to the C library.
    local -a apt=(apt-get -qq -o "Dir::State=$half/state" -o "Dir::State::status=$half/status" -o "Dir::Cache=$half/cache"
        -o "Dir::Etc::sourcelist=$half/list" -o "Dir::Etc::sourceparts=$half/none"
        -o "Dir::Etc::preferencesparts=$half/none" -o APT::Sandbox::User=)
    "${apt[@]}" update &&
        "${apt[@]}" install -y --download-only --no-install-recommends -t "$suite-backports" mesa-vulkan-drivers libvulkan1 || return 1
    local package
    for package in "$half"/cache/archives/*.deb; do
        dpkg -x "$package" "$half/root" || return 1
    done
    mkdir -p "$(dirname "$home")"
    rm -rf "$home"
    mv "$half/root" "$home"
}

[[ -d "$home" ]] || fetch || {
    echo "Cooperative matrices are not tested: a newer Mesa cannot be had here."
    exit 0
}
libraries="$home/usr/lib/x86_64-linux-gnu"
driver="$(mktemp --suffix=.json)"
trap 'rm -f "$driver" "$driver.log"' EXIT
printf '{"file_format_version": "1.0.1", "ICD": {"api_version": "1.4.0", "library_path": "%s"}}' \
    "$libraries/libvulkan_lvp.so" >"$driver"
# The program, and its loader, C library and Vulkan loader of the same Debian.
cargo test --features full --lib --no-run
tests="$(cargo test --features full --lib --no-run 2>&1 | sed -n 's/^ *Executable .*(\(.*\))$/\1/p' | tail -1)"
VK_DRIVER_FILES="$driver" "$home/usr/lib64/ld-linux-x86-64.so.2" --library-path "$libraries:/usr/lib/x86_64-linux-gnu" \
    "$tests" with_cooperative_matrices --nocapture | tee "$driver.log"
grep -q 'variants ran on' "$driver.log" || {
    echo "The newer Mesa has no cooperative matrices of f16 with sums in f32." >&2
    exit 1
}
