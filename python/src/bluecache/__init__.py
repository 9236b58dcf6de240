# SPDX-License-Identifier: Apache-2.0
"""BlueCache for Python: move blocks between this process's memory (host or GPU) and named objects that a DPU agent
keeps. The DPU does the copying. A layer over libbluecache with ctypes; calls release the GIL.

    with bluecache.Client("127.0.0.1:18517") as client:
        memory = client.register(bytearray(65536))
        status = client.push([bluecache.Entry(memory, 0, b"block/17", 0, 65536)]).wait()

A call that could not be made raises Error. A transfer ends in a Status, and anything but OK is a miss. Handles may be
used from any thread; using one after it was freed raises ClosedError, as does using a parent's client in a forked
child.

For asyncio: bluecache.aio. What goes beyond the C interface: Memory and Request are context managers;
Request.is_terminal; SharedMemory.view (and the object itself from Python 3.12 on) for the bytes; aio.push, aio.pull."""

from bluecache._abi import KEY_LEN_MAX, OBJECT_SIZE_MAX
from bluecache._library import load as _load
from bluecache._version import __version__
from bluecache.client import Client, ClientInfo, Stat
from bluecache.entries import Entry, ObjectInfo
from bluecache.errors import ClosedError, ConnectError, Error, LibraryError
from bluecache.memory import Memory, SharedMemory
from bluecache.request import Request
from bluecache.status import Op, StatKind, Status

__all__ = [
    "KEY_LEN_MAX", "OBJECT_SIZE_MAX", "Client", "ClientInfo", "ClosedError", "ConnectError", "Entry", "Error",
    "LibraryError", "Memory", "ObjectInfo", "Op", "Request", "SharedMemory", "Stat", "StatKind", "Status",
    "__version__", "library_version",
]


def library_version() -> str:
    """Of the libbluecache that is used, "0.1.0"; loads it. LibraryError: there is none."""
    return _load().version_text
