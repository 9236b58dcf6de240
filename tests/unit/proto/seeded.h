/* SPDX-License-Identifier: Apache-2.0 */
/* seeded.h - random numbers that can be had again: the seed is printed, and BC_TEST_SEED sets it.
 * The generator is splitmix64. One thread at a time. */
#ifndef BC_TEST_SEEDED_H
#define BC_TEST_SEEDED_H

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct seeded {
    uint64_t state;
};

/* Without BC_TEST_SEED every run is the same, so that a failure is never a matter of luck. */
static inline struct seeded seeded_start(const char *test)
{
    const char *text = getenv("BC_TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : UINT64_C(20240917);

    printf("%s: BC_TEST_SEED=%" PRIu64 "\n", test, seed);
    return (struct seeded){.state = seed};
}

static inline uint64_t seeded_next(struct seeded *seeded)
{
    uint64_t mix = (seeded->state += UINT64_C(0x9E3779B97F4A7C15));

    mix = (mix ^ (mix >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    mix = (mix ^ (mix >> 27)) * UINT64_C(0x94D049BB133111EB);
    return mix ^ (mix >> 31);
}

/* 0 .. limit - 1; limit is not 0. */
static inline uint64_t seeded_below(struct seeded *seeded, uint64_t limit)
{
    return seeded_next(seeded) % limit;
}

static inline void seeded_fill(struct seeded *seeded, void *out, size_t len)
{
    uint8_t *bytes = (uint8_t *)out;

    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)seeded_next(seeded);
    }
}

#endif
