# SPDX-License-Identifier: Apache-2.0
"""A network that is cut without a word: statuses come in time, both sides let go of each other, and the client is back
when the network is. Once with a relay that runs everywhere, and once with the cable between two network namespaces."""

import contextlib
import os
import subprocess
import time

import pytest

from agent import Agent
from bluecache_client import (DISCONNECTED, IN_PROGRESS, OK, PULL, PUSH, TIMED_OUT, Client, until)
from nixl_client import pattern
from relay import Relay
from test_deadlines import ENOTCONN, ETIMEDOUT, LONG_SECONDS, stays, works
from test_faults import gauges

pytestmark = pytest.mark.once
OF_A_NETWORK = pytest.mark.parametrize("transport", ["tcp"])

MIB = 1 << 20
LENGTH = 16 * MIB
SLOW = {"SLICE_DELAY": 10000}  # 64 slices: a pull takes 0.6 s at least


def lose_the_network_and_come_back(line):
    client = Client(timeout_ms=1500)
    wanted = pattern(20, LENGTH)
    data = client.memory(wanted)
    assert client.submit(PUSH, [(data, 0, "object", 0, LENGTH)], timeout_ms=LONG_SECONDS * 1000).end() == OK
    into = client.memory(LENGTH)
    for attempt in range(4):  # until the network is cut in the middle of what is really under way
        into.write(bytes(LENGTH))
        requests = [client.submit(PULL, [(into, i * 4 * MIB, "object", i * 4 * MIB, 4 * MIB)]) for i in range(4)]
        until(lambda: into.read(0, 4096) == wanted[:4096], "nothing is pulled")
        line.say("in the middle")
        line.hear("cut")
        if not all(request.test() == OK for request in requests):
            break
        assert attempt < 3, "it was never in the middle"
        line.say("too late")
        line.hear("healed")
    line.say("cut in the middle")
    begin = time.monotonic()
    statuses = [request.wait(LONG_SECONDS * 1000) for request in requests]
    took = time.monotonic() - begin
    assert all(status in (OK, TIMED_OUT, DISCONNECTED) for status in statuses), statuses
    assert any(status != OK for status in statuses)
    # All of these have a deadline too.
    assert client.ping() in (ENOTCONN, ETIMEDOUT)
    assert client.try_submit(PULL, [(into, 0, "object", 0, LENGTH)]) in (ENOTCONN, ETIMEDOUT)
    assert data.unregister() == 0
    mine = pattern(21, LENGTH)
    into.write(mine)
    assert all(request.free() == 0 for request in requests)
    line.say("failed")
    stays(into, mine, 1)
    line.hear("healed")
    works(client, "after")
    stays(into, mine, 1)  # what was on its way has arrived by now, and moves nothing
    assert client.submit(PULL, [(into, 0, "object", 0, LENGTH)], timeout_ms=LONG_SECONDS * 1000).end() == OK
    assert into.read() == wanted
    assert client.close() == 0
    return took


def play(child, cut, heal, while_cut):
    """The test's half of the above."""
    while True:
        child.hear("in the middle")
        cut()
        child.say("cut")
        kind, heard = child._receive(LONG_SECONDS)
        assert kind == "said", heard
        if heard == "cut in the middle":
            break
        assert heard == "too late"
        heal()
        child.say("healed")
    child.hear("failed")
    while_cut()
    heal()
    child.say("healed")
    assert child.result() < LONG_SECONDS


@OF_A_NETWORK
def test_network_that_swallows_everything(make_agent, start_client):
    agent = make_agent(backend="dram", memory_mb=128, faults=SLOW)
    before = gauges(agent)["bluecache_session_open"]
    with Relay(agent.wire_address) as relay:
        child = start_client(relay.address, lose_the_network_and_come_back)
        play(child, relay.cut, relay.heal, lambda: None)
        until(lambda: gauges(agent)["bluecache_session_open"] == before, "sessions of the lost connections stay")
        assert gauges(agent)["bluecache_dma_imported_regions"] == 0


def close_without_a_network(line):
    client = Client(timeout_ms=1000)
    memory = client.memory(b"x" * 4096)
    client.submit(PUSH, [(memory, 0, "object", 0, 4096)]).end()
    line.say("open")
    line.hear("cut")
    begin = time.monotonic()
    request = client.submit(PULL, [(memory, 0, "object", 0, 4096)])
    assert request.test() == IN_PROGRESS
    assert client.close() == 0
    return time.monotonic() - begin


@OF_A_NETWORK
def test_close_without_a_network(make_agent, start_client):
    agent = make_agent(backend="dram", memory_mb=32)
    with Relay(agent.wire_address) as relay:
        child = start_client(relay.address, close_without_a_network)
        child.hear("open")
        relay.cut()
        child.say("cut")
        assert child.result() < LONG_SECONDS


# --- the cable between two network namespaces ---

HERE, THERE = "169.254.87.1", "169.254.87.2"


def run_ip(*arguments):
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)


@contextlib.contextmanager
def cable():
    """A namespace with an address behind a pair of virtual interfaces: (its name, the interface at its end)."""
    name = "bct%d" % os.getpid()
    near, far = name + "a", name + "b"
    steps = [("netns", "add", name), ("link", "add", near, "type", "veth", "peer", "name", far, "netns", name),
             ("addr", "add", HERE + "/30", "dev", near), ("link", "set", near, "up"),
             ("-n", name, "addr", "add", THERE + "/30", "dev", far), ("-n", name, "link", "set", far, "up"),
             ("-n", name, "link", "set", "lo", "up")]
    try:
        for step in steps:
            try:
                done = run_ip(*step)
            except FileNotFoundError:
                pytest.skip("there is no program ip here")
            if done.returncode != 0:
                pytest.skip("a network namespace with a cable cannot be made here: ip %s: %s"
                            % (" ".join(step), done.stderr.strip()))
        yield name, far
    finally:
        run_ip("netns", "del", name)
        run_ip("link", "del", near)


def test_cable_that_is_pulled(tmp_path, world, start_client, request):
    with cable() as (namespace, interface):
        agent = Agent(tmp_path / "agent", world, backend="dram", memory_mb=128, faults=SLOW)
        request.node.bluecache_logs.append(("agent's log", agent.log))
        agent.command = ["ip", "netns", "exec", namespace, *agent.command]
        agent.address = THERE + ":0"
        agent.start()
        try:
            child = start_client(agent.address, lose_the_network_and_come_back)

            def let_go():
                # The agent finds by itself that the host has vanished, within about 10 s.
                until(lambda: agent.log().count(" leaves: ") > 0, "the session of a vanished host stays", 60)

            play(child, lambda: run_ip("-n", namespace, "link", "set", interface, "down").check_returncode(),
                 lambda: run_ip("-n", namespace, "link", "set", interface, "up").check_returncode(), let_go)
        finally:
            agent.clean_up()
