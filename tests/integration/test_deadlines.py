# SPDX-License-Identifier: Apache-2.0
"""Nothing hangs, and nothing writes late: agents that are stopped between and inside copies, and copies that are
never reported. What the agent does is arranged by the emulation's faults, so that each test knows where it stands."""

import signal
import subprocess
import time

import pytest

from agent import BUILD, COPY_OF_A_PULL, way_to
from bluecache_client import (DISCONNECTED, IN_PROGRESS, OK, PULL, PUSH, TIMED_OUT, Client, until)
from nixl_client import pattern
from test_cancel import wait_until_stopped
from test_faults import gauges, settles_to, statistics

pytestmark = pytest.mark.once

MIB = 1 << 20
EBUSY, EINPROGRESS, ENOTCONN, ETIMEDOUT = -16, -115, -107, -110

# In no test a limit: a loaded machine may need this long for what should take a second.
LONG_SECONDS = 30


def stays(memory, data, seconds):
    """Looks again and again: nobody writes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert memory.read() == data, "something wrote into memory that is not the agent's any more"
        time.sleep(0.02)


def works(client, name, shareable=True):
    data = client.memory(name.encode() * 1000, shareable)
    into = client.memory(data.length, shareable)
    # It waits for the agent's return, too.
    assert client.submit(PUSH, [(data, 0, name, 0, data.length)], timeout_ms=LONG_SECONDS * 1000).end() == OK
    assert client.submit(PULL, [(into, 0, name, 0, data.length)], timeout_ms=LONG_SECONDS * 1000).end() == OK
    assert into.read() == data.read()
    assert data.unregister() == 0 and into.unregister() == 0


# --- stopped between copies: the request fails, and its buffer is free ---


def fail_while_the_agent_is_stopped(line, shareable, attempts):
    """Reported failed while the agent is stopped; from there on the buffer belongs to the test."""
    client = Client(timeout_ms=1000)
    length = 16 * MIB
    wanted = pattern(5, length)
    data = client.memory(wanted)
    assert client.submit(PUSH, [(data, 0, "object", 0, length)], timeout_ms=LONG_SECONDS * 1000).end() == OK
    failed = 0
    for attempt in range(attempts):
        into = client.memory(length, shareable)
        request = client.submit(PULL, [(into, 0, "object", 0, length)])
        until(lambda: into.read(0, 4096) == wanted[:4096], "nothing is pulled")
        line.say("in the middle")
        line.hear("stopped")
        status = request.wait(10000)
        if status == IN_PROGRESS:  # stopped inside of a copy after all
            line.say("not over")
            line.hear("goes on")
            status = request.wait(LONG_SECONDS * 1000)
        else:
            failed += 1
            line.say("over")
        assert status in (TIMED_OUT, DISCONNECTED), status
        assert into.read() != wanted, "it was not in the middle"
        mine = pattern(attempt + 100, length)
        into.write(mine)
        line.say("filled")
        line.hear("runs")
        stays(into, mine, 1.5)
        assert request.free() == 0
        works(client, "after %d" % attempt, shareable)
        assert into.read() == mine
        assert into.unregister() == 0
        if failed:
            break
    line.say("enough")
    assert client.close() == 0
    return failed


@pytest.mark.parametrize("shareable, workers", [(True, 2), (False, 1)], ids=["shareable", "private"])
def test_buffer_of_a_failed_request_is_never_written(make_agent, start_client, workers, shareable):
    # Copies take next to no time and their reports a long one: a signal falls between copies, nearly always.
    agent = make_agent(backend="dram", workers=workers, memory_mb=128, faults={"COMPLETE_DELAY": 60000})
    before = gauges(agent)
    child = start_client(agent.address, fail_while_the_agent_is_stopped, shareable, 5)
    stopped = False
    try:
        while True:
            kind, heard = child._receive(LONG_SECONDS)
            assert kind == "said", heard
            if heard == "in the middle":
                agent.send(signal.SIGSTOP)
                wait_until_stopped(agent.process.pid)
                stopped = True
                child.say("stopped")
            elif heard in ("not over", "filled"):
                agent.send(signal.SIGCONT)
                stopped = False
                child.say("goes on" if heard == "not over" else "runs")
            elif heard == "enough":
                break
            else:
                assert heard == "over"
    finally:
        if stopped:
            agent.send(signal.SIGCONT)
    assert child.result() == 1, "the agent was never stopped between copies"
    settles_to(agent, dict(before, bluecache_staging_free_bytes=gauges(agent)["bluecache_staging_free_bytes"]))


# --- stopped inside a copy: in progress, refused, quarantined, freed ---


def wait_for_what_cannot_end(line, shareable):
    client = Client(timeout_ms=700)
    length = 4 * MIB
    data = client.memory(pattern(6, length))
    spare = client.memory(MIB, shareable)
    assert client.submit(PUSH, [(data, 0, "object", 0, length)]).end() == OK
    into = client.memory(length, shareable)
    request = client.submit(PULL, [(into, 0, "object", 0, length)])
    line.say("pulling")
    line.hear("stopped")
    end = time.monotonic() + 2  # deadline and grace are over by then
    while time.monotonic() < end:
        assert request.test() == IN_PROGRESS
        assert request.free() == EBUSY
        time.sleep(0.05)
    # The program goes on with everything else, and is told in time what cannot be had.
    begin = time.monotonic()
    assert spare.unregister() == 0
    other = client.memory(MIB, shareable)
    assert client.try_submit(PULL, [(other, 0, "object", 0, MIB)]) in (ENOTCONN, ETIMEDOUT)
    assert client.ping() in (ENOTCONN, ETIMEDOUT)
    assert time.monotonic() - begin < LONG_SECONDS
    assert into.unregister() == EBUSY
    assert request.test() == IN_PROGRESS
    line.say("still in progress")
    line.hear("goes on")
    assert request.wait(LONG_SECONDS * 1000) in (TIMED_OUT, DISCONNECTED)
    mine = pattern(7, length)
    into.write(mine)
    assert request.free() == 0
    stays(into, mine, 1)
    assert into.unregister() == 0
    assert other.unregister() == 0
    line.say("freed")
    line.hear("serves")
    works(client, "after", shareable)
    assert client.close() == 0


@pytest.mark.parametrize("end, shareable", [("continues", True), ("continues", False), ("dies", True)],
                         ids=["continues-shareable", "continues-private", "dies"])
def test_request_stays_in_progress_while_the_agent_is_stopped_inside_a_copy(make_agent, start_client, end, shareable):
    agent = make_agent(backend="dram", memory_mb=64, faults={"STOP_IN_COPY": COPY_OF_A_PULL})
    child = start_client(agent.address, wait_for_what_cannot_end, shareable)
    child.hear("pulling")
    wait_until_stopped(agent.process.pid)
    child.say("stopped")
    try:
        child.hear("still in progress")
    finally:
        if end == "continues":
            agent.send(signal.SIGCONT)
        else:
            agent.kill()
    child.say("goes on")
    child.hear("freed")
    if end == "dies":
        agent.start(faults=False)
    child.say("serves")
    child.result()
    assert "is in quarantine" in child.log() and "left quarantine" in child.log()


def close_on_a_stopped_agent(line):
    client = Client(timeout_ms=500)
    into = client.memory(4 * MIB)
    assert client.push("object", pattern(8, 4 * MIB)) == OK
    client.submit(PULL, [(into, 0, "object", 0, 4 * MIB)])
    line.say("pulling")
    line.hear("stopped")
    begin = time.monotonic()
    assert client.close() == EBUSY
    assert client.close() == EBUSY
    took = time.monotonic() - begin
    line.say("refused")
    line.hear("goes on")
    mine = pattern(9, 4 * MIB)
    until(lambda: client.close() == 0, "the client cannot be closed")
    into.write(mine)  # its memory was mapped by the program and still is
    stays(into, mine, 1)
    return took


def test_close_is_refused_while_the_agent_is_stopped_inside_a_copy(make_agent, start_client):
    agent = make_agent(backend="dram", memory_mb=64, faults={"STOP_IN_COPY": COPY_OF_A_PULL})
    child = start_client(agent.address, close_on_a_stopped_agent)
    child.hear("pulling")
    wait_until_stopped(agent.process.pid)
    child.say("stopped")
    try:
        child.hear("refused")
    finally:
        agent.send(signal.SIGCONT)
    child.say("goes on")
    assert child.result() < LONG_SECONDS


def test_command_gives_up_on_a_stopped_agent(make_agent, world, tmp_path):
    agent = make_agent(backend="dram", memory_mb=64, faults={"STOP_IN_COPY": COPY_OF_A_PULL})
    block = tmp_path / "block"
    block.write_bytes(pattern(12, 4 * MIB))
    environment = dict(agent.environment, **way_to(agent.address))
    assert environment["DOCA_EMU_WORLD"] == world
    command = [str(BUILD / "tools" / "bluecache"), "--timeout", "1"]
    subprocess.run([*command, "push", "object", str(block)], env=environment, check=True, timeout=LONG_SECONDS)
    begin = time.monotonic()
    done = subprocess.run([*command, "pull", "object", str(tmp_path / "pulled")], env=environment, timeout=90,
                          stderr=subprocess.PIPE, check=False)
    # Its deadline, the grace, and 5 s; then it leaves, although the agent could still write into its memory.
    assert time.monotonic() - begin < 60
    assert done.returncode not in (0, 2) and done.stderr
    assert not (tmp_path / "pulled").exists()
    wait_until_stopped(agent.process.pid)
    agent.send(signal.SIGCONT)


# --- copies that are never reported ---


def give_up_on_a_copy(line, length):
    client = Client(timeout_ms=1000)
    memory = client.memory(pattern(10, length))
    begin = time.monotonic()
    request = client.submit(PUSH, [(memory, 0, "object", 0, length)])
    assert request.wait(LONG_SECONDS * 1000) in (TIMED_OUT, DISCONNECTED)
    took = time.monotonic() - begin
    mine = pattern(11, length)
    memory.write(mine)
    assert request.free() == 0
    # The agent lives, and is found again.
    until(lambda: client.ping() == 0, "the agent does not answer")
    assert client.sizes(["object"]) == [None]
    stays(memory, mine, 0.5)
    assert memory.unregister() == 0
    assert client.close() == 0
    return took


def test_copy_that_never_completes_costs_its_request_alone(make_agent, run_client):
    agent = make_agent(backend="dram", memory_mb=64, faults={"COMPLETE_DELAY": 3600 * 1000000})
    assert run_client(agent.address, give_up_on_a_copy, 4 * MIB) < LONG_SECONDS
    assert statistics(agent)["bluecache_dma_in_flight_tasks"] > 0
    agent.kill()
