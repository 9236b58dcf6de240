/* SPDX-License-Identifier: Apache-2.0 */
/* test_memory.c - how the emulation finds the file behind a range, remaps, and never raises a
 * signal. One process plays both sides. */
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEN ((size_t)1 << 20)
#define RW  DOCA_ACCESS_FLAG_PCI_READ_WRITE

struct parts {
    struct doca_dev *host;
    struct rig dpu;
    struct doca_mmap *exported;
    struct doca_mmap *imported;
};

static int set_up(void **state)
{
    struct parts *parts = calloc(1, sizeof(*parts));
    parts->host = open_device(HOST_PCI);
    rig_init(&parts->dpu, DPU_PCI, LEN, 8);
    *state = parts;
    return 0;
}

static void drop(struct parts *parts)
{
    if (parts->imported != NULL) {
        assert_ok(doca_mmap_destroy(parts->imported));
    }
    if (parts->exported != NULL) {
        assert_ok(doca_mmap_destroy(parts->exported));
    }
    parts->imported = NULL;
    parts->exported = NULL;
}

static int tear_down(void **state)
{
    struct parts *parts = *state;
    drop(parts);
    rig_fini(&parts->dpu);
    assert_ok(doca_dev_close(parts->host));
    free(parts);
    return 0;
}

static void import_exported(struct parts *parts)
{
    const void *blob = NULL;
    size_t len = 0;
    assert_ok(doca_mmap_export_pci(parts->exported, parts->host, &blob, &len));
    assert_ok(doca_mmap_create_from_export(NULL, blob, len, parts->dpu.dev, &parts->imported));
}

static void share(struct parts *parts, uint8_t *mem, size_t len)
{
    parts->exported = make_mmap(parts->host, mem, len, RW);
    import_exported(parts);
}

static doca_error_t pull(struct parts *parts, void *from, size_t len)
{
    return rig_copy(&parts->dpu, parts->imported, from, parts->dpu.local, parts->dpu.mem, len);
}

static void part_of_a_memfd_at_an_odd_offset_is_shared(void **state)
{
    struct parts *parts = *state;
    int fd = -1;
    uint8_t *mem = make_memfd(LEN, &fd);
    uint8_t *window = mmap(NULL, LEN / 2, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 65536);
    assert_true(window != MAP_FAILED);
    fill_pattern(mem, LEN, 2);
    share(parts, window + 12345, 100000);
    assert_int_equal(doca_emu_mmap_memory(parts->imported), DOCA_EMU_MEMORY_SHARED);
    assert_ok(pull(parts, window + 12345 + 777, 90000));
    assert_memory_equal(parts->dpu.mem, mem + 65536 + 12345 + 777, 90000);
    drop(parts);
    munmap(window, LEN / 2);
    munmap(mem, LEN);
    close(fd);
}

static void mapping_that_the_kernel_split_is_one(void **state)
{
    struct parts *parts = *state;
    int fd = -1;
    uint8_t *mem = make_memfd(LEN, &fd);
    assert_int_equal(madvise(mem + LEN / 2, 65536, MADV_DONTFORK), 0);
    share(parts, mem, LEN);
    assert_int_equal(doca_emu_mmap_memory(parts->exported), DOCA_EMU_MEMORY_SHARED);
    drop(parts);
    munmap(mem, LEN);
    close(fd);
}

static void two_files_side_by_side_are_not_shared(void **state)
{
    struct parts *parts = *state;
    int left_fd = -1;
    int right_fd = -1;
    uint8_t *left = make_memfd(LEN, &left_fd);
    uint8_t *right = make_memfd(LEN, &right_fd);
    uint8_t *both = mmap(NULL, 2 * LEN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const int prot = PROT_READ | PROT_WRITE;
    assert_ptr_equal(mmap(both, LEN, prot, MAP_SHARED | MAP_FIXED, left_fd, 0), both);
    assert_ptr_equal(mmap(both + LEN, LEN, prot, MAP_SHARED | MAP_FIXED, right_fd, 0), both + LEN);
    fill_pattern(both + LEN / 2, LEN, 6);
    share(parts, both + LEN / 2, LEN);
    assert_int_equal(doca_emu_mmap_memory(parts->exported), DOCA_EMU_MEMORY_PROCESS_VM);
    assert_ok(pull(parts, both + LEN / 2, LEN));
    assert_true(check_pattern(parts->dpu.mem, LEN, 6));
    drop(parts);
    munmap(both, 2 * LEN);
    munmap(left, LEN);
    munmap(right, LEN);
    close(left_fd);
    close(right_fd);
}

static void file_closed_by_its_owner_still_works(void **state)
{
    struct parts *parts = *state;
    int fd = -1;
    uint8_t *mem = make_memfd(LEN, &fd);
    close(fd);
    fill_pattern(mem, LEN, 7);
    /* Whether it is mapped depends on the right to open /proc/self/map_files. */
    share(parts, mem, LEN);
    assert_ok(pull(parts, mem, LEN));
    assert_true(check_pattern(parts->dpu.mem, LEN, 7));
    drop(parts);
    munmap(mem, LEN);
}

static void exported_memfd_cannot_shrink_under_the_importer(void **state)
{
    struct parts *parts = *state;
    int fd = -1;
    uint8_t *mem = make_memfd(LEN, &fd);
    share(parts, mem, LEN);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(errno, EPERM);
    /* A hole reads as zeroes; nobody gets a signal. */
    fill_pattern(mem, LEN, 3);
    assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)LEN), 0);
    assert_ok(pull(parts, mem, LEN));
    assert_int_equal(parts->dpu.mem[LEN / 2], 0);
    drop(parts);
    munmap(mem, LEN);
    close(fd);
}

static void memory_that_is_not_for_export_is_left_alone(void **state)
{
    struct parts *parts = *state;
    int fd = -1;
    uint8_t *mem = make_memfd(LEN, &fd);
    parts->exported = make_mmap(parts->host, mem, LEN, DOCA_ACCESS_FLAG_LOCAL_READ_WRITE);
    drop(parts);
    assert_int_equal(ftruncate(fd, 0), 0);
    munmap(mem, LEN);
    close(fd);
}

static void huge_pages_are_shared(void **state)
{
    struct parts *parts = *state;
    const size_t huge = (size_t)2 << 20;
    int fd = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
    uint8_t *mem = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, (off_t)(2 * huge)) == 0) {
        mem = mmap(NULL, 2 * huge, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (mem == MAP_FAILED) {
        close(fd);
        skip(); /* no huge pages are set aside here */
    }
    fill_pattern(mem, 2 * huge, 4);
    share(parts, mem + huge - 5000, 10000);
    assert_int_equal(doca_emu_mmap_memory(parts->imported), DOCA_EMU_MEMORY_SHARED);
    assert_ok(pull(parts, mem + huge - 4000, 9000));
    assert_memory_equal(parts->dpu.mem, mem + huge - 4000, 9000);
    drop(parts);
    munmap(mem, 2 * huge);
    close(fd);
}

static void file_range_follows_its_rules(void **state)
{
    struct parts *parts = *state;
    int fd = -1;
    int pipes[2];
    uint8_t *mem = make_memfd(LEN, &fd);
    int unsealable = memfd_create("unsealable", MFD_CLOEXEC);
    void *addr = (void *)0x7000000000;
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(ftruncate(unsealable, (off_t)LEN), 0);
    assert_ok(doca_mmap_create(&parts->exported));
    struct doca_mmap *mmap = parts->exported;
    assert_doca(doca_mmap_set_dmabuf_memrange(mmap, -1, addr, 0, LEN), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_mmap_set_dmabuf_memrange(mmap, fd, NULL, 0, LEN), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_mmap_set_dmabuf_memrange(mmap, fd, addr, 1, LEN), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_mmap_set_dmabuf_memrange(mmap, fd, addr, SIZE_MAX, LEN),
                DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_mmap_set_dmabuf_memrange(mmap, 9999, addr, 0, LEN), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_mmap_set_dmabuf_memrange(mmap, pipes[0], addr, 0, LEN),
                DOCA_ERROR_NOT_SUPPORTED);
    assert_doca(doca_mmap_set_dmabuf_memrange(mmap, unsealable, addr, 0, LEN),
                DOCA_ERROR_NOT_SUPPORTED);
    assert_ok(doca_mmap_set_dmabuf_memrange(mmap, fd, addr, 4097, LEN - 4097));
    assert_doca(doca_mmap_set_dmabuf_memrange(mmap, fd, addr, 0, LEN), DOCA_ERROR_NOT_PERMITTED);
    assert_ok(doca_mmap_add_dev(mmap, parts->host));
    assert_ok(doca_mmap_set_permissions(mmap, RW));
    assert_ok(doca_mmap_start(mmap));
    close(fd);
    import_exported(parts);
    fill_pattern(mem, LEN, 11);
    assert_ok(pull(parts, (uint8_t *)addr + 3, 70000));
    assert_memory_equal(parts->dpu.mem, mem + 4097 + 3, 70000);
    drop(parts);
    munmap(mem, LEN);
    close(unsealable);
    close(pipes[0]);
    close(pipes[1]);
}

static unsigned count_fds(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count;
}

static void remapping_keeps_contents_and_lasts_as_long_as_the_mapping(void **state)
{
    struct parts *parts = *state;
    uint8_t *mem = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned fds = count_fds();
    setenv("DOCA_EMU_REMAP_ANON", "1", 1);
    fill_pattern(mem, LEN, 21);
    for (unsigned round = 0; round < 3; round++) {
        share(parts, mem, LEN);
        assert_int_equal(doca_emu_mmap_memory(parts->exported), DOCA_EMU_MEMORY_SHARED);
        assert_true(check_pattern(mem, LEN, 21 + round));
        fill_pattern(mem, LEN, 22 + round);
        assert_ok(pull(parts, mem, LEN));
        assert_true(check_pattern(parts->dpu.mem, LEN, 22 + round));
        drop(parts);
    }
    assert_true(check_pattern(mem, LEN, 24));
    munmap(mem, LEN);
    uint8_t *other = aligned_alloc(4096, LEN);
    parts->exported = make_mmap(parts->host, other + 1, 100, RW); /* not whole pages */
    assert_int_equal(doca_emu_mmap_memory(parts->exported), DOCA_EMU_MEMORY_PROCESS_VM);
    drop(parts);
    free(other);
    unsetenv("DOCA_EMU_REMAP_ANON");
    /* One is the arena of control pages, which the first export made. */
    assert_in_range(count_fds(), fds, fds + 1);
}

static void forked_child_does_not_revoke_its_parents_export(void **state)
{
    struct parts *parts = *state;
    uint8_t *mem = aligned_alloc(4096, LEN);
    fill_pattern(mem, LEN, 31);
    share(parts, mem, LEN);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int bad = doca_mmap_destroy(parts->imported) != DOCA_SUCCESS;
        bad |= doca_mmap_destroy(parts->exported) != DOCA_SUCCESS;
        _exit(bad);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_ok(pull(parts, mem, LEN));
    assert_true(check_pattern(parts->dpu.mem, LEN, 31));
    drop(parts);
    free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(remapping_keeps_contents_and_lasts_as_long_as_the_mapping,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(part_of_a_memfd_at_an_odd_offset_is_shared, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(mapping_that_the_kernel_split_is_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_files_side_by_side_are_not_shared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(file_closed_by_its_owner_still_works, set_up, tear_down),
        cmocka_unit_test_setup_teardown(exported_memfd_cannot_shrink_under_the_importer, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(memory_that_is_not_for_export_is_left_alone, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(huge_pages_are_shared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(file_range_follows_its_rules, set_up, tear_down),
        cmocka_unit_test_setup_teardown(forked_child_does_not_revoke_its_parents_export, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
