# SPDX-License-Identifier: Apache-2.0
"""The options of the patched LMCache 0.4.3: which are taken, what they become, which are refused and how."""

import multiprocessing
import pathlib
import re

import lmc_options
import pytest

only_043 = pytest.mark.lmcache("0.4.3")

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "examples" / "lmcache"


@only_043
@pytest.mark.parametrize("name", lmc_options.CHECKS)
def test_options(run_patched, name):
    run_patched(lmc_options.check, name)


@only_043
@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
def test_example_configuration(make_agent, run_patched, tmp_path, static):
    """Every option of the file is one of LMCache's, and a store works with it."""
    agent = make_agent(backend="dram")
    text = (FOLDER / "lmcache-config.yaml").read_text()
    if static:
        text = re.sub(r"nixl_pool_size: 0.*", "nixl_pool_size: 8", text)
        assert "nixl_pool_size: 8" in text
    text = re.sub(r"dpu_addr: \S+", 'dpu_addr: "%s"' % agent.address, text)
    path = tmp_path / "config.yaml"
    path.write_text(text)
    run_patched(lmc_options.use_file, str(path), agent.address)


@only_043
def test_every_commented_option_is_accepted(run_patched):
    """Lines of the form "# name: value" are options that a user may take in."""
    run_patched(lmc_options.load_with_all, (FOLDER / "lmcache-config.yaml").read_text())


@pytest.mark.lmcache("0.5.6")
def test_unpatched_056_refuses_it(start_process):
    said = start_process(multiprocessing.get_context("spawn"), lmc_options.what_056_says).result()
    for text, words in zip(said, ("nixl_buffer_size must not be set", "nixl_presence_cache must be true",
                                  "p2p", "Invalid NIXL backend"), strict=True):
        assert words in text, said
