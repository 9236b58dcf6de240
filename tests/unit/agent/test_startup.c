/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's start and end: every step that fails has a sentence and undoes those before it. */
#include "process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/startup.h"
#include "base/log.h"
#include "channel/transport.h"

#define ARGS_MAX 24
#define DPU_PCI  "0000:03:00.0"
#define HOST_PCI "0000:ba:00.0"
#define SERVICE  "bluecache"

static char root[64];
static struct bc_agent_options options;

/* Options as on the command line: `extra` (NULL-terminated) comes last and so wins. */
static void set_options(bool tcp, const char *const *extra)
{
    const char *argv[ARGS_MAX + 1] = {"dpu_dma_copy",    "-m",         "16", "--root", root,
                                      "--no-huge-pages", "--capacity", "8M"};
    int argc = 8;
    struct bc_options_error error = {""};
    if (tcp) {
        argv[argc++] = "-T";
        argv[argc++] = "--listen";
        argv[argc++] = "127.0.0.1:0";
    }
    for (; *extra != NULL; extra++) {
        assert_true(argc < ARGS_MAX);
        argv[argc++] = *extra;
    }
    memset(&options, 0, sizeof(options));
    assert_int_equal(bc_agent_options_load(&options, argc, (char **)(uintptr_t)argv, &error), 0);
}

#define OPTIONS(...)       set_options(true, (const char *const[]){__VA_ARGS__, NULL})
#define COMCH_OPTIONS(...) set_options(false, (const char *const[]){__VA_ARGS__, NULL})

static void assert_starts_and_stops(void)
{
    struct bc_agent agent = {.options = &options};
    int rc = bc_agent_start(&agent, false);
    if (rc != 0) {
        print_error("%s\n", agent.error.text);
    }
    assert_int_equal(rc, 0);
    struct bc_conn *conn = NULL;
    const struct bc_transport_ops *transport = bc_transport_tcp();
    const char *address = bc_server_address(agent.server);
    if (!options.tcp) {
        assert_string_equal(address, "comch:" DPU_PCI "/" HOST_PCI "/" SERVICE);
        transport = bc_transport_comch();
        address = "comch:" HOST_PCI "/" SERVICE;
    }
    assert_int_equal(transport->connect(address, 5000, -1, &conn), 0);
    assert_int_equal(bc_agent_stop(&agent), 0);
    transport->close(conn);
}

static void starts_and_stops(void **state)
{
    static const char *const backends[] = {"dram", "posix"};
    static const char *const workers[] = {"1", "2"};
    (void)state;
    for (size_t b = 0; b < BC_ARRAY_LEN(backends); b++) {
        for (size_t w = 0; w < BC_ARRAY_LEN(workers); w++) {
            OPTIONS("-b", backends[b], "--workers", workers[w], "-m", "32");
            struct holdings before = holdings_now();
            assert_starts_and_stops();
            assert_starts_and_stops();
            assert_holdings(before);
            bc_agent_options_fini(&options);
        }
    }
}

/* Fails with a sentence, leaves nothing, and the same process can start one that is right. */
static void assert_fails(const char *sentence)
{
    struct bc_agent agent = {.options = &options};
    struct holdings before = holdings_now();
    int rc = bc_agent_start(&agent, false);
    if (rc == 0 || strstr(agent.error.text, sentence) == NULL) {
        print_error("%d '%s', wanted '%s'\n", rc, agent.error.text, sentence);
    }
    assert_true(rc < 0);
    assert_non_null(strstr(agent.error.text, sentence));
    assert_holdings(before);
    bc_agent_options_fini(&options);
    OPTIONS("-b", "posix");
    assert_starts_and_stops();
    assert_holdings(before);
    bc_agent_options_fini(&options);
}

static void device_that_is_not_there_fails(void **state)
{
    (void)state;
    OPTIONS("-p", "0000:77:00.0");
    assert_fails("cannot open the BlueField function (-p)");
}

static void root_that_cannot_be_used_fails(void **state)
{
    char file[128];
    (void)state;
    (void)snprintf(file, sizeof(file), "%s/file", root);
    FILE *stream = fopen(file, "w");
    assert_non_null(stream);
    fclose(stream);
    OPTIONS("--root", file);
    assert_fails(file);
    unlink(file);
    OPTIONS("--root", "/proc/no/such/place");
    assert_fails("/proc/no/such/place");
}

static void foreign_root_is_refused_without_format(void **state)
{
    char dir[64];
    char file[128];
    (void)state;
    make_dir(dir);
    (void)snprintf(file, sizeof(file), "%s/thesis.doc", dir);
    FILE *stream = fopen(file, "w");
    assert_non_null(stream);
    fclose(stream);
    OPTIONS("--root", dir);
    assert_fails("--format");
    assert_int_equal(access(file, F_OK), 0);
    OPTIONS("--root", dir, "--format");
    assert_starts_and_stops();
    assert_int_equal(access(file, F_OK), 0);
    bc_agent_options_fini(&options);
    remove_dir(dir);
}

static void root_in_use_is_refused(void **state)
{
    struct bc_agent first = {0};
    struct bc_agent_options first_options;
    (void)state;
    OPTIONS("-b", "posix");
    first_options = options;
    first.options = &first_options;
    assert_int_equal(bc_agent_start(&first, false), 0);
    OPTIONS("-b", "posix");
    struct bc_agent second = {.options = &options};
    struct holdings before = holdings_now();
    assert_true(bc_agent_start(&second, false) < 0);
    assert_non_null(strstr(second.error.text, root));
    assert_holdings(before);
    bc_agent_options_fini(&options);
    assert_int_equal(bc_agent_stop(&first), 0);
    bc_agent_options_fini(&first_options);
}

static void capacity_that_cannot_be_kept_fails(void **state)
{
    (void)state;
    OPTIONS("-b", "dram", "--capacity", "1G");
    assert_fails("--capacity: dram keeps objects in the staging memory");
}

static void workers_that_cannot_be_made_fail(void **state)
{
    (void)state;
    OPTIONS("-b", "dram", "--capacity", "4K");
    assert_fails("too few");
}

static void address_that_cannot_be_listened_on_fails(void **state)
{
    struct bc_listener *listener = NULL;
    (void)state;
    assert_int_equal(bc_transport_tcp()->listen("127.0.0.1:0", &listener), 0);
    OPTIONS("--listen", bc_transport_tcp()->listener_address(listener));
    assert_fails("is another agent running?");
    bc_transport_tcp()->listener_close(listener);
    OPTIONS("--listen", "127.0.0.1:notaport");
    assert_fails("cannot listen on 127.0.0.1:notaport");
    OPTIONS("--listen", "192.0.2.1:0"); /* of no machine */
    assert_fails("cannot listen on 192.0.2.1:0");
}

static void starts_and_stops_over_comch(void **state)
{
    static const char *const workers[] = {"1", "2"};
    (void)state;
    for (size_t w = 0; w < BC_ARRAY_LEN(workers); w++) {
        COMCH_OPTIONS("-b", "dram", "--workers", workers[w], "-m", "32");
        struct holdings before = holdings_now();
        assert_starts_and_stops();
        assert_starts_and_stops();
        assert_holdings(before);
        bc_agent_options_fini(&options);
    }
}

static void service_that_cannot_be_offered_fails(void **state)
{
    struct bc_listener *listener = NULL;
    (void)state;
    assert_int_equal(
        bc_transport_comch()->listen("comch:" DPU_PCI "/" HOST_PCI "/" SERVICE, &listener), 0);
    COMCH_OPTIONS("-b", "dram");
    assert_fails("choose a name by --service");
    bc_transport_comch()->listener_close(listener);
    COMCH_OPTIONS("-b", "dram", "--rep", "0000:77:00.0");
    assert_fails("chosen by --rep");
    static char name[600];
    memset(name, 'n', sizeof(name) - 1);
    COMCH_OPTIONS("-b", "dram", "--service", name);
    assert_fails("cannot offer the Comch service nnn");
}

static char step_text[1024];

static void note_step(void *arg, const char *step, const char *error)
{
    size_t used = strlen(step_text);
    (void)arg;
    snprintf(step_text + used, sizeof(step_text) - used, "%s: %s\n", step,
             error != NULL ? error : "done");
}

/* Preflight goes through the steps and says what it found, and leaves nothing behind. */
static void preflight_changes_nothing(void **state)
{
    (void)state;
    struct holdings before = holdings_now();
    OPTIONS("-b", "posix");
    struct bc_agent good = {.options = &options, .step_done = note_step};
    step_text[0] = '\0';
    int good_rc = bc_agent_start(&good, true);
    bc_agent_options_fini(&options);
    assert_int_equal(good_rc, 0);
    assert_non_null(strstr(step_text, "listener: done"));
    OPTIONS("-p", "0000:77:00.0");
    struct bc_agent bad = {.options = &options, .step_done = note_step};
    step_text[0] = '\0';
    int bad_rc = bc_agent_start(&bad, true);
    bc_agent_options_fini(&options);
    assert_true(bad_rc < 0);
    assert_non_null(strstr(step_text, "device: cannot open the BlueField function (-p)"));
    assert_holdings(before);
}

static int setup(void **state)
{
    (void)state;
    use_own_world();
    bc_log_set_level(BC_LOG_ERROR);
    make_dir(root);
    /* What is made once per process is made here. */
    OPTIONS("-b", "posix");
    assert_starts_and_stops();
    bc_agent_options_fini(&options);
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
        cmocka_unit_test(starts_and_stops),
        cmocka_unit_test(starts_and_stops_over_comch),
        cmocka_unit_test(service_that_cannot_be_offered_fails),
        cmocka_unit_test(device_that_is_not_there_fails),
        cmocka_unit_test(root_that_cannot_be_used_fails),
        cmocka_unit_test(foreign_root_is_refused_without_format),
        cmocka_unit_test(root_in_use_is_refused),
        cmocka_unit_test(capacity_that_cannot_be_kept_fails),
        cmocka_unit_test(workers_that_cannot_be_made_fail),
        cmocka_unit_test(address_that_cannot_be_listened_on_fails),
        cmocka_unit_test(preflight_changes_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
