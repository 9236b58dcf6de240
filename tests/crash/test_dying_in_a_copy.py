# SPDX-License-Identifier: Apache-2.0
"""Clients and agents that die in the middle of a DMA copy, with memory that the emulation maps (bc_memory_alloc) and
with memory that it reads from the process (malloc). A dead client's memory is let go, down to the last descriptor and
mapping; a dead agent's client gets an answer in time and finds the next agent."""

import os
import random
import time

import pytest

import bluecache_client as host
from bluecache_client import OK, PULL, PUSH
from child import Child
from contents import contents, size_of, version_of
from load import UNKNOWN, Client
from scene import GAUGES, Agent, environment, settle, statistics

MIB = 1 << 20
LENGTH = 8 * MIB
DEATHS = 6
SLOW = {"SLICE_DELAY": 4000}  # microseconds before each copy
GROWTH_MAX = 16 * MIB


@pytest.fixture
def children(tmp_path, world, request):
    started = []

    def start(agent, function, *arguments):
        child = Child(function, arguments, environment(world, agent), tmp_path / ("client-%d.log" % len(started)))
        started.append(child)
        return child

    request.node.bluecache_logs = [lambda: [(str(child.log_path), child.log()) for child in started]]
    yield start
    for child in started:
        child.end()


@pytest.fixture
def make_agent(tmp_path, world, request, children):
    agents = []

    def make(**options):
        agents.append(Agent(tmp_path, world, **options).start())
        request.node.bluecache_logs.append(lambda: [("agent.log", agents[-1].log())])
        return agents[-1]

    yield make
    for agent in agents:
        agent.clean_up()


@pytest.fixture(params=[True, False], ids=["shared", "private"])
def shareable(request):
    return request.param


@pytest.fixture(params=["dram", "posix"])
def backend(request):
    return request.param


# --- what the kernel says of a process ---


def shared_files(pid):
    """Inodes of the memory files that it has mapped or open."""
    inodes = set()
    with open("/proc/%d/maps" % pid) as maps:
        for line in maps:
            words = line.split(maxsplit=5)
            if len(words) == 6 and words[5].startswith("/memfd:"):
                inodes.add(int(words[4]))
    folder = "/proc/%d/fd" % pid
    for name in os.listdir(folder):
        try:
            path = os.path.join(folder, name)
            if os.readlink(path).startswith("/memfd:"):
                inodes.add(os.stat(path).st_ino)
        except FileNotFoundError:
            continue
    return inodes


def processes_held(pid):
    """Descriptors that name another process or its memory."""
    folder = "/proc/%d/fd" % pid
    links = []
    for name in os.listdir(folder):
        try:
            links.append(os.readlink(os.path.join(folder, name)))
        except FileNotFoundError:
            continue
    return sum(link == "anon_inode:[pidfd]" or link.endswith("/mem") for link in links)


def private_bytes(pid):
    with open("/proc/%d/status" % pid) as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon:"))


# --- clients ---


def copy_for_ever(line, shareable, number):
    """Pushes and pulls at once, until it is killed."""
    client = Client()
    out, into = client.memory(LENGTH, shareable), client.memory(LENGTH, shareable)
    assert client.submit(PUSH, [(out, 0, "kept", 0, LENGTH)]).end() == OK
    line.say("ready")
    running = []
    for version in range(100000):
        running.append(client.submit(PUSH, [(out, i * MIB, "mid/%d" % i, 0, MIB) for i in range(LENGTH // MIB)]))
        running.append(client.submit(PULL, [(into, 0, "kept", 0, LENGTH)]))
        while len(running) > 3:
            running.pop(0).end()


def live_on(line, count):
    """Pushes and pulls its own objects whole while others die; stops when told."""
    client = Client()
    memory, into = client.memory(LENGTH), client.memory(LENGTH)
    line.say("ready")
    version = 0
    while not line.connection.poll(0):
        version += 1
        key = "live/%d" % (version % count)
        size = size_of(key, version)
        memory.write(contents(key, version).tobytes())
        assert client.submit(PUSH, [(memory, 0, key, 0, size)]).end() == OK
        assert client.submit(PULL, [(into, 0, key, 0, size)]).end() == OK
        assert version_of(key, into.read(0, size)) == version
    line.hear("enough")
    assert all(status in (OK, host.NOT_FOUND) for status in client.remove(
        ["live/%d" % i for i in range(count)] + ["kept"] + ["mid/%d" % i for i in range(LENGTH // MIB)]))
    assert client.close() == 0
    return version


@pytest.mark.parametrize("workers", [1, 2])
def test_client_dies_in_the_middle(make_agent, children, backend, workers, shareable, crash_seed):
    agent = make_agent(backend=backend, workers=workers, memory_mb=192, faults=SLOW)
    pid = agent.process.pid
    print("seed %d" % crash_seed)
    rng = random.Random(crash_seed)

    def gauges():
        values = statistics(agent)
        return {name: values[name] for name in GAUGES}

    idle = gauges()
    bystander = children(agent, live_on, 3)
    bystander.hear("ready")
    files, held, bytes_before = shared_files(pid), processes_held(pid), None
    imports = statistics(agent)["bluecache_dma_imported_regions"]
    for number in range(DEATHS):
        victim = children(agent, copy_for_ever, shareable, number)
        victim.hear("ready")
        # How many depends on where its memory lies: neighbours share an export.
        settle(lambda: statistics(agent)["bluecache_dma_imported_regions"] >= imports + workers, lambda: "no imports")
        theirs = shared_files(victim.process.pid)
        assert theirs & shared_files(pid), "the agent has nothing of the client"
        time.sleep(rng.uniform(0, 0.06))
        victim.kill()
        settle(lambda: not theirs & shared_files(pid), lambda: "the agent keeps memory of the dead client")
        settle(lambda: shared_files(pid) == files and processes_held(pid) == held,
               lambda: "%s and %d were %s and %d" % (shared_files(pid), processes_held(pid), files, held))
        bytes_before = bytes_before or private_bytes(pid)
    assert private_bytes(pid) < bytes_before + GROWTH_MAX
    bystander.say("enough")
    assert bystander.result() > 0
    settle(lambda: gauges() == idle, lambda: "%s were %s" % (gauges(), idle))
    agent.stop()


def copy_until_it_dies(line, shareable):
    """Its requests all end in time, over the death of the agent and beyond; what was acknowledged is there after it."""
    timeout_ms = 5000
    client = Client(timeout_ms=timeout_ms)
    out, into = client.memory(LENGTH, shareable), client.memory(LENGTH, shareable)
    line.say("ready")
    stored, begun, version, failed = {}, {}, 0, False
    while not failed:
        version += 1
        key = "o%d" % (version % 3)
        size = size_of(key, version)
        out.write(contents(key, version).tobytes())
        begun[key] = version
        begin = time.monotonic()
        status = client.submit(PUSH, [(out, 0, key, 0, size)]).end()
        assert time.monotonic() - begin < 2 * timeout_ms / 1000 + 10, "the request did not end in time"
        if status == OK:
            stored[key] = version
            status = client.submit(PULL, [(into, 0, key, 0, size)]).end()
            assert status in (OK, *UNKNOWN), status
            assert status != OK or version_of(key, into.read(0, size)) == version
        failed = status != OK
        assert status in (OK, *UNKNOWN), status
    line.say("failed")
    line.hear("back")
    for key, last in begun.items():
        status, size = client.look_up(key)
        assert status == OK or key not in stored, (key, status)
        if status == OK:
            assert client.submit(PULL, [(into, 0, key, 0, size)]).end() == OK
            assert version_of(key, into.read(0, size)) in (stored.get(key), last), key
    out.write(contents("after", 1).tobytes())
    assert client.submit(PUSH, [(out, 0, "after", 0, size_of("after", 1))]).end() == OK
    assert client.close() == 0
    return version


@pytest.mark.parametrize("round_number", range(3))
def test_agent_dies_in_the_middle(make_agent, children, shareable, round_number, crash_seed):
    slices = random.Random("%d %d" % (crash_seed, round_number)).randint(1, 60)
    print("seed %d: it dies in slice %d" % (crash_seed, slices))
    agent = make_agent(backend="posix", workers=2, memory_mb=64, faults={"CRASH_IN_COPY": slices})
    client = children(agent, copy_until_it_dies, shareable)
    client.hear("ready")
    assert agent.wait_dead() == -9
    client.hear("failed")
    agent.start(faults=False)
    client.say("back")
    assert client.result() > 0
