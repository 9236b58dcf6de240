# SPDX-License-Identifier: Apache-2.0
"""Transfers that are given up while they run. The emulation is told to copy slowly, so that they do run."""

import signal
import time

from nixl_client import END_SECONDS, Client, fails_with, pattern

MIB = 1 << 20
SLOW = {"SLICE_DELAY": 20000}  # microseconds before each slice of a copy


def until(condition, what, seconds=END_SECONDS):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def release_in_flight(line):
    client = Client()
    client.push("object", b"old")
    memory = client.memory(b"n" * (64 * MIB))
    handle = client.prepare("WRITE", [(memory, 0, "object", 0, 64 * MIB)])
    assert client.post(handle) == "PROC"
    begin = time.monotonic()
    try:
        client.nixl.release_xfer_handle(handle)
    except Exception as error:
        assert type(error).__name__ == "nixlRepostActiveError", error
    took = time.monotonic() - begin
    # Pushed whole, or given up whole.
    until(lambda: client.query(["object"]) in ([3], [64 * MIB]), "the object is neither old nor new")
    client.push("other", b"goes on")
    assert client.pull("other", 7) == b"goes on"
    assert client.pull("object", 3) in (b"old", b"nnn")
    client.nixl.release_xfer_handle(handle)
    return took


def test_release_in_flight_does_not_block(make_agent, run_client, backend):
    agent = make_agent(backend=backend, faults=SLOW)
    assert run_client(agent.address, release_in_flight) < 1


def deregister_in_flight(line):
    client = Client()
    memory = client.memory(b"n" * (16 * MIB))
    handle = client.prepare("WRITE", [(memory, 0, "object", 0, 16 * MIB)])
    assert client.post(handle) == "PROC"
    begin = time.monotonic()
    memory.deregister()  # NIXL says yes whatever the plugin answers
    took = time.monotonic() - begin
    client.finish(handle)
    client.nixl.release_xfer_handle(handle)
    assert client.pull("object", 16 * MIB) == b"n" * (16 * MIB)
    return took


def test_memory_in_use_stays_until_the_transfer_ends(make_agent, start_client):
    agent = make_agent(backend="dram", faults=SLOW)
    child = start_client(agent.address, deregister_in_flight)
    assert child.result() < 1
    assert "are deregistered while a transfer uses them" in child.log()


def leave_in_flight(line):
    client = Client()
    memory = client.memory(b"n" * (64 * MIB))
    handle = client.prepare("WRITE", [(memory, 0, "object", 0, 64 * MIB)])
    assert client.post(handle) == "PROC"
    line.say("posted")
    line.hear("go on")


def look(line, key):
    client = Client("another")
    client.push("fresh", b"12345")
    assert client.pull("fresh", 5) == b"12345"
    return client.query([key])[0]


def test_client_killed_in_flight_leaves_no_object(make_agent, start_client, run_client, backend):
    agent = make_agent(backend=backend, faults=SLOW)
    child = start_client(agent.address, leave_in_flight)
    child.hear("posted")
    child.kill()
    assert run_client(agent.address, look, "object") is None


def test_client_that_leaves_in_flight_ends(make_agent, start_client, run_client, backend):
    agent = make_agent(backend=backend, faults=SLOW)
    child = start_client(agent.address, leave_in_flight)
    child.hear("posted")
    child.say("go on")
    child.result()
    assert run_client(agent.address, look, "object") is None


def run_out_of_time(line):
    client = Client(timeout_ms=300)
    client.push("object", b"old")
    memory = client.memory(b"n" * (64 * MIB))
    begin = time.monotonic()
    with fails_with("Backend", "RemoteDisconnect"):
        client.run("WRITE", [(memory, 0, "object", 0, 64 * MIB)])
    took = time.monotonic() - begin
    assert client.pull("object", 3) == b"old"
    return took


def test_transfer_ends_at_its_deadline(make_agent, run_client, backend):
    agent = make_agent(backend=backend, faults=SLOW)
    assert 0.25 < run_client(agent.address, run_out_of_time) < 10


def fail_once(line):
    client = Client()
    with fails_with("Backend"):
        client.push("object", pattern(1, 5 * MIB))
    assert client.query(["object"]) == [None]
    client.push("object", pattern(1, 5 * MIB))
    assert client.pull("object", 5 * MIB) == pattern(1, 5 * MIB)


def test_failed_copy_fails_the_request_alone(make_agent, run_client, backend):
    agent = make_agent(backend=backend, faults={"IO_FAILED": 2})
    run_client(agent.address, fail_once)


def wait_for_a_stopped_agent(line):
    """timeout_ms is much shorter than the stop: nothing may end while the agent can still write."""
    client = Client(timeout_ms=300)
    memory = client.memory(8 * MIB)
    handle = client.prepare("READ", [(memory, 0, "object", 0, 8 * MIB)])
    assert client.post(handle) == "PROC"
    line.say("posted")
    line.hear("stopped")
    for _ in range(200):
        assert client.nixl.check_xfer_state(handle) == "PROC"
        time.sleep(0.01)
    line.say("still waiting")
    line.hear("running again")
    outcome = "DONE"
    try:
        client.finish(handle)
    except Exception as error:
        outcome = type(error).__name__
    after = memory.array.copy()
    client.nixl.release_xfer_handle(handle)
    time.sleep(0.3)
    assert (memory.array == after).all(), "something wrote after the end"
    if outcome == "DONE":
        assert memory.array.tobytes() == pattern(8, 8 * MIB)
    return outcome


def push_one(line, key, seed, size):
    Client("pusher").push(key, pattern(seed, size))


def wait_until_stopped(pid):
    def state():
        with open("/proc/%d/stat" % pid) as stat:
            return stat.read().rsplit(")", 1)[1].split()[0]

    until(lambda: state() == "T", "the agent does not stop")


def test_no_transfer_ends_while_the_agent_is_stopped_inside_a_copy(make_agent, start_client, run_client):
    agent = make_agent(backend="posix", faults={"STOP_IN_COPY": 3})
    agent.stop()
    agent.start(faults=False)
    run_client(agent.address, push_one, "object", 8, 8 * MIB)
    agent.stop()
    agent.start()
    child = start_client(agent.address, wait_for_a_stopped_agent)
    child.hear("posted")
    wait_until_stopped(agent.process.pid)
    child.say("stopped")
    child.hear("still waiting")
    agent.send(signal.SIGCONT)
    child.say("running again")
    assert child.result() in ("DONE", "nixlBackendError", "nixlRemoteDisconnectError", "nixlCancelledError")
