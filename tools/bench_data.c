/* SPDX-License-Identifier: Apache-2.0 */
/* bench_data.c - what objects of the benchmark are called and hold; see bench.h. An object's bytes
 * follow from its number and round, so bytes of another object, or of an older one of the same
 * name, are told from the right ones. */
#include "bench.h"

#include <stdio.h>
#include <string.h>

#define WORD sizeof(uint64_t)

/* One step of splitmix64, which spreads every bit of the number over the word. */
static inline uint64_t mix(uint64_t number)
{
    number += UINT64_C(0x9e3779b97f4a7c15);
    number = (number ^ (number >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ (number >> 27)) * UINT64_C(0x94d049bb133111eb);
    return number ^ (number >> 31);
}

static uint64_t seed_of(const struct bc_bench_worker *worker, uint64_t key, uint32_t round)
{
    return mix(worker->bench->seed ^ mix(worker->index << 40 ^ key) ^ mix((uint64_t)round << 32));
}

static inline uint64_t word_of(uint64_t seed, uint64_t index)
{
    uint64_t word = (seed + index) * UINT64_C(0xd6e8feb86659fd93);

    return word ^ (word >> 32);
}

size_t bc_bench_key(const struct bc_bench_worker *worker, uint64_t key, uint32_t round, char *name)
{
    const struct bc_bench_settings *settings = &worker->bench->settings;
    size_t room = worker->bench->name_room;
    int len;

    if (settings->fresh) {
        len = snprintf(name, room, "%s/%llu/%llu.%u", settings->prefix,
                       (unsigned long long)worker->index, (unsigned long long)key, round);
    } else {
        len = snprintf(name, room, "%s/%llu/%llu", settings->prefix,
                       (unsigned long long)worker->index, (unsigned long long)key);
    }
    return (size_t)len;
}

void bc_bench_write(const struct bc_bench_worker *worker, uint64_t key, uint32_t round, void *at)
{
    uint64_t size = worker->bench->settings.size;
    uint64_t seed = seed_of(worker, key, round);
    uint64_t words = size / WORD;
    uint64_t last = word_of(seed, words);
    uint64_t *out = at;

    for (uint64_t i = 0; i < words; i++) {
        out[i] = word_of(seed, i);
    }
    memcpy(out + words, &last, size % WORD);
}

bool bc_bench_check(const struct bc_bench_worker *worker, uint64_t key, uint32_t round,
                    const void *at)
{
    uint64_t size = worker->bench->settings.size;
    uint64_t seed = seed_of(worker, key, round);
    uint64_t words = size / WORD;
    uint64_t last = word_of(seed, words);
    const uint64_t *in = at;
    uint64_t wrong = 0;

    for (uint64_t i = 0; i < words; i++) {
        wrong |= in[i] ^ word_of(seed, i);
    }
    return wrong == 0 && memcmp(in + words, &last, size % WORD) == 0;
}

/* One byte of every 4 KiB, and the last: a piece that never came keeps a wrong one. */
void bc_bench_spoil(const struct bc_bench_worker *worker, void *at)
{
    uint64_t size = worker->bench->settings.size;
    uint8_t *bytes = at;

    for (uint64_t i = 0; i < size; i += 4096) {
        bytes[i] ^= 0xff;
    }
    bytes[size - 1] ^= 0x55;
}
