# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests with LMCache. Like those of tests/integration, whose agents they use: what uses LMCache and
NIXL is always a process of its own, in an emulated world of the test's own.

A test says which releases of LMCache it is for, and is skipped with any other:

    pytestmark = pytest.mark.lmcache("0.4.3", "0.5.6")
"""

import importlib.metadata
import importlib.util
import multiprocessing
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
INTEGRATION = ROOT / "tests" / "integration"
PATCH_SCRIPT = ROOT / "examples" / "lmcache" / "patch_lmcache.sh"
LMCACHE_VERSION = importlib.metadata.version("lmcache")
PATCHED_VERSION = "0.4.3"

sys.path.insert(0, str(INTEGRATION))

from plugin_support import preloaded_plain, run_plain, start_plain  # noqa: E402,F401  fixtures


def _load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_integration = _load("integration_conftest", INTEGRATION / "conftest.py")
world = _integration.world
make_agent = _integration.make_agent
start_child = _integration.start_child
pytest_runtest_makereport = _integration.pytest_runtest_makereport


@pytest.fixture
def transport():
    """Of make_agent's agents: LMCache has nothing to do with how an agent is reached."""
    return "tcp"


def pytest_configure(config):
    config.addinivalue_line("markers", "lmcache(*versions): the releases of LMCache that the test is for")


def pytest_collection_modifyitems(items):
    for item in items:
        versions = [version for mark in item.iter_markers("lmcache") for version in mark.args]
        if versions and LMCACHE_VERSION not in versions:
            item.add_marker(pytest.mark.skip(reason="for LMCache " + ", ".join(versions)))


def copy_lmcache(folder):
    """A copy of the installed package that may be changed: folder/lmcache. Its libraries are links."""
    source = pathlib.Path(importlib.util.find_spec("lmcache").submodule_search_locations[0])
    for here, folders, files in os.walk(source):
        folders[:] = [name for name in folders if name != "__pycache__"]
        there = folder / "lmcache" / pathlib.Path(here).relative_to(source)
        there.mkdir(parents=True)
        for name in files:
            if name.endswith(".py"):
                (there / name).write_bytes((pathlib.Path(here) / name).read_bytes())
            else:
                (there / name).symlink_to(pathlib.Path(here) / name)
    return folder / "lmcache"


@pytest.fixture(scope="session")
def patched_lmcache(tmp_path_factory):
    """The folder of a patched copy, first on the path of the processes of start_patched."""
    folder = tmp_path_factory.mktemp("patched")
    copy_lmcache(folder)
    subprocess.run([PATCH_SCRIPT, folder], check=True, stdout=subprocess.DEVNULL, timeout=60)
    return folder


@pytest.fixture(scope="session")
def preloaded(patched_lmcache):
    """Starts processes that have imported the patched LMCache already: a fork of a process without threads."""
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "nixl._api", "lmcache.v1.cache_engine", "lmc"])
    before = dict(os.environ)
    here = str(pathlib.Path(__file__).parent)
    os.environ.update(PYTHONPATH=os.pathsep.join([str(patched_lmcache), here, str(INTEGRATION)]), OMP_NUM_THREADS="1",
                      NIXL_LOG_LEVEL="WARN", LMCACHE_LOG_LEVEL="WARNING", LMCACHE_TRACK_USAGE="false")
    try:
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)
    yield context
    forkserver._forkserver._stop()


@pytest.fixture
def start_process(start_child):
    """start_process(context, function, *arguments, **environment): function(line, *arguments) in a process that
    finds the agents of this test. Without dpu_addr it finds none: configurations name their agent."""

    def start(context, function, *arguments, **environment):
        return start_child("process", function, arguments,
                           {"OMP_NUM_THREADS": "1", "LMCACHE_LOG_LEVEL": "INFO", "LMCACHE_TRACK_USAGE": "false",
                            **environment}, context)

    return start


@pytest.fixture
def start_patched(preloaded, start_process):
    """The same with the patched LMCache."""

    def start(function, *arguments, **environment):
        return start_process(preloaded, function, *arguments, **environment)

    return start


@pytest.fixture
def run_patched(start_patched):
    """The same to its end: what the function returns."""

    def run(function, *arguments, **environment):
        return start_patched(function, *arguments, **environment).result()

    return run
