# SPDX-License-Identifier: Apache-2.0
"""What the storage plugin does with a request that outlives its deadline, because an agent is stopped in the middle of a
copy: nobody gets its memory before it is over. The client is a double, since no agent can be stopped at will just
there. Needs no agent, and no LMCache."""

import asyncio
import os
import sys
import threading
import time

import plugin_support
import pytest

sys.path.insert(0, str(plugin_support.PACKAGE))

import bluecache  # noqa: E402
from bluecache import Op, Status  # noqa: E402
from bluecache.lmcache import options, transfer  # noqa: E402
from bluecache.lmcache.counters import Counters, RareLog  # noqa: E402
from bluecache.lmcache.keys import Name  # noqa: E402
from bluecache.lmcache.layout import Layout, encode  # noqa: E402
from bluecache.lmcache.reaper import Job, Reaper  # noqa: E402
from bluecache.lmcache.regions import Place, Regions  # noqa: E402

LAYOUT = Layout("KV_2LTD", ((2, 2, 4, 8),), ("uint8",), 128)
SECONDS = 30


class Request:
    def __init__(self, client, entries):
        self.client, self.entries, self.count = client, entries, len(entries)
        self.over = threading.Event()
        self.status, self.freed = Status.OK, 0

    def end(self, status=Status.OK):
        self.status = status
        self.over.set()
        os.eventfd_write(self.client.fd, 1)

    def is_terminal(self):
        self.client.check()
        return self.over.is_set()

    def wait(self, timeout_ms=None):
        self.client.check()
        return self.status if self.over.wait(timeout_ms / 1000) else Status.IN_PROGRESS

    @property
    def statuses(self):
        return [self.status] * self.count

    def free(self):
        self.freed += 1
        return True


class Memory:
    def __init__(self, address, length, device):
        self.address, self.length, self.device = address, length, device

    def unregister(self):
        pass


class Client:
    """Takes requests and leaves it to the test to end them. credits: how many may be in flight."""

    def __init__(self):
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.requests, self.credits, self.closing, self.closed = [], 100, False, False

    def check(self):
        if self.closing:
            raise bluecache.ClosedError("the client is closed")

    def fileno(self):
        return self.fd

    def clear_fd(self):
        self.check()
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            pass

    def try_push(self, entries, timeout_ms=0):
        self.check()
        if sum(not request.over.is_set() for request in self.requests) >= self.credits:
            return None
        self.requests.append(Request(self, entries))
        return self.requests[-1]

    try_pull = pull = push = try_push

    def register(self, what, length=None, device=None):
        return Memory(what if isinstance(what, int) else 0, length or 0, device)

    def alloc(self, length):
        class Shared:
            view = memoryview(bytearray(length))

        return Shared()

    def close(self, really):
        self.closing, self.closed = True, really


class Agent:
    endpoint = "a double"

    def __init__(self, seconds=0.2):
        self.client = Client()
        self.counters = Counters()
        self.regions = Regions(self.client, self.counters, RareLog())
        self.regions.register_pools([Place(4096, 1 << 20)])
        self.reaper = Reaper(self.client, "test-reaper")
        self.slow = 0
        given = options.parse({"timeout_ms": int(seconds * 1000)})
        self.transfer = transfer.Transfer(given, [self], self.counters, RareLog(), lambda _: 0)

    def usable(self):
        return True

    def was_slow(self):
        self.slow += 1

    def close(self, really=True):
        self.reaper.drain(time.monotonic())
        self.client.close(really)
        self.reaper.end(really)

    def put_headers(self):
        """What the DPU would have written."""
        for request in self.client.requests:
            for head in request.entries[::2]:
                self.regions.slots._view[head.memory_offset:head.memory_offset + 1024] = encode(LAYOUT)


@pytest.fixture
def agent(monkeypatch):
    monkeypatch.setattr(transfer, "GRACE_SECONDS", 0.05)
    made = Agent()
    yield made
    if not made.client.closing:
        for request in made.client.requests:
            if not request.over.is_set():
                request.end()
        made.close()
    assert not made.reaper._thread.is_alive()


class Wants(list):
    def __init__(self, count):
        self.late = [0] * count
        for index in range(count):
            self.append(transfer.Want(Name(b"key %d" % index, 1), Place(4096 + 128 * index, 128), LAYOUT, index,
                                      lambda index, found: transfer.Outcome.MISMATCH, self.count))

    def count(self, index):
        self.late[index] += 1

    def outcomes(self):
        return {want.outcome for want in self}


def until(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def in_use(agent):
    return len(agent.regions.slots._users)


# ---- gets ----------------------------------------------------------------------------------------


def get(agent, wants, how):
    steps = agent.transfer.fetch(wants)
    if how == "blocking":
        agent.transfer.run(steps)
    else:
        asyncio.run(agent.transfer.run_async(steps))


@pytest.mark.parametrize("how", ["blocking", "async"])
def test_a_late_get_is_a_miss_and_its_memory_stays(agent, how):
    wants = Wants(3)
    get(agent, wants, how)
    assert wants.outcomes() == {transfer.Outcome.FAILED} and all(want.is_late for want in wants)
    assert wants.late == [0, 0, 0] and in_use(agent) == 3 and agent.slow == 1
    agent.client.requests[0].end()
    until(lambda: wants.late == [1, 1, 1])
    assert in_use(agent) == 0 and agent.client.requests[0].freed == 1
    assert wants.outcomes() == {transfer.Outcome.FAILED}, "it came too late"


@pytest.mark.parametrize("how", ["blocking", "async"])
def test_a_get_in_time_is_not_late(agent, how):
    wants = Wants(3)
    original = agent.client.try_pull

    def answer_at_once(entries, timeout_ms=0):
        request = original(entries, timeout_ms)
        agent.put_headers()
        request.end()
        return request

    agent.client.pull = agent.client.try_pull = answer_at_once
    get(agent, wants, how)
    assert wants.outcomes() == {transfer.Outcome.HIT} and wants.late == [0, 0, 0]
    assert in_use(agent) == 0 and agent.client.requests[0].freed == 1 and agent.slow == 0


@pytest.mark.parametrize("turns", range(8))
def test_a_cancelled_get_is_late_or_over(agent, turns):
    wants = Wants(2)

    async def cancelled():
        task = asyncio.ensure_future(agent.transfer.run_async(agent.transfer.fetch(wants)))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    started = len(agent.client.requests) == 1
    assert all(want.is_late == started for want in wants) and wants.late == [0, 0]
    if started:
        agent.client.requests[0].end()
        until(lambda: wants.late == [1, 1])
    assert in_use(agent) == 0


@pytest.mark.parametrize("really", [True, False], ids=["closed", "kept"])
@pytest.mark.parametrize("how", ["blocking", "async"])
def test_memory_of_a_late_get_when_the_client_is_closed(agent, how, really):
    """Given back when nobody reaches it any more; never when the client could not be closed."""
    wants = Wants(2)
    get(agent, wants, how)
    agent.close(really)
    until(lambda: not agent.reaper._thread.is_alive())
    assert wants.late == ([1, 1] if really else [0, 0])


def test_a_client_that_is_closed_under_a_get(agent):
    """ClosedError tells that close() has begun, not that nobody reaches the memory."""
    wants = Wants(2)
    waiting = threading.Event()
    request_wait = Request.wait

    def wait(self, timeout_ms=None):
        waiting.set()
        until(lambda: agent.client.closing)
        return request_wait(self, timeout_ms)

    Request.wait = wait
    try:
        thread = threading.Thread(target=get, args=(agent, wants, "blocking"))
        thread.start()
        assert waiting.wait(SECONDS)
        agent.client.close(False)
        thread.join(SECONDS)
    finally:
        Request.wait = request_wait
    assert all(want.is_late for want in wants) and wants.late == [0, 0]
    agent.client.closed = True
    agent.reaper.end(True)
    until(lambda: wants.late == [1, 1])


# ---- the reaper ----------------------------------------------------------------------------------


def job(told, seconds=SECONDS, entries=1):
    return Job(Op.PUSH, lambda: [object()] * entries, told.append, entries, time.monotonic() + seconds)


def test_a_job_ends_once(agent):
    told = []
    agent.reaper.submit(job(told, entries=3))
    agent.client.requests[0].end(Status.NO_SPACE)
    until(lambda: told == [[Status.NO_SPACE] * 3])
    agent.close()
    assert len(told) == 1


def test_jobs_without_credits_wait_in_their_order(agent):
    agent.client.credits = 1
    told = [[], [], []]
    for each in told:
        agent.reaper.submit(job(each))
    assert len(agent.client.requests) == 1 and told == [[], [], []]
    for count in (1, 2, 3):
        until(lambda: len(agent.client.requests) == count)
        agent.client.requests[count - 1].end()
        until(lambda: [len(each) for each in told] == [1] * count + [0] * (3 - count))


def test_jobs_that_find_no_credits_in_time(agent):
    agent.client.credits = 0
    told = []
    agent.reaper.submit(job(told, seconds=0.05, entries=2))
    until(lambda: told == [[Status.TIMED_OUT] * 2])
    assert agent.client.requests == []


def test_jobs_that_cannot_be_started(agent):
    def lost(entries, timeout_ms=0):
        raise bluecache.Error(107)

    told = []
    agent.client.try_push = lost
    agent.reaper.submit(job(told))
    assert told == [[Status.DISCONNECTED]]
    agent.reaper.submit(Job(Op.PUSH, _broken, told.append, 1, time.monotonic() + SECONDS))
    assert told[1:] == [[Status.INVALID]]


def _broken():
    raise ValueError("a bug")


def test_after_the_end_nothing_is_taken(agent):
    agent.close()
    told = []
    agent.reaper.submit(job(told))
    assert told == [[Status.CANCELLED]]
