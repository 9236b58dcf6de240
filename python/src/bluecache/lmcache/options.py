# SPDX-License-Identifier: Apache-2.0
"""Options of the storage plugin and of the L2 adapter: one table, which docs/lmcache.md is checked against.

The plugin reads them from LMCache's extra_config, named storage_plugin.<name>.<option>, where <name> is what
storage_plugins calls the plugin; the L2 adapter from its adapter_params, named <option>."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class OptionError(ValueError):
    """The configuration says something that cannot be meant; one sentence, for the person who wrote it."""


class Option(NamedTuple):
    name: str
    kind: str  # "text", "whole number", "yes or no", "list"
    default: Any
    unit: str
    help: str
    least: int = 0


TABLE: tuple[Option, ...] = (
    Option("dpu_addr", "text", "", "",
           "the agent, as host:port; empty: the environment variable BLUECACHE_DPU_ADDR, then 127.0.0.1:18517"),
    Option("pci_addr", "text", "", "",
           "the host's function of the BlueField, as 0000:ba:00.0; empty: BLUECACHE_PCI_ADDR, then the only one that "
           "can export memory"),
    Option("mode", "text", "", "", "how control messages travel: tcp or comch; empty: BLUECACHE_MODE, then tcp"),
    Option("endpoint_list", "list", (), "",
           "several agents, instead of the three above: each \"host:port\" or {dpu_addr, pci_addr, mode}; worker i "
           "writes to number local_worker_id modulo their count"),
    Option("ask_others", "yes or no", True, "",
           "with several agents: look for what one's own agent does not have at the others"),
    Option("timeout_ms", "whole number", 5000, "ms",
           "deadline of a put, of a get and of a removal; what is not there by then is a miss", 1),
    Option("lookup_timeout_ms", "whole number", 1000, "ms", "deadline of the question which objects exist", 1),
    Option("async_put", "yes or no", True, "",
           "a put returns when it is under way; no: when it is stored or has failed"),
    Option("put_queue_mb", "whole number", 1024, "MiB",
           "bytes of puts under way; what would exceed it is not stored", 1),
    Option("presence_cache", "yes or no", False, "",
           "remember keys that were stored or found, and answer for them without asking; a get of one that the agent "
           "evicted meanwhile is a miss, and forgets it"),
    Option("presence_cache_keys", "whole number", 65536, "keys", "how many to remember", 1),
    Option("group", "yes or no", True, "",
           "tell the agent which objects are one chunk of all tensor-parallel ranks, to evict them together"),
    Option("share_mla", "yes or no", False, "",
           "with MLA, where all ranks hold the same KV: name objects without rank and world size, so that they outlive "
           "a change of the tensor-parallel size; not with pipeline parallelism"),
)

_BY_NAME = {option.name: option for option in TABLE}
_LOADER_NAMES = ("module_path", "class_name")  # LMCache's own, under the same prefix
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


class Endpoint(NamedTuple):
    """Where one agent is. Empty fields are left to libbluecache."""

    dpu_addr: str
    pci_addr: str
    mode: str

    def __str__(self) -> str:
        return self.dpu_addr or "the default agent"


@dataclass(frozen=True)
class Options:
    """A checked configuration; every field is described in TABLE."""

    endpoints: tuple[Endpoint, ...]
    ask_others: bool
    timeout_ms: int
    lookup_timeout_ms: int
    async_put: bool
    put_queue_bytes: int
    presence_cache_keys: int  # 0: none
    group: bool
    share_mla: bool
    given: Mapping[str, Any] = field(default_factory=dict, compare=False)


def plugin_settings(extra_config: Mapping[str, Any], names: list[str], class_name: str) -> dict[str, Any]:
    """The plugin's share of extra_config, without the prefix. names: LMCache's storage_plugins.

    LMCache does not tell a plugin what it is called, so the one whose class_name is ours is taken.
    OptionError: none, or more than one."""
    mine = [name for name in names if extra_config.get("storage_plugin.%s.class_name" % name) == class_name]
    if len(mine) != 1:
        raise OptionError(
            "storage_plugins names %s with class_name %s: exactly one is needed, several agents go into endpoint_list"
            % ("no plugin" if not mine else "the plugins " + ", ".join(sorted(mine)), class_name))
    prefix = "storage_plugin.%s." % mine[0]
    settings = {name[len(prefix):]: value for name, value in extra_config.items() if name.startswith(prefix)}
    return {name: value for name, value in settings.items() if name not in _LOADER_NAMES}


def parse(settings: Mapping[str, Any]) -> Options:
    """Checks and completes. OptionError: an unknown name, or a value that does not fit."""
    unknown = sorted(set(settings) - set(_BY_NAME))
    if unknown:
        raise OptionError("unknown option %s; there are: %s" % (", ".join(unknown), ", ".join(_BY_NAME)))
    value = {option.name: _convert(option, settings.get(option.name)) for option in TABLE}
    return Options(
        endpoints=_endpoints(value), ask_others=value["ask_others"], timeout_ms=value["timeout_ms"],
        lookup_timeout_ms=min(value["lookup_timeout_ms"], value["timeout_ms"]), async_put=value["async_put"],
        put_queue_bytes=value["put_queue_mb"] << 20,
        presence_cache_keys=value["presence_cache_keys"] if value["presence_cache"] else 0, group=value["group"],
        share_mla=value["share_mla"], given=dict(settings))


def _convert(option: Option, value: Any) -> Any:
    if value is None:
        return option.default
    converted = _CONVERT[option.kind](value)
    if converted is None or (option.kind == "whole number" and converted < option.least):
        raise OptionError("option %s is %r, but has to be %s%s" % (
            option.name, value, "a " + option.kind if option.kind != "text" else "text",
            " of at least %d" % option.least if option.kind == "whole number" else ""))
    return converted


def _text(value: Any) -> str | None:
    return value.strip() if isinstance(value, str) else None


def _whole_number(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    try:
        return int(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _yes_or_no(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return _WORDS.get(str(value).strip().lower())


def _list(value: Any) -> tuple[Any, ...] | None:
    return tuple(value) if isinstance(value, (list, tuple)) else None


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "text": _text, "whole number": _whole_number, "yes or no": _yes_or_no, "list": _list,
}


def _endpoints(value: Mapping[str, Any]) -> tuple[Endpoint, ...]:
    single = Endpoint(value["dpu_addr"], value["pci_addr"], value["mode"])
    if not value["endpoint_list"]:
        return (_checked(single, "mode"),)
    if any(single):
        raise OptionError("endpoint_list and dpu_addr, pci_addr or mode are both given: endpoint_list entries carry "
                          "their own")
    return tuple(_endpoint(entry, index) for index, entry in enumerate(value["endpoint_list"]))


def _endpoint(entry: Any, index: int) -> Endpoint:
    what = "endpoint_list[%d]" % index
    if isinstance(entry, str):
        entry = {"dpu_addr": entry}
    if not isinstance(entry, Mapping) or not set(entry) <= set(Endpoint._fields) or not entry.get("dpu_addr"):
        raise OptionError("%s is %r, but has to be \"host:port\" or {dpu_addr, pci_addr, mode} with dpu_addr"
                          % (what, entry))
    return _checked(Endpoint(*(str(entry.get(name) or "").strip() for name in Endpoint._fields)), what)


def _checked(endpoint: Endpoint, what: str) -> Endpoint:
    if endpoint.mode not in ("", "tcp", "comch"):
        raise OptionError("%s: the mode is %r, but has to be tcp or comch" % (what, endpoint.mode))
    return endpoint
