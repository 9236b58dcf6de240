# SPDX-License-Identifier: Apache-2.0
"""What the Python tests that need no agent share: where the build and its plugin are."""

import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BLUECACHE_BUILD") or ROOT / "build" / "release")


@pytest.fixture(scope="session")
def plugin():
    path = BUILD / "nixl-plugin" / "libplugin_DOCA_DMA_PROXY.so"
    assert path.exists(), "%s is not built; BLUECACHE_BUILD names another build directory" % path
    return path
