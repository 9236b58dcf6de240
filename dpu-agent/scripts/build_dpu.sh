#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds the agent alone: build/dpu-agent/dpu_dma_copy. Safe to run twice.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

usage() {
    cat <<USAGE
usage: dpu-agent/scripts/build_dpu.sh [--build-dir DIR] [--jobs N] [-- CMAKE_OPTION...]

Builds the DPU agent, target dpu_dma_copy, in DIR (default: build/ of the checkout).

  DOCA_DIR   root of the DOCA SDK; default /opt/mellanox/doca where that is installed, and the software
             emulation of DOCA elsewhere
  NIXL_ROOT  root of NIXL, as for CMake

Installs nothing; scripts/setup.sh installs the packages that the build needs.
USAGE
}

main() {
    local build_dir="$ROOT/build" jobs options=()
    jobs=$(nproc)
    while [[ $# -gt 0 ]]; do
        case $1 in
            --build-dir) build_dir=${2:?--build-dir needs a directory}; shift ;;
            --jobs) jobs=${2:?--jobs needs a number}; shift ;;
            --help | -h) usage; exit 0 ;;
            --) shift; options+=("$@"); break ;;
            *) usage >&2; exit 2 ;;
        esac
        shift
    done
    if [[ -z ${DOCA_DIR+set} && -e /opt/mellanox/doca/include/doca_dma.h ]]; then
        export DOCA_DIR=/opt/mellanox/doca
    fi
    # An earlier run's cache would win over the environment.
    if [[ -n ${DOCA_DIR+set} ]]; then
        options=(-DDOCA_DIR="$DOCA_DIR" "${options[@]}")
    fi
    if [[ -n ${NIXL_ROOT+set} ]]; then
        options=(-DNIXL_ROOT="$NIXL_ROOT" "${options[@]}")
    fi
    cmake -S "$ROOT" -B "$build_dir" -DBUILD_EXAMPLES=OFF "${options[@]}"
    cmake --build "$build_dir" --target dpu_dma_copy --parallel "$jobs"
    printf 'built %s\n' "$build_dir/dpu-agent/dpu_dma_copy"
}

main "$@"
