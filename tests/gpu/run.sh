#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# GPU memory for real, on a machine with a CUDA driver: starts an agent, registers memory of a GPU with libbluecache and
# with the NIXL plugin, pushes, pulls, compares every byte, and prints a table with the way by which the GPU was reached
# and the rates. docs/gpu.md says what the ways are. Nothing is left behind.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=$ROOT/build/release
HOST_PCI=${BLUECACHE_PCI_ADDR:-}
READY_SECONDS=30
STOP_SECONDS=20
NO_DRIVER=77

WORK=
AGENT_PID=

usage() {
    cat <<USAGE
usage: tests/gpu/run.sh [--device N] [--build DIR] [--dpu HOST:PORT] [--memory MIB] [--quick]

  --device N       number of the GPU (0)
  --build DIR      what was built: the agent, libbluecache, the plugin (build/release)
  --dpu HOST:PORT  an agent that runs already, on the DPU for example; else one is started on this machine
  --memory MIB     staging memory of the agent that is started, which keeps the objects (2048)
  --quick          a few small blocks: to see that everything works

PYTHON is the interpreter (the NIXL environment of scripts/setup.sh when it is there, else python3); without NIXL in it
the plugin's rows are left out. torch is not needed.
Exit status: 0 all bytes were right, 1 they were not or something failed, 2 usage, $NO_DRIVER no CUDA driver or no GPU here.
USAGE
}

die() {
    printf 'tests/gpu: %s\n' "$*" >&2
    exit 1
}

stop_agent() {
    local pid=$AGENT_PID deadline=$((SECONDS + STOP_SECONDS)) rc=0
    AGENT_PID=
    [[ -n $pid ]] || return 0
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null && [[ $SECONDS -lt $deadline ]]; do
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" || rc=$?
    return "$rc"
}

clean_up() {
    stop_agent || true
    if [[ -n $WORK ]]; then
        rm -rf "$WORK"
    fi
}

# start_agent MIB: sets ADDRESS.
start_agent() {
    local deadline=$((SECONDS + READY_SECONDS))
    "$BUILD/dpu-agent/dpu_dma_copy" -p "${BLUECACHE_AGENT_PCI:-0000:03:00.0}" -T -b dram -m "$1" -q 16 --no-huge-pages \
        --listen 127.0.0.1:0 </dev/null >"$WORK/agent.log" 2>&1 &
    AGENT_PID=$!
    ADDRESS=
    while [[ -z $ADDRESS ]]; do
        if ! kill -0 "$AGENT_PID" 2>/dev/null || [[ $SECONDS -ge $deadline ]]; then
            cat "$WORK/agent.log" >&2
            die "the agent did not start"
        fi
        sleep 0.05
        ADDRESS=$(sed -n 's/.*listening on \(127\.0\.0\.1:[0-9][0-9]*\).*/\1/p' "$WORK/agent.log" | head -n 1)
    done
}

main() {
    local device=0 memory=2048 quick=() python=${PYTHON:-}
    ADDRESS=
    while [[ $# -gt 0 ]]; do
        case $1 in
            --device) device=${2:?--device needs a number}; shift ;;
            --build) BUILD=$(realpath -e -- "${2:?--build needs a directory}"); shift ;;
            --dpu) ADDRESS=${2:?--dpu needs HOST:PORT}; shift ;;
            --memory) memory=${2:?--memory needs a number of MiB}; shift ;;
            --quick) quick=(--quick) ;;
            -h | --help) usage; exit 0 ;;
            *) usage >&2; exit 2 ;;
        esac
        shift
    done
    if [[ -z $python ]]; then
        python=$ROOT/build/venv-nixl-latest/bin/python
        [[ -x $python ]] || python=python3
    fi
    "$python" "$ROOT/tests/gpu/gpu_transfer.py" --device "$device" --look || exit "$?"
    [[ -x $BUILD/dpu-agent/dpu_dma_copy && -e $BUILD/host/libbluecache.so ]] ||
        die "nothing is built in $BUILD: cmake --preset release && cmake --build --preset release"

    WORK=$(mktemp -d -t bluecache-gpu-XXXXXX)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    export DOCA_EMU_WORLD="${DOCA_EMU_WORLD:-$WORK/world}"
    export BLUECACHE_LIBRARY="$BUILD/host/libbluecache.so"
    export NIXL_PLUGIN_DIR="$BUILD/nixl-plugin"
    export PYTHONPATH="$ROOT/python/src${PYTHONPATH:+:$PYTHONPATH}"
    [[ -z $HOST_PCI ]] || export BLUECACHE_PCI_ADDR="$HOST_PCI"
    [[ -n $ADDRESS ]] || start_agent "$memory"

    local rc=0
    "$python" "$ROOT/tests/gpu/gpu_transfer.py" --device "$device" --dpu "$ADDRESS" "${quick[@]}" || rc=$?
    if [[ $rc -ne 0 && -e $WORK/agent.log ]]; then
        printf '\nThe agent said:\n' >&2
        cat "$WORK/agent.log" >&2
    fi
    stop_agent || die "the agent did not end well"
    return "$rc"
}

main "$@"
