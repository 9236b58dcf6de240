# SPDX-License-Identifier: Apache-2.0
"""The command `bluecache` as the tests run it: always a process, against an agent that is one as well."""

import json
import os
import pathlib
import subprocess
import sys
import uuid

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from agent import BUILD, HOST_PCI, Agent  # noqa: E402

PROGRAM = BUILD / "tools" / "bluecache"

DONE = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 3


class Tool:
    def __init__(self, address, world, folder):
        self.folder = folder
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith(("BLUECACHE_", "DOCA_EMU_"))}
        self.environment.update(DOCA_EMU_WORLD=world, BLUECACHE_DPU_ADDR=address, BLUECACHE_PCI_ADDR=HOST_PCI,
                                BLUECACHE_TIMEOUT_MS="20000")
        assert PROGRAM.exists(), "%s is not built; BLUECACHE_BUILD names another build directory" % PROGRAM

    def start(self, *arguments, **options):
        return subprocess.Popen([PROGRAM, *arguments], cwd=self.folder, env=self.environment, **options)

    def __call__(self, *arguments, status=DONE, stdin=b"", **environment):
        """Runs it to its end, which has to have that exit status."""
        done = subprocess.run([PROGRAM, *arguments], cwd=self.folder, env={**self.environment, **environment},
                              input=stdin, capture_output=True, timeout=90)
        assert done.returncode == status, "%s: exit status %d\n%s%s" % (
            arguments, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
        return done

    def json(self, *arguments, status=DONE):
        """The one document that it prints."""
        done = self("--json", *arguments, status=status)
        assert done.stdout.endswith(b"\n") and done.stdout.count(b"\n") == 1
        return json.loads(done.stdout)

    def metric(self, name):
        return self.json("stats")["metrics"]["bluecache_" + name]["value"]


@pytest.fixture
def make_tool(tmp_path):
    """Starts an agent, and gives the command that talks to it; its .agent is the agent."""
    agents = []

    def make(**options):
        world = "bluecache-test-" + uuid.uuid4().hex
        agent = Agent(tmp_path / ("agent-%d" % len(agents)), world, **options)
        agents.append(agent)
        agent.start()
        made = Tool(agent.address, world, tmp_path)
        made.agent = agent
        return made

    yield make
    for agent in agents:
        agent.clean_up()


@pytest.fixture
def tool(make_tool):
    return make_tool(backend="dram")


@pytest.fixture
def lonely_tool(tmp_path):
    """For what is decided without an agent: at its address nobody listens."""
    return Tool("127.0.0.1:1", "bluecache-test-" + uuid.uuid4().hex, tmp_path)
