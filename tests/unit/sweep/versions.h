/* SPDX-License-Identifier: Apache-2.0 */
/* versions.h - the objects that the scenario stores: which key, how large, and which bytes. Version 0 of every key
 * is its absence. */
#ifndef BC_TEST_SWEEP_VERSIONS_H
#define BC_TEST_SWEEP_VERSIONS_H

#include <stdint.h>

#define VERSIONS 10u

struct version {
    uint32_t key;
    uint64_t size;
};
extern const struct version versions[VERSIONS];

/* Where the bytes of a version begin in the sources: nothing is aligned, and none touch. */
uint64_t versions_source(uint32_t version);
/* Makes the sources, the same each time; asserts that they fit. */
void versions_fill(uint8_t *sources, uint64_t len);

#endif
