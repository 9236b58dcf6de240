# SPDX-License-Identifier: Apache-2.0
"""Runs a function in a child process and brings back what it returns or raises. NIXL is imported once, in the
parent, and never used there: a child is forked with it and makes its agent in an environment of its own."""

import multiprocessing
import os
import time
import traceback

START_METHOD = multiprocessing.get_context("fork")
CHILD_SECONDS = 100


class Line:
    """What the child and the test say to each other."""

    def __init__(self, connection):
        self.connection = connection

    def say(self, what):
        self.connection.send(("said", what))

    def hear(self, what, seconds=CHILD_SECONDS):
        kind, heard = self._receive(seconds)
        assert kind == "said", "the other side is over: %s" % heard
        assert heard == what, "%r was said, %r was expected" % (heard, what)

    def _receive(self, seconds):
        assert self.connection.poll(seconds), "nothing was heard for %d s" % seconds
        return self.connection.recv()


def _main(function, arguments, environment, log_path, connection):
    with open(log_path, "ab") as log:
        os.dup2(log.fileno(), 2)
    os.environ.update(environment)
    try:
        value = function(Line(connection), *arguments)
        connection.send(("returned", value))
    except BaseException:
        connection.send(("raised", traceback.format_exc()))


class Child(Line):
    def __init__(self, function, arguments, environment, log_path, context=START_METHOD):
        """context: of multiprocessing; how the process is started."""
        connection, theirs = context.Pipe()
        super().__init__(connection)
        self.log_path = log_path
        self.process = context.Process(
            target=_main, args=(function, arguments, environment, log_path, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def result(self, seconds=CHILD_SECONDS):
        """What the function returned; its traceback as an AssertionError when it raised."""
        deadline = time.monotonic() + seconds
        try:
            kind, value = self._receive(seconds)
        except EOFError:
            self.process.join(5)
            raise AssertionError("the client died with status %s" % self.process.exitcode) from None
        assert kind != "said", "the client said %r and waits for an answer" % value
        self.process.join(max(1.0, deadline - time.monotonic()))
        if kind == "raised":
            raise AssertionError("in the client:\n" + value)
        assert self.process.exitcode == 0, "the client ended with status %s" % self.process.exitcode
        return value

    def kill(self):
        """SIGKILL, whatever it is doing."""
        self.process.kill()
        self.process.join(30)

    def end(self):
        """Killed if it still runs; then nothing is left of it but its log."""
        if self.process.is_alive():
            self.kill()
        self.connection.close()
        self.process.close()

    def log(self):
        with open(self.log_path, "rb") as log:
            return log.read().decode(errors="replace")
