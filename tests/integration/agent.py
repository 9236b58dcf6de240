# SPDX-License-Identifier: Apache-2.0
"""The agent as a process of its own: started on a port that the kernel picks, or as a Comch service, in an emulated
world and a root that the test gives, stopped by its process id."""

import os
import pathlib
import re
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BLUECACHE_BUILD") or ROOT / "build" / "release")
PROGRAM = BUILD / "dpu-agent" / "dpu_dma_copy"
BRIDGE = BUILD / "tests" / "testlib" / "comch_bridge"
DPU_PCI = "0000:03:00.0"
HOST_PCI = "0000:ba:00.0"

START_SECONDS = 30
STOP_SECONDS = 30
# The number of a copy inside a pull of 4 MiB that follows their push: that takes 64 copies, the pull 16.
COPY_OF_A_PULL = 70
ADDRESS = re.compile(r"listening on (\S+)\n")


class AgentEnded(AssertionError):
    """It ended before it listened. The log says why."""


class Address(str):
    """What a client is told: an address of TCP, or the name of a Comch service."""

    mode = "tcp"

    @classmethod
    def of_service(cls, name):
        address = cls(name)
        address.mode = "comch"
        return address


def way_to(address):
    """The variables that lead a client there."""
    return {"BLUECACHE_DPU_ADDR": str(address), "BLUECACHE_MODE": getattr(address, "mode", "tcp"),
            "BLUECACHE_PCI_ADDR": HOST_PCI}


class Bridge:
    """From TCP to Comch, for what speaks the protocol byte by byte (comch_bridge.c says how). `address` is of TCP."""

    def __init__(self, service, environment, log):
        self.process = subprocess.Popen([str(BRIDGE), "comch:%s/%s" % (HOST_PCI, service)], env=environment,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        port = self.process.stdout.readline().strip()
        assert port, "the bridge to Comch did not start"
        self.address = Address("127.0.0.1:" + port)

    def close(self):
        self.process.stdin.close()
        try:
            assert self.process.wait(STOP_SECONDS) == 0, "the bridge to Comch failed"
        finally:
            self.process.kill()
            self.process.stdout.close()


class Agent:
    """One life after another of an agent with the same store and, once known, the same port or service."""

    def __init__(self, folder, world, backend="posix", workers=1, memory_mb=128, options=(), faults=None,
                 transport="tcp"):
        self.folder = pathlib.Path(folder)
        self.root = self.folder / "store"
        self.root.mkdir(parents=True, exist_ok=True)
        self.log_path = self.folder / "agent.log"
        self.address = None
        self.process = None
        self.bridge = None
        self.service = self.folder.name if transport == "comch" else None
        self.command = [str(PROGRAM), "-p", DPU_PCI, "-m", str(memory_mb), "-q", "8", "-b", backend,
                        *(["--service", self.service] if self.service else ["-T"]), "--workers", str(workers), "--root", str(self.root), *options]
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith(("BLUECACHE_", "DOCA_EMU_"))}
        self.environment["DOCA_EMU_WORLD"] = world
        self.faults = {"DOCA_EMU_FAULT_" + name: str(value) for name, value in (faults or {}).items()}

    def listening(self):
        """The options that say where."""
        return [] if self.service else ["--listen", self.address or "127.0.0.1:0"]

    @property
    def wire_address(self):
        """For bytes over TCP, whatever the agent listens on."""
        if self.service is None:
            return self.address
        if self.bridge is None:
            with open(self.log_path, "ab") as log:
                self.bridge = Bridge(self.service, self.environment, log)
        return self.bridge.address

    def start(self, faults=True):
        """Returns when it listens. faults: whether the injected faults hold in this life too."""
        assert self.process is None, "the agent runs already"
        assert PROGRAM.exists(), "%s is not built; BLUECACHE_BUILD names another build directory" % PROGRAM
        deadline = time.monotonic() + START_SECONDS
        while not self._start_once(faults, deadline):
            # Its old port may have become the local end of somebody's connection for a while.
            time.sleep(0.05)
        return self

    def _start_once(self, faults, deadline):
        """False: it may work later."""
        begin = self.log_path.stat().st_size if self.log_path.exists() else 0
        command = [*self.command, *self.listening()]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command, env=dict(self.environment, **(self.faults if faults else {})), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log)
        while True:
            ended = self.process.poll() is not None
            with open(self.log_path, "rb") as log:
                log.seek(begin)
                text = log.read().decode(errors="replace")
            found = ADDRESS.search(text)
            if found:
                self.address = Address.of_service(self.service) if self.service else Address(found.group(1))
                return True
            if ended:
                status, self.process = self.process.returncode, None
                if self.address and "Address already in use" in text and time.monotonic() < deadline:
                    return False
                raise AgentEnded("the agent did not start: it ended with status %d" % status)
            assert time.monotonic() < deadline, "the agent does not listen after %d s" % START_SECONDS
            time.sleep(0.01)

    def stop(self):
        """SIGTERM; it has to end by itself, with status 0."""
        status = self._end(signal.SIGTERM)
        assert status == 0, "the agent ended with status %d" % status

    def kill(self):
        """SIGKILL, whatever it is doing."""
        self._end(signal.SIGKILL)

    def _end(self, number):
        process, self.process = self.process, None
        process.send_signal(number)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)
            raise AssertionError("the agent did not end within %d s of signal %d" % (STOP_SECONDS, number))

    def send(self, number):
        self.process.send_signal(number)

    def wait_dead(self, seconds=STOP_SECONDS):
        """For an agent that ends by a fault: its status."""
        status = self.process.wait(seconds)
        self.process = None
        return status

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def clean_up(self):
        """At the end of a test: no process is left, whatever happened."""
        bridge, self.bridge = self.bridge, None
        try:
            self._clean_up()
        finally:
            if bridge is not None:
                bridge.close()

    def _clean_up(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.stop()
        else:
            status, self.process = self.process.returncode, None
            raise AssertionError("the agent ended by itself with status %d" % status)
