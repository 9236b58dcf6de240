# SPDX-License-Identifier: Apache-2.0
"""For the tests of the Python package: it is imported from the source tree, over the library of the build that is
tested. Whoever opens a client is a child process, since the library keeps its emulated world for the life of one."""

import itertools
import os
import pathlib
import signal
import sys
import time
import uuid

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ROOT / "python" / "src"
sys.path[:0] = [str(ROOT / "tests" / "integration"), str(SOURCES)]
from agent import BUILD, HOST_PCI, Agent  # noqa: E402
from child import Child  # noqa: E402
import bluecache  # noqa: E402

LIBRARY = BUILD / "host" / "libbluecache.so"
TIMEOUT_MS = 20000
OBJECT = 64 * 1024


def settings(world):
    """The environment of a process that opens a client; where the agent is comes in addition."""
    assert LIBRARY.exists(), "%s is not built; BLUECACHE_BUILD names another build directory" % LIBRARY
    return {"DOCA_EMU_WORLD": world, "BLUECACHE_PCI_ADDR": HOST_PCI, "BLUECACHE_LIBRARY": str(LIBRARY),
            "BLUECACHE_TIMEOUT_MS": str(TIMEOUT_MS), "BLUECACHE_LOG": "info"}


class Place:
    """An agent, and the processes that talk to it."""

    def __init__(self, folder, logs):
        self.folder = folder
        self.logs = logs
        self.world = "bluecache-test-" + uuid.uuid4().hex
        self.numbers = itertools.count(1)
        self.children = []
        self.agent = None

    def start_agent(self, **options):
        self.agent = Agent(self.folder / "agent", self.world, **options)
        self.logs.append(("the agent's log", self.agent.log))
        self.agent.start()
        return self

    def start(self, function, *arguments, **environment):
        """function(line, *arguments) in a child; an argument of the kind Agent is given as its process id."""
        name = "client %d" % next(self.numbers)
        arguments = [item.process.pid if isinstance(item, Agent) else item for item in arguments]
        child = Child(function, arguments,
                      {**settings(self.world), "BLUECACHE_DPU_ADDR": self.agent.address, **environment},
                      self.folder / (name + ".log"))
        self.logs.append((name + "'s log", child.log))
        self.children.append(child)
        return child

    def run(self, function, *arguments, **environment):
        return self.start(function, *arguments, **environment).result()

    def clean_up(self):
        for child in self.children:
            child.end()
        if self.agent is not None:
            self.agent.clean_up()


@pytest.fixture
def make_place(tmp_path, request):
    request.node.bluecache_logs = []
    places = []

    def make(**options):
        folder = tmp_path / ("place %d" % len(places))
        folder.mkdir()
        place = Place(folder, request.node.bluecache_logs)
        places.append(place)
        return place.start_agent(**options)

    yield make
    for place in places:
        place.clean_up()


@pytest.fixture
def place(make_place):
    """With an agent that keeps objects in memory."""
    return make_place(backend="dram")


@pytest.fixture(params=["dram", "posix"])
def stored(request, make_place):
    """With an agent of each kind."""
    return make_place(backend=request.param)


# ---- inside a client process ------------------------------------------------------------------------------------


def pattern(seed, length=OBJECT):
    return bytes((seed * 31 + index * 7 + (index >> 8)) & 255 for index in range(256)) * (length // 256)


def entry(memory, key, offset=0, length=OBJECT):
    """One whole object."""
    return bluecache.Entry(memory, offset, key, 0, length)


def put(client, key, data):
    with client.register(bytearray(data)) as memory, client.push([entry(memory, key, 0, len(data))]) as request:
        assert request.wait() == bluecache.Status.OK


STOPS_IN_COPY = {"backend": "dram", "memory_mb": 64, "faults": {"STOP_IN_COPY": 5}}


def push_that_stops(client, pid):
    """With an agent of the kind STOPS_IN_COPY, which stops in the fifth step of copying."""
    length = 4 << 20
    request = client.push([entry(client.register(client.alloc(length)), b"object", 0, length)])
    until(lambda: stands_still(pid), "the agent stops inside a copy")
    return request


def get(client, key, length=OBJECT):
    """The object's bytes, or the status if they cannot be had."""
    buffer = bytearray(length)
    with client.register(buffer) as memory, client.pull([entry(memory, key, 0, length)]) as request:
        status = request.wait()
    return bytes(buffer) if status == bluecache.Status.OK else status


def until(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "%s: not within %d s" % (what, seconds)
        time.sleep(0.005)


def stands_still(pid):
    """All of its threads: one on another processor goes on for a moment after a signal."""
    tasks = [task.read_text() for task in pathlib.Path("/proc/%d/task" % pid).glob("*/stat")]
    return all(task.rpartition(")")[2].split()[0] == "T" for task in tasks)


class Stopped:
    """The agent does nothing meanwhile: what is submitted stays in flight."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)
        until(lambda: stands_still(self.pid), "the agent stands still")
        return self

    def __exit__(self, *exc):
        os.kill(self.pid, signal.SIGCONT)
