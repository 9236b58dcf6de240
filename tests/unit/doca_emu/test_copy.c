/* SPDX-License-Identifier: Apache-2.0 */
/* test_copy.c - each copy routine: every byte arrives, and none beside them changes. A process
 * chooses its routine once, so each is tried in a child of its own. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONGEST ((size_t)200 << 10)
#define MARGIN  ((size_t)4096)
#define ROOM    (LONGEST + 2 * MARGIN)
#define UNUSED  0xa5

static bool all_unused(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != UNUSED) {
            return false;
        }
    }
    return true;
}

static bool copies_exactly(uint8_t *from, uint8_t *to, size_t len, size_t shift)
{
    uint8_t *source = from + MARGIN - shift;
    uint8_t *target = to + MARGIN + shift * 3;
    size_t after = ROOM - (size_t)(target - to) - len;
    memset(to, UNUSED, ROOM);
    fill_pattern(source, len, (uint32_t)(len + shift));
    doca_emu_copy(target, source, len);
    return check_pattern(target, len, (uint32_t)(len + shift)) &&
           all_unused(to, (size_t)(target - to)) && all_unused(target + len, after);
}

static int try_lengths(void)
{
    /* Around the limits of a piece, a run of pages, and the size at which large copies begin. */
    static const size_t lengths[] = {0,      1,      255,    256,    32767,  65535,   65536,
                                     65537,  65791,  65792,  98303,  98304,  98305,   131071,
                                     131072, 131333, 163840, 196607, 196608, LONGEST, 69632};
    static const size_t shifts[] = {0, 1, 7, 32, 63, 64, 777};
    uint8_t *from = aligned_alloc(4096, ROOM);
    uint8_t *to = aligned_alloc(4096, ROOM);
    int wrong = from == NULL || to == NULL;
    for (size_t i = 0; wrong == 0 && i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        for (size_t j = 0; j < sizeof(shifts) / sizeof(shifts[0]); j++) {
            wrong += !copies_exactly(from, to, lengths[i], shifts[j]);
        }
    }
    free(from);
    free(to);
    return wrong == 0 ? 0 : 1;
}

static void try_routine(const char *name)
{
    int status = -1;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)setenv("DOCA_EMU_COPY", name, 1);
        _exit(try_lengths());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void widest_routine_copies_exactly(void **state)
{
    (void)state;
    try_routine("");
}

static void avx2_routine_copies_exactly(void **state)
{
    (void)state;
    try_routine("avx2");
}

static void plain_routine_copies_exactly(void **state)
{
    (void)state;
    try_routine("plain");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widest_routine_copies_exactly),
        cmocka_unit_test(avx2_routine_copies_exactly),
        cmocka_unit_test(plain_routine_copies_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
