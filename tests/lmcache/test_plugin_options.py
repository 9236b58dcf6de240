# SPDX-License-Identifier: Apache-2.0
"""Options of the storage plugin and the L2 adapter: what is refused, with a sentence, and that the page of them is the
table. Then the same through LMCache, which goes on without a plugin that does not start."""

import re
import sys

import plugin_support
import pytest

sys.path.insert(0, str(plugin_support.PACKAGE))

from bluecache.lmcache import options  # noqa: E402
from bluecache.lmcache.options import Endpoint, OptionError  # noqa: E402

PAGE = plugin_support.ROOT / "docs" / "lmcache.md"
OURS = "BlueCacheBackend"


def test_defaults_are_those_of_the_table():
    given = options.parse({})
    assert given.endpoints == (Endpoint("", "", ""),) and given.timeout_ms == 5000 and given.presence_cache_keys == 0
    assert given.put_queue_bytes == 1 << 30 and given.async_put and given.group and not given.share_mla
    assert options.parse({"presence_cache": True}).presence_cache_keys == 65536


def test_values_may_be_text():
    given = options.parse({"timeout_ms": "700", "async_put": "no", "presence_cache": "True", "presence_cache_keys": "5",
                           "dpu_addr": " 10.0.0.2:18517 "})
    assert given.timeout_ms == 700 and given.lookup_timeout_ms == 700, "a look-up never waits longer than a transfer"
    assert not given.async_put and given.presence_cache_keys == 5 and given.endpoints[0].dpu_addr == "10.0.0.2:18517"


@pytest.mark.parametrize("settings, sentence", [
    ({"dpu_adr": "x"}, "unknown option dpu_adr; there are: dpu_addr, "),
    ({"timeout_ms": 0}, "option timeout_ms is 0, but has to be a whole number of at least 1"),
    ({"timeout_ms": "soon"}, "option timeout_ms is 'soon', but has to be a whole number"),
    ({"timeout_ms": True}, "option timeout_ms is True"),
    ({"async_put": "perhaps"}, "option async_put is 'perhaps', but has to be a yes or no"),
    ({"dpu_addr": 5}, "option dpu_addr is 5, but has to be text"),
    ({"mode": "udp"}, "the mode is 'udp', but has to be tcp"),
    ({"endpoint_list": "a:1"}, "option endpoint_list is 'a:1', but has to be a list"),
    ({"endpoint_list": ["a:1"], "dpu_addr": "b:1"}, "are both given"),
    ({"endpoint_list": [{"pci_addr": "0000:ba:00.0"}]}, "endpoint_list[0] is "),
    ({"endpoint_list": ["a:1", {"dpu_addr": "b:1", "port": 3}]}, "endpoint_list[1] is "),
    ({"endpoint_list": ["a:1", {"dpu_addr": "b:1", "mode": "x"}]}, "endpoint_list[1]: the mode is 'x'"),
])
def test_what_cannot_be_meant_is_refused(settings, sentence):
    with pytest.raises(OptionError) as refused:
        options.parse(settings)
    assert sentence in str(refused.value)


def test_several_agents():
    given = options.parse({"endpoint_list": ["a:1", {"dpu_addr": "b:2", "pci_addr": "0000:ba:00.1", "mode": "tcp"}]})
    assert given.endpoints == (Endpoint("a:1", "", ""), Endpoint("b:2", "0000:ba:00.1", "tcp"))


def test_the_plugin_finds_its_own_share():
    extra = {"storage_plugin.dpu.class_name": OURS, "storage_plugin.dpu.module_path": "bluecache.lmcache",
             "storage_plugin.dpu.timeout_ms": 5, "storage_plugin.other.class_name": "X", "storage_plugin.other.foo": 1,
             "foo": 2}
    assert options.plugin_settings(extra, ["other", "dpu"], OURS) == {"timeout_ms": 5}
    for names, given in ((["other"], extra), (["dpu", "two"], {**extra, "storage_plugin.two.class_name": OURS})):
        with pytest.raises(OptionError):
            options.plugin_settings(given, names, OURS)


def test_the_page_has_the_table():
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", PAGE.read_text(), re.MULTILINE))
    for option in options.TABLE:
        default = {True: "yes", False: "no", "": "", (): ""}.get(option.default, str(option.default))
        shown = (default + " " + option.unit).strip() or "none"
        assert rows.get(option.name) == shown, "docs/lmcache.md, option %s: the default is %s" % (option.name, shown)


# ---- in LMCache ----------------------------------------------------------------------------------


def load(line, address, given, config):
    import lmc

    with lmc.backends(plugin_support.plugin_config(address, given, config)) as (made, _):
        return list(made)


@pytest.mark.lmcache("0.4.3", "0.5.6")
@pytest.mark.parametrize("given, config, sentence", [
    ({"dpu_adr": "x"}, None, "unknown option dpu_adr"),
    ({}, {"use_layerwise": True}, "use_layerwise is on"),
], ids=["an unknown option", "layerwise"])
def test_lmcache_goes_on_without_a_plugin_that_is_refused(start_plain, given, config, sentence):
    child = start_plain(load, "127.0.0.1:1", given, config)
    assert child.result() == ["LocalCPUBackend"]
    assert "Failed to create backend bluecache" in child.log() and sentence in child.log()
