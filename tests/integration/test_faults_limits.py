# SPDX-License-Identifier: Apache-2.0
"""Limits that are reached: space, connections, answers that nobody reads, a client beside a greedy one; and what a
long row of bad clients leaves behind."""

import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

import wire
from bluecache_client import NO_SPACE, OK, PULL, PUSH, Client, until
from nixl_client import pattern
from test_faults import files_below, gauges, remove, settles_to, statistics

MIB = 1 << 20


# --- space ---


def fill_and_recover(line, count, too_large):
    client = Client()
    data = {key: pattern(key, MIB) for key in range(count)}
    memory = client.memory(MIB)
    for key, bytes_ in data.items():
        memory.write(bytes_)
        status = client.submit(PUSH, [(memory, 0, "o%d" % key, 0, MIB)]).end()
        assert status in (OK, NO_SPACE), status
    sizes = client.sizes(["o%d" % key for key in data])
    kept = [key for key, size in zip(data, sizes) if size is not None]
    for key in kept:
        assert client.submit(PULL, [(memory, 0, "o%d" % key, 0, MIB)]).end() == OK
        assert memory.read() == data[key], key
    large = client.memory(too_large)
    assert client.submit(PUSH, [(large, 0, "large", 0, too_large)]).end() == NO_SPACE
    assert client.sizes(["large"]) == [None]
    assert client.push("after", b"works again") == OK
    assert client.pull("after", 11) == (OK, b"works again")
    return len(kept)


def test_capacity_is_a_limit_in_real_bytes(make_agent, run_client, workers):
    capacity = 24 * MIB
    agent = make_agent(backend="posix", workers=workers, memory_mb=32, options=["--capacity", str(capacity)])
    before = gauges(agent)
    # Over two workers the share of each is half, and keys do not spread evenly.
    assert run_client(agent.address, fill_and_recover, 40, 25 * MIB) >= 10
    values = statistics(agent)
    assert values["bluecache_posix_used_bytes"] <= values["bluecache_posix_capacity_bytes"] <= capacity
    assert values["bluecache_posix_evictions_total"] > 0
    assert sum(os.stat(path).st_blocks * 512 for path in files_below(agent.root / "objects")) <= capacity
    settles_to(agent, before)


@contextlib.contextmanager
def small_file_system(path, options):
    """A tmpfs; where this user may not mount one, the test is skipped."""
    path.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def test_full_disk_is_a_status_and_passes(make_agent, run_client, workers, tmp_path):
    with small_file_system(tmp_path / "agent" / "store", "size=20m"):
        # The store may take more than there is: the disk says no first.
        agent = make_agent(backend="posix", workers=workers, memory_mb=32, options=["--capacity", "1G"])
        before = gauges(agent)
        assert run_client(agent.address, fill_and_recover, 30, 40 * MIB) >= 5
        settles_to(agent, before)
        agent.stop()
        agent.start()
        assert files_below(agent.root / "tmp") == []
        run_client(agent.address, fill_and_recover, 30, 40 * MIB)
        agent.stop()


# --- connections ---


def descriptors(agent):
    return len(os.listdir("/proc/%d/fd" % agent.process.pid))


def resident_kib(agent):
    with open("/proc/%d/status" % agent.process.pid, encoding="ascii") as status:
        return next(int(row.split()[1]) for row in status if row.startswith("VmRSS:"))


def test_two_hundred_connections_are_served_at_once(make_agent, workers):
    agent = make_agent(backend="dram", workers=workers, memory_mb=32)
    before = gauges(agent)
    open_before = descriptors(agent)
    clients = [wire.Client(agent.wire_address) for _ in range(200)]
    for client in clients:
        client.send(wire.HELLO, wire.hello(), request_id=1)
    for client in clients:
        assert client.receive()[0] == wire.HELLO_ACK
    for number, client in enumerate(clients):
        client.send(wire.QUERY, wire.keys([b"key-%d" % (number + i) for i in range(20)]), request_id=number)
    for number, client in enumerate(clients):
        kind, request_id, answer = client.receive()
        assert (kind, request_id) == (wire.QUERY_RESULT, number)
        assert len(wire.query_results(answer)) == 20
    assert gauges(agent)["bluecache_session_open"] == 201
    for client in clients:
        client.close()
    settles_to(agent, before)
    until(lambda: descriptors(agent) <= open_before, "descriptors stay open")


def reset(client):
    """Closes with a RST, whatever is on its way."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def test_bad_clients_leave_nothing_behind(make_agent, workers):
    agent = make_agent(backend="dram", workers=workers, memory_mb=32, options=["--hello-timeout", "500ms"])
    before = gauges(agent)
    rng = random.Random(30)

    def misbehave():
        client = wire.Client(agent.wire_address)
        ways = rng.randrange(6)
        client.send(wire.HELLO, wire.hello(), request_id=1)
        if ways == 1:
            client.send(wire.REGISTER, wire.a_list([wire.memory(i, b"x" * 300) for i in range(100)]), request_id=2)
        elif ways == 2:
            client.raw(wire.frame(wire.QUERY, wire.keys([b"key"] * 1000), request_id=2)[:-rng.randrange(1, 900)])
        elif ways == 3:
            client.send(wire.TRANSFER, b"nonsense", request_id=3)
        elif ways == 4:
            entries = [(0, 0, 1, 0, 0, 100)] * 200
            client.send(wire.TRANSFER, wire.transfer(wire.PULL, [b"k"], entries), request_id=4)
        elif ways == 5:
            for request_id in range(2, 30):
                client.send(wire.QUERY, wire.keys([b"key-%d" % i for i in range(100)]), request_id=request_id)
        if rng.randrange(2):
            reset(client)
        else:
            client.close()

    for _ in range(100):
        misbehave()
    settles_to(agent, before)
    warm, open_before = resident_kib(agent), descriptors(agent)
    for _ in range(400):
        misbehave()
    settles_to(agent, before)
    until(lambda: descriptors(agent) <= open_before, "descriptors stay open")
    assert resident_kib(agent) - warm < 8192, "the agent grows with its bad clients"


@pytest.mark.parametrize("transport", ["tcp"])  # a Comch connection has none of its own
def test_connections_without_descriptors_are_told_so(make_agent):
    agent = make_agent(backend="dram", memory_mb=32)
    limit = descriptors(agent) + 10
    import resource

    resource.prlimit(agent.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
    clients = [wire.Client(agent.wire_address) for _ in range(30)]
    answers = []
    for client in clients:
        client.send(wire.HELLO, wire.hello(), request_id=1)
        kind, _, body = client.receive()
        answers.append(kind)
        if kind == wire.ERROR:
            assert struct.unpack_from("<I", body)[0] == wire.LIMIT and b"descriptors" in body
    assert 5 <= answers.count(wire.HELLO_ACK) <= 10 and answers[0] == wire.HELLO_ACK
    assert answers.count(wire.ERROR) == 30 - answers.count(wire.HELLO_ACK)
    served = next(client for client, kind in zip(clients[1:], answers[1:]) if kind == wire.HELLO_ACK)
    for client in clients:
        if client is not served:
            client.close()
    # Who was in is not touched, and there is room again.
    served.send(wire.PING, b"still", request_id=2)
    assert served.receive() == (wire.PONG, 2, b"still")
    until(lambda: descriptors(agent) < limit - 3, "descriptors stay open")
    assert statistics(agent)["bluecache_session_refused_total"] == answers.count(wire.ERROR)
    served.close()


# --- answers ---


def test_answers_that_nobody_reads_wait(make_agent, workers):
    agent = make_agent(backend="dram", workers=workers, memory_mb=32)
    count = 120
    body = wire.keys([b"%d" % i for i in range(20000)])
    question = b"".join(wire.frame(wire.QUERY, body, request_id=10 + i) for i in range(count))
    with wire.Client(agent.wire_address) as slow, wire.Client(agent.wire_address) as other:
        assert slow.greet()[0] == wire.OK and other.greet()[0] == wire.OK
        slow.sock.settimeout(1)
        sent = 0
        with contextlib.suppress(socket.timeout):
            while sent < len(question):
                sent += slow.sock.send(question[sent:sent + 65536])
        assert sent < len(question), "the agent reads on although its answers are not taken"
        memory = resident_kib(agent)
        for i in range(100):
            other.send(wire.PING, b"%d" % i, request_id=i)
            assert other.receive() == (wire.PONG, i, b"%d" % i)
        assert resident_kib(agent) - memory < 65536
        # It reads at last, and sends the rest: nothing was lost.
        slow.sock.settimeout(20)
        rest = threading.Thread(target=slow.raw, args=(question[sent:],))
        rest.start()
        answered = set()
        for _ in range(count):
            kind, request_id, answer = slow.receive()
            assert kind == wire.QUERY_RESULT and len(wire.query_results(answer)) == 20000
            answered.add(request_id)
        rest.join(20)
        assert answered == set(range(10, 10 + count)) and not rest.is_alive()


# --- fairness ---


def push_large(line, length):
    client = Client()
    memory = client.memory(length)
    begin = time.monotonic()
    assert client.submit(PUSH, [(memory, i * MIB, "warm/%d" % i, 0, MIB) for i in range(length // MIB)]).end() == OK
    took = time.monotonic() - begin
    line.say("busy")
    requests = []
    while not line.connection.poll(0):
        requests.append(client.submit(PUSH, [(memory, i * MIB, "large/%d" % i, 0, MIB)
                                             for i in range(length // MIB)]))
        if len(requests) == 4:
            requests.pop(0).end()
    line.hear("enough")
    for request in requests:
        request.end()
    return took


def pull_small(line, count):
    client = Client()
    assert client.push("small", pattern(1, 65536)) == OK
    memory = client.memory(65536)
    line.say("ready")
    line.hear("go")
    times = []
    for _ in range(count):
        begin = time.monotonic()
        assert client.submit(PULL, [(memory, 0, "small", 0, 65536)]).end() == OK
        times.append(time.monotonic() - begin)
    return sorted(times)


def test_small_client_beside_a_greedy_one(make_agent, start_client, backend, workers):
    agent = make_agent(backend=backend, workers=workers, memory_mb=256, options=["-q", "2"],
                       faults={"SLICE_DELAY": 2000})
    small = start_client(agent.address, pull_small, 15)
    small.hear("ready")
    large = start_client(agent.address, push_large, 48 * MIB)
    large.hear("busy")
    time.sleep(0.2)
    small.say("go")
    times = small.result()
    large.say("enough")
    alone = large.result()
    # One large request takes `alone`, and several are always queued: the small one does not stand behind them.
    assert times[len(times) // 2] < alone / 3, (times, alone)
    remove(agent, ["small"])


def test_client_limits_are_of_one_client(make_agent):
    agent = make_agent(backend="dram", memory_mb=32, options=["--requests-max", "1"])
    body = wire.keys([b"key-%d" % i for i in range(3000)])
    with wire.Client(agent.wire_address) as greedy, wire.Client(agent.wire_address) as other:
        assert greedy.greet()[0] == wire.OK and other.greet()[0] == wire.OK
        greedy.raw(b"".join(wire.frame(wire.QUERY, body, request_id=10 + i) for i in range(20)))
        other.send(wire.QUERY, body, request_id=5)
        assert [r[0] for r in wire.query_results(other.receive()[2])] == [wire.NOT_FOUND] * 3000
        statuses = {wire.query_results(greedy.receive()[2])[0][0] for _ in range(20)}
        assert wire.NOT_FOUND in statuses and statuses <= {wire.NOT_FOUND, wire.LIMIT}


def test_agent_survives_signals_that_mean_nothing(make_agent):
    agent = make_agent(backend="dram", memory_mb=32)
    agent.send(signal.SIGPIPE)
    agent.send(signal.SIGSTOP)
    agent.send(signal.SIGCONT)
    with wire.Client(agent.wire_address) as client:
        assert client.greet()[0] == wire.OK
