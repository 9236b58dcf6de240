/* SPDX-License-Identifier: Apache-2.0 */
/* test_posix_faults.c - each file operation of a small history fails in turn, in each way: nothing
 * hangs, nothing leaks, no byte is ever wrong, and the next start finds what was acknowledged. */
#include "bed.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "testlib/faulty_files.h"
#include "testlib/quiet_log.h"

enum { KEYS = 6 };

/* What a key may show: this content, and perhaps nothing. */
struct expected {
    bool present; /* some content was acknowledged and not removed */
    bool unsure;  /* its removal failed half way: content or nothing */
    uint64_t size;
    uint64_t seed;
};

/* What the file system says it has left; UINT64_MAX: plenty. */
static uint64_t disk_free = UINT64_MAX;

/* In place of the C library's. */
int fstatvfs(int fd, struct statvfs *info)
{
    (void)fd;
    memset(info, 0, sizeof(*info));
    info->f_frsize = 4096;
    info->f_bavail = disk_free / 4096;
    return 0;
}

/* One directory for all runs: formatting is what takes time. */
static struct bed bed;

struct history {
    struct bc_faulty_files files;
    struct bc_fault_rule rule;
    uint64_t freeze_at; /* requests after which the disk is dead; 0: never */
    bool full;          /* objects of one size in a store that is too small for them */
    struct expected expected[KEYS];
    struct bc_object_key keys[KEYS];
    uint32_t failures; /* calls that ended in an error that only a fault explains */
};

static struct bc_files *wrap(void *arg, uint32_t worker, struct bc_loop *loop,
                             struct bc_files *files)
{
    struct history *history = arg;

    (void)worker;
    bc_faulty_files_init(&history->files, files, loop, 1);
    if (history->rule.action != BC_FAULT_NONE) {
        bc_faults_add(&history->files.faults, history->rule);
    }
    return &history->files.files;
}

static uint32_t open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint32_t count = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        count++;
    }
    assert_int_equal(closedir(dir), 0);
    return count;
}

static void maybe_freeze(struct history *history)
{
    if (history->freeze_at > 0 && history->files.requests >= history->freeze_at) {
        history->files.frozen = true;
    }
}

/* ---- steps; each keeps the model ---- */

static void do_put(struct history *history, uint32_t index, uint64_t size, uint64_t seed)
{
    int rc;

    maybe_freeze(history);
    rc = bed_put(&bed, &history->keys[index], size, seed);
    if (rc == 0) {
        history->expected[index] = (struct expected){.present = true, .size = size, .seed = seed};
        return;
    }
    history->failures++;
    if (rc != -EIO && rc != -ENOSPC) {
        fail_msg("put of %llu bytes: %d", (unsigned long long)size, rc);
    }
}

static void do_get(struct history *history, uint32_t index)
{
    struct expected *expected = &history->expected[index];
    int rc;

    maybe_freeze(history);
    rc = bed_get(&bed, &history->keys[index], expected->size, expected->seed);
    if (!expected->present) {
        assert_true(rc == -ENOENT || (expected->unsure && rc == 0));
        return;
    }
    history->failures += rc == -EIO || rc == -EBADMSG;
    assert_true(rc == 0 || rc == -ENOENT || rc == -EIO || rc == -EBADMSG);
}

static void do_remove(struct history *history, uint32_t index)
{
    int rc;

    maybe_freeze(history);
    rc = bed_remove(&bed, &history->keys[index]);
    assert_true(rc == 0 || rc == -ENOENT || rc == -EIO || rc == -ENOSPC);
    if (rc == 0 || rc == -ENOENT) {
        history->expected[index].unsure =
            rc == -ENOENT && (history->expected[index].present || history->expected[index].unsure);
        history->expected[index].present = false;
    } else {
        history->failures++;
        history->expected[index].present = false;
        history->expected[index].unsure = true;
    }
}

static void do_abort(struct history *history, uint32_t index)
{
    struct bed_put put = {.size = 0};

    maybe_freeze(history);
    if (bed_put_begin(&bed, &put, &history->keys[index], 2 * BED_MIB, 99) == 0) {
        history->failures += bed_put_chunk(&bed, &put) != 0;
        bed_put_abort(&put);
    }
}

/* From the fourth on each is written over the file of one that had to go. */
static void run_full(struct history *history)
{
    for (uint32_t i = 0; i < 2 * KEYS; i++) {
        do_put(history, i % KEYS, BED_MIB, 20 + i);
        do_get(history, i % KEYS);
    }
    do_abort(history, 0);
    do_put(history, 0, BED_MIB - 5000, 40);
    do_put(history, 1, BED_MIB + 5000, 41);
    do_get(history, 0);
    do_get(history, 1);
    (void)bed_count(&bed, 10);
}

static void run(struct history *history)
{
    if (history->full) {
        run_full(history);
        return;
    }
    do_put(history, 0, 5000, 1);
    do_put(history, 1, 2 * BED_MIB + 100, 2);
    do_put(history, 2, 0, 3);
    do_get(history, 0);
    do_get(history, 1);
    do_put(history, 0, 70000, 4);
    do_get(history, 0);
    do_abort(history, 3);
    do_put(history, 3, BED_MIB, 5);
    do_remove(history, 2);
    do_get(history, 2);
    /* More than there is room for: the oldest go. */
    do_put(history, 4, BED_MIB + 5, 6);
    do_put(history, 5, BED_MIB + 6, 7);
    do_put(history, 1, BED_MIB + 7, 8);
    do_put(history, 2, 100, 9);
    do_remove(history, 0);
    do_get(history, 5);
    do_get(history, 1);
    do_get(history, 2);
    (void)bed_count(&bed, 10);
}

static int make_bed(void **state)
{
    struct bed_options options = {.backend = "posix", .handles_max = 4, .wrap = wrap};

    (void)state;
    bed_make(&bed, &options);
    return 0;
}

static int destroy_bed(void **state)
{
    (void)state;
    bed_destroy(&bed);
    return 0;
}

static void start(struct history *history, uint64_t capacity)
{
    static const char *const names[KEYS] = {"a", "b", "c", "d", "e", "f"};

    for (uint32_t i = 0; i < KEYS; i++) {
        history->keys[i] = bed_key(names[i]);
    }
    bed.options.capacity = capacity;
    bed.options.wrap_arg = history;
    bed_open(&bed);
}

/* After the faults: every account is balanced, and a restart shows what it may. */
static void check_end(struct history *history, bool may_strand, bool all_kept)
{
    uint32_t objects;
    uint32_t temporary;
    uint64_t bytes;

    bed_settle(&bed);
    assert_int_equal(bed_leased(&bed), 0);
    bytes = bed_disk_bytes(&bed, &objects, &temporary);
    if (may_strand) {
        assert_true(bed_metric(&bed, "used_bytes") >= (int64_t)bytes);
    } else {
        assert_int_equal(bed_metric(&bed, "used_bytes"), bytes);
        assert_int_equal(temporary, bed_metric(&bed, "spare_files"));
        assert_int_equal(objects, bed_metric(&bed, "objects"));
    }
    assert_true(bed_metric(&bed, "used_bytes") <= bed_metric(&bed, "capacity_bytes"));
    bed_close(&bed); /* asserts that no handle, name, descriptor or unlink is left */
    history->rule.action = BC_FAULT_NONE;
    history->freeze_at = 0;
    bed_open(&bed);
    bytes = bed_disk_bytes(&bed, &objects, &temporary);
    assert_int_equal(bed_metric(&bed, "used_bytes"), bytes);
    assert_int_equal(temporary, 0);
    for (uint32_t i = 0; i < KEYS; i++) {
        const struct expected *expected = &history->expected[i];
        int rc = bed_get(&bed, &history->keys[i], expected->size, expected->seed);

        if (expected->present && all_kept) {
            assert_int_equal(rc, 0);
        } else if (expected->present) {
            assert_true(rc == 0 || rc == -ENOENT || rc == -EBADMSG);
        } else {
            assert_true(rc == -ENOENT || (expected->unsure && (rc == 0 || rc == -EBADMSG)));
        }
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        (void)bed_remove(&bed, &history->keys[i]);
    }
    bed_close(&bed);
}

/* A run with one fault at the n-th operation of these kinds. Returns whether there was an n-th. */
static bool one_fault(bool full, uint32_t kinds, uint64_t n, enum bc_fault_action action, int error,
                      uint64_t amount, bool may_strand)
{
    static struct history history;
    uint64_t struck;

    memset(&history, 0, sizeof(history));
    history.full = full;
    history.rule = (struct bc_fault_rule){
        .kinds = kinds, .first = n, .action = action, .error = error, .amount = amount};
    start(&history, 4 * BED_MIB);
    run(&history);
    struck = history.files.faults.struck[action];
    check_end(&history, may_strand, false);
    return struck > 0;
}

static uint32_t every_nth_of(bool full, uint32_t kinds, enum bc_fault_action action, int error,
                             uint64_t amount, bool may_strand)
{
    uint32_t n = 1;

    while (one_fault(full, kinds, n, action, error, amount, may_strand)) {
        n++;
        assert_true(n < 500);
    }
    return n - 1;
}

static uint32_t every_nth(uint32_t kinds, enum bc_fault_action action, int error, uint64_t amount,
                          bool may_strand)
{
    return every_nth_of(false, kinds, action, error, amount, may_strand);
}

#define KIND(name) (1u << BC_FILE_##name)
/* Descriptors are given back whatever close says, so it is not made to fail: the twin would keep
 * them. */
#define ALL_BUT_CLOSE (~KIND(CLOSE))

static void nothing_fails_without_faults(void **state)
{
    static struct history history;
    uint32_t before = open_descriptors();

    (void)state;
    memset(&history, 0, sizeof(history));
    start(&history, 4 * BED_MIB);
    run(&history);
    assert_int_equal(history.failures, 0);
    check_end(&history, false, false);
    assert_int_equal(open_descriptors(), before);
}

static void a_full_store_may_meet_any_of_these(void **state)
{
    uint32_t before = open_descriptors();

    (void)state;
    assert_true(every_nth_of(true, ALL_BUT_CLOSE, BC_FAULT_FAIL, -EIO, 0, true) > 60);
    assert_true(every_nth_of(true, KIND(RENAME), BC_FAULT_FAIL, -ENOSPC, 0, false) > 20);
    assert_true(every_nth_of(true, KIND(WRITE), BC_FAULT_SHORT, -EIO, 4096, false) > 10);
    assert_true(every_nth_of(true, KIND(WRITE), BC_FAULT_CORRUPT, 0, 0, false) > 10);
    assert_int_equal(open_descriptors(), before);
}

static void any_operation_may_end_in_eio(void **state)
{
    uint32_t before = open_descriptors();

    (void)state;
    assert_true(every_nth(ALL_BUT_CLOSE, BC_FAULT_FAIL, -EIO, 0, true) > 30);
    assert_int_equal(open_descriptors(), before);
}

static void what_makes_room_may_find_none(void **state)
{
    (void)state;
    assert_true(
        every_nth(KIND(OPEN) | KIND(WRITE) | KIND(RENAME), BC_FAULT_FAIL, -ENOSPC, 0, false) > 20);
}

static void writes_may_stop_short(void **state)
{
    (void)state;
    assert_true(every_nth(KIND(WRITE), BC_FAULT_SHORT, 0, 4096, false) > 8);
    assert_true(every_nth(KIND(WRITE), BC_FAULT_SHORT, -EIO, 4096, false) > 8);
}

static void reads_may_stop_short(void **state)
{
    (void)state;
    assert_true(every_nth(KIND(READ), BC_FAULT_SHORT, 0, 0, false) > 5);
    assert_true(every_nth(KIND(READ), BC_FAULT_SHORT, 0, 4096, false) > 5);
}

static void any_written_or_read_byte_may_be_wrong(void **state)
{
    (void)state;
    assert_true(every_nth(KIND(WRITE), BC_FAULT_CORRUPT, 0, 0, false) > 8);
    assert_true(every_nth(KIND(READ), BC_FAULT_CORRUPT, 0, 0, false) > 5);
}

static void descriptors_may_run_out(void **state)
{
    static struct history history;

    (void)state;
    for (uint32_t n = 1; n <= 12; n++) {
        memset(&history, 0, sizeof(history));
        history.rule = (struct bc_fault_rule){
            .kinds = KIND(READ), .first = n, .action = BC_FAULT_FAIL, .error = -ENOMEM};
        start(&history, 64 * BED_MIB);
        do_put(&history, 0, 5000, 1);
        /* A failure of the moment costs no object. */
        for (uint32_t i = 0; i < 12; i++) {
            int rc = bed_get(&bed, &history.keys[0], 5000, 1);

            assert_int_equal(rc, i + 1 == n ? -ENOMEM : 0);
        }
        check_end(&history, false, true);
    }
}

/* A full disk that stays full: evicting helps as long as there is something to evict. */
static void a_disk_that_is_full_for_good_refuses_puts(void **state)
{
    static struct history history;
    struct bc_object_key key = bed_key("late");
    uint32_t objects;
    uint32_t temporary;

    (void)state;
    memset(&history, 0, sizeof(history));
    start(&history, 64 * BED_MIB);
    do_put(&history, 0, 100000, 1);
    do_put(&history, 1, 100000, 2);
    bc_faults_add(&history.files.faults, (struct bc_fault_rule){.kinds = KIND(WRITE),
                                                                .first = 1,
                                                                .every = 1,
                                                                .action = BC_FAULT_FAIL,
                                                                .error = -ENOSPC});
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(bed_put(&bed, &key, 100000, 3), -ENOSPC);
    }
    bed_settle(&bed);
    (void)bed_disk_bytes(&bed, &objects, &temporary);
    assert_int_equal(temporary, 0);
    check_end(&history, false, false);
}

static uint64_t kill_at_every_operation(bool full, uint64_t capacity)
{
    static struct history history;
    uint64_t total = UINT64_MAX;

    for (uint64_t n = 1; n <= total; n++) {
        memset(&history, 0, sizeof(history));
        history.freeze_at = n;
        history.full = full;
        start(&history, capacity);
        run(&history);
        if (!history.files.frozen) {
            total = n;
        }
        check_end(&history, true, !full);
        assert_true(n < 500);
    }
    return total;
}

/* A disk that is smaller than the capacity: what cannot fit is refused and costs nobody an object;
 * what can costs about as many as it needs. */
static void a_small_disk_keeps_what_it_has(void **state)
{
    static struct history history;
    struct bc_object_key key = bed_key("late");

    (void)state;
    memset(&history, 0, sizeof(history));
    start(&history, 64 * BED_MIB);
    for (uint32_t i = 0; i < KEYS; i++) {
        do_put(&history, i, BED_MIB, i);
    }
    disk_free = 4 * BED_MIB;
    assert_int_equal(bed_put(&bed, &key, 40 * BED_MIB, 1), -ENOSPC);
    disk_free = 0;
    bc_faults_add(&history.files.faults, (struct bc_fault_rule){.kinds = KIND(WRITE),
                                                                .first = 1,
                                                                .every = 1,
                                                                .action = BC_FAULT_FAIL,
                                                                .error = -ENOSPC});
    assert_int_equal(bed_put(&bed, &key, 12 * BED_MIB, 2), -ENOSPC);
    bed_settle(&bed);
    assert_int_equal(bed_metric(&bed, "evictions_total"), 0);
    assert_int_equal(bed_metric(&bed, "objects"), KEYS);
    /* Two objects make room for one that is a little larger than they are. */
    bc_faults_clear(&history.files.faults);
    bc_faults_add(&history.files.faults,
                  (struct bc_fault_rule){
                      .kinds = KIND(WRITE), .first = 1, .action = BC_FAULT_FAIL, .error = -ENOSPC});
    assert_int_equal(bed_put(&bed, &key, BED_MIB + 5000, 3), 0);
    bed_settle(&bed);
    assert_in_range(bed_metric(&bed, "evictions_total"), 1, 2);
    disk_free = UINT64_MAX;
    assert_int_equal(bed_remove(&bed, &key), 0);
    check_end(&history, false, false);
}

/* As if killed after the n-th operation: nothing that was acknowledged is lost, wrong, or back
 * again. */
static void killed_at_any_operation_it_starts_clean(void **state)
{
    (void)state;
    assert_true(kill_at_every_operation(false, 64 * BED_MIB) > 30); /* nothing is evicted */
    assert_true(kill_at_every_operation(true, 4 * BED_MIB) > 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_fails_without_faults),
        cmocka_unit_test(any_operation_may_end_in_eio),
        cmocka_unit_test(a_full_store_may_meet_any_of_these),
        cmocka_unit_test(what_makes_room_may_find_none),
        cmocka_unit_test(writes_may_stop_short),
        cmocka_unit_test(reads_may_stop_short),
        cmocka_unit_test(any_written_or_read_byte_may_be_wrong),
        cmocka_unit_test(descriptors_may_run_out),
        cmocka_unit_test(a_disk_that_is_full_for_good_refuses_puts),
        cmocka_unit_test(a_small_disk_keeps_what_it_has),
        cmocka_unit_test(killed_at_any_operation_it_starts_clean),
    };

    bc_log_set_sink(bc_quiet_log, NULL);
    return cmocka_run_group_tests(tests, make_bed, destroy_bed);
}
