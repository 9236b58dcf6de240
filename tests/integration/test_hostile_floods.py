# SPDX-License-Identifier: Apache-2.0
"""Clients that are slow, silent, deaf or too many, and clients that flood. All the while a neighbour pushes and pulls
and is served; afterwards the agent has what it had, and its memory grew by no more than the test says."""

import contextlib
import resource
import select
import socket
import struct
import threading
import time

import pytest

import wire
from bluecache_client import until
from hostile import MIB, answer_to, descriptors_of, greeted, lent_memory, neighbour, resident_kib
from test_faults import gauges, remove, settles_to, statistics

pytestmark = pytest.mark.once

BUSY = 18
QUERY_OF_MANY = wire.keys([b"%d" % i for i in range(20000)])


@contextlib.contextmanager
def unharmed(agent, grows_kib):
    """What the agent has is what it had, and its memory grew by less than `grows_kib`."""
    before, open_before, memory = gauges(agent), descriptors_of(agent.process), resident_kib(agent.process)
    yield
    remove(agent, ["neighbour"])
    settles_to(agent, before)
    until(lambda: descriptors_of(agent.process) <= open_before, "descriptors stay open")
    grown = resident_kib(agent.process) - memory
    assert grown < grows_kib, "the agent grew by %d KiB" % grown


def drop(clients):
    for client in clients:
        client.close()


def until_closed(client, seconds=20):
    """Reads whatever comes, up to the end of the connection."""
    client.sock.settimeout(seconds)
    with contextlib.suppress(ConnectionResetError):
        while client.sock.recv(65536):
            pass


# --- slow ones ---


def test_slow_hello_and_half_open_connections(make_agent, start_client, workers):
    agent = make_agent(backend="dram", workers=workers, memory_mb=64, options=["--hello-timeout", "400ms"])
    hello = wire.frame(wire.HELLO, wire.hello(), request_id=1)
    with unharmed(agent, 16 * 1024), neighbour(agent, start_client):
        silent = [wire.Client(agent.wire_address) for _ in range(20)]
        slow = [wire.Client(agent.wire_address) for _ in range(20)]
        half = [greeted(agent) for _ in range(20)]
        for client in half:
            client.raw(wire.frame(wire.QUERY, QUERY_OF_MANY[:3000], request_id=2)[:1000])
        # A byte now and then buys no time: HELLO has to be whole.
        sent, open_ = 0, list(slow)
        deadline = time.monotonic() + 20
        while open_ and time.monotonic() < deadline and sent < len(hello) - 1:
            for client in list(open_):
                try:
                    client.raw(hello[sent:sent + 1])
                except wire.Closed:
                    open_.remove(client)
            sent += 1
            time.sleep(0.02)
        for client in silent + slow + half:
            until_closed(client)
        drop(silent + slow + half)
    log = agent.log()
    assert "it said no HELLO in time" in log and "it stopped inside a message" in log


def test_messages_in_single_bytes_are_served(make_agent, start_client):
    agent = make_agent(backend="dram", memory_mb=64)
    question = wire.frame(wire.QUERY, wire.keys([b"neighbour", b"nothing"]), request_id=3)
    with unharmed(agent, 8 * 1024), neighbour(agent, start_client):
        clients = [greeted(agent) for _ in range(8)]
        for byte in question:
            for client in clients:
                client.raw(bytes([byte]))
        for client in clients:
            kind, request_id, body = client.receive()
            assert (kind, request_id) == (wire.QUERY_RESULT, 3)
            assert [result[0] for result in wire.query_results(body)][1] == wire.NOT_FOUND
        drop(clients)


def test_deaf_clients_are_held_and_then_closed(make_agent, start_client, workers):
    agent = make_agent(backend="dram", workers=workers, memory_mb=64)
    crc = wire.crc32c(QUERY_OF_MANY)
    questions = b"".join(wire.frame(wire.QUERY, QUERY_OF_MANY, request_id=10 + i, body_crc=crc) for i in range(80))
    with unharmed(agent, workers * 112 * 1024), neighbour(agent, start_client):
        deaf = [greeted(agent) for _ in range(12)]
        memory = resident_kib(agent.process)
        for client in deaf:
            client.sock.setblocking(False)
        sent, idle = [0] * len(deaf), 0
        while idle < 20 and max(sent) < len(questions):
            _, writable, _ = select.select([], [client.sock for client in deaf], [], 0.05)
            idle = 0 if writable else idle + 1
            for index, client in enumerate(deaf):
                with contextlib.suppress(BlockingIOError):
                    while sent[index] < len(questions):
                        sent[index] += client.sock.send(questions[sent[index]:sent[index] + 65536])
        # Each may have a few answers waiting, and no more.
        assert max(sent) < len(questions), "the agent reads on although its answers are not taken"
        # A worker holds 64 MiB of requests before it reads less of who has more than a share of them.
        assert resident_kib(agent.process) - memory < (workers * 112 + 12 * 3) * 1024
        drop(deaf)


# --- too many ---


def test_thousands_of_connections(make_agent, start_client, transport):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    try:
        # Over Comch each is two threads or processes that look every millisecond, whether anything comes or not.
        count = min(3000, min(hard, 8192) - 200) if transport == "tcp" else 200
        limit = count // 2
        agent = make_agent(backend="dram", workers=2, memory_mb=64, options=["--connections-max", str(limit)])
        with unharmed(agent, 64 * 1024), neighbour(agent, start_client):
            clients, answers = [], {wire.HELLO_ACK: 0, wire.ERROR: 0}
            for _ in range(count):
                client = wire.Client(agent.wire_address, timeout=30)
                clients.append(client)
                client.send(wire.HELLO, wire.hello(), request_id=1)
            for client in clients:
                kind, _, body = client.receive()
                answers[kind] += 1
                if kind == wire.ERROR:
                    assert struct.unpack_from("<I", body)[0] == wire.LIMIT and b"connections" in body
                    until_closed(client)
            assert answers[wire.HELLO_ACK] in (limit - 1, limit - 2), answers  # the neighbour; and who asks
            assert answers[wire.ERROR] == count - answers[wire.HELLO_ACK]
            # Those that are in are served, every one.
            served = [client for client in clients if client.sock.fileno() >= 0]
            pongs = 0
            for client in served:
                with contextlib.suppress(wire.Closed):
                    client.send(wire.PING, b"in", request_id=2)
                    pongs += client.receive() == (wire.PONG, 2, b"in")
            assert pongs == answers[wire.HELLO_ACK]
            drop(clients)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_connections_that_come_and_go(make_agent, start_client, workers):
    agent = make_agent(backend="dram", workers=workers, memory_mb=64)
    begin = time.monotonic()
    with unharmed(agent, 16 * 1024), neighbour(agent, start_client):
        for number in range(1500):
            client = wire.Client(agent.wire_address)
            if number % 3 == 1:
                client.send(wire.HELLO, wire.hello(), request_id=1)
            elif number % 3 == 2:
                client.raw(b"GET / HTTP/1.1\r\nHost: agent\r\n\r\n")
            if number % 2:
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
    # The log is none that a client can fill: each place writes 50 lines in 10 s.
    assert len(agent.log()) < 64 * 1024 * (1 + (time.monotonic() - begin) // 10)
    assert statistics(agent)["bluecache_log_suppressed_total"] > 500


# --- floods ---


def test_flood_of_bad_descriptors(make_agent, start_client):
    agent = make_agent(backend="dram", workers=2, memory_mb=64)
    with unharmed(agent, 48 * 1024), neighbour(agent, start_client):
        with greeted(agent) as client:
            for batch in range(12):
                items = [wire.memory(i, b"\xba\xad" * 150, length=MIB) for i in range(1024)]
                answer = answer_to(client, wire.REGISTER, wire.a_list(items), 10 + batch)
                assert wire.statuses(answer) == [wire.BAD_MEMORY] * 1024
    assert len(agent.log()) < 64 * 1024
    assert statistics(agent)["bluecache_log_suppressed_total"] > 10000


def test_flood_of_regions_up_to_the_limit(make_agent, start_client):
    agent = make_agent(backend="dram", workers=2, memory_mb=64, options=["--regions-max", "600"])
    # The emulation lets an export be imported some 60 times; every worker imports a region.
    with unharmed(agent, 48 * 1024), lent_memory(agent, start_client, 65536, 40) as lent, \
            neighbour(agent, start_client):
        def register(client, first, count, request_id):
            items = [wire.memory(i, lent.descriptors[i % 40], length=lent.length) for i in range(first, first + count)]
            return wire.statuses(answer_to(client, wire.REGISTER, wire.a_list(items), request_id))

        for round_number in range(3):
            with greeted(agent) as client:
                assert register(client, 0, 400, 2) == [wire.OK] * 400
                # The rest up to the limit, then over it, then ids that are taken.
                assert register(client, 400, 400, 3) == [wire.OK] * 200 + [wire.LIMIT] * 200
                assert set(register(client, 0, 100, 4)) == {BUSY}
                body = wire.transfer(wire.PULL, [b"neighbour"], [(0, 599, 1, 0, 0, 4096)])
                assert wire.completion(answer_to(client, wire.TRANSFER, body, 5))[0] == wire.OK
                if round_number == 1:
                    names = [struct.pack("<II", i, 1) for i in range(600)]
                    assert wire.statuses(answer_to(client, wire.UNREGISTER, wire.a_list(names), 6)) == [wire.OK] * 600


def test_flood_of_requests_beyond_the_credits(make_agent, start_client, workers):
    agent = make_agent(backend="dram", workers=workers, memory_mb=64, options=["--requests-max", "4"])
    count = 400
    body = wire.keys([b"key-%d" % i for i in range(300)])
    with unharmed(agent, 48 * 1024), neighbour(agent, start_client), greeted(agent) as client:
        flood = b"".join(wire.frame(wire.QUERY, body, request_id=10 + i) for i in range(count))
        sender = threading.Thread(target=client.raw, args=(flood,))
        sender.start()
        answered = {}
        for _ in range(count):
            kind, request_id, answer = client.receive()
            assert kind == wire.QUERY_RESULT and request_id not in answered
            answered[request_id] = {result[0] for result in wire.query_results(answer)}
        sender.join(20)
        assert set(answered) == set(range(10, 10 + count))
        assert all(statuses in ({wire.NOT_FOUND}, {wire.LIMIT}) for statuses in answered.values())
        assert {wire.NOT_FOUND} in answered.values()


def test_duplicate_ids_and_huge_lengths(make_agent, start_client):
    agent = make_agent(backend="dram", memory_mb=64)
    with unharmed(agent, 48 * 1024), neighbour(agent, start_client):
        body = wire.keys([b"k%d" % i for i in range(20000)])
        for _ in range(5):
            with greeted(agent) as client:
                client.raw(wire.frame(wire.QUERY, body, request_id=7) * 3)
                kinds = {client.receive()[0]}
                with contextlib.suppress(wire.Closed):
                    while len(kinds) < 2:
                        kinds.add(client.receive()[0])
                        if kinds == {wire.QUERY_RESULT}:
                            break
                assert kinds <= {wire.QUERY_RESULT, wire.ERROR}
        for length in ((1 << 20) + 1, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1):
            with greeted(agent) as client:
                client.send(wire.QUERY, b"", request_id=3, body_len=length)
                status, _ = client.expect_error_and_close()
                assert status == wire.LIMIT
        # Before HELLO, not even what is allowed later.
        with wire.Client(agent.wire_address) as client:
            client.send(wire.HELLO, b"", request_id=1, body_len=1 << 20)
            assert client.expect_error_and_close()[0] == wire.LIMIT
        # A count that promises more than the body holds.
        for kind in (wire.QUERY, wire.REMOVE, wire.REGISTER, wire.UNREGISTER):
            with greeted(agent) as client:
                client.send(kind, struct.pack("<II", (1 << 32) - 1, 0) + bytes(64), request_id=4)
                assert client.expect_error_and_close()[0] == wire.INVALID


def test_many_half_messages_hold_no_memory(make_agent, start_client, transport):
    """As much of a message as fits, from many: the agent takes a few at a time, and the neighbour is served."""
    agent = make_agent(backend="dram", memory_mb=64, options=["--hello-timeout", "1s"])
    piece = bytes(1 << 20)
    frame = wire.frame(wire.QUERY, piece, request_id=2, flags=wire.FLAG_MORE, body_crc=wire.crc32c(piece))
    # With Comch the agent has the windows of the connections as well, which the kernel has with TCP.
    with unharmed(agent, (64 if transport == "tcp" else 96) * 1024), neighbour(agent, start_client):
        memory = resident_kib(agent.process)
        clients = [greeted(agent) for _ in range(60)]
        peak = 0
        for client in clients:
            client.sock.setblocking(False)
        deadline = time.monotonic() + 3
        left = {client: 4 * len(frame) for client in clients}
        while left and time.monotonic() < deadline:
            _, writable, _ = select.select([], [client.sock for client in left], [], 0.05)
            for client in list(left):
                if client.sock not in writable:
                    continue
                try:
                    at = (4 * len(frame) - left[client]) % len(frame)
                    left[client] -= client.sock.send(frame[at:at + 262144])
                except OSError:
                    left[client] = 0  # its time was over
                if left[client] == 0:
                    del left[client]
            peak = max(peak, resident_kib(agent.process) - memory)
        # 32 places of 4 MiB and what a buffer takes while it grows; all 60 at once would take twice that.
        assert peak < 32 * 10 * 1024, peak
        for client in clients:
            client.close()
