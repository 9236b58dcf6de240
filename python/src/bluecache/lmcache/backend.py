# SPDX-License-Identifier: Apache-2.0
"""BlueCacheBackend: a storage plugin of LMCache's in-process engine.

Reads and writes go straight between LMCache's pinned pool (LocalCPUBackend) and the agent. The agent decides what to
evict. Nothing here raises into the engine, and nothing waits without a deadline.

What survives a change of the tensor-parallel size? LMCache's key has the world size and the rank, since with n ranks each
holds an n-th of the heads: such objects are of no use to another n, and are not found. When a rank moves to another
agent, or the list of agents changes, hits survive: what one's own agent does not have, the others are asked for. With
MLA every rank holds the same, LMCache stores it from the first rank alone (save_only_first_rank), and with the option
share_mla objects are named without rank and world size: these survive.

Layer-by-layer mode (use_layerwise) is refused: LMCache's layerwise retrieval takes for granted that what was found is
also read, and would compute with whatever is in memory when an object was evicted in between."""

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from lmcache.v1.storage_backend.abstract_backend import StoragePluginInterface

from bluecache.lmcache import compat
from bluecache.lmcache.agents import Agent
from bluecache.lmcache.counters import Counters, RareLog, logger
from bluecache.lmcache.keys import EngineNames, Name
from bluecache.lmcache.layout import Layout, LayoutError, encode
from bluecache.lmcache.options import OptionError, Options, parse, plugin_settings
from bluecache.lmcache.regions import Place
from bluecache.lmcache.transfer import Outcome, Stored, Transfer, Want


class BlueCacheBackend(StoragePluginInterface):  # type: ignore[misc]
    """Any thread may call anything; the coroutines run in the event loop of LMCache's storage manager."""

    def __init__(self, dst_device: str = "cpu", config: Any = None, metadata: Any = None, local_cpu_backend: Any = None,
                 loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Returns at once, whether the agents are there or not. local_cpu_backend: None in the scheduler's process,
        which only looks up. OptionError: the configuration cannot be meant."""
        super().__init__(dst_device=dst_device, config=config, metadata=metadata, local_cpu_backend=local_cpu_backend,
                         loop=loop)
        compat.use_lmcache_log()
        if config is None or metadata is None:
            raise OptionError("config and metadata are needed")
        if getattr(config, "use_layerwise", False):
            raise OptionError("use_layerwise is on: LMCache's layerwise retrieval does not notice objects that are gone "
                              "by then, so BlueCache is not used with it")
        options = parse(plugin_settings(config.extra_config or {}, list(config.storage_plugins or []),
                                        type(self).__name__))
        self.options = options
        self.counters = Counters()
        self._log = RareLog()
        self._names = EngineNames(compat.cache_text(metadata), options.share_mla and metadata.use_mla)
        self._home: int = metadata.local_worker_id % len(options.endpoints)
        self._allocator = None if local_cpu_backend is None else local_cpu_backend.get_memory_allocator()
        self.agents = self._start_agents(options)
        self._transfer = Transfer(options, self.agents, self.counters, self._log, lambda _: self._home)
        self._putting: set[bytes] = set()  # names
        self._lock = threading.Lock()
        self._closed = False
        if self._allocator is not None:
            compat.run_before_close(self._allocator, self.close)

    def _start_agents(self, options: Options) -> list[Agent]:
        places = [] if self._allocator is None else compat.pools(self._allocator)
        if self._allocator is not None and not places:
            logger.warning("BlueCache: the memory pool of %s is not known; each object is registered by itself",
                           type(self._allocator).__name__)
        return [Agent(endpoint, options, places, self.counters, self._log) for endpoint in options.endpoints]

    def __str__(self) -> str:
        return type(self).__name__

    def wait_usable(self, seconds: float) -> bool:
        """Until one's own agent can be asked, at most so long: for tools and tests, LMCache does not wait."""
        return self.agents[self._home].wait_usable(seconds)

    # ---- look up ---------------------------------------------------------------------------------

    def contains(self, key: Any, pin: bool = False) -> bool:
        """Whether a get would find it now. Blocks for one round trip, at most lookup_timeout_ms per step (own agent,
        then the others). False while it is being put: the agent publishes an object when it is whole. pin: see
        pin()."""
        return self.batched_contains([key], pin) == 1

    def batched_contains(self, keys: list[Any], pin: bool = False) -> int:
        """How many of them, from the first on without a gap. One question for all of them."""
        if not keys or self._closed:
            return 0
        try:
            return _leading(self._transfer.lookup(self._names.without_group(keys)))
        except Exception:
            logger.exception("BlueCache: a look-up failed")
            return 0

    async def batched_async_contains(self, lookup_id: str, keys: list[Any], pin: bool = False) -> int:
        """The same; the question waits in a thread of the loop's executor."""
        if not keys or not self._transfer.usable():
            return 0
        return await asyncio.get_running_loop().run_in_executor(None, self.batched_contains, keys, pin)

    def exists_in_put_tasks(self, key: Any) -> bool:
        name = self._names.without_group([key])[0]
        with self._lock:
            return name.key in self._putting

    # ---- put -------------------------------------------------------------------------------------

    def batched_submit_put_task(self, keys: Sequence[Any], objs: list[Any], transfer_spec: Any = None,
                                on_complete_callback: Callable[[Any], None] | None = None) -> None:
        """Starts to store; returns at once, or with async_put off when it is over. Each object has one more reference
        until the agent does not read it any more. on_complete_callback: for each key that was stored, from another
        thread. What cannot be stored is dropped and counted: it is a cache."""
        if self._closed or not keys:
            return
        stored, taken = self._take(keys, objs)
        if not stored:
            return
        over = threading.Event()
        left = _Countdown(len(stored), over.set)

        def done(indexes: Sequence[int], is_stored: bool) -> None:
            with self._lock:
                self._putting.difference_update([stored[index].name.key for index in indexes])
            for index in indexes:
                key, obj = taken[index]
                obj.ref_count_down()
                if is_stored and on_complete_callback is not None:
                    try:
                        on_complete_callback(key)
                    except Exception as error:
                        logger.warning("BlueCache: on_complete_callback failed: %s", error)
            left.count(len(indexes))

        self._transfer.put(stored, done)
        if not self.options.async_put:
            over.wait(self.options.timeout_ms / 1000 + 1)

    def _take(self, keys: Sequence[Any], objs: Sequence[Any]) -> tuple[list[Stored], list[tuple[Any, Any]]]:
        """Those that can be stored, with a reference each."""
        found: list[tuple[Stored, Any, Any]] = []
        describer = compat.Describer()
        layout, header = None, b""
        for key, obj, name in zip(keys, objs, self._named(keys)):
            try:
                if isinstance(name, Exception):
                    raise name
                place, its = describer.of(obj)
                if its is not layout:
                    layout, header = its, encode(its)
            except Exception as error:  # whatever LMCache may hand over one day
                self.counters.add("puts_dropped_unsupported")
                self._log.warn("unsupported", "an object is not stored: %s", error)
                continue
            found.append((Stored(name, place, header), key, obj))
        stored: list[Stored] = []
        taken: list[tuple[Any, Any]] = []
        with self._lock:
            putting = self._putting
            for item, key, obj in found:
                if item.name.key not in putting:
                    putting.add(item.name.key)
                    stored.append(item)
                    taken.append((key, obj))
        for _, obj in taken:
            obj.ref_count_up()
        self.counters.add("puts_skipped", len(found) - len(stored))
        return stored, taken

    def _named(self, keys: Sequence[Any]) -> Sequence[Name | Exception]:
        """The name of each, or why it has none."""
        try:
            return self._names.with_group(keys)
        except Exception:  # one of them has none
            return [self._named_alone(key) for key in keys]

    def _named_alone(self, key: Any) -> Name | Exception:
        try:
            return self._names.of(key)
        except Exception as error:
            return error

    # ---- get -------------------------------------------------------------------------------------

    def get_blocking(self, key: Any) -> Any:
        """The memory object, with a reference of the caller's; None: a miss. At most timeout_ms."""
        return self.get_each([key])[0]

    def batched_get_blocking(self, keys: list[Any]) -> list[Any]:
        """One per key, None for a miss; with LMCache 0.4.3 those before the first miss alone (see compat.answer). One
        request to each agent that is asked; at most timeout_ms in all."""
        return compat.answer(self.get_each(keys))

    def get_each(self, keys: list[Any]) -> list[Any]:
        """One per key, None for a miss; the rest as batched_get_blocking, which is made of it."""
        basket = self._basket(keys)
        if basket is None:
            return [None] * len(keys)
        try:
            self._transfer.run(self._transfer.fetch(basket.wants))
        except Exception:
            logger.exception("BlueCache: a get failed")
        return basket.take_all()

    async def batched_get_non_blocking(self, lookup_id: str, keys: list[Any], transfer_spec: Any = None) -> list[Any]:
        """Those from the first on without a gap. The loop goes on meanwhile."""
        basket = self._basket(keys)
        if basket is None:
            return []
        try:
            await self._transfer.run_async(self._transfer.fetch(basket.wants))
        except asyncio.CancelledError:
            basket.drop()
            raise
        except Exception:
            logger.exception("BlueCache: a get failed")
        return basket.take_leading()

    def get_non_blocking(self, key: Any, location: str | None = None) -> concurrent.futures.Future[Any] | None:
        """None: it is not there, as far as can be said at once; else a future of what get_blocking would give."""
        if self.loop is None or not self._transfer.usable():
            return None

        async def get() -> Any:
            found = await self.batched_get_non_blocking("", [key])
            return found[0] if found else None

        return asyncio.run_coroutine_threadsafe(get(), self.loop)

    def _basket(self, keys: Sequence[Any]) -> "_Basket | None":
        """None: there is nobody to ask, or no memory to read to. Takes memory only when there is somebody."""
        if not keys or self._closed or self.local_cpu_backend is None or not self._transfer.usable():
            return None
        try:
            whole = compat.whole_chunk(self.metadata)
            return _Basket(self._names.without_group(keys), whole, self._allocate, self.counters,
                           compat.allocate_all(self.local_cpu_backend, whole, len(keys)))
        except LayoutError as error:
            self._log.warn("layout", "nothing can be read: %s", error)
            return None

    def _allocate(self, layout: Layout) -> Any:
        """Memory from LMCache's pool. When there is none it waits for puts of ours, which hold some, at most
        lookup_timeout_ms; None: still none."""
        end = time.monotonic() + self.options.lookup_timeout_ms / 1000
        while True:
            obj = compat.allocate(self.local_cpu_backend, layout)
            left = end - time.monotonic()
            if obj is not None or left <= 0 or self._in_loop() or not self._transfer.wait_put(left):
                return obj

    def _in_loop(self) -> bool:
        """Whether this thread runs an event loop, which must not wait."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True

    # ---- the rest --------------------------------------------------------------------------------

    def pin(self, key: Any) -> bool:
        """False: nothing is pinned. An agent shares its store between many; what is read is pinned for that time by
        itself, and what was evicted before is a miss."""
        return False

    def unpin(self, key: Any) -> bool:
        """See pin()."""
        return False

    def remove(self, key: Any, force: bool = True) -> bool:
        """At every agent; whether one had it. At most lookup_timeout_ms."""
        return self.batched_remove([key], force) == 1

    def batched_remove(self, keys: list[Any], force: bool = True) -> int:
        if not keys or self._closed:
            return 0
        return sum(self._transfer.remove(self._names.without_group(keys)))

    def get_allocator_backend(self) -> Any:
        """LMCache puts from the memory of this backend without a copy: its own pool."""
        return self.local_cpu_backend

    def touch_cache(self) -> None:
        """Nothing to do: the agent counts what is read."""

    def close(self) -> None:
        """Waits for puts under way, at most timeout_ms, and ends all threads. Again: nothing happens. LMCache's pool
        calls it before it goes, too."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._transfer.close()
        told = {name: value for name, value in self.counters.snapshot().items() if value}
        logger.info("BlueCache: closed; %s", ", ".join("%s %d" % pair for pair in told.items()) or "nothing was done")


def _leading(found: Sequence[int]) -> int:
    return next((place for place, index in enumerate(found) if index < 0), len(found))


class _Countdown:
    """Calls once, when it was counted so often. Any thread."""

    def __init__(self, times: int, call: Callable[[], None]) -> None:
        self._left = times
        self._lock = threading.Lock()
        self._call = call

    def count(self, times: int) -> None:
        with self._lock:
            self._left -= times
            last = self._left == 0
        if last:
            self._call()


class _Basket:
    """The memory objects of a get, one per name, and who gives each back: take_* and drop, or the transfer when it is
    late."""

    def __init__(self, names: Sequence[Name], whole: Layout, allocate: Callable[[Layout], Any],
                 counters: Counters, objects: list[Any]) -> None:
        """objects: one for each name, of the whole layout; or none, and each is allocated by itself."""
        self._whole = whole
        self._allocate = allocate
        self._objects = objects
        while len(objects) < len(names):
            obj = allocate(whole)
            if obj is None:  # the first ones matter most; the others would only push them out
                objects += [None] * (len(names) - len(objects))
            else:
                objects.append(obj)
        self.wants = [Want(name, None if obj is None else compat.place_of(obj), whole, index, self._other,
                           self._drop_one)
                      for index, (name, obj) in enumerate(zip(names, objects))]
        counters.add("gets_no_memory", objects.count(None))

    def _other(self, index: int, found: Layout) -> Place | Outcome:
        """The object has another layout: a chunk with fewer tokens, or no KV at all (an encoder's output)."""
        if compat.is_kv(found) and not found.is_part_of(self._whole._replace(fmt=found.fmt)):
            return Outcome.MISMATCH
        self._drop_one(index)
        obj = self._objects[index] = self._allocate(found)
        return Outcome.NO_MEMORY if obj is None else compat.place_of(obj)

    def _drop_one(self, index: int) -> None:
        obj, self._objects[index] = self._objects[index], None
        if obj is not None:
            obj.ref_count_down()

    def drop(self, begin: int = 0) -> None:
        """Gives back what nobody writes to any more."""
        for index in range(begin, len(self.wants)):
            if not self.wants[index].is_late:
                self._drop_one(index)

    def take_all(self) -> list[Any]:
        for index, want in enumerate(self.wants):
            if want.outcome is not Outcome.HIT and not want.is_late:
                self._drop_one(index)
        return [obj if want.outcome is Outcome.HIT else None for obj, want in zip(self._objects, self.wants)]

    def take_leading(self) -> list[Any]:
        count = next((index for index, want in enumerate(self.wants) if want.outcome is not Outcome.HIT),
                     len(self.wants))
        self.drop(count)
        return self._objects[:count]
