#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a NIXL program gets from a storage plugin: NIXL's own POSIX, or ours. bench/run.py starts it with a Python
that has the nixl wheel, and drives it like the other programs: a command a line, answered by a line of JSON.

  nixl_posix.py backend=POSIX root=DIR [queue=default|aio|uring|posixaio] [ring=BYTES]
  nixl_posix.py backend=DOCA_DMA_PROXY addr=HOST:PORT [ring=BYTES]

  round COUNT SIZE REQUESTS WINDOW SEED
      Writes REQUESTS requests of COUNT blocks of SIZE bytes, WINDOW of them in flight, then reads them. POSIX:
      each block is a new file, opened with O_DIRECT, registered, and closed inside of the timing, as an object
      store on top of it has to do. DOCA_DMA_PROXY: each block is an object with the fresh key
      nixl/SEED/0, 1, ... The memory is ordinary memory, registered once. What is still in the ring after the
      reads is checked.
"""

import json
import os
import resource
import shutil
import sys
import time

LAP_SHIFT = 4096
LAPS_MAX = 256
PAGE = 4096
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
        whole = length + LAPS_MAX * LAP_SHIFT
        raw = numpy.zeros(whole + PAGE, dtype=numpy.uint8)
        start = -raw.ctypes.data % PAGE
        self.bytes = raw[start:start + whole]
        self.words = self.bytes.view(numpy.uint64)
        self.steps = numpy.arange(self.words.size, dtype=numpy.uint64) * numpy.uint64(STEP)
        self.address = self.bytes.ctypes.data

    def first_word(self, seed):
        mask = 2 ** 64 - 1
        word = (seed + 1) * 0xbf58476d1ce4e5b9 & mask
        return self.numpy.uint64(word ^ word >> 31)

    def fill(self, seed):
        self.numpy.add(self.steps, self.first_word(seed), out=self.words)

    def spoil(self):
        self.bytes.fill(0xa5)

    def check(self, at, length, seed, offset):
        words = self.words[at // 8:(at + length) // 8]
        wanted = self.steps[offset // 8:(offset + length) // 8] + self.first_word(seed)
        return bool((words == wanted).all())


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
class Bench:
    def __init__(self, settings):
        os.environ.setdefault("NIXL_LOG_LEVEL", "WARN")
        from nixl._api import nixl_agent, nixl_agent_config

        kinds = {"POSIX": Files, "DOCA_DMA_PROXY": Objects}
        if settings.get("backend") not in kinds:
            raise Failure("backend= must be one of %s" % ", ".join(kinds))
        self.target = kinds[settings["backend"]](settings)
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

    def run(self, operation, offset_of, count, size, requests, window):
        """Nanoseconds on the clock, and of processor time."""
        flying = []
        used = resource.getrusage(resource.RUSAGE_SELF)
        begin = time.monotonic_ns()
        for request in range(requests):
            if len(flying) == window:
                self.finish(flying.pop(0))
            first = request * count
            flying.append(self.start(operation, [offset_of(first + i) for i in range(count)], first, size))
        while flying:
            self.finish(flying.pop(0))
        end = time.monotonic_ns()
        now = resource.getrusage(resource.RUSAGE_SELF)
        cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        return end - begin, int(cpu * 1e9)

    def round(self, count, size, requests, window, seed):
        lap = self.ring.length // (count * size) * count
        objects = count * requests
        if lap < count * window or (objects - 1) // lap >= LAPS_MAX:
            raise Failure("round: the ring is too small for these requests")

        def push_offset(number):
            return number % lap * size + number // lap * LAP_SHIFT

        def pull_offset(number):
            return number % lap * size

        self.target.begin(seed)
        self.ring.fill(seed)
        push_ns, push_cpu_ns = self.run("WRITE", push_offset, count, size, requests, window)
        self.ring.spoil()
        pull_ns, pull_cpu_ns = self.run("READ", pull_offset, count, size, requests, window)
        checked = min(objects, lap)
        for number in range(objects - checked, objects):
            if not self.ring.check(pull_offset(number), size, seed, push_offset(number)):
                raise Failure("block %d came back with other bytes" % number)
        self.target.end()
        return {"bytes": objects * size, "checked": checked * size, "push_ns": push_ns, "push_cpu_ns": push_cpu_ns,
                "pull_ns": pull_ns, "pull_cpu_ns": pull_cpu_ns}


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
