# SPDX-License-Identifier: Apache-2.0
"""Clients that speak the protocol correctly until they do not, by a seed, against an agent as it is: an AddressSanitizer
build of it where there is one. A seed is a few connections that take turns; their messages are right but for what the
seed says: a number at an end of its range, a body too short or too long, an id that was used or never given, a message
out of order, a stop at any byte, a connection that drops. Every question is answered at most once, of a connection
that lives exactly once; a neighbour is served; afterwards the agent has what it had.

More: pytest tests/integration/test_hostile_seeds.py --hostile-seeds 5000 (or BLUECACHE_HOSTILE_SEEDS).
BLUECACHE_HOSTILE_BUILD: the build directory whose agent is taken; without it build/asan, if it is there."""

import contextlib
import os
import pathlib
import random
import struct

import pytest

import agent as agent_module
import wire
from bluecache_client import until
from hostile import descriptors_of, lent_memory, neighbour
from test_faults import gauges, remove, settles_to

pytestmark = pytest.mark.once

SEEDS_OF_EVERY_RUN = 300
FIRST_SEED = 20240917
STEPS = 30
REGIONS = 8
ENDS = [0, 1, 2, 255, 4095, 4096, 65535, 65536, (1 << 20) + 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32,
        1 << 63, (1 << 64) - 4096, (1 << 64) - 1]
ANSWERED = {wire.HELLO, wire.REGISTER, wire.UNREGISTER, wire.TRANSFER, wire.QUERY, wire.REMOVE, wire.PING, wire.STATS}


class Hostile:
    """One connection, and what it asked."""

    def __init__(self, agent, lent, rng):
        self.rng = rng
        self.lent = lent
        self.client = wire.Client(agent.wire_address, timeout=20)
        self.asked = {}
        self.next_id = 2
        self.unsure = False  # what it sent was harmed: not every question may be answered
        self.over = False    # it said goodbye, was closed, or dropped
        if rng.random() < 0.95:
            self.ask(wire.HELLO, wire.hello(), 1)

    # --- what it says ---

    def mostly(self, usual):
        return self.rng.choice(ENDS) if self.rng.random() < 0.06 else usual

    def key(self):
        kind = self.rng.random()
        if kind < 0.9:
            return b"h%d" % self.rng.randrange(8)
        if kind < 0.95:
            return bytes(self.rng.randrange(256) for _ in range(self.rng.randrange(1, 30)))
        return b"k" * self.rng.choice([0, 1024, 1025, 65535])

    def body(self, kind):
        rng = self.rng
        if kind == wire.REGISTER:
            return wire.a_list([wire.memory(
                self.mostly(rng.randrange(REGIONS)) % (1 << 32), self.descriptor(), generation=rng.choice([1, 1, 2]),
                kind=self.mostly(1) % 256, access=rng.choice([3, 3, 3, 1, 2, 0]), length=self.mostly(self.lent.length))
                for _ in range(rng.randrange(1, 4))])
        if kind == wire.UNREGISTER:
            return wire.a_list([struct.pack("<II", self.mostly(rng.randrange(REGIONS)) % (1 << 32), 1)
                                for _ in range(rng.randrange(1, 4))])
        if kind == wire.TRANSFER:
            return self.transfer()
        if kind in (wire.QUERY, wire.REMOVE):
            return wire.keys([self.key() for _ in range(rng.randrange(6))])
        if kind == wire.CANCEL:
            return struct.pack("<Q", self.mostly(max(self.next_id - rng.randrange(1, 6), 0)))
        if kind == wire.PING:
            return bytes(rng.choice([0, 1, 64, 64, 65]))
        if kind == wire.HELLO:
            return wire.hello(version_min=self.mostly(1) % 65536, tenant=self.mostly(0) % (1 << 32))
        return b""

    def descriptor(self):
        data = self.lent.descriptor
        if self.rng.random() < 0.2:
            data = bytearray(data)
            data[self.rng.randrange(len(data))] ^= 1 << self.rng.randrange(8)
            data = bytes(data[:self.rng.randrange(1, len(data) + 1)])
        return data

    def transfer(self):
        rng = self.rng
        op = rng.choice([wire.PUSH, wire.PULL])
        names = [self.key() for _ in range(rng.randrange(1, 4))]
        sizes, entries, memory_at = [0] * len(names), [], 0
        for number in range(rng.randrange(1, 8)):
            index = number % len(names)
            length = rng.choice([0, 1, 100, 4096, 65536, 65537, 300000])
            entries.append((index, self.mostly(rng.randrange(REGIONS)) % (1 << 32), 1, self.mostly(memory_at),
                            self.mostly(sizes[index]), self.mostly(length)))
            sizes[index] += length
            memory_at += length
        sizes = [self.mostly(size) if op == wire.PUSH else 0 for size in sizes]
        return wire.transfer(op, names, entries, sizes, deadline_ms=rng.choice([0, 0, 0, 1, 1000, (1 << 32) - 1]))

    def ask(self, kind, body, request_id, **wrong):
        if kind in ANSWERED:
            self.asked[kind, request_id] = self.asked.get((kind, request_id), 0) + 1
        self.send(wire.frame(kind, body, request_id, **wrong))

    def send(self, data):
        try:
            self.client.raw(data)
        except wire.Closed:
            self.over = True

    def step(self):
        rng = self.rng
        kind = rng.choice([wire.REGISTER, wire.TRANSFER, wire.TRANSFER, wire.TRANSFER, wire.QUERY, wire.REMOVE,
                           wire.CANCEL, wire.UNREGISTER, wire.PING, wire.STATS])
        body = self.body(kind)
        if rng.random() < 0.08:
            request_id = self.mostly(rng.randrange(max(self.next_id, 1)))
        else:
            request_id, self.next_id = self.next_id, self.next_id + 1
        harm = rng.randrange(80)
        if harm == 0:
            body = body[:rng.randrange(len(body) + 1)]
        elif harm == 1:
            body += bytes(rng.randrange(1, 40))
        elif harm == 2 and len(body) >= 8:
            at = rng.randrange(len(body) - 7)
            body = body[:at] + struct.pack("<Q", rng.choice(ENDS)) + body[at + 8:]
        elif harm == 3:
            self.unsure = True
            field = rng.choice(["magic", "version", "flags", "reserved", "body_crc", "header_crc", "body_len"])
            self.ask(kind, body, request_id, **{field: rng.choice([1, 2, 255])})
            return
        elif harm in (4, 5, 6):
            data = wire.frame(kind, body, request_id)
            cut = rng.randrange(len(data))
            if harm == 4:  # in two parts
                self.asked[kind, request_id] = self.asked.get((kind, request_id), 0) + (kind in ANSWERED)
                self.send(data[:cut])
                self.send(data[cut:])
            else:  # and it is never whole
                self.unsure = True
                self.send(data[:cut])
                self.over = harm == 5
            return
        elif harm == 7:
            kind = rng.choice([wire.HELLO, wire.GOODBYE, wire.PONG, wire.ERROR, rng.randrange(256)])
            self.unsure = True
            self.ask(kind, self.body(kind), request_id)
            return
        self.ask(kind, body, request_id)

    # --- what it hears ---

    def hear(self, message):
        kind, request_id, body = message
        if kind in (wire.ERROR, wire.GOODBYE):
            self.over = True
            return
        question = (kind - 1, request_id)
        if not self.unsure:
            assert self.asked.get(question, 0) > 0, "%s answers nothing that was asked" % (message,)
        self.asked[question] = self.asked.get(question, 0) - 1
        if kind == wire.HELLO_ACK:
            self.over = struct.unpack_from("<I", body)[0] != wire.OK

    def end(self):
        """Reads until nothing is missing, or the agent closes."""
        with contextlib.suppress(wire.Closed, OSError):
            while not self.over and any(count > 0 for count in self.asked.values()):
                if self.unsure:
                    self.client.sock.settimeout(0.05)
                self.hear(self.client.receive())
        missing = {question: count for question, count in self.asked.items() if count != 0}
        # A connection that the agent closed owes nothing; it closes with ERROR only, or because of its end.
        closed = not missing or self.over or self.unsure or self.is_closed()
        self.client.close()
        assert closed, missing

    def is_closed(self):
        try:
            return self.client.sock.recv(1) == b""
        except OSError:
            return True


def play(agent, lent, seed):
    rng = random.Random(seed)
    clients = []
    try:
        for _ in range(STEPS):
            if len(clients) < 3 and rng.random() < 0.3 or not clients:
                clients.append(Hostile(agent, lent, rng))
            client = rng.choice(clients)
            if client.over:
                client.client.close()
                clients.remove(client)
            elif rng.random() < 0.03:
                client.end()
                clients.remove(client)
            else:
                client.step()
        while clients:
            clients.pop().end()
    finally:
        for client in clients:
            client.client.close()


@pytest.mark.parametrize("store", ["dram", "posix"])
def test_seeded_hostile_clients(make_agent, start_client, request, store, monkeypatch):
    build = pathlib.Path(os.environ.get("BLUECACHE_HOSTILE_BUILD") or agent_module.ROOT / "build" / "asan")
    sanitized = build / "dpu-agent" / "dpu_dma_copy"
    if sanitized.exists():
        monkeypatch.setattr(agent_module, "PROGRAM", sanitized)
    agent = make_agent(backend=store, workers=2, memory_mb=32,
                       options=["--requests-max", "4", "--regions-max", str(REGIONS), "--entries-max", "64",
                                "--bytes-max", "4M", "--hello-timeout", "300ms"])
    before, open_before = gauges(agent), descriptors_of(agent.process)
    with lent_memory(agent, start_client, 1 << 20) as lent, neighbour(agent, start_client, 65536):
        for seed in range(FIRST_SEED, FIRST_SEED + (request.config.getoption("--hostile-seeds") or SEEDS_OF_EVERY_RUN)):
            try:
                play(agent, lent, seed)
            except BaseException:
                print("seed", seed)
                raise
    remove(agent, ["neighbour"] + ["h%d" % number for number in range(8)])
    # Keys of chance remain stored; everything else returns.
    before.pop("bluecache_staging_free_bytes")
    until(lambda: {name: value for name, value in gauges(agent).items() if name in before} == before,
          "the agent does not let go")
    # posix keeps descriptors of objects that were read.
    until(lambda: descriptors_of(agent.process) <= open_before + (256 if store == "posix" else 0),
          "descriptors stay open")
    assert "AddressSanitizer" not in agent.log()
