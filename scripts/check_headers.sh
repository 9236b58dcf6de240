#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Compiles every header by itself, as C and as C++, so that none leans on what its includer included before.
# Headers of nixl-plugin/ and of its tests, and *.hpp, are C++ only.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
    cat <<USAGE
usage: scripts/check_headers.sh

Compiles every header of the project alone, as C17 and as C++17. CC and CXX name the compilers.
USAGE
}

# One header: "LANGUAGE PATH". Called through xargs, several at a time.
compile_one() {
    local language=$1 header=$2 compiler=() flags
    read -ra flags <<<"$HEADER_FLAGS"
    if [[ $language == c ]]; then
        compiler=("${CC:-gcc}" -x c -std=gnu17 -D_GNU_SOURCE -Wstrict-prototypes)
    else
        # Designated initializers that leave members out: C does not warn of them, and they are C's here.
        compiler=("${CXX:-g++}" -x c++ -std=gnu++17 -Wno-missing-field-initializers)
    fi
    printf '#include "%s"\n' "$ROOT/$header" |
        "${compiler[@]}" -fsyntax-only -Wall -Wextra -Werror -I"$ROOT/$(dirname "$header")" \
            "${flags[@]}" - || {
        printf '%s does not compile alone as %s\n' "$header" "$language"
        return 1
    }
}

main() {
    local header list count
    case ${1:-} in
        --one) compile_one "$2" "$3"; return ;;
        '') ;;
        --help | -h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
    HEADER_FLAGS="-I$ROOT/common -I$ROOT/dpu-agent -I$ROOT/host/include -I$ROOT/host -I$ROOT/doca-emu/include"
    # As every target has it (cmake/BlueCacheDoca.cmake).
    HEADER_FLAGS+=" -I$ROOT/nixl-plugin -I$ROOT/tests -I$ROOT/tests/testlib -DDOCA_ALLOW_EXPERIMENTAL_API"
    HEADER_FLAGS+=" $(pkg-config --cflags liburing yaml-0.1 libisal libxxhash cmocka)"
    export HEADER_FLAGS
    list=$(mktemp)
    # shellcheck disable=SC2064 # the name is wanted as it is now
    trap "rm -f '$list'" EXIT
    while IFS= read -r -d '' header; do
        case $header in
            nixl-plugin/* | tests/unit/nixl_plugin/* | *.hpp) printf '%s\0%s\0' cxx "$header" ;;
            *) printf '%s\0%s\0%s\0%s\0' c "$header" cxx "$header" ;;
        esac
    done < <(python3 "$ROOT/scripts/source_files.py" .h .hpp) >"$list"
    xargs -0 -r -n 2 -P "$(nproc)" "$ROOT/scripts/check_headers.sh" --one <"$list" || return 1
    count=$(tr -cd '\0' <"$list" | wc -c)
    printf 'headers: %d compilations, no problem\n' "$((count / 2))"
}

main "$@"
