# SPDX-License-Identifier: Apache-2.0
"""Agents that end, with and without warning: what was stored is there again, what was in flight fails, and a live
client goes on by itself."""

import time

import pytest

from nixl_client import END_SECONDS, Client, fails_with, pattern

MIB = 1 << 20
COUNT = 40


def size_of(i):
    return 1 + i * 9973


def store(line):
    client = Client()
    for i in range(COUNT):
        client.push("kept/%d" % i, pattern(i, size_of(i)))


def find(line):
    client = Client()
    assert client.query(["kept/%d" % i for i in range(COUNT)]) == [size_of(i) for i in range(COUNT)]
    for i in range(COUNT):
        assert client.pull("kept/%d" % i, size_of(i)) == pattern(i, size_of(i))


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_objects_outlive_the_agent(make_agent, run_client, end):
    agent = make_agent(backend="posix")
    run_client(agent.address, store)
    getattr(agent, end)()
    agent.start()
    run_client(agent.address, find)


@pytest.mark.parametrize("before, after", [(1, 2), (2, 1)])
def test_any_number_of_workers_finds_the_objects(make_agent, run_client, before, after):
    agent = make_agent(backend="posix", workers=before)
    run_client(agent.address, store)
    agent.stop()
    agent.command[agent.command.index("--workers") + 1] = str(after)
    agent.start()
    run_client(agent.address, find)


def live_through_a_restart(line, kept):
    client = Client()
    memory = client.memory(pattern(7, 64 * MIB))
    small = client.memory(pattern(8, 100000))
    client.run("WRITE", [(small, 0, "before", 0, 100000)])
    handle = client.prepare("WRITE", [(memory, 0, "in flight", 0, 64 * MIB)])
    assert client.post(handle) == "PROC"
    line.say("in flight")
    line.hear("gone")
    with fails_with("RemoteDisconnect", "Cancelled"):
        client.finish(handle)
    client.nixl.release_xfer_handle(handle)
    line.say("failed")
    line.hear("back")
    # No call but the transfers themselves, on memory registered in the agent's earlier life.
    small.array[:] = 0
    if kept:
        client.run("READ", [(small, 0, "before", 0, 100000)])
        assert small.array.tobytes() == pattern(8, 100000)
    else:
        with fails_with("NotFound"):
            client.run("READ", [(small, 0, "before", 0, 100000)])
    assert client.query(["in flight"]) == [None]
    client.run("WRITE", [(memory, 0, "after", 0, 64 * MIB)])
    memory.array[:] = 0
    client.run("READ", [(memory, 0, "after", 0, 64 * MIB)])
    assert memory.array.tobytes() == pattern(7, 64 * MIB)


@pytest.mark.parametrize("backend, end", [("posix", "stop"), ("posix", "kill"), ("dram", "kill")])
def test_client_goes_on_after_the_agents_restart(make_agent, start_client, backend, end):
    agent = make_agent(backend=backend, faults={"SLICE_DELAY": 20000}, options=["--drain-timeout", "200ms"])
    child = start_client(agent.address, live_through_a_restart, backend == "posix")
    child.hear("in flight")
    getattr(agent, end)()
    child.say("gone")
    child.hear("failed")
    agent.start(faults=False)
    child.say("back")
    child.result()


def post_while_away(line):
    client = Client()
    memory = client.memory(pattern(7, MIB))
    client.run("WRITE", [(memory, 0, "object", 0, MIB)])
    line.say("pushed")
    line.hear("gone")
    memory.array[:] = 0
    handle = client.prepare("READ", [(memory, 0, "object", 0, MIB)])

    def waits():
        return client.post(handle) == "PROC" and all(
            client.nixl.check_xfer_state(handle) == "PROC" and not time.sleep(0.01) for _ in range(20))

    try:
        assert waits()
    except Exception as error:
        # It went out before the loss was noticed, so it was in flight; the next one is not.
        assert type(error).__name__ == "nixlRemoteDisconnectError", error
        assert waits()
    line.say("waiting")
    line.hear("back")
    client.finish(handle)
    assert memory.array.tobytes() == pattern(7, MIB)
    client.nixl.release_xfer_handle(handle)


def test_transfer_posted_while_the_agent_is_away_waits_for_it(make_agent, start_client):
    agent = make_agent(backend="posix")
    child = start_client(agent.address, post_while_away)
    child.hear("pushed")
    agent.stop()
    child.say("gone")
    child.hear("waiting")
    agent.start()
    child.say("back")
    child.result()


def give_up_on_a_lost_agent(line):
    client = Client(timeout_ms=500)
    memory = client.memory(4096)
    line.say("open")
    line.hear("gone")
    begin = time.monotonic()
    with fails_with("RemoteDisconnect", "Backend"):
        client.run("WRITE", [(memory, 0, "object", 0, 4096)])
    with fails_with("RemoteDisconnect", "Backend"):
        client.query(["object"])
    memory.deregister()
    return time.monotonic() - begin


def test_lost_agent_is_told_within_the_timeout(make_agent, start_client):
    agent = make_agent(backend="dram")
    child = start_client(agent.address, give_up_on_a_lost_agent)
    child.hear("open")
    agent.stop()
    child.say("gone")
    assert child.result() < 10


def do_not_wait_for_a_lost_agent(line):
    client = Client(timeout_ms=60000, away_ms=0)
    memory = client.memory(4096)
    client.run("WRITE", [(memory, 0, "object", 0, 4096)])
    line.say("open")
    line.hear("gone")
    begin = time.monotonic()
    while client_sees(client):
        assert time.monotonic() - begin < 20
    begin = time.monotonic()
    with fails_with("RemoteDisconnect"):
        client.run("WRITE", [(memory, 0, "object", 0, 4096)])
    with fails_with("RemoteDisconnect"):
        client.query(["object"])
    line.say("told")
    line.hear("back")
    spent = time.monotonic() - begin
    while not client_sees(client):
        assert time.monotonic() - begin < 60
        time.sleep(0.01)
    memory.deregister()
    return spent


def client_sees(client):
    """Whether the object is found; the agent may be away."""
    try:
        return client.query(["object"]) == [4096]
    except Exception:
        return False


def test_lost_agent_is_not_waited_for(make_agent, start_client):
    agent = make_agent(backend="posix")
    child = start_client(agent.address, do_not_wait_for_a_lost_agent)
    child.hear("open")
    agent.stop()
    child.say("gone")
    child.hear("told")
    agent.start()
    child.say("back")
    assert child.result() < 30  # far less than timeout_ms


def push_until_it_fails(line, size):
    """Versions of a few objects, until the agent dies: the last version of each that was answered."""
    client = Client(timeout_ms=5000)
    answered = {}
    line.say("begin")
    try:
        for version in range(1, 100000):
            key = "o%d" % (version % 5)
            client.push(key, pattern(version, size))
            answered[key] = version
    except Exception as error:
        return answered, type(error).__name__


def compare(line, answered, size):
    client = Client()
    newest = max(answered.values(), default=0)
    for key in ("o%d" % i for i in range(5)):
        if client.query([key]) == [None]:
            assert key not in answered, "%s was stored and is gone" % key
            continue
        data = client.pull(key, size)
        # What was answered, or the one push that was not answered any more.
        allowed = [version for version in (answered.get(key), newest + 1) if version is not None]
        assert data in [pattern(version, size) for version in allowed], key


@pytest.mark.parametrize("slices", [3, 40, 171])
def test_agent_killed_inside_a_copy_restarts_clean(make_agent, start_client, run_client, slices):
    size = 700001
    agent = make_agent(backend="posix", faults={"CRASH_IN_COPY": slices})
    child = start_client(agent.address, push_until_it_fails, size)
    child.hear("begin")
    assert agent.wait_dead() == -9
    answered, error = child.result()
    assert error in ("nixlRemoteDisconnectError", "nixlBackendError"), error
    agent.start(faults=False)
    run_client(agent.address, compare, answered, size)


@pytest.mark.parametrize("seconds", [0.05, 0.3, 0.7])
def test_agent_killed_at_any_moment_restarts_clean(make_agent, start_client, run_client, seconds):
    size = 300007
    agent = make_agent(backend="posix", workers=2)
    child = start_client(agent.address, push_until_it_fails, size)
    child.hear("begin")
    time.sleep(seconds)
    agent.kill()
    answered, error = child.result()
    assert error in ("nixlRemoteDisconnectError", "nixlBackendError"), error
    agent.start()
    run_client(agent.address, compare, answered, size)
    agent.stop()
    agent.start()
    run_client(agent.address, compare, answered, size)


def end_with_the_agent_gone(line):
    client = Client(timeout_ms=1000)
    memory = client.memory(4096)
    line.say("open")
    line.hear("gone")
    memory.deregister()
    return END_SECONDS


def test_client_ends_while_the_agent_is_away(make_agent, start_client):
    agent = make_agent(backend="dram")
    child = start_client(agent.address, end_with_the_agent_gone)
    child.hear("open")
    agent.kill()
    child.say("gone")
    child.result(20)
