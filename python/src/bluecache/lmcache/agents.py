# SPDX-License-Identifier: Apache-2.0
"""The agents that were configured, and which of them may be asked now.

Nothing here raises because an agent is away. Each agent has a thread that opens the client, with back-off, registers
LMCache's pool, and later asks an agent that was too slow whether it is back. Until then it costs nobody anything:
usable() says no."""

import enum
import threading
import time
from collections.abc import Callable

import bluecache
from bluecache.lmcache.counters import Counters, RareLog, logger
from bluecache.lmcache.options import Endpoint, Options
from bluecache.lmcache.reaper import Reaper
from bluecache.lmcache.regions import Place, Regions

BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_MOST_SECONDS = 5.0
REGISTER_MS = 60000  # pinning a pool of a few hundred GiB takes its time

# Clients that could not be closed, because a stopped agent may still reach their memory: kept until the process ends.
_quarantine: list["Agent"] = []


class State(enum.Enum):
    CONNECTING = "connecting"
    READY = "ready"
    SLOW = "slow"  # it let a deadline pass, and has not answered since
    CLOSED = "closed"


class Agent:
    """One of them. Any thread."""

    def __init__(self, endpoint: Endpoint, options: Options, pools: list[Place], counters: Counters,
                 log: RareLog) -> None:
        self.endpoint = endpoint
        self._options = options
        self._pools = pools
        self._counters = counters
        self._log = log
        self._state = State.CONNECTING
        self._changed = threading.Condition()
        self._client: bluecache.Client | None = None
        self._regions: Regions | None = None
        self._reaper: Reaper | None = None
        self._given_up = False  # close() did not wait for the thread any longer
        self._thread = threading.Thread(target=self._run, name="bluecache-link", daemon=True)
        self._thread.start()

    # ---- for those who transfer ------------------------------------------------------------------

    @property
    def client(self) -> bluecache.Client:
        assert self._client is not None, "only a usable agent has a client"
        return self._client

    @property
    def regions(self) -> Regions:
        assert self._regions is not None
        return self._regions

    @property
    def reaper(self) -> Reaper:
        assert self._reaper is not None
        return self._reaper

    def usable(self) -> bool:
        """Whether it makes sense to ask it now; costs microseconds."""
        if self._state is not State.READY or self._client is None:
            return False
        try:
            return self._client.connected
        except bluecache.Error:
            return False

    def was_slow(self) -> None:
        """It let a deadline pass: nobody asks it until it answers its thread."""
        self._counters.add("timeouts")
        self._log.warn("slow " + str(self.endpoint), "the agent at %s did not answer in time; its objects count as "
                       "missed until it does", self.endpoint)
        with self._changed:
            if self._state is State.READY:
                self._state = State.SLOW
                self._changed.notify_all()

    @property
    def state(self) -> State:
        return self._state

    def wait_usable(self, seconds: float) -> bool:
        """Waits for it: for tests, and for tools that are not an engine."""
        end = time.monotonic() + seconds
        with self._changed:
            self._changed.wait_for(lambda: self._state in (State.READY, State.CLOSED), seconds)
        while not self.usable() and self._state is not State.CLOSED and time.monotonic() < end:
            time.sleep(0.01)
        return self.usable()

    # ---- its thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        self._retry(self._connect)
        while self._state is not State.CLOSED:
            with self._changed:
                self._changed.wait_for(lambda: self._state in (State.SLOW, State.CLOSED))
            if self._state is State.SLOW:
                self._retry(self._probe)
        if self._given_up and self._client is not None:
            self._close_client(self._client)

    def _retry(self, attempt: Callable[[], bool]) -> None:
        """Until it succeeds or the agent is closed."""
        pause = BACKOFF_FIRST_SECONDS
        while self._state is not State.CLOSED and not attempt():
            with self._changed:
                self._changed.wait_for(lambda: self._state is State.CLOSED, pause)
            pause = min(pause * 2, BACKOFF_MOST_SECONDS)

    def _connect(self) -> bool:
        try:
            if self._client is None:
                self._client = bluecache.Client(
                    self.endpoint.dpu_addr or None, self.endpoint.pci_addr or None, self.endpoint.mode or None,
                    timeout_ms=max(self._options.timeout_ms, REGISTER_MS), name="lmcache")
            if self._regions is None:
                regions = Regions(self._client, self._counters, self._log)
                regions.register_pools(self._pools)
                self._regions = regions
            self._reaper = Reaper(self._client, "bluecache-reaper")
        except (OSError, ValueError) as error:
            self._log.warn("connect " + str(self.endpoint), "the agent at %s cannot be used: %s; trying again",
                           self.endpoint, getattr(error, "strerror", None) or error)
            return False
        info = self._client.info
        logger.info("BlueCache: connected to %s at %s%s, %d MiB of LMCache's memory registered", info.agent,
                    info.dpu_addr, ", emulated" if info.emulated else "",
                    sum(pool.length for pool in self._pools) >> 20)
        return self._enter(State.CONNECTING, State.READY)

    def _probe(self) -> bool:
        try:
            self.client.ping(timeout_ms=self._options.lookup_timeout_ms)
        except bluecache.Error:
            return False
        logger.info("BlueCache: the agent at %s answers again", self.endpoint)
        return self._enter(State.SLOW, State.READY)

    def _enter(self, before: State, after: State) -> bool:
        with self._changed:
            if self._state is before:
                self._state = after
            self._changed.notify_all()
        return True

    # ---- the end ---------------------------------------------------------------------------------

    def close(self, deadline: float) -> bool:
        """Waits for what is under way, and cancels what is not over by then. False: a stopped agent may still reach
        memory; client and memory are kept until the process ends. Once."""
        with self._changed:
            self._state = State.CLOSED
            self._changed.notify_all()
        self._thread.join(max(0.0, deadline - time.monotonic()) + 1)
        if self._thread.is_alive():  # inside a call that opens the client: it closes what comes out
            self._given_up = True
            return True
        client, reaper = self._client, self._reaper
        if client is None:
            return True
        if reaper is not None:
            reaper.drain(deadline)
        closer = threading.Thread(target=self._close_client, args=(client,), name="bluecache-close", daemon=True)
        closer.start()
        closer.join(max(0.0, deadline - time.monotonic()) + 1)
        if reaper is not None:
            reaper.end(client.closed)
        if not client.closed:
            _quarantine.append(self)
        return client.closed

    def _close_client(self, client: bluecache.Client) -> None:
        try:
            client.close()
        except bluecache.Error as error:
            logger.error("BlueCache: %s: %s", self.endpoint, error.strerror)
