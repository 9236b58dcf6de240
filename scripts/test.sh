#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Every test, on a fresh machine too: sets up, checks the sources, builds, runs CTest under no sanitizer, under
# ASan and UBSan, under TSan and, cross-compiled for ARM, under QEMU, then pytest with the oldest and the newest NIXL
# and with two releases of LMCache. The last line counts them all.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
STEPS=(setup check build release asan tsan arm64 arm64-guest python lmcache)
NIXL_VENVS=(venv-nixl-1.1.0 venv-nixl-latest)
LMCACHE_VENVS=(venv-lmcache-0.4.3 venv-lmcache-0.5.6)
# A step that hangs ends here, with what it had printed: CTest and pytest have tighter limits of their own.
BUILD_MINUTES=30
PYTEST_MINUTES=25
GUEST_MINUTES=10

PASSED=0
FAILED=0
SKIPPED=0
TROUBLES=()
REPORTS=$ROOT/build/test-reports

usage() {
    cat <<USAGE
usage: scripts/test.sh [--quick] [--only STEP]... [--jobs N]

Steps, all of them by default and in this order:
  setup    scripts/setup.sh --fuzz --python --lmcache: Debian packages, Python environments under build/
  check    scripts/check.sh: include directions, headers, format, scripts, words, sizes, links, waits
  build    the documented ways to build the agent, the sources against headers of DOCA 2.7, and what configure says when
           DOCA_DIR is wrong
  release  build preset release, CTest
  asan     build preset asan (AddressSanitizer, UndefinedBehaviorSanitizer), CTest; a few seconds of each fuzzer
  tsan     build preset tsan (ThreadSanitizer), CTest
  arm64    scripts/setup.sh --cross; build preset dpu-cross, CTest under qemu-user for what needs no ARM kernel
  arm64-guest
           the rest of preset dpu-cross's tests, and agent and client end to end, in a machine of qemu-system-aarch64
  python   pytest on tests/ against the release build, once with each NIXL; what has nothing to do with NIXL, and the
           crashes, with the newest only
  lmcache  pytest on tests/lmcache/ against the release build, once with each LMCache; tests for the other are skipped

  --quick      no sanitizers and no ARM
  --only STEP  only this step; may be repeated
  --jobs N     compile N files at a time (default: as many as there are processors)

Reports in JUnit's format lie in build/test-reports/. The last line reads "N passed, N failed", with
", N skipped" behind it if any were; checks count as one test each. Exit status: 0 nothing failed.
USAGE
}

say() { printf '\n=== test: %s\n' "$*"; }

pass() { PASSED=$((PASSED + 1)); }

trouble() {
    FAILED=$((FAILED + 1))
    TROUBLES+=("$*")
    printf '*** test: %s\n' "$*"
}

# Adds a JUnit report to the totals.  add_report NAME FILE EXIT-STATUS-OF-THE-RUNNER
add_report() {
    local name=$1 file=$2 rc=$3 counts tests failures skipped
    if ! counts=$(python3 "$ROOT/scripts/junit_counts.py" "$file"); then
        trouble "$name: no report (exit status $rc)"
        return
    fi
    read -r tests failures skipped <<<"$counts"
    PASSED=$((PASSED + tests - failures - skipped))
    FAILED=$((FAILED + failures))
    SKIPPED=$((SKIPPED + skipped))
    if [[ $failures -gt 0 ]]; then
        TROUBLES+=("$name: $failures of $tests failed")
    elif [[ $rc -ne 0 ]]; then
        trouble "$name: exit status $rc though no test failed"
    fi
}

step_setup() {
    if ! "$ROOT/scripts/setup.sh" --fuzz --python --lmcache; then
        trouble "setup: failed"
    fi
}

step_check() {
    local check
    for check in includes headers format shell words size links waits; do
        if "$ROOT/scripts/check.sh" "$check"; then
            pass
        else
            trouble "check: $check"
        fi
    done
}

# The commands of the README for the agent, in a build directory of their own.
step_build() {
    local dir=$ROOT/build/test-documented log
    rm -rf "$dir"
    mkdir -p "$dir"
    log=$dir/log
    if (cd "$dir" && cmake "$ROOT" -DBUILD_EXAMPLES=OFF && timeout "${BUILD_MINUTES}m" make "-j$JOBS" dpu_dma_copy) \
            >"$log" 2>&1 && [[ -x $dir/dpu-agent/dpu_dma_copy ]] &&
            grep -q 'software emulation of DOCA' "$log"; then
        pass
    else
        tail -n 30 "$log"
        trouble "build: cmake .. -DBUILD_EXAMPLES=OFF && make dpu_dma_copy"
    fi
    # What is built is up to date by now: this shows that the script finds its way from any folder.
    if (cd / && "$ROOT/dpu-agent/scripts/build_dpu.sh" --build-dir "$dir" --jobs "$JOBS") >"$log" 2>&1; then
        pass
    else
        tail -n 30 "$log"
        trouble "build: dpu-agent/scripts/build_dpu.sh"
    fi
    # The sources are the same for older headers.
    if (cmake -S "$ROOT" -B "$dir/older" -DBC_DOCA_EMU_API=2.7 -DBUILD_EXAMPLES=OFF -DBUILD_BENCH=OFF &&
            timeout "${BUILD_MINUTES}m" cmake --build "$dir/older" --parallel "$JOBS" --target \
                dpu_dma_copy bluecache_cli bluecache_shared plugin_DOCA_DMA_PROXY) >"$log" 2>&1; then
        pass
    else
        tail -n 30 "$log"
        trouble "build: headers in the shape of DOCA 2.7"
    fi
    if ! cmake -S "$ROOT" -B "$dir/wrong" -DDOCA_DIR="$dir/nothing" >"$log" 2>&1 &&
            grep -q 'Install NVIDIA' "$log"; then
        pass
    else
        tail -n 30 "$log"
        trouble "build: a wrong DOCA_DIR must stop configure with a sentence that helps"
    fi
    rm -rf "$dir"
}

# Build one preset and run its tests.
step_preset() {
    local preset=$1 rc=0 report=$REPORTS/ctest-$1.xml
    rm -f "$report"
    if ! (cd "$ROOT" && cmake --preset "$preset" &&
            timeout "${BUILD_MINUTES}m" cmake --build --preset "$preset" --parallel "$JOBS" -- --no-print-directory); then
        trouble "$preset: does not build"
        return
    fi
    if [[ ! -f $ROOT/build/$preset/CTestTestfile.cmake ]]; then
        trouble "$preset: has no tests"
        return
    fi
    (cd "$ROOT" && ctest --preset "$preset" --parallel "$JOBS" --timeout 300 --no-tests=error \
        --output-junit "$report") || rc=$?
    add_report "ctest $preset" "$report" "$rc"
}

step_arm64() {
    local build=$ROOT/build/dpu-cross report=$REPORTS/ctest-dpu-cross.xml rc=0 regex launcher=()
    rm -f "$report"
    if ! "$ROOT/scripts/setup.sh" --cross; then
        trouble "arm64: scripts/setup.sh --cross failed"
        return
    fi
    if command -v ccache >/dev/null; then
        launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
    fi
    if ! (cd "$ROOT" && cmake --preset dpu-cross "${launcher[@]}" && timeout "${BUILD_MINUTES}m" \
            cmake --build --preset dpu-cross --parallel "$JOBS" -- --no-print-directory) ||
            ! regex=$("$ROOT/tests/arm64/plan.py" --regex "$build"); then
        trouble "arm64: does not build"
        return
    fi
    ctest --test-dir "$build" --tests-regex "$regex" --output-on-failure --parallel "$JOBS" --timeout 300 \
        --no-tests=error --output-junit "$report" || rc=$?
    add_report "ctest dpu-cross" "$report" "$rc"
}

step_arm64_guest() {
    local build=$ROOT/build/dpu-cross report=$REPORTS/arm64-guest.xml rc=0
    rm -f "$report"
    if [[ ! -x $build/dpu-agent/dpu_dma_copy ]]; then
        trouble "arm64-guest: build/dpu-cross is missing; run step arm64 before"
        return
    fi
    timeout --kill-after=30 "${GUEST_MINUTES}m" "$ROOT/tests/arm64/guest.py" --build "$build" --junit "$report" \
        </dev/null || rc=$?
    add_report "arm64 guest" "$report" "$rc"
}

# run_pytest VENV HOW-TO-GET-IT PYTEST-ARGUMENT...
run_pytest() {
    local venv=$1 option=$2 report=$REPORTS/pytest-$1.xml rc=0
    shift 2
    rm -f "$report"
    if [[ ! -x $ROOT/build/$venv/bin/python ]]; then
        trouble "build/$venv is missing; run scripts/setup.sh $option"
        return
    fi
    say "pytest with build/$venv"
    (cd "$ROOT" && BLUECACHE_BUILD=$ROOT/build/release PYTHONDONTWRITEBYTECODE=1 \
        timeout --kill-after=30 "${PYTEST_MINUTES}m" "build/$venv/bin/python" -m pytest "$@" \
        -q -p no:cacheprovider --junitxml="$report" </dev/null) || rc=$?
    add_report "pytest $venv" "$report" "$rc"
}

step_python() {
    local venv
    local -a what
    for venv in "${NIXL_VENVS[@]}"; do
        what=(tests/python tests/integration -m "not once")
        if [[ $venv == "${NIXL_VENVS[-1]}" ]]; then
            what=(tests/python tests/integration tests/crash tests/conformance)
        fi
        run_pytest "$venv" --python "${what[@]}" --timeout=120
    done
}

step_lmcache() {
    local venv
    for venv in "${LMCACHE_VENVS[@]}"; do
        run_pytest "$venv" --lmcache tests/lmcache --timeout=300
    done
}

summary() {
    local trouble
    printf '\n'
    for trouble in "${TROUBLES[@]}"; do
        printf 'failed: %s\n' "$trouble"
    done
    printf '%d passed, %d failed' "$PASSED" "$FAILED"
    if [[ $SKIPPED -gt 0 ]]; then
        printf ', %d skipped' "$SKIPPED"
    fi
    printf '\n'
}

main() {
    local step only=() quick=no
    JOBS=$(nproc)
    while [[ $# -gt 0 ]]; do
        case $1 in
            --quick) quick=yes ;;
            --only) only+=("${2:?--only needs a step}"); shift ;;
            --jobs) JOBS=${2:?--jobs needs a number}; shift ;;
            --help | -h) usage; exit 0 ;;
            *) usage >&2; exit 2 ;;
        esac
        shift
    done
    for step in "${only[@]}"; do
        if [[ " ${STEPS[*]} " != *" $step "* ]]; then
            usage >&2
            exit 2
        fi
    done
    # The tests stand on the emulation: a real device has no faults to order.
    unset DOCA_DIR
    mkdir -p "$REPORTS"
    # Told to stop, by a time limit for example: what was found so far is still worth a summary.
    trap 'trouble "stopped in step ${step:-none}"; summary; exit 1' INT TERM
    for step in "${STEPS[@]}"; do
        if [[ ${#only[@]} -gt 0 && " ${only[*]} " != *" $step "* ]]; then
            continue
        fi
        if [[ $quick == yes && $step == @(asan|tsan|arm64|arm64-guest) ]]; then
            continue
        fi
        say "$step"
        case $step in
            release | asan | tsan) step_preset "$step" ;;
            *) "step_${step//-/_}" ;;
        esac
    done
    summary
    [[ $FAILED -eq 0 && $((PASSED + SKIPPED)) -gt 0 ]]
}

main "$@"
