#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which tests of a cross build run under qemu-user, and which need an ARM kernel.

It follows from what a test's program imports: qemu-user has no io_uring and no process_vm_*, cannot start another ARM
program, and keeps no limits on memory. A program that only links one of these and never calls it counts as well.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

NM = "aarch64-linux-gnu-nm"
# Of a cross build's tests, in relation to those of the machine itself (cmake/BlueCache.cmake).
TIMEOUT_FACTOR = 4
# A test that says by this label that it runs under qemu-user, whatever it imports.
LABEL = "qemu-user"
NEEDS_KERNEL = re.compile(r"io_uring_queue_init\w*|process_vm_\w+|exec[lv]\w*|posix_spawnp?|setrlimit")


@dataclass
class Test:
    """A test of CTest: a program of the build, its arguments, and what it imports that only a kernel has."""

    name: str
    program: Path
    arguments: list[str]
    environment: list[str]
    timeout_s: float  # on a machine that is not emulated
    needs: list[str] = field(default_factory=list)


def imports(program: Path) -> list[str]:
    """What the program takes from shared libraries and qemu-user does not have."""
    out = subprocess.run([NM, "-D", "--undefined-only", str(program)], check=True, capture_output=True, text=True,
                         timeout=60).stdout
    names = {line.split()[-1].partition("@")[0] for line in out.splitlines()}
    return sorted(name for name in names if NEEDS_KERNEL.fullmatch(name))


def read(build: Path) -> list[Test]:
    """The tests of a cross build that are programs of this build, or have the label, in CTest's order."""
    out = subprocess.run(["ctest", "--show-only=json-v1"], cwd=build, check=True, capture_output=True, text=True,
                         timeout=60).stdout
    tests = []
    for entry in json.loads(out)["tests"]:
        command = entry.get("command")
        if not command:
            raise SystemExit(f"plan: {entry['name']}: its program is not built")
        # In front of the program stands the emulator with its options.
        place = next((i for i, word in enumerate(command) if word.startswith(f"{build}/")), None)
        if place is None:
            continue
        properties = {item["name"]: item["value"] for item in entry.get("properties", [])}
        program = Path(command[place])
        if LABEL in properties.get("LABELS", []):
            tests.append(Test(entry["name"], program, [], [], 0))
            continue
        tests.append(Test(entry["name"], program, command[place + 1:], properties.get("ENVIRONMENT", []),
                          float(properties.get("TIMEOUT", 60 * TIMEOUT_FACTOR)) / TIMEOUT_FACTOR, imports(program)))
    return tests


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path, help="build directory of preset dpu-cross")
    parser.add_argument("--regex", action="store_true", help="print what ctest --tests-regex takes for qemu-user's tests")
    args = parser.parse_args()
    tests = read(args.build.resolve())
    if args.regex:
        print("^(" + "|".join(re.escape(test.name) for test in tests if not test.needs) + ")$")
        return 0
    for test in tests:
        print(f"{'guest' if test.needs else 'user '} {test.name}{': ' if test.needs else ''}{', '.join(test.needs)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
