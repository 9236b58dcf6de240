# SPDX-License-Identifier: Apache-2.0
"""The thread that ends what was started: one per agent.

It sleeps on the client's descriptor, which becomes readable when a request is terminal, and on one of its own, for new
work. It ends requests (`done` of their job, exactly once), starts those that found no credits, and keeps an eye on
requests that outlived their deadline because a stopped agent may still reach their memory."""

import collections
import os
import select
import threading
import time
from collections.abc import Callable, Sequence

import bluecache
from bluecache import Entry, Op, Status
from bluecache.lmcache.counters import logger

Done = Callable[[list[Status]], None]


class Job:
    """A request to be. prepare: gives the entries; called once, in the thread that starts the request. done: called
    once with one status per entry, when nobody reaches the memory any more, from any thread; it must not block. count:
    entries. deadline: of time.monotonic()."""

    __slots__ = ("op", "prepare", "done", "count", "deadline", "slow", "entries")

    def __init__(self, op: Op, prepare: Callable[[], Sequence[Entry]], done: Done, count: int, deadline: float,
                 slow: bool = False) -> None:
        """slow: prepare may take a round trip, and is left to the reaper's thread."""
        self.op = op
        self.prepare = prepare
        self.done = done
        self.count = count
        self.deadline = deadline
        self.slow = slow
        self.entries: Sequence[Entry] | None = None

    def remaining_ms(self) -> int:
        return int((self.deadline - time.monotonic()) * 1000)


class Reaper:
    """Any thread; submit() and adopt() do not block."""

    def __init__(self, client: bluecache.Client, name: str) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._running: dict[bluecache.Request, Job] = {}
        self._queue: collections.deque[Job] = collections.deque()
        self._closing = False
        self._idle = threading.Condition(self._lock)
        self._ended = threading.Event()  # the client was closed, or could not be
        self._forgot = False  # its requests ended with it
        self._unreachable = False  # and nobody reaches the memory of its requests any more
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    # ---- work ------------------------------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """Starts the request, or queues it when the agent has no credits for it."""
        with self._lock:
            queued = self._closing or job.slow or len(self._queue) > 0
            if queued and not self._closing:
                self._queue.append(job)
        if self._closing:
            self._finish(job, Status.CANCELLED)
        elif queued:
            self._wake()
        elif not self._start(job):
            with self._lock:
                self._queue.append(job)
            self._wake()

    def adopt(self, request: bluecache.Request, done: Done) -> None:
        """A request that somebody waited for in vain."""
        self._track(request, Job(Op.PULL, list, done, request.count, time.monotonic()))

    def _start(self, job: Job) -> bool:
        """False: no credits. Whatever else happens, the job is on its way or done."""
        left_ms = job.remaining_ms()
        if left_ms <= 0:
            self._finish(job, Status.TIMED_OUT)
            return True
        try:
            if job.entries is None:
                job.entries = job.prepare()
            attempt = self._client.try_push if job.op == Op.PUSH else self._client.try_pull
            request = attempt(job.entries, timeout_ms=left_ms)
        except (OSError, ValueError, TypeError) as error:
            lost = isinstance(error, OSError)
            if not lost:
                logger.error("BlueCache: a request cannot be built: %s", error)
            self._finish(job, Status.DISCONNECTED if lost else Status.INVALID)
            return True
        if request is None:
            return False
        self._track(request, job)
        return True

    def _track(self, request: bluecache.Request, job: Job) -> None:
        with self._lock:
            gone = self._forgot
            if not gone:
                self._running[request] = job
        if gone:
            self._finish(job, Status.CANCELLED)
            return
        # The descriptor tells of requests that end from now on. One that ended before has to be looked at once; and the
        # thread may have gone to sleep without the descriptor, having had nothing to wait for.
        self._wake()

    def _finish(self, job: Job, status: Status) -> None:
        self._call(job, [status] * job.count)

    @staticmethod
    def _call(job: Job, statuses: list[Status]) -> None:
        try:
            job.done(statuses)
        except Exception:
            logger.exception("BlueCache: the end of a request could not be told")

    # ---- the thread ------------------------------------------------------------------------------

    def _wake(self) -> None:
        try:
            os.eventfd_write(self._wake_fd, 1)
        except OSError:
            pass  # closed: there is nobody to wake

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._wake_fd, select.POLLIN)
        watched = -1
        while True:
            with self._lock:
                busy = bool(self._running or self._queue)
                if self._closing and not busy:
                    self._idle.notify_all()
                    return
                until = min((job.deadline for job in self._queue), default=None)
            try:
                # The requests of threads that wait for themselves signal the descriptor too: it is watched only while
                # there is something of one's own.
                if busy and watched < 0:
                    watched = self._client.fileno()
                    poll.register(watched, select.POLLIN)
                elif not busy and watched >= 0:
                    poll.unregister(watched)
                    watched = -1
                poll.poll(None if until is None else max(0.0, until - time.monotonic()) * 1000 + 1)
                self._drain()
                if watched >= 0:
                    self._client.clear_fd()
                self._reap()
                self._pump()
            except bluecache.ClosedError:
                self._ended.wait()
                if self._unreachable:
                    self._forget()
                return

    def _drain(self) -> None:
        try:
            os.eventfd_read(self._wake_fd)
        except BlockingIOError:
            pass

    def _reap(self) -> None:
        with self._lock:
            running = list(self._running.items())
        for request, job in running:
            if not request.is_terminal():
                continue
            statuses = request.statuses
            request.free()
            with self._lock:
                del self._running[request]
            self._call(job, statuses)

    def _pump(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    return
                job = self._queue.popleft()
            if not self._start(job):
                with self._lock:
                    self._queue.appendleft(job)
                return

    def _forget(self) -> None:
        """The client was closed, and with it every request ended."""
        with self._lock:
            jobs = [*self._running.values(), *self._queue]
            self._running.clear()
            self._queue.clear()
            self._closing = True
            self._forgot = True
            self._idle.notify_all()
        for job in jobs:
            self._finish(job, Status.CANCELLED)

    # ---- the end ---------------------------------------------------------------------------------

    def drain(self, deadline: float) -> bool:
        """Takes nothing more and waits for what is under way; whether nothing is left."""
        with self._lock:
            self._closing = True
        self._wake()
        with self._lock:
            return self._idle.wait_for(lambda: not self._running and not self._queue, deadline - time.monotonic())

    def end(self, unreachable: bool, seconds: float = 1.0) -> None:
        """After the client was closed. unreachable: it was, so nobody reaches the memory of its requests any more; else
        they never end, and what they use has to stay."""
        self._unreachable = unreachable
        self._ended.set()
        self._wake()
        self._thread.join(seconds)
        if not self._thread.is_alive():
            fd, self._wake_fd = self._wake_fd, -1
            if fd >= 0:
                os.close(fd)
