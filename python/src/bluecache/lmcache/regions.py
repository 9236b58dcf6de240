# SPDX-License-Identifier: Apache-2.0
"""Memory that one agent can reach: LMCache's pool, what lies outside of it, and the slots of headers.

The pool is registered once, as one export. An object whose bytes lie elsewhere is registered for the time of its
request: how long its memory stays where it is, is not known here, and a registration of what was unmapped would read or
write somewhere else."""

import collections
import threading
from collections.abc import Sequence
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
    """Any thread. Blocks only in register_pools, in borrow and in give_back."""

    def __init__(self, client: bluecache.Client, counters: Counters, log: RareLog) -> None:
        self._client = client
        self._counters = counters
        self._log = log
        self._lock = threading.Lock()
        self._pools: list[bluecache.Memory] = []
        self.slots = Slots(client)

    def register_pools(self, pools: list[Place]) -> None:
        """bluecache.Error: the agent or the kernel refused."""
        for pool in pools:
            memory = self._client.register(pool.address, pool.length, device=pool.device)
            with self._lock:
                self._pools.append(memory)

    def find(self, place: Place) -> Spot | None:
        """None: it is not in the pool."""
        memory = self.find_each([place])[0]
        return None if memory is None else Spot(memory, place.address - memory.address)

    def find_each(self, places: Sequence[Place]) -> list[bluecache.Memory | None]:
        """The memory of each."""
        with self._lock:
            pools = [(pool, pool.address, pool.address + pool.length, pool.device) for pool in self._pools]
        found: list[bluecache.Memory | None] = []
        for address, length, device in places:
            for memory, begin, end, of in pools:
                if begin <= address and address + length <= end and of == device:
                    found.append(memory)
                    break
            else:
                found.append(None)
        return found

    def find_and_borrow(self, places: Sequence[Place], borrowed: list[Spot]) -> list[bluecache.Memory]:
        """The memory of each place; what is in no pool is registered, and added to `borrowed`, whatever happens then.
        bluecache.Error: see borrow."""
        memories: list[bluecache.Memory] = []
        for place, memory in zip(places, self.find_each(places)):
            if memory is None:
                borrowed.append(self.borrow(place))
                memory = borrowed[-1].memory
            memories.append(memory)
        return memories

    def borrow(self, place: Place) -> Spot:
        """Registers it, which takes a round trip; to be given back. bluecache.Error: it cannot be registered."""
        self._log.warn("outside", "%d bytes at 0x%x lie outside LMCache's pool and are registered by themselves, which "
                       "costs two round trips", place.length, place.address)
        self._counters.add("regions_extra")
        return Spot(self._client.register(place.address, place.length, device=place.device), 0)

    def give_back(self, spots: list[Spot]) -> None:
        """When their request is over."""
        for memory, _ in spots:
            try:
                memory.unregister()
            except bluecache.Error as error:
                self._log.warn("unregister", "memory stays registered: %s", error.strerror)


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

    def take(self, count: int) -> list[int] | None:
        """So many slots for the DPU to write to; None: there are not as many. To be given back."""
        slots: list[int] = []
        with self._lock:
            while len(slots) < count:
                slot = self._take()
                if slot is None:
                    self._free += slots
                    return None
                slots.append(slot)
            self._users.update(dict.fromkeys(slots, 1))
            return slots

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
