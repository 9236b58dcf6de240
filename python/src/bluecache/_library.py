# SPDX-License-Identifier: Apache-2.0
"""Finds libbluecache.so and loads it, when the first client or shared memory asks for it.

Looked for, in this order; the first that is there is taken, and has to load:
  1. the file that the environment variable BLUECACHE_LIBRARY names;
  2. the package's own copy, libbluecache.so beside this file: a wheel has one;
  3. the system's libbluecache.so.0, as the dynamic loader finds it."""

import ctypes
import os
import pathlib
import threading
from typing import Any

from bluecache import _abi
from bluecache._version import __version__
from bluecache.errors import LibraryError

VARIABLE = "BLUECACHE_LIBRARY"
SYSTEM_NAME = "libbluecache.so.0"

_lock = threading.Lock()
_loaded: "Library | None" = None


class Library:
    """The functions of bluecache.h, by name without `bc_`. Calls release the GIL, but for those that cannot wait."""

    def __init__(self, path: str) -> None:
        """OSError: it does not load. LibraryError: it is something else, or too old."""
        releasing = ctypes.CDLL(path)
        holding = ctypes.PyDLL(path)
        self.path = path
        for name, (result, arguments) in _abi.PROTOTYPES.items():
            try:
                function = getattr(holding if name in _abi.QUICK else releasing, name)
            except AttributeError:
                raise LibraryError("%s is no libbluecache of version %s: it has no function %s"
                                   % (path, __version__, name)) from None
            function.restype = result
            function.argtypes = arguments
            setattr(self, name.removeprefix("bc_"), function)
        self.version_text: str = self.version().decode()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def find() -> str:
    """What to give to the dynamic loader."""
    named = os.environ.get(VARIABLE)
    if named:
        if not os.path.exists(named):
            raise LibraryError("%s names %s, which does not exist" % (VARIABLE, named))
        return named
    own = pathlib.Path(__file__).with_name("libbluecache.so")
    return str(own) if own.exists() else SYSTEM_NAME


def load() -> Library:
    """The library, loaded once per process. Any thread.

    LibraryError: it is not there, does not load, or its major or minor version is not this package's."""
    global _loaded
    if _loaded is not None:
        return _loaded
    with _lock:
        if _loaded is None:
            _loaded = _checked(find())
        return _loaded


def _checked(path: str) -> Library:
    try:
        library = Library(path)
    except LibraryError:
        raise
    except OSError as error:
        if path == SYSTEM_NAME:
            raise LibraryError(
                "libbluecache.so was not found (%s): install the package with `pip install ./python` from a checkout "
                "of BlueCache, or set %s to the path of a libbluecache.so that was built"
                % (error, VARIABLE)) from None
        raise LibraryError("libbluecache cannot be loaded: %s" % error) from None
    if library.version_text.split(".")[:2] != __version__.split(".")[:2]:
        raise LibraryError("%s is libbluecache %s, and this package is %s: both must come from one release"
                           % (path, library.version_text, __version__))
    return library
