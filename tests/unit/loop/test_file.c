/* SPDX-License-Identifier: Apache-2.0 */
/* File operations on a real directory. */
#include "loop_test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop/file.h"

struct fixture {
    struct bc_loop *loop;
    struct bc_uring_files files;
    char dir[PATH_MAX];
    int dir_fd;
};

struct request {
    struct bc_file_req req;
    int64_t result;
    uint32_t done;
};

static void request_done(struct bc_file_req *req, int64_t result)
{
    struct request *request = BC_CONTAINER_OF(req, struct request, req);

    request->result = result;
    request->done++;
}

static int64_t perform(struct fixture *fixture, struct bc_file_req req)
{
    struct request request = {.req = req};

    request.req.done = request_done;
    bc_file_submit(&fixture->files.files, &request.req);
    assert_int_equal(request.done, 0);
    test_turn_until(fixture->loop, &request.done, 1);
    assert_int_equal(request.done, 1);
    assert_int_equal(request.req.result, request.result);
    return request.result;
}

static int open_file(struct fixture *fixture, const char *name, int flags)
{
    int64_t fd = perform(fixture, (struct bc_file_req){.kind = BC_FILE_OPEN,
                                                       .dir_fd = fixture->dir_fd,
                                                       .path = name,
                                                       .flags = flags | O_CLOEXEC,
                                                       .mode = 0600});
    return (int)fd;
}

static void close_file(struct fixture *fixture, int fd)
{
    assert_int_equal(perform(fixture, (struct bc_file_req){.kind = BC_FILE_CLOSE, .fd = fd}), 0);
}

static int64_t transfer(struct fixture *fixture, enum bc_file_kind kind, int fd, void *data,
                        size_t len, uint64_t offset)
{
    return perform(fixture, (struct bc_file_req){.kind = kind,
                                                 .fd = fd,
                                                 .iov = {{.iov_base = data, .iov_len = len}},
                                                 .iov_count = 1,
                                                 .offset = offset});
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    const char *tmp = getenv("TMPDIR");

    assert_non_null(fixture);
    fixture->loop = test_loop_create(NULL, 0);
    bc_uring_files_init(&fixture->files, fixture->loop);
    snprintf(fixture->dir, sizeof(fixture->dir), "%s/bc-loop-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(fixture->dir));
    fixture->dir_fd = open(fixture->dir, O_DIRECTORY | O_CLOEXEC);
    assert_true(fixture->dir_fd >= 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    (void)unlinkat(fixture->dir_fd, "a", 0);
    (void)unlinkat(fixture->dir_fd, "b", 0);
    close(fixture->dir_fd);
    assert_int_equal(rmdir(fixture->dir), 0);
    bc_loop_destroy(fixture->loop);
    free(fixture);
    return 0;
}

static void every_operation_works(void **state)
{
    struct fixture *fixture = *state;
    char text[] = "head and tail";
    char first[5] = {0};
    char second[20] = {0};
    struct statx statx;
    struct bc_file_req read_req = {.kind = BC_FILE_READ};
    int fd = open_file(fixture, "a", O_RDWR | O_CREAT | O_EXCL);

    assert_true(fd >= 0);
    assert_int_equal(open_file(fixture, "a", O_RDWR | O_CREAT | O_EXCL), -EEXIST);
    assert_int_equal(
        perform(fixture,
                (struct bc_file_req){.kind = BC_FILE_ALLOCATE, .fd = fd, .offset = 0, .len = 8192}),
        0);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(transfer(fixture, BC_FILE_WRITE, fd, text, 13, 0), 13);
    assert_int_equal(perform(fixture, (struct bc_file_req){.kind = BC_FILE_SYNC,
                                                           .fd = fd,
                                                           .flags = IORING_FSYNC_DATASYNC}),
                     0);
    read_req.fd = fd;
    read_req.iov[0] = (struct iovec){.iov_base = first, .iov_len = 4};
    read_req.iov[1] = (struct iovec){.iov_base = first, .iov_len = 0};
    read_req.iov[2] = (struct iovec){.iov_base = second, .iov_len = sizeof(second)};
    read_req.iov_count = 3;
    assert_int_equal(perform(fixture, read_req), 13); /* less than asked: the end of the file */
    assert_string_equal(first, "head");
    assert_string_equal(second, " and tail");
    assert_int_equal(transfer(fixture, BC_FILE_READ, fd, first, 4, 13), 0);
    assert_int_equal(perform(fixture, (struct bc_file_req){.kind = BC_FILE_RENAME,
                                                           .dir_fd = fixture->dir_fd,
                                                           .path = "a",
                                                           .dir_fd2 = fixture->dir_fd,
                                                           .path2 = "b"}),
                     0);
    assert_int_equal(perform(fixture, (struct bc_file_req){.kind = BC_FILE_STAT,
                                                           .dir_fd = fixture->dir_fd,
                                                           .path = "b",
                                                           .mask = STATX_SIZE,
                                                           .statx = &statx}),
                     0);
    assert_int_equal(statx.stx_size, 13);
    assert_int_equal(perform(fixture, (struct bc_file_req){.kind = BC_FILE_UNLINK,
                                                           .dir_fd = fixture->dir_fd,
                                                           .path = "b"}),
                     0);
    assert_int_equal(perform(fixture, (struct bc_file_req){.kind = BC_FILE_UNLINK,
                                                           .dir_fd = fixture->dir_fd,
                                                           .path = "b"}),
                     -ENOENT);
    close_file(fixture, fd);
    assert_int_equal(perform(fixture, (struct bc_file_req){.kind = BC_FILE_SYNC, .fd = 1000000}),
                     -EBADF);
}

static void short_reads_are_continued(void **state)
{
    struct fixture *fixture = *state;
    struct request request = {.req = {.kind = BC_FILE_READ, .done = request_done}};
    char first[4] = {0};
    char second[9] = {0};
    uint32_t i;
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    request.req.fd = fds[0];
    request.req.iov[0] = (struct iovec){.iov_base = first, .iov_len = 3};
    request.req.iov[1] = (struct iovec){.iov_base = second, .iov_len = 8};
    request.req.iov_count = 2;
    bc_file_submit(&fixture->files.files, &request.req);
    for (i = 0; i < 11; i++) {
        char byte = (char)('a' + i);
        assert_int_equal(request.done, 0);
        assert_int_equal(write(fds[1], &byte, 1), 1);
        (void)bc_loop_turn(fixture->loop, TEST_TURN_NS);
        (void)bc_loop_turn(fixture->loop, 0);
    }
    test_turn_until(fixture->loop, &request.done, 1);
    assert_int_equal(request.result, 11);
    assert_string_equal(first, "abc");
    assert_string_equal(second, "defghijk");
    close(fds[0]);
    close(fds[1]);
}

static void short_writes_are_continued(void **state)
{
    enum { LEN = 300000, PIPE_LEN = 4096 };
    struct fixture *fixture = *state;
    uint8_t *sent = malloc(LEN);
    uint8_t *received = malloc(LEN);
    struct request request = {.req = {.kind = BC_FILE_WRITE, .done = request_done}};
    size_t got = 0;
    uint32_t turns;
    int fds[2];
    int i;

    assert_non_null(sent);
    assert_non_null(received);
    for (i = 0; i < LEN; i++) {
        sent[i] = (uint8_t)(i * 7 + i / 251);
    }
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    assert_true(fcntl(fds[1], F_SETPIPE_SZ, PIPE_LEN) > 0);
    request.req.fd = fds[1];
    request.req.iov[0] = (struct iovec){.iov_base = sent, .iov_len = 100001};
    request.req.iov[1] = (struct iovec){.iov_base = sent + 100001, .iov_len = LEN - 100001};
    request.req.iov_count = 2;
    bc_file_submit(&fixture->files.files, &request.req);
    for (turns = 0; got < LEN && turns < 1000000; turns++) {
        ssize_t n = read(fds[0], received + got, LEN - got);
        got += n > 0 ? (size_t)n : 0;
        (void)bc_loop_turn(fixture->loop, 1000);
    }
    test_turn_until(fixture->loop, &request.done, 1);
    assert_int_equal(request.result, LEN);
    assert_int_equal(got, LEN);
    assert_memory_equal(sent, received, LEN);
    close(fds[0]);
    close(fds[1]);
    free(sent);
    free(received);
}

static void direct_read_stops_at_an_unaligned_end(void **state)
{
    struct fixture *fixture = *state;
    uint8_t *data = NULL;
    int fd = open_file(fixture, "a", O_RDWR | O_CREAT);

    assert_true(fd >= 0);
    assert_int_equal(posix_memalign((void **)&data, 4096, 16384), 0);
    memset(data, 7, 16384);
    assert_int_equal(transfer(fixture, BC_FILE_WRITE, fd, data, 10000, 0), 10000);
    close_file(fixture, fd);
    fd = open_file(fixture, "a", O_RDONLY | O_DIRECT);
    if (fd == -EINVAL) {
        print_message("no direct I/O in %s\n", fixture->dir);
    } else {
        assert_true(fd >= 0);
        assert_int_equal(transfer(fixture, BC_FILE_READ, fd, data, 16384, 0), 10000);
        assert_int_equal(transfer(fixture, BC_FILE_READ, fd, data, 16384, 8192), 1808);
        assert_int_equal(transfer(fixture, BC_FILE_READ, fd, data + 1, 4096, 0), -EINVAL);
        close_file(fixture, fd);
    }
    free(data);
}

static void full_device_is_reported(void **state)
{
    struct fixture *fixture = *state;
    uint8_t data[16] = {0};
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(transfer(fixture, BC_FILE_WRITE, fd, data, sizeof(data), 0), -ENOSPC);
    assert_int_equal(transfer(fixture, BC_FILE_WRITE, fd, data, 0, 0), 0);
    close_file(fixture, fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_operation_works, setup, teardown),
        cmocka_unit_test_setup_teardown(short_reads_are_continued, setup, teardown),
        cmocka_unit_test_setup_teardown(short_writes_are_continued, setup, teardown),
        cmocka_unit_test_setup_teardown(direct_read_stops_at_an_unaligned_end, setup, teardown),
        cmocka_unit_test_setup_teardown(full_device_is_reported, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
