# SPDX-License-Identifier: Apache-2.0
"""Put, get, look up and remove, for keys, addresses and bytes: what the storage plugin and the L2 adapter share.

Objects go straight between their own memory and the agent. Nothing raises and nothing waits longer than its deadline:
what fails counts as missed. A get is written once, as a generator of Steps (`fetch`), and driven twice: `run` blocks the
calling thread, `run_async` lets the event loop go on."""

import asyncio
import concurrent.futures
import enum
import errno
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import NamedTuple

import bluecache
from bluecache import Entry, Op, Status
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


class Outcome(enum.Enum):
    OPEN = 0
    HIT = 1
    MISS = 2  # not there
    FAILED = 3  # there, but not in time, or not whole
    MISMATCH = 4  # there, but of a layout that does not belong here
    NO_MEMORY = 5


_COUNTER = {Outcome.HIT: "gets", Outcome.MISS: "gets_missed", Outcome.FAILED: "gets_failed", Outcome.OPEN: "gets_failed",
            Outcome.MISMATCH: "gets_mismatched", Outcome.NO_MEMORY: "gets_no_memory"}


class Stored(NamedTuple):
    """An object to be put: its name, its bytes, and the header that says how to read them."""

    name: Name
    place: Place
    header: bytes


class Want:
    """An object to be got. Where to and how it should look: place and layout, None when there is no room for it.

    other: asked when the object has another layout; gives the place for it, or an Outcome why not. What it replaces is
    not in use any more. late: called once, later, if the request outlives its deadline (`is_late`): until then the DPU
    may write to the place."""

    __slots__ = ("name", "place", "layout", "other", "late", "outcome", "is_late", "agent", "found")

    def __init__(self, name: Name, place: Place | None, layout: Layout | None,
                 other: Callable[[Layout], "Place | Outcome"], late: Callable[[], None]) -> None:
        self.name = name
        self.place = place
        self.layout = layout
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

    def entries(self) -> list[Entry]:
        """Of each want, its header and its bytes. bluecache.Error: memory cannot be registered, or all slots are in
        use."""
        regions = self.agent.regions
        entries = []
        for want in self.wants:
            assert want.place is not None
            slot = regions.slots.take()
            if slot is None:
                raise bluecache.Error(errno.EAGAIN, "too many objects are on their way")
            self.slots.append(slot)
            spot = regions.find(want.place)
            if spot is None:
                spot = regions.borrow(want.place)
                self.borrowed.append(spot)
            entries.append(Entry(regions.slots.memory, slot * HEADER_LEN, want.name.key, 0, HEADER_LEN))
            entries.append(Entry(spot.memory, spot.offset, want.name.key, HEADER_LEN, want.place.length))
        return entries

    def settle(self, statuses: Sequence[Status]) -> None:
        """The request is over: what became of each want. Gives back what it used."""
        try:
            for index, want in enumerate(self.wants):
                head, body = statuses[2 * index], statuses[2 * index + 1]
                want.outcome, want.found = self._judge(want, head, body, index)
        finally:
            self.free()

    def _judge(self, want: Want, head: Status, body: Status, index: int) -> tuple[Outcome, Layout | None]:
        if head != Status.OK:
            return (Outcome.MISS if head == Status.NOT_FOUND else Outcome.FAILED), None
        try:
            found = decode(self.agent.regions.slots.read(self.slots[index]))
        except LayoutError as error:
            logger.warning("BlueCache: an object is unreadable: %s", error)
            return Outcome.MISMATCH, None
        if found != want.layout:
            return Outcome.OPEN, found
        return (Outcome.HIT if body == Status.OK else Outcome.FAILED), found

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
            want.late()


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

    def put(self, objects: Sequence[Stored], done: Callable[[int, bool], None]) -> None:
        """Starts to store; never blocks. done(index, stored): exactly once for each object, when nobody reads its memory
        any more; from this thread or another."""
        homes = [self._home_of(stored.name) for stored in objects]
        for home in sorted(set(homes)):
            indexes = [index for index, its in enumerate(homes) if its == home]
            self._put_home(home, [objects[index] for index in indexes], _renumbered(done, indexes))

    def _put_home(self, home: int, objects: Sequence[Stored], done: Callable[[int, bool], None]) -> None:
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

    def _drop(self, counter: str, indexes: Iterable[int], done: Callable[[int, bool], None]) -> None:
        for index in indexes:
            self._counters.add(counter)
            done(index, False)

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

    def _push(self, agent: Agent, home: int, objects: Sequence[Stored], begin: int,
              done: Callable[[int, bool], None]) -> None:
        regions = agent.regions
        slots: list[int] = []
        borrowed: list[Spot] = []
        spots: list[Spot | None] = [regions.find(stored.place) for stored in objects]

        def entries() -> list[Entry]:
            made = []
            for stored, known in zip(objects, spots):
                spot = known
                if spot is None:
                    spot = regions.borrow(stored.place)
                    borrowed.append(spot)
                slot = regions.slots.write(stored.header)
                if slot is None:
                    raise bluecache.Error(errno.EAGAIN, "too many objects are on their way")
                slots.append(slot)
                key, group = stored.name if self._options.group else (stored.name.key, 0)
                made.append(Entry(regions.slots.memory, slot * HEADER_LEN, key, 0, HEADER_LEN, group))
                made.append(Entry(spot.memory, spot.offset, key, HEADER_LEN, stored.place.length, group))
            return made

        def over(statuses: Sequence[Status]) -> None:
            regions.slots.give_back(slots, written=True)
            regions.give_back(borrowed)
            if Status.TIMED_OUT in statuses:
                agent.was_slow()
            # The header and the bytes are one object, which is there or not.
            bad = [body if head == Status.OK else head for head, body in zip(statuses[::2], statuses[1::2])]
            self._count_puts(home, objects, bad)
            try:
                for index, status in enumerate(bad):
                    done(begin + index, status == Status.OK)
            finally:
                self._release(sum(stored.place.length for stored in objects))

        agent.reaper.submit(Job(Op.PUSH, entries, over, 2 * len(objects), self.deadline(), slow=None in spots))

    def _count_puts(self, home: int, objects: Sequence[Stored], statuses: Sequence[Status]) -> None:
        good = [stored for stored, status in zip(objects, statuses) if status == Status.OK]
        self._counters.add("puts", len(good))
        self._counters.add("put_bytes", sum(stored.place.length for stored in good))
        for stored in good:
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
            want.agent = self.places.find(want.name.key, self._home_of(want.name))
        yield from self._pull(todo, deadline)
        missing = [want for want in todo if want.outcome is Outcome.MISS or want.agent < 0]
        if missing and len(self._agents) > 1 and self._options.ask_others:
            yield Ask(missing)
            missing = [want for want in missing if want.agent >= 0]
            for want in missing:
                want.outcome = Outcome.OPEN
            yield from self._pull(missing, deadline)
        for want in todo:
            self._note(want)

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
        place = want.other(want.found)
        if isinstance(place, Outcome):
            want.outcome = place
        else:
            want.place, want.layout = place, want.found

    def _note(self, want: Want) -> None:
        if want.outcome is Outcome.HIT:
            assert want.place is not None
            self._counters.add("get_bytes", want.place.length)
            if want.agent != self._home_of(want.name):
                self._counters.add("gets_elsewhere")
            self.places.note(want.name.key, want.agent)
        else:
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
        if Status.TIMED_OUT in statuses:
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


def _renumbered(done: Callable[[int, bool], None], indexes: Sequence[int]) -> Callable[[int, bool], None]:
    """For some of the objects of a put."""
    return lambda place, stored: done(indexes[place], stored)


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
