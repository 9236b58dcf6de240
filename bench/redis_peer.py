# SPDX-License-Identifier: Apache-2.0
"""redis-server on loopback and on a Unix socket, without persistence."""

import socket

from peer_server import PeerServer
from programs import Failure

ANSWER_SECONDS = 60


class Server(PeerServer):
    """A context. It keeps all that it is given, until `flush`."""

    name = "redis-server"
    option = "--lmcache"

    def __init__(self, log):
        self.port = _free_port()  # LMCache's connector for resp:// cannot use a socket's path
        super().__init__(log)

    def arguments(self):
        return ["--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.path, "--save", "",
                "--appendonly", "no", "--dir", self.folder, "--daemonize", "no"]

    def answers(self):
        return self._ask(b"PING") == b"+PONG"

    def _ask(self, command):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(self.path)
            connection.sendall(command + b"\r\n")
            return connection.recv(64).split(b"\r\n")[0]

    def flush(self):
        """Forgets everything."""
        try:
            answer = self._ask(b"FLUSHALL SYNC")
        except OSError as error:
            answer = str(error).encode()
        if answer != b"+OK":
            raise Failure("redis-server: %s" % answer.decode(errors="replace"))


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
