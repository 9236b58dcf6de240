/* SPDX-License-Identifier: Apache-2.0 */
/* One line per event, whatever the arguments hold and however many threads log. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "capture.h"

struct kept {
    unsigned int lines;
    enum bc_log_level level;
    char line[2048];
};

static void keep_line(void *arg, enum bc_log_level level, const char *line)
{
    struct kept *kept = arg;

    kept->lines++;
    kept->level = level;
    (void)snprintf(kept->line, sizeof(kept->line), "%s", line);
}

static int restore(void **state)
{
    (void)state;
    bc_log_set_sink(NULL, NULL);
    bc_log_set_level(BC_LOG_INFO);
    return 0;
}

static bool matches(const char *text, const char *pattern)
{
    regex_t regex;
    bool found;

    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    found = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

static void line_has_time_level_module_and_text(void **state)
{
    struct capture capture;
    char text[512];

    (void)state;
    assert_true(capture_start(&capture));
    BC_INFO("posix", "store %s opened with %d objects", "/data", 3);
    BC_ERROR("loop", "gone");
    assert_true(capture_stop(&capture, text, sizeof(text)) > 0);
    assert_true(matches(text, "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "
                              "INFO  posix  store /data opened with 3 objects\n"
                              "[0-9T:.-]+Z ERROR loop  gone\n$"));
}

static void arguments_cannot_forge_lines(void **state)
{
    struct kept kept = {0};

    (void)state;
    bc_log_set_sink(keep_line, &kept);
    BC_WARN("session", "name %s", "a\nERROR b\t\x1b[31m\x7f\xc3\xa9\\");
    assert_int_equal(kept.lines, 1);
    assert_int_equal(kept.level, BC_LOG_WARN);
    assert_non_null(strstr(kept.line, "WARN  session  name a\\x0aERROR b\\x09\\x1b[31m\\x7f"
                                      "\\xc3\\xa9\\"));
    assert_null(strchr(kept.line, '\n'));
}

static void levels_above_the_threshold_are_dropped(void **state)
{
    struct kept kept = {0};
    int evaluated = 0;

    (void)state;
    bc_log_set_sink(keep_line, &kept);
    BC_DBG("loop", "%d", ++evaluated);
    assert_int_equal(kept.lines, 0);
    assert_int_equal(evaluated, 0);
    bc_log_set_level(BC_LOG_TRACE);
    BC_DBG("loop", "%d", ++evaluated);
    BC_TRACE("loop", "%d", ++evaluated);
    assert_int_equal(kept.lines, 2);
    bc_log_set_level(BC_LOG_ERROR);
    BC_WARN("loop", "%d", ++evaluated);
    assert_int_equal(kept.lines, 2);
    assert_int_equal(evaluated, 2);
}

static void long_line_is_cut_and_marked(void **state)
{
    struct kept kept = {0};
    char text[4001];

    (void)state;
    bc_log_set_sink(keep_line, &kept);
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    BC_INFO("loop", "%s", text);
    assert_int_equal(strlen(kept.line), 1000);
    assert_string_equal(kept.line + 996, "x...");
    memset(text, '\n', sizeof(text) - 1);
    BC_INFO("loop", "%s", text);
    assert_in_range(strlen(kept.line), 990, 1000);
    assert_true(matches(kept.line, "(\\\\x0a)+\\.\\.\\.$"));
}

static void line_that_just_fits_is_whole(void **state)
{
    struct kept kept = {0};
    char text[1001];
    size_t prefix_len;

    (void)state;
    bc_log_set_sink(keep_line, &kept);
    BC_INFO("loop", "%s", "");
    prefix_len = strlen(kept.line);
    memset(text, 'y', sizeof(text));
    text[1000 - prefix_len] = '\0';
    BC_INFO("loop", "%s", text);
    assert_int_equal(strlen(kept.line), 1000);
    assert_string_equal(kept.line + 996, "yyyy");
    text[1000 - prefix_len] = 'y';
    text[1001 - prefix_len] = '\0';
    BC_INFO("loop", "%s", text);
    assert_string_equal(kept.line + 996, "y...");
}

static void logging_keeps_errno(void **state)
{
    struct kept kept = {0};

    (void)state;
    bc_log_set_sink(keep_line, &kept);
    errno = ENOSPC;
    BC_ERROR("posix", "write failed: %m");
    assert_int_equal(errno, ENOSPC);
    assert_non_null(strstr(kept.line, "write failed: No space left on device"));
}

static void level_names_parse(void **state)
{
    static const char *const names[] = {"error", "warn", "info", "debug", "trace"};
    enum bc_log_level level;

    (void)state;
    for (unsigned int i = 0; i < 5; i++) {
        assert_int_equal(bc_log_level_parse(names[i], &level), 0);
        assert_int_equal(level, i);
    }
    assert_int_equal(bc_log_level_parse("loud", &level), -EINVAL);
    assert_int_equal(bc_log_level_parse("", &level), -EINVAL);
    assert_int_equal(level, BC_LOG_TRACE);
}

static void key_prints_as_text(void **state)
{
    char buf[16];

    (void)state;
    assert_string_equal(bc_log_key(buf, sizeof(buf), "a/b..", 5), "a/b..");
    assert_string_equal(bc_log_key(buf, sizeof(buf), "a\0\xff", 3), "a\\x00\\xff");
    assert_string_equal(bc_log_key(buf, sizeof(buf), "", 0), "");
    assert_string_equal(bc_log_key(buf, sizeof(buf), NULL, 0), "");
}

static void key_is_cut_to_fit(void **state)
{
    const char *key = "0123456789";
    char buf[12];

    (void)state;
    for (size_t size = 1; size <= sizeof(buf); size++) {
        memset(buf, '#', sizeof(buf));
        assert_ptr_equal(bc_log_key(buf, size, key, 10), buf);
        if (size < 4) {
            assert_string_equal(buf, "");
        } else if (size < 11) {
            assert_int_equal(strlen(buf), size - 1);
            assert_memory_equal(buf, key, size - 4);
            assert_string_equal(buf + size - 4, "...");
        } else {
            assert_string_equal(buf, key);
        }
        for (size_t at = size; at < sizeof(buf); at++) {
            assert_int_equal(buf[at], '#');
        }
    }
    /* No half of an escape is left in front of the mark. */
    assert_string_equal(bc_log_key(buf, 10, "a\n\n\n", 4), "a\\x0a...");
}

#define LOG_THREADS 4
#define LOG_LINES   200

static void *log_lines(void *arg)
{
    const char *name = arg;

    for (int i = 0; i < LOG_LINES; i++) {
        BC_INFO("thread", "%s %d %s", name, i, "................................");
        bc_log_set_level(BC_LOG_INFO);
    }
    return NULL;
}

static void threads_do_not_mix_their_lines(void **state)
{
    static char names[LOG_THREADS][2] = {"a", "b", "c", "d"};
    const size_t text_len = 256 * 1024;
    char *text = malloc(text_len);
    pthread_t threads[LOG_THREADS];
    struct capture capture;
    unsigned int lines = 0;
    char *rest = text;
    char *line;

    (void)state;
    assert_non_null(text);
    assert_true(capture_start(&capture));
    for (int i = 0; i < LOG_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, log_lines, names[i]), 0);
    }
    for (int i = 0; i < LOG_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_true(capture_stop(&capture, text, text_len) > 0);
    while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
        assert_true(matches(line, "Z INFO  thread  [a-d] [0-9]+ \\.{32}$"));
        lines++;
    }
    assert_int_equal(lines, LOG_THREADS * LOG_LINES);
    free(text);
}

/* A pipe of two pages whose reader has stopped: it holds some forty lines. */
static void reader_that_stops_costs_lines_and_holds_up_no_one(void **state)
{
    char text[8192];
    int saved = dup(STDERR_FILENO);
    int fds[2];
    ssize_t len;

    (void)state;
    assert_true(saved >= 0);
    assert_int_equal(pipe(fds), 0);
    assert_true(fcntl(fds[1], F_SETPIPE_SZ, 8192) >= 8192);
    assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
    (void)alarm(60); /* a test that hangs ends here */
    for (int i = 0; i < 1000; i++) {
        BC_INFO("test", "line %d of a thousand, and a few words more to make it longer", i);
    }
    len = read(fds[0], text, sizeof(text) - 1);
    BC_INFO("test", "somebody reads again");
    (void)alarm(0);
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    assert_true(len > 1000);
    text[len] = '\0';
    assert_non_null(strstr(text, "line 0 of a thousand"));
    assert_int_equal(text[len - 1], '\n'); /* whole lines alone */
    len = read(fds[0], text, sizeof(text) - 1);
    assert_true(len > 0);
    text[len] = '\0';
    assert_non_null(strstr(text, "WARN  log  nobody read the log: 9"));
    assert_non_null(strstr(text, "lines are lost\n"));
    assert_non_null(strstr(text, "somebody reads again\n"));
    (void)close(saved);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static uint32_t pass_many(struct bc_log_gate *gate, uint64_t now_ns, uint32_t count)
{
    uint32_t passed = 0;
    uint32_t held = 0;

    for (uint32_t i = 0; i < count; i++) {
        passed += bc_log_gate_pass(gate, now_ns + i, &held) ? 1 : 0;
        assert_int_equal(held, 0);
    }
    return passed;
}

static void gate_passes_a_burst_a_period_and_counts_the_rest(void **state)
{
    struct bc_log_gate gate = {0};
    int64_t before = bc_counter_get(&bc_log_suppressed);
    uint64_t begin = 1;
    uint32_t held = 0;

    (void)state;
    assert_int_equal(pass_many(&gate, begin, BC_LOG_BURST + 7), BC_LOG_BURST);
    assert_int_equal(pass_many(&gate, begin + BC_LOG_PERIOD_NS - 2, 2), 0);
    assert_int_equal(bc_counter_get(&bc_log_suppressed) - before, 9);
    assert_true(bc_log_gate_pass(&gate, begin + BC_LOG_PERIOD_NS, &held));
    assert_int_equal(held, 9);
    /* Told once; a clock that seems to go back (another thread read it earlier) opens nothing. */
    begin += BC_LOG_PERIOD_NS;
    assert_int_equal(pass_many(&gate, begin - 5, BC_LOG_BURST + 3), BC_LOG_BURST - 1);
}

static void limited_lines_say_how_many_are_missing(void **state)
{
    struct kept kept = {0};
    struct bc_log_gate gate = {0};

    (void)state;
    bc_log_set_sink(keep_line, &kept);
    for (uint32_t i = 0; i < 3 * BC_LOG_BURST; i++) {
        BC_WARN_LIMITED("session", "line %u", i);
    }
    assert_int_equal(kept.lines, BC_LOG_BURST);
    BC_WARN_LIMITED("session", "another place has a gate of its own");
    assert_int_equal(kept.lines, BC_LOG_BURST + 1);
    gate.held = 12;
    assert_true(bc_log_gate_open(&gate, BC_LOG_WARN, "session"));
    assert_int_equal(kept.lines, BC_LOG_BURST + 2);
    assert_non_null(strstr(kept.line, "WARN  session  12 lines like the next one were suppressed"));
    bc_log_set_level(BC_LOG_ERROR);
    BC_WARN_LIMITED("session", "%s", "below the level: not counted either");
    assert_int_equal(kept.lines, BC_LOG_BURST + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(line_has_time_level_module_and_text, restore),
        cmocka_unit_test_teardown(arguments_cannot_forge_lines, restore),
        cmocka_unit_test_teardown(levels_above_the_threshold_are_dropped, restore),
        cmocka_unit_test_teardown(long_line_is_cut_and_marked, restore),
        cmocka_unit_test_teardown(line_that_just_fits_is_whole, restore),
        cmocka_unit_test_teardown(logging_keeps_errno, restore),
        cmocka_unit_test(level_names_parse),
        cmocka_unit_test(key_prints_as_text),
        cmocka_unit_test(key_is_cut_to_fit),
        cmocka_unit_test(gate_passes_a_burst_a_period_and_counts_the_rest),
        cmocka_unit_test_teardown(limited_lines_say_how_many_are_missing, restore),
        cmocka_unit_test_teardown(threads_do_not_mix_their_lines, restore),
        cmocka_unit_test_teardown(reader_that_stops_costs_lines_and_holds_up_no_one, restore),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
