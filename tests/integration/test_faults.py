# SPDX-License-Identifier: Apache-2.0
"""Clients and agents that die, stop and drain in the middle of copies. The emulation copies slowly where a test
wants to be in the middle. What is left is read from the agent's statistics and from the store's files."""

import os
import signal
import time

import pytest

import wire
from bluecache_client import (CANCELLED, DISCONNECTED, DMA_ERROR, END_MS, IN_PROGRESS, OK, PULL, PUSH,
                              SHUTTING_DOWN, TIMED_OUT, Client, until)
from nixl_client import pattern

MIB = 1 << 20
SLOW = {"SLICE_DELAY": 5000}  # microseconds before each copy

GAUGES = ["bluecache_staging_free_bytes", "bluecache_dma_imported_regions", "bluecache_dma_in_flight_tasks",
          "bluecache_session_open", "bluecache_session_requests", "bluecache_session_regions"]


def ask(agent, kind, body, answer):
    with wire.Client(agent.wire_address) as client:
        assert client.greet()[0] == wire.OK
        client.send(kind, body, request_id=2)
        got, _, body = client.receive()
        assert got == answer
        return body


def statistics(agent):
    return wire.stats(ask(agent, wire.STATS, b"", wire.STATS_RESULT))


def gauges(agent):
    values = statistics(agent)
    return {name: values[name] for name in GAUGES}


def remove(agent, names):
    ask(agent, wire.REMOVE, wire.keys([name.encode() for name in names]), wire.REMOVE_RESULT)


def settles_to(agent, before):
    """Sessions go, leases and imports return: the gauges of an idle agent are there again."""
    until(lambda: gauges(agent) == before, "the agent does not let go: %s, and not %s" % (gauges(agent), before))


# --- clients that die ---


def push_and_pull_for_ever(line, length):
    client = Client()
    data = client.memory(pattern(1, length))
    into = client.memory(length)
    assert client.submit(PUSH, [(data, 0, "kept", 0, length)]).end() == OK
    line.say("ready")
    requests = []
    for round_number in range(1000):
        requests.append(client.submit(PUSH, [(data, i * MIB, "mid/%d" % i, 0, MIB) for i in range(length // MIB)]))
        requests.append(client.submit(PULL, [(into, 0, "kept", 0, length)]))
        if len(requests) > 6:
            requests.pop(0).end()


def test_client_killed_in_the_middle_leaves_nothing(make_agent, start_client, run_client, backend, workers):
    agent = make_agent(backend=backend, workers=workers, memory_mb=64, faults=SLOW)
    before = gauges(agent)
    for milliseconds in (0, 40, 150):
        child = start_client(agent.address, push_and_pull_for_ever, 4 * MIB)
        child.hear("ready")
        until(lambda: statistics(agent)["bluecache_dma_in_flight_tasks"] > 0, "no copy is under way")
        time.sleep(milliseconds / 1000)
        child.kill()
        until(lambda: gauges(agent)["bluecache_session_open"] == before["bluecache_session_open"],
              "the session of a killed client does not end")
        remove(agent, ["kept"] + ["mid/%d" % i for i in range(4)])
        settles_to(agent, before)
    run_client(agent.address, push_and_pull_once, 4 * MIB)


def push_and_pull_once(line, length):
    client = Client()
    assert client.push("once", pattern(3, length)) == OK
    status, data = client.pull("once", length)
    assert status == OK and data == pattern(3, length)
    assert client.close() == 0


def stop_in_the_middle(line, length):
    client = Client()
    data = client.memory(pattern(4, length))
    request = client.submit(PUSH, [(data, 0, "stopped", 0, length)])
    line.say(os.getpid())
    assert request.end() == OK
    status, got = client.pull("stopped", length)
    assert status == OK and got == pattern(4, length)


def test_stopped_client_holds_up_no_one_and_goes_on(make_agent, start_client, run_client):
    agent = make_agent(backend="posix", memory_mb=16, options=["--hello-timeout", "300ms"], faults=SLOW)
    child = start_client(agent.address, stop_in_the_middle, 8 * MIB)
    child.hear(child.process.pid)
    os.kill(child.process.pid, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        run_client(agent.address, push_and_pull_once, 4 * MIB)
        time.sleep(max(0, 1 - (time.monotonic() - begin)))
    finally:
        os.kill(child.process.pid, signal.SIGCONT)
    child.result()


# --- agents that die ---


def push_through_restarts(line, length, count):
    """Pushes versions of a few objects for as long as it is told, never opening anything again. A pull must bring
    the last version that was acknowledged, or one that was begun later and had no answer."""
    client = Client(timeout_ms=20000)
    memory = client.memory(length)
    into = client.memory(length)
    acknowledged, possible = {}, {}
    line.say("ready")
    version = 0
    lost = 0
    while not line.connection.poll(0):
        version += 1
        key = "o%d" % (version % count)
        memory.write(pattern(version, length))
        status = client.submit(PUSH, [(memory, 0, key, 0, length)]).end()
        if status == OK:
            acknowledged[key], possible[key] = version, []
        else:
            assert status in (DISCONNECTED, CANCELLED, SHUTTING_DOWN), status
            possible.setdefault(key, []).append(version)
            lost += 1
    line.hear("enough")
    for key in sorted(set(acknowledged) | set(possible)):
        status = client.submit(PULL, [(into, 0, key, 0, length)]).end()
        versions = ([acknowledged[key]] if key in acknowledged else []) + possible[key]
        assert status == OK or key not in acknowledged, (key, status)
        assert status != OK or into.read() in [pattern(v, length) for v in versions], key
    assert client.close() == 0
    return len(acknowledged), lost


def files_below(path):
    return [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]


def test_agent_killed_under_load_keeps_what_it_acknowledged(make_agent, start_client, workers):
    length, count = 300001, 7
    agent = make_agent(backend="posix", workers=workers, memory_mb=32)
    child = start_client(agent.address, push_through_restarts, length, count)
    child.hear("ready")
    for seconds in (0.1, 0.25, 0.4):
        time.sleep(seconds)
        agent.kill()
        agent.start()
    time.sleep(0.3)
    child.say("enough")
    kept, lost = child.result()
    assert kept == count
    # What the store says of itself is what lies on the disk, also as the next life of the agent counts it.
    for _ in range(2):
        assert files_below(agent.root / "tmp") == []
        objects = files_below(agent.root / "objects")
        values = statistics(agent)
        assert values["bluecache_posix_objects"] == len(objects) == count
        assert values["bluecache_posix_used_bytes"] == sum(os.stat(path).st_size for path in objects)
        agent.kill()
        agent.start()


# --- agents that stop ---


def pull_from_a_stopped_agent(line, length, timeout_ms):
    patient = Client()
    assert patient.push("object", pattern(5, length)) == OK
    assert patient.close() == 0
    client = Client(timeout_ms=timeout_ms)
    into = client.memory(length)
    request = client.submit(PULL, [(into, 0, "object", 0, length)])
    until(lambda: into.read(0, 4096) != bytes(4096), "the pull brings nothing")
    line.say("in the middle")
    line.hear("stopped")
    time.sleep(2 * timeout_ms / 1000)
    status = request.wait(100)
    if status == IN_PROGRESS:
        # The agent stands inside of a copy: the memory is not given back to the program yet.
        assert request.free() != 0
        assert into.unregister() != 0
        line.say("not over")
        line.hear("goes on")
        status = request.wait(END_MS)
    else:
        line.say("over")
    assert status in (DISCONNECTED, TIMED_OUT), status
    into.write(b"\xa5" * length)
    line.say("written")
    time.sleep(1)
    assert into.read() == b"\xa5" * length, "the agent wrote into memory of a request that was over"
    assert request.free() == 0
    line.hear("goes on for sure")
    assert client.push("after", b"works again") == OK
    assert client.pull("after", 11) == (OK, b"works again")
    assert client.close() == 0


def test_stopped_agent_writes_nothing_once_the_request_is_over(make_agent, start_client, workers):
    agent = make_agent(backend="dram", workers=workers, memory_mb=128, faults=SLOW)
    child = start_client(agent.address, pull_from_a_stopped_agent, 24 * MIB, 1000)
    child.hear("in the middle")
    agent.send(signal.SIGSTOP)
    stopped = True
    try:
        child.say("stopped")
        kind, heard = child._receive(30)
        assert kind == "said", heard
        if heard == "not over":
            agent.send(signal.SIGCONT)
            stopped = False
            child.say("goes on")
            child.hear("written")
        else:
            assert heard == "over"
            child.hear("written")
            agent.send(signal.SIGCONT)
            stopped = False
        child.say("goes on for sure")
        child.result()
    finally:
        if stopped:
            agent.send(signal.SIGCONT)


# --- requests that are given up ---


def wait_behind_a_slow_request(line):
    client = Client()
    large = client.memory(pattern(6, 16 * MIB))
    small = client.memory(pattern(7, MIB))
    first = client.submit(PUSH, [(large, 0, "large", 0, 16 * MIB)])
    begin = time.monotonic()
    second = client.submit(PUSH, [(small, 0, "small", 0, MIB)], timeout_ms=100)
    assert second.end() == TIMED_OUT
    took = time.monotonic() - begin
    assert first.test() == IN_PROGRESS
    assert first.end() == OK
    assert client.sizes(["large", "small"]) == [16 * MIB, None]
    return took


def test_deadline_behind_a_slow_request(make_agent, run_client, workers):
    agent = make_agent(backend="dram", workers=workers, memory_mb=64, options=["-q", "1"],
                       faults={"SLICE_DELAY": 10000})
    assert run_client(agent.address, wait_behind_a_slow_request) < 1


def cancel_in_the_middle(line):
    client = Client()
    assert client.push("object", b"old") == OK
    memory = client.memory(pattern(8, 32 * MIB))
    entries = [(memory, 0, "object", 0, 8 * MIB)] + [(memory, i * MIB, "new/%d" % i, 0, MIB) for i in range(8, 32)]
    for milliseconds in (0, 10, 50, 120):
        request = client.submit(PUSH, entries)
        time.sleep(milliseconds / 1000)
        request.cancel()
        begin = time.monotonic()
        assert request.end() == CANCELLED
        assert time.monotonic() - begin < 2
        assert client.pull("object", 3) == (OK, b"old")
    assert memory.unregister() == 0
    assert client.push("object", b"new") == OK
    assert client.pull("object", 3) == (OK, b"new")


def test_cancel_in_the_middle_leaves_the_old_object(make_agent, run_client, backend, workers):
    agent = make_agent(backend=backend, workers=workers, memory_mb=128, faults={"SLICE_DELAY": 10000})
    before = gauges(agent)
    run_client(agent.address, cancel_in_the_middle)
    remove(agent, ["object"] + ["new/%d" % i for i in range(32)])
    settles_to(agent, before)


# --- copies that fail ---


def try_until_it_works(line, count, length, allowed):
    client = Client()
    memory = client.memory(length)
    into = client.memory(length)
    failures = 0
    for op in (PUSH, PULL):
        for i in range(count):
            memory.write(pattern(i, length))
            for attempt in range(20):
                status = client.submit(op, [(memory if op == PUSH else into, 0, "o%d" % i, 0, length)]).end()
                if status == OK:
                    break
                assert status in allowed, status
                failures += 1
            assert status == OK
            assert op == PUSH or into.read() == pattern(i, length)
    return failures


@pytest.mark.parametrize("faults, allowed", [
    ({"IO_FAILED": "5,23"}, (DMA_ERROR,)),
    ({"CTX_DROP": "9,31"}, (DMA_ERROR,)),
    ({"SUBMIT_AGAIN": "3,5"}, ()),
    ({"RANDOM_ORDER": 11, "COMPLETE_DELAY": 300}, ()),
    ({"SUBMIT_AGAIN": "2,3", "IO_FAILED": "11,13", "CTX_DROP": "40,53", "RANDOM_ORDER": 3}, (DMA_ERROR,)),
], ids=lambda value: "+".join(value) if isinstance(value, dict) else "")
def test_failing_copies_fail_their_requests_alone(make_agent, run_client, workers, faults, allowed):
    agent = make_agent(backend="dram", workers=workers, memory_mb=128, faults=faults)
    failures = run_client(agent.address, try_until_it_works, 20, MIB // 2 + 5, allowed)
    assert (failures > 0) == bool(allowed)
    values = statistics(agent)
    assert values["bluecache_dma_in_flight_tasks"] == 0
    assert values["bluecache_session_requests"] == 0


# --- agents that drain ---


def push_into_a_drain(line, length):
    client = Client(timeout_ms=5000)
    memory = client.memory(pattern(9, length))
    request = client.submit(PUSH, [(memory, 0, "in flight", 0, length)])
    line.say("in flight")
    status = request.end()
    line.say("ended")
    line.hear("agent is back")
    assert client.push("after", b"works again") == OK
    return status, client.sizes(["in flight"])[0]


@pytest.mark.parametrize("timeout, finishes", [("20s", True), ("100ms", False)])
def test_sigterm_while_busy(make_agent, start_client, workers, timeout, finishes):
    length = 16 * MIB
    agent = make_agent(backend="posix", workers=workers, memory_mb=64, faults={"SLICE_DELAY": 10000},
                       options=["--drain-timeout", timeout])
    child = start_client(agent.address, push_into_a_drain, length)
    child.hear("in flight")
    until(lambda: statistics(agent)["bluecache_dma_in_flight_tasks"] > 0, "no copy is under way")
    begin = time.monotonic()
    agent.stop()  # asserts status 0
    assert time.monotonic() - begin < 10
    child.hear("ended")
    agent.start(faults=False)
    child.say("agent is back")
    status, size = child.result()
    if finishes:
        assert (status, size) == (OK, length)
    else:
        assert status in (DISCONNECTED, CANCELLED) and size is None
    assert files_below(agent.root / "tmp") == []
