# SPDX-License-Identifier: Apache-2.0
"""libbluecache, the host side, called directly: for what tests want to see below NIXL (statuses, deadlines, buffers
that must not change). Used in child processes only, since the library keeps its emulated world for the life of a
process."""

import ctypes
import os
import time

from agent import BUILD

PUSH, PULL = 1, 2
(OK, IN_PROGRESS, NOT_FOUND, CHECKSUM, RANGE, TILING, KEY_TOO_LONG, NO_SPACE, IO_ERROR, DMA_ERROR, BAD_MEMORY,
 CANCELLED, TIMED_OUT, DISCONNECTED, INVALID, LIMIT) = range(16)
SHUTTING_DOWN = 22

END_MS = 60000


class _Options(ctypes.Structure):
    _fields_ = [("dpu_addr", ctypes.c_char_p), ("pci_addr", ctypes.c_char_p), ("mode", ctypes.c_char_p),
                ("timeout_ms", ctypes.c_uint64), ("name", ctypes.c_char_p), ("requests_max", ctypes.c_uint32)]


class _Error(ctypes.Structure):
    _fields_ = [("text", ctypes.c_char * 256)]


class _Entry(ctypes.Structure):
    _fields_ = [("memory", ctypes.c_void_p), ("memory_offset", ctypes.c_uint64), ("key", ctypes.c_char_p),
                ("key_len", ctypes.c_size_t), ("object_offset", ctypes.c_uint64), ("length", ctypes.c_uint64),
                ("group", ctypes.c_uint64)]


class _Submit(ctypes.Structure):
    _fields_ = [("timeout_ms", ctypes.c_uint64)]


class _Key(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("len", ctypes.c_size_t)]


class _Info(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("size", ctypes.c_uint64), ("version", ctypes.c_uint64)]


class _Stat(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("kind", ctypes.c_int), ("value", ctypes.c_int64),
                ("p50", ctypes.c_uint64), ("p99", ctypes.c_uint64), ("sum", ctypes.c_uint64)]


_VISIT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(_Stat))


def _library():
    library = ctypes.CDLL(str(BUILD / "host" / "libbluecache.so"))
    pointer = ctypes.c_void_p
    library.bc_client_close.argtypes = [pointer]
    library.bc_memory_register.argtypes = [pointer, pointer, ctypes.c_size_t, ctypes.c_int, ctypes.c_uint32,
                                           ctypes.POINTER(pointer)]
    library.bc_memory_unregister.argtypes = [pointer, pointer]
    library.bc_memory_alloc.argtypes = [ctypes.c_size_t, ctypes.POINTER(pointer)]
    for name in ("bc_submit", "bc_submit_try"):
        getattr(library, name).argtypes = [pointer, ctypes.c_int, ctypes.POINTER(_Entry), ctypes.c_size_t,
                                           ctypes.POINTER(_Submit), ctypes.POINTER(pointer)]
    library.bc_request_test.argtypes = [pointer]
    library.bc_request_wait.argtypes = [pointer, ctypes.c_uint64]
    library.bc_request_entry_status.argtypes = [pointer, ctypes.c_size_t]
    library.bc_request_cancel.argtypes = [pointer]
    library.bc_request_free.argtypes = [pointer]
    library.bc_query.argtypes = [pointer, ctypes.POINTER(_Key), ctypes.c_size_t, ctypes.c_uint64,
                                 ctypes.POINTER(_Info)]
    library.bc_ping.argtypes = [pointer, ctypes.c_uint64, ctypes.POINTER(ctypes.c_uint64)]
    library.bc_stats.argtypes = [pointer, ctypes.c_uint64, _VISIT, pointer]
    return library


class Memory:
    """Registered memory; shareable memory is copied several times faster by the emulation."""

    def __init__(self, client, length, shareable=True):
        self.client = client
        self.length = length
        address = ctypes.c_void_p()
        if shareable:
            client.check(client.library.bc_memory_alloc(length, ctypes.byref(address)))
        else:
            self.buffer = ctypes.create_string_buffer(length)
            address.value = ctypes.addressof(self.buffer)
        self.address = address.value
        handle = ctypes.c_void_p()
        client.check(client.library.bc_memory_register(client.handle, self.address, length, 0, 0,
                                                       ctypes.byref(handle)))
        self.handle = handle.value

    def write(self, data, offset=0):
        assert offset + len(data) <= self.length
        ctypes.memmove(self.address + offset, data, len(data))

    def read(self, offset=0, length=None):
        return ctypes.string_at(self.address + offset, self.length - offset if length is None else length)

    def unregister(self):
        return self.client.library.bc_memory_unregister(self.client.handle, self.handle)


class Request:
    def __init__(self, client, handle):
        self.client = client
        self.handle = handle

    def test(self):
        return self.client.library.bc_request_test(self.handle)

    def wait(self, timeout_ms=END_MS):
        return self.client.library.bc_request_wait(self.handle, timeout_ms)

    def entry_status(self, index):
        return self.client.library.bc_request_entry_status(self.handle, index)

    def cancel(self):
        self.client.library.bc_request_cancel(self.handle)

    def free(self):
        """0, or a negative errno while it is in progress."""
        return self.client.library.bc_request_free(self.handle)

    def end(self, timeout_ms=END_MS):
        """Its terminal status; it is given back."""
        status = self.wait(timeout_ms)
        assert status != IN_PROGRESS, "the request did not end within %d ms" % timeout_ms
        assert self.free() == 0
        return status


class Client:
    """Address and PCI function come from the environment."""

    def __init__(self, timeout_ms=20000, requests_max=0):
        self.library = _library()
        options = _Options(timeout_ms=timeout_ms, name=b"test", requests_max=requests_max)
        error = _Error()
        handle = ctypes.c_void_p()
        rc = self.library.bc_client_open(ctypes.byref(options), ctypes.byref(handle), ctypes.byref(error))
        assert rc == 0, "%s (%s)" % (os.strerror(-rc), error.text.decode())
        self.handle = handle.value

    @staticmethod
    def check(rc):
        assert rc == 0, os.strerror(-rc)

    def close(self):
        return self.library.bc_client_close(self.handle)

    def memory(self, length_or_data, shareable=True):
        if isinstance(length_or_data, int):
            return Memory(self, length_or_data, shareable)
        memory = Memory(self, len(length_or_data), shareable)
        memory.write(length_or_data)
        return memory

    def submit(self, op, entries, timeout_ms=0, groups=None):
        """entries: (memory, memory offset, key, object offset, length); groups: one for each, or none."""
        request = self.try_submit(op, entries, timeout_ms, groups)
        assert isinstance(request, Request), os.strerror(-request)
        return request

    def try_submit(self, op, entries, timeout_ms=0, groups=None):
        """A request, or the negative errno that bc_submit ended with."""
        array = (_Entry * len(entries))()
        for place, (memory, memory_offset, key, object_offset, length) in zip(array, entries):
            key = key.encode() if isinstance(key, str) else key
            place.memory, place.memory_offset, place.key, place.key_len = memory.handle, memory_offset, key, len(key)
            place.object_offset, place.length = object_offset, length
        for place, group in zip(array, groups or ()):
            place.group = group
        handle = ctypes.c_void_p()
        rc = self.library.bc_submit(self.handle, op, array, len(entries),
                                    ctypes.byref(_Submit(timeout_ms=timeout_ms)), ctypes.byref(handle))
        return rc if rc != 0 else Request(self, handle.value)

    def push(self, key, data):
        memory = self.memory(data)
        status = self.submit(PUSH, [(memory, 0, key, 0, len(data))]).end()
        self.check(memory.unregister())
        return status

    def pull(self, key, length):
        """(status, bytes)."""
        memory = self.memory(length)
        status = self.submit(PULL, [(memory, 0, key, 0, length)]).end()
        data = memory.read()
        self.check(memory.unregister())
        return status, data

    def sizes(self, names):
        """Of each object; None where there is none."""
        keys = (_Key * len(names))()
        for key, name in zip(keys, names):
            key.data, key.len = name.encode(), len(name.encode())
        infos = (_Info * len(names))()
        self.check(self.library.bc_query(self.handle, keys, len(names), 0, infos))
        assert all(info.status in (OK, NOT_FOUND) for info in infos)
        return [info.size if info.status == OK else None for info in infos]

    def ping(self, timeout_ms=0):
        """0 or a negative errno."""
        return self.library.bc_ping(self.handle, timeout_ms, ctypes.byref(ctypes.c_uint64()))

    def stats(self):
        values = {}

        @_VISIT
        def visit(_, stat):
            values[stat.contents.name.decode()] = stat.contents.value

        self.check(self.library.bc_stats(self.handle, 0, visit, None))
        return values


def until(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "%s: not within %d s" % (what, seconds)
        time.sleep(0.005)
