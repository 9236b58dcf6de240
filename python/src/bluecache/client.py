# SPDX-License-Identifier: Apache-2.0
"""Client: a connection to an agent, and everything that goes over it."""

import atexit
from collections.abc import Sequence
import ctypes
import errno
import os
import struct
from typing import Any, NamedTuple, overload
import warnings
import weakref
import _thread

from bluecache import _abi, _library
from bluecache._core import Core
from bluecache.entries import Entry, ObjectInfo, pack_entries, pack_keys
from bluecache.errors import ConnectError, Error
from bluecache.memory import Memory, Place, SharedMemory, place_of
from bluecache.request import Request
from bluecache.status import STATUS_OF, Op, StatKind, Status, status_of

_TIMEOUT_MS_DEFAULT = 30000
_OBJECT_INFO = struct.Struct("@iQQ")


class ClientInfo(NamedTuple):
    """What is known of a client's connection at one moment; limits are what the agent granted."""

    connected: bool
    emulated: bool  #: the agent's DMA engine is the software emulation of DOCA
    reconnects: int  #: since the client was opened
    session_id: int
    requests_max: int  #: in flight at once
    entries_max: int  #: in one message; longer requests are split
    regions_max: int  #: exports of memory
    object_size_max: int  #: bytes
    chunk_len: int  #: bytes that the agent copies at once
    agent: str  #: "dpu_dma_copy 0.1.0 posix"
    dpu_addr: str  #: "host:port"
    pci_addr: str


class Stat(NamedTuple):
    """A metric of the agent. Of a histogram, value is the number of samples; p50, p99 and sum are 0 for others."""

    kind: StatKind
    value: int
    p50: int
    p99: int
    sum: int


def _text(value: str | None) -> bytes | None:
    return None if value is None else value.encode()


def _default_timeout_ms() -> int:
    """As the library does, which also says what is wrong with the variable if something is."""
    text = os.environ.get("BLUECACHE_TIMEOUT_MS", "")
    return int(text) if text.isdecimal() and int(text) > 0 else _TIMEOUT_MS_DEFAULT


_open_cores: "weakref.WeakSet[Core]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Before the interpreter takes the buffers away that an agent may still write to."""
    for core in list(_open_cores):
        core.close_quietly()


def _abandon(core: Core) -> None:
    """The Client was collected. That must not block, and may happen with any lock held: a thread of its own closes."""
    if core.is_foreign() or core.handle is None:
        return
    warnings.warn("a bluecache.Client was not closed", ResourceWarning, stacklevel=2)
    try:
        _thread.start_new_thread(core.close_quietly, ())
    except RuntimeError:
        core.close_quietly()


class Client:
    """A connection to an agent (dpu_dma_copy). It reconnects by itself, and registers its memories again.

    Any thread may call anything at any time. close() ends it, and so does leaving it as a context manager; memories and
    requests end with it. Methods raise Error (ENOTCONN, ETIMEDOUT, ...), ClosedError after close() and in a forked
    child. timeout_ms is always whole milliseconds; 0 stands for the client's own."""

    def __init__(self, dpu_addr: str | None = None, pci_addr: str | None = None, mode: str | None = None,
                 timeout_ms: int = 0, name: str | None = None, requests_max: int = 0) -> None:
        """Opens the device and connects; a first connection that is refused fails at once.

        dpu_addr: "host:port" of the agent (BLUECACHE_DPU_ADDR; 127.0.0.1:18517), or with mode "comch" the name of its
        service (an address, or none, stands for "bluecache"). pci_addr: host function of the BlueField
        (BLUECACHE_PCI_ADDR; the only one that can export memory). mode: "tcp" or "comch" (BLUECACHE_MODE; "tcp").
        timeout_ms: of every call and request that gives none (BLUECACHE_TIMEOUT_MS; 30000). name: shown in the agent's
        log. requests_max: in flight at once; 0: what the agent grants.

        ConnectError: strerror is one sentence with a hint. LibraryError: there is no usable libbluecache."""
        library = _library.load()
        if timeout_ms < 0 or not 0 <= requests_max < 1 << 32:
            raise ValueError("timeout_ms and requests_max must not be negative")
        options = _abi.ClientOptions(_text(dpu_addr), _text(pci_addr), _text(mode), timeout_ms, _text(name),
                                     requests_max)
        handle, error = ctypes.c_void_p(), _abi.ErrorText()
        rc: int = library.client_open(ctypes.byref(options), ctypes.byref(handle), ctypes.byref(error))
        if rc != 0 or handle.value is None:
            raise ConnectError(-rc, error.text.decode(errors="replace"))
        self._core = Core(library, handle.value, timeout_ms or _default_timeout_ms())
        self._library = library
        self._finalizer = weakref.finalize(self, _abandon, self._core)
        self._finalizer.atexit = False
        _open_cores.add(self._core)

    def __repr__(self) -> str:
        return "<bluecache.Client%s>" % (" closed" if self.closed else "")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # ---- life --------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return self._core.handle is None

    @property
    def timeout_ms(self) -> int:
        """Of calls and requests that give none."""
        return self._core.timeout_ms

    def close(self) -> None:
        """Cancels what is in flight, waits until it is terminal (at most timeout_ms), unregisters every memory, says
        goodbye. Other threads that wait for requests get ClosedError; a call of theirs that is inside the library is
        waited for. In a forked child, and when it is closed already: nothing happens.

        Error: EBUSY, a stopped agent may still reach registered memory, or another thread is still inside a call. The
        client keeps its buffers in place, takes no more calls, and close() may be called again."""
        self._core.close()
        self._finalizer.detach()

    @property
    def info(self) -> ClientInfo:
        """The connection as it is now."""
        raw = _abi.ClientInfo()
        self._inside(self._library.client_get_info, ctypes.byref(raw))
        return ClientInfo._make(value.decode(errors="replace") if isinstance(value, bytes) else value
                                for value in (getattr(raw, field) for field in ClientInfo._fields))

    @property
    def connected(self) -> bool:
        """As info.connected, at a tenth of its time."""
        raw = _abi.ClientInfo()
        self._inside(self._library.client_get_info, ctypes.byref(raw))
        return bool(raw.connected)

    # ---- memory ------------------------------------------------------------------------------

    @overload
    def register(self, buffer: int, length: int, *, device: int | None = None) -> Memory: ...

    @overload
    def register(self, buffer: object, length: None = None, *, device: None = None) -> Memory: ...

    def register(self, buffer: object, length: int | None = None, *, device: int | None = None) -> Memory:
        """Makes memory reachable for the DPU, for as long as the Memory is registered.

        buffer: a writable C-contiguous buffer (bytearray, mmap, numpy array, memoryview, SharedMemory), which is kept
        alive; or a contiguous torch tensor, on the CPU or a CUDA device; or an address, with `length` in bytes and
        `device` (None: host memory; else the number of the CUDA device): that memory must stay mapped until it is
        unregistered. Blocks until the agent knows it; while the agent is away it is registered later by itself.

        Error: EFAULT (not mapped), ENODEV (no such GPU), ENOTSUP (GPU memory that cannot be exported), ENOSPC (the
        agent has no room for more), ETIMEDOUT, ENOMEM, EIO. TypeError, ValueError: see above."""
        if isinstance(buffer, int):
            if length is None or length <= 0 or buffer <= 0:
                raise ValueError("an address above 0 and a length above 0 are needed")
            place = Place(buffer, length, device, None)
        elif length is not None or device is not None:
            raise ValueError("length and device are for addresses")
        else:
            place = place_of(buffer)
        core = self._core
        memory = ctypes.c_void_p()
        kind = _abi.MEMORY_HOST if place.device is None else _abi.MEMORY_CUDA
        handle = core.enter()
        try:
            core.reap_memories(handle)
            rc: int = self._library.memory_register(handle, place.address, place.length, kind, place.device or 0,
                                                    ctypes.byref(memory))
            if rc != 0 or memory.value is None:
                raise Error(-rc, "%s: memory of %d bytes cannot be registered; the log on standard error says why"
                            % (os.strerror(-rc), place.length))
            core.buffers[memory.value] = place.keeper
        finally:
            core.leave()
        return Memory(self, core, memory.value, place)

    def alloc(self, length: int) -> SharedMemory:
        """Memory that the emulation copies fastest; see SharedMemory. It still has to be registered, and does not end
        with the client. Error: ENOMEM."""
        return SharedMemory(length)

    # ---- transfers ---------------------------------------------------------------------------

    def push(self, entries: Sequence[Entry], *, timeout_ms: int = 0) -> Request:
        """Starts to copy memory to objects. timeout_ms: the request's deadline, in which the wait for a free place at
        the agent and for a lost connection counts as well. Blocks for these two alone.

        Error: ENOTCONN, ETIMEDOUT, EINVAL (a range outside its memory), ENOMEM, ENOBUFS (an object of GPU memory that is
        copied by way of host memory and is larger than BLUECACHE_BOUNCE_BYTES). TypeError, ValueError: a field of an
        entry is not of its type. What is wrong with single keys shows in `statuses`."""
        request = self._submit(self._library.submit, Op.PUSH, entries, timeout_ms)
        assert request is not None
        return request

    def pull(self, entries: Sequence[Entry], *, timeout_ms: int = 0) -> Request:
        """Starts to copy objects to memory; otherwise as push()."""
        request = self._submit(self._library.submit, Op.PULL, entries, timeout_ms)
        assert request is not None
        return request

    def try_push(self, entries: Sequence[Entry], *, timeout_ms: int = 0) -> Request | None:
        """As push(), but never waits: None when as many requests are in flight as the agent grants, Error with ENOTCONN
        when it is away."""
        return self._submit(self._library.submit_try, Op.PUSH, entries, timeout_ms)

    def try_pull(self, entries: Sequence[Entry], *, timeout_ms: int = 0) -> Request | None:
        """As try_push(), the other way."""
        return self._submit(self._library.submit_try, Op.PULL, entries, timeout_ms)

    def _submit(self, function: "ctypes._NamedFuncPointer", op: Op, entries: Sequence[Entry],
                timeout_ms: int) -> Request | None:
        if timeout_ms < 0:
            raise ValueError("timeout_ms must not be negative")
        core = self._core
        out = ctypes.c_void_p()
        handle = core.enter()
        try:
            core.reap_requests(handle)
            taken = _Taken(core)
            try:
                packed = pack_entries(entries, taken)
                rc: int = function(handle, op, packed.address, packed.count, _abi.SubmitOptions(timeout_ms),
                                   ctypes.byref(out))
            finally:
                taken.drop()
        finally:
            core.leave()
        if rc == -errno.EAGAIN:
            return None
        if rc != 0 or out.value is None:
            raise Error(-rc, _why_invalid(entries) if rc == -errno.EINVAL else "")
        return Request(self, core, out.value, packed.count, timeout_ms or core.timeout_ms)

    # ---- objects -----------------------------------------------------------------------------

    def query(self, keys: Sequence[bytes], *, timeout_ms: int = 0) -> list[ObjectInfo]:
        """One answer per key, in one round trip, which it blocks for. Error: ENOTCONN, ETIMEDOUT, ENOMEM."""
        packed = pack_keys(keys)
        if packed.count == 0:
            self._core.check_process()
            return []
        infos = ctypes.create_string_buffer(packed.count * _OBJECT_INFO.size)
        self._call(self._library.query, packed.address, packed.count, timeout_ms, ctypes.addressof(infos))
        # As ObjectInfo(status_of(status), size, version), at a third of its time: look-ups name hundreds of keys.
        new, of, unknown = tuple.__new__, STATUS_OF.get, Status.INTERNAL
        return [new(ObjectInfo, (of(status, unknown), size, version))
                for status, size, version in _OBJECT_INFO.iter_unpack(infos)]

    def remove(self, keys: Sequence[bytes], *, timeout_ms: int = 0) -> list[Status]:
        """One status per key: OK, NOT_FOUND, ... Blocks for a round trip. Error: as query()."""
        packed = pack_keys(keys)
        if packed.count == 0:
            self._core.check_process()
            return []
        statuses = (ctypes.c_int * packed.count)()
        self._call(self._library.remove, packed.address, packed.count, timeout_ms, ctypes.addressof(statuses))
        return [status_of(status) for status in statuses]

    # ---- agent -------------------------------------------------------------------------------

    def ping(self, *, timeout_ms: int = 0) -> float:
        """Seconds of a round trip to the agent. Error: ENOTCONN, ETIMEDOUT."""
        round_trip_ns = ctypes.c_uint64()
        self._call(self._library.ping, timeout_ms, ctypes.byref(round_trip_ns))
        return round_trip_ns.value / 1e9

    def stats(self, *, timeout_ms: int = 0) -> dict[str, Stat]:
        """Every metric of the agent, by name: bluecache_<module>_<noun>_<unit>[_total]. Error: ENOTCONN, ETIMEDOUT."""
        rows: list[tuple[bytes, int, int, int, int, int]] = []

        def visit(_: object, pointer: "ctypes._Pointer[_abi.Stat]") -> None:
            stat = pointer.contents
            rows.append((stat.name, stat.kind, stat.value, stat.p50, stat.p99, stat.sum))

        self._call(self._library.stats, timeout_ms, _abi.STAT_VISIT(visit), None)
        return {name.decode(errors="replace"): Stat(StatKind(kind), value, p50, p99, total)
                for name, kind, value, p50, p99, total in rows}

    def _call(self, function: "ctypes._NamedFuncPointer", *arguments: object) -> None:
        """A function that takes the client and returns 0 or a negative errno."""
        rc: int = self._inside(function, *arguments)
        if rc != 0:
            raise Error(-rc)

    def _inside(self, function: "ctypes._NamedFuncPointer", *arguments: object) -> Any:
        """A function that takes the client."""
        handle = self._core.enter()
        try:
            return function(handle, *arguments)
        finally:
            self._core.leave()

    # ---- readiness ---------------------------------------------------------------------------

    def fileno(self) -> int:
        """A descriptor that is readable (poll, epoll) when a request became terminal since the last clear_fd(). The
        client owns it: do not read or close it. Poll, clear_fd(), test what is in flight, poll again. bluecache.aio
        does this for asyncio."""
        handle = self._core.enter()
        try:
            return self._library.client_fd(handle)  # type: ignore[no-any-return]
        finally:
            self._core.leave()

    def clear_fd(self) -> None:
        """See fileno(). Event loops that wait for the same client look at their requests."""
        handle = self._core.enter()
        try:
            self._library.client_clear_fd(handle)
        finally:
            self._core.leave()
        self._core.wake_watchers()


class _Taken(dict[Memory, int]):
    """The handles of the memories of a request that is being submitted: none is unregistered until drop()."""

    def __init__(self, core: Core) -> None:
        super().__init__()
        self.core = core

    def __missing__(self, memory: Memory) -> int:
        if not isinstance(memory, Memory):
            raise TypeError("an entry's memory is %s; Client.register makes them" % type(memory).__name__)
        with self.core.lock:
            handle = self[memory] = memory.take(self.core)
        return handle

    def drop(self) -> None:
        with self.core.lock:
            for memory in self:
                memory.drop()


def _why_invalid(entries: Sequence[Entry]) -> str:
    for index, entry in enumerate(entries):
        if entry[1] + entry[4] > entry[0].length:
            return "entry %d: bytes %d to %d lie outside its memory of %d bytes" % (
                index, entry[1], entry[1] + entry[4], entry[0].length)
        if entry[3] + entry[4] >= 1 << 64:
            return "entry %d: its object offset and length are too large" % index
    return "the request has too many entries" if len(entries) > 1 << 20 else ""
