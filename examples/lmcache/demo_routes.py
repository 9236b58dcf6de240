# SPDX-License-Identifier: Apache-2.0
"""The two routes from LMCache to the agent, for the demonstration: what LMCache's configuration file says, and what a
process needs in its environment.

    patch    LMCache 0.4.3 with lmcache_integration.patch: NixlStorageBackend -> NIXL -> DOCA_DMA_PROXY
    plugin   any LMCache from 0.4.3 to 0.5.6 as it is: a storage plugin over libbluecache (python/)

The installed LMCache is never changed: what the patch is applied to is a copy."""

import hashlib
import importlib.metadata
import importlib.util
import os
import pathlib
import shutil
import subprocess
import tempfile
from typing import Any

from demo_agent import HOST_PCI

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PATCH = HERE / "lmcache_integration.patch"
PATCH_SCRIPT = HERE / "patch_lmcache.sh"
PATCHED_VERSION = "0.4.3"
PATCH_SECONDS = 120
TIMEOUT_MS = 10000
SPARE_CHUNKS = 4


class RouteError(Exception):
    """This route cannot be taken here; one sentence."""


def lmcache_version() -> str:
    try:
        return importlib.metadata.version("lmcache")
    except importlib.metadata.PackageNotFoundError:
        raise RouteError("LMCache is not installed for this Python: scripts/setup.sh --lmcache makes "
                         "build/venv-lmcache-0.4.3") from None


def choose(route: str | None) -> str:
    """The route to take; RouteError when the one that was asked for does not fit the installed LMCache."""
    version = lmcache_version()
    if route == "patch" and version != PATCHED_VERSION:
        raise RouteError("the patch is for LMCache %s, and %s is installed: take --route plugin" % (
            PATCHED_VERSION, version))
    return route or ("patch" if version == PATCHED_VERSION else "plugin")


def environment(route: str, build: pathlib.Path, cache: pathlib.Path, world: str) -> dict[str, str]:
    """Of a process that uses LMCache. Makes the patched copy of LMCache when that is not there."""
    settings = dict(os.environ)
    settings.update(
        DOCA_EMU_WORLD=world, NIXL_PLUGIN_DIR=str(build / "nixl-plugin"), NIXL_LOG_LEVEL="WARN",
        BLUECACHE_LIBRARY=str(build / "host" / "libbluecache.so"), LMCACHE_TRACK_USAGE="false", PYTHONHASHSEED="0",
        HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
    # Threads that spin while they wait for each other make a prefill several times as slow as soon as another program
    # wants a processor too, and no faster when none does.
    settings.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    path = str(patched_copy(cache)) if route == "patch" else str(ROOT / "python" / "src")
    settings["PYTHONPATH"] = os.pathsep.join([path] + [old for old in [os.environ.get("PYTHONPATH")] if old])
    return settings


def patched_copy(cache: pathlib.Path) -> pathlib.Path:
    """The folder with a patched copy of the installed LMCache, named by the patch's contents: whole or not there."""
    spec = importlib.util.find_spec("lmcache")
    if spec is None or not spec.submodule_search_locations:
        raise RouteError("LMCache is not installed for this Python")
    source = pathlib.Path(spec.submodule_search_locations[0])
    name = "lmcache-%s-%s" % (
        PATCHED_VERSION, hashlib.sha256(PATCH.read_bytes() + str(source).encode()).hexdigest()[:12])
    target = cache / name
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix=name + ".", dir=cache))
    try:
        shutil.copytree(source, work / "lmcache", ignore=shutil.ignore_patterns("__pycache__"))
        done = subprocess.run([str(PATCH_SCRIPT), str(work)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=PATCH_SECONDS, check=False)
        if done.returncode:
            raise RouteError("the patch could not be applied to a copy: " + done.stderr.strip())
        try:
            os.rename(work, target)
        except OSError:
            if not target.exists():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def configuration(route: str, address: str, chunk_tokens: int, chunk_bytes: int, chunks: int) -> dict[str, Any]:
    """LMCache's configuration. chunks: of the longest prompt; there is room for them in each of LMCache's pools."""
    pool_bytes = (chunks + SPARE_CHUNKS) * chunk_bytes
    config: dict[str, Any] = {
        "chunk_size": chunk_tokens, "local_cpu": False, "save_unfull_chunk": False,
        "max_local_cpu_size": pool_bytes / 2**30}
    if route == "patch":
        config.update({
            "nixl_buffer_size": pool_bytes, "nixl_buffer_device": "cpu",
            "extra_config": {
                "enable_nixl_storage": True, "nixl_backend": "DOCA_DMA_PROXY", "nixl_pool_size": 0,
                "nixl_presence_cache": False, "nixl_async_put": False,
                "nixl_backend_params": {
                    "dpu_addr": address, "pci_addr": HOST_PCI, "mode": "tcp", "timeout_ms": str(TIMEOUT_MS)}}})
    else:
        options = {
            "module_path": "bluecache.lmcache", "class_name": "BlueCacheBackend", "dpu_addr": address,
            "pci_addr": HOST_PCI, "mode": "tcp", "timeout_ms": TIMEOUT_MS, "async_put": False}
        config.update({
            "storage_plugins": ["bluecache"],
            "extra_config": {"storage_plugin.bluecache." + name: value for name, value in options.items()}})
    return config
