# SPDX-License-Identifier: Apache-2.0
"""Which libbluecache the package takes, and what it says when it cannot."""

import os
import shutil
import subprocess
import sys

import package
from bluecache import _abi
import pytest

TELL = "import bluecache; print(bluecache.library_version(), bluecache._library.load().path)"
TRY = """
import bluecache
try:
    bluecache.Client("127.0.0.1:1")
except bluecache.LibraryError as error:
    print(error.strerror)
"""


def python(program, sources=package.SOURCES, library=None):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BLUECACHE_")}
    environment["PYTHONPATH"] = str(sources)
    if library is not None:
        environment["BLUECACHE_LIBRARY"] = str(library)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60,
                          cwd="/", stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def make_library(folder, functions, version):
    source, library = folder / "fake.c", folder / "libfake.so"
    source.write_text('const char *bc_version(void);\nconst char *bc_version(void) { return "%s"; }\n' % version
                      + "".join("int %s(void);\nint %s(void) { return -1; }\n" % (name, name)
                                for name in functions if name != "bc_version"))
    subprocess.run(["gcc", "-shared", "-fPIC", source, "-o", library], check=True, timeout=60)
    return library


@pytest.fixture
def own_copy(tmp_path):
    """The package as a wheel lays it out."""
    shutil.copytree(package.SOURCES / "bluecache", tmp_path / "site" / "bluecache",
                    ignore=shutil.ignore_patterns("__pycache__", "lmcache"))
    shutil.copy(package.LIBRARY, tmp_path / "site" / "bluecache" / "libbluecache.so")
    return tmp_path / "site"


def test_named_library_is_taken_before_the_own_one(own_copy):
    assert python(TELL, own_copy, package.LIBRARY).endswith(" %s" % package.LIBRARY)


def test_own_copy_is_taken(own_copy):
    assert python(TELL, own_copy).endswith(" %s" % (own_copy / "bluecache" / "libbluecache.so"))


def test_named_library_that_is_not_there_is_told(tmp_path):
    assert python(TRY, library=tmp_path / "none.so") == "BLUECACHE_LIBRARY names %s, which does not exist" % (
        tmp_path / "none.so")


def test_file_that_is_no_library_is_told(tmp_path):
    (tmp_path / "text.so").write_text("text")
    assert python(TRY, library=tmp_path / "text.so").startswith("libbluecache cannot be loaded: %s" % tmp_path)


def test_library_of_another_version_is_refused(tmp_path):
    said = python(TRY, library=make_library(tmp_path, _abi.PROTOTYPES, "7.9.1"))
    assert "is libbluecache 7.9.1, and this package is 0.1" in said


def test_library_of_another_patch_release_is_taken(tmp_path):
    major, minor, _ = package.bluecache.__version__.split(".")
    version = "%s.%s.99" % (major, minor)
    assert python(TELL, library=make_library(tmp_path, _abi.PROTOTYPES, version)).startswith(version)


def test_library_that_lacks_a_function_is_refused(tmp_path):
    functions = [name for name in _abi.PROTOTYPES if name != "bc_query"]
    assert "it has no function bc_query" in python(TRY, library=make_library(tmp_path, functions, "0.1.0"))


def test_missing_library_says_what_to_do():
    said = python("import bluecache._library\nbluecache._library.SYSTEM_NAME = 'libbluecache-none.so.0'\n" + TRY)
    assert "pip install ./python" in said and "BLUECACHE_LIBRARY" in said and "\n" not in said


def test_import_loads_no_library():
    assert python("import bluecache, bluecache.aio; print(bluecache.Status.OK.name)") == "OK"
