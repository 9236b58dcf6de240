#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What tests/gpu/run.sh runs: memory of a CUDA GPU through libbluecache, and through the NIXL plugin where the nixl package
is, to an agent and back. The CUDA driver is used by itself, by ctypes. Each of the two is a process of its own, as its log
says which way to the GPU is in use.

Exit status: 0 all bytes were right, 1 not, 77 no CUDA driver or no such GPU.
"""

import argparse
import ctypes
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

NO_DRIVER = 77
BACKEND = "DOCA_DMA_PROXY"
SECONDS = 300
ROUNDS = 5
KIB, MIB = 1 << 10, 1 << 20
# (bytes of a block, blocks). The last is more than the pinned memory that GPU memory may be copied by way of.
CASES = ((64 * KIB, 256), (MIB, 64), (16 * MIB, 32))
QUICK = ((4 * KIB, 16), (MIB, 8))
WAYS = (("exported by dma-buf", "dma-buf"), ("exported by its address", "address (nvidia-peermem)"),
        ("pinned host memory", "pinned host memory"))


class NoDriver(Exception):
    """There is no CUDA here; the text is a sentence."""


class Cuda:
    """The CUDA driver, and the primary context of one GPU."""

    def __init__(self, number):
        try:
            self.driver = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            raise NoDriver("no CUDA driver here (%s); nothing was run" % error) from None
        device, count, context = ctypes.c_int(), ctypes.c_int(), ctypes.c_void_p()
        result = self.driver.cuInit(0)
        if result == 0:
            result = self.driver.cuDeviceGetCount(ctypes.byref(count))
        if result != 0:
            raise NoDriver("the CUDA driver does not start (error %d); nothing was run" % result)
        if self.driver.cuDeviceGet(ctypes.byref(device), number) != 0:
            raise NoDriver("there is no GPU %d here, of %d; nothing was run" % (number, count.value))
        name = ctypes.create_string_buffer(256)
        self.call("cuDeviceGetName", name, 256, device)
        self.name = name.value.decode()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)

    def call(self, function, *arguments):
        result = getattr(self.driver, function)(*arguments)
        if result != 0:
            raise OSError("%s gives CUDA error %d" % (function, result))

    def alloc(self, length):
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(length))
        return address.value

    def free(self, address):
        self.call("cuMemFree_v2", ctypes.c_uint64(address))

    def write(self, address, data):
        self.call("cuMemcpyHtoD_v2", ctypes.c_uint64(address), data, ctypes.c_size_t(len(data)))
        self.call("cuCtxSynchronize")

    def read(self, address, length):
        data = ctypes.create_string_buffer(length)
        self.call("cuMemcpyDtoH_v2", data, ctypes.c_uint64(address), ctypes.c_size_t(length))
        return data.raw


# --- the two ways to use BlueCache: register, push and pull whole blocks, unregister ---
class Library:
    """libbluecache by the Python package."""

    def __init__(self, options):
        import bluecache

        self.bluecache = bluecache
        self.client = bluecache.Client(dpu_addr=options.dpu)
        self.device = options.device

    def register(self, address, length):
        return self.client.register(address, length, device=self.device)

    def unregister(self, memory):
        memory.unregister()

    def run(self, push, memory, names, block):
        entries = [self.bluecache.Entry(memory, i * block, name.encode(), 0, block) for i, name in enumerate(names)]
        with (self.client.push if push else self.client.pull)(entries) as request:
            status = request.wait(SECONDS * 1000)
        if status != self.bluecache.Status.OK:
            raise OSError("a %s ends with %s" % ("push" if push else "pull", status))

    def close(self):
        self.client.close()


class Nixl:
    """The plugin by the nixl package."""

    def __init__(self, options):
        from nixl._api import nixl_agent, nixl_agent_config

        self.agent = nixl_agent("gpu", nixl_agent_config(backends=[]))
        self.agent.create_backend(BACKEND, {"dpu_addr": options.dpu})
        self.device = options.device
        self.objects = {}

    def register(self, address, length):
        return address, self.agent.register_memory([(address, length, self.device, "")], "VRAM", backends=[BACKEND])

    def unregister(self, memory):
        self.agent.deregister_memory(memory[1], backends=[BACKEND])

    def run(self, push, memory, names, block):
        for name in names:
            if name not in self.objects:
                number = len(self.objects) + 1
                self.agent.register_memory([(0, 1 << 30, number, name)], "OBJ", backends=[BACKEND])
                self.objects[name] = number
        local = [(memory[0] + i * block, block, self.device) for i in range(len(names))]
        remote = [(0, block, self.objects[name]) for name in names]
        handle = self.agent.initialize_xfer("WRITE" if push else "READ", self.agent.get_xfer_descs(local, "VRAM"),
                                            self.agent.get_xfer_descs(remote, "OBJ"), "gpu", backends=[BACKEND])
        deadline = time.monotonic() + SECONDS
        state = self.agent.transfer(handle)
        while state == "PROC" and time.monotonic() < deadline:
            time.sleep(0.0001)
            state = self.agent.check_xfer_state(handle)
        self.agent.release_xfer_handle(handle)
        if state != "DONE":
            raise OSError("a %s ends as %s" % ("push" if push else "pull", state))

    def close(self):
        del self.agent


USERS = {"library": Library, "nixl": Nixl}


def measure(cuda, user, block, count, rounds):
    """Rates in GB/s; every byte is compared."""
    length = block * count
    data = random.Random(block).randbytes(length)
    names = ["gpu/%s/%d/%d" % (type(user).__name__, block, i) for i in range(count)]
    source, target = cuda.alloc(length), cuda.alloc(length)
    cuda.write(source, data)
    cuda.write(target, bytes(length))
    pushed, pulled = user.register(source, length), user.register(target, length)
    times = {True: [], False: []}
    for _ in range(rounds):
        for push, memory in ((True, pushed), (False, pulled)):
            began = time.perf_counter()
            user.run(push, memory, names, block)
            times[push].append(time.perf_counter() - began)
    right = cuda.read(target, length) == data and cuda.read(source, length) == data
    user.unregister(pushed)
    user.unregister(pulled)
    cuda.free(source)
    cuda.free(target)
    return {"block": block, "count": count, "right": right,
            "push": length / statistics.median(times[True]) / 1e9,
            "pull": length / statistics.median(times[False]) / 1e9}


def worker(options):
    """One of USERS, in this process: a JSON object on stdout."""
    cuda = Cuda(options.device)
    user = USERS[options.user](options)
    rows = [measure(cuda, user, block, count, 2 if options.quick else ROUNDS)
            for block, count in (QUICK if options.quick else CASES)]
    user.close()
    json.dump(rows, sys.stdout)


def run_worker(name, options):
    """(its rows, the way that its log names, the log)."""
    command = [sys.executable, os.path.abspath(__file__), "--device", str(options.device), "--dpu", options.dpu,
               "--user", name] + (["--quick"] if options.quick else [])
    with tempfile.TemporaryFile("w+") as log:
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, text=True,
                               env=dict(os.environ, BLUECACHE_LOG="info"), timeout=3 * SECONDS)
        log.seek(0)
        text = log.read()
    way = next((name for words, name in WAYS if words in text), "unknown")
    if ended.returncode != 0:
        return None, way, text
    return json.loads(ended.stdout[ended.stdout.index("["):]), way, text


def print_table(rows):
    heads = ("through", "way to the GPU", "block", "blocks", "push GB/s", "pull GB/s", "every byte right")
    rows = [heads] + rows
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def main():
    parser = argparse.ArgumentParser(description="GPU memory to a BlueCache agent and back; tests/gpu/run.sh starts it.")
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--dpu", metavar="HOST:PORT")
    parser.add_argument("--user", choices=sorted(USERS), help=argparse.SUPPRESS)
    parser.add_argument("--look", action="store_true", help="only see whether there is a GPU")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.user:
        return worker(options)
    try:
        cuda = Cuda(options.device)
    except NoDriver as error:
        print("tests/gpu: %s" % error, file=sys.stderr)
        return NO_DRIVER
    if options.look:
        return 0
    print("GPU %d: %s" % (options.device, cuda.name))
    table, failed, lines = [], False, []
    for name in USERS:
        if name == "nixl" and importlib.util.find_spec("nixl") is None:
            print("the nixl package is not in %s: its rows are left out" % sys.executable)
            continue
        rows, way, text = run_worker(name, options)
        if rows is None:
            print("%s failed:\n%s" % (name, text), file=sys.stderr)
            failed = True
            continue
        lines += [line for line in text.splitlines() if "GPU memory is" in line and name == "library"]
        for row in rows:
            failed = failed or not row["right"]
            table.append((name, way, "%d KiB" % (row["block"] // KIB), str(row["count"]), "%.2f" % row["push"],
                          "%.2f" % row["pull"], "yes" if row["right"] else "NO"))
    print_table(table)
    for line in lines:
        print("the library's log: " + line)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
