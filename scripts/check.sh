#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The checks that need no build: what may include what, headers that stand alone, format, scripts, words, sizes,
# links, tests that the documents name.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CHECKS=(includes headers format shell words size links waits)

usage() {
    cat <<USAGE
usage: scripts/check.sh [CHECK...]

  includes  rooms include only what they may see (scripts/check_includes.py --list)
  headers   every header compiles alone, as C and as C++
  format    clang-format 14 would change nothing
  shell     shellcheck is content with every script
  words     no file holds a left-over marker, a path of one machine, or an address of a package mirror
  size      no file is over 600 lines, no function over 70
  links     links in Markdown lead to files and headings that exist
  waits     tests and constants that docs/internals names for each wait and each fault are there

Without CHECK, all of them. Installs and changes nothing; scripts/setup.sh installs the tools.
USAGE
}

files() { python3 "$ROOT/scripts/source_files.py" "$@"; }

check_includes() { python3 "$ROOT/scripts/check_includes.py"; }

check_headers() { "$ROOT/scripts/check_headers.sh"; }

check_format() {
    local file rc=0
    while IFS= read -r -d '' file; do
        if ! clang-format-14 --dry-run -Werror "$file" 2>/dev/null; then
            printf '%s: run clang-format-14 -i on it\n' "$file"
            rc=1
        fi
    done < <(files .c .h .cpp .hpp .cc)
    return $rc
}

check_shell() {
    files sh | xargs -0 -r shellcheck -x
}

# Addresses are recognised by their shape, since naming them here would itself break the rule.
check_words() {
    local marker='\b(TO''DO|FIX''ME|X''XX)\b'
    local machine='(^|[^A-Za-z0-9_.$}/-])/(work|tmp/brief|root|home/[a-z]+)/'
    local mirror='(https?://|@)[a-z0-9.-]*(py''pi|python''hosted|npm''js|deb[.]debian|archive[.]ubuntu)'
    ! files '' | xargs -0 -r grep -nIE -e "$marker" -e "$machine" -e "$mirror"
}

check_size() { python3 "$ROOT/scripts/check_size.py"; }

check_links() { python3 "$ROOT/scripts/check_links.py"; }

check_waits() { python3 "$ROOT/scripts/check_waits.py"; }

main() {
    local check wanted=() failed=()
    for check in "$@"; do
        case " ${CHECKS[*]} " in
            *" $check "*) wanted+=("$check") ;;
            *)
                if [[ $check == --help || $check == -h ]]; then
                    usage
                    exit 0
                fi
                usage >&2
                exit 2
                ;;
        esac
    done
    cd "$ROOT"
    for check in "${wanted[@]:-${CHECKS[@]}}"; do
        printf '== check: %s\n' "$check"
        if ! "check_$check"; then
            failed+=("$check")
        fi
    done
    if [[ ${#failed[@]} -gt 0 ]]; then
        printf 'check: failed: %s\n' "${failed[*]}"
        exit 1
    fi
    printf 'check: all is well\n'
}

main "$@"
