# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the agent, of clients, of both, at seeded moments under load and while the agent starts again. --crashes
says how many in all, --crash-seed which ones; the seed of each round is printed."""

import collections
import random

import pytest

from scene import Scene

MIB = 1 << 20
# Of ten kills so many.
SCENES = {
    "posix, 1 worker": (4, dict(backend="posix", workers=1, memory_mb=64, options=["--capacity", "512M"])),
    "posix, 2 workers": (3, dict(backend="posix", workers=2, memory_mb=64, options=["--capacity", "1G"])),
    "posix, evicts": (1, dict(backend="posix", workers=1, memory_mb=64, options=["--capacity", "12M"], evicts=True)),
    "dram": (2, dict(backend="dram", workers=2, memory_mb=512)),
}


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", SCENES)
def test_killed_under_load(name, tmp_path, world, crashes, crash_seed, request):
    share, options = SCENES[name]
    scene = Scene(tmp_path, world, **options)
    request.node.bluecache_logs = [scene.logs]
    seeds = random.Random("%d %s" % (crash_seed, name))
    done = collections.Counter()
    print("\n%s: seed %d" % (name, crash_seed))
    try:
        scene.open()
        for number in range(-(-crashes * share // 10)):
            seed = seeds.getrandbits(32)
            print("round %d, seed %d: " % (number, seed), end="", flush=True)
            done[scene.round(seed)] += 1
            print("ok")
        scene.close()
    finally:
        scene.clean_up()
    print(dict(done))
