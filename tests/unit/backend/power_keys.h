/* SPDX-License-Identifier: Apache-2.0 */
/* power_keys.h - what a key may show after a power cut: what it showed at the last flush, or any
 * outcome of what was begun since. One operation of a key at a time. Stamps are of a clock that
 * ticks with each event. Thread: the test's. Memory: the caller's. */
#ifndef BC_TEST_BACKEND_POWER_KEYS_H
#define BC_TEST_BACKEND_POWER_KEYS_H

#include "bed.h"

BC_EXTERN_C_BEGIN

#define POWER_MAYBE_MAX 128u

struct power_content {
    bool present;
    uint64_t size;
    uint64_t seed;
};

/* Something that was done, or at least begun, since the last flush. */
struct power_event {
    struct power_content content; /* what the key shows after it */
    uint64_t ended;               /* stamp; 0: not, as far as anybody knows */
    bool failed;                  /* and never took place */
};

struct power_key {
    struct bc_object_key key;
    char text[16];
    struct power_content safe; /* at the last flush */
    struct power_event maybe[POWER_MAYBE_MAX];
    uint32_t maybe_count;
    bool busy;
};

/* What it shows when all has ended. */
struct power_content power_key_latest(const struct power_key *key);
void power_key_begin(struct power_key *key, struct power_content content);
/* The event of that seed. False: there is none. */
bool power_key_end(struct power_key *key, uint64_t seed, uint64_t stamp, bool failed);
/* Whether anything happened to it since the last flush. */
bool power_key_touched(const struct power_key *key);
/* A flush that was called at that moment has ended: what had ended by then is safe. */
void power_keys_flushed(struct power_key *keys, uint32_t count, uint64_t called);

BC_EXTERN_C_END

#endif
