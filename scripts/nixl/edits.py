# SPDX-License-Identifier: Apache-2.0
"""The four edits that make NIXL's build know the backend DOCA_DMA_PROXY.

An edit adds text at one anchor, a line that every supported release of NIXL has exactly once, and can take exactly that
text out again, whatever else was changed in the file meanwhile. Nothing here touches a file.
"""

import re
from typing import List

NAME = "DOCA_DMA_PROXY"
FOLDER = "src/plugins/doca_dma_proxy"
INTERFACE = "doca_dma_proxy_backend_interface"


class Unrecognised(Exception):
    """The file is not what the edit was made for; the message says what is wrong."""


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _only(pattern: str, text: str, what: str) -> "re.Match[str]":
    found = list(re.finditer(pattern, text, re.MULTILINE))
    if len(found) != 1:
        raise Unrecognised("%s %s" % ("has no" if not found else "has more than one", what))
    return found[0]


class Edit:
    """Text in, text out."""

    path: str

    def applied(self, text: str) -> bool:
        """Whether the edit is there. Raises Unrecognised where it neither is nor can be made."""
        raise NotImplementedError

    def add(self, text: str) -> str:
        raise NotImplementedError

    def remove(self, text: str) -> str:
        raise NotImplementedError


class ListEdit(Edit):
    """Adds the name to the list of all plugins, in NIXL's top meson.build."""

    path = "meson.build"
    _addition = ", '%s'" % NAME

    def _list(self, text: str) -> "re.Match[str]":
        _only(r"^project\('nixl'", text, "line project('nixl', ...")
        return _only(r"^all_plugins = \[([^\]]*'[^\]]*)\]", text, "list all_plugins")

    def applied(self, text: str) -> bool:
        count = self._list(text).group(1).count("'%s'" % NAME)
        if count == 1 and self._addition in self._list(text).group(1):
            return True
        if count:
            raise Unrecognised("names %s in all_plugins, but not as this script does" % NAME)
        return False

    def add(self, text: str) -> str:
        found = self._list(text)
        end = found.start(1) + found.group(1).rindex("'") + 1
        return text[:end] + self._addition + text[end:]

    def remove(self, text: str) -> str:
        found = self._list(text)
        return text[:found.start(1)] + found.group(1).replace(self._addition, "") + text[found.end(1):]


class BlockEdit(Edit):
    """Puts lines between two marks in front of the anchor."""

    def __init__(self, path: str, comment: str, anchor: str, anchor_name: str, needs: str, body: List[str]) -> None:
        self.path = path
        self._begin = "%s %s: begin, added by BlueCache's patch_nixl.sh" % (comment, NAME)
        self._end = "%s %s: end" % (comment, NAME)
        self._anchor = anchor
        self._anchor_name = anchor_name
        self._needs = needs
        self._body = body

    def _block(self, text: str) -> "re.Match[str] | None":
        pattern = "^%s\r?\n(?:.*\n)*?%s\r?\n(?:\r?\n)?" % (re.escape(self._begin), re.escape(self._end))
        return re.search(pattern, text, re.MULTILINE)

    def applied(self, text: str) -> bool:
        _only(self._anchor, text, self._anchor_name)
        if self._needs not in text:
            raise Unrecognised("has no %s" % self._needs)
        block = self._block(text)
        rest = text if block is None else text[:block.start()] + text[block.end():]
        if NAME in rest:
            raise Unrecognised("names %s, but not as this script does" % NAME)
        return block is not None

    def add(self, text: str) -> str:
        anchor = _only(self._anchor, text, self._anchor_name).start()
        newline = _newline(text)
        lines = [self._begin, *self._body, self._end, "", ""]
        return text[:anchor] + newline.join(lines) + text[anchor:]

    def remove(self, text: str) -> str:
        block = self._block(text)
        return text if block is None else text[:block.start()] + text[block.end():]


EDITS: List[Edit] = [
    ListEdit(),
    # A telemetry line that was commented out, because its exporters did not build, is an anchor as well.
    BlockEdit("src/plugins/meson.build", "#", r"^(?:# *)?subdir\('telemetry'\)", "line subdir('telemetry')",
              "enabled_plugins.get(",
              ["if enabled_plugins.get('%s')" % NAME,
               "    subdir('%s')" % FOLDER.rsplit("/", 1)[1],
               "endif"]),
    BlockEdit("src/core/meson.build", "#", r"^nixl_lib = library\('nixl',", "line nixl_lib = library('nixl', ...",
              "nixl_lib_deps",
              ["if '%s' in static_plugins" % NAME,
               "    if not is_variable('%s')" % INTERFACE,
               "        error('static_plugins names %s, so enable_plugins has to name it, too')" % NAME,
               "    endif",
               "    nixl_lib_deps += [ %s ]" % INTERFACE,
               "endif"]),
    BlockEdit("src/core/nixl_plugin_manager.cpp", "//",
              r"^[ \t]*NIXL_REGISTER_STATIC_PLUGIN\(Telemetry, BUFFER\)",
              "line NIXL_REGISTER_STATIC_PLUGIN(Telemetry, BUFFER)", "NIXL_REGISTER_STATIC_PLUGIN(Backend,",
              ["#ifdef STATIC_PLUGIN_%s" % NAME,
               "    NIXL_REGISTER_STATIC_PLUGIN(Backend, %s)" % NAME,
               "#endif"]),
]
