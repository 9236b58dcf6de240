# SPDX-License-Identifier: Apache-2.0
"""The Python example against a running agent, as its README calls it."""

import os
import subprocess
import sys

import pytest

from agent import BUILD, HOST_PCI, ROOT

EXAMPLE = ROOT / "examples" / "python" / "nixl_doca_dma_proxy_example.py"


@pytest.fixture
def example(make_agent, world):
    agent = make_agent(backend="posix")
    environment = dict(os.environ, DOCA_EMU_WORLD=world, NIXL_PLUGIN_DIR=str(BUILD / "nixl-plugin"))

    def run(*arguments):
        command = [sys.executable, str(EXAMPLE), "-p", HOST_PCI, "-g", "cpu", "-d", agent.address, "-m",
                   agent.address.mode]
        return subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, timeout=100,
                              stdin=subprocess.DEVNULL)

    return run


def test_pattern_comes_back_verified(example):
    pushed = example("-o", "push", "-f", "/data/test_obj", "-s", "8")
    assert pushed.returncode == 0, pushed.stderr
    assert "8388608 bytes of host memory" in pushed.stdout and "GB/s" in pushed.stdout
    pulled = example("-o", "pull", "-f", "/data/test_obj", "-s", "8")
    assert pulled.returncode == 0, pulled.stderr
    assert "verified" in pulled.stdout
    wrong = example("-o", "pull", "-f", "/data/test_obj", "-s", "7")
    assert wrong.returncode == 1
    assert "wrong bytes" in wrong.stderr and "Traceback" not in wrong.stderr


def test_file_comes_back_the_same(example, tmp_path):
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(os.urandom(3 * 1024 * 1024 + 17))
    pushed = example("-o", "push", "-f", "file", "--input", str(there))
    assert pushed.returncode == 0, pushed.stderr
    digest = pushed.stdout.split("sha256 ")[1].split()[0]
    pulled = example("-o", "pull", "-f", "file", "--output", str(back), "--sha256", digest)
    assert pulled.returncode == 0, pulled.stderr
    assert "verified" in pulled.stdout
    assert back.read_bytes() == there.read_bytes()
    wrong = example("-o", "pull", "-f", "file", "--sha256", "0" * 64)
    assert wrong.returncode == 1 and "wrong bytes" in wrong.stderr


def test_missing_object_is_status_1(example):
    done = example("-o", "pull", "-f", "nothing of this name")
    assert done.returncode == 1
    assert "nothing of this name" in done.stderr and "Traceback" not in done.stderr
