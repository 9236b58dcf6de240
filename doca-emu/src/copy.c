/* SPDX-License-Identifier: Apache-2.0 */
/* copy.c - moves bytes from memory to memory. A large copy goes around the caches with non-temporal
 * stores, which saves reading the destination's lines first; a small one is left to the C library.
 * Thread: any. The routine is chosen once, by what the processor has. */
#include "copy.h"

#include "doca_emu.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

typedef void (*copy_fn)(uint8_t *to, const uint8_t *from, size_t len);

static void copy_plain(uint8_t *to, const uint8_t *from, size_t len)
{
    /* Not memcpy: a user may well let source and destination overlap, which must not end in more
     * than wrong bytes. */
    memmove(to, from, len);
}

#ifdef __x86_64__

/* A run is copied in STREAMS pages at a time, a piece of each in turn: a processor prefetches within
 * a page only, and several pages under way at once hide each other's beginnings. */
#define STREAMS ((size_t)8)
#define PAGE    ((size_t)4096)
#define PIECE   ((size_t)256)

__attribute__((target("avx512f"))) static inline void piece_avx512(uint8_t *to, const uint8_t *from)
{
    __m512i part[PIECE / 64];
#pragma GCC unroll 4
    for (size_t i = 0; i < PIECE / 64; i++) {
        part[i] = _mm512_loadu_si512(from + i * 64);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < PIECE / 64; i++) {
        _mm512_stream_si512((void *)(to + i * 64), part[i]);
    }
}

__attribute__((target("avx2"))) static inline void piece_avx2(uint8_t *to, const uint8_t *from)
{
    __m256i part[PIECE / 32];
#pragma GCC unroll 8
    for (size_t i = 0; i < PIECE / 32; i++) {
        part[i] = _mm256_loadu_si256((const void *)(from + i * 32));
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < PIECE / 32; i++) {
        _mm256_stream_si256((void *)(to + i * 32), part[i]);
    }
}

/* The same loops for both kinds of registers. The stores are weakly ordered, hence the fence: a
 * completion must come after them. */
#define DEFINE_COPY(name, isa, copy_piece)                                                      \
    __attribute__((target(isa))) static void name(uint8_t *to, const uint8_t *from, size_t len) \
    {                                                                                           \
        size_t head = (size_t)(-(uintptr_t)to & 63u);                                           \
        memmove(to, from, head);                                                                \
        to += head;                                                                             \
        from += head;                                                                           \
        len -= head;                                                                            \
        for (; len >= STREAMS * PAGE; len -= STREAMS * PAGE) {                                  \
            for (size_t at = 0; at < PAGE; at += PIECE) {                                       \
                for (size_t i = 0; i < STREAMS; i++) {                                          \
                    copy_piece(to + i * PAGE + at, from + i * PAGE + at);                       \
                }                                                                               \
            }                                                                                   \
            to += STREAMS * PAGE;                                                               \
            from += STREAMS * PAGE;                                                             \
        }                                                                                       \
        for (; len >= PIECE; len -= PIECE, to += PIECE, from += PIECE) {                        \
            copy_piece(to, from);                                                               \
        }                                                                                       \
        _mm_sfence();                                                                           \
        memmove(to, from, len);                                                                 \
    }

DEFINE_COPY(copy_avx512, "avx512f", piece_avx512)
DEFINE_COPY(copy_avx2, "avx2", piece_avx2)

#endif

static struct {
    pthread_once_t once;
    copy_fn large;
} routine = {.once = PTHREAD_ONCE_INIT, .large = copy_plain};

static void choose(void)
{
    const char *wanted = getenv("DOCA_EMU_COPY");
    if (wanted != NULL && strcmp(wanted, "plain") == 0) {
        return;
    }
#ifdef __x86_64__
    bool narrow = wanted != NULL && strcmp(wanted, "avx2") == 0;
    __builtin_cpu_init();
    if (!narrow && __builtin_cpu_supports("avx512f")) {
        routine.large = copy_avx512;
    } else if (__builtin_cpu_supports("avx2")) {
        routine.large = copy_avx2;
    }
#endif
}

void emu_copy_init(void)
{
    pthread_once(&routine.once, choose);
}

void emu_copy(void *to, const void *from, size_t len)
{
    if (len < EMU_COPY_LARGE) {
        copy_plain(to, from, len);
    } else {
        routine.large(to, from, len);
    }
}

void doca_emu_copy(void *dst, const void *src, uint64_t len)
{
    emu_copy_init();
    emu_copy(dst, src, len);
}
