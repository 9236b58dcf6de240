# SPDX-License-Identifier: Apache-2.0
"""The example of docs/python.md: against the source tree, and once after `pip install ./python` into an environment of
its own."""

import os
import re
import subprocess
import sys

import package
from package import make_place, place  # noqa: F401
import pytest

PAGE = package.ROOT / "docs" / "python.md"
SAYS = """pushed: OK 131072 bytes
there: [True, True, False]
restored: OK
removed: ['OK', 'OK']
"""
INSTALL_SECONDS = 100


def run_example(place, python, **more):
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BLUECACHE_", "PYTHON"))}
    environment.update(package.settings(place.world), BLUECACHE_DPU_ADDR=place.agent.address)
    del environment["BLUECACHE_LIBRARY"]
    environment.update(more)
    done = subprocess.run([python, "-c", example], env=environment, capture_output=True, text=True, timeout=60, cwd="/",
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert done.stdout == SAYS


def test_example_of_the_page(place):
    run_example(place, sys.executable, PYTHONPATH=str(package.SOURCES), BLUECACHE_LIBRARY=str(package.LIBRARY))


@pytest.mark.once
@pytest.mark.timeout(180)
def test_installed_with_pip(place, tmp_path):
    def pip(*arguments):
        done = subprocess.run([tmp_path / "venv" / "bin" / "python", "-m", "pip", *arguments], cwd=package.ROOT,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=INSTALL_SECONDS,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout

    before = set(os.listdir(package.ROOT / "python"))
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, timeout=INSTALL_SECONDS)
    pip("install", "--quiet", "--disable-pip-version-check", "./python")
    run_example(place, tmp_path / "venv" / "bin" / "python")
    assert set(os.listdir(package.ROOT / "python")) == before, "something was built into the source tree"
