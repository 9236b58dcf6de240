# SPDX-License-Identifier: Apache-2.0
"""tests/gpu/run.sh, with a stand-in for the CUDA driver in its place: GPU memory by every way, through the library and
through the NIXL plugin, to an agent and back. What it does with a real GPU, nobody has seen."""

import os
import pathlib
import subprocess
import sys

import pytest

from agent import BUILD

SCRIPT = pathlib.Path(__file__).parents[1] / "gpu" / "run.sh"
FAKE = BUILD / "tests" / "unit" / "host" / "fake_cuda"
SECONDS = 240
NO_DRIVER = 77


def run(world, *arguments, **variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BLUECACHE_", "DOCA_EMU_"))}
    done = subprocess.run([str(SCRIPT), "--build", str(BUILD), *arguments], stdin=subprocess.DEVNULL,
                          env=dict(environment, DOCA_EMU_WORLD=world, PYTHON=sys.executable, **variables),
                          capture_output=True, text=True, timeout=SECONDS)
    return done.returncode, done.stdout, done.stderr


# Without FAKE_CUDA_PEER the driver does not say, and it is DOCA that cannot use the address.
@pytest.mark.parametrize("knobs, way, words", [
    ({}, "dma-buf", "exported by dma-buf"),
    ({"FAKE_CUDA_DMABUF": "0", "FAKE_CUDA_PEER": "1"}, "address (nvidia-peermem)", "no dma-buf: GPU 0 gives none"),
    ({"FAKE_CUDA_DMABUF": "0", "FAKE_CUDA_PEER": "0"}, "pinned host memory", "not made for GPUDirect RDMA"),
    ({"FAKE_CUDA_DMABUF": "0"}, "pinned host memory", "is nvidia-peermem loaded?"),
], ids=["dmabuf", "address", "bounce", "bounce of what DOCA refuses"])
def test_every_way_moves_every_byte(world, knobs, way, words):
    if not (FAKE / "libcuda.so.1").exists():
        pytest.skip("%s is not built" % FAKE)
    path = os.pathsep.join(filter(None, (str(FAKE), os.environ.get("LD_LIBRARY_PATH"))))
    status, output, errors = run(world, "--quick", "--memory", "128", LD_LIBRARY_PATH=path,
                                 BLUECACHE_BOUNCE_BYTES="4M", **knobs)
    assert status == 0, output + errors
    rows = [line for line in output.splitlines() if line.startswith(("library ", "nixl "))]
    assert len(rows) == 4 and all(way in row and row.endswith("yes") for row in rows), output
    assert output.count("the library's log: ") == 1 and words in output  # told once, and why


def test_machine_without_a_driver_is_told_in_a_sentence(world, tmp_path):
    # A file of that name that is no library, wherever one may be installed.
    (tmp_path / "libcuda.so.1").write_text("")
    status, output, errors = run(world, LD_LIBRARY_PATH=str(tmp_path))
    assert status == NO_DRIVER and output == "" and errors.count("\n") == 1
    assert "no CUDA driver here" in errors and "nothing was run" in errors


def test_gpu_that_is_not_there_is_told(world):
    if not (FAKE / "libcuda.so.1").exists():
        pytest.skip("%s is not built" % FAKE)
    status, _, errors = run(world, "--device", "7", LD_LIBRARY_PATH=str(FAKE))
    assert status == NO_DRIVER and "there is no GPU 7 here, of 2" in errors
