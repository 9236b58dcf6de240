# SPDX-License-Identifier: Apache-2.0
"""What the package says about the C interface is what the compiler says."""

import ctypes
import re
import subprocess

import package
from bluecache import _abi, _version
from bluecache.client import _OBJECT_INFO
from bluecache.entries import _ENTRY, _KEY
from bluecache.status import Op, StatKind, Status
import pytest

HEADER = package.ROOT / "host" / "include" / "bluecache" / "bluecache.h"
STATUS_HEADER = package.ROOT / "common" / "bluecache" / "status.h"


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """The values of C expressions, by expression."""
    folder = tmp_path_factory.mktemp("abi")

    def ask(expressions):
        lines = ['    printf("%%llu\\n", (unsigned long long)(%s));' % text for text in expressions]
        source = folder / "abi.c"
        source.write_text("#include <stddef.h>\n#include <stdio.h>\n#include <bluecache/bluecache.h>\n"
                          "int main(void)\n{\n%s\n    return 0;\n}\n" % "\n".join(lines))
        subprocess.run(["gcc", "-I", HEADER.parents[1], "-I", STATUS_HEADER.parents[1], source, "-o", folder / "abi"],
                       check=True, timeout=60)
        out = subprocess.run([folder / "abi"], check=True, capture_output=True, text=True, timeout=60).stdout
        return dict(zip(expressions, map(int, out.split()), strict=True))

    return ask


def test_structures_have_the_compilers_layout(ask):
    ours = {}
    for name, structure in _abi.STRUCTURES.items():
        ours["sizeof(struct %s)" % name] = ctypes.sizeof(structure)
        for field, *_ in structure._fields_:
            ours["offsetof(struct %s, %s)" % (name, field)] = getattr(structure, field).offset
            ours["sizeof(((struct %s *)0)->%s)" % (name, field)] = getattr(structure, field).size
    assert ask(list(ours)) == ours


def test_all_structures_with_all_fields_are_there():
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    theirs = {name: re.findall(r"(\w+)(?:\[\d+\])?;", body)
              for name, body in re.findall(r"^struct (\w+) \{(.*?)^\};", text, re.DOTALL | re.MULTILINE)}
    assert theirs == {name: [field[0] for field in structure._fields_] for name, structure in _abi.STRUCTURES.items()}


def test_packed_rows_are_as_long_as_the_structures(ask):
    assert ask(["sizeof(struct bc_entry)", "sizeof(struct bc_key)", "sizeof(struct bc_object_info)"]) == {
        "sizeof(struct bc_entry)": _ENTRY.size, "sizeof(struct bc_key)": _KEY.size,
        "sizeof(struct bc_object_info)": _OBJECT_INFO.size}


def test_enumerations_have_the_headers_values(ask):
    ours = {"BC_STATUS_" + status.name: status.value for status in Status}
    ours.update({"BC_" + op.name: op.value for op in Op})
    ours.update({"BC_STAT_" + kind.name: kind.value for kind in StatKind})
    ours.update({"BC_MODE_" + name.upper(): value for name, value in _abi.MODES.items()})
    ours.update({
        "BC_STATUS_COUNT": len(Status), "BC_MEMORY_HOST": _abi.MEMORY_HOST, "BC_MEMORY_CUDA": _abi.MEMORY_CUDA,
        "BC_CLIENT_KEY_LEN_MAX": _abi.KEY_LEN_MAX, "BC_CLIENT_OBJECT_SIZE_MAX": _abi.OBJECT_SIZE_MAX})
    assert ask(list(ours)) == ours
    named = set(re.findall(r"^    (BC_\w+)(?: = |,|$)", HEADER.read_text() + STATUS_HEADER.read_text(), re.MULTILINE))
    assert named == {name for name in ours if not name.startswith("BC_CLIENT_")}


def test_every_exported_function_has_a_prototype():
    exported = re.findall(r"^\s+(bc_\w+);", (package.ROOT / "host" / "bluecache.map").read_text(), re.MULTILINE)
    assert sorted(exported) == sorted(_abi.PROTOTYPES)


def test_prototypes_take_as_many_arguments_as_the_header_says():
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text() + STATUS_HEADER.read_text(), flags=re.DOTALL)
    theirs = {name: [] if arguments.strip() == "void" else arguments.split(",")
              for name, arguments in re.findall(r"\b(bc_\w+)\(([^()]*)\);", text)}
    assert {name: len(arguments) for name, arguments in theirs.items() if name in _abi.PROTOTYPES} == {
        name: len(arguments) for name, (_, arguments) in _abi.PROTOTYPES.items()}


def test_unknown_status_is_internal():
    assert Status(1000) is Status.INTERNAL
    with pytest.raises(ValueError):
        Status("ok")


def test_version_is_the_projects():
    project = (package.ROOT / "CMakeLists.txt").read_text()
    assert re.search(r"project\(bluecache VERSION (\S+)", project).group(1) == _version.__version__
