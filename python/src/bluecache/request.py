# SPDX-License-Identifier: Apache-2.0
"""Request: what Client.push and Client.pull return."""

import time
from typing import TYPE_CHECKING

from bluecache._core import SLICE_MS, Core
from bluecache.errors import ClosedError
from bluecache.status import Status, status_of

if TYPE_CHECKING:
    from bluecache.client import Client

_IN_PROGRESS = int(Status.IN_PROGRESS)


class Request:
    """A push or pull on its way. The memory of its entries is the DPU's until the request is terminal.

    It becomes terminal by itself: by the agent's answer, at its deadline, when it is cancelled or the agent lost. Only
    an agent that is stopped inside a copy holds it up for longer. After free(), or when its client is closed, every
    call but free() raises ClosedError. A Request that is dropped runs to its end all the same and is freed later. A
    context manager: leaving it cancels what is not over, waits for that, and frees. Any thread."""

    __slots__ = ("client", "count", "_core", "_handle", "_users", "_timeout_ms", "__weakref__")

    client: "Client"
    count: int  #: entries

    def __init__(self, client: "Client", core: Core, handle: int, count: int, timeout_ms: int) -> None:
        """For Client."""
        self._handle: int | None = handle
        self._core = core
        self._users = 0  # calls inside; the core's lock guards it
        self._timeout_ms = timeout_ms
        self.client = client
        self.count = count

    def _enter(self) -> int:
        core = self._core
        core.check_process()
        with core.lock:
            core.check_open()
            if self._handle is None:
                raise ClosedError("the request was freed")
            self._users += 1
            core.users += 1
            return self._handle

    def _leave(self) -> None:
        core = self._core
        with core.lock:
            self._users -= 1
            core.left()

    def is_terminal(self) -> bool:
        """Whether the outcome is known. Cheaper than test(), and does not help the library along."""
        handle = self._enter()
        try:
            return self._core.library.request_entry_status(handle, 0) != _IN_PROGRESS  # type: ignore[no-any-return]
        finally:
            self._leave()

    def test(self) -> Status:
        """The status, without waiting: IN_PROGRESS, OK when every entry is OK, else that of the first that is not."""
        handle = self._enter()
        try:
            return status_of(self._core.library.request_test(handle))
        finally:
            self._leave()

    def wait(self, timeout_ms: int | None = None) -> Status:
        """The terminal status; IN_PROGRESS when `timeout_ms` passed before. None: a second longer than the request's
        own deadline. Signals are handled meanwhile. ClosedError also when another thread closes the client."""
        limit_ms = self._timeout_ms + 1000 if timeout_ms is None else timeout_ms
        if limit_ms < 0:
            raise ValueError("timeout_ms is %d; it must not be negative" % limit_ms)
        end = time.monotonic() + limit_ms / 1000
        while True:
            handle = self._enter()
            try:
                status = self._core.library.request_wait(handle, min(limit_ms, SLICE_MS))
            finally:
                self._leave()
            if status != _IN_PROGRESS:
                return status_of(status)
            limit_ms = int((end - time.monotonic()) * 1000) + 1
            if end <= time.monotonic():
                return Status.IN_PROGRESS

    @property
    def statuses(self) -> list[Status]:
        """One per entry, in the order of the entries; all IN_PROGRESS until the request is terminal."""
        handle = self._enter()
        try:
            library = self._core.library
            status = library.request_test(handle)
            if status in (Status.OK, Status.IN_PROGRESS):
                return [status_of(status)] * self.count
            entry_status = library.request_entry_status
            return [status_of(entry_status(handle, index)) for index in range(self.count)]
        finally:
            self._leave()

    @property
    def bytes(self) -> int:
        """What the DPU copied for this request; 0 until it is terminal."""
        handle = self._enter()
        try:
            return self._core.library.request_bytes(handle)  # type: ignore[no-any-return]
        finally:
            self._leave()

    def cancel(self) -> None:
        """Asks for an early end, and returns at once: the request still becomes terminal, as CANCELLED or as it would
        have. Its memory is the DPU's until then."""
        handle = self._enter()
        try:
            self._core.library.request_cancel(handle)
        finally:
            self._leave()

    def free(self) -> bool:
        """True: it is given back, or was before. False: it is in progress, or another thread is inside a call with it;
        nothing changed."""
        core = self._core
        core.check_process()
        with core.lock:
            if self._handle is None or core.handle is None:
                return True
            if core.closing:
                return False
            handle = self._handle
            library = core.library
            if self._users > 0 or library.request_entry_status(handle, 0) == _IN_PROGRESS:
                return False
            self._handle = None
            core.users += 1
        try:
            library.request_free(handle)
        finally:
            core.leave()
        return True

    def __enter__(self) -> "Request":
        return self

    def __exit__(self, *exc: object) -> None:
        if not self.free():
            self.cancel()
            self.wait()
            self.free()

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None:
            self._core.orphan_requests.append(handle)
