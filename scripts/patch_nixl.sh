#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Puts the backend DOCA_DMA_PROXY into a NIXL source tree, where it is built together with NIXL, or takes it out
# again. Everything is copied: NIXL's tree needs nothing of this one afterwards. docs/nixl-tree.md tells more.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHON=${PYTHON:-python3}

if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
    printf 'patch_nixl: error: %s is not Python 3.8 or newer (Meson needs it as well); PYTHON names another\n' \
        "$PYTHON" >&2
    exit 2
fi
exec "$PYTHON" -B "$ROOT/scripts/nixl/patch_tree.py" "$@"
