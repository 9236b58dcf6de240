# SPDX-License-Identifier: Apache-2.0
"""What the tests of the storage plugin and of the L2 adapter have in common. The fixtures (conftest.py takes them over)
start processes with LMCache as it was installed; the rest is for inside those processes."""

import contextlib
import multiprocessing.context
import multiprocessing.forkserver
import multiprocessing.popen_forkserver
import os
import pathlib
import signal
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PACKAGE = ROOT / "python" / "src"
TIMEOUT_MS = 10000
USABLE_SECONDS = 30


# ---- processes with the installed LMCache ----------------------------------------------------------

_server = multiprocessing.forkserver.ForkServer()


class _Popen(multiprocessing.popen_forkserver.Popen):
    """Of a server of one's own: that of the standard library is one for all, and may have another LMCache."""

    def _launch(self, process):
        module = multiprocessing.forkserver
        theirs = module.connect_to_new_process
        module.connect_to_new_process = _server.connect_to_new_process
        try:
            super()._launch(process)
        finally:
            module.connect_to_new_process = theirs


class _Process(multiprocessing.context.ForkServerProcess):
    @staticmethod
    def _Popen(process):
        return _Popen(process)


class _Context(multiprocessing.context.ForkServerContext):
    Process = _Process


@pytest.fixture(scope="session")
def preloaded_plain():
    """Starts processes that have imported LMCache and the package bluecache already."""
    from agent import BUILD

    _server.set_forkserver_preload([
        "torch", "lmcache.v1.cache_engine", "lmcache.v1.distributed.l2_adapters.plugin_l2_adapter",
        "bluecache.lmcache.backend", "bluecache.lmcache.l2", "lmc"])
    before = dict(os.environ)
    os.environ.update(PYTHONPATH=os.pathsep.join([str(PACKAGE), str(HERE), str(ROOT / "tests" / "integration")]),
                      BLUECACHE_LIBRARY=str(BUILD / "host" / "libbluecache.so"), OMP_NUM_THREADS="1",
                      LMCACHE_LOG_LEVEL="WARNING", LMCACHE_TRACK_USAGE="false")
    try:
        _server.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)
    yield _Context()
    _server._stop()


@pytest.fixture
def start_plain(preloaded_plain, start_process):
    """start_plain(function, *arguments, **environment): function(line, *arguments) in such a process."""

    def start(function, *arguments, **environment):
        return start_process(preloaded_plain, function, *arguments, **environment)

    return start


@pytest.fixture
def run_plain(start_plain):
    """The same to its end: what the function returns."""

    def run(function, *arguments, **environment):
        return start_plain(function, *arguments, **environment).result()

    return run


def _all_stopped(pid):
    """Every thread: the state follows the name, which is in parentheses."""
    tasks = pathlib.Path("/proc/%d/task" % pid).iterdir()
    return all((task / "stat").read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)


@contextlib.contextmanager
def stopped(agent):
    """An agent that does nothing for a while."""
    agent.send(signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 30
        while not _all_stopped(agent.process.pid):  # the signal takes its time on a busy machine
            assert time.monotonic() < deadline, "the agent does not stop"
            time.sleep(0.002)
        yield
    finally:
        agent.send(signal.SIGCONT)


# ---- inside the processes --------------------------------------------------------------------------


def plugin_config(address, options=None, config=None, name="bluecache"):
    """LMCache's configuration with the plugin. address: one, or a list of them. config: LMCache's own options."""
    import lmc

    where = {"endpoint_list": address} if isinstance(address, list) else {"dpu_addr": address}
    settings = {"module_path": "bluecache.lmcache", "class_name": "BlueCacheBackend", "timeout_ms": TIMEOUT_MS,
                "lookup_timeout_ms": TIMEOUT_MS, **where, **(options or {})}
    return lmc.config({"storage_plugin.%s.%s" % (name, option): value for option, value in settings.items()
                       if value is not None}, storage_plugins=[name], **(config or {}))


class Pool:
    """Of LocalCPUBackend: how much of it is in use, which has to be as before at the end of everything."""

    def __init__(self, local_cpu):
        self.allocator = local_cpu.memory_allocator.pin_allocator

    @property
    def used(self):
        return self.allocator.total_allocated_size


@contextlib.contextmanager
def plugin_store(address, options=None, config=None, metadata=None, usable=True):
    """A lmc.Store over the plugin, loaded as LMCache loads it. At the end every object has to be given back."""
    import lmc

    with lmc.backends(plugin_config(address, options, config), metadata) as (made, loop):
        assert "bluecache" in made, "LMCache did not load the plugin: its log says why"
        backend, local_cpu = made["bluecache"], made["LocalCPUBackend"]
        if usable:
            assert all(agent.wait_usable(USABLE_SECONDS) for agent in backend.agents)
        store = lmc.Store(backend, loop, local_cpu)
        store.local_cpu = local_cpu
        store.pool = Pool(local_cpu)
        before = store.pool.used
        yield store
        lmc.until(lambda: store.pool.used == before, "%d bytes of the pool to be given back" % (
            store.pool.used - before))


def counters(store):
    """Those that are not 0."""
    return {name: value for name, value in store.backend.counters.snapshot().items() if value}


def timed(call, *arguments):
    """(what it returns, seconds)."""
    begin = time.monotonic()
    value = call(*arguments)
    return value, time.monotonic() - begin
