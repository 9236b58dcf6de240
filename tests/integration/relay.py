# SPDX-License-Identifier: Apache-2.0
"""A network that can be cut: a thread that passes bytes on between clients and an agent. While it is cut nothing
passes and nobody is told: connections stay open, new ones are taken and led nowhere. When it is healed the bytes that
were on their way arrive late, as they would on a real network."""

import select
import socket
import threading
import time

PIECE = 65536
WAITING_MAX = 1 << 20  # of one direction; a sender then has to wait


class _Way:
    """From one socket to the other."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self.waiting = b""
        self.ended = False

    def wants(self):
        return not self.ended and len(self.waiting) < WAITING_MAX

    def take(self):
        try:
            data = self.source.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.waiting += data
        self.ended = not data

    def give(self):
        """False: the other side is gone."""
        try:
            if self.waiting:
                self.waiting = self.waiting[self.target.send(self.waiting[:PIECE]):]
            elif self.ended:
                self.target.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return bool(self.waiting) or not self.ended


class Relay:
    """Use as a context; `address` is what clients connect to."""

    def __init__(self, target):
        host, port = target.rsplit(":", 1)
        self.target = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.wake, self.waker = socket.socketpair()
        self.wake.setblocking(False)
        self.ways = []
        self.is_cut = False
        self.is_over = False
        self.passed = 0  # rounds since the last change: tells that the thread has seen it
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        self.waker.send(b".")
        self.thread.join(30)
        assert not self.thread.is_alive()
        for way in self.ways:
            way.source.close()
        for one in (self.listener, self.wake, self.waker):
            one.close()

    def cut(self):
        self._change(True)

    def heal(self):
        self._change(False)

    def _change(self, is_cut):
        self.passed, self.is_cut = 0, is_cut
        self.waker.send(b".")
        deadline = time.monotonic() + 30
        while self.passed == 0:
            assert time.monotonic() < deadline and self.thread.is_alive()
            time.sleep(0.001)

    def _accept(self):
        try:
            near, _ = self.listener.accept()
        except BlockingIOError:
            return
        try:
            far = socket.create_connection(self.target, timeout=10)
        except OSError:
            near.close()
            return
        for one in (near, far):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ways += [_Way(near, far), _Way(far, near)]

    def _drop(self, way):
        both = [other for other in self.ways if other.source in (way.source, way.target)]
        self.ways = [other for other in self.ways if other not in both]
        way.source.close()
        way.target.close()

    def _round(self):
        readers = {way.source: way for way in self.ways if way.wants() and not self.is_cut}
        writers = {way.target: way for way in self.ways if (way.waiting or way.ended) and not self.is_cut}
        listening = [] if self.is_cut else [self.listener]
        ready, writable, _ = select.select([self.wake, *listening, *readers], list(writers), [], 1)
        if self.wake in ready:
            self.wake.recv(64)
            return
        for one in ready:
            if one in readers:
                readers[one].take()
            else:
                self._accept()
        for one in writable:
            if one.fileno() >= 0 and not writers[one].give():
                # Half a connection is of no use to our protocol: both ends go.
                self._drop(writers[one])

    def _run(self):
        while not self.is_over:
            self._round()
            self.passed += 1
