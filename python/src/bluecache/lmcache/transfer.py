# SPDX-License-Identifier: Apache-2.0
"""Put, get, look up and remove, for keys, addresses and bytes: what the storage plugin and the L2 adapter share.

Objects go straight between their own memory and the agent. Nothing raises and nothing waits longer than its deadline:
what fails counts as missed. A get is written once, as a generator of Steps (`fetch`), and driven twice: `run` blocks
the calling thread, `run_async` lets the event loop go on."""

import asyncio
import concurrent.futures
import enum
import errno
import threading
import time
from collections.abc import Callable, Generator, Sequence
from itertools import repeat
from typing import NamedTuple

import bluecache
from bluecache import Op, Status
from bluecache.entries import HeadedEntries
from bluecache.lmcache.agents import Agent
from bluecache.lmcache.counters import Counters, RareLog, logger
from bluecache.lmcache.keys import Name
from bluecache.lmcache.layout import HEADER_LEN, Layout, LayoutError, decode
from bluecache.lmcache.options import Options
from bluecache.lmcache.places import Places
from bluecache.lmcache.reaper import Job
from bluecache.lmcache.regions import Place, Spot

GRACE_SECONDS = 0.5  # what a request may be late before somebody who waits for it gives it up
REQUEST_OBJECTS = 256  # of one request: the agent begins while the next ones are put together


#: told of objects of a put by their indexes, and whether they were stored
Done = Callable[[Sequence[int], bool], None]


class Outcome(enum.Enum):
    OPEN = 0
    HIT = 1
    MISS = 2  # not there
    FAILED = 3  # there, but not in time, or not whole
    MISMATCH = 4  # there, but of a layout that does not belong here
    NO_MEMORY = 5


_COUNTER = {Outcome.MISS: "gets_missed", Outcome.FAILED: "gets_failed", Outcome.OPEN: "gets_failed",
            Outcome.MISMATCH: "gets_mismatched", Outcome.NO_MEMORY: "gets_no_memory"}


class Stored(NamedTuple):
    """An object to be put: its name, its bytes, and the header that says how to read them."""

    name: Name
    place: Place
    header: bytes


class Want:
    """An object to be got. Where to and how it should look: place and layout, None when there is no room for it.

    index: the caller's own number for it. other: asked when the object has another layout; gives the place for it, or
    an Outcome why not. What it replaces is not in use any more. late: called once, later, if the request outlives its
    deadline (`is_late`): until then the DPU may write to the place. Both are told the index."""

    __slots__ = ("name", "place", "layout", "index", "other", "late", "outcome", "is_late", "agent", "found")

    def __init__(self, name: Name, place: Place | None, layout: Layout | None, index: int,
                 other: Callable[[int, Layout], "Place | Outcome"], late: Callable[[int], None]) -> None:
        self.name = name
        self.place = place
        self.layout = layout
        self.index = index
        self.other = other
        self.late = late
        self.outcome = Outcome.OPEN if place is not None else Outcome.NO_MEMORY
        self.is_late = False
        self.agent = -1  # that has it, or was asked last
        self.found: Layout | None = None


class Pull:
    """Wants that one agent is asked for in one request."""

    def __init__(self, agent: Agent, wants: Sequence[Want], deadline: float) -> None:
        self.agent = agent
        self.wants = list(wants)
        self.deadline = deadline
        self.slots: list[int] = []
        self.borrowed: list[Spot] = []

    def entries(self) -> HeadedEntries:
        """Of each want, its header and its bytes. bluecache.Error: memory cannot be registered, or all slots are in
        use."""
        regions = self.agent.regions
        slots = regions.slots.take(len(self.wants))
        if slots is None:
            raise bluecache.Error(errno.EAGAIN, "too many objects are on their way")
        self.slots += slots
        places = [want.place for want in self.wants if want.place is not None]
        memories = regions.find_and_borrow(places, self.borrowed)
        return HeadedEntries(
            regions.slots.memory, [slot * HEADER_LEN for slot in slots], HEADER_LEN, memories,
            [place.address - memory.address for place, memory in zip(places, memories)],
            [place.length for place in places], [want.name.key for want in self.wants], None)

    def settle(self, statuses: Sequence[Status]) -> None:
        """The request is over: what became of each want. Gives back what it used."""
        try:
            read = self.agent.regions.slots.read
            known: bytes | None = None
            found: Layout | None = None
            for want, slot, head, body in zip(self.wants, self.slots or repeat(-1), statuses[::2], statuses[1::2]):
                want.found = None
                if head is not Status.OK:
                    want.outcome = Outcome.MISS if head == Status.NOT_FOUND else Outcome.FAILED
                    continue
                header = read(slot)
                if header != known:  # that of the object before, most of the time
                    known, found = header, self._layout(header)
                want.found = found
                if found is None:
                    want.outcome = Outcome.MISMATCH
                elif found != want.layout:
                    want.outcome = Outcome.OPEN
                else:
                    want.outcome = Outcome.HIT if body is Status.OK else Outcome.FAILED
        finally:
            self.free()

    @staticmethod
    def _layout(header: bytes) -> Layout | None:
        try:
            return decode(header)
        except LayoutError as error:
            logger.warning("BlueCache: an object is unreadable: %s", error)
            return None

    def free(self) -> None:
        slots, self.slots = self.slots, []
        borrowed, self.borrowed = self.borrowed, []
        self.agent.regions.slots.give_back(slots, written=False)
        self.agent.regions.give_back(borrowed)

    def give_up(self) -> None:
        """It outlived its deadline: the wants stay the DPU's until over()."""
        for want in self.wants:
            want.outcome = Outcome.FAILED
            want.is_late = True

    def over(self, _: Sequence[Status]) -> None:
        self.free()
        for want in self.wants:
            want.late(want.index)


class Ask(NamedTuple):
    """A step: which of the other agents has these; the answer goes into want.agent, -1 for nobody."""

    wants: list[Want]


Step = list[Pull] | Ask


class Transfer:
    """Any thread."""

    def __init__(self, options: Options, agents: Sequence[Agent], counters: Counters, log: RareLog,
                 home_of: Callable[[Name], int]) -> None:
        """home_of: the agent that an object is written to, and looked for first."""
        self._options = options
        self._home_of = home_of
        self._agents = list(agents)
        self._counters = counters
        self._log = log
        self._seconds = options.timeout_ms / 1000
        self._put_lock = threading.Condition()
        self._put_bytes = 0
        remembered = options.presence_cache_keys or (65536 if len(self._agents) > 1 else 0)
        self.places = Places(remembered)
        self._pool = concurrent.futures.ThreadPoolExecutor(max(2, len(self._agents)), "bluecache-ask")

    def usable(self) -> bool:
        """Whether any agent may be asked."""
        return any(agent.usable() for agent in self._agents)

    def deadline(self) -> float:
        return time.monotonic() + self._seconds

    # ---- put -------------------------------------------------------------------------------------

    def put(self, objects: Sequence[Stored], done: Done) -> None:
        """Starts to store; never blocks. done(indexes, stored): with the index of each object exactly once, when nobody
        reads its memory any more; from this thread or another."""
        if len(self._agents) == 1:
            self._put_home(0, objects, done)
            return
        homes = [self._home_of(stored.name) for stored in objects]
        for home in sorted(set(homes)):
            indexes = [index for index, its in enumerate(homes) if its == home]
            self._put_home(home, [objects[index] for index in indexes], _renumbered(done, indexes))

    def _put_home(self, home: int, objects: Sequence[Stored], done: Done) -> None:
        agent = self._agents[home]
        if not agent.usable():
            self._drop("puts_dropped_away", range(len(objects)), done)
            return
        # Those that fit, from the first on: what is missing at the end of a prompt costs least.
        fits = self._reserve(objects)
        if fits < len(objects):
            self._log.warn("full", "%d objects are not stored: more than %d MiB of puts are under way",
                           len(objects) - fits, self._options.put_queue_bytes >> 20)
            self._drop("puts_dropped_full", range(fits, len(objects)), done)
        for begin in range(0, fits, REQUEST_OBJECTS):
            self._push(agent, home, objects[begin:min(begin + REQUEST_OBJECTS, fits)], begin, done)

    def _drop(self, counter: str, indexes: Sequence[int], done: Done) -> None:
        self._counters.add(counter, len(indexes))
        done(indexes, False)

    def _reserve(self, objects: Sequence[Stored]) -> int:
        """How many of them fit below put_queue_bytes. One that is alone always does."""
        with self._put_lock:
            for index, stored in enumerate(objects):
                after = self._put_bytes + stored.place.length
                if after > self._options.put_queue_bytes and self._put_bytes > 0:
                    return index
                self._put_bytes = after
        return len(objects)

    def _release(self, length: int) -> None:
        with self._put_lock:
            self._put_bytes -= length
            self._put_lock.notify_all()

    def wait_put(self, seconds: float) -> bool:
        """Until a put ends, or `seconds` passed; at once when none is under way. Whether it may be worth it to look
        again."""
        with self._put_lock:
            return self._put_bytes > 0 and self._put_lock.wait(seconds)

    def _push(self, agent: Agent, home: int, objects: Sequence[Stored], begin: int, done: Done) -> None:
        regions = agent.regions
        slots: list[int] = []  # one for all objects of one header
        borrowed: list[Spot] = []
        places = [stored.place for stored in objects]
        lengths = [place.length for place in places]
        known = regions.find_each(places)

        def entries() -> HeadedEntries:
            memories = regions.find_and_borrow(places, borrowed)
            offsets, header, offset = [], b"", 0
            for stored in objects:
                if stored.header is not header:
                    header = stored.header
                    slot = regions.slots.write(header)
                    if slot is None:
                        raise bluecache.Error(errno.EAGAIN, "too many objects are on their way")
                    slots.append(slot)
                    offset = slot * HEADER_LEN
                offsets.append(offset)
            return HeadedEntries(
                regions.slots.memory, offsets, HEADER_LEN, memories,
                [place.address - memory.address for place, memory in zip(places, memories)], lengths,
                [stored.name.key for stored in objects],
                [stored.name.group for stored in objects] if self._options.group else None)

        def over(statuses: Sequence[Status]) -> None:
            regions.slots.give_back(slots, written=True)
            regions.give_back(borrowed)
            if not _all_ok(statuses) and Status.TIMED_OUT in statuses:
                agent.was_slow()
            # The header and the bytes are one object, which is there or not.
            bad = [body if head is Status.OK else head for head, body in zip(statuses[::2], statuses[1::2])]
            self._count_puts(home, objects, bad)
            try:
                for stored, indexes in _told_apart(bad, begin):
                    done(indexes, stored)
            finally:
                self._release(sum(lengths))

        agent.reaper.submit(Job(Op.PUSH, entries, over, 2 * len(objects), self.deadline(), slow=None in known))

    def _count_puts(self, home: int, objects: Sequence[Stored], statuses: Sequence[Status]) -> None:
        good = [stored for stored, status in zip(objects, statuses) if status is Status.OK]
        self._counters.add("puts", len(good))
        self._counters.add("put_bytes", sum(stored.place.length for stored in good))
        for stored in good if self.places.is_on else ():
            self.places.note(stored.name.key, home)
        if len(good) < len(objects):
            bad = next(status for status in statuses if status != Status.OK)
            self._counters.add("puts_failed", len(objects) - len(good))
            self._log.warn("put " + bad.name, "%d objects are not stored: %s", len(objects) - len(good), bad.name)

    # ---- get -------------------------------------------------------------------------------------

    def fetch(self, wants: Sequence[Want]) -> Generator[Step, None, None]:
        """Fills in the outcome of each want. To be driven by run() or run_async()."""
        deadline = self.deadline()
        todo = [want for want in wants if want.outcome is Outcome.OPEN]
        for want in todo:
            want.agent = self.places.find(want.name.key, self._home_of(want.name)) if self.places.is_on else (
                self._home_of(want.name))
        yield from self._pull(todo, deadline)
        missing = [want for want in todo if want.outcome is Outcome.MISS or want.agent < 0]
        if missing and len(self._agents) > 1 and self._options.ask_others:
            yield Ask(missing)
            missing = [want for want in missing if want.agent >= 0]
            for want in missing:
                want.outcome = Outcome.OPEN
            yield from self._pull(missing, deadline)
        self._note_hits([want for want in todo if want.outcome is Outcome.HIT])
        for want in todo:
            if want.outcome is not Outcome.HIT:
                self._note_miss(want)

    def _pull(self, wants: Sequence[Want], deadline: float) -> Generator[Step, None, None]:
        """Asks every want's agent, and again with the place for the layout that turned out."""
        for _ in range(2):
            pulls = []
            for index, agent in enumerate(self._agents):
                mine = [want for want in wants if want.agent == index and want.outcome is Outcome.OPEN]
                if mine and not agent.usable():
                    for want in mine:
                        want.agent = -1
                    continue
                pulls += [Pull(agent, mine[begin:begin + REQUEST_OBJECTS], deadline)
                          for begin in range(0, len(mine), REQUEST_OBJECTS)]
            if pulls:
                yield pulls
            for want in wants:
                if want.outcome is Outcome.OPEN and want.agent >= 0:
                    self._adapt(want)

    @staticmethod
    def _adapt(want: Want) -> None:
        """The object has another layout than was expected, or the second attempt was the last."""
        if want.found is None or want.found == want.layout:
            want.outcome = Outcome.FAILED
            return
        place = want.other(want.index, want.found)
        if isinstance(place, Outcome):
            want.outcome = place
        else:
            want.place, want.layout = place, want.found

    def _note_hits(self, hits: Sequence[Want]) -> None:
        self._counters.add("gets", len(hits))
        self._counters.add("get_bytes", sum(want.place.length for want in hits if want.place is not None))
        if len(self._agents) > 1:
            self._counters.add("gets_elsewhere", sum(want.agent != self._home_of(want.name) for want in hits))
        for want in hits if self.places.is_on else ():
            self.places.note(want.name.key, want.agent)

    def _note_miss(self, want: Want) -> None:
        if want.outcome is Outcome.OPEN:
            want.outcome = Outcome.FAILED
        self.places.forget(want.name.key)
        self._counters.add(_COUNTER[want.outcome])

    # ---- driving a get ---------------------------------------------------------------------------

    def run(self, steps: Generator[Step, None, None]) -> None:
        """In this thread, which sleeps inside the library meanwhile."""
        for step in steps:
            if isinstance(step, Ask):
                self._answer(step)
                continue
            started = [(pull, self._start(pull)) for pull in step]
            for pull, request in started:
                if request is not None:
                    self._wait(pull, request)

    def _start(self, pull: Pull) -> bluecache.Request | None:
        """None: it is over already."""
        left_ms = int((pull.deadline - time.monotonic()) * 1000)
        try:
            return pull.agent.client.pull(pull.entries(), timeout_ms=max(1, left_ms))
        except (OSError, ValueError, TypeError) as error:
            self._failed(pull, error)
            return None

    def _failed(self, pull: Pull, error: Exception) -> None:
        if isinstance(error, OSError) and error.errno == errno.ETIMEDOUT:
            pull.agent.was_slow()
        self._log.warn("get", "objects could not be asked for: %s", getattr(error, "strerror", None) or error)
        pull.settle([Status.DISCONNECTED] * (2 * len(pull.wants)))

    def _wait(self, pull: Pull, request: bluecache.Request) -> None:
        left = max(0.0, pull.deadline - time.monotonic()) + GRACE_SECONDS
        try:
            over = request.wait(int(left * 1000)) != Status.IN_PROGRESS
            statuses = request.statuses if over else []
        except bluecache.ClosedError:
            over, statuses = False, []
        if over:
            request.free()
            self._settle(pull, statuses)
        else:
            pull.give_up()
            self._tell_late(pull)
            pull.agent.reaper.adopt(request, pull.over)

    def _settle(self, pull: Pull, statuses: Sequence[Status]) -> None:
        if not _all_ok(statuses) and Status.TIMED_OUT in statuses:
            pull.agent.was_slow()
        pull.settle(statuses)

    def _tell_late(self, pull: Pull) -> None:
        pull.agent.was_slow()
        self._log.warn("late", "a get outlived its deadline: the agent at %s is stopped inside a copy; %d memory objects "
                       "stay in use until it goes on", pull.agent.endpoint, len(pull.wants))

    async def run_async(self, steps: Generator[Step, None, None]) -> None:
        """The same; the loop goes on meanwhile. When it is cancelled, the wants that are under way are late."""
        loop = asyncio.get_running_loop()
        for step in steps:
            if isinstance(step, Ask):
                await loop.run_in_executor(None, self._answer, step)
            else:
                await asyncio.gather(*[self._pull_async(pull, loop) for pull in step])

    async def _pull_async(self, pull: Pull, loop: asyncio.AbstractEventLoop) -> None:
        handover = _Handover(pull, loop)
        # Bytes outside the pool are registered first, which is left to the reaper.
        slow = any(want.place is None or pull.agent.regions.find(want.place) is None for want in pull.wants)
        pull.agent.reaper.submit(Job(Op.PULL, pull.entries, handover.done, 2 * len(pull.wants), pull.deadline, slow))
        left = max(0.0, pull.deadline - time.monotonic()) + GRACE_SECONDS
        statuses = await handover.wait(left)
        if statuses is None:
            self._tell_late(pull)
        else:
            self._settle(pull, statuses)

    # ---- look up ---------------------------------------------------------------------------------

    def _answer(self, ask: Ask) -> None:
        names = [want.name for want in ask.wants]
        found = [-1] * len(names)
        self._fill(names, found, self._others)
        for want, index in zip(ask.wants, found):
            want.agent = index

    def lookup(self, names: Sequence[Name]) -> list[int]:
        """Of each name, the agent that has it, or -1: one question to its home, then one to each of the others for what
        is missing. Blocks, at most two times lookup_timeout_ms."""
        self._counters.add("lookups", len(names))
        found = [-1] * len(names)
        if self._options.presence_cache_keys:
            usable = {index for index, agent in enumerate(self._agents) if agent.usable()}
            remembered = [self.places.find(name.key, -1) for name in names]
            found = [index if index in usable else -1 for index in remembered]
            self._counters.add("lookups_remembered", sum(index >= 0 for index in found))
        self._fill(names, found, lambda name: (self._home_of(name),))
        if len(self._agents) > 1 and self._options.ask_others:
            self._fill(names, found, self._others)
        self._counters.add("lookups_found", sum(index >= 0 for index in found))
        return found

    def _others(self, name: Name) -> Sequence[int]:
        home = self._home_of(name)
        return [index for index in range(len(self._agents)) if index != home]

    def _fill(self, names: Sequence[Name], found: list[int], whom: Callable[[Name], Sequence[int]]) -> None:
        """Asks, for each name that is open, these agents, all at the same time; the first of them that has it."""
        questions: dict[int, list[int]] = {}
        missing = [place for place, index in enumerate(found) if index < 0]
        if len(self._agents) == 1 and missing:
            questions[0] = missing
        else:
            for place in missing:
                for agent in whom(names[place]):
                    questions.setdefault(agent, []).append(place)
        answers = self._each({index: [names[place].key for place in places] for index, places in questions.items()},
                             self._has)
        if questions and not answers:
            self._counters.add("lookups_failed", sum(index < 0 for index in found))
        for index in sorted(answers, reverse=True):
            for place, has in zip(questions[index], answers[index]):
                if has:
                    found[place] = index
                    self.places.note(names[place].key, index)

    def _has(self, agent: Agent, keys: Sequence[bytes]) -> list[bool]:
        infos = agent.client.query(keys, timeout_ms=self._options.lookup_timeout_ms)
        ok = Status.OK
        return [status is ok for status, _, _ in infos]

    def _each(self, questions: dict[int, list[bytes]],
              ask: Callable[[Agent, Sequence[bytes]], list[bool]]) -> dict[int, list[bool]]:
        """The answers of those agents that gave one."""

        def one(index: int) -> list[bool] | None:
            try:
                return ask(self._agents[index], questions[index])
            except OSError as error:
                if error.errno == errno.ETIMEDOUT:
                    self._agents[index].was_slow()
                return None

        usable = [index for index in questions if self._agents[index].usable()]
        if len(usable) == 1:
            answers = [one(usable[0])]
        else:
            answers = [future.result() for future in [self._pool.submit(one, index) for index in usable]]
        return {index: answer for index, answer in zip(usable, answers) if answer is not None}

    # ---- remove, close ---------------------------------------------------------------------------

    def remove(self, names: Sequence[Name]) -> list[bool]:
        """At every agent; whether any had it. Blocks, at most lookup_timeout_ms."""
        keys = [name.key for name in names]
        for key in keys:
            self.places.forget(key)
        answers = self._each(dict.fromkeys(range(len(self._agents)), keys), lambda agent, keys: [
            status == Status.OK for status in agent.client.remove(keys, timeout_ms=self._options.lookup_timeout_ms)])
        removed = [any(had[place] for had in answers.values()) for place in range(len(keys))]
        self._counters.add("removed", sum(removed))
        return removed

    def close(self) -> bool:
        """Waits for the puts under way, at most timeout_ms, and ends everything. False: a stopped agent may still reach
        memory. Once."""
        deadline = self.deadline()
        closing = [self._pool.submit(agent.close, deadline) for agent in self._agents]
        clean = all([future.result() for future in closing])
        self._pool.shutdown(wait=False)
        return clean


def _renumbered(done: Done, indexes: Sequence[int]) -> Done:
    """For some of the objects of a put."""
    return lambda places, stored: done([indexes[place] for place in places], stored)


def _all_ok(statuses: Sequence[Status]) -> bool:
    """count() looks at identity first."""
    return list(statuses).count(Status.OK) == len(statuses)


def _told_apart(statuses: Sequence[Status], begin: int) -> list[tuple[bool, Sequence[int]]]:
    """The indexes, from begin on, of what was stored and of what was not, as far as there are any."""
    good = [begin + index for index, status in enumerate(statuses) if status is Status.OK]
    bad = [begin + index for index, status in enumerate(statuses) if status is not Status.OK]
    return [(stored, indexes) for stored, indexes in ((True, good), (False, bad)) if indexes]


class _Handover:
    """The end of a pull, from the reaper to a coroutine that may have gone by then."""

    def __init__(self, pull: Pull, loop: asyncio.AbstractEventLoop) -> None:
        self._pull = pull
        self._loop = loop
        self._future: asyncio.Future[list[Status]] = loop.create_future()
        self._lock = threading.Lock()
        self._gone = False
        self._statuses: list[Status] | None = None

    def done(self, statuses: list[Status]) -> None:
        """Called by the reaper."""
        with self._lock:
            self._statuses = statuses
            gone = self._gone
        if gone:
            self._pull.over(statuses)
            return
        try:
            self._loop.call_soon_threadsafe(self._tell, statuses)
        except RuntimeError:  # the loop was closed, and the coroutine with it
            pass

    def _tell(self, statuses: list[Status]) -> None:
        if not self._future.done():
            self._future.set_result(statuses)

    async def wait(self, seconds: float) -> list[Status] | None:
        """None: it is not over; Pull.over is called when it is."""
        try:
            await asyncio.wait([self._future], timeout=seconds)
        except asyncio.CancelledError:
            if self._leave() is not None:
                self._pull.free()
            raise
        return self._leave()

    def _leave(self) -> list[Status] | None:
        with self._lock:
            if self._statuses is None:
                self._gone = True
                self._pull.give_up()
            return self._statuses
