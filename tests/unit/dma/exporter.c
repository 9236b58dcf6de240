/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doca_dev.h>
#include <doca_mmap.h>

#include "testlib/recount.h"

#define HOST_PCI "0000:ba:00.0"
#define DPU_PCI  "03:00.0"

enum command { CMD_FILL = 1, CMD_CHECK = 2, CMD_REVOKE = 3, CMD_QUIT = 4 };

struct request {
    uint32_t command;
    uint32_t seed;
};

struct hello {
    uint32_t desc_len;
    uint8_t desc[EXPORTER_DESC_MAX];
};

/* --- the pattern ------------------------------------------------------------------------------ */

static uint8_t pattern_byte(uint64_t at, uint32_t seed)
{
    uint64_t x = (at / 8 + 1) * UINT64_C(0x9e3779b97f4a7c15) + seed * UINT64_C(0xbf58476d1ce4e5b9);

    x ^= x >> 29;
    return (uint8_t)(x >> (at % 8 * 8));
}

void pattern_fill(void *data, uint64_t offset, size_t len, uint32_t seed)
{
    uint8_t *bytes = data;
    size_t i;

    for (i = 0; i < len; i++) {
        bytes[i] = pattern_byte(offset + i, seed);
    }
}

bool pattern_check(const void *data, uint64_t offset, size_t len, uint32_t seed)
{
    const uint8_t *bytes = data;
    size_t i;

    for (i = 0; i < len; i++) {
        if (bytes[i] != pattern_byte(offset + i, seed)) {
            return false;
        }
    }
    return true;
}

/* --- the host's process ----------------------------------------------------------------------- */

#define HOST_TRY(call)                                       \
    do {                                                     \
        if ((call) != DOCA_SUCCESS) {                        \
            fprintf(stderr, "exporter: %s failed\n", #call); \
            _exit(3);                                        \
        }                                                    \
    } while (0)

static struct doca_dev *host_open_device(void)
{
    struct doca_devinfo **list = NULL;
    struct doca_dev *dev = NULL;
    uint32_t count = 0;
    uint32_t i;

    HOST_TRY(doca_devinfo_create_list(&list, &count));
    for (i = 0; i < count && dev == NULL; i++) {
        uint8_t equal = 0;
        HOST_TRY(doca_devinfo_is_equal_pci_addr(list[i], HOST_PCI, &equal));
        if (equal != 0) {
            HOST_TRY(doca_dev_open(list[i], &dev));
        }
    }
    HOST_TRY(doca_devinfo_destroy_list(list));
    if (dev == NULL) {
        _exit(4);
    }
    return dev;
}

static void *host_memory(size_t len, bool shared)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    int fd = -1;
    void *memory;

    if (shared) {
        fd = memfd_create("exporter", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0 || ftruncate(fd, (off_t)len) != 0) {
            _exit(5);
        }
        flags = MAP_SHARED;
    }
    memory = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (memory == MAP_FAILED) {
        _exit(6);
    }
    return memory;
}

static struct doca_mmap *host_export(struct doca_dev *dev, void *memory, size_t len,
                                     struct hello *hello)
{
    struct doca_mmap *mmap = NULL;
    const void *desc = NULL;
    size_t desc_len = 0;

    HOST_TRY(doca_mmap_create(&mmap));
    HOST_TRY(doca_mmap_add_dev(mmap, dev));
    HOST_TRY(doca_mmap_set_memrange(mmap, memory, len));
    HOST_TRY(doca_mmap_set_permissions(mmap, DOCA_ACCESS_FLAG_PCI_READ_WRITE |
                                                 DOCA_ACCESS_FLAG_LOCAL_READ_WRITE));
    HOST_TRY(doca_mmap_start(mmap));
    HOST_TRY(doca_mmap_export_pci(mmap, dev, &desc, &desc_len));
    if (desc_len > sizeof(hello->desc)) {
        _exit(7);
    }
    hello->desc_len = (uint32_t)desc_len;
    memcpy(hello->desc, desc, desc_len);
    return mmap;
}

static void host_serve(int socket, void *memory, size_t len, struct doca_mmap *mmap)
{
    struct request request;

    while (recv(socket, &request, sizeof(request), 0) == (ssize_t)sizeof(request)) {
        uint32_t answer = 1;
        switch (request.command) {
        case CMD_FILL:
            pattern_fill(memory, 0, len, request.seed);
            break;
        case CMD_CHECK:
            answer = pattern_check(memory, 0, len, request.seed);
            break;
        case CMD_REVOKE:
            HOST_TRY(doca_mmap_destroy(mmap));
            break;
        default:
            _exit(0);
        }
        if (send(socket, &answer, sizeof(answer), MSG_NOSIGNAL) != (ssize_t)sizeof(answer)) {
            break;
        }
    }
    _exit(0);
}

void exporter_main(int argc, char **argv)
{
    struct hello hello;
    struct doca_mmap *mmap;
    void *memory;
    size_t len;
    int socket;

    if (argc != 5 || strcmp(argv[1], "--exporter") != 0) {
        return;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    socket = atoi(argv[2]);
    len = strtoull(argv[3], NULL, 10);
    memory = host_memory(len, argv[4][0] == '1');
    memset(&hello, 0, sizeof(hello));
    mmap = host_export(host_open_device(), memory, len, &hello);
    if (send(socket, &hello, sizeof(hello), MSG_NOSIGNAL) != (ssize_t)sizeof(hello)) {
        _exit(8);
    }
    host_serve(socket, memory, len, mmap);
}

/* --- its client ------------------------------------------------------------------------------- */

/* An io_uring of this thread that is on its way out interrupts waiting calls. */
static void receive(int socket, void *data, size_t len)
{
    ssize_t got;

    do {
        got = recv(socket, data, len, 0);
    } while (got < 0 && errno == EINTR);
    assert_int_equal(got, len);
}

void exporter_start(struct exporter *exporter, size_t len, bool shared)
{
    struct timeval deadline = {.tv_sec = 20};
    struct hello hello;
    char len_text[32];
    char fd_text[16];
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    assert_int_equal(fcntl(pair[0], F_SETFD, FD_CLOEXEC), 0);
    assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)), 0);
    snprintf(len_text, sizeof(len_text), "%zu", len);
    snprintf(fd_text, sizeof(fd_text), "%d", pair[1]);
    exporter->pid = fork();
    assert_true(exporter->pid >= 0);
    if (exporter->pid == 0) {
        execl("/proc/self/exe", "exporter", "--exporter", fd_text, len_text, shared ? "1" : "0",
              (char *)NULL);
        _exit(2);
    }
    close(pair[1]);
    exporter->socket = pair[0];
    receive(pair[0], &hello, sizeof(hello));
    exporter->desc_len = hello.desc_len;
    memcpy(exporter->desc, hello.desc, sizeof(hello.desc));
}

static uint32_t ask(struct exporter *exporter, enum command command, uint32_t seed)
{
    struct request request = {.command = command, .seed = seed};
    uint32_t answer = 0;

    assert_int_equal(send(exporter->socket, &request, sizeof(request), MSG_NOSIGNAL),
                     sizeof(request));
    receive(exporter->socket, &answer, sizeof(answer));
    return answer;
}

void exporter_fill(struct exporter *exporter, uint32_t seed)
{
    (void)ask(exporter, CMD_FILL, seed);
}

bool exporter_check(struct exporter *exporter, uint32_t seed)
{
    return ask(exporter, CMD_CHECK, seed) == 1;
}

void exporter_revoke(struct exporter *exporter)
{
    (void)ask(exporter, CMD_REVOKE, 0);
}

void exporter_kill(struct exporter *exporter)
{
    int status;

    assert_int_equal(kill(exporter->pid, SIGKILL), 0);
    assert_int_equal(waitpid(exporter->pid, &status, 0), exporter->pid);
    close(exporter->socket);
    exporter->pid = 0;
}

void exporter_stop(struct exporter *exporter)
{
    struct request request = {.command = CMD_QUIT};
    int status;

    if (exporter->pid == 0) {
        return;
    }
    assert_int_equal(send(exporter->socket, &request, sizeof(request), MSG_NOSIGNAL),
                     sizeof(request));
    assert_int_equal(waitpid(exporter->pid, &status, 0), exporter->pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(exporter->socket);
}

/* --- the bed ---------------------------------------------------------------------------------- */

static void note_ready(void *arg)
{
    ((struct bed *)arg)->ready++;
}

void bed_create(struct bed *bed, uint32_t depth)
{
    struct bc_loop_options loop_options = {.name = "test"};
    struct bc_dma_options options = {.depth = depth, .local_len = BED_LOCAL_LEN};

    memset(bed, 0, sizeof(*bed));
    assert_int_equal(bc_dma_device_open(DPU_PCI, &bed->device), 0);
    assert_int_equal(bc_loop_create(&loop_options, &bed->loop), 0);
    assert_int_equal(bc_metrics_create(&bed->metrics), 0);
    assert_int_equal(bc_loop_register_metrics(bed->loop, bed->metrics), 0);
    assert_int_equal(posix_memalign((void **)&bed->local, 4096, BED_LOCAL_LEN), 0);
    memset(bed->local, 0, BED_LOCAL_LEN);
    options.local = bed->local;
    assert_int_equal(bc_dma_create(bed->device, bed->loop, &options, bed->metrics, &bed->dma), 0);
    bed->dma->ready = note_ready;
    bed->dma->ready_arg = bed;
}

void bed_turn(struct bed *bed)
{
    (void)bc_loop_turn(bed->loop, 10 * BC_NS_PER_MS);
}

void bed_destroy(struct bed *bed)
{
    uint64_t end_ns = bc_clock_now_ns(bc_clock_monotonic()) + BED_DEADLINE_NS;

    bc_metrics_destroy(bed->metrics);
    bc_dma_destroy(bed->dma);
    while (bc_loop_in_flight(bed->loop) > 0) {
        assert_true(bc_clock_now_ns(bc_clock_monotonic()) < end_ns);
        bed_turn(bed);
    }
    bc_loop_destroy(bed->loop);
    bc_dma_device_close(bed->device);
    free(bed->local);
}

struct bc_dma_import *bed_import(struct bed *bed, const struct exporter *exporter, uint64_t len)
{
    struct bc_dma_import *import = NULL;

    assert_int_equal(bc_dma_import(bed->dma, exporter->desc, exporter->desc_len, len, &import), 0);
    assert_non_null(import);
    return import;
}

int64_t bed_metric(const struct bed *bed, const char *name)
{
    int64_t sum = 0;

    assert_true(bc_recount_metric(bed->metrics, name, &sum));
    assert_true(sum >= 0);
    return sum;
}

/* --- copies ----------------------------------------------------------------------------------- */

static void copy_done(struct bc_dma_task *task, int result)
{
    struct copy *copy = BC_CONTAINER_OF(task, struct copy, task);

    copy->result = result;
    copy->done++;
}

void copy_init(struct copy *copy, enum bc_dma_direction direction, struct bc_dma_import *import,
               uint64_t offset, uint8_t *local, uint32_t len)
{
    *copy = (struct copy){.task = {.direction = direction,
                                   .import = import,
                                   .import_offset = offset,
                                   .local = local,
                                   .len = len,
                                   .done = copy_done}};
}

void copy_wait(struct bed *bed, const struct copy *copy)
{
    uint64_t end_ns = bc_clock_now_ns(bc_clock_monotonic()) + BED_DEADLINE_NS;

    while (copy->done == 0) {
        assert_true(bc_clock_now_ns(bc_clock_monotonic()) < end_ns);
        bed_turn(bed);
    }
    assert_int_equal(copy->done, 1);
}

int copy_perform(struct bed *bed, struct copy *copy)
{
    uint64_t end_ns = bc_clock_now_ns(bc_clock_monotonic()) + BED_DEADLINE_NS;
    int rc = bc_dma_submit(bed->dma, &copy->task);

    while (rc == -EAGAIN) {
        assert_true(bc_clock_now_ns(bc_clock_monotonic()) < end_ns);
        bed_turn(bed);
        rc = bc_dma_submit(bed->dma, &copy->task);
    }
    if (rc != 0) {
        return rc;
    }
    assert_int_equal(copy->done, 0); /* never inside submit */
    copy_wait(bed, copy);
    return copy->result;
}
