# SPDX-License-Identifier: Apache-2.0
"""The agent against clients that know the protocol, and against clients that break it.

Whatever one connection does, the agent goes on and serves the others: every test ends by asking.
"""

import random
import socket
import struct
import time

import pytest

import wire


@pytest.fixture
def agent(make_agent):
    running = make_agent(backend="dram", memory_mb=64, options=["--hello-timeout", "500ms"])
    yield running
    with wire.Client(running.wire_address) as client:
        assert client.greet()[0] == wire.OK
        client.send(wire.PING, b"alive", request_id=9)
        assert client.receive() == (wire.PONG, 9, b"alive")


def greeted(agent):
    client = wire.Client(agent.wire_address)
    assert client.greet()[0] == wire.OK
    return client


def test_hello_grants_credits(agent):
    with wire.Client(agent.wire_address) as client:
        status, body = client.greet()
        assert status == wire.OK
        version = struct.unpack_from("<H", body, 4)[0]
        requests_max, entries_max = struct.unpack_from("<II", body, 40)
        assert version == wire.VERSION
        assert requests_max > 0 and entries_max >= 4096
        assert body[80:].decode().startswith("dpu_dma_copy ")


@pytest.mark.parametrize("versions", [(2, 9), (7, 7)])
def test_hello_of_another_version_is_refused(agent, versions):
    with wire.Client(agent.wire_address) as client:
        status, _ = client.greet(version_min=versions[0], version_max=versions[1])
        assert status != wire.OK
        with pytest.raises(wire.Closed):
            client.receive()


def test_unknown_tenant_is_refused(agent):
    with wire.Client(agent.wire_address) as client:
        assert client.greet(tenant=7)[0] != wire.OK


def test_nothing_is_served_before_hello(agent):
    with wire.Client(agent.wire_address) as client:
        client.send(wire.PING, b"x", request_id=1)
        status, text = client.expect_error_and_close()
        assert status == wire.INVALID and "order" in text


def test_second_hello_is_out_of_order(agent):
    with greeted(agent) as client:
        client.send(wire.HELLO, wire.hello(), request_id=2)
        client.expect_error_and_close()


@pytest.mark.parametrize("wrong", [
    {"magic": 0xDEADBEEF},
    {"version": 9},
    {"flags": 0x8000},
    {"header_crc": 1},
    {"body_crc": 1},
    {"reserved": 1},
    {"body_len": 1 << 31},
    {"body_len": (1 << 20) + 1},
])
def test_damaged_frame_closes_the_connection(agent, wrong):
    with greeted(agent) as client:
        client.send(wire.PING, b"hello", request_id=3, **wrong)
        with pytest.raises(wire.Closed):
            while True:
                kind, _, _ = client.receive()
                assert kind == wire.ERROR


@pytest.mark.parametrize("kind", [0, wire.HELLO_ACK, wire.COMPLETION, wire.PONG, wire.ERROR, 20, 255])
def test_message_that_is_not_for_an_agent(agent, kind):
    with greeted(agent) as client:
        client.send(kind, b"", request_id=3)
        client.expect_error_and_close()


@pytest.mark.parametrize("kind", [wire.REGISTER, wire.UNREGISTER, wire.TRANSFER, wire.QUERY, wire.REMOVE,
                                  wire.CANCEL])
@pytest.mark.parametrize("body", [b"", b"\0", b"\xff" * 9, b"\xff" * 200])
def test_malformed_body_closes_the_connection(agent, kind, body):
    with greeted(agent) as client:
        client.send(kind, body, request_id=4)
        status, text = client.expect_error_and_close()
        assert status == wire.INVALID and "malformed" in text


def test_silent_connection_is_closed(agent):
    with wire.Client(agent.wire_address) as client:
        started = time.monotonic()
        with pytest.raises(wire.Closed):
            client.receive()
        assert time.monotonic() - started < 8


def test_half_a_message_is_closed_and_an_idle_client_is_not(agent):
    with greeted(agent) as idle, greeted(agent) as half:
        half.raw(wire.frame(wire.PING, b"0123456789", request_id=1)[:20])
        with pytest.raises(wire.Closed):
            half.receive()
        idle.send(wire.PING, b"still here", request_id=2)
        assert idle.receive() == (wire.PONG, 2, b"still here")


def test_message_in_single_bytes(agent):
    with greeted(agent) as client:
        for byte in wire.frame(wire.PING, b"slow", request_id=5):
            client.raw(bytes([byte]))
        assert client.receive() == (wire.PONG, 5, b"slow")


def test_message_in_several_frames(agent):
    names = [b"key-%d" % i for i in range(300)]
    body = wire.keys(names)
    cut = len(body) // 2
    with greeted(agent) as client:
        client.send(wire.QUERY, body[:cut], request_id=6, flags=wire.FLAG_MORE)
        client.send(wire.QUERY, body[cut:], request_id=6)
        kind, request_id, answer = client.receive()
        assert (kind, request_id) == (wire.QUERY_RESULT, 6)
        assert [r[0] for r in wire.query_results(answer)] == [wire.NOT_FOUND] * 300


def test_frames_of_two_messages_may_not_mix(agent):
    with greeted(agent) as client:
        client.send(wire.QUERY, wire.keys([b"a"]), request_id=6, flags=wire.FLAG_MORE)
        client.send(wire.PING, b"x", request_id=7)
        client.expect_error_and_close()


def test_endless_message_is_refused(agent):
    with greeted(agent) as client:
        piece = bytes(1 << 20)
        framed = wire.frame(wire.QUERY, piece, request_id=8, flags=wire.FLAG_MORE, body_crc=wire.crc32c(piece))
        with pytest.raises(wire.Closed):
            for _ in range(12):
                client.raw(framed)
            while True:
                kind, _, _ = client.receive()
                assert kind == wire.ERROR


def test_long_ping_is_refused(agent):
    with greeted(agent) as client:
        client.send(wire.PING, bytes(65), request_id=1)
        client.expect_error_and_close()


def test_garbage_descriptor_is_a_status(agent):
    rng = random.Random(20)
    items = [wire.memory(i, bytes(rng.randrange(256) for _ in range(rng.randrange(1, 600))))
             for i in range(20)]
    with greeted(agent) as client:
        client.send(wire.REGISTER, wire.a_list(items), request_id=2)
        kind, request_id, body = client.receive()
        assert (kind, request_id) == (wire.REGISTER_ACK, 2)
        assert wire.statuses(body) == [wire.BAD_MEMORY] * 20
        client.send(wire.REGISTER, wire.a_list([wire.memory(1 << 30, b"x")]), request_id=3)
        assert wire.statuses(client.receive()[2]) == [wire.LIMIT]


def test_unknown_memory_is_a_status_of_the_entry(agent):
    with greeted(agent) as client:
        client.send(wire.UNREGISTER, wire.a_list([struct.pack("<II", 5, 1)]), request_id=2)
        assert wire.statuses(client.receive()[2]) == [wire.BAD_MEMORY]
        body = wire.transfer(wire.PUSH, [b"k"], [(0, 5, 1, 0, 0, 100)], sizes=[100])
        client.send(wire.TRANSFER, body, request_id=3)
        kind, request_id, answer = client.receive()
        assert (kind, request_id) == (wire.COMPLETION, 3)
        assert wire.completion(answer)[0] == wire.BAD_MEMORY


@pytest.mark.parametrize("offsets", [
    (1 << 63, 0, 1 << 63),
    (0, (1 << 64) - 1, 2),
    ((1 << 64) - 1, 0, 2),
    ((1 << 64) - 1, (1 << 64) - 1, (1 << 64) - 1),
])
def test_ends_of_64_bits(agent, offsets):
    memory_offset, object_offset, length = offsets
    with greeted(agent) as client:
        body = wire.transfer(wire.PULL, [b"k"], [(0, 0, 1, memory_offset, object_offset, length)])
        client.send(wire.TRANSFER, body, request_id=3)
        kind, _, answer = client.receive()
        assert kind in (wire.COMPLETION, wire.ERROR)
        assert struct.unpack_from("<I", answer)[0] != wire.OK


def test_too_many_entries_is_limit(agent):
    with greeted(agent) as client:
        entries = [(0, 0, 1, 0, 0, 1)] * 20000
        client.send(wire.TRANSFER, wire.transfer(wire.PULL, [b"k"], entries), request_id=3)
        kind, _, answer = client.receive()
        assert kind == wire.COMPLETION and wire.completion(answer)[0] == wire.LIMIT


def test_request_id_in_flight_may_not_be_used_again(agent):
    names = [b"key-%d" % i for i in range(20000)]
    with greeted(agent) as client:
        client.raw(wire.frame(wire.QUERY, wire.keys(names), request_id=7) * 2)
        kinds = {client.receive()[0]}
        if wire.ERROR not in kinds:
            # Answered before the second was read: its id was free again.
            kinds.add(client.receive()[0])
        assert kinds <= {wire.QUERY_RESULT, wire.ERROR}


def test_keys_of_bad_length_have_their_own_status(agent):
    with greeted(agent) as client:
        client.send(wire.QUERY, wire.keys([b"", b"x" * 1024, b"x" * 1025, b"x" * 65535]), request_id=3)
        results = [r[0] for r in wire.query_results(client.receive()[2])]
        assert results == [wire.KEY_TOO_LONG, wire.NOT_FOUND, wire.KEY_TOO_LONG, wire.KEY_TOO_LONG]
        client.send(wire.REMOVE, wire.keys([b"", b"x"]), request_id=4)
        assert wire.statuses(client.receive()[2]) == [wire.KEY_TOO_LONG, wire.NOT_FOUND]


def test_cancel_of_nothing_is_silent(agent):
    with greeted(agent) as client:
        client.send(wire.CANCEL, struct.pack("<Q", 12345), request_id=2)
        client.send(wire.PING, b"next", request_id=3)
        assert client.receive() == (wire.PONG, 3, b"next")


def test_statistics_count(agent):
    with greeted(agent) as client:
        client.send(wire.QUERY, wire.keys([b"a"]), request_id=2)
        client.receive()
        client.send(wire.STATS, b"", request_id=3)
        kind, _, body = client.receive()
        values = wire.stats(body)
        assert kind == wire.STATS_RESULT
        assert values["bluecache_session_queries_total"] == 1
        assert values["bluecache_session_open"] >= 1


def test_goodbye_closes(agent):
    with greeted(agent) as client:
        client.send(wire.GOODBYE)
        with pytest.raises(wire.Closed):
            client.receive()


def test_random_bytes_and_mutated_frames(agent):
    seed = 4711
    print("seed", seed)
    rng = random.Random(seed)
    valid = [
        wire.frame(wire.HELLO, wire.hello(), 1),
        wire.frame(wire.QUERY, wire.keys([b"a", b"b"]), 2),
        wire.frame(wire.REGISTER, wire.a_list([wire.memory(0, b"d" * 40)]), 3),
        wire.frame(wire.TRANSFER, wire.transfer(wire.PUSH, [b"k"], [(0, 0, 1, 0, 0, 10)], [10]), 4),
        wire.frame(wire.PING, b"p", 5),
    ]
    for _ in range(150):
        with wire.Client(agent.wire_address) as client:
            stream = bytearray(b"".join(valid[:rng.randrange(1, len(valid) + 1)]))
            for _ in range(rng.randrange(0, 4)):
                stream[rng.randrange(len(stream))] = rng.randrange(256)
            try:
                client.raw(bytes(stream))
                client.sock.shutdown(socket.SHUT_WR)
                while True:
                    client.receive()
            except wire.Closed:
                pass


def test_connections_over_the_limit_are_refused_and_others_served(make_agent):
    agent = make_agent(backend="dram", memory_mb=64, options=["--connections-max", "8"])
    clients = [greeted(agent) for _ in range(8)]
    with wire.Client(agent.wire_address) as extra:
        status, text = extra.expect_error_and_close()
        assert status == wire.LIMIT and "limit" in text
    for number, client in enumerate(clients):
        client.send(wire.PING, b"%d" % number, request_id=2)
        assert client.receive() == (wire.PONG, 2, b"%d" % number)
        client.close()


def test_requests_over_the_credits_are_limited(make_agent):
    agent = make_agent(backend="dram", memory_mb=64, options=["--requests-max", "2"])
    with greeted(agent) as client:
        body = wire.keys([b"key-%d" % i for i in range(2000)])
        client.raw(b"".join(wire.frame(wire.QUERY, body, request_id=10 + i) for i in range(6)))
        answers = {}
        for _ in range(6):
            kind, request_id, answer = client.receive()
            assert kind == wire.QUERY_RESULT
            answers[request_id] = wire.query_results(answer)[0][0]
        assert set(answers.values()) <= {wire.NOT_FOUND, wire.LIMIT}
        assert list(answers.values()).count(wire.NOT_FOUND) >= 2
