#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs what needs an ARM kernel inside of a qemu-system-aarch64 machine: the tests of preset dpu-cross that qemu-user
cannot run, and agent and client end to end (scene.sh), on Debian's kernel.

The machine has no network but its own loopback. It boots an initramfs made here of busybox, the programs and the libraries
they ask for; init.sh runs the plan and tells of it on the serial console. The whole run ends at --limit, whatever happens.
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import selectors
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import plan

HERE = Path(__file__).resolve().parent
REPO = HERE.parent.parent
QEMU = "qemu-system-aarch64"
READELF = "aarch64-linux-gnu-readelf"
STRIP = "aarch64-linux-gnu-strip"
MODULES = ("virtio/virtio_ring.ko", "virtio/virtio.ko", "virtio/virtio_mmio.ko", "block/virtio_blk.ko")
LOADER = "lib/ld-linux-aarch64.so.1"
DISK_LEN = 2 << 30
# How much of a test's output goes to the report.
OUTPUT_MAX = 20000
SCENE_SECONDS = 240
TEST_SECONDS = 240
# Tests that may take longer than this elsewhere try every fault there is: minutes here, and nothing of it is of ARM.
LONG_S = 120


class GuestError(Exception):
    """The machine cannot be made or did not do what it was told; the text is for people."""


@dataclass
class Step:
    """A line of the guest's plan, and what came of it."""

    name: str
    seconds: int
    command: list[str]
    status: int | None = None
    took_s: float = 0.0
    output: str = ""


# --- the initramfs ------------------------------------------------------------------------------

class Archive:
    """A cpio archive of the form that kernels unpack ("newc")."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._inode = 0
        self._folders: set[str] = set()

    def _entry(self, name: str, mode: int, data: bytes, device: tuple[int, int] = (0, 0)) -> None:
        self._inode += 1
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % value for value in fields) + name.encode() + b"\0"
        self._parts.append(head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4))

    def folder(self, name: str) -> None:
        """A folder and those above it."""
        if name and name != "." and name not in self._folders:
            self.folder(os.path.dirname(name))
            self._folders.add(name)
            self._entry(name, stat.S_IFDIR | 0o755, b"")

    def file(self, name: str, data: bytes, mode: int = 0o755) -> None:
        self.folder(os.path.dirname(name))
        self._entry(name, stat.S_IFREG | mode, data)

    def link(self, name: str, target: str) -> None:
        self.folder(os.path.dirname(name))
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def console(self) -> None:
        """Where the first process's output goes."""
        self.folder("dev")
        self._entry("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1))

    def bytes(self) -> bytes:
        self._entry("TRAILER!!!", 0, b"")
        return b"".join(self._parts)


def needed(path: Path) -> list[str]:
    """The shared libraries that a program or library asks for."""
    out = subprocess.run([READELF, "-d", str(path)], check=True, capture_output=True, text=True, timeout=60).stdout
    return re.findall(r"\(NEEDED\)\s+Shared library: \[([^]]+)\]", out)


def libraries(programs: list[Path], folders: list[Path]) -> dict[str, Path]:
    """Every library that the programs need, and those that these need, by name."""
    found: dict[str, Path] = {}
    todo = list(programs)
    while todo:
        for name in needed(todo.pop()):
            if name in found or name == os.path.basename(LOADER):
                continue
            path = next((folder / name for folder in folders if (folder / name).exists()), None)
            if path is None:
                raise GuestError(f"no {name} in {', '.join(map(str, folders))}")
            found[name] = path
            todo.append(path)
    return found


def stripped(paths: list[Path], work: Path) -> dict[Path, bytes]:
    """The programs without what only a debugger reads: most of their size."""
    out = {}
    for number, path in enumerate(paths):
        copy = work / f"strip-{number}"
        subprocess.run([STRIP, "--strip-debug", "-o", str(copy), str(path)], check=True, timeout=60)
        out[path] = copy.read_bytes()
        copy.unlink()
    return out


def make_initramfs(steps: list[Step], programs: dict[str, Path], arm64: Path, build: Path, work: Path) -> Path:
    """Programs by the names they have in the guest's /bin."""
    root = arm64 / "root"
    archive = Archive()
    archive.console()
    for name in ("proc", "sys", "tmp", "data", "dev/shm", "etc"):
        archive.folder(name)
    archive.file("etc/passwd", b"root:x:0:0:root:/:/bin/sh\n", 0o644)
    busybox = root / "bin/busybox"
    archive.file("bin/busybox", busybox.read_bytes())
    for applet in ("sh", "awk", "cat", "cmp", "cut", "head", "ifconfig", "insmod", "kill", "mke2fs", "mkdir", "mount", "poweroff",
                   "rm", "rmdir", "sed", "sync", "tail", "timeout", "uname", "usleep"):
        archive.link(f"bin/{applet}", "busybox")
    (drivers,) = (arm64 / "kernel/lib/modules").glob("*/kernel/drivers")
    for module in MODULES:
        archive.file(f"modules/{os.path.basename(module)}", (drivers / module).read_bytes(), 0o644)
    used = libraries(list(programs.values()), [root / "usr/lib/aarch64-linux-gnu", build / "host"])
    for path, data in stripped(list(dict.fromkeys(programs.values())), work).items():
        for name in (name for name, program in programs.items() if program == path):
            archive.file(f"bin/{name}", data)
    for name, path in used.items():
        archive.file(f"lib/aarch64-linux-gnu/{name}", path.read_bytes())
    archive.file(LOADER, (root / LOADER).read_bytes())
    archive.file("init", (HERE / "init.sh").read_bytes())
    archive.file("bin/scene", (HERE / "scene.sh").read_bytes())
    lines = [f"{step.name} {step.seconds} {' '.join(step.command)}\n" for step in steps]
    archive.file("plan", "".join(lines).encode(), 0o644)
    path = work / "initramfs.gz"
    path.write_bytes(gzip.compress(archive.bytes(), 1))
    return path


# --- the machine --------------------------------------------------------------------------------

def command_line(args: argparse.Namespace, initramfs: Path, disk: Path) -> list[str]:
    kernels = sorted((args.arm64 / "kernel/boot").glob("vmlinuz-*"))
    if not kernels:
        raise GuestError(f"no kernel in {args.arm64}/kernel/boot; scripts/setup.sh --cross puts one there")
    return [QEMU, "-machine", "virt,gic-version=3", "-accel", "tcg,thread=multi", "-cpu", args.cpu, "-smp", "2", "-m", "1536",
            "-kernel", str(kernels[-1]), "-initrd", str(initramfs),
            "-append", "console=ttyAMA0 quiet loglevel=3 panic=-1 mitigations=off",
            "-drive", f"if=none,id=disk,format=raw,cache=unsafe,file={disk}", "-device", "virtio-blk-device,drive=disk",
            "-nic", "none", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"]


class Reader:
    """The console's lines, taken apart."""

    def __init__(self, steps: list[Step]) -> None:
        self.steps = {step.name: step for step in steps}
        self.current: Step | None = None
        self.running: set[str] = set()
        self.up: str | None = None
        self.done = False
        self.troubles: list[str] = []

    def line(self, text: str) -> None:
        mark, _, rest = text.partition("@@ ")
        if mark.strip() or not _:
            if self.current is not None and len(self.current.output) < OUTPUT_MAX:
                self.current.output += text + "\n"
            elif "Kernel panic" in text:
                self.troubles.append(text)
            return
        word, _, rest = rest.partition(" ")
        if word == "start":
            self.running.add(rest)
        elif word == "begin":
            self.current = self.steps.get(rest)
        elif word == "end":
            name, status, began, ended = rest.split()
            step = self.steps[name]
            step.status, step.took_s = int(status), float(ended) - float(began)
            self.current = None
            self.running.discard(name)
            print(f"guest: {'passed' if step.status == 0 else 'FAILED'}  {step.took_s:6.1f} s  {name}", flush=True)
        elif word == "up":
            self.up = rest
            print(f"guest: up after {rest}", flush=True)
        elif word == "trouble:":
            self.troubles.append(rest)
        elif word == "done":
            self.done = True


def boot(command: list[str], reader: Reader, limit_s: float, log: Path) -> None:
    """Runs the machine until it turns itself off; not longer than the limit."""
    deadline = time.monotonic() + limit_s
    with open(log, "wb") as out, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                                  stderr=subprocess.STDOUT) as machine:
        assert machine.stdout is not None
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(machine.stdout, selectors.EVENT_READ)
                rest = b""
                while (left := deadline - time.monotonic()) > 0:
                    if not selector.select(min(left, 5)):
                        continue
                    data = os.read(machine.stdout.fileno(), 65536)
                    if not data:
                        break
                    out.write(data)
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        reader.line(line.decode(errors="replace").rstrip("\r"))
                else:
                    reader.troubles.append(f"stopped after {limit_s:.0f} s in {', '.join(sorted(reader.running))}")
        finally:
            machine.kill()


# --- what came of it ----------------------------------------------------------------------------

def write_junit(path: Path, steps: list[Step], took_s: float) -> None:
    suite = ET.Element("testsuite", name="arm64-guest", tests=str(len(steps)), time=f"{took_s:.1f}",
                       failures=str(sum(step.status != 0 for step in steps)), skipped="0")
    for step in steps:
        case = ET.SubElement(suite, "testcase", name=step.name, classname="arm64-guest", time=f"{step.took_s:.2f}")
        if step.status != 0:
            why = "did not run to its end" if step.status is None else f"exit status {step.status}"
            failure = ET.SubElement(case, "failure", message=why)
            failure.text = "".join(c for c in step.output if c >= " " or c in "\n\t")
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def make_steps(args: argparse.Namespace) -> tuple[list[Step], dict[str, Path]]:
    steps = []
    programs = {"dpu_dma_copy": args.build / "dpu-agent/dpu_dma_copy", "bluecache": args.build / "tools/bluecache"}
    for backend in ("posix", "dram"):
        steps.append(Step(f"scene_{backend}", SCENE_SECONDS, ["/bin/scene", backend]))
    for test in plan.read(args.build):
        if test.needs and (args.all or test.timeout_s <= LONG_S):
            programs[test.program.name] = test.program
            steps.append(Step(test.name, TEST_SECONDS, [f"/bin/{test.program.name}", *test.arguments]))
    steps = [step for step in steps if re.search(args.only, step.name)]
    if not steps:
        raise GuestError(f"no test's name matches {args.only}")
    used = {os.path.basename(step.command[0]) for step in steps} | {"dpu_dma_copy", "bluecache"}
    return steps, {name: path for name, path in programs.items() if name in used}


def run(args: argparse.Namespace) -> int:
    for tool in (QEMU, READELF, STRIP):
        if shutil.which(tool) is None:
            raise GuestError(f"{tool} is missing; scripts/setup.sh --cross installs it")
    began = time.monotonic()
    steps, programs = make_steps(args)
    reader = Reader(steps)
    with tempfile.TemporaryDirectory(prefix="arm64-guest-") as folder:
        work = Path(folder)
        initramfs = make_initramfs(steps, programs, args.arm64, args.build, work)
        disk = work / "disk"
        disk.touch()
        os.truncate(disk, DISK_LEN)
        print(f"guest: {len(steps)} steps, initramfs of {initramfs.stat().st_size >> 20} MiB "
              f"made in {time.monotonic() - began:.1f} s", flush=True)
        boot(command_line(args, initramfs, disk), reader, args.limit, args.log)
    took_s = time.monotonic() - began
    for step in steps:
        if step.status != 0:
            print(f"--- {step.name}: {'did not run to its end' if step.status is None else step.status}\n{step.output}")
    for trouble in reader.troubles:
        print(f"guest: trouble: {trouble}")
    if args.junit:
        write_junit(args.junit, steps, took_s)
    failed = sum(step.status != 0 for step in steps)
    print(f"guest: {len(steps) - failed} passed, {failed} failed in {took_s:.0f} s; the console is in {args.log}")
    return 0 if failed == 0 and reader.done and not reader.troubles else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=REPO / "build/dpu-cross", help="build directory of preset dpu-cross")
    parser.add_argument("--arm64", type=Path, default=REPO / "build/arm64", help="what scripts/setup.sh --cross unpacked")
    parser.add_argument("--cpu", default="neoverse-n1", help="processor of the machine, as QEMU names it (neoverse-n1, whose "
                        "extensions are those of BlueField-3's Cortex-A78; cortex-a72 is that of BlueField-2)")
    parser.add_argument("--all", action="store_true", help="also the tests that take minutes here; with a --limit of 3000")
    parser.add_argument("--limit", type=float, default=540, help="seconds after which the run is ended (540)")
    parser.add_argument("--only", default="", metavar="REGEX", help="only what this is found in the name of")
    parser.add_argument("--junit", type=Path, help="write a report in JUnit's format")
    parser.add_argument("--log", type=Path, help="the console's text (default: arm64-guest.log in the build directory)")
    args = parser.parse_args()
    args.build = args.build.resolve()
    args.arm64 = args.arm64.resolve()
    args.log = args.log or args.build / "arm64-guest.log"
    try:
        return run(args)
    except (GuestError, subprocess.SubprocessError, OSError) as error:
        print(f"guest: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
