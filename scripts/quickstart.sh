#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# From a clean checkout to bytes in the store: sets up, builds, starts an agent on this machine (the BlueField is
# the software emulation), pushes a real file through NIXL's backend DOCA_DMA_PROXY and pulls it back. Safe to
# run twice; the store is a temporary folder, and the agent is stopped at the end whatever happens.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$ROOT/build/release
PYTHON=$ROOT/build/venv-nixl-latest/bin/python
HOST_PCI=0000:ba:00.0
DPU_PCI=0000:03:00.0
READY_SECONDS=20
STOP_SECONDS=20
EXAMPLE_SECONDS=300

WORK=
AGENT_PID=
SIZE_MIB=256

usage() {
    cat <<USAGE
usage: scripts/quickstart.sh [--size MIB] [--file FILE] [--skip-setup]

Installs what is missing (scripts/setup.sh --python-latest), builds preset release, starts the DPU agent on
127.0.0.1 with the backend posix on a temporary folder, then pushes a file through the nixl package and its
plugin DOCA_DMA_PROXY into the agent's store and pulls it back, verified, with the throughput.

  --file FILE   the file to push (default: one of $SIZE_MIB MiB of random bytes, made for the purpose)
  --size MIB    the size of that one
  --skip-setup  do not look for missing packages; build only what has changed
USAGE
}

say() {
    if [[ -t 1 ]]; then
        printf '\n\033[1m==> %s\033[0m\n' "$*"
    else
        printf '\n==> %s\n' "$*"
    fi
}
die() { printf 'quickstart: error: %s\n' "$*" >&2; exit 1; }

# Asks the agent to finish, and insists when it does not: its exit status in the end.
stop_agent() {
    local pid=$AGENT_PID deadline=$((SECONDS + STOP_SECONDS)) rc=0
    AGENT_PID=
    [[ -n $pid ]] || return 0
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null && [[ $SECONDS -lt $deadline ]]; do
        sleep 0.1
    done
    if kill -0 "$pid" 2>/dev/null; then
        printf 'quickstart: the agent does not stop; killing it\n' >&2
        kill -KILL "$pid" 2>/dev/null || true
    fi
    wait "$pid" || rc=$?
    return "$rc"
}

clean_up() {
    stop_agent || true
    if [[ -n $WORK ]]; then
        rm -rf "$WORK"
    fi
}

set_up_and_build() {
    if [[ $1 == yes ]]; then
        say "Setting up"
        "$ROOT/scripts/setup.sh" --python-latest
    fi
    say "Building (build/release)"
    (cd "$ROOT" && cmake --preset release >"$WORK/cmake.log" 2>&1) || { cat "$WORK/cmake.log"; exit 1; }
    grep -h 'DOCA:' "$WORK/cmake.log" || true
    cmake --build "$BUILD" --parallel "$(nproc)" --target dpu_dma_copy plugin_DOCA_DMA_PROXY \
        -- --no-print-directory
    [[ -x $BUILD/dpu-agent/dpu_dma_copy ]] || die "the agent was not built"
    [[ -e $BUILD/nixl-plugin/libplugin_DOCA_DMA_PROXY.so ]] || die "the plugin was not built"
}

# Starts the agent on a port that the kernel picks; ADDRESS is what it says it listens on.
start_agent() {
    local deadline=$((SECONDS + READY_SECONDS))
    local command=("$BUILD/dpu-agent/dpu_dma_copy" -p "$DPU_PCI" -m 256 -q 8 -b posix -T
        --root "$WORK/store" --listen 127.0.0.1:0)
    say "Starting the agent"
    printf '%s\n' "${command[*]}"
    mkdir "$WORK/store"
    "${command[@]}" </dev/null >"$WORK/agent.log" 2>&1 &
    AGENT_PID=$!
    ADDRESS=
    while [[ -z $ADDRESS ]]; do
        if ! kill -0 "$AGENT_PID" 2>/dev/null || [[ $SECONDS -ge $deadline ]]; then
            cat "$WORK/agent.log"
            die "the agent did not start"
        fi
        sleep 0.05
        ADDRESS=$(sed -n 's/.*listening on \(127\.0\.0\.1:[0-9][0-9]*\).*/\1/p' "$WORK/agent.log" | head -n 1)
    done
    printf 'the agent listens on %s (process %d)\n' "$ADDRESS" "$AGENT_PID"
}

# example push|pull OPTION...
example() {
    local operation=$1
    shift
    timeout --kill-after=10 "$EXAMPLE_SECONDS" "$PYTHON" \
        "$ROOT/examples/python/nixl_doca_dma_proxy_example.py" -o "$operation" -p "$HOST_PCI" -g cpu \
        -f quickstart/file -d "$ADDRESS" -m tcp "$@" || {
        printf '\nThe agent said:\n'
        cat "$WORK/agent.log"
        die "$operation failed"
    }
}

main() {
    local file='' setup=yes bytes sum
    while [[ $# -gt 0 ]]; do
        case $1 in
            --size) SIZE_MIB=${2:?--size needs a number of MiB}; shift ;;
            --file) file=$(realpath -e -- "${2:?--file needs a file}"); shift ;;
            --skip-setup) setup=no ;;
            --help | -h) usage; exit 0 ;;
            *) usage >&2; exit 2 ;;
        esac
        shift
    done
    WORK=$(mktemp -d "${TMPDIR:-/tmp}/bluecache-quickstart.XXXXXX")
    trap clean_up EXIT
    trap 'exit 130' INT TERM
    # This is about a machine without a BlueField, so an SDK named in the environment is not meant.
    unset DOCA_DIR
    # A world of the emulation of its own: nothing else that runs here is met.
    export DOCA_EMU_WORLD="$WORK/world"
    export NIXL_PLUGIN_DIR="$BUILD/nixl-plugin"

    set_up_and_build "$setup"
    if [[ -z $file ]]; then
        file=$WORK/file
        head -c "$((SIZE_MIB * 1048576))" /dev/urandom >"$file"
    fi
    bytes=$(stat -c %s "$file")
    sum=$(sha256sum <"$file")

    start_agent
    say "Pushing $file ($bytes bytes) through NIXL"
    example push --input "$file"
    say "Pulling it back"
    example pull --output "$WORK/back" --sha256 "${sum%% *}"
    cmp -- "$file" "$WORK/back" || die "what came back is not what was sent"
    say "Stopping the agent"
    stop_agent || { cat "$WORK/agent.log"; die "the agent did not end well"; }
    say "Done: $bytes bytes went to the store and came back the same"
}

main "$@"
