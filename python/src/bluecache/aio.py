# SPDX-License-Identifier: Apache-2.0
"""asyncio: coroutines that sleep until a request is over, on the client's descriptor. Nothing polls.

One reader per client and event loop, whatever number of requests is waited for; several loops, each in its thread, may
wait for requests of one client. Every wait has a deadline, in seconds. A coroutine runs on its loop's thread only. When
another thread closes the client, those that wait for its requests get ClosedError.

Cancelling one of these coroutines cancels the request, then waits until it is terminal, at most SETTLE_S seconds,
before CancelledError goes on: the request's memory can be used again then. Only when an agent is stopped inside a copy
does that time pass: is_terminal() still says False, and the memory must be left alone.

Client.push blocks while it waits for a place at the agent; push() and pull() here do not. The calls that ask the agent
(query, remove, register, ...) block for a round trip: asyncio.to_thread(client.query, keys) keeps the loop free."""

import asyncio
import collections
from collections.abc import Callable, Sequence
import errno
import os

from bluecache.client import Client
from bluecache.entries import Entry
from bluecache.errors import Error
from bluecache.request import Request
from bluecache.status import Status

#: Seconds that a cancelled coroutine waits for the request's memory to be free.
SETTLE_S = 5.0


async def wait(request: Request, timeout_s: float) -> Status:
    """The terminal status; IN_PROGRESS when timeout_s seconds passed before, and the request goes on. Several
    coroutines may wait for one request. Cancelled: see above."""
    if not request.is_terminal():
        with _hub_of(request.client) as hub:
            try:
                await hub.wait_for(request, timeout_s)
            except asyncio.CancelledError:
                await _settle(hub, request)
                raise
    return request.test()


async def push(client: Client, entries: Sequence[Entry], timeout_s: float) -> Request:
    """Pushes, and returns the terminal request; while as many requests are in flight as the agent grants, its turn is
    waited for. timeout_s: of all that together; what is then not over ends as TIMED_OUT.

    Error: as Client.try_push, so ENOTCONN at once when the agent is away; ETIMEDOUT, its turn did not come. The request
    is still IN_PROGRESS only when an agent is stopped inside a copy. Cancelled: see above."""
    return await _transfer(client, client.try_push, entries, timeout_s)


async def pull(client: Client, entries: Sequence[Entry], timeout_s: float) -> Request:
    """As push(), the other way."""
    return await _transfer(client, client.try_pull, entries, timeout_s)


class _Turn:
    """A request that is to be made as soon as the agent has a place for it."""

    def __init__(self, attempt: Callable[[], Request | None], future: "asyncio.Future[None]") -> None:
        self.attempt = attempt
        self.future = future
        self.request: Request | None = None


class _Hub:
    """The reader of one client in one loop. Runs on the loop's thread, but for wake().

    It exists before a request is first looked at, and clears the descriptor before it looks: so what ends after a look
    always makes the descriptor readable, or (another loop cleared it) calls wake()."""

    def __init__(self, client: Client, loop: asyncio.AbstractEventLoop) -> None:
        self.client = client
        self.loop = loop
        self.users = 0
        self.waiting: dict[asyncio.Future[None], Request] = {}
        self.turns: collections.deque[_Turn] = collections.deque()
        self.wake_scheduled = False
        # A descriptor of its own: the client's may be closed, and its number used again, before this loop hears of it.
        self.fd = os.dup(client.fileno())
        loop.add_reader(self.fd, self._readable)

    def __enter__(self) -> "_Hub":
        self.users += 1
        return self

    def __exit__(self, *exc: object) -> None:
        self.users -= 1

    def wake(self) -> None:
        """Another loop cleared the descriptor, or the client is being closed. Any thread."""
        if not self.wake_scheduled:
            self.wake_scheduled = True
            try:
                self.loop.call_soon_threadsafe(self._woken)
            except RuntimeError:
                pass  # the loop is closed: nobody waits in it

    def _woken(self) -> None:
        self.wake_scheduled = False
        self._look()
        if self.client._core.closing:
            _drop_hub(self)

    def _readable(self) -> None:
        if self.users == 0:
            _drop_hub(self)  # somebody waits without asyncio; the next wait here starts a new reader
            return
        self.wake_scheduled = True  # this hub needs no wake() of its own
        try:
            self.client.clear_fd()
        except Error:
            pass  # closed
        self._woken()

    def _look(self) -> None:
        for future, request in list(self.waiting.items()):
            try:
                if request.is_terminal() and not future.done():
                    future.set_result(None)
            except Error as error:
                if not future.done():
                    future.set_exception(error)
        while self.turns and self._take_turn(self.turns[0]):
            self.turns.popleft()

    def _take_turn(self, turn: _Turn) -> bool:
        """False: there is no place yet."""
        if turn.future.done():
            return True
        try:
            turn.request = turn.attempt()
        except Exception as error:
            turn.future.set_exception(error)
            return True
        if turn.request is None:
            return False
        turn.future.set_result(None)
        return True

    async def wait_for(self, request: Request, timeout_s: float) -> None:
        """Until it is terminal, or timeout_s passed."""
        if request.is_terminal():
            return
        future: asyncio.Future[None] = self.loop.create_future()
        self.waiting[future] = request
        timer = self.loop.call_later(timeout_s, _expire, future)
        try:
            await future
        finally:
            timer.cancel()
            del self.waiting[future]

    async def submit(self, attempt: Callable[[], Request | None], timeout_s: float) -> Request:
        """Error: ETIMEDOUT, and those of the attempt."""
        if not self.turns:
            request = attempt()
            if request is not None:
                return request
        turn = _Turn(attempt, self.loop.create_future())
        self.turns.append(turn)
        timer = self.loop.call_later(timeout_s, _expire, turn.future)
        try:
            await turn.future
        except asyncio.CancelledError:
            if turn.request is not None:
                await _settle(self, turn.request)
            raise
        finally:
            timer.cancel()
            turn.future.cancel()  # if it is still in the queue, it is passed over
        if turn.request is None:
            raise Error(errno.ETIMEDOUT, "too many requests are in flight: its turn did not come in time")
        return turn.request


def _expire(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _hub_of(client: Client) -> _Hub:
    """Of the running loop."""
    loop = asyncio.get_running_loop()
    core = client._core
    for hub in list(core.watchers):
        if isinstance(hub, _Hub):
            if hub.loop is loop:
                return hub
            if hub.loop.is_closed():
                _drop_hub(hub)
    hub = _Hub(client, loop)
    core.watchers.append(hub)
    return hub


def _drop_hub(hub: _Hub) -> None:
    try:
        hub.client._core.watchers.remove(hub)
    except ValueError:
        return  # another thread, or an earlier call, did it
    if not hub.loop.is_closed():
        hub.loop.remove_reader(hub.fd)
    os.close(hub.fd)


async def _settle(hub: _Hub, request: Request) -> None:
    """Cancels it and waits for its end; being cancelled once more does not shorten that."""
    end = hub.loop.time() + SETTLE_S
    try:
        request.cancel()
        while not request.is_terminal() and hub.loop.time() < end:
            try:
                await hub.wait_for(request, end - hub.loop.time())
            except asyncio.CancelledError:
                continue
    except Error:
        pass  # freed, or its client closed: nothing is left to wait for


async def _transfer(client: Client, attempt: Callable[..., Request | None], entries: Sequence[Entry],
                    timeout_s: float) -> Request:
    clock = asyncio.get_running_loop().time
    end = clock() + timeout_s

    def attempt_now() -> Request | None:
        return attempt(entries, timeout_ms=max(1, int((end - clock()) * 1000)))

    with _hub_of(client) as hub:
        request = await hub.submit(attempt_now, timeout_s)
        try:
            # At its own deadline the library ends it; the rest is for an agent that answers no more.
            await hub.wait_for(request, max(0.0, end - clock()) + SETTLE_S)
        except asyncio.CancelledError:
            await _settle(hub, request)
            raise
    return request
