# SPDX-License-Identifier: Apache-2.0
"""Keys of any bytes and of any length, and numbers at the ends of 64 bits: a status for each, the connection lives,
and the bytes are those that were pushed. Over a connection of wire.py and through libbluecache."""

import ctypes
import struct

import pytest

import wire
from bluecache_client import KEY_TOO_LONG, OK, PULL, PUSH, Client
from hostile import MIB, answer_to, greeted, lent_memory

pytestmark = pytest.mark.once

ENDS = [0, 1, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 4096, (1 << 64) - 1]
SLOT = 64


def strange_keys():
    keys = [bytes([value]) for value in range(256)]
    keys += [b"a\0b", b"a\0c", b"\0\0", b"\0\0\0", b"../../../etc/passwd", b"//", b"..", b"%s%n%x"]
    keys += [b"x" * 1024, b"x" * 1023, b"\0" * 1024, bytes(range(256)) * 4, b"\xff" * 1024]
    assert len(set(keys)) == len(keys)
    return keys


# --- keys ---


def push_strange_keys(line):
    client = Client()
    keys = strange_keys()
    memory = client.memory(SLOT * len(keys))
    data = b"".join((b"value %d " % index * 20)[:SLOT] for index in range(len(keys)))
    memory.write(data)
    request = client.submit(PUSH, [(memory, SLOT * i, key, 0, SLOT) for i, key in enumerate(keys)])
    assert request.end() == OK
    memory.write(bytes(len(data)))
    assert client.submit(PULL, [(memory, SLOT * i, key, 0, SLOT) for i, key in enumerate(keys)]).end() == OK
    assert memory.read(0, len(data)) == data
    return data


def test_keys_of_any_bytes_name_what_was_pushed(make_agent, run_client, backend, workers):
    agent = make_agent(backend=backend, workers=workers, memory_mb=64)
    data = run_client(agent.address, push_strange_keys)
    assert len(data) == SLOT * len(strange_keys())
    keys = strange_keys()
    with greeted(agent) as client:
        results = wire.query_results(answer_to(client, wire.QUERY, wire.keys(keys), 2))
        assert [(status, size) for status, _, size, _ in results] == [(wire.OK, SLOT)] * len(keys)
        absent = [b"a\0", b"a\0b\0", b"\0\0\0\0", b"x" * 1022, b"\xff" * 1023, b"ab"]
        results = wire.query_results(answer_to(client, wire.QUERY, wire.keys(absent), 3))
        assert [result[0] for result in results] == [wire.NOT_FOUND] * len(absent)
        # One goes; the ones that look like it stay.
        assert wire.statuses(answer_to(client, wire.REMOVE, wire.keys([b"a\0b"]), 4)) == [wire.OK]
        results = wire.query_results(answer_to(client, wire.QUERY, wire.keys([b"a\0b", b"a\0c", b"a"]), 5))
        assert [result[0] for result in results] == [wire.NOT_FOUND, wire.OK, wire.OK]
    if backend == "posix":
        names = [path.name for path in agent.folder.rglob("*")]
        assert not any("passwd" in name or "\0" in name for name in names)


def submit_raw(client, op, memory, key, length=SLOT, memory_offset=0, object_offset=0):
    """(errno, status): what bc_submit says, then the request."""
    from bluecache_client import _Entry, _Submit

    array = (_Entry * 1)()
    array[0].memory, array[0].memory_offset, array[0].key, array[0].key_len = memory.handle, memory_offset, key, len(key)
    array[0].object_offset, array[0].length = object_offset, length
    handle = ctypes.c_void_p()
    rc = client.library.bc_submit(client.handle, op, array, 1, ctypes.byref(_Submit()), ctypes.byref(handle))
    if rc != 0:
        return rc, None
    status = client.library.bc_request_wait(handle.value, 20000)
    assert client.library.bc_request_free(handle.value) == 0
    return 0, status


def push_long_keys(line):
    client = Client()
    memory = client.memory(MIB)
    answers = [submit_raw(client, op, memory, b"k" * length)
               for op in (PUSH, PULL) for length in (0, 1025, 65535, 65536, 1 << 20)]
    assert client.push(b"k" * 1024, b"fits") == OK
    assert client.pull(b"k" * 1024, 4) == (OK, b"fits")
    return answers


def test_keys_of_64_kib_have_their_own_status(make_agent, run_client):
    agent = make_agent(backend="dram", memory_mb=64)
    for rc, status in run_client(agent.address, push_long_keys):
        assert (rc, status) == (0, KEY_TOO_LONG) or rc < 0, (rc, status)
    with greeted(agent) as client:
        long = [b"", b"k" * 1025, b"k" * 65535]
        sizes = [4] * len(long)
        for request, op in ((2, wire.PUSH), (3, wire.PULL)):
            body = wire.transfer(op, long, [(i, 0, 1, 0, 0, 4) for i in range(len(long))],
                                 sizes if op == wire.PUSH else None)
            assert wire.completion(answer_to(client, wire.TRANSFER, body, request))[0] == wire.KEY_TOO_LONG
        results = wire.query_results(answer_to(client, wire.QUERY, wire.keys(long), 4))
        assert [result[0] for result in results] == [wire.KEY_TOO_LONG] * len(long)
        assert wire.statuses(answer_to(client, wire.REMOVE, wire.keys(long), 5)) == [wire.KEY_TOO_LONG] * len(long)
        client.send(wire.PING, b"lives", request_id=6)
        assert client.receive() == (wire.PONG, 6, b"lives")


# --- the ends of 64 bits ---


def statuses_of(agent, lent, op, numbers):
    """One connection a transfer: (status, or None when it was closed as malformed)."""
    memory_offset, object_offset, length, size = numbers
    with greeted(agent) as client:
        registered = answer_to(client, wire.REGISTER, wire.a_list([wire.memory(0, lent.descriptor, length=lent.length)]), 2)
        assert wire.statuses(registered) == [wire.OK]
        body = wire.transfer(op, [b"ends"], [(0, 0, 1, memory_offset, object_offset, length)],
                             [size] if op == wire.PUSH else None)
        client.send(wire.TRANSFER, body, request_id=3)
        kind, _, answer = client.receive()
        status = struct.unpack_from("<I", answer)[0]
        assert kind in (wire.COMPLETION, wire.ERROR)
        if kind == wire.ERROR:
            assert status == wire.INVALID
            return None
        client.send(wire.PING, b"lives", request_id=4)
        assert client.receive() == (wire.PONG, 4, b"lives")
        return status


def test_transfers_at_the_ends_of_64_bits(make_agent, start_client):
    agent = make_agent(backend="dram", memory_mb=64)
    with lent_memory(agent, start_client) as lent:
        pushes = [(memory, at, length, size) for memory in ENDS for at in (0, ENDS[-1]) for length in ENDS[1:]
                  for size in (length, 0)]
        pulls = [(memory, at, length, 0) for memory in ENDS for at in ENDS for length in ENDS[1:]]
        for numbers in pushes:
            status = statuses_of(agent, lent, wire.PUSH, numbers)
            small = numbers[0] <= 1 and numbers[1] == 0 and numbers[2] == numbers[3] == 1
            assert (status == wire.OK) == small, (numbers, status)
        for numbers in pulls:
            status = statuses_of(agent, lent, wire.PULL, numbers)
            inside = numbers[0] <= 1 and numbers[1] == 0 and numbers[2] == 1
            assert (status == wire.OK) == inside, (numbers, status)
    assert len(lent.memory) == 4 * MIB


def test_registrations_at_the_ends_of_64_bits(make_agent, start_client):
    agent = make_agent(backend="dram", memory_mb=64)
    with lent_memory(agent, start_client) as lent:
        with greeted(agent) as client:
            lengths = [0, lent.length + (1 << 22), *ENDS[2:]]
            items = [wire.memory(i, lent.descriptor, length=length) for i, length in enumerate(lengths)]
            answer = wire.statuses(answer_to(client, wire.REGISTER, wire.a_list(items), 2))
            assert answer == [wire.BAD_MEMORY] * len(items)
            ids = [1 << 16, (1 << 31), (1 << 32) - 1]
            items = [wire.memory(i, lent.descriptor, length=1) for i in ids]
            answer = wire.statuses(answer_to(client, wire.REGISTER, wire.a_list(items), 3))
            assert answer == [wire.LIMIT] * len(items)
            names = [struct.pack("<II", i, generation) for i in (0, *ids) for generation in (1, (1 << 32) - 1)]
            answer = wire.statuses(answer_to(client, wire.UNREGISTER, wire.a_list(names), 4))
            assert answer == [wire.BAD_MEMORY] * len(names)


def submit_at_the_ends(line):
    client = Client()
    memory = client.memory(MIB)
    assert client.push("ends", b"0123456789") == OK
    answers = []
    for op in (PULL, PUSH):
        for memory_offset in ENDS:
            for object_offset in ENDS:
                for length in ENDS[1:]:
                    got = submit_raw(client, op, memory, b"ends", length, memory_offset, object_offset)
                    answers.append(((op, memory_offset, object_offset, length), got))
    after = client.pull("ends", 1)
    lengths = [client.library.bc_memory_register(client.handle, memory.address, length, 0, 0,
                                                 ctypes.byref(ctypes.c_void_p())) for length in (0, *ENDS[4:])]
    return answers, after, lengths


def test_libbluecache_at_the_ends_of_64_bits(make_agent, run_client):
    agent = make_agent(backend="dram", memory_mb=64)
    answers, (status, _), registered = run_client(agent.address, submit_at_the_ends)
    for (op, memory_offset, object_offset, length), (rc, ended) in answers:
        fits = memory_offset <= 1 and object_offset <= (op == PULL) and length == 1
        assert (rc, ended) == (0, OK) if fits else rc < 0 or ended not in (OK, None), \
            (op, memory_offset, object_offset, length, rc, ended)
    assert status == OK
    assert all(rc < 0 for rc in registered), registered
