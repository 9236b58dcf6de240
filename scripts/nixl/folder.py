# SPDX-License-Identifier: Apache-2.0
"""The folder that goes into NIXL's tree: the plugin, libbluecache, what it stands on, the emulation of DOCA.

Which sources these are is read from the build of this tree, so the two cannot drift apart. A manifest in the folder
holds the checksum of every file: what somebody has changed there is seen before it would be lost.
"""

import hashlib
import os
import re
from typing import Dict, List, Optional

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MANIFEST = "MANIFEST.sha256"
TEMPLATE = "nixl-plugin/in-tree/meson.build.in"

# Sources of host/ and common/ that the plugin does not need, and why.
LEFT_OUT = {
    "common/base/options_file.c": "reads files of options, for the agent; needs libyaml",
}
COMMON_ROOMS = ("base", "proto", "channel")
EMULATED_LIBRARIES = ("doca_common", "doca_dma", "doca_comch")


def _read(path: str) -> str:
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def _cmake(folder: str) -> str:
    return re.sub(r"#.*", "", _read(folder + "/CMakeLists.txt"))


def _named(folder: str, text: str) -> List[str]:
    return sorted({"%s/%s" % (folder, name) for name in re.findall(r"[\w/.-]+\.(?:cpp|c)\b", text)} - set(LEFT_OUT))


def _folders(top: str) -> List[str]:
    """The folder and all below it."""
    return sorted(os.path.relpath(parent, ROOT) for parent, _, _ in os.walk(os.path.join(ROOT, top)))


def library_sources() -> List[str]:
    """libbluecache and what it stands on."""
    names: List[str] = []
    for room in ("host", *("common/" + name for name in COMMON_ROOMS)):
        for folder in _folders(room):
            if os.path.exists(os.path.join(ROOT, folder, "CMakeLists.txt")):
                names += _named(folder, _cmake(folder))
    return sorted(names)


def plugin_sources() -> List[str]:
    return _named("nixl-plugin", _cmake("nixl-plugin"))


def emulation_sources() -> List[str]:
    """Those of the emulated libraries that the plugin needs."""
    names: List[str] = []
    for library, text in re.findall(r"_library\(\s*(doca_\w+)\s+([^)]*)\)", _cmake("doca-emu")):
        if library in EMULATED_LIBRARIES:
            names += _named("doca-emu", text)
    return sorted(names)


def _headers(folder: str) -> List[str]:
    return sorted("%s/%s" % (folder, name) for name in os.listdir(os.path.join(ROOT, folder)) if name.endswith(".h"))


def header_files() -> List[str]:
    names = _headers("nixl-plugin") + _headers("common")
    for top in ("host", "common/bluecache", "doca-emu", *("common/" + room for room in COMMON_ROOMS)):
        for folder in _folders(top):
            names += _headers(folder)
    return names


def doca_modules() -> List[str]:
    """What pkg-config has to find for the SDK to be used."""
    included = set()
    for name in library_sources() + header_files():
        if not name.startswith("doca-emu/"):
            included |= set(re.findall(r'#\s*include\s*[<"](doca_\w+)\.h[>"]', _read(name)))
    modules = ["doca-common", "doca-dma"]
    return modules + (["doca-comch"] if any(name.startswith("doca_comch") for name in included) else [])


def version() -> str:
    found = re.search(r"project\(bluecache VERSION ([0-9.]+)", _read("CMakeLists.txt"))
    assert found is not None
    return found.group(1)


def _place(name: str) -> str:
    """Where a file of this tree lies in the folder."""
    return "plugin/" + name[len("nixl-plugin/"):] if name.startswith("nixl-plugin/") else name


def _meson(names: List[str]) -> str:
    return "\n".join("    '%s'," % _place(name) for name in names)


def _meson_build() -> str:
    text = _read(TEMPLATE)
    values = {
        "VERSION": version(),
        "DOCA_MODULES": ", ".join("'%s'" % name for name in doca_modules()),
        "PLUGIN_SOURCES": _meson(plugin_sources()),
        "LIBRARY_SOURCES": _meson(library_sources()),
        "EMULATION_SOURCES": _meson(emulation_sources()),
    }
    for name, value in values.items():
        text = text.replace("@%s@" % name, value)
    return text


def contents() -> Dict[str, bytes]:
    """Path in the folder -> what it holds."""
    files = {"meson.build": _meson_build().encode()}
    for source, place in (("nixl-plugin/in-tree/README.md", "README.md"),
                          ("nixl-plugin/in-tree/isa-l/crc.h", "isa-l/crc.h"),
                          ("nixl-plugin/plugin.map", "plugin/plugin.map"),
                          ("LICENSE", "LICENSE")):
        files[place] = _read(source).encode()
    for source in plugin_sources() + library_sources() + emulation_sources() + header_files():
        files[_place(source)] = _read(source).encode()
    lines = ["%s  %s\n" % (hashlib.sha256(data).hexdigest(), place) for place, data in sorted(files.items())]
    files[MANIFEST] = "".join(lines).encode()
    return files


def read_manifest(folder: str) -> Optional[Dict[str, str]]:
    """Path -> checksum, or None where the folder has no manifest that can be read."""
    try:
        with open(os.path.join(folder, MANIFEST), encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    found = [re.fullmatch(r"([0-9a-f]{64})  (\S.*)", line) for line in lines]
    if not found or None in found:
        return None
    return {match.group(2): match.group(1) for match in found if match is not None}


def changed_files(folder: str, manifest: Dict[str, str]) -> List[str]:
    """Files that are not as they were copied: changed, missing, or new."""
    there = set()
    for parent, _, names in os.walk(folder):
        there |= {os.path.relpath(os.path.join(parent, name), folder) for name in names}
    changed = (there ^ set(manifest)) - {MANIFEST}
    for place in there & set(manifest):
        with open(os.path.join(folder, place), "rb") as file:
            if hashlib.sha256(file.read()).hexdigest() != manifest[place]:
                changed.add(place)
    return sorted(changed)


def is_current(manifest: Dict[str, str], files: Dict[str, bytes]) -> bool:
    return manifest == {place: hashlib.sha256(data).hexdigest() for place, data in files.items() if place != MANIFEST}
