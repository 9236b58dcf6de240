# SPDX-License-Identifier: Apache-2.0
"""The open client behind a Client and its memories and requests: who may call the library with which handle.

The library wants a handle not to be used during or after the call that frees it, and knows nothing of garbage
collection or fork. So every call with a handle goes through a gate that counts the calls inside, and what frees a
handle first shuts the gate and waits until it is empty.

Any thread. Finalizers may run inside any other code of this module, in the same thread: they take no lock, and only
leave handles behind (`orphan_...`) that later calls give back."""

import collections
import errno
import os
import threading
import time
from typing import Protocol

from bluecache import _library
from bluecache.errors import ClosedError, Error

# A wait inside the library is cut into pieces of this length, between which signals and close() are looked at. It is no
# polling interval: each piece ends at once when there is something to tell.
SLICE_MS = 100

# Clients that could not be closed, because a stopped agent may still write into their buffers: kept for ever.
_quarantine: list["Core"] = []


class Watcher(Protocol):
    def wake(self) -> None:
        """From any thread; must neither block nor raise."""


class Core:
    def __init__(self, library: "_library.Library", handle: int, timeout_ms: int) -> None:
        self.library = library
        self.handle: int | None = handle
        self.pid = os.getpid()
        self.timeout_ms = timeout_ms
        self.lock = threading.Lock()
        self.idle = threading.Condition(self.lock)
        self.close_lock = threading.Lock()
        self.users = 0
        self.closing = False
        #: what keeps the bytes of each registered memory in place, by handle
        self.buffers: dict[int, object] = {}
        self.orphan_requests: collections.deque[int] = collections.deque()
        self.orphan_memories: collections.deque[int] = collections.deque()
        #: told by whoever clears the descriptor or closes the client
        self.watchers: list[Watcher] = []

    # ---- the gate ----------------------------------------------------------------------------

    def check_process(self) -> None:
        # Before any lock: a fork may have copied it in its locked state.
        if os.getpid() != self.pid:
            raise ClosedError("a forked child must not use its parent's client; open one in the child", errno.ECHILD)

    def is_foreign(self) -> bool:
        return os.getpid() != self.pid

    def check_open(self) -> int:
        """With the lock: the client's handle."""
        if self.closing or self.handle is None:
            raise ClosedError("the client is closed")
        return self.handle

    def enter(self) -> int:
        """Before a call with the client's handle, which is returned; leave() must follow."""
        self.check_process()
        with self.lock:
            handle = self.check_open()
            self.users += 1
            return handle

    def leave(self) -> None:
        with self.lock:
            self.left()

    def left(self) -> None:
        """The same, with the lock."""
        self.users -= 1
        if self.closing and self.users == 0:
            self.idle.notify_all()

    # ---- what finalizers left behind ---------------------------------------------------------

    def reap_requests(self, handle: int) -> None:
        """Inside the gate: gives back the requests that were dropped and are terminal by now."""
        for _ in range(len(self.orphan_requests)):
            try:
                request = self.orphan_requests.popleft()
            except IndexError:
                return
            if self.library.request_free(request) != 0:
                self.orphan_requests.append(request)

    def reap_memories(self, handle: int) -> None:
        """Inside the gate: unregisters the memories that were dropped, as far as no request uses them."""
        for _ in range(len(self.orphan_memories)):
            try:
                memory = self.orphan_memories.popleft()
            except IndexError:
                return
            if self.library.memory_unregister(handle, memory) == 0:
                self.buffers.pop(memory, None)
            else:
                self.orphan_memories.append(memory)

    # ---- the end -----------------------------------------------------------------------------

    def wake_watchers(self) -> None:
        for watcher in list(self.watchers):
            watcher.wake()

    def close(self) -> None:
        """See Client.close."""
        if self.is_foreign():
            return
        deadline = time.monotonic() + self.timeout_ms / 1000 + 1
        with self.close_lock:
            with self.lock:
                if self.handle is None:
                    return
                self.closing = True
            self.wake_watchers()
            with self.lock:
                if not self.idle.wait_for(lambda: self.users == 0, deadline - time.monotonic()):
                    raise Error(errno.EBUSY, "the client cannot be closed yet: another thread is inside a call with it")
                handle = self.handle
            rc: int = self.library.client_close(handle)
            if rc != 0:
                raise Error(-rc, "the client cannot be closed yet: a stopped agent may still reach its memory")
            with self.lock:
                self.handle = None
                self.orphan_requests.clear()
                self.orphan_memories.clear()
                self.buffers.clear()

    def close_quietly(self) -> None:
        """When nobody is left to tell."""
        try:
            self.close()
        except Error:
            _quarantine.append(self)
