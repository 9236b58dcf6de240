#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a NIXL program gets from a storage plugin: NIXL's own POSIX, or ours. bench/run.py starts it with a Python
that has the nixl wheel, and drives it like the other programs: a command a line, answered by a line of JSON.

  nixl_posix.py backend=POSIX root=DIR [queue=default|aio|uring|posixaio] [ring=BYTES] [device=STATFILE]
  nixl_posix.py backend=DOCA_DMA_PROXY addr=HOST:PORT [ring=BYTES]

  round COUNT SIZE REQUESTS WINDOW SEED
      Writes REQUESTS requests of COUNT blocks of SIZE bytes, WINDOW of them in flight, then reads them. POSIX:
      each block is a new file, opened with O_DIRECT, registered, and closed inside of the timing, as an object
      store on top of it has to do. DOCA_DMA_PROXY: each block is an object with the fresh key
      nixl/SEED/0, 1, ... The memory is ordinary memory, registered once, and what was written from is overwritten
      after every request, as in push_pull.c. What is still in the ring after the reads is checked.
"""

import collections
import json
import os
import resource
import shutil
import sys
import time

PAGE = 4096
SECTOR = 512
STEP = 0x9e3779b97f4a7c15
REQUEST_SECONDS = 60
POLL_SECONDS = 0.00005
QUEUES = {"default": {}, "aio": {"use_aio": "true"}, "uring": {"use_uring": "true"},
          "posixaio": {"use_posix_aio": "true"}}


class Failure(Exception):
    """A sentence for run.py."""


# --- memory -------------------------------------------------------------------------------------
class Ring:
    """Words that tell their place, as in ring.c."""

    def __init__(self, length):
        import numpy

        self.numpy = numpy
        self.length = length
        raw = numpy.zeros(length + PAGE, dtype=numpy.uint8)
        start = -raw.ctypes.data % PAGE
        self.bytes = raw[start:start + length]
        self.words = self.bytes.view(numpy.uint64)
        self.steps = numpy.arange(self.words.size, dtype=numpy.uint64) * numpy.uint64(STEP)
        self.address = self.bytes.ctypes.data

    def first_word(self, seed, offset):
        mask = 2 ** 64 - 1
        word = (seed + 1) * 0xbf58476d1ce4e5b9 & mask
        return self.numpy.uint64((word ^ word >> 31) + offset // 8 * STEP & mask)

    def fill(self, at, length, seed, offset):
        """What stands at `offset` in a ring of any length that is filled from `seed`."""
        self.numpy.add(self.steps[:length // 8], self.first_word(seed, offset),
                       out=self.words[at // 8:(at + length) // 8])

    def spoil(self):
        self.bytes.fill(0xa5)

    def check(self, at, length, seed, offset):
        words = self.words[at // 8:(at + length) // 8]
        return bool((words == self.steps[:length // 8] + self.first_word(seed, offset)).all())


# --- the two kinds of target --------------------------------------------------------------------
class Files:
    """Blocks as new files, for the plugin POSIX."""

    backend = "POSIX"
    memory = "FILE"

    def __init__(self, settings):
        self.root = settings["root"]
        self.parameters = dict(QUEUES[settings.get("queue", "default")])
        self.folder = None

    def begin(self, seed):
        self.folder = os.path.join(self.root, "nixl-%d" % seed)
        os.makedirs(self.folder)

    def open(self, operation, first, count, size):
        """Descriptors for the registration of blocks [first, first + count)."""
        flags = os.O_DIRECT | os.O_CLOEXEC
        flags |= os.O_RDWR | os.O_CREAT | os.O_EXCL if operation == "WRITE" else os.O_RDONLY
        return [(0, size, os.open(os.path.join(self.folder, "%d" % number), flags, 0o600), "")
                for number in range(first, first + count)]

    def close(self, descs):
        for desc in descs:
            os.close(desc[2])

    def end(self):
        shutil.rmtree(self.folder)


class Objects:
    """Blocks as objects, for the plugin DOCA_DMA_PROXY."""

    backend = "DOCA_DMA_PROXY"
    memory = "OBJ"

    def __init__(self, settings):
        self.parameters = {"dpu_addr": settings["addr"]}
        self.next_number = 1
        self.seed = None

    def begin(self, seed):
        self.seed = seed

    def open(self, operation, first, count, size):
        numbers = range(self.next_number, self.next_number + count)
        self.next_number += count
        return [(0, size, number, "nixl/%d/%d" % (self.seed, first + i)) for i, number in enumerate(numbers)]

    def close(self, descs):
        pass

    def end(self):
        pass  # NIXL cannot remove objects; run.py does it with another client


# --- transfers ----------------------------------------------------------------------------------
class Plan:
    """Requests of a round, and where in the ring their blocks lie."""

    def __init__(self, count, size, requests, window, ring):
        self.count, self.size, self.requests, self.window = count, size, requests, window
        self.lap = ring // (count * size) * count  # blocks
        if self.lap < count * window:
            raise Failure("round: the ring is too small for these requests")

    def offset(self, number):
        return number % self.lap * self.size


class Bench:
    def __init__(self, settings):
        os.environ.setdefault("NIXL_LOG_LEVEL", "WARN")
        from nixl._api import nixl_agent, nixl_agent_config

        kinds = {"POSIX": Files, "DOCA_DMA_PROXY": Objects}
        if settings.get("backend") not in kinds:
            raise Failure("backend= must be one of %s" % ", ".join(kinds))
        self.target = kinds[settings["backend"]](settings)
        self.device = settings.get("device")
        self.ring = Ring(int(settings.get("ring", 512 << 20)))
        self.name = "bench"
        self.nixl = nixl_agent(self.name, nixl_agent_config(backends=[]))
        self.backends = [self.target.backend]
        self.nixl.create_backend(self.target.backend, self.target.parameters)
        self.ring.spoil()
        self.nixl.register_memory([(self.ring.address, self.ring.bytes.nbytes, 0, "")], "DRAM",
                                  backends=self.backends)

    def start(self, operation, offsets, first, size):
        descs = self.target.open(operation, first, len(offsets), size)
        registered = self.nixl.register_memory(descs, self.target.memory, backends=self.backends)
        local = self.nixl.get_xfer_descs([(self.ring.address + at, size, 0) for at in offsets], "DRAM")
        remote = self.nixl.get_xfer_descs([desc[:3] for desc in descs], self.target.memory)
        handle = self.nixl.initialize_xfer(operation, local, remote, self.name, backends=self.backends)
        self.nixl.transfer(handle)
        return handle, registered, descs

    def finish(self, flight):
        handle, registered, descs = flight
        deadline = time.monotonic() + REQUEST_SECONDS
        state = self.nixl.check_xfer_state(handle)
        while state == "PROC":
            if time.monotonic() > deadline:
                raise Failure("a transfer of NIXL's does not end within %d s" % REQUEST_SECONDS)
            time.sleep(POLL_SECONDS)
            state = self.nixl.check_xfer_state(handle)
        if state != "DONE":
            raise Failure("a transfer of NIXL's ended as " + state)
        self.nixl.release_xfer_handle(handle)
        self.nixl.deregister_memory(registered, backends=self.backends)
        self.target.close(descs)

    def device_bytes(self):
        """Read and written; 0 when there is no device."""
        if self.device is None:
            return 0
        with open(self.device, encoding="ascii") as file:
            fields = file.read().split()
        return (int(fields[2]) + int(fields[6])) * SECTOR

    def run(self, operation, plan, ended):
        """Nanoseconds on the clock, and of processor time; bytes of the device. ended(request): after each, inside the timing, since others
        are still in flight; its processor time is not counted."""
        flying, aside = collections.deque(), 0.0
        device = self.device_bytes()
        used = resource.getrusage(resource.RUSAGE_SELF)
        begin = time.monotonic_ns()
        for request in range(plan.requests + plan.window):
            if request >= plan.window:
                self.finish(flying.popleft())
                before = time.thread_time()
                ended(request - plan.window)
                aside += time.thread_time() - before
            if request < plan.requests:
                first = request * plan.count
                offsets = [plan.offset(first + i) for i in range(plan.count)]
                flying.append(self.start(operation, offsets, first, plan.size))
        end = time.monotonic_ns()
        now = resource.getrusage(resource.RUSAGE_SELF)
        cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime - aside
        return end - begin, int(cpu * 1e9), self.device_bytes() - device

    def round(self, count, size, requests, window, seed):
        plan = Plan(count, size, requests, window, self.ring.length)
        length = count * size

        def overwrite(request):
            self.ring.fill(plan.offset(request * count), length, seed, request * length + plan.lap * size)

        self.target.begin(seed)
        self.ring.fill(0, self.ring.length, seed, 0)
        push_ns, push_cpu_ns, push_device_bytes = self.run("WRITE", plan, overwrite)
        self.ring.spoil()
        pull_ns, pull_cpu_ns, pull_device_bytes = self.run("READ", plan, lambda request: None)
        objects = count * requests
        checked = min(objects, plan.lap)
        for number in range(objects - checked, objects):
            if not self.ring.check(plan.offset(number), size, seed, number * size):
                raise Failure("block %d came back with other bytes" % number)
        self.target.end()
        return {"bytes": objects * size, "checked": checked * size, "push_ns": push_ns, "push_cpu_ns": push_cpu_ns,
                "push_device_bytes": push_device_bytes, "pull_ns": pull_ns, "pull_cpu_ns": pull_cpu_ns,
                "pull_device_bytes": pull_device_bytes}


def main():
    # Whatever NIXL prints belongs to the log, not between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(fields):
        print(json.dumps(fields), file=answers, flush=True)

    try:
        bench = Bench(dict(argument.split("=", 1) for argument in sys.argv[1:]))
        answer({"ready": True})
        for line in sys.stdin:
            words = line.split()
            if len(words) != 6 or words[0] != "round":
                raise Failure("%s: no such command" % line.strip())
            answer(bench.round(*[int(word) for word in words[1:]]))
    except Exception as error:  # the bindings have types of their own, which differ between versions
        answer({"error": "%s: %s" % (type(error).__name__, error)})
        os._exit(1)  # a transfer may still be under way in NIXL's threads


if __name__ == "__main__":
    main()
