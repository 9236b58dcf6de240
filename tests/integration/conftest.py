# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests: agents and clients, always processes of their own, in an emulated world of
the test's own. Their logs are shown when a test fails."""

import itertools
import os
import uuid

import pytest

os.environ.setdefault("NIXL_LOG_LEVEL", "WARN")
import nixl._api  # before any child is forked; slow, and never used in this process
from agent import BUILD, HOST_PCI, Agent, way_to
from child import Child

assert nixl._api.nixlBind


def pytest_addoption(parser):
    parser.addoption("--hostile-seeds", type=int, default=int(os.environ.get("BLUECACHE_HOSTILE_SEEDS", "0")),
                     help="seeds that the hostile clients go through; 0: those of every run")


def pytest_configure(config):
    config.addinivalue_line("markers", "once: has nothing to do with NIXL; one run is enough, whatever wheels there are")


# Where the plugin differs from one NIXL to another; elsewhere Comch is tried with one of them.
COMCH_WITH_EVERY_NIXL = ("test_registration", "test_round_trip")


# Over Comch every test runs, but in one of its forms: the agent behind the transport is the same.
NOT_OVER_COMCH = {"backend": "dram", "workers": 1, "shareable": False}


def pytest_collection_modifyitems(config, items):
    left_out = []
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        if parameters.get("transport") != "comch":
            continue
        if any(parameters.get(name) == value for name, value in NOT_OVER_COMCH.items()):
            left_out.append(item)
        elif item.module.__name__ not in COMCH_WITH_EVERY_NIXL:
            item.add_marker(pytest.mark.once)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for title, read in getattr(item, "bluecache_logs", []):
            report.sections.append((title, read()))


@pytest.fixture
def world():
    """Two processes of the emulation meet when they name the same world."""
    return "bluecache-test-" + uuid.uuid4().hex


@pytest.fixture(params=["tcp", "comch"])
def transport(request):
    """Of the control messages: of every agent that make_agent starts. A test of one alone says
    @pytest.mark.parametrize("transport", ["tcp"])."""
    return request.param


@pytest.fixture
def make_agent(tmp_path, world, transport, request):
    """Starts an agent; every one is stopped at the end, and has to end well."""
    agents = []
    request.node.bluecache_logs = getattr(request.node, "bluecache_logs", [])

    def make(name="agent", **options):
        agent = Agent(tmp_path / name, world, transport=transport, **options)
        request.node.bluecache_logs.append((name + "'s log", agent.log))
        agents.append(agent)
        return agent.start()

    yield make
    for agent in agents:
        agent.clean_up()


@pytest.fixture
def start_child(tmp_path, world, request):
    """start_child(kind, function, arguments, environment, *context): function(line, *arguments) in a process of its
    own, which finds the plugin and the world of this test. kind: what it is called in logs. All are ended."""
    children = []
    numbers = itertools.count(1)
    request.node.bluecache_logs = getattr(request.node, "bluecache_logs", [])

    def start(kind, function, arguments, environment, *context):
        name = "%s %d" % (kind, next(numbers))
        settings = {"DOCA_EMU_WORLD": world, "NIXL_PLUGIN_DIR": str(BUILD / "nixl-plugin"), "BLUECACHE_LOG": "info",
                    "BLUECACHE_PCI_ADDR": HOST_PCI, "NIXL_LOG_LEVEL": "WARN"}
        settings.update(environment)
        child = Child(function, arguments, settings, tmp_path / (name + ".log"), *context)
        request.node.bluecache_logs.append((name + "'s log", child.log))
        children.append(child)
        return child

    yield start
    for child in children:
        child.end()


@pytest.fixture
def start_client(start_child):
    """Starts a function in a client process: function(line, *arguments). Environment variables by keyword."""

    def start(address, function, *arguments, **environment):
        return start_child("client", function, arguments,
                           {**way_to(address), "BLUECACHE_TIMEOUT_MS": "20000", **environment})

    return start


@pytest.fixture
def run_client(start_client):
    """The same, to its end: what the function returns."""

    def run(address, function, *arguments, **environment):
        return start_client(address, function, *arguments, **environment).result()

    return run


@pytest.fixture(params=["dram", "posix"])
def backend(request):
    return request.param


@pytest.fixture(params=[1, 2], ids=["1 worker", "2 workers"])
def workers(request):
    return request.param
