# SPDX-License-Identifier: Apache-2.0
"""What LMCache 0.4.3 gets wrong, one function for each: it returns when the right thing happens and fails on an
unpatched LMCache. They run in processes of their own, on NIXL's object backend OBJ with a fake agent, so that both
can run them."""

import os
import select
import signal
import threading
import time
import types

import lmc
import torch
from fake_nixl import FakeError, World

CASES = {}
EXPECTED = {}


def case(unpatched):
    """unpatched: what an unpatched LMCache says instead."""

    def add(function):
        CASES[function.__name__] = function
        EXPECTED[function.__name__] = unpatched
        return function

    return add


def obj_config(pool_size=0, pages=16, params=None, **extra):
    return lmc.nixl_config(None, pages=pages, pool_size=pool_size, nixl_backend="OBJ", params=params, **extra)


def without_cuda():
    """Case 1 aside, an unpatched LMCache gets past its first step only with this."""
    torch.cuda.current_device = lambda: 0


def store(world, pool_size=0, **extra):
    without_cuda()
    world.install()
    return lmc.nixl_store(obj_config(pool_size, **extra))


def free_pages(backend):
    return len(backend.memory_allocator.free_blocks)


@case("CUDA")
def cpu_buffer_needs_no_cuda():
    World().install()
    with lmc.nixl_store(obj_config()):
        pass


@case("the bytes of another key")
def objects_keep_their_keys_when_some_are_stored_already():
    from lmcache.v1.storage_backend.storage_manager import allocate_and_copy_objects

    world = World()
    with store(world) as there:
        a, b, c = lmc.keys(range(3))
        there.put([a])
        objs = there.pages([a, b, c])
        keys, copies = allocate_and_copy_objects(there.backend, [a, b, c], objs, None)
        for key, copy in zip(keys, copies):
            assert lmc.same(copy.tensor, key), "the bytes of another key"
        assert list(keys) == [b, c]
        for obj in (*objs, *copies):
            obj.ref_count_down()


@case("0 of 3 pages are held")
def pages_of_a_static_put_are_not_reused_before_its_end():
    world = World()
    with store(world, pool_size=8) as there:
        before = free_pages(there.backend)
        world.hold = {"WRITE"}
        wanted = lmc.keys(range(3))
        there.begin_put(wanted)
        lmc.until(lambda: world.posted, "the transfer")
        held = before - free_pages(there.backend)
        world.hold = set()
        there.settle(wanted)
        assert held == 3, "%d of 3 pages are held during the transfer" % held
        lmc.until(lambda: free_pages(there.backend) == before, "the pages")


def failed_put(pool_size, outcome, async_put):
    world = World()
    with store(world, pool_size=pool_size, nixl_async_put=async_put) as there:
        wanted = lmc.keys(range(4))
        world.outcome["WRITE"] = outcome
        there.begin_put(wanted)
        lmc.until(lambda: not any(there.backend.exists_in_put_tasks(key) for key in wanted), "the put's end")
        assert [there.backend.contains(key) for key in wanted] == [False] * 4, "a phantom hit"
        world.outcome.clear()
        there.put(wanted)
        assert there.get(wanted) == [True] * 4


@case("the put's end: not within")
def failed_static_put_leaves_nothing():
    failed_put(8, "ERR", False)


@case("the put's end: not within")
def static_put_that_raises_leaves_nothing():
    failed_put(8, FakeError("NIXL_ERR_BACKEND"), False)


@case("NIXL_ERR_REMOTE_DISCONNECT")
def failed_dynamic_put_leaves_nothing_and_raises_nothing():
    failed_put(0, FakeError("NIXL_ERR_REMOTE_DISCONNECT"), False)


@case("the put's end: not within")
def failed_async_put_leaves_nothing():
    failed_put(0, "ERR", True)


@case("a hit during the put")
def object_is_not_there_before_it_is_stored():
    world = World()
    with store(world, pool_size=8) as there:
        world.hold = {"WRITE"}
        wanted = lmc.keys(range(2))
        there.begin_put(wanted)
        lmc.until(lambda: world.posted, "the transfer")
        found = [there.backend.contains(key) for key in wanted]
        going_on = [there.backend.exists_in_put_tasks(key) for key in wanted]
        world.hold = set()
        there.settle(wanted)
        assert found == [False, False], "a hit during the put"
        assert going_on == [True, True]
        assert [there.backend.contains(key) for key in wanted] == [True, True]


@case("numbers of objects in use")
def async_put_and_get_use_numbers_of_their_own():
    world = World()
    with store(world, nixl_async_put=True) as there:
        first, second = lmc.keys(range(3)), lmc.keys(range(3, 6))
        there.put(first)
        world.hold = {"WRITE"}
        there.begin_put(second)
        lmc.until(lambda: len(world.posted) == 2, "the transfer")
        try:
            assert there.get(first) == [True] * 3
        finally:
            world.hold = set()
        there.settle(second)
        assert there.get(second) == [True] * 3
        assert not world.reused, "numbers of objects in use were given away: %s" % world.reused


@case("NIXL transfer failed")
def failed_get_is_a_miss():
    world = World()
    with store(world) as there:
        wanted = lmc.keys(range(3))
        there.put(wanted)
        world.outcome["READ"] = "ERR"
        assert there.get(wanted) == [None] * 3
        world.outcome.clear()
        assert there.get(wanted) == [True] * 3


@case("NIXL_ERR_NOT_FOUND")
def object_that_is_gone_is_a_miss():
    world = World()
    with store(world) as there:
        assert there.get(lmc.keys(range(2))) == [None] * 2


@case("NIXL_ERR_REMOTE_DISCONNECT")
def failed_static_get_is_a_miss():
    world = World()
    with store(world, pool_size=8) as there:
        wanted = lmc.keys(range(3))
        there.put(wanted)
        world.outcome["READ"] = FakeError("NIXL_ERR_REMOTE_DISCONNECT")
        assert there.get(wanted) == [None] * 3
        world.outcome.clear()
        assert there.get(wanted) == [True] * 3


@case("NIXL_ERR_NOT_FOUND")
def what_is_before_an_object_that_is_gone_is_got():
    for pool_size in (0, 8):
        world = World()
        with store(world, pool_size=pool_size) as there:
            wanted = lmc.keys(range(5))
            there.put(wanted)
            names = world.posted[0][1]
            del world.objects[names[3]]
            assert there.get(wanted) == [True] * 3 + [None] * 2
            assert there.get_async(wanted) == 3
            assert there.backend.batched_contains(wanted) == 3, "a phantom hit"


@case("cuda:9")
def gpu_is_the_one_of_the_worker_on_this_host():
    from lmcache.v1.storage_backend.nixl_storage_backend import NixlStorageConfig

    cfg = obj_config()
    cfg.nixl_buffer_device = "cuda"
    made = NixlStorageConfig.from_cache_engine_config(cfg, lmc.metadata(worker=9, world=16, local_worker=1))
    assert made.buffer_device == "cuda:1", made.buffer_device


@case("cuda:9")
def gpu_pages_are_registered_for_the_gpu_of_this_host():
    """Without a GPU: the pages are host memory that is said to be on one. What is sent to NIXL is looked at."""
    from lmcache.v1.storage_backend import nixl_storage_backend

    world = World().install()
    chosen = []

    def allocate(size, device):
        chosen.append(device)
        base = torch.zeros(size, dtype=torch.uint8)
        return base, base

    nixl_storage_backend._allocate_gpu_memory = allocate
    torch.cuda.set_device = chosen.append
    torch.cuda.current_device = lambda: int(chosen[-1].split(":")[1])
    cfg = obj_config()
    cfg.nixl_buffer_device = "cuda"
    with lmc.event_loop() as loop:
        md = lmc.metadata(worker=9, world=16, local_worker=1)
        backend = nixl_storage_backend.NixlStorageBackend.CreateNixlStorageBackend(cfg, loop, md)
        kind, pages = world.agents[0].registered[0]
        assert kind == "VRAM" and len(pages) == 16
        assert {page[2] for page in pages} == {1} and chosen == ["cuda:1", "cuda:1"], chosen
        there = lmc.Store(backend, loop)
        there.put(lmc.keys(range(4)))
        assert there.get(lmc.keys(range(4))) == [True] * 4
        backend.close()


@case("calls met another one")
def calls_of_nixl_do_not_overlap():
    world = World()
    with store(world, nixl_async_put=True, pages=64) as there:
        stored = lmc.keys(range(4))
        there.put(stored)
        world.slow = 0.005
        stop = threading.Event()

        def gets():
            while not stop.is_set():
                assert there.get(stored) == [True] * 4

        thread = threading.Thread(target=gets)
        thread.start()
        for begin in range(100, 140, 4):
            there.begin_put(lmc.keys(range(begin, begin + 4)))
            there.settle(lmc.keys(range(begin, begin + 4)))
        stop.set()
        thread.join(lmc.WAIT_SECONDS)
        assert world.overlaps == 0, "%d calls met another one" % world.overlaps


@case("the first batch")
def put_finds_the_slots_it_was_promised():
    world = World()
    with store(world, pool_size=4) as there:
        world.hold = {"WRITE"}
        first, second = lmc.keys(range(4)), lmc.keys(range(4, 8))
        there.begin_put(first)
        lmc.until(lambda: world.posted, "the transfer")
        threading.Timer(0.2, world.hold.clear).start()
        there.begin_put(second)
        lmc.until(lambda: not any(there.backend.exists_in_put_tasks(key) for key in first + second), "the puts")
        assert there.get(first) == [True] * 4, "the first batch was lost"
        there.put(second)
        assert there.get(second) == [True] * 4
        assert [there.backend.contains(key) for key in first] == [False] * 4


@case("a phantom hit")
def presence_of_one_model_says_nothing_about_another():
    world = World()
    with store(world, nixl_presence_cache=True) as there:
        there.put(lmc.keys(range(2)))
        others = lmc.keys(range(2), model="another/model")
        assert [there.backend.contains(key) for key in others] == [False] * 2, "a phantom hit"


@case("NotImplementedError")
def static_lookup_works_for_async_loading():
    world = World()
    with store(world, pool_size=8) as there:
        there.put(lmc.keys(range(3)))
        assert there.contains_async(lmc.keys(range(5))) == 3


@case("AssertionError")
def async_get_answers_with_what_there_is():
    world = World()
    with store(world, pool_size=8) as there:
        there.put(lmc.keys(range(3)))
        assert there.get_async(lmc.keys(range(5))) == 3


@case("questions")
def batch_is_looked_up_with_one_question():
    world = World()
    with store(world) as there:
        wanted = lmc.keys(range(12))
        there.put(wanted[:9])
        world.queries.clear()
        assert there.backend.batched_contains(wanted) == 9
        assert there.contains_async(wanted) == 9
        assert world.queries == [12, 12], "questions: %s" % world.queries


@case("an object of another size")
def object_of_another_size_is_not_ours():
    world = World()
    with store(world) as there:
        wanted = lmc.keys(range(2))
        there.put(wanted)
        name = world.posted[0][1][1]
        world.objects[name] = world.objects[name][:100]
        found = [there.backend.contains(key) for key in wanted]
        assert found == [True, False], "a hit for an object of another size"
        there.put(wanted)
        assert there.get(wanted) == [True, True]


@case("[None, None")
def read_that_finds_too_few_pages_gets_what_it_can():
    for pool_size in (0, 16):
        world = World()
        with store(world, pool_size=pool_size, pages=8) as there:
            wanted = lmc.keys(range(12))
            there.put(wanted[:8])
            there.put(wanted[8:])
            got = there.get(wanted)
            assert got == [True] * 8 + [None] * 4, got


def engine_retrieve(answers):
    """The engine's retrieval with two backends: answers of each for its keys. (bytes, tokens,
    ends of the chunks, objects)"""
    from lmcache.v1.cache_engine import LMCacheEngine

    class Obj:
        refs = 1

        def get_size(self):
            return 1

        def ref_count_down(self):
            self.refs -= 1

    chunks = [(i * 4, i * 4 + 4, lmc.key(i)) for i in range(sum(len(answer) for answer in answers))]
    numbers = iter(chunks)
    mapping = {name: [(key, start, end) for start, end, key in [next(numbers) for _ in answer]]
               for name, answer in zip("ab", answers)}
    objs = {name: [Obj() if there else None for there in answer] for name, answer in zip("ab", answers)}
    engine = types.SimpleNamespace(
        lookup_pins={}, token_database=types.SimpleNamespace(process_tokens=lambda **_: iter(chunks)),
        storage_manager=types.SimpleNamespace(
            get_block_mapping=lambda infos: mapping, batched_get=lambda keys, location: objs[location]))
    mask = torch.zeros(len(chunks) * 4, dtype=torch.bool)
    got, size = LMCacheEngine._process_tokens_internal(engine, None, None, mask)
    return size, int(mask.sum()), [end for _, _, _, end in got], [obj for name in "ab" for obj in objs.get(name, [])]


@case("8 tokens count as loaded, 4 are")
def tokens_that_count_as_loaded_are_loaded():
    for answers in ([[True, True], [False, False]], [[True, True, False]], [[True, False], [False]],
                    [[False], [True, True]], [[True, False, True]]):
        size, tokens, ends, objs = engine_retrieve(answers)
        assert tokens == len(ends) * 4, "%s: %d tokens count as loaded, %d are" % (answers, tokens, len(ends) * 4)
        assert size == len(ends)
        assert ends == [4 * (i + 1) for i in range(len(ends))]
        kept = sum(obj is not None and obj.refs == 1 for obj in objs)
        assert kept == len(ends), "%s: references of chunks that are not used" % answers


@case("no page is left")
def hot_cache_keeps_no_pages_of_transfers():
    world = World().install()
    without_cuda()
    from lmcache.v1.event_manager import EventManager
    from lmcache.v1.storage_backend.storage_manager import StorageManager

    cfg = lmc.config(obj_config().extra_config, local_cpu=True, nixl_buffer_size=4 * lmc.PAGE,
                     nixl_buffer_device="cpu")
    manager = StorageManager(cfg, lmc.metadata(), EventManager())
    try:
        for number in range(12):
            world.objects["test_model_1_0_%x_bfloat16" % number] = lmc.content(lmc.key(number)).view(
                torch.uint8).numpy().tobytes()
        for get in (lambda key: manager.get(key, "NixlStorageBackend"),
                    lambda key: manager.batched_get([key], "NixlStorageBackend")[0]):
            for key in lmc.keys(range(12)):
                obj = get(key)
                assert obj is not None, "no page is left for a transfer"
                assert lmc.same(obj.tensor, key)
                obj.ref_count_down()
    finally:
        manager.close()


@case("hangs")
def page_of_a_transfer_that_does_not_end_is_kept_and_nobody_hangs():
    """With a timeout_ms; the plugin gives it up, and when it does not, LMCache does."""
    world = World()
    try:
        from lmcache.v1.storage_backend import nixl_transfers

        nixl_transfers._GRACE_SECONDS = 0.05
    except ImportError:
        pass  # unpatched
    for pool_size in (0, 8):
        with store(world, pool_size=pool_size, params={"timeout_ms": "50"}) as there:
            before = free_pages(there.backend)
            wanted = lmc.keys(range(4))
            there.put(wanted)
            world.hold = {"READ"}
            assert there.get(wanted) == [None] * 4
            assert free_pages(there.backend) == before - 4, "pages that a device may write into were given away"
            world.hold = set()
            there.put(lmc.keys(range(4, 6)))
            lmc.until(lambda: free_pages(there.backend) == before, "the pages")
            assert there.get(wanted) == [True] * 4


def check(line, name):
    CASES[name]()


def _tell(name, pipe):
    """In a fork: runs the case, says what failed, and ends, whatever its threads do."""
    lmc.WAIT_SECONDS = 3
    text = ""
    try:
        CASES[name]()
    except BaseException as exc:
        text = "%s: %s" % (type(exc).__name__, exc)
    os.write(pipe, (text or "right").encode())
    os._exit(0)


def _fork(name):
    """(name, its process, where it tells)"""
    here, there = os.pipe()
    pid = os.fork()
    if pid == 0:
        _tell(name, there)
    os.close(there)
    return name, pid, here


def observe(line, seconds, at_once=4):
    """What becomes of each case, in a fork each, some at once: "right", or what failed. Cases that hang are said to."""
    import lmcache.v1.cache_engine  # here, not in every fork

    assert lmcache.v1.cache_engine
    found = {}
    names = list(CASES)
    for begin in range(0, len(names), at_once):
        running = [_fork(name) for name in names[begin:begin + at_once]]
        deadline = time.monotonic() + seconds
        for name, pid, pipe in running:
            ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            found[name] = os.read(pipe, 10000).decode() or "died" if ready else "hangs"
            os.close(pipe)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return found
