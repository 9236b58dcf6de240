# SPDX-License-Identifier: Apache-2.0
"""Memory: what a client registered. SharedMemory: memory made for it. And how a buffer's address is found."""

import ctypes
import errno
import os
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

from bluecache import _library
from bluecache._core import Core
from bluecache.errors import ClosedError, Error

if TYPE_CHECKING:
    from bluecache.client import Client


class Place(NamedTuple):
    """Bytes in memory, and what keeps them there."""

    address: int
    length: int
    device: int | None  #: None: host memory; else the CUDA device
    keeper: object


def place_of(buffer: object) -> Place:
    """Of a writable C-contiguous buffer, a SharedMemory, or a contiguous torch tensor on the CPU or a CUDA device.

    TypeError: it is none of these. ValueError: read-only, not contiguous, or on another device."""
    if isinstance(buffer, SharedMemory):
        buffer = buffer.view
    if hasattr(buffer, "data_ptr") and hasattr(buffer, "untyped_storage"):
        return _place_of_tensor(buffer)
    try:
        view = memoryview(buffer)  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError) as error:
        raise TypeError("%s is no buffer: a bytearray, mmap, memoryview, numpy array, torch tensor or SharedMemory is "
                        "needed, or an address and a length (%s)" % (type(buffer).__name__, error)) from None
    if view.readonly:
        raise ValueError("the buffer is read-only; the DPU has to be able to write to it")
    if not view.c_contiguous:
        raise ValueError("the buffer is not contiguous")
    if view.nbytes == 0:
        raise ValueError("the buffer is empty")
    # Holds the buffer's export: a bytearray cannot be resized, an mmap not be closed, as long as it lives.
    keeper = (ctypes.c_char * view.nbytes).from_buffer(view)
    return Place(ctypes.addressof(keeper), view.nbytes, None, keeper)


def _place_of_tensor(tensor: Any) -> Place:
    kind = tensor.device.type
    if kind not in ("cpu", "cuda"):
        raise ValueError("the tensor is on device %s; it can be on the CPU or on a CUDA device" % kind)
    if not tensor.is_contiguous():
        raise ValueError("the tensor is not contiguous")
    length = tensor.numel() * tensor.element_size()
    if length == 0:
        raise ValueError("the tensor is empty")
    return Place(tensor.data_ptr(), length, tensor.device.index or 0 if kind == "cuda" else None,
                 tensor.untyped_storage())


class Memory:
    """Registered memory: what entries name. Made by Client.register.

    The bytes are kept in place until unregister() or the client's close(). A Memory that is dropped is unregistered by
    a later register(), once no request uses it. A context manager: leaving it unregisters. Any thread."""

    __slots__ = ("client", "address", "length", "device", "_core", "_handle", "_users", "_leaving", "__weakref__")

    client: "Client"
    address: int  #: of the first byte
    length: int  #: bytes
    device: int | None  #: None: host memory; else the CUDA device

    def __init__(self, client: "Client", core: Core, handle: int, place: Place) -> None:
        """For Client.register."""
        self._handle: int | None = handle
        self._core = core
        self._users = 0  # submits that are reading the handle; the core's lock guards it
        self._leaving = False
        self.client = client
        self.address = place.address
        self.length = place.length
        self.device = place.device

    def __repr__(self) -> str:
        return "<bluecache.Memory 0x%x, %d bytes%s%s>" % (
            self.address, self.length, "" if self.device is None else ", CUDA device %d" % self.device,
            "" if self.registered else ", unregistered")

    @property
    def registered(self) -> bool:
        return self._handle is not None and self._core.handle is not None

    def take(self, core: Core) -> int:
        """For submits, with the core's lock: the handle, which drop() gives back."""
        if self._core is not core:
            raise ValueError("%r belongs to another client" % self)
        if self._handle is None or self._leaving:
            raise ClosedError("the memory was unregistered")
        self._users += 1
        return self._handle

    def drop(self) -> None:
        """The same lock."""
        self._users -= 1

    def unregister(self) -> None:
        """Nobody reaches the bytes through this registration any more when it returns. Blocks for a round trip, at most
        the client's timeout_ms. Again, or after the client was closed: nothing happens.

        Error: EBUSY, a request in progress uses it; EINPROGRESS, the agent is stopped inside a copy: leave the memory
        alone and call again. The memory stays registered."""
        core = self._core
        core.check_process()
        with core.lock:
            if self._handle is None or core.handle is None:
                return
            client = core.check_open()
            if self._users > 0 or self._leaving:
                raise Error(errno.EBUSY, "the memory is in use by another thread")
            self._leaving = True
            core.users += 1
            handle = self._handle
        rc = -errno.EINPROGRESS
        try:
            rc = core.library.memory_unregister(client, handle)
        finally:
            with core.lock:
                self._leaving = False
                if rc == 0:
                    self._handle = None
                    core.buffers.pop(handle, None)
                core.left()
        if rc != 0:
            raise Error(-rc, "a request in progress uses the memory" if rc == -errno.EBUSY else "")

    def __enter__(self) -> "Memory":
        return self

    def __exit__(self, *exc: object) -> None:
        self.unregister()

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None:
            self._core.orphan_memories.append(handle)


def _free_block(library: "_library.Library", address: int, pid: int) -> None:
    if os.getpid() == pid:  # a forked child leaves the parent's memory alone
        library.memory_free(address)


class SharedMemory:
    """Page-aligned, zeroed memory of the process, on huge pages where there are any, that the emulation copies faster
    than other memory. Not registered: Client.register takes it as it takes a buffer.

    `view` gives its bytes; from Python 3.12 on the object itself is a buffer. Views of it (slices, numpy arrays,
    tensors from torch.frombuffer) keep it alive, also after free(). A context manager: leaving it frees. Any thread; a
    forked child shares the bytes."""

    __slots__ = ("_block", "_watch", "length", "address", "__weakref__")

    length: int  #: bytes, a multiple of 4 KiB
    address: int

    def __init__(self, length: int) -> None:
        """length: bytes, above 0; rounded up to 4 KiB. Error: ENOMEM. ValueError: a length that cannot be."""
        if not 0 < length < 1 << 62:
            raise ValueError("the length is %d; it must be above 0" % length)
        library = _library.load()
        length = (length + 4095) & ~4095
        address = ctypes.c_void_p()
        rc: int = library.memory_alloc(length, ctypes.byref(address))
        if rc != 0 or address.value is None:
            raise Error(-rc, "no %d bytes of shareable memory" % length)
        block = (ctypes.c_ubyte * length).from_address(address.value)
        # Everything that looks at the bytes holds the block; with the last of them the memory goes.
        weakref.finalize(block, _free_block, library, address.value, os.getpid()).atexit = False
        self._block: ctypes.Array[ctypes.c_ubyte] | None = block
        self._watch = weakref.ref(block)
        self.length = length
        self.address = address.value

    def __repr__(self) -> str:
        return "<bluecache.SharedMemory 0x%x, %d bytes%s>" % (
            self.address, self.length, ", freed" if self._block is None else "")

    def __len__(self) -> int:
        return self.length

    @property
    def view(self) -> memoryview:
        """Its bytes, writable, format "B". ClosedError: it was freed."""
        if self._block is None:
            raise ClosedError("the shared memory was freed")
        return memoryview(self._block).cast("B")

    def __buffer__(self, flags: int) -> memoryview:
        return self.view

    def free(self) -> bool:
        """True: the memory is gone. False: views of it, or a registration, still hold it; it goes with the last of
        them. May be called again."""
        self._block = None
        return self._watch() is None

    def __enter__(self) -> "SharedMemory":
        return self

    def __exit__(self, *exc: object) -> None:
        self.free()
