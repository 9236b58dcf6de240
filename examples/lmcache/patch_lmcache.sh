#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Applies lmcache_integration.patch to an installed LMCache 0.4.3, or takes it back. The originals are never worked
# on: patched copies are made beside them and renamed into place, each file at once, in an order in which every
# state in between works. A run that was interrupted is completed by the next one.
set -euo pipefail

PATCH=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/lmcache_integration.patch
VERSION=0.4.3
EXIT_FAILED=1
EXIT_REFUSED=2

usage() {
    cat <<USAGE
usage: patch_lmcache.sh [--check | --revert] [--python PYTHON | PATH]

Makes an installed LMCache $VERSION work with the NIXL backend DOCA_DMA_PROXY. Safe to run twice.

  --check          change nothing; exit status 0: patched, 1: not patched, 2: another version, modified, or not found
  --revert         take the patch back
  --python PYTHON  the LMCache that this interpreter imports (default: python3)
  PATH             the folder of the package, or the one that it lies in (site-packages)
  --help           this text

Exit status without --check: 0 done, or nothing to do; 1 it could not be written, and nothing is broken; 2 refused.
USAGE
}

say() { printf 'patch_lmcache: %s\n' "$*"; }
stop() { local status=$1; shift; printf 'patch_lmcache: %s\n' "$*" >&2; exit "$status"; }

find_package() {
    local given=$1 python=$2 found
    if [[ -z $given ]]; then
        command -v "$python" >/dev/null || stop $EXIT_REFUSED "there is no $python here: give --python or a path"
        # From the root folder, so that a checkout in the current one does not stand before the installed package.
        found=$(cd / && "$python" -c '
import importlib.util
spec = importlib.util.find_spec("lmcache")
print(next(iter(spec.submodule_search_locations)) if spec and spec.submodule_search_locations else "")' 2>/dev/null) ||
            stop $EXIT_REFUSED "$python cannot be asked where LMCache is"
        [[ -n $found ]] || stop $EXIT_REFUSED "$python finds no LMCache: install lmcache==$VERSION, or give a path"
        given=$found
    fi
    if [[ ! -d $given/v1 && -d $given/lmcache/v1 ]]; then
        given=$given/lmcache
    fi
    [[ -d $given/v1 && -f $given/_version.py ]] || stop $EXIT_REFUSED "$given is no LMCache package"
    ROOT=$(cd "$given" && pwd -P)
}

check_version() {
    local version
    version=$(sed -n "s/^\(__version__ = \)\{0,1\}version = '\([^']*\)'.*/\2/p" "$ROOT/_version.py" | head -n 1)
    [[ $version == "$VERSION" ]] || stop $EXIT_REFUSED \
        "$ROOT is LMCache ${version:-of an unknown version}; this patch is for $VERSION alone and nothing was changed"
}

# The part of the patch that is about one file.
part() {
    awk -v want="$1" '
        /^--- / { held = $0; next }
        /^\+\+\+ / && held != "" { on = ($2 == "b/lmcache/" want); if (on) print held; held = "" }
        on { print }' "$PATCH"
}

is_added() { [[ " ${ADDED[*]} " == *" $1 "* ]]; }

# Makes what the file would be, from what it is: make FILE DIRECTION OUTPUT. False: it is something else.
make_file() {
    local file=$1 direction=$2 output=$3 target=$ROOT/$1
    if is_added "$file"; then
        part "$file" | sed -n '4,$s/^+//p' >"$output"
        case $direction in
            forward) [[ ! -e $target ]] ;;
            back) cmp -s "$output" "$target" ;;
        esac
        return
    fi
    [[ -f $target ]] || return 1
    local options=(--batch --silent --fuzz=0 --reject-file=- --output="$output")
    if [[ $direction == back ]]; then
        options+=(--reverse)
    else
        options+=(--forward)
    fi
    part "$file" | patch "${options[@]}" "$target" >/dev/null 2>&1
}

# Sorts the files by their states and leaves what they would become in the scratch folder.
look() {
    local file
    OLD=() NEW=() OTHER=()
    for file in "${FILES[@]}"; do
        mkdir -p "$SCRATCH/old/${file%/*}" "$SCRATCH/new/${file%/*}"
        if make_file "$file" forward "$SCRATCH/new/$file"; then
            OLD+=("$file")
        elif make_file "$file" back "$SCRATCH/old/$file"; then
            NEW+=("$file")
        else
            OTHER+=("$file")
        fi
    done
}

forget_compiled() {
    local name=${1##*/} folder=$ROOT/${1%/*}/__pycache__
    rm -f "$folder/${name%.py}".*.pyc
}

# Renames copies into place: install_files WHICH FILE... with WHICH the new or the old ones.
install_files() {
    local which=$1 file staged folder like
    shift
    for file in "$@"; do
        folder=$ROOT/${file%/*}
        [[ -w $folder ]] || stop $EXIT_FAILED "$folder is not writable; nothing was changed"
    done
    STAGE=$(mktemp -d "$ROOT/.bluecache-patch.XXXXXX") || stop $EXIT_FAILED "$ROOT is not writable; nothing was changed"
    for file in "$@"; do
        staged=$STAGE/${file//\//.}
        # For its owner and mode.
        like=$ROOT/$file
        [[ -f $like ]] || like=$ROOT/_version.py
        if ! cp -p "$like" "$staged" || ! cat "$SCRATCH/$which/$file" >"$staged"; then
            stop $EXIT_FAILED "the copies could not be written to $STAGE; nothing was changed"
        fi
    done
    sync -f "$STAGE" 2>/dev/null || true
    for file in "$@"; do
        if [[ $which == old ]] && is_added "$file"; then
            rm -f "$ROOT/$file"
        else
            mv -f "$STAGE/${file//\//.}" "$ROOT/$file"
        fi || stop $EXIT_FAILED "$ROOT/$file could not be replaced. What is there works; run this again to go on"
        forget_compiled "$file"
    done
}

report() {
    if [[ ${#OTHER[@]} -gt 0 ]]; then
        stop $EXIT_REFUSED "modified, so that the patch does not fit: ${OTHER[*]} in $ROOT; nothing was changed"
    fi
    if [[ $ACTION == check ]]; then
        if [[ ${#OLD[@]} -eq 0 ]]; then
            say "patched: $ROOT"
            exit 0
        fi
        [[ ${#NEW[@]} -eq 0 ]] || say "partly patched, as an interrupted run leaves it; run this again to go on"
        say "not patched: $ROOT"
        exit 1
    fi
}

main() {
    local path='' python=python3 file
    ACTION=apply
    while [[ $# -gt 0 ]]; do
        case $1 in
            --check | --revert)
                [[ $ACTION == apply ]] || { usage >&2; exit $EXIT_REFUSED; }
                ACTION=${1#--}
                ;;
            --python) [[ $# -gt 1 ]] || { usage >&2; exit $EXIT_REFUSED; }; python=$2; shift ;;
            --help | -h) usage; exit 0 ;;
            -*) usage >&2; exit $EXIT_REFUSED ;;
            *) [[ -z $path ]] || { usage >&2; exit $EXIT_REFUSED; }; path=$1 ;;
        esac
        shift
    done
    command -v patch >/dev/null || stop $EXIT_REFUSED "the command patch is missing: install your system's package of it"
    find_package "$path" "$python"
    check_version
    STAGE=
    SCRATCH=$(mktemp -d)
    trap 'rm -rf "$SCRATCH" ${STAGE:+"$STAGE"}' EXIT
    # Files that are new come first: nothing uses them until the others are there.
    mapfile -t FILES < <(sed -n 's|^+++ b/lmcache/\([^[:space:]]*\).*|\1|p' "$PATCH")
    mapfile -t ADDED < <(sed -n '\|^--- /dev/null|{n; s|^+++ b/lmcache/\([^[:space:]]*\).*|\1|p}' "$PATCH")
    # One at a time, whoever runs it.
    exec 9<"$ROOT"
    flock -w 60 9 || stop $EXIT_FAILED "another run is at work on $ROOT"
    if [[ $ACTION != check ]]; then
        rm -rf "$ROOT"/.bluecache-patch.* 2>/dev/null || true # of a run that was killed
    fi
    look
    report
    if [[ $ACTION == apply ]]; then
        [[ ${#OLD[@]} -gt 0 ]] || { say "already patched: $ROOT"; exit 0; }
        install_files new "${OLD[@]}"
        say "patched: $ROOT"
    else
        [[ ${#NEW[@]} -gt 0 ]] || { say "not patched, nothing to take back: $ROOT"; exit 0; }
        local -a backwards=()
        for file in "${NEW[@]}"; do
            backwards=("$file" "${backwards[@]}")
        done
        install_files old "${backwards[@]}"
        say "taken back: $ROOT"
    fi
}

main "$@"
