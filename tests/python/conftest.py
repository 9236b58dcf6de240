# SPDX-License-Identifier: Apache-2.0
"""What the Python tests share: where the build and its plugin are, and logs that are shown when a test fails."""

import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BLUECACHE_BUILD") or ROOT / "build" / "release")


def pytest_configure(config):
    config.addinivalue_line("markers", "once: has nothing to do with NIXL; one run is enough, whatever wheels there are")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for title, read in getattr(item, "bluecache_logs", []):
            report.sections.append((title, read()))


@pytest.fixture(scope="session")
def plugin():
    path = BUILD / "nixl-plugin" / "libplugin_DOCA_DMA_PROXY.so"
    assert path.exists(), "%s is not built; BLUECACHE_BUILD names another build directory" % path
    return path
