# SPDX-License-Identifier: Apache-2.0
"""Reads what a shared object needs, exports, and puts into a class's vtable, with readelf."""

import re
import subprocess


def readelf(path, *options):
    command = ["readelf", "-W", *options, str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def needed(path):
    return re.findall(r"\(NEEDED\).*\[(.*)\]", readelf(path, "-d"))


def symbols(path, table="--symbols"):
    """(value, size, type, section, name) of every named symbol."""
    for line in readelf(path, table).splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[0].rstrip(":").isdigit():
            yield int(fields[1], 16), int(fields[2], 0), fields[3], fields[6], fields[7].split("@")[0]


def exported(path):
    return {name for _, _, _, section, name in symbols(path, "--dyn-syms") if section != "UND"}


def undefined(path):
    return {name for _, _, _, section, name in symbols(path, "--dyn-syms") if section == "UND"}


def vtable(path, class_name):
    """Names of the functions in the slots of a class's vtable, in order; None for a slot without one.

    The first two words, offset and type, are left out. Words are filled by relocations: with a symbol, or with
    the address of a function that the symbol table knows."""
    mangled = "_ZTV%d%s" % (len(class_name), class_name)
    functions = {}
    begin = end = None
    for value, size, kind, _, name in symbols(path):
        if name == mangled:
            begin, end = value, value + size
        if kind == "FUNC" and value:
            functions.setdefault(value, set()).add(name)
    assert begin is not None, "%s has no symbol %s" % (path, mangled)
    slots = [None] * ((end - begin) // 8 - 2)
    for line in readelf(path, "--relocs").splitlines():
        fields = line.split()
        if len(fields) < 4 or not re.fullmatch(r"[0-9a-f]{16}", fields[0]):
            continue
        slot = (int(fields[0], 16) - begin) // 8 - 2
        if 0 <= slot < len(slots):
            # "offset info type value name + addend", or "offset info type addend".
            slots[slot] = {fields[4]} if len(fields) > 4 else functions.get(int(fields[3], 16))
    return slots
