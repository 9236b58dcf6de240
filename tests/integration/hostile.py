# SPDX-License-Identifier: Apache-2.0
"""What the tests with hostile clients share: a neighbour that behaves and has to be served all the while, memory of a
real client that connections of wire.py may name too, and what the agent takes of the machine."""

import contextlib
import socket
import struct
import threading

import wire
from bluecache_client import OK, PULL, PUSH, Client, until
from nixl_client import pattern

MIB = 1 << 20


# --- the machine ---


def descriptors_of(process):
    import os

    return len(os.listdir("/proc/%d/fd" % process.pid))


def resident_kib(process):
    with open("/proc/%d/status" % process.pid, encoding="ascii") as status:
        return next(int(row.split()[1]) for row in status if row.startswith("VmRSS:"))


# --- connections ---


def greeted(agent, **options):
    client = wire.Client(agent.wire_address)
    assert client.greet(**options)[0] == wire.OK
    return client


def answer_to(client, kind, body, request_id):
    """The body of the answer to this question, which must be the next message."""
    client.send(kind, body, request_id=request_id)
    got, answered, answer = client.receive()
    assert (got, answered) == (kind + 1, request_id), (got, answered, answer[:80])
    return answer


# --- the neighbour ---


def push_and_pull(line, length):
    """Pushes and pulls until it hears "enough", and compares every byte; how often it did."""
    client = Client()
    memory = client.memory(2 * length)
    rounds = 0
    line.say("served")
    while not line.connection.poll(0):
        data = pattern(rounds, length)
        memory.write(data)
        memory.write(bytes(length), length)
        assert client.submit(PUSH, [(memory, 0, "neighbour", 0, length)]).end() == OK
        assert client.submit(PULL, [(memory, length, "neighbour", 0, length)]).end() == OK
        assert memory.read(length, length) == data, rounds
        rounds += 1
    line.hear("enough")
    assert client.close() == 0
    return rounds


@contextlib.contextmanager
def neighbour(agent, start_client, length=256 * 1024):
    """Somebody who behaves, beside what is in the block: served all the time, and at least once."""
    child = start_client(agent.address, push_and_pull, length)
    child.hear("served")
    yield child
    child.say("enough")
    assert child.result() > 0


# --- memory of a real client ---


def lend(line, length, count):
    client = Client()
    memories = [client.memory(pattern(7, length)) for _ in range(count)]
    line.say("lent")
    line.hear("back")
    data = memories[0].read()
    assert client.close() == 0
    return data


class Relay:
    """Between a client and the agent, one connection: keeps what the client says."""

    def __init__(self, address):
        self.agent = address
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(30)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.heard = b""
        self.ends = []
        self.threads = [threading.Thread(target=self._serve, daemon=True)]
        self.threads[0].start()

    def _serve(self):
        near, _ = self.listener.accept()
        host, port = self.agent.rsplit(":", 1)
        far = socket.create_connection((host, int(port)), timeout=30)
        for end in (near, far):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ends = [near, far]
        self.threads.append(threading.Thread(target=self._carry, args=(far, near, False), daemon=True))
        self.threads[-1].start()
        self._carry(near, far, True)

    def _carry(self, source, sink, keep):
        with contextlib.suppress(OSError):
            while True:
                data = source.recv(1 << 16)
                if keep:
                    self.heard += data
                if not data:
                    break
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def descriptors(self):
        """(descriptor, length) of each memory that the client registered so far."""
        found, at = [], 0
        while at + wire.FRAME.size <= len(self.heard):
            _, _, kind, _, length, _, _, _, _ = wire.FRAME.unpack_from(self.heard, at)
            body = self.heard[at + wire.FRAME.size:at + wire.FRAME.size + length]
            at += wire.FRAME.size + length
            if kind != wire.REGISTER or len(body) != length:
                continue
            place = 8
            for _ in range(struct.unpack_from("<I", body)[0]):
                _, _, _, _, size, _, memory = struct.unpack_from("<IIBBHIQ", body, place)
                found.append((body[place + 24:place + 24 + size], memory))
                place += 24 + size
        return found

    def close(self):
        self.listener.close()
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()
        for end in self.ends:
            end.close()


class Lent:
    def __init__(self, descriptors, length):
        self.descriptors = descriptors
        self.descriptor = descriptors[0]
        self.length = length
        self.memory = None  # at the end: what the client that lent it reads in the first


@contextlib.contextmanager
def lent_memory(agent, start_client, length=4 * MIB, count=1):
    """`count` memories of a client process that others may register."""
    relay = Relay(agent.wire_address)
    child = start_client(relay.address, lend, length, count)
    child.hear("lent")
    until(lambda: len(relay.descriptors()) >= count, "the client registers less than it lends")
    lent = Lent([descriptor for descriptor, exported in relay.descriptors() if exported >= length], length)
    yield lent
    child.say("back")
    lent.memory = child.result()
    relay.close()
