# SPDX-License-Identifier: Apache-2.0
"""The life of somebody else's server on a Unix socket: a folder of its own, start, wait until it answers, end."""

import os
import shutil
import signal
import subprocess
import tempfile
import time

from programs import START_SECONDS, Failure, end_process


class PeerServer:
    """A context. The class that is built on it gives `name`, its program, the option of scripts/setup.sh that installs
    it, and the two methods at the end."""

    name = ""
    option = "--bench"

    def __init__(self, log):
        if shutil.which(self.name) is None:
            raise Failure("%s is not installed; scripts/setup.sh %s installs it" % (self.name, self.option))
        self.folder = tempfile.mkdtemp(prefix="bench-peer-")  # a short path: a socket's has its limit
        self.path = os.path.join(self.folder, "socket")
        with open(log, "ab") as file:
            self.process = subprocess.Popen([self.name, *self.arguments()], stdin=subprocess.DEVNULL, stdout=file,
                                            stderr=file)
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self):
        deadline = time.monotonic() + START_SECONDS
        last = "no answer"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failure("%s did not start" % self.name)
            try:
                if self.answers():
                    return
            except OSError as error:
                last = error
            time.sleep(0.01)
        raise Failure("%s does not answer after %d s: %s" % (self.name, START_SECONDS, last))

    def close(self):
        end_process(self.process, signal.SIGTERM)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def arguments(self):
        """Of the program, which listens on self.path."""
        raise NotImplementedError

    def answers(self):
        """Whether it serves; OSError when it does not yet."""
        raise NotImplementedError
