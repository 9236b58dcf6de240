# SPDX-License-Identifier: Apache-2.0
"""A disk that does not answer: a file system of its own for the store, which the test freezes. Writes then stop in the
kernel, where no signal reaches them, until it is thawed."""

import signal
import time

import pytest

import wire
from bluecache_client import (CANCELLED, DISCONNECTED, OK, PULL, PUSH, TIMED_OUT, Client, until)
from nixl_client import pattern
from small_disk import disk  # noqa: F401 (a fixture)
from test_deadlines import LONG_SECONDS, stays, works
from test_faults import GAUGES, files_below, gauges, settles_to, statistics

pytestmark = pytest.mark.once

MIB = 1 << 20


@pytest.fixture
def disk_or_none(request):
    try:
        return request.getfixturevalue("disk")
    except pytest.skip.Exception:
        return None


def push_onto_a_frozen_disk(line):
    client = Client(timeout_ms=1000)
    wanted = pattern(30, 4 * MIB)
    assert client.push("before", wanted) == OK
    line.say("ready")
    line.hear("frozen")
    memory = client.memory(pattern(31, 4 * MIB))
    into = client.memory(4 * MIB)
    begin = time.monotonic()
    request = client.submit(PUSH, [(memory, 0, "frozen", 0, 4 * MIB)])
    assert request.wait(LONG_SECONDS * 1000) in (TIMED_OUT, DISCONNECTED)
    took = time.monotonic() - begin
    assert request.free() == 0
    mine = pattern(32, 4 * MIB)
    memory.write(mine)
    # What needs no write is served, on a new session.
    assert client.submit(PULL, [(into, 0, "before", 0, 4 * MIB)], timeout_ms=LONG_SECONDS * 1000).end() == OK
    assert into.read() == wanted
    assert client.sizes(["before", "frozen"]) == [4 * MIB, None]
    line.say("timed out")
    line.hear("thawed")
    works(client, "after")
    assert client.submit(PUSH, [(memory, 0, "frozen", 0, 4 * MIB)]).end() == OK
    assert client.pull("frozen", 4 * MIB) == (OK, mine)
    stays(memory, mine, 0.2)
    assert client.close() == 0
    return took


def test_disk_that_does_not_answer_costs_the_writes_alone(disk, make_agent, start_client):
    agent = make_agent(backend="posix", workers=2, memory_mb=64)
    before = gauges(agent)
    child = start_client(agent.address, push_onto_a_frozen_disk)
    child.hear("ready")
    disk.freeze()
    try:
        child.say("frozen")
        child.hear("timed out")
        # Others are answered all the while.
        with wire.Client(agent.wire_address) as other:
            assert other.greet()[0] == wire.OK
            other.send(wire.PING, b"still there?", request_id=5)
            assert other.receive() == (wire.PONG, 5, b"still there?")
        assert set(GAUGES) <= set(statistics(agent))
    finally:
        assert disk.thaw()
    child.say("thawed")
    assert child.result() < LONG_SECONDS
    settles_to(agent, before)
    assert files_below(agent.root / "tmp") == []
    agent.stop()


# --- the end of an agent whose work does not end ---


def push_and_be_left(line, known):
    client = Client(timeout_ms=60000)
    memory = client.memory(pattern(33, 4 * MIB))
    request = client.submit(PUSH, [(memory, 0, "stuck", 0, 4 * MIB)])
    line.say("pushing")
    assert request.wait(60000) in (CANCELLED, DISCONNECTED)
    line.say("lost")
    line.hear("back")
    works(client, "after")
    assert client.sizes(["before", "stuck"]) == [1000 if known else None, None]
    assert client.close() == 0


def push_before(line):
    assert Client().push("before", b"x" * 1000) == OK


def end_in_time(agent, child):
    """After SIGTERM: the client is let go after the drain, and main gives up 20 s later."""
    child.hear("lost", LONG_SECONDS)
    until(lambda: "did not end in time" in agent.log(), "main waits for ever", 60)


def test_stop_has_an_end_although_a_disk_and_a_copy_have_none(disk_or_none, make_agent, start_client, run_client):
    """Both at once, since each takes 20 s. Without a disk of its own, the copy alone."""
    soon = ["--drain-timeout", "200ms"]
    stuck = [make_agent("copy", backend="dram", memory_mb=64, options=soon,
                        faults={"COMPLETE_DELAY": 3600 * 1000000})]
    if disk_or_none is not None:
        stuck.append(make_agent(backend="posix", workers=2, memory_mb=64, options=soon))
        run_client(stuck[1].address, push_before)
        disk_or_none.freeze()
    try:
        children = [start_client(agent.address, push_and_be_left, agent is not stuck[0]) for agent in stuck]
        for agent, child in zip(stuck, children):
            child.hear("pushing")
            until(lambda: statistics(agent)["bluecache_session_requests"] > 0, "no request is under way")
        begin = time.monotonic()
        for agent in stuck:
            agent.send(signal.SIGTERM)
        for agent, child in zip(stuck, children):
            end_in_time(agent, child)
        assert time.monotonic() - begin < 90
    finally:
        # What the kernel does with a process that has operations on a frozen disk is its own affair: it stays.
        assert disk_or_none is None or disk_or_none.thaw()
    for agent, child in zip(stuck, children):
        assert agent.wait_dead(60) == 1
        agent.start(faults=False)
        assert files_below(agent.root / "tmp") == []
        child.say("back")
        child.result()
        agent.stop()
