# SPDX-License-Identifier: Apache-2.0
"""The Python example, as far as it goes without an agent."""

import importlib.util
import os
import pathlib
import socket
import subprocess
import sys

import numpy
import pytest

PATH = pathlib.Path(__file__).resolve().parents[2] / "examples" / "python" / "nixl_doca_dma_proxy_example.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("example", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(plugin, *arguments, timeout=60):
    environment = dict(os.environ, NIXL_PLUGIN_DIR=str(plugin.parent))
    return subprocess.run([sys.executable, str(PATH), *arguments], env=environment, capture_output=True, text=True,
                          timeout=timeout, stdin=subprocess.DEVNULL)


@pytest.fixture
def closed_port():
    """A port on which nobody listens: bound, so that nobody else gets it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.mark.parametrize("given, address", [
    ("10.75.70.125", "10.75.70.125:18517"),
    ("dpu.example:99", "dpu.example:99"),
    ("::1", "[::1]:18517"),
    ("[::1]", "[::1]:18517"),
    ("[::1]:7", "[::1]:7"),
])
def test_port_is_added_where_it_is_missing(example, given, address):
    assert example.address_of(given) == address


def test_pattern_depends_on_key_and_not_on_length(example):
    first = example.pattern("a", 1001)
    assert first.dtype == numpy.uint8 and first.size == 1001
    assert (first == example.pattern("a", 4096)[:1001]).all()
    assert (first != example.pattern("b", 1001)).any()
    assert len(set(first.tolist())) == 256 or len(set(example.pattern("a", 65536).tolist())) == 256


@pytest.mark.parametrize("arguments", [
    [], ["-o", "push"], ["-o", "copy", "-f", "x"], ["-o", "push", "-f", ""], ["-o", "push", "-f", "x", "-s", "0"],
    ["-o", "push", "-f", "x", "-s", "1025"], ["-o", "push", "-f", "x", "-g", "gpu"],
    ["-o", "push", "-f", "x", "--output", "y"], ["-o", "pull", "-f", "x", "--input", "y"],
    ["-o", "pull", "-f", "x", "-m", "rdma"], ["-o", "pull", "-f", "x", "--timeout", "0"],
])
def test_wrong_usage_is_status_2(example, arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        example.parse_options(arguments)
    assert stopped.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_options_of_the_documented_command_are_taken(example):
    options = example.parse_options("-o push -p 0000:ba:00.0 -g 0 -f /data/test_obj -s 64 -d 10.75.70.125 -m tcp".split())
    assert (options.operation, options.pci, options.gpu, options.object) == ("push", "0000:ba:00.0", "0", "/data/test_obj")
    assert (options.size, options.dpu, options.mode) == (64, "10.75.70.125", "tcp")


def test_missing_agent_is_status_3_and_says_what_to_start(plugin, closed_port):
    done = run(plugin, "-o", "push", "-f", "x", "-s", "1", "-d", "127.0.0.1:%d" % closed_port)
    assert done.returncode == 3, done.stderr
    assert "dpu_dma_copy -p 0000:03:00.0" in done.stderr
    assert "127.0.0.1:%d" % closed_port in done.stderr
    assert "DOCA_DMA_PROXY: error:" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_agent_on_comch_says_what_to_start(plugin):
    done = run(plugin, "-o", "push", "-f", "x", "-s", "1", "-d", "nobodys-service", "-m", "comch")
    assert done.returncode == 3, done.stderr
    assert "without -T: it then serves Comch" in done.stderr and "nobodys-service" in done.stderr
    assert "dpu_dma_copy -p 0000:03:00.0" in done.stderr and "Traceback" not in done.stderr


def test_missing_input_file_is_told(plugin, closed_port):
    done = run(plugin, "-o", "push", "-f", "x", "-d", "127.0.0.1:%d" % closed_port, "--input", "/does/not/exist")
    assert done.returncode == 2
    assert "/does/not/exist" in done.stderr and "Traceback" not in done.stderr


def test_plugin_folder_without_plugin_is_told(tmp_path):
    environment = dict(os.environ, NIXL_PLUGIN_DIR=str(tmp_path))
    done = subprocess.run([sys.executable, str(PATH), "-o", "push", "-f", "x"], env=environment, capture_output=True,
                          text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 3
    assert "NIXL_PLUGIN_DIR" in done.stderr and "Traceback" not in done.stderr
