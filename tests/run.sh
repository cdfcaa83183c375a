#!/usr/bin/env bash
# Runs all tests, with all features. On Linux the GPU tests need a Vulkan driver; where none is installed, Mesa's software driver is,
# if apt-get may be used. With WGTENSOR_REQUIRE_GPU=1 a missing adapter is a failure, otherwise those tests run on
# the CPU engine alone. Arguments go to `cargo test`.
set -euo pipefail
cd "$(dirname "$0")/.."

has_vulkan_driver() {
    [[ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ]] && return 0
    local dir
    for dir in /usr/share/vulkan/icd.d /etc/vulkan/icd.d /usr/local/share/vulkan/icd.d; do
        compgen -G "$dir/*.json" >/dev/null && return 0
    done
    return 1
}

install_software_driver() {
    local -a as_root=() suite=()
    command -v apt-get >/dev/null || return 1
    if [[ "$(id -u)" != 0 ]]; then
        sudo -n true 2>/dev/null || return 1
        as_root=(sudo -n)
    fi
    "${as_root[@]}" apt-get update -qq
    # A newer Mesa is faster; take it where the machine is set up for backports.
    local backports
    backports="$(. /etc/os-release && echo "${VERSION_CODENAME:-}")-backports"
    if apt-cache policy | grep -q "a=$backports\|n=$backports"; then
        suite=(-t "$backports")
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${suite[@]}" \
        mesa-vulkan-drivers libvulkan1
}

if [[ "$(uname -s)" == Linux ]] && ! has_vulkan_driver; then
    if ! install_software_driver || ! has_vulkan_driver; then
        echo "No Vulkan driver was found and none could be installed, so the GPU tests have no adapter." >&2
        echo "Install your GPU's driver, or Mesa's software driver (Debian: mesa-vulkan-drivers libvulkan1)." >&2
    fi
fi

cargo test --features full "$@"
