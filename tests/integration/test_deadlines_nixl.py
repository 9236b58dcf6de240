# SPDX-License-Identifier: Apache-2.0
"""What a program sees through NIXL when its agent is lost: an error in time or a transfer in progress, as promised, and
it can go on at once. It never makes its NIXL agent anew."""

import signal
import time

import pytest

from agent import COPY_OF_A_PULL
from nixl_client import Client, pattern
from relay import Relay
from test_cancel import until, wait_until_stopped
from test_deadlines import LONG_SECONDS

MIB = 1 << 20
BLOCK = 256 << 10
LOST = ("nixlRemoteDisconnectError", "nixlBackendError", "nixlCancelledError")


# --- a cache in front of a computation ---


def block(key):
    """What the computation gives for this key."""
    return pattern(int(key.split("/")[1]) + 1000, BLOCK)


class Cached:
    """As LMCache does: asks the store, computes what is not there or fails, stores what was computed."""

    def __init__(self, client, count):
        self.client = client
        self.pool = client.memory(count * BLOCK)
        self.page = 0
        self.hits = self.computed = self.failures = 0
        self.slowest = 0.0

    def next_page(self):
        self.page = (self.page + 1) % (self.pool.array.nbytes // BLOCK)
        return self.page * BLOCK

    def move(self, operation, key):
        """The page's bytes, or None: a miss, or an error. A transfer has as long as timeout_ms gives it."""
        offset = self.next_page()
        bytes_ = self.pool.array[offset:offset + BLOCK]
        bytes_[:] = 0 if operation == "READ" else memoryview(block(key))
        begin = time.monotonic()
        try:
            self.client.run(operation, [(self.pool, offset, key, 0, BLOCK)], LONG_SECONDS)
            return bytes_.tobytes()
        except Exception as error:
            if type(error).__name__ == "nixlNotFoundError":
                return None
            assert type(error).__name__ in LOST, error
            self.failures += 1
            return None
        finally:
            self.slowest = max(self.slowest, time.monotonic() - begin)

    def get(self, key):
        found = self.move("READ", key)
        if found is not None:
            assert found == block(key), "wrong bytes of %s" % key
            self.hits += 1
            return
        self.computed += 1
        self.move("WRITE", key)


def serve_from_the_cache(line, keys):
    cached = Cached(Client(timeout_ms=1000), 16)
    names = ["block/%d" % i for i in range(keys)]
    for name in names:
        cached.get(name)
    assert cached.computed == keys and cached.failures == 0
    line.say("filled")
    while not line.connection.poll():
        cached.get(names[cached.hits % keys])
    line.hear("gone")
    # One way or another every block is served, from the store or by computing it, while the agent is away.
    while cached.failures < 2:
        cached.get(names[cached.computed % keys])
    line.say("goes on without")
    while not line.connection.poll():
        cached.get(names[cached.computed % keys])
    line.hear("back")
    begin = time.monotonic()
    hits = cached.hits
    while cached.hits < hits + 2 * keys:
        assert time.monotonic() - begin < 2 * LONG_SECONDS, "there are no hits any more"
        cached.get(names[cached.hits % keys])
    line.say("hits again")
    line.hear("enough")
    cached.pool.deregister()
    return cached.slowest


@pytest.mark.parametrize("way", ["killed", "stopped", "cut off"])
def test_cache_goes_on_without_its_agent_and_with_it_again(make_agent, start_client, way):
    agent = make_agent(backend="posix", workers=2, memory_mb=64)
    with Relay(agent.wire_address) as relay:
        child = start_client(relay.address if way == "cut off" else agent.address, serve_from_the_cache, 24)
        child.hear("filled")
        time.sleep(0.2)  # in the middle of hits
        {"killed": agent.kill, "stopped": lambda: agent.send(signal.SIGSTOP), "cut off": relay.cut}[way]()
        try:
            child.say("gone")
            child.hear("goes on without")
        finally:
            {"killed": agent.start, "stopped": lambda: agent.send(signal.SIGCONT), "cut off": relay.heal}[way]()
        child.say("back")
        child.hear("hits again")
        child.say("enough")
        slowest = child.result()
    # timeout_ms is 1 s, the grace as much; the rest is for a machine that is busy.
    assert slowest < LONG_SECONDS


# --- stopped inside a copy ---


def go_on_beside_a_stopped_copy(line, length):
    client = Client(timeout_ms=500)
    wanted = pattern(40, length)
    client.push("object", wanted)
    memory = client.memory(length)
    handle = client.prepare("READ", [(memory, 0, "object", 0, length)])
    assert client.post(handle) == "PROC"
    line.say("posted")
    line.hear("stopped")
    end = time.monotonic() + 2
    while time.monotonic() < end:  # the deadline and its grace pass
        assert client.nixl.check_xfer_state(handle) == "PROC"
        time.sleep(0.02)
    begin = time.monotonic()
    with_other_memory(client)
    # Release is refused, or NIXL keeps it to itself; it does not block. So with deregistering.
    try:
        client.nixl.release_xfer_handle(handle)
    except Exception as error:
        assert type(error).__name__ == "nixlRepostActiveError", error
    memory.deregister()
    took = time.monotonic() - begin
    # The memory is the agent's: it stays mapped, and nobody uses it.
    line.say("in quarantine")
    line.hear("goes on")
    # The caller learns that it is over from the next calls: they reap it.
    client.push("after", b"12345")
    assert client.pull("after", 5) == b"12345"
    return took


def with_other_memory(client):
    """Other transfers end with an error in time, whatever the first one does."""
    other = client.memory(BLOCK)
    handle = client.prepare("WRITE", [(other, 0, "other", 0, BLOCK)])
    try:
        if client.post(handle) == "PROC":
            client.finish(handle, LONG_SECONDS)
    except Exception as error:
        assert type(error).__name__ in LOST, error
    else:
        raise AssertionError("a stopped agent stored something")
    client.nixl.release_xfer_handle(handle)
    other.deregister()


@pytest.mark.parametrize("end", ["continues", "dies"])
def test_program_goes_on_beside_a_copy_that_is_stopped(make_agent, start_client, end):
    agent = make_agent(backend="dram", memory_mb=64, faults={"STOP_IN_COPY": COPY_OF_A_PULL})
    child = start_client(agent.address, go_on_beside_a_stopped_copy, 4 * MIB)
    child.hear("posted")
    wait_until_stopped(agent.process.pid)
    child.say("stopped")
    try:
        child.hear("in quarantine")
    finally:
        if end == "continues":
            agent.send(signal.SIGCONT)
        else:
            agent.kill()
    until(lambda: "left quarantine" in child.log(), "the memory stays in quarantine", LONG_SECONDS)
    if end == "dies":
        agent.start(faults=False)
    child.say("goes on")
    assert child.result() < LONG_SECONDS
