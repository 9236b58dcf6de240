# SPDX-License-Identifier: Apache-2.0
"""The plugin's binary side: what it needs and exports, and whether its engine has the vtable that the core of the
installed NIXL expects. The plugin may be built without NIXL's headers; this notices when NIXL moves on."""

import ctypes
import importlib.util
import pathlib
import re

import pytest

import elf

ENGINE = "nixlDocaDmaProxyEngine"
BASE = "nixlBackendEngine"
SYSTEM_LIBRARIES = {"libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1"}


def wheel_plugins():
    """Folders of the plugins that come with the installed NIXL."""
    site = pathlib.Path(importlib.util.find_spec("nixl").origin).parents[1]
    return sorted(site.glob(".nixl_cu*.mesonpy.libs/plugins"))


def signatures(names, own):
    """A slot's function without its class: what it is called and what it takes. More than one where the compiler
    gave functions of the same body one address."""
    found = {re.sub(r"^(_ZNK?)\d+(?:%s|%s)" % (own, BASE), r"\1", name) for name in names or ()}
    return {re.sub(r"^_ZND[012]Ev$", "destructor", name) for name in found}


def test_plugin_needs_system_libraries_alone(plugin):
    wanted = {name for name in elf.needed(plugin) if not name.startswith("ld-linux")}
    assert wanted <= SYSTEM_LIBRARIES


def test_plugin_uses_no_symbol_of_nixl_or_abseil(plugin):
    assert not [name for name in elf.undefined(plugin) if "nixl" in name or "absl" in name]


def test_plugin_exports_its_entry_alone(plugin):
    assert elf.exported(plugin) == {"nixl_plugin_init", "nixl_plugin_fini"}


def test_vtable_slots_are_those_of_the_wheels_posix_plugin(plugin):
    folders = wheel_plugins()
    assert folders, "the installed NIXL has no plugins"
    ours = [signatures(names, ENGINE) for names in elf.vtable(plugin, ENGINE)]
    assert len(ours) == 27 and all(ours)
    for folder in folders:
        theirs = [signatures(names, "nixlPosixEngine")
                  for names in elf.vtable(folder / "libplugin_POSIX.so", "nixlPosixEngine")]
        assert len(theirs) == 27, folder
        for slot, (our, their) in enumerate(zip(ours, theirs)):
            assert our & their, "slot %d of %s" % (slot, folder)


class Plugin(ctypes.Structure):
    """The start of what nixl_plugin_init returns."""

    _fields_ = [("api_version", ctypes.c_int), ("create_engine", ctypes.c_void_p),
                ("destroy_engine", ctypes.c_void_p), ("get_plugin_name", ctypes.CFUNCTYPE(ctypes.c_char_p)),
                ("get_plugin_version", ctypes.CFUNCTYPE(ctypes.c_char_p)),
                ("get_backend_options", ctypes.c_void_p), ("get_backend_mems", ctypes.c_void_p)]


def test_entry_can_be_called_any_number_of_times(plugin):
    library = ctypes.CDLL(str(plugin))
    library.nixl_plugin_init.restype = ctypes.POINTER(Plugin)
    first = library.nixl_plugin_init()
    library.nixl_plugin_fini()
    second = library.nixl_plugin_init()
    assert ctypes.addressof(first.contents) == ctypes.addressof(second.contents)
    assert second.contents.api_version == 1
    assert second.contents.get_plugin_name() == b"DOCA_DMA_PROXY"
    assert re.fullmatch(rb"\d+\.\d+\.\d+", second.contents.get_plugin_version())
    assert all(getattr(second.contents, name) for name, _ in Plugin._fields_)


@pytest.mark.parametrize("name", ["nixlDocaDmaProxyEngine"])
def test_engine_overrides_what_a_local_backend_must(plugin, name):
    mandatory = {"registerMem", "deregisterMem", "prepXfer", "postXfer", "checkXfer", "releaseReqH", "loadLocalMD",
                 "unloadMD", "connect", "disconnect", "queryMem", "getSupportedMems"}
    own = {found.group(1) for names in elf.vtable(plugin, name) for text in names
           for found in [re.match(r"_ZNK?22%s\d+([A-Za-z]+?)E" % name, text)] if found}
    assert mandatory <= own
