#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a program under qemu-user and counts the instructions of a kind that it came by: shows that code which chooses its way
by what the processor has did choose the fast one, or the one that an older processor has.

usage: instructions.py --qemu QEMU --root ROOT --cpu CPU (--with KIND | --without KIND)... PROGRAM [ARGUMENT]...
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile

# Mask and value of the encodings, from the A64 instruction set.
KINDS = {
    "crc32c": ((0x7FE0F000, 0x1AC05000),),
    # LDADD, SWP and their like; CAS
    "lse": ((0x3B200C00, 0x38200000), (0x3FA07C00, 0x08A07C00)),
    # LDXR, LDAXR and their like
    "exclusive": ((0x3FE00000, 0x08400000),),
    # TBL: products in a Galois field, sixteen at a time
    "tbl": ((0xBFE09C00, 0x0E000000),),
    "pmull": ((0xBF20FC00, 0x0E20E000),),
}
LINE = re.compile(r"^0x[0-9a-f]+:\s+([0-9a-f]{8})\b", re.M)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qemu", required=True)
    parser.add_argument("--root", required=True, help="where the program's libraries are")
    parser.add_argument("--cpu", required=True)
    parser.add_argument("--with", dest="expected", action="append", default=[], choices=KINDS)
    parser.add_argument("--without", dest="unwanted", action="append", default=[], choices=KINDS)
    parser.add_argument("--any-status", action="store_true", help="the program may fail: parts of it need an ARM kernel")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    with tempfile.NamedTemporaryFile("r") as log:
        done = subprocess.run([args.qemu, "-cpu", args.cpu, "-L", args.root, "-d", "in_asm,nochain", "-D", log.name, *args.command],
                              stdin=subprocess.DEVNULL, timeout=200, check=False)
        codes = [int(code, 16) for code in LINE.findall(log.read())]
    if (done.returncode != 0 and not args.any_status) or not codes:
        print(f"instructions: status {done.returncode}, {len(codes)} instructions seen")
        return 1
    counts = {kind: sum(any(code & mask == value for mask, value in forms) for code in codes) for kind, forms in KINDS.items()}
    print(f"instructions: {len(codes)} seen on {args.cpu}:", ", ".join(f"{count} {kind}" for kind, count in counts.items()))
    wrong = [f"no {kind}" for kind in args.expected if counts[kind] == 0]
    wrong += [f"{counts[kind]} {kind}" for kind in args.unwanted if counts[kind] > 0]
    for sentence in wrong:
        print(f"instructions: {sentence}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
