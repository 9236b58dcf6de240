# SPDX-License-Identifier: Apache-2.0
"""memcached on a Unix socket, and its C client, memcached_peer."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from parts import CHECK_RING, MIB
from programs import START_SECONDS, Failure, end_process

USER = "nobody"      # when root starts it: it refuses to run as root
ITEM_MAX = "32m"     # of 16 MiB and a header
THREADS = 2
ROUNDS_KEPT = 2      # as many rounds of items as it has memory for
BASE_MIB = 128       # and what its own structures and the loss in slabs take


class Server:
    """memcached on a socket in a folder of its own. A context."""

    def __init__(self, bench, round_len):
        self.folder = tempfile.mkdtemp(prefix="bench-memcached-")  # a short path, that USER can reach
        self.path = os.path.join(self.folder, "socket")
        memory = ROUNDS_KEPT * round_len // MIB + BASE_MIB
        command = ["memcached", "-s", self.path, "-I", ITEM_MAX, "-m", str(memory), "-t", str(THREADS)]
        if os.geteuid() == 0:
            shutil.chown(self.folder, USER)
            command += ["-u", USER]
        with open(bench.log("memcached"), "ab") as file:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(self.path)
                    return
                except OSError as error:
                    last = error
            if self.process.poll() is not None:
                raise Failure("memcached did not start")
            time.sleep(0.01)
        raise Failure("memcached does not listen after %d s: %s" % (START_SECONDS, last))

    def close(self):
        end_process(self.process, signal.SIGTERM)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def start(bench, stack, part, kind, shape=None):
    """Client and checker; None, and a word in the report, when it cannot be measured here. Its memory was touched
    before: rounds of that shape (64 x 1 MiB) went through it until it was full or nearly so. What it has given to items of
    one size it takes back slowly, so every shape needs a server of its own."""
    count, size, requests = shape or (64, MIB, bench.settings.ring // (64 * MIB))
    try:
        if shutil.which("memcached") is None:
            raise Failure("memcached is not installed; scripts/setup.sh --bench installs it")
        server = stack.enter_context(Server(bench, count * size * requests))
        address = "socket=" + server.path
        client = stack.enter_context(bench.program("memcached_peer", address, "memory=" + kind,
                                                   "ring=%d" % bench.settings.ring))
        checker = stack.enter_context(bench.program("memcached_peer", address, "memory=malloc",
                                                    "ring=%d" % CHECK_RING))
        for _ in range(ROUNDS_KEPT + 1):
            client.ask("round", count, size, requests, next(bench.seeds))
        return client, checker
    except Failure as failure:
        bench.skip(part, "memcached", failure)
        return None


def party(bench, programs, shape):
    client, checker = programs
    count, size, requests = shape

    def run(_warm):
        seed = next(bench.seeds)
        sample = client.ask("round", count, size, requests, seed)
        checker.ask("check", size, count * requests, seed)
        return sample

    return run
