# SPDX-License-Identifier: Apache-2.0
"""The folder that scripts/patch_nixl.sh puts into NIXL's tree, built there by Meson: complete, and a plugin that real NIXL
loads; linked into the library, nothing of it shows. The tree is tests/nixl_tree, as no NIXL source is at hand."""

import os
import shutil
import subprocess

import pytest

from agent import ROOT
from nixl_client import Client, pattern

pytestmark = [pytest.mark.once,
              pytest.mark.skipif(not (shutil.which("meson") and shutil.which("ninja")), reason="there is no Meson"),
              pytest.mark.skipif(os.path.isdir("/opt/mellanox/doca"), reason="the tree would build against the SDK")]

BUILD_SECONDS = 240
PLUGIN_FOLDER = "src/plugins/doca_dma_proxy"


def command(*arguments):
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=BUILD_SECONDS)
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The small tree, patched, with a declaration of NIXL's plugin ABI in place of its headers."""
    root = tmp_path_factory.mktemp("nixl") / "my nixl"
    shutil.copytree(ROOT / "tests" / "nixl_tree", root)
    headers = root / "src" / "api" / "cpp" / "backend"
    headers.mkdir(parents=True)
    shutil.copy(ROOT / "nixl-plugin" / "abi" / "nixl_abi.h", headers / "backend_engine.h")
    (headers / "backend_plugin.h").write_text('#include "backend_engine.h"\n')
    command(ROOT / "scripts" / "patch_nixl.sh", root)
    return root


def exported(library):
    return [line.split()[-1] for line in command("nm", "--dynamic", "--defined-only", library).splitlines()]


def round_trip(line):
    client = Client()
    for size in (1, 4097, (1 << 20) + 1):
        client.push("tree/%d" % size, pattern(size, size))
        assert client.pull("tree/%d" % size, size) == pattern(size, size)


@pytest.fixture(scope="module")
def dynamic(tree):
    """The tree's build folder, with the plugin built as one."""
    build = tree / "build"
    said = command("meson", "setup", build, tree, "-Denable_plugins=DOCA_DMA_PROXY")
    assert "no DOCA SDK was found" in said and "building the software emulation" in said
    command("ninja", "-C", build)
    return build


@pytest.mark.timeout(2 * BUILD_SECONDS)
def test_plugin_built_in_the_tree(dynamic, make_agent, run_client):
    plugin = dynamic / PLUGIN_FOLDER / "libplugin_DOCA_DMA_PROXY.so"
    assert sorted(exported(plugin)) == ["nixl_plugin_fini", "nixl_plugin_init"]
    agent = make_agent(backend="dram")
    run_client(agent.address, round_trip, NIXL_PLUGIN_DIR=str(plugin.parent))


@pytest.mark.timeout(2 * BUILD_SECONDS)
def test_plugin_linked_into_the_library(dynamic):
    """The last test of that build folder: what was not compiled anew is taken from there."""
    build = dynamic
    assert command(build / "src" / "core" / "list_plugins") == "BUFFER: BUFFER\n"
    command("meson", "configure", build, "-Dstatic_plugins=DOCA_DMA_PROXY")
    command("ninja", "-C", build)
    listed = command(build / "src" / "core" / "list_plugins")
    assert "DOCA_DMA_PROXY: DOCA_DMA_PROXY " in listed and ", 3 memory types" in listed
    names = exported(build / "src" / "core" / "libnixl.so")
    assert names and not [name for name in names if name.startswith(("bc_", "doca_", "crc32", "XXH", "nixl_plugin"))
                          or "ocaDmaProxy" in name or "DOCA_DMA_PROXY" in name]


def test_static_but_not_enabled_is_refused(tree, tmp_path):
    done = subprocess.run(["meson", "setup", tmp_path / "build", tree, "-Denable_plugins=POSIX",
                           "-Dstatic_plugins=DOCA_DMA_PROXY"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=BUILD_SECONDS)
    assert done.returncode != 0 and "enable_plugins has to name it" in done.stdout
