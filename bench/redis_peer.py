# SPDX-License-Identifier: Apache-2.0
"""redis-server on loopback and on a Unix socket, without persistence."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from programs import START_SECONDS, Failure, end_process

ANSWER_SECONDS = 60


class Server:
    """A context. It keeps all that it is given, until `flush`."""

    def __init__(self, log):
        if shutil.which("redis-server") is None:
            raise Failure("redis-server is not installed")
        self.folder = tempfile.mkdtemp(prefix="bench-redis-")  # a short path: a socket's has its limit
        self.path = os.path.join(self.folder, "socket")
        self.port = _free_port()  # LMCache's connector for resp:// cannot use a socket's path
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.path,
                   "--save", "", "--appendonly", "no", "--dir", self.folder, "--daemonize", "no"]
        with open(log, "ab") as file:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failure("redis-server did not start")
            try:
                if self._ask(b"PING") == b"+PONG":
                    return
            except OSError:
                pass
            time.sleep(0.01)
        raise Failure("redis-server does not answer after %d s" % START_SECONDS)

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

    def close(self):
        end_process(self.process, signal.SIGTERM)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
