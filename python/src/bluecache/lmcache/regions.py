# SPDX-License-Identifier: Apache-2.0
"""Memory that one agent can reach: LMCache's pool, what lies outside of it, and the slots of headers.

The pool is registered once, as one export. An object whose bytes lie elsewhere is registered when it is first used; the
last few of those stay registered (option extra_regions)."""

import collections
import threading
from typing import NamedTuple

import bluecache
from bluecache.lmcache.counters import Counters, RareLog
from bluecache.lmcache.layout import HEADER_LEN

SLOTS = 4096


class Place(NamedTuple):
    """Bytes of this process or of a GPU."""

    address: int
    length: int
    device: int | None = None  # None: host memory; else the CUDA device


class Spot(NamedTuple):
    """Where a Place lies in registered memory."""

    memory: bluecache.Memory
    offset: int


class Regions:
    """Any thread. Blocks only in register_pools and in add."""

    def __init__(self, client: bluecache.Client, extra_max: int, counters: Counters, log: RareLog) -> None:
        self._client = client
        self._extra_max = extra_max
        self._counters = counters
        self._log = log
        self._lock = threading.Lock()
        self._pools: list[bluecache.Memory] = []
        self._extra: "collections.OrderedDict[Place, bluecache.Memory]" = collections.OrderedDict()
        self.slots = Slots(client)

    def register_pools(self, pools: list[Place]) -> None:
        """bluecache.Error: the agent or the kernel refused."""
        for pool in pools:
            memory = self._client.register(pool.address, pool.length, device=pool.device)
            with self._lock:
                self._pools.append(memory)

    def find(self, place: Place) -> Spot | None:
        """None: it is not registered yet."""
        with self._lock:
            for memory in self._pools:
                offset = place.address - memory.address
                if memory.device == place.device and 0 <= offset and offset + place.length <= memory.length:
                    return Spot(memory, offset)
            extra = self._extra.get(place)
            if extra is None:
                return None
            self._extra.move_to_end(place)
            return Spot(extra, 0)

    def add(self, place: Place) -> Spot:
        """Registers it, which takes a round trip, and forgets the one that was not used for longest.
        bluecache.Error: it cannot be registered."""
        spot = self.find(place)
        if spot is not None:
            return spot
        self._log.warn("outside", "%d bytes at 0x%x lie outside LMCache's pool and are registered by themselves, which "
                       "costs a round trip", place.length, place.address)
        self._counters.add("regions_extra")
        memory = self._client.register(place.address, place.length, device=place.device)
        with self._lock:
            self._extra[place] = memory
            old = []
            while len(self._extra) > self._extra_max:
                old.append(self._extra.popitem(last=False)[1])
        for forgotten in old:
            try:
                forgotten.unregister()
            except bluecache.Error:
                pass  # a request uses it: dropping the object unregisters it later
        return Spot(memory, 0)


class Slots:
    """HEADER_LEN bytes each, for headers on their way. Any thread.

    Those that are written are shared by everything that has the same header, and stay until the room is needed."""

    def __init__(self, client: bluecache.Client) -> None:
        self._shared = client.alloc(SLOTS * HEADER_LEN)
        self.memory = client.register(self._shared)
        self._view = self._shared.view
        self._lock = threading.Lock()
        self._free = list(range(SLOTS))
        self._written: "collections.OrderedDict[bytes, int]" = collections.OrderedDict()
        self._users: dict[int, int] = {}

    def write(self, header: bytes) -> int | None:
        """A slot with this header, for reading by the DPU; None: all are in use. To be given back."""
        with self._lock:
            slot = self._written.get(header)
            if slot is None:
                slot = self._take()
                if slot is None:
                    return None
                self._view[slot * HEADER_LEN:(slot + 1) * HEADER_LEN] = header
                self._written[header] = slot
            self._written.move_to_end(header)
            self._users[slot] = self._users.get(slot, 0) + 1
            return slot

    def take(self) -> int | None:
        """A slot for the DPU to write to; None: all are in use. To be given back."""
        with self._lock:
            slot = self._take()
            if slot is not None:
                self._users[slot] = 1
            return slot

    def _take(self) -> int | None:
        if self._free:
            return self._free.pop()
        for header, slot in self._written.items():
            if slot not in self._users:
                del self._written[header]
                return slot
        return None

    def give_back(self, slots: list[int], written: bool) -> None:
        with self._lock:
            for slot in slots:
                self._users[slot] -= 1
                if self._users[slot] == 0:
                    del self._users[slot]
                    if not written:
                        self._free.append(slot)

    def read(self, slot: int) -> bytes:
        return bytes(self._view[slot * HEADER_LEN:(slot + 1) * HEADER_LEN])
