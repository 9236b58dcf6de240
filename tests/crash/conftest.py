# SPDX-License-Identifier: Apache-2.0
"""Options of the crash tests. They use the agent and client processes of the integration tests."""

import os
import pathlib
import sys
import uuid

import pytest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

DEFAULT_CRASHES = 50


def pytest_addoption(parser):
    group = parser.getgroup("crashes")
    group.addoption("--crashes", type=int, help="how many kills; environment: BLUECACHE_CRASHES; default: %d" %
                    DEFAULT_CRASHES)
    group.addoption("--crash-seed", type=int, help="the same seed does the same; environment: BLUECACHE_CRASH_SEED")


def _number(config, option, variable, default):
    # Not known to pytest when these tests are collected from a folder above.
    given = config.getoption(option, None)
    return given if given is not None else int(os.environ.get(variable) or default)


@pytest.fixture(scope="session")
def crashes(request):
    return _number(request.config, "--crashes", "BLUECACHE_CRASHES", DEFAULT_CRASHES)


@pytest.fixture(scope="session")
def crash_seed(request):
    return _number(request.config, "--crash-seed", "BLUECACHE_CRASH_SEED", int.from_bytes(os.urandom(4), "little"))


@pytest.fixture
def world():
    return "bluecache-crash-" + uuid.uuid4().hex


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for read in getattr(item, "bluecache_logs", []):
            report.sections.extend(read())
