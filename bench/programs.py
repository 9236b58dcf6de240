# SPDX-License-Identifier: Apache-2.0
"""The processes of a run: the agent, and the resident programs that answer commands with JSON. Every wait has a
deadline; whatever was started is ended by its own process id."""

import json
import os
import re
import select
import signal
import subprocess
import time

DPU_PCI = "0000:03:00.0"
START_SECONDS = 60
ANSWER_SECONDS = 300
STOP_SECONDS = 30
ADDRESS = re.compile(r"listening on (\S+)\n")
PAGES = re.compile(r"reserved 2 MiB pages|transparent huge pages|4 KiB pages")


class Failure(Exception):
    """Something could not be measured; the text says what and why."""


def clean_environment(world, **more):
    """Nothing that the user has set for other purposes may change what is measured."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("BLUECACHE_", "DOCA_EMU_"))}
    environment["DOCA_EMU_WORLD"] = world
    environment.update(more)
    return environment


def end_process(process, number):
    """The exit status; after STOP_SECONDS it is killed."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        return process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait(STOP_SECONDS)


def _tail(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file.readlines() if line.strip()]
    except OSError:
        return ""
    return ": " + lines[-1] if lines else ""


class Program:
    """Setting up is over when it is there; `ask` sends a command and returns the answer. A context."""

    def __init__(self, name, command, log, environment):
        self.name = name
        self.log = log
        self.buffer = b""
        with open(log, "ab") as errors:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                            env=environment)
        try:
            self.ready = self.answer(START_SECONDS)  # what it said of itself
        except BaseException:
            self.close()
            raise

    def ask(self, *words, seconds=ANSWER_SECONDS):
        self.tell(*words)
        return self.answer(seconds)

    def tell(self, *words):
        """A command that is answered only after the next one, or whose answer is asked for later."""
        try:
            self.process.stdin.write((" ".join(str(word) for word in words) + "\n").encode())
            self.process.stdin.flush()
        except OSError:
            raise Failure("%s ended by itself%s" % (self.name, _tail(self.log))) from None

    def answer(self, seconds):
        deadline = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise Failure("%s does not answer within %d s" % (self.name, seconds))
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                raise Failure("%s ended by itself%s" % (self.name, _tail(self.log)))
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        fields = json.loads(line)
        if "error" in fields:
            raise Failure("%s: %s" % (self.name, fields["error"]))
        return fields

    def close(self):
        try:
            self.process.stdin.close()
        except OSError:
            pass
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            end_process(self.process, signal.SIGKILL)
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Agent:
    """dpu_dma_copy on a port that the kernel picks, or over Comch. A context."""

    def __init__(self, build, backend, staging_mib, depth, log, environment, options=(), mode="tcp"):
        self.log = log
        self.mode = mode
        command = [os.path.join(build, "dpu-agent", "dpu_dma_copy"), "-p", DPU_PCI, "-m", str(staging_mib),
                   "-q", str(depth), "-b", backend, *options]
        command += ["-T", "--listen", "127.0.0.1:0"] if mode == "tcp" else []
        with open(log, "ab") as file:
            self.log_start = file.tell()  # agents of a run share the log
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                            env=environment)
        try:
            self.address = self._wait_address()
        except BaseException:
            end_process(self.process, signal.SIGKILL)
            raise

    def _wait_address(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            found = ADDRESS.search(self._logged())
            if found:
                return found.group(1)
            if self.process.poll() is not None:
                raise Failure("the agent did not start%s" % _tail(self.log))
            time.sleep(0.01)
        raise Failure("the agent does not listen after %d s" % START_SECONDS)

    def _logged(self):
        with open(self.log, "rb") as file:
            file.seek(self.log_start)
            return file.read().decode(errors="replace")

    @property
    def pages(self):
        """Of its staging memory, as its log tells."""
        found = PAGES.search(self._logged())
        return found.group(0) if found else "unknown pages"

    @property
    def pid(self):
        return self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end_process(self.process, signal.SIGTERM)


def run_fio(arguments, seconds=ANSWER_SECONDS):
    """One run of fio; its only job, from its JSON."""
    try:
        done = subprocess.run(["fio", "--output-format=json", *arguments], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds, check=False)
        job = json.loads(done.stdout[done.stdout.index(b"{"):])["jobs"][0]
    except (OSError, ValueError, KeyError, IndexError, subprocess.TimeoutExpired) as error:
        raise Failure("fio: %s" % error) from None
    if done.returncode != 0 or job["error"] != 0:
        raise Failure("fio: exit status %d, error %d" % (done.returncode, job["error"]))
    return job
