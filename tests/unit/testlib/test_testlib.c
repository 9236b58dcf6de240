/* SPDX-License-Identifier: Apache-2.0 */
/* The twins do what their rules say, and nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "testlib/faulty_dma.h"
#include "testlib/faulty_files.h"
#include "testlib/memory_dma.h"
#include "testlib/pause.h"

#define DEADLINE_TURNS 100000u
#define DATA_LEN       4096u

struct world {
    struct bc_clock clock;
    struct bc_loop *loop;
    struct bc_uring_files real_files;
    struct bc_faulty_files files;
    struct bc_dma *real_dma;
    struct bc_faulty_dma dma;
    struct bc_dma_import *import;
    uint8_t host[DATA_LEN];
    uint8_t local[DATA_LEN];
    uint32_t ready;
    int fd;
};

static struct world world;

static void note_ready(void *arg)
{
    (void)arg;
    world.ready++;
}

static int setup(void **state)
{
    struct bc_loop_options options = {.name = "test", .clock = &world.clock};
    struct bc_memory_dma_options dma_options = {
        .depth = 2, .local = world.local, .local_len = DATA_LEN};
    struct bc_memory_region region = {
        .magic = BC_MEMORY_REGION_MAGIC, .base = world.host, .len = DATA_LEN};
    uint32_t i;

    (void)state;
    memset(&world, 0, sizeof(world));
    for (i = 0; i < DATA_LEN; i++) {
        world.host[i] = (uint8_t)(i * 31);
    }
    bc_clock_virtual_init(&world.clock, 0);
    assert_int_equal(bc_loop_create(&options, &world.loop), 0);
    bc_uring_files_init(&world.real_files, world.loop);
    bc_faulty_files_init(&world.files, &world.real_files.files, world.loop, 7);
    dma_options.loop = world.loop;
    assert_int_equal(bc_memory_dma_create(&dma_options, &world.real_dma), 0);
    bc_faulty_dma_init(&world.dma, world.real_dma, world.loop, 7);
    world.dma.dma.ready = note_ready;
    assert_int_equal(
        bc_dma_import(&world.dma.dma, &region, sizeof(region), DATA_LEN, &world.import), 0);
    world.fd = memfd_create("testlib", MFD_CLOEXEC);
    assert_true(world.fd >= 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(world.files.under_way, 0);
    assert_int_equal(bc_dma_release(&world.dma.dma, world.import), 0);
    bc_dma_destroy(&world.dma.dma);
    bc_loop_destroy(world.loop);
    close(world.fd);
    return 0;
}

/* --- files ------------------------------------------------------------------------------------ */

struct request {
    struct bc_file_req req;
    uint32_t done;
};

static void request_done(struct bc_file_req *req, int64_t result)
{
    assert_int_equal(req->result, result);
    BC_CONTAINER_OF(req, struct request, req)->done++;
}

static void request_start(struct request *request, enum bc_file_kind kind, void *data, size_t len)
{
    *request =
        (struct request){.req = {.kind = kind,
                                 .fd = world.fd,
                                 .iov = {{data, len / 2}, {(char *)data + len / 2, len - len / 2}},
                                 .iov_count = 2,
                                 .done = request_done}};
    bc_file_submit(&world.files.files, &request->req);
    assert_int_equal(request->done, 0);
}

static int64_t perform(enum bc_file_kind kind, void *data, size_t len)
{
    struct request request;
    uint32_t turns;

    request_start(&request, kind, data, len);
    for (turns = 0; request.done == 0 && turns < DEADLINE_TURNS; turns++) {
        (void)bc_loop_turn(world.loop, 1000);
    }
    assert_int_equal(request.done, 1);
    return request.req.result;
}

static uint32_t bits_that_differ(const uint8_t *a, const uint8_t *b, size_t len)
{
    uint32_t bits = 0;
    size_t i;

    for (i = 0; i < len; i++) {
        bits += (uint32_t)__builtin_popcount(a[i] ^ b[i]);
    }
    return bits;
}

static void files_without_rules_are_the_real_ones(void **state)
{
    uint8_t out[100] = "what is written";
    uint8_t in[100] = "";

    (void)state;
    assert_int_equal(perform(BC_FILE_WRITE, out, sizeof(out)), sizeof(out));
    assert_int_equal(perform(BC_FILE_READ, in, sizeof(in)), sizeof(in));
    assert_memory_equal(out, in, sizeof(out));
    assert_int_equal(perform(BC_FILE_SYNC, NULL, 0), 0);
}

static void files_fail_at_the_counted_request(void **state)
{
    uint8_t out[10] = "0123456789";
    uint8_t in[10] = "";

    (void)state;
    bc_faults_add(&world.files.faults, (struct bc_fault_rule){.kinds = 1u << BC_FILE_WRITE,
                                                              .first = 2,
                                                              .every = 2,
                                                              .action = BC_FAULT_FAIL,
                                                              .error = -ENOSPC});
    assert_int_equal(perform(BC_FILE_WRITE, out, 1), 1);
    assert_int_equal(perform(BC_FILE_READ, in, 1), 1); /* is not counted */
    assert_int_equal(perform(BC_FILE_WRITE, out, 10), -ENOSPC);
    assert_int_equal(perform(BC_FILE_READ, in, 10), 1); /* nothing was written */
    assert_int_equal(perform(BC_FILE_WRITE, out, 10), 10);
    assert_int_equal(perform(BC_FILE_WRITE, out, 10), -ENOSPC);
    assert_int_equal(world.files.faults.struck[BC_FAULT_FAIL], 2);
}

static void files_can_be_short(void **state)
{
    uint8_t out[10] = "0123456789";
    uint8_t in[10] = "";

    (void)state;
    bc_faults_add(&world.files.faults, (struct bc_fault_rule){.kinds = BC_FAULT_ANY_KIND,
                                                              .first = 1,
                                                              .every = 2,
                                                              .action = BC_FAULT_SHORT,
                                                              .amount = 7});
    assert_int_equal(perform(BC_FILE_WRITE, out, 10), -ENOSPC);
    assert_int_equal(perform(BC_FILE_READ, in, 10), 7);
    assert_memory_equal(in, out, 7);
    assert_int_equal(perform(BC_FILE_SYNC, NULL, 0), -EIO);
    assert_int_equal(perform(BC_FILE_WRITE, out, 10), 10);
    assert_int_equal(perform(BC_FILE_READ, in, 10), 7);
}

static void files_can_lie(void **state)
{
    uint8_t out[1000];
    uint8_t before[1000];
    uint8_t in[1000];

    (void)state;
    memset(out, 0x3c, sizeof(out));
    memcpy(before, out, sizeof(out));
    bc_faults_add(
        &world.files.faults,
        (struct bc_fault_rule){.kinds = BC_FAULT_ANY_KIND, .first = 1, .action = BC_FAULT_CORRUPT});
    bc_faults_add(&world.files.faults, (struct bc_fault_rule){.kinds = 1u << BC_FILE_READ,
                                                              .first = 2,
                                                              .action = BC_FAULT_CORRUPT});
    assert_int_equal(perform(BC_FILE_WRITE, out, sizeof(out)), sizeof(out));
    assert_memory_equal(out, before, sizeof(out)); /* the caller's bytes are whole again */
    assert_int_equal(perform(BC_FILE_READ, in, sizeof(in)), sizeof(in));
    assert_int_equal(bits_that_differ(in, out, sizeof(out)), 1);
    assert_int_equal(pwrite(world.fd, out, sizeof(out), 0), sizeof(out));
    assert_int_equal(perform(BC_FILE_READ, in, sizeof(in)), sizeof(in));
    assert_int_equal(bits_that_differ(in, out, sizeof(out)), 1);
}

static void files_can_be_late_and_frozen(void **state)
{
    uint8_t out[10] = "0123456789";
    struct request late;

    (void)state;
    bc_faults_add(&world.files.faults, (struct bc_fault_rule){.kinds = BC_FAULT_ANY_KIND,
                                                              .first = 1,
                                                              .action = BC_FAULT_DELAY,
                                                              .amount = 1000});
    request_start(&late, BC_FILE_WRITE, out, 10);
    assert_int_equal(perform(BC_FILE_SYNC, NULL, 0), 0); /* overtakes it */
    assert_int_equal(late.done, 0);
    bc_clock_virtual_advance(&world.clock, 1000);
    assert_int_equal(perform(BC_FILE_SYNC, NULL, 0), 0);
    while (late.done == 0) {
        (void)bc_loop_turn(world.loop, 1000);
    }
    assert_int_equal(late.req.result, 10);
    world.files.frozen = true;
    assert_int_equal(perform(BC_FILE_WRITE, out, 10), -EIO);
}

static void files_tell_late_close_whatever_and_vanish(void **state)
{
    uint8_t out[10] = "0123456789";
    uint8_t in[10] = "";
    struct request late;
    int fd = dup(world.fd);

    (void)state;
    bc_faults_add(&world.files.faults, (struct bc_fault_rule){.kinds = 1u << BC_FILE_WRITE,
                                                              .first = 1,
                                                              .action = BC_FAULT_REORDER,
                                                              .amount = 50});
    bc_faults_add(
        &world.files.faults,
        (struct bc_fault_rule){.kinds = 1u << BC_FILE_CLOSE, .first = 1, .action = BC_FAULT_FAIL});
    bc_faults_add(
        &world.files.faults,
        (struct bc_fault_rule){.kinds = 1u << BC_FILE_READ, .first = 2, .action = BC_FAULT_VANISH});
    request_start(&late, BC_FILE_WRITE, out, 10);
    for (uint32_t turns = 0; world.files.in_real > 0 && turns < 40; turns++) {
        (void)bc_loop_turn(world.loop, BC_NS_PER_S);
    }
    assert_int_equal(world.files.in_real, 0);
    assert_int_equal(late.done, 0); /* written, but not told */
    assert_int_equal(pread(world.fd, in, 10, 0), 10);
    assert_memory_equal(in, out, 10);
    for (uint32_t turns = 0; late.done == 0 && turns < DEADLINE_TURNS; turns++) {
        (void)bc_loop_turn(world.loop, 0);
    }
    assert_int_equal(late.req.result, 10);
    late = (struct request){.req = {.kind = BC_FILE_CLOSE, .fd = fd, .done = request_done}};
    bc_file_submit(&world.files.files, &late.req);
    while (late.done == 0) {
        (void)bc_loop_turn(world.loop, 1000);
    }
    assert_int_equal(late.req.result, -EIO);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* closed all the same */
    assert_int_equal(perform(BC_FILE_READ, in, 10), 10);
    assert_int_equal(perform(BC_FILE_READ, in, 10), -EIO);
    assert_int_equal(perform(BC_FILE_WRITE, out, 10), -EIO);
}

static void chance_is_played_again_by_its_seed(void **state)
{
    struct bc_faults a;
    struct bc_faults b;
    struct bc_fault_rule rule = {
        .kinds = BC_FAULT_ANY_KIND, .chance = 100, .action = BC_FAULT_FAIL};
    uint32_t i;

    (void)state;
    bc_faults_init(&a, 42);
    bc_faults_init(&b, 42);
    bc_faults_add(&a, rule);
    bc_faults_add(&b, rule);
    for (i = 0; i < 10000; i++) {
        assert_int_equal(bc_faults_next(&a, i % 5) != NULL, bc_faults_next(&b, i % 5) != NULL);
    }
    assert_true(a.struck[BC_FAULT_FAIL] > 800 && a.struck[BC_FAULT_FAIL] < 1200);
}

/* --- copies ----------------------------------------------------------------------------------- */

struct copy {
    struct bc_dma_task task;
    int result;
    uint32_t done;
};

static void copy_done(struct bc_dma_task *task, int result)
{
    struct copy *copy = BC_CONTAINER_OF(task, struct copy, task);

    copy->result = result;
    copy->done++;
}

static int copy_start(struct copy *copy, enum bc_dma_direction direction)
{
    *copy = (struct copy){.task = {.direction = direction,
                                   .import = world.import,
                                   .local = world.local,
                                   .len = DATA_LEN,
                                   .done = copy_done}};
    return bc_dma_submit(&world.dma.dma, &copy->task);
}

static int copy_perform(enum bc_dma_direction direction)
{
    struct copy copy;
    uint32_t turns;
    int rc = copy_start(&copy, direction);

    if (rc != 0) {
        return rc;
    }
    for (turns = 0; copy.done == 0 && turns < DEADLINE_TURNS; turns++) {
        (void)bc_loop_turn(world.loop, 1000);
    }
    assert_int_equal(copy.done, 1);
    return copy.result;
}

static void copies_without_rules_are_the_real_ones(void **state)
{
    struct copy copies[3];
    uint8_t host[DATA_LEN];

    (void)state;
    memcpy(host, world.host, DATA_LEN);
    assert_int_equal(copy_perform(BC_DMA_FROM_HOST), 0);
    assert_memory_equal(world.local, host, DATA_LEN);
    memset(world.local, 9, DATA_LEN);
    assert_int_equal(copy_perform(BC_DMA_TO_HOST), 0);
    assert_int_equal(world.host[DATA_LEN - 1], 9);
    assert_int_equal(copy_start(&copies[0], BC_DMA_TO_HOST), 0);
    assert_int_equal(copy_start(&copies[1], BC_DMA_TO_HOST), 0);
    assert_int_equal(copy_start(&copies[2], BC_DMA_TO_HOST), -EAGAIN);
    assert_int_equal(bc_dma_slots_free(&world.dma.dma), 0);
    assert_int_equal(bc_dma_release(&world.dma.dma, world.import), -EBUSY);
    (void)bc_loop_turn(world.loop, 1000);
    assert_int_equal(copies[0].done + copies[1].done, 2);
    assert_int_equal(world.ready, 1);
    bc_memory_dma_kill(world.import);
    assert_int_equal(copy_perform(BC_DMA_FROM_HOST), -EREMOTEIO);
}

static void copies_fail_lie_and_are_refused(void **state)
{
    uint8_t host[DATA_LEN];

    (void)state;
    memcpy(host, world.host, DATA_LEN);
    bc_faults_add(&world.dma.faults, (struct bc_fault_rule){.kinds = 1u << BC_DMA_FROM_HOST,
                                                            .first = 1,
                                                            .action = BC_FAULT_FAIL});
    bc_faults_add(
        &world.dma.faults,
        (struct bc_fault_rule){.kinds = BC_FAULT_ANY_KIND, .first = 2, .action = BC_FAULT_REFUSE});
    bc_faults_add(&world.dma.faults, (struct bc_fault_rule){.kinds = BC_FAULT_ANY_KIND,
                                                            .first = 3,
                                                            .every = 1,
                                                            .action = BC_FAULT_CORRUPT});
    assert_int_equal(copy_perform(BC_DMA_FROM_HOST), -EREMOTEIO);
    assert_int_equal(world.local[1], 0);
    assert_int_equal(copy_perform(BC_DMA_FROM_HOST), -EAGAIN);
    assert_int_equal(world.ready, 0);
    (void)bc_loop_turn(world.loop, 0);
    assert_int_equal(world.ready, 1);
    assert_int_equal(copy_perform(BC_DMA_FROM_HOST), 0);
    assert_int_equal(bits_that_differ(world.local, host, DATA_LEN), 1);
    memcpy(world.local, host, DATA_LEN);
    assert_int_equal(copy_perform(BC_DMA_TO_HOST), 0);
    assert_memory_equal(world.local, host, DATA_LEN);
    assert_int_equal(bits_that_differ(world.host, host, DATA_LEN), 1);
}

static void delayed_copies_are_overtaken(void **state)
{
    struct copy first;
    struct copy second;

    (void)state;
    bc_faults_add(&world.dma.faults, (struct bc_fault_rule){.kinds = BC_FAULT_ANY_KIND,
                                                            .first = 1,
                                                            .action = BC_FAULT_DELAY,
                                                            .amount = 500});
    assert_int_equal(copy_start(&first, BC_DMA_FROM_HOST), 0);
    assert_int_equal(bc_dma_slots_free(&world.dma.dma), 1);
    assert_int_equal(copy_start(&second, BC_DMA_FROM_HOST), 0);
    (void)bc_loop_turn(world.loop, 0);
    assert_int_equal(second.done, 1);
    assert_int_equal(first.done, 0);
    assert_int_equal(bc_dma_release(&world.dma.dma, world.import), -EBUSY);
    bc_clock_virtual_advance(&world.clock, 500);
    (void)bc_loop_turn(world.loop, 0);
    (void)bc_loop_turn(world.loop, 0);
    assert_int_equal(first.done, 1);
    assert_int_equal(first.result, 0);
}

static void copies_stop_short_and_are_told_late(void **state)
{
    struct copy first;
    struct copy second;

    (void)state;
    bc_faults_add(
        &world.dma.faults,
        (struct bc_fault_rule){.kinds = BC_FAULT_ANY_KIND, .first = 2, .action = BC_FAULT_REORDER});
    bc_faults_add(&world.dma.faults, (struct bc_fault_rule){.kinds = 1u << BC_DMA_TO_HOST,
                                                            .first = 1,
                                                            .action = BC_FAULT_SHORT,
                                                            .amount = 100});
    memset(world.local, 1, DATA_LEN);
    memset(world.host, 0, DATA_LEN);
    assert_int_equal(copy_perform(BC_DMA_TO_HOST), -EREMOTEIO);
    assert_int_equal(world.host[99], 1);
    assert_int_equal(world.host[100], 0);
    assert_int_equal(copy_start(&first, BC_DMA_FROM_HOST), 0);
    (void)bc_loop_turn(world.loop, 0);
    assert_int_equal(world.local[100], 0); /* it was copied */
    assert_int_equal(first.done, 0);
    assert_int_equal(bc_dma_release(&world.dma.dma, world.import), -EBUSY);
    assert_int_equal(copy_start(&second, BC_DMA_FROM_HOST), 0);
    (void)bc_loop_turn(world.loop, 0);
    assert_int_equal(second.done, 1);
    assert_int_equal(first.done, 0);
    for (uint32_t i = 0; i < BC_PAUSE_TURNS_DEFAULT; i++) {
        (void)bc_loop_turn(world.loop, 0);
    }
    assert_int_equal(first.done, 1);
    assert_int_equal(first.result, 0);
}

static void an_engine_may_vanish_and_come_back(void **state)
{
    struct bc_memory_region region = {
        .magic = BC_MEMORY_REGION_MAGIC, .base = world.host, .len = DATA_LEN};
    struct bc_dma_import *import = NULL;

    (void)state;
    bc_faults_add(&world.dma.faults, (struct bc_fault_rule){.kinds = 1u << BC_DMA_FROM_HOST,
                                                            .first = 2,
                                                            .action = BC_FAULT_VANISH});
    bc_faults_add(&world.dma.faults, (struct bc_fault_rule){.kinds = 1u << BC_FAULTY_DMA_RELEASE,
                                                            .first = 1,
                                                            .action = BC_FAULT_FAIL});
    assert_int_equal(copy_perform(BC_DMA_FROM_HOST), 0);
    assert_int_equal(copy_perform(BC_DMA_FROM_HOST), -EREMOTEIO);
    assert_int_equal(copy_perform(BC_DMA_TO_HOST), -EREMOTEIO);
    assert_int_equal(bc_dma_import(&world.dma.dma, &region, sizeof(region), DATA_LEN, &import),
                     -EINVAL);
    assert_null(import);
    world.dma.vanished = false;
    assert_int_equal(copy_perform(BC_DMA_TO_HOST), 0);
    assert_int_equal(bc_dma_import(&world.dma.dma, &region, sizeof(region), DATA_LEN, &import), 0);
    assert_int_equal(world.dma.imports, 2);
    assert_int_equal(bc_dma_release(&world.dma.dma, import), -EBUSY); /* said, but it is gone */
    assert_int_equal(world.dma.imports, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_without_rules_are_the_real_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(files_fail_at_the_counted_request, setup, teardown),
        cmocka_unit_test_setup_teardown(files_can_be_short, setup, teardown),
        cmocka_unit_test_setup_teardown(files_can_lie, setup, teardown),
        cmocka_unit_test_setup_teardown(files_can_be_late_and_frozen, setup, teardown),
        cmocka_unit_test_setup_teardown(files_tell_late_close_whatever_and_vanish, setup, teardown),
        cmocka_unit_test(chance_is_played_again_by_its_seed),
        cmocka_unit_test_setup_teardown(copies_without_rules_are_the_real_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(copies_fail_lie_and_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(delayed_copies_are_overtaken, setup, teardown),
        cmocka_unit_test_setup_teardown(copies_stop_short_and_are_told_late, setup, teardown),
        cmocka_unit_test_setup_teardown(an_engine_may_vanish_and_come_back, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
