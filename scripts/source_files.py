#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The project's own files, for the checks: what git tracks, and what it does not yet but would.

As a program: prints the paths with the given suffixes ("sh" stands for every shell script), NUL-terminated.
    scripts/source_files.py .c .h
"""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHEBANGS = (b"#!/usr/bin/env bash", b"#!/bin/bash", b"#!/bin/sh")


def all_files():
    """Paths relative to the root, sorted; a source archive without git is walked instead."""
    if os.path.exists(os.path.join(ROOT, ".git")):
        command = ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        paths = [os.fsdecode(path) for path in output.split(b"\0") if path]
    else:
        paths = []
        for folder, dirs, files in os.walk(ROOT):
            dirs[:] = [d for d in dirs if d not in ("__pycache__",) and not d.startswith("build")]
            paths += [os.path.relpath(os.path.join(folder, name), ROOT) for name in files]
    return sorted({path for path in paths if os.path.isfile(os.path.join(ROOT, path))})


def is_shell(path):
    if path.endswith(".sh"):
        return True
    if os.path.splitext(path)[1]:
        return False
    with open(os.path.join(ROOT, path), "rb") as file:
        return file.readline().strip().startswith(SHEBANGS)


def select(suffixes):
    suffixes = list(suffixes)
    shell = "sh" in suffixes
    endings = tuple(suffix for suffix in suffixes if suffix != "sh")
    return [p for p in all_files() if (endings and p.endswith(endings)) or (shell and is_shell(p))]


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
        return file.read()


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        sys.exit(0 if len(sys.argv) > 1 else 2)
    for name in select(sys.argv[1:]):
        sys.stdout.write(name + "\0")
