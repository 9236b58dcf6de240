# SPDX-License-Identifier: Apache-2.0
"""bluecache.aio: many requests at once, cancelling, deadlines, several loops, and clients that are closed meanwhile."""

import asyncio
import errno
import os
import threading

import package
from package import OBJECT, entry, make_place, place, stored  # noqa: F401
from bluecache import Client, ClosedError, Entry, Error, Status, aio
import pytest

PIECE = 4096
LIMIT_S = 60.0


def pieces(memory, count):
    return [Entry(memory, index * PIECE, b"%d" % index, 0, PIECE) for index in range(count)]


def moves_many(line, count):
    async def main(client):
        data = b"".join(b"%08d" % index * (PIECE // 8) for index in range(count))
        back = bytearray(count * PIECE)
        source, target = client.register(bytearray(data)), client.register(back)
        pushed = await asyncio.gather(*[aio.push(client, [one], LIMIT_S) for one in pieces(source, count)])
        assert {request.test() for request in pushed} == {Status.OK}
        pulled = await asyncio.gather(*[aio.pull(client, [one], LIMIT_S) for one in pieces(target, count)])
        assert {request.test() for request in pulled} == {Status.OK} and back == data
        assert all(request.free() for request in pulled)
        missed = await aio.pull(client, [Entry(target, 0, b"none", 0, 1)], LIMIT_S)
        assert missed.statuses == [Status.NOT_FOUND]
        assert len(client._core.watchers) == 1

    with Client() as client:
        asyncio.run(main(client))
    with Client(requests_max=3) as client:  # nearly all wait for their turn
        asyncio.run(main(client))


def test_many_requests_at_once(stored):
    stored.run(moves_many, 400)


def waits_for_one(line, pid):
    async def main(client):
        memory = client.register(bytearray(OBJECT))
        request = client.push([entry(memory, b"k")])
        assert await asyncio.gather(*[aio.wait(request, LIMIT_S) for _ in range(5)]) == [Status.OK] * 5
        assert await aio.wait(request, 0) is Status.OK
        with package.Stopped(pid):
            request = client.pull([entry(memory, b"k")])
            assert await aio.wait(request, 0.05) is Status.IN_PROGRESS
            assert await aio.wait(request, 0) is Status.IN_PROGRESS
            ticks = 0
            waiting = asyncio.ensure_future(aio.wait(request, LIMIT_S))
            for _ in range(10):  # the loop goes on
                await asyncio.sleep(0)
                ticks += not waiting.done()
            assert ticks == 10
        assert await waiting is Status.OK
        request.free()
        with pytest.raises(ClosedError):
            await aio.wait(request, LIMIT_S)

    with Client() as client:
        asyncio.run(main(client))


def test_waiting_with_and_without_success(place):
    place.run(waits_for_one, place.agent)


def unregisters(memory):
    try:
        memory.unregister()
    except Error as error:
        assert error.errno == errno.EBUSY
        return False
    return True


def cancels(line, pid):
    async def main(client):
        memory = client.register(bytearray(OBJECT))
        with package.Stopped(pid):
            requests = [client.push([entry(memory, b"k")]) for _ in range(2)]
            tasks = [asyncio.ensure_future(aio.wait(request, LIMIT_S)) for request in requests]
            await asyncio.sleep(0)
            tasks[0].cancel()
            await asyncio.sleep(0)
            tasks[0].cancel()  # once more, while its memory is waited for
            await asyncio.sleep(0)
            assert not tasks[0].done()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert requests[0].test() in (Status.OK, Status.CANCELLED) and requests[0].free()
        assert await tasks[1] is Status.OK
        aio.SETTLE_S = 0.2
        with pytest.raises(asyncio.TimeoutError):
            with package.Stopped(pid):
                await asyncio.wait_for(aio.push(client, [entry(memory, b"k")], LIMIT_S), 0.05)
        # Nobody waited for the end of the push that was given up.
        package.until(lambda: unregisters(memory), "the memory stays in use")

    with Client() as client:
        asyncio.run(main(client))


def test_cancelling_waits_until_the_memory_is_free(place):
    place.run(cancels, place.agent)


def gives_up_settling(line, pid):
    """The agent is stopped inside a copy: nobody can say when the memory is free."""
    async def main(client):
        request = package.push_that_stops(client, pid)
        aio.SETTLE_S = 0.2
        task = asyncio.ensure_future(aio.wait(request, LIMIT_S))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not request.is_terminal()
        line.say("let it go on")
        assert await aio.wait(request, LIMIT_S) is not Status.IN_PROGRESS

    with Client(timeout_ms=500) as client:
        asyncio.run(main(client))


def test_cancelling_has_a_deadline(make_place):
    place = make_place(**package.STOPS_IN_COPY)
    client = place.start(gives_up_settling, place.agent)
    try:
        client.hear("let it go on")
    finally:
        place.agent.send(package.signal.SIGCONT)
    client.result()


def waits_for_turns(line, pid):
    async def main(client):
        memory = client.register(bytearray(OBJECT))
        with package.Stopped(pid):
            first = asyncio.ensure_future(aio.push(client, [entry(memory, b"1")], LIMIT_S))
            await asyncio.sleep(0)
            with pytest.raises(Error) as late:
                await aio.push(client, [entry(memory, b"2")], 0.05)
            assert late.value.errno == errno.ETIMEDOUT
            dropped = asyncio.ensure_future(aio.push(client, [entry(memory, b"3")], LIMIT_S))
            wrong = asyncio.ensure_future(aio.push(client, [Entry(memory, 1, b"4", 0, OBJECT)], LIMIT_S))
            last = asyncio.ensure_future(aio.push(client, [entry(memory, b"5")], LIMIT_S))
            await asyncio.sleep(0)
            dropped.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dropped
        assert (await first).test() is Status.OK and (await last).test() is Status.OK
        with pytest.raises(Error, match="entry 0"):
            await wrong
        assert [info.status for info in client.query([b"1", b"2", b"3", b"4", b"5"])] == [
            Status.OK, Status.NOT_FOUND, Status.NOT_FOUND, Status.NOT_FOUND, Status.OK]

    with Client(requests_max=1) as client:
        asyncio.run(main(client))


def test_turns_come_in_order_and_can_be_given_up(place):
    place.run(waits_for_turns, place.agent)


def uses_loops(line, loops, count):
    """Threads with loops of their own, and one that waits without asyncio, at one client."""
    outcomes = []

    async def main(client, number):
        memory = client.register(bytearray(count * PIECE))
        for _ in range(4):
            requests = await asyncio.gather(*[aio.push(client, [one], LIMIT_S) for one in pieces(memory, count)])
            outcomes.extend(request.test() for request in requests)

    def plain(client):
        memory = client.register(bytearray(OBJECT))
        for _ in range(count):
            outcomes.append(client.push([entry(memory, b"plain")]).wait())
            client.clear_fd()

    with Client() as client:
        threads = [threading.Thread(target=asyncio.run, args=(main(client, number),), daemon=True)
                   for number in range(loops)]
        threads.append(threading.Thread(target=plain, args=(client,), daemon=True))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)
            assert not thread.is_alive()
    assert outcomes == [Status.OK] * (loops * 4 * count + count)


def test_loops_in_several_threads(place):
    place.run(uses_loops, 3, 60)


def leaves_nothing(line):
    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    async def main(client, memory):
        assert (await aio.push(client, [entry(memory, b"k")], LIMIT_S)).test() is Status.OK

    async def stays(client, memory):
        await main(client, memory)
        client.push([entry(memory, b"k")]).wait()
        for _ in range(1000):  # the reader ends by itself when only others use the client
            if not client._core.watchers:
                break
            await asyncio.sleep(0.01)
        assert not client._core.watchers
        await main(client, memory)

    with Client() as client:
        memory = client.register(bytearray(OBJECT))
        asyncio.run(main(client, memory))
        before = descriptors()
        for _ in range(20):
            asyncio.run(main(client, memory))
        assert descriptors() <= before + 1
        asyncio.run(stays(client, memory))


def test_loops_that_ended_leave_no_descriptors(place):
    place.run(leaves_nothing)


def closes_meanwhile(line, pid):
    async def main(client):
        memory = client.register(bytearray(OBJECT))
        with package.Stopped(pid):
            tasks = [asyncio.ensure_future(aio.push(client, [entry(memory, b"k")], LIMIT_S)) for _ in range(5)]
            await asyncio.sleep(0)
            closing = asyncio.ensure_future(asyncio.to_thread(client.close))
            _, waiting = await asyncio.wait(tasks, timeout=package.TIMEOUT_MS / 2000)
            assert not waiting and not closing.done()  # they are told before the requests end
        assert [type(task.exception()) for task in tasks] == [ClosedError] * 5
        await closing
        with pytest.raises(ClosedError):
            await aio.push(client, [entry(memory, b"k")], LIMIT_S)

    client = Client(requests_max=3)
    asyncio.run(main(client))
    assert client.closed and not client._core.watchers


def test_closing_wakes_those_who_wait(place):
    place.run(closes_meanwhile, place.agent)


def loses_the_agent(line):
    async def main(client):
        memory = client.register(bytearray(400 * PIECE))
        line.say("kill it")
        statuses = set()
        with pytest.raises(Error) as away:
            while True:
                requests = await asyncio.gather(*[aio.push(client, [one], 5.0) for one in pieces(memory, 400)])
                statuses |= {request.test() for request in requests}
        assert away.value.errno == errno.ENOTCONN
        assert statuses <= {Status.OK, Status.DISCONNECTED, Status.TIMED_OUT}, statuses
        line.say("start it")
        request = await asyncio.to_thread(client.push, pieces(memory, 400))
        assert await aio.wait(request, LIMIT_S) is Status.OK

    with Client(timeout_ms=30000) as client:
        asyncio.run(main(client))


def test_agent_killed_and_started_again(place):
    client = place.start(loses_the_agent)
    client.hear("kill it")
    place.agent.kill()
    client.hear("start it")
    place.agent.start()
    client.result()
