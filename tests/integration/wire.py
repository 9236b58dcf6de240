# SPDX-License-Identifier: Apache-2.0
"""A client of the agent's protocol in a page: it can speak it correctly, and wrongly on purpose.

Written from common/dma_transfer.h alone, so that the tests also compare the document with the agent.
One connection, one thread; every wait has a deadline (`timeout`, seconds). `Closed` is raised when the
agent closes the connection.
"""

import socket
import struct

MAGIC = 0x31464342
VERSION = 1
FRAME = struct.Struct("<IBBHIIQII")

HELLO, HELLO_ACK, REGISTER, REGISTER_ACK, UNREGISTER, UNREGISTER_ACK, TRANSFER, COMPLETION = range(1, 9)
QUERY, QUERY_RESULT, REMOVE, REMOVE_RESULT, CANCEL, PING, PONG, STATS, STATS_RESULT, GOODBYE, ERROR = range(9, 20)

PUSH, PULL = 1, 2
OK, NOT_FOUND, KEY_TOO_LONG, BAD_MEMORY, CANCELLED, INVALID, LIMIT = 0, 2, 6, 10, 11, 14, 15

FLAG_MORE = 1


class Closed(Exception):
    """The agent closed the connection."""


def _table():
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def crc32c(data):
    """CRC-32C as in RFC 3720; crc32c(b"123456789") == 0xE3069283."""
    value = 0xFFFFFFFF
    for byte in data:
        value = (value >> 8) ^ _TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def frame(kind, body=b"", request_id=0, *, magic=MAGIC, version=VERSION, flags=0, body_len=None,
          body_crc=None, reserved=0, header_crc=None):
    """One frame; every field can be given a wrong value."""
    crc = (crc32c(body) if body else 0) if body_crc is None else body_crc
    length = len(body) if body_len is None else body_len
    head = FRAME.pack(magic, version, kind, flags, length, crc, request_id, reserved, 0)[:-4]
    return head + struct.pack("<I", crc32c(head) if header_crc is None else header_crc) + body


def hello(version_min=VERSION, version_max=VERSION, tenant=0, name=b"wire", auth=b""):
    return struct.pack("<HHIQ16sIIHHI", version_min, version_max, tenant, 0, b"", 0, 0, len(auth),
                       len(name), 0) + auth + name


def memory(memory_id, descriptor, generation=1, kind=1, access=3, length=4096):
    return struct.pack("<IIBBHIQ", memory_id, generation, kind, access, len(descriptor), 0,
                       length) + descriptor


def a_list(items):
    return struct.pack("<II", len(items), 0) + b"".join(items)


def keys(names):
    return a_list([struct.pack("<H", len(name)) + name for name in names])


def transfer(op, names, entries, sizes=None, deadline_ms=0, tlvs=b""):
    """entries: (key index, memory id, generation, memory offset, object offset, length)."""
    body = struct.pack("<BBHIIIII", op, 0, 0, deadline_ms, len(names), len(entries), len(tlvs), 0)
    for key, mem, generation, memory_offset, object_offset, length in entries:
        body += struct.pack("<IIIIQQQ", key, mem, generation, 0, memory_offset, object_offset, length)
    for index, name in enumerate(names):
        body += struct.pack("<QHHI", sizes[index] if sizes else 0, len(name), 0, 0) + name
    return body + tlvs


class Client:
    def __init__(self, address, timeout=10.0):
        host, port = address.rsplit(":", 1)
        self.sock = socket.create_connection((host, int(port)), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def raw(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error

    def send(self, kind, body=b"", request_id=0, **wrong):
        self.raw(frame(kind, body, request_id, **wrong))

    def _read(self, count):
        data = b""
        while len(data) < count:
            try:
                part = self.sock.recv(count - len(data))
            except ConnectionResetError as error:
                raise Closed from error
            if not part:
                raise Closed
            data += part
        return data

    def receive(self):
        """The next message: (kind, request id, body)."""
        whole = b""
        while True:
            head = self._read(FRAME.size)
            magic, version, kind, flags, length, body_crc, request_id, _, header_crc = FRAME.unpack(head)
            assert (magic, version) == (MAGIC, VERSION)
            assert header_crc == crc32c(head[:-4])
            body = self._read(length)
            assert body_crc == (crc32c(body) if body else 0)
            whole += body
            if not flags & FLAG_MORE:
                return kind, request_id, whole

    def greet(self, **options):
        self.send(HELLO, hello(**options), request_id=1)
        kind, request_id, body = self.receive()
        assert (kind, request_id) == (HELLO_ACK, 1)
        return struct.unpack_from("<I", body)[0], body

    def expect_error_and_close(self):
        """An ERROR message, then the end of the connection: (status, text)."""
        kind, _, body = self.receive()
        assert kind == ERROR
        try:
            self.receive()
        except Closed:
            return struct.unpack_from("<I", body)[0], body[4:].decode()
        raise AssertionError("the connection was not closed after ERROR")


def statuses(body):
    count = struct.unpack_from("<I", body)[0]
    return list(struct.unpack_from(f"<{count}I", body, 8))


def completion(body):
    """(status, [status of each entry], or [] when `status` holds for all)."""
    status, _, _, _, count = struct.unpack_from("<IHHII", body)
    return status, list(struct.unpack_from(f"<{count}I", body, 32))


def query_results(body):
    count = struct.unpack_from("<I", body)[0]
    return [struct.unpack_from("<IIQQ", body, 8 + 24 * i) for i in range(count)]


def stats(body):
    count = struct.unpack_from("<I", body)[0]
    at, values = 8, {}
    for _ in range(count):
        _, name_len, _, _, value = struct.unpack_from("<BBHIq", body, at)
        at += 40
        values[body[at:at + name_len].decode()] = value
        at += name_len
    assert at == len(body)
    return values
