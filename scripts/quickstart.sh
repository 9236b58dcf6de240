#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# From a clean checkout to a language model that goes on where another process ended: sets up, builds, and lets
# examples/lmcache/demo.py start an agent on this machine (the BlueField is the software emulation), compute a
# document, and restore it. Or, with --only-file, pushes a file through NIXL's backend DOCA_DMA_PROXY and pulls
# it back. Safe to run twice; the store is a temporary folder, and the agent is stopped whatever happens.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$ROOT/build/release
PYTHON=$ROOT/build/venv-nixl-latest/bin/python
LMCACHE_PYTHON=$ROOT/build/venv-lmcache-0.4.3/bin/python
HOST_PCI=0000:ba:00.0
DPU_PCI=0000:03:00.0
READY_SECONDS=20
STOP_SECONDS=20
EXAMPLE_SECONDS=300

WORK=
AGENT_PID=
DEMO_PID=
SIZE_MIB=256

usage() {
    cat <<USAGE
usage: scripts/quickstart.sh [--plain] [--skip-setup] [-- OPTION...]
       scripts/quickstart.sh --only-file [--size MIB] [--file FILE] [--skip-setup]

Installs what is missing (scripts/setup.sh --lmcache), builds preset release, and runs examples/lmcache/demo.py: a
small language model reads a document of 2,048 tokens; what it has computed goes through LMCache, NIXL and the
plugin DOCA_DMA_PROXY to the DPU agent and its store; and new processes restore it and go on, logit by logit the same,
also after a restart of the agent, with a flipped bit in the store, and with the agent killed in the middle.

  --plain       only the first of these: a new process restores
  -- OPTION...  options for the demonstration (examples/lmcache/demo.py --help)
  --skip-setup  do not look for missing packages; build only what has changed

With --only-file there is no model (scripts/setup.sh --python-latest suffices): the agent is started on 127.0.0.1
with the backend posix on a temporary folder, and a file goes through the nixl package and the plugin into its
store and back, verified, with the throughput.

  --file FILE   the file to push (default: one of $SIZE_MIB MiB of random bytes, made for the purpose)
  --size MIB    the size of that one
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
    if [[ -n $DEMO_PID ]]; then
        # It stops what it has started.
        kill -TERM "$DEMO_PID" 2>/dev/null || true
        wait "$DEMO_PID" || true
    fi
    if [[ -n $WORK ]]; then
        rm -rf "$WORK"
    fi
}

# set_up_and_build yes|no SETUP_OPTION TARGET...
set_up_and_build() {
    local setup=$1 packages=$2
    shift 2
    if [[ $setup == yes ]]; then
        say "Setting up"
        "$ROOT/scripts/setup.sh" "$packages"
    fi
    say "Building (build/release)"
    (cd "$ROOT" && cmake --preset release >"$WORK/cmake.log" 2>&1) || { cat "$WORK/cmake.log"; exit 1; }
    grep -h 'DOCA:' "$WORK/cmake.log" || true
    cmake --build "$BUILD" --parallel "$(nproc)" --target dpu_dma_copy plugin_DOCA_DMA_PROXY "$@" \
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

run_file() {
    local file=$1 bytes sum
    # A world of the emulation of its own: nothing else that runs here is met.
    export DOCA_EMU_WORLD="$WORK/world"
    export NIXL_PLUGIN_DIR="$BUILD/nixl-plugin"
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

run_demo() {
    say "A language model reads a document, and new processes go on where it ended"
    local rc=0
    # In the background, so that this script can be stopped meanwhile.
    "$LMCACHE_PYTHON" "$ROOT/examples/lmcache/demo.py" --build "$BUILD" "$@" &
    DEMO_PID=$!
    wait "$DEMO_PID" || rc=$?
    DEMO_PID=
    [[ $rc -eq 0 ]] || die "the demonstration did not go as it should (status $rc)"
    say "Done. examples/lmcache/demo.py --help has more to try; docs/lmcache-demo.md says what was shown"
}

main() {
    local file='' setup=yes only_file=no scenarios=(--all)
    while [[ $# -gt 0 ]]; do
        case $1 in
            --only-file) only_file=yes ;;
            --plain) scenarios=(--scenario plain) ;;
            --size) SIZE_MIB=${2:?--size needs a number of MiB}; only_file=yes; shift ;;
            --file) file=$(realpath -e -- "${2:?--file needs a file}"); only_file=yes; shift ;;
            --skip-setup) setup=no ;;
            --help | -h) usage; exit 0 ;;
            --) shift; break ;;
            *) usage >&2; exit 2 ;;
        esac
        shift
    done
    WORK=$(mktemp -d "${TMPDIR:-/tmp}/bluecache-quickstart.XXXXXX")
    trap clean_up EXIT
    trap 'exit 130' INT TERM
    # This is about a machine without a BlueField, so an SDK named in the environment is not meant.
    unset DOCA_DIR
    if [[ $only_file == yes ]]; then
        set_up_and_build "$setup" --python-latest
        run_file "$file"
    else
        set_up_and_build "$setup" --lmcache bluecache_cli bluecache_shared
        # What is asked for behind -- stands for itself.
        if [[ $# -gt 0 ]]; then
            scenarios=()
        fi
        run_demo "${scenarios[@]}" "$@"
    fi
}

main "$@"
