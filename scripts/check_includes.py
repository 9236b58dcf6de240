#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that rooms include only what they may see. The rules are the tables below.

usage: scripts/check_includes.py [--list]

--list prints who may include whom. Exit status: 0 all include lines obey, 1 some do not (each is printed).
"""

import os
import re
import sys

import source_files

# A room of the chain sees itself and all rooms before it.
CHAIN = ["base", "dma_transfer.h", "proto", "channel", "loop", "dma", "staging", "flash", "backend",
         "tier", "session", "agent"]
COMMON = CHAIN[:CHAIN.index("channel") + 1]

# Pseudo-rooms that an include line can lead to besides those of the chain.
API = "bluecache/"        # host/include: what users of the library see
DOCA = "doca_*.h"         # the vendor's API, or its emulation
STATUS = "bluecache/status.h"  # the part of the API that is the wire's as well; everybody sees it
EMULATION = "doca_emu.h"  # the emulation's own controls, which the vendor's SDK does not have

# Folder -> (room, what it sees besides its own headers). The longest folder that fits a file counts.
ROOMS = {}
for _index, _name in enumerate(CHAIN):
    _parent = "common" if _name in COMMON else "dpu-agent"
    ROOMS[_parent + "/" + _name] = (_name, set(CHAIN[:_index]))
ROOMS["dpu-agent/dma"][1].add(DOCA)
ROOMS["dpu-agent/staging"][1].add(DOCA)
ROOMS["common/channel/comch"] = ("channel", set(COMMON) | {DOCA})
ROOMS["common/bluecache"] = (STATUS, set())
ROOMS["host"] = ("host", set(COMMON) | {API, DOCA})
ROOMS["doca-emu"] = ("doca-emu", {DOCA, EMULATION})
ROOMS["nixl-plugin"] = ("nixl-plugin", {API})
ROOMS["python"] = ("python", {API})
ROOMS["examples"] = ("examples", {API})
ROOMS["tools"] = ("tools", {API})
# The benchmarks measure the bare DOCA calls and the emulation's copy routine as well, to have something to
# compare with.
ROOMS["bench"] = ("bench", {API, DOCA, EMULATION})
ROOMS["tests"] = ("tests", set(CHAIN) | {API, DOCA, EMULATION, "host", "doca-emu", "nixl-plugin",
                                         "tools", "tests"})

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def room_of_file(path):
    fits = [folder for folder in ROOMS if path == folder or path.startswith(folder + "/")]
    return ROOMS[max(fits, key=len)] if fits else None


def target_of_include(path, quoted, name):
    """The room or pseudo-room that the line leads to; None for system and third-party headers."""
    base = os.path.basename(name)
    head = name.split("/")[0]
    if base == EMULATION:
        return EMULATION
    if re.fullmatch(r"doca_\w+\.h", base):
        return DOCA
    if name == STATUS:
        return STATUS
    if head == "bluecache":
        return API
    if name == "dma_transfer.h" or ("/" in name and head in CHAIN):
        return head
    if not quoted:
        return None
    beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
    if os.path.exists(os.path.join(source_files.ROOT, beside)):
        found = room_of_file(beside)
        return found[0] if found else "outside every room"
    for root in (path.split("/")[0], path.split("/")[0] + "/src", path.split("/")[0] + "/include"):
        if os.path.exists(os.path.join(source_files.ROOT, root, name)):
            found = room_of_file(root + "/" + name)
            return found[0] if found else None
    return None


def check(path):
    found = room_of_file(path)
    text = source_files.read(path)
    if found is None:
        return ["%s: lies in no room; add its folder to scripts/check_includes.py" % path]
    room, sees = found
    problems = []
    for match in INCLUDE.finditer(text):
        target = target_of_include(path, match.group(1) == '"', match.group(2))
        if target in (None, room, STATUS) or target in sees:
            continue
        line = text.count("\n", 0, match.start(2)) + 1
        problems.append("%s:%d: %s may not include %s (%s)" % (path, line, room, match.group(2), target))
    return problems


def main():
    if len(sys.argv) > 1:
        if sys.argv[1] == "--list":
            for folder, (_, sees) in sorted(ROOMS.items()):
                print("%-32s %s" % (folder, ", ".join(sorted(sees)) or "-"))
            return 0
        print(__doc__.strip())
        return 0 if sys.argv[1] in ("-h", "--help") else 2
    files = source_files.select([".c", ".h", ".cpp", ".hpp", ".cc"])
    problems = [problem for path in files for problem in check(path)]
    for problem in problems:
        print(problem)
    print("include directions: %d files, %d problems" % (len(files), len(problems)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
