/* SPDX-License-Identifier: Apache-2.0 */
/* versions.c - see versions.h. Sizes end inside a block, at the end of one, and in the first; with chunks of
 * 128 KiB. */
#include "versions.h"

#include "check.h"

const struct version versions[VERSIONS] = {
    {0, 0},                                                                /* absent */
    {0, 300000}, {1, 196608}, {2, 5000}, {3, 0}, {4, 131072}, {0, 200001}, /* overwrites */
    {1, 70000},  {2, 9000},                                                /* cancelled, perhaps */
    {0, 300000}, /* of the same size as the first */
};

uint64_t versions_source(uint32_t version)
{
    uint64_t at = 13;

    for (uint32_t i = 1; i < version; i++) {
        at += versions[i].size + 7;
    }
    return at;
}

void versions_fill(uint8_t *sources, uint64_t len)
{
    static const uint8_t *filled; /* it takes its time */
    uint64_t end = versions_source(VERSIONS);
    uint64_t state = 1;

    WORLD_CHECK(end <= len);
    for (uint64_t i = 0; sources != filled && i < end; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        sources[i] = (uint8_t)(state >> 56);
    }
    filled = sources;
}
