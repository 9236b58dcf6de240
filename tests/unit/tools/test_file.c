/* SPDX-License-Identifier: Apache-2.0 */
/* test_file.c - files that are read whole, and written whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/bluecache-test-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    char command[128];

    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

static const char *path_of(const char *name)
{
    static char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void expect(const char *name, const char *text)
{
    char found[64] = "";
    FILE *file = fopen(path_of(name), "r");

    assert_non_null(file);
    assert_int_equal(fread(found, 1, sizeof(found) - 1, file), strlen(text));
    assert_string_equal(found, text);
    assert_int_equal(fclose(file), 0);
}

static unsigned count_files(void)
{
    char command[128];
    unsigned count = 0;
    FILE *list;

    (void)snprintf(command, sizeof(command), "ls -A '%s' | wc -l", folder);
    list = popen(command, "r");
    assert_non_null(list);
    assert_int_equal(fscanf(list, "%u", &count), 1);
    assert_int_equal(pclose(list), 0);
    return count;
}

static void fill(struct bc_cli_blob *blob, const char *text)
{
    assert_true(bc_cli_blob_alloc(blob, strlen(text)));
    memcpy(blob->addr, text, strlen(text));
}

static void a_file_is_read_whole(void **state)
{
    struct bc_cli_source source;
    struct bc_cli_blob blob;

    (void)state;
    put("a", "twelve bytes");
    assert_true(bc_cli_source_open(&source, path_of("a")));
    assert_true(bc_cli_source_read(&source, &blob));
    assert_int_equal(blob.len, 12);
    assert_memory_equal(blob.addr, "twelve bytes", 12);
    bc_cli_blob_free(&blob);
    bc_cli_source_close(&source);
}

static void an_empty_file_has_memory_too(void **state)
{
    struct bc_cli_source source;
    struct bc_cli_blob blob;

    (void)state;
    put("empty", "");
    assert_true(bc_cli_source_open(&source, path_of("empty")));
    assert_true(bc_cli_source_read(&source, &blob));
    assert_int_equal(blob.len, 0);
    assert_non_null(blob.addr);
    bc_cli_blob_free(&blob);
    bc_cli_source_close(&source);
}

/* A pipe has no length: the memory grows with what comes. */
static void a_pipe_is_read_to_its_end(void **state)
{
    static const char command[] = "head -c 3000000 /dev/zero";
    FILE *pipe = popen(command, "r");
    struct bc_cli_source source = {.path = "pipe", .len = -1};
    struct bc_cli_blob blob;

    (void)state;
    assert_non_null(pipe);
    source.fd = fileno(pipe);
    assert_true(bc_cli_source_read(&source, &blob));
    assert_int_equal(blob.len, 3000000);
    bc_cli_blob_free(&blob);
    assert_int_equal(pclose(pipe), 0);
}

static void a_file_that_changes_is_refused(void **state)
{
    struct bc_cli_source source;
    struct bc_cli_blob blob;

    (void)state;
    put("grows", "short");
    assert_true(bc_cli_source_open(&source, path_of("grows")));
    put("grows", "longer than before");
    assert_false(bc_cli_source_read(&source, &blob));
    bc_cli_source_close(&source);
    assert_true(bc_cli_source_open(&source, path_of("grows")));
    put("grows", "less");
    assert_false(bc_cli_source_read(&source, &blob));
    bc_cli_source_close(&source);
}

static void what_is_too_large_is_not_read(void **state)
{
    struct bc_cli_source source;

    (void)state;
    put("large", "");
    assert_int_equal(truncate(path_of("large"), (off_t)BC_CLIENT_OBJECT_SIZE_MAX + 1), 0);
    assert_false(bc_cli_source_open(&source, path_of("large")));
    assert_false(bc_cli_source_open(&source, path_of("missing")));
}

static void the_commit_makes_a_file_appear(void **state)
{
    struct bc_cli_sink sink;
    struct bc_cli_blob blob;

    (void)state;
    put("old", "old");
    fill(&blob, "new contents");
    assert_true(bc_cli_sink_open(&sink, path_of("old")));
    assert_true(bc_cli_sink_write(&sink, &blob));
    expect("old", "old");
    assert_true(bc_cli_sink_commit(&sink));
    bc_cli_sink_close(&sink);
    expect("old", "new contents");
    assert_int_equal(count_files(), 1);
    bc_cli_blob_free(&blob);
}

static void without_a_commit_nothing_is_left(void **state)
{
    struct bc_cli_sink sink;
    struct bc_cli_blob blob;

    (void)state;
    fill(&blob, "lost");
    assert_true(bc_cli_sink_open(&sink, path_of("new")));
    assert_true(bc_cli_sink_write(&sink, &blob));
    bc_cli_sink_close(&sink);
    assert_int_equal(count_files(), 0);
    bc_cli_blob_free(&blob);
}

static void a_link_stays_a_link(void **state)
{
    struct bc_cli_sink sink;
    struct bc_cli_blob blob;
    struct stat status;

    (void)state;
    put("target", "old");
    assert_int_equal(symlink("target", path_of("link")), 0);
    fill(&blob, "through the link");
    assert_true(bc_cli_sink_open(&sink, path_of("link")));
    assert_true(bc_cli_sink_write(&sink, &blob));
    assert_true(bc_cli_sink_commit(&sink));
    bc_cli_sink_close(&sink);
    assert_int_equal(lstat(path_of("link"), &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    expect("target", "through the link");
    bc_cli_blob_free(&blob);
}

static void a_device_stays_a_device(void **state)
{
    struct bc_cli_sink sink;
    struct bc_cli_blob blob;
    struct stat status;

    (void)state;
    fill(&blob, "gone");
    assert_true(bc_cli_sink_open(&sink, "/dev/null"));
    assert_true(bc_cli_sink_write(&sink, &blob));
    assert_true(bc_cli_sink_commit(&sink));
    bc_cli_sink_close(&sink);
    assert_int_equal(stat("/dev/null", &status), 0);
    assert_true(S_ISCHR(status.st_mode));
    bc_cli_blob_free(&blob);
}

static void a_folder_that_is_missing_is_told_at_once(void **state)
{
    struct bc_cli_sink sink;

    (void)state;
    assert_false(bc_cli_sink_open(&sink, path_of("missing/file")));
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_file_is_read_whole),
        IN_FOLDER(an_empty_file_has_memory_too),
        IN_FOLDER(a_pipe_is_read_to_its_end),
        IN_FOLDER(a_file_that_changes_is_refused),
        IN_FOLDER(what_is_too_large_is_not_read),
        IN_FOLDER(the_commit_makes_a_file_appear),
        IN_FOLDER(without_a_commit_nothing_is_left),
        IN_FOLDER(a_link_stays_a_link),
        IN_FOLDER(a_device_stays_a_device),
        IN_FOLDER(a_folder_that_is_missing_is_told_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
