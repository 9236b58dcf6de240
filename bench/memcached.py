# SPDX-License-Identifier: Apache-2.0
"""memcached on a Unix socket, and its C client, memcached_peer."""

import os
import shutil
import socket

from parts import CHECK_RING, MIB
from peer_server import PeerServer
from programs import Failure

USER = "nobody"      # when root starts it: it refuses to run as root
ITEM_MAX = "32m"     # of 16 MiB and a header
THREADS = 2
ROUNDS_KEPT = 2      # as many rounds of items as it has memory for
BASE_MIB = 128       # and what its own structures and the loss in slabs take


class Server(PeerServer):
    """memcached with memory for the rounds of round_len bytes that are kept. A context."""

    name = "memcached"

    def __init__(self, bench, round_len):
        self._memory = ROUNDS_KEPT * round_len // MIB + BASE_MIB
        super().__init__(bench.log("memcached"))

    def arguments(self):
        as_user = []
        if os.geteuid() == 0:
            shutil.chown(self.folder, USER)
            as_user = ["-u", USER]
        return ["-s", self.path, "-I", ITEM_MAX, "-m", str(self._memory), "-t", str(THREADS), *as_user]

    def answers(self):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(self.path)
        return True


def start(bench, stack, part, kind, shape=None):
    """Client and checker; None, and a word in the report, when it cannot be measured here. Its memory was touched
    before: rounds of that shape (64 x 1 MiB) went through it until it was full or nearly so. What it has given to items of
    one size it takes back slowly, so every shape needs a server of its own."""
    count, size, requests = shape or (64, MIB, bench.settings.ring // (64 * MIB))
    try:
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
