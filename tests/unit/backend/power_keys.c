/* SPDX-License-Identifier: Apache-2.0 */
/* power_keys.c - the small history of each key; see power_keys.h. */
#include "power_keys.h"

struct power_content power_key_latest(const struct power_key *key)
{
    struct power_content content = key->safe;

    for (uint32_t i = 0; i < key->maybe_count; i++) {
        content = key->maybe[i].failed ? content : key->maybe[i].content;
    }
    return content;
}

void power_key_begin(struct power_key *key, struct power_content content)
{
    assert_true(key->maybe_count < POWER_MAYBE_MAX);
    key->maybe[key->maybe_count++] = (struct power_event){.content = content};
}

bool power_key_end(struct power_key *key, uint64_t seed, uint64_t stamp, bool failed)
{
    for (uint32_t i = 0; i < key->maybe_count; i++) {
        if (key->maybe[i].content.seed == seed) {
            key->maybe[i].ended = stamp;
            key->maybe[i].failed = failed;
            return true;
        }
    }
    return false;
}

bool power_key_touched(const struct power_key *key)
{
    for (uint32_t i = 0; i < key->maybe_count; i++) {
        if (!key->maybe[i].failed) {
            return true;
        }
    }
    return false;
}

static void key_flushed(struct power_key *key, uint64_t called)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < key->maybe_count; i++) {
        const struct power_event *event = &key->maybe[i];

        if (event->ended == 0 || event->ended > called) {
            key->maybe[kept++] = *event;
        } else if (!event->failed) {
            key->safe = event->content;
        }
    }
    key->maybe_count = kept;
}

void power_keys_flushed(struct power_key *keys, uint32_t count, uint64_t called)
{
    for (uint32_t i = 0; i < count; i++) {
        key_flushed(&keys[i], called);
    }
}
