/* SPDX-License-Identifier: Apache-2.0 */
/* test_preflight.c - what the rows of dpu_dma_copy --preflight say, of machines that are made up, and
 * of this one. */
#include "process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/preflight.h"
#include "base/log.h"

#define ARGS_MAX 24
#define MIB      (UINT64_C(1) << 20)
#define GIB      (UINT64_C(1) << 30)

static char root[64];
static char text[16384];
static struct bc_agent_options options;
static struct bc_preflight preflight;

static void set_options(const char *const *given)
{
    const char *argv[ARGS_MAX + 1] = {"dpu_dma_copy"};
    struct bc_options_error error = {""};
    int argc = 1;
    for (; *given != NULL; given++) {
        assert_true(argc < ARGS_MAX);
        argv[argc++] = *given;
    }
    memset(&options, 0, sizeof(options));
    assert_int_equal(bc_agent_options_load(&options, argc, (char **)(uintptr_t)argv, &error), 0);
}

#define OPTIONS(...) set_options((const char *const[]){__VA_ARGS__, NULL})

static void begin(void)
{
    text[0] = '\0';
    preflight =
        (struct bc_preflight){.options = &options, .out = fmemopen(text, sizeof(text), "w")};
    assert_non_null(preflight.out);
}

/* The table is in `text`; the options go. */
static void end(void)
{
    assert_int_equal(fclose(preflight.out), 0);
    bc_agent_options_fini(&options);
}

/* The row of the check begins with this mark and contains this. */
static void assert_row(const char *check, const char *mark, const char *part)
{
    char start[64];
    char row[1024] = "";
    char *at;
    snprintf(start, sizeof(start), "%-28s | %s ", check, mark);
    at = strstr(text, start);
    if (at != NULL) {
        snprintf(row, sizeof(row), "%.*s", (int)strcspn(at, "\n"), at);
    }
    if (at == NULL || strstr(row, part) == NULL) {
        print_error("no row '%s' with '%s' in\n%s", start, part, text);
    }
    assert_non_null(at);
    assert_non_null(strstr(row, part));
}

static struct bc_dma_survey bluefield(void)
{
    return (struct bc_dma_survey){.version = "3.0.0058",
                                  .version_runtime = "3.0.0101",
                                  .device_count = 2,
                                  .devices = "0000:03:00.0 0000:03:00.1",
                                  .found = true,
                                  .pci_addr = "0000:03:00.0",
                                  .copies = true,
                                  .copy_len_max = 2 * MIB,
                                  .imports = true,
                                  .comch_server = true,
                                  .comch_message_max = 4080,
                                  .rep_count = 1,
                                  .reps = "0000:ba:00.0"};
}

static void survey(const struct bc_dma_survey *found)
{
    begin();
    bc_preflight_devices(&preflight, found);
    end();
}

static void a_bluefield_is_fine(void **state)
{
    struct bc_dma_survey found = bluefield();
    (void)state;
    OPTIONS("-b", "dram");
    survey(&found);
    assert_int_equal(preflight.warnings + preflight.failures, 0);
    assert_row("DOCA", "ok", "3.0.0101");
    assert_row("device", "ok", "0000:03:00.0");
    assert_row("DMA", "ok", "2048 KiB");
    assert_row("import", "ok", "");
    assert_row("host functions", "ok", "0000:ba:00.0");
    assert_row("Comch", "ok", "4080");
}

static void what_is_wrong_with_a_card_is_told(void **state)
{
    struct bc_dma_survey found = bluefield();
    (void)state;
    OPTIONS("-b", "dram");
    snprintf(found.version_runtime, sizeof(found.version_runtime), "3.1.0105");
    found.rep_count = 0;
    found.imports = false;
    found.copies = false;
    found.comch_server = false;
    survey(&found);
    assert_row("DOCA", "warn", "build anew");
    assert_row("DMA", "FAIL", "-p");
    assert_row("import", "FAIL", "INTERNAL_CPU_MODEL");
    assert_row("host functions", "FAIL", "mlxconfig -d 0000:03:00.0");
    assert_row("Comch", "FAIL", "-T");
    assert_int_equal(preflight.failures, 4);
    OPTIONS("-b", "dram", "-T"); /* what TCP does without */
    survey(&found);
    assert_row("host functions", "warn", "NIC mode?");
    assert_row("Comch", "ok", "not used");
    assert_int_equal(preflight.failures, 2);
}

static void a_card_that_is_not_there_is_told(void **state)
{
    struct bc_dma_survey found = bluefield();
    (void)state;
    OPTIONS("-b", "dram", "-p", "0000:05:00.0");
    found.found = false;
    survey(&found);
    assert_row("device", "FAIL", "there are: 0000:03:00.0 0000:03:00.1");
    OPTIONS("-b", "dram");
    found.device_count = 0;
    snprintf(found.error, sizeof(found.error), "none here");
    survey(&found);
    assert_row("device", "FAIL", "none here");
    OPTIONS("-b", "dram");
    found = bluefield();
    snprintf(found.open_error, sizeof(found.open_error), "not permitted");
    survey(&found);
    assert_row("device", "FAIL", "mlnx");
}

static void the_host_function_is_chosen(void **state)
{
    struct bc_dma_survey found = bluefield();
    (void)state;
    found.rep_count = 2;
    snprintf(found.reps, sizeof(found.reps), "0000:ba:00.0 0000:ba:00.1");
    OPTIONS("-b", "dram");
    survey(&found);
    assert_row("host functions", "FAIL", "choose one by --rep");
    OPTIONS("-b", "dram", "--rep", "0000:bb:00.0");
    survey(&found);
    assert_row("host functions", "FAIL", "none at 0000:bb:00.0");
    found.rep_found = true;
    OPTIONS("-b", "dram", "--rep", "0000:ba:00.1");
    survey(&found);
    assert_row("host functions", "ok", "");
}

static struct bc_machine ample(void)
{
    return (struct bc_machine){.kernel = "6.8.0",
                               .kernel_major = 6,
                               .kernel_minor = 8,
                               .processors = 16,
                               .memory = 32 * GIB,
                               .memory_available = 30 * GIB,
                               .huge_page_len = 2 * MIB,
                               .huge_pages_free = 1024,
                               .locked_max = UINT64_MAX,
                               .files_max = 1048576};
}

static void look(const struct bc_machine *machine, bool emulated)
{
    begin();
    bc_preflight_machine(&preflight, machine, emulated);
    end();
}

static void an_ample_machine_is_fine(void **state)
{
    struct bc_machine machine = ample();
    (void)state;
    OPTIONS("-b", "dram", "-m", "2G");
    look(&machine, false);
    assert_int_equal(preflight.warnings + preflight.failures, 0);
}

static void what_a_machine_lacks_is_told(void **state)
{
    struct bc_machine machine = ample();
    (void)state;
    machine.kernel_major = 5;
    machine.kernel_minor = 15;
    machine.ring_error = -EPERM;
    machine.processors = 2;
    machine.memory_available = GIB;
    machine.huge_pages_free = 0;
    machine.locked_max = 64 * 1024;
    machine.files_max = 1024;
    OPTIONS("-b", "dram", "-m", "8G", "--workers", "4");
    look(&machine, false);
    assert_row("kernel", "warn", "5.19");
    assert_row("io_uring", "FAIL", "io_uring_disabled");
    assert_row("processors", "warn", "--workers");
    assert_row("memory", "warn", "-m");
    assert_row("huge pages", "warn", "sysctl vm.nr_hugepages=4096");
    assert_row("locked memory", "warn", "LimitMEMLOCK=infinity");
    assert_row("open files", "warn", "LimitNOFILE");
    assert_int_equal(preflight.failures, 1);
    machine.ring_error = -ENOSYS;
    OPTIONS("-b", "dram", "-m", "64G", "--no-huge-pages");
    look(&machine, true);
    assert_row("io_uring", "FAIL", "the kernel has none");
    assert_row("memory", "FAIL", "65536 MiB");
    assert_row("huge pages", "ok", "not asked for");
    assert_row("locked memory", "ok", "");
}

static void place(const char *dir, const struct bc_store_place *made_up)
{
    struct bc_store_place found;
    OPTIONS("-b", "posix", "--root", dir, "--capacity", "10G");
    bc_store_place_look(dir, &found);
    begin();
    bc_preflight_store(&preflight, made_up != NULL ? made_up : &found);
    end();
}

static void a_store_is_looked_at_and_left_alone(void **state)
{
    char path[128];
    (void)state;
    place(root, NULL);
    assert_row("store", "ok", root);
    snprintf(path, sizeof(path), "%s/new", root);
    place(path, NULL);
    assert_row("store", "ok", "a start makes it");
    assert_true(access(path, F_OK) != 0);
    assert_int_equal(rmdir(root), 0); /* nothing was left in it */
    assert_int_equal(mkdir(root, 0700), 0);
    snprintf(path, sizeof(path), "%s/new/er", root);
    place(path, NULL);
    assert_row("store", "FAIL", "mkdir -p");
    place("/dev/null", NULL);
    assert_row("store", "FAIL", "Not a directory");
    if (geteuid() != 0) {
        assert_int_equal(chmod(root, 0500), 0);
        place(root, NULL);
        assert_row("store", "FAIL", "chown");
        assert_int_equal(chmod(root, 0700), 0);
    }
}

static void what_is_wrong_with_a_store_is_told(void **state)
{
    struct bc_store_place bad = {.root = "/x",
                                 .exists = true,
                                 .direct_known = true,
                                 .file_system = "tmpfs",
                                 .total = 8 * GIB,
                                 .free = 8 * GIB};
    (void)state;
    place(root, &bad);
    assert_row("file system", "warn", "-b dram");
    assert_row("direct I/O", "warn", "ext4");
    assert_row("space", "warn", "--capacity is 10.0 GiB");
    bad = (struct bc_store_place){
        .root = "/x", .exists = true, .direct = true, .file_system = "xfs", .total = 100 * GIB};
    place(root, &bad);
    assert_row("file system", "ok", "xfs");
    assert_row("direct I/O", "ok", "works");
    assert_row("space", "warn", "0.0 GiB free of 100.0 GiB");
    bad = (struct bc_store_place){.root = "/x", .exists = true, .write_error = -EROFS};
    place(root, &bad);
    assert_row("store", "FAIL", "mount it for writing");
}

static int run_here(const char *pci_addr)
{
    struct bc_agent agent = {.options = &options};
    int status;
    OPTIONS("-T", "-b", "posix", "-m", "16", "--root", root, "--listen", "127.0.0.1:0", "-p",
            pci_addr, "--capacity", "8M", "--no-huge-pages");
    begin();
    status = bc_preflight_run(&agent, preflight.out);
    end();
    return status;
}

static void this_machine_is_fine(void **state)
{
    (void)state;
    struct holdings before = holdings_now();
    assert_int_equal(run_here("0000:03:00.0"), 0);
    assert_row("DOCA", "warn", "DOCA_DIR");
    assert_row("device", "ok", "0000:03:00.0");
    assert_row("io_uring", "ok", "");
    assert_row("start: listener", "ok", "");
    assert_non_null(strstr(text, "the agent would start: 0 failed"));
    assert_holdings(before);
}

static void nothing_is_started_when_something_failed(void **state)
{
    (void)state;
    struct holdings before = holdings_now();
    assert_int_equal(run_here("0000:77:00.0"), 1);
    assert_row("device", "FAIL", "0000:77:00.0");
    assert_row("start", "warn", "not tried");
    assert_non_null(strstr(text, "the agent would not start: 1 failed"));
    assert_holdings(before);
}

static int setup(void **state)
{
    (void)state;
    use_own_world();
    bc_log_set_level(BC_LOG_ERROR);
    make_dir(root);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_dir(root);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bluefield_is_fine),
        cmocka_unit_test(what_is_wrong_with_a_card_is_told),
        cmocka_unit_test(a_card_that_is_not_there_is_told),
        cmocka_unit_test(the_host_function_is_chosen),
        cmocka_unit_test(an_ample_machine_is_fine),
        cmocka_unit_test(what_a_machine_lacks_is_told),
        cmocka_unit_test(a_store_is_looked_at_and_left_alone),
        cmocka_unit_test(what_is_wrong_with_a_store_is_told),
        cmocka_unit_test(this_machine_is_fine),
        cmocka_unit_test(nothing_is_started_when_something_failed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
