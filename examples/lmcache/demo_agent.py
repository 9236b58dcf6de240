# SPDX-License-Identifier: Apache-2.0
"""The agent of the demonstration: a process of its own on this machine, in an emulated world of its own, with a store
in a folder. It can be stopped, started again with the same store, made to die in the middle of a copy, and asked
for its counters; and a bit of its store can be flipped."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time

DPU_PCI = "0000:03:00.0"
HOST_PCI = "0000:ba:00.0"
STAGING_MB = 256
START_SECONDS = 60
STOP_SECONDS = 30
STATS_SECONDS = 30
PREFIX = "bluecache_"
# The engine of the emulation copies in slices of this size, each DMA task from its own beginning.
SLICE_BYTES = 256 << 10
TASK_BYTES = 1 << 20
_ADDRESS = re.compile(r"listening on (\S+:\d+)")


class AgentError(Exception):
    """It did not start, did not stop, or does not answer; one sentence."""


class Agent:
    """One life after another over the same store, at the same address once that is known."""

    def __init__(self, build: pathlib.Path, folder: pathlib.Path, backend: str) -> None:
        """folder: an empty folder of its own. backend: posix or dram."""
        self.build = build
        self.folder = folder
        self.root = folder / "store"
        self.root.mkdir()
        self.log_file = folder / "agent.log"
        self.world = str(folder / "world")
        self.backend = backend
        self.address = ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, die_at_slice: int = 0) -> None:
        """Returns when it listens. die_at_slice: it kills itself (SIGKILL) in the copy with this number; 0: it does
        not. AgentError: it does not listen."""
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(("BLUECACHE_", "DOCA_EMU_"))}
        environment["DOCA_EMU_WORLD"] = self.world
        if die_at_slice:
            environment["DOCA_EMU_FAULT_CRASH_IN_COPY"] = str(die_at_slice)
        command = [str(self.build / "dpu-agent" / "dpu_dma_copy"), "-T", "-p", DPU_PCI, "-m", str(STAGING_MB),
                   "-q", "8", "-b", self.backend, "--root", str(self.root), "--listen", self.address or "127.0.0.1:0"]
        begin = self.log_file.stat().st_size if self.log_file.exists() else 0
        with open(self.log_file, "ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while True:
            ended = self._process.poll() is not None
            text = self.log_file.read_bytes()[begin:].decode(errors="replace")
            found = _ADDRESS.search(text)
            if found:
                self.address = found.group(1)
                return
            if ended or time.monotonic() > deadline:
                self.kill()
                raise AgentError("the agent did not start; it said:\n" + text)
            time.sleep(0.01)

    def stop(self) -> None:
        """SIGTERM: it finishes what it is doing. AgentError: it does not end well."""
        status = self._end(signal.SIGTERM)
        if status:
            raise AgentError("the agent ended with status %d; its log is %s" % (status, self.log_file))

    def kill(self) -> None:
        """SIGKILL; nothing happens when it is not there."""
        self._end(signal.SIGKILL)

    def wait_killed(self) -> bool:
        """Whether it died by SIGKILL, which it has time for."""
        if self._process is None:
            return False
        try:
            status = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        self._process = None
        return status == -signal.SIGKILL

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stats(self) -> dict[str, int]:
        """Its counters and gauges by name. AgentError: it does not answer."""
        command = [str(self.build / "tools" / "bluecache"), "stats", "--json", "-d", self.address, "-p", HOST_PCI]
        done = subprocess.run(command, env=dict(os.environ, DOCA_EMU_WORLD=self.world), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=STATS_SECONDS, check=False)
        if done.returncode:
            raise AgentError("the agent gives no counters: " + done.stderr.strip())
        metrics = json.loads(done.stdout)["metrics"]
        return {name.removeprefix(PREFIX): int(metric["value"]) for name, metric in metrics.items()
                if "value" in metric}

    def flip_a_bit(self) -> tuple[str, int]:
        """Changes one bit of one stored object, in the middle of its data: (the file's name, the byte's offset).

        The store must have an object, and be of files."""
        file = sorted(self.root.glob("objects/*/*/*.obj"))[0]
        with open(file, "r+b") as stored:
            offset = os.fstat(stored.fileno()).st_size // 2
            stored.seek(offset)
            byte = stored.read(1)[0]
            stored.seek(offset)
            stored.write(bytes([byte ^ 0x10]))
            stored.flush()
            os.fsync(stored.fileno())
        return file.name, offset

    def _end(self, number: int) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)
            raise AgentError("the agent did not end within %d s" % STOP_SECONDS) from None


def slices(object_bytes: int) -> int:
    """Into how many slices an object is copied."""
    tasks, rest = divmod(object_bytes, TASK_BYTES)
    return tasks * (TASK_BYTES // SLICE_BYTES) + -(-rest // SLICE_BYTES)
