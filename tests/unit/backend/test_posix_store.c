/* SPDX-License-Identifier: Apache-2.0 */
/* test_posix_store.c - a directory becomes a store, is recognised, refused, recovered. */
#include "bed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/posix_format.h"
#include "testlib/quiet_log.h"

static struct bed_options posix_options(uint32_t workers)
{
    return (struct bed_options){.backend = "posix", .workers = workers};
}

static void path_in(const struct bed *bed, char *path, size_t len, const char *name)
{
    (void)snprintf(path, len, "%s/%s", bed->root, name);
}

static void write_file(const struct bed *bed, const char *name, const void *data, size_t len)
{
    char path[512];
    int fd;

    path_in(bed, path, sizeof(path), name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    assert_int_equal(close(fd), 0);
}

static bool exists(const struct bed *bed, const char *name)
{
    char path[512];

    path_in(bed, path, sizeof(path), name);
    return access(path, F_OK) == 0;
}

static void flip(const struct bed *bed, const char *name, off_t at)
{
    char path[512];
    uint8_t byte;
    int fd;

    path_in(bed, path, sizeof(path), name);
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    at = at < 0 ? lseek(fd, 0, SEEK_END) + at : at;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    assert_int_equal(close(fd), 0);
}

static void cut(const struct bed *bed, const char *name, off_t len)
{
    char path[512];

    path_in(bed, path, sizeof(path), name);
    assert_int_equal(truncate(path, len), 0);
}

static const char *file_of(const struct bc_object_key *key)
{
    static char path[BC_POSIX_PATH_LEN];

    bc_posix_path(key->hash, path);
    return path;
}

/* Opens the store alone and gives the sentence. */
static int open_store(const struct bed *bed, bool format, struct bc_options_error *error)
{
    void *store = NULL;
    int rc = bc_backend_posix.open_store(bed->root, format, 1, error, &store);

    if (rc == 0) {
        bc_backend_posix.close_store(store);
    }
    return rc;
}

static void an_empty_directory_is_formatted(void **state)
{
    struct bed_options options = posix_options(1);
    struct bc_options_error error;
    struct stat info;
    char path[512];
    struct bed bed;

    (void)state;
    bed_make(&bed, &options);
    assert_int_equal(open_store(&bed, false, &error), 0);
    assert_true(exists(&bed, "bluecache.store"));
    assert_true(exists(&bed, "LOCK"));
    assert_true(exists(&bed, "objects/0/0"));
    assert_true(exists(&bed, "objects/f/f"));
    path_in(&bed, path, sizeof(path), "tmp");
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_int_equal(open_store(&bed, false, &error), 0);
    bed_destroy(&bed);
    /* One that is missing is made. */
    assert_int_equal(open_store(&bed, false, &error), 0);
    bed_destroy(&bed);
}

static void a_directory_of_others_is_left_alone(void **state)
{
    struct bed_options options = posix_options(1);
    struct bc_options_error error;
    struct bed bed;

    (void)state;
    bed_make(&bed, &options);
    write_file(&bed, "holiday.jpg", "x", 1);
    assert_int_equal(open_store(&bed, false, &error), -ENOTEMPTY);
    assert_non_null(strstr(error.text, "--format"));
    assert_false(exists(&bed, "LOCK"));
    assert_false(exists(&bed, "objects"));
    assert_int_equal(open_store(&bed, true, &error), 0);
    assert_true(exists(&bed, "holiday.jpg"));
    assert_int_equal(open_store(&bed, false, &error), 0);
    bed_destroy(&bed);
}

static void files_with_our_names_that_are_not_ours_are_refused(void **state)
{
    struct bed_options options = posix_options(1);
    struct bc_options_error error;
    struct bed bed;

    (void)state;
    bed_make(&bed, &options);
    write_file(&bed, "bluecache.store", "my shop", 7);
    assert_int_equal(open_store(&bed, false, &error), -EINVAL);
    assert_int_equal(open_store(&bed, true, &error), -EINVAL);
    assert_non_null(strstr(error.text, "somebody else"));
    bed_destroy(&bed);
    bed_make(&bed, &options);
    write_file(&bed, "LOCK", "4711\n", 5);
    assert_int_equal(open_store(&bed, false, &error), -ENOTEMPTY);
    assert_int_equal(open_store(&bed, true, &error), -EINVAL);
    bed_destroy(&bed);
}

static void an_interrupted_format_is_taken_up(void **state)
{
    struct bed_options options = posix_options(1);
    struct bc_options_error error;
    char path[512];
    struct bed bed;

    (void)state;
    bed_make(&bed, &options);
    assert_int_equal(open_store(&bed, false, &error), 0);
    path_in(&bed, path, sizeof(path), "bluecache.store");
    assert_int_equal(unlink(path), 0);
    write_file(&bed, "bluecache.store.new", "half", 4);
    path_in(&bed, path, sizeof(path), "objects/3/3");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(open_store(&bed, false, &error), 0);
    assert_true(exists(&bed, "objects/3/3"));
    bed_destroy(&bed);
}

/* Killed, or without power, before it could write into the lock that it had made. */
static void a_format_that_ended_at_its_lock_is_taken_up(void **state)
{
    static const uint8_t zeros[16];
    struct bed_options options = posix_options(1);
    struct bc_options_error error;
    struct bed bed;

    (void)state;
    for (size_t len = 0; len <= sizeof(zeros); len += sizeof(zeros)) {
        bed_make(&bed, &options);
        write_file(&bed, "LOCK", zeros, len);
        assert_int_equal(open_store(&bed, false, &error), 0);
        assert_true(exists(&bed, "bluecache.store"));
        bed_destroy(&bed);
    }
}

static void other_versions_and_damage_are_told(void **state)
{
    struct bed_options options = posix_options(1);
    struct bc_posix_store_record record;
    uint8_t uuid[BC_POSIX_UUID_LEN] = {0};
    struct bc_options_error error;
    struct bed bed;

    (void)state;
    bed_make(&bed, &options);
    assert_int_equal(open_store(&bed, false, &error), 0);
    bc_posix_store_encode(&record, 64, uuid, 1);
    record.version = 9;
    write_file(&bed, "bluecache.store", &record, sizeof(record));
    assert_int_equal(open_store(&bed, false, &error), -EINVAL);
    assert_non_null(strstr(error.text, "version 9"));
    bc_posix_store_encode(&record, 32, uuid, 1);
    write_file(&bed, "bluecache.store", &record, sizeof(record));
    assert_int_equal(open_store(&bed, false, &error), -EINVAL);
    assert_non_null(strstr(error.text, "32 partitions"));
    bc_posix_store_encode(&record, 64, uuid, 1);
    record.created_s++;
    write_file(&bed, "bluecache.store", &record, sizeof(record));
    assert_int_equal(open_store(&bed, false, &error), -EBADMSG);
    assert_non_null(strstr(error.text, "damaged"));
    assert_int_equal(open_store(&bed, true, &error), 0);
    assert_int_equal(open_store(&bed, false, &error), 0);
    bed_destroy(&bed);
}

static void a_second_agent_is_refused_by_name(void **state)
{
    struct bed_options options = posix_options(1);
    struct bc_options_error error;
    char pid[32];
    struct bed bed;
    int status = 0;
    pid_t child;

    (void)state;
    bed_start(&bed, &options);
    (void)snprintf(pid, sizeof(pid), "pid %ld", (long)getpid());
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int rc = open_store(&bed, false, &error);

        _exit(rc == -EWOULDBLOCK && strstr(error.text, pid) != NULL ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    bed_end(&bed);
}

static void changed_files_are_never_shown(void **state)
{
    static const struct {
        uint64_t size;
        off_t at; /* from the end when negative */
    } flips[] = {{5000, 0},
                 {5000, 4999},
                 {5000, -4096},
                 {5000, -2900},
                 {5000, -1},
                 {3 * 1048576, 100},
                 {3 * 1048576, 3 * 1048576 - 1},
                 {3 * 1048576, -100},
                 {50 * 1048576, -4097},
                 {50 * 1048576, -8192},
                 {0, -4000}};
    struct bed_options options = posix_options(1);
    struct bc_object_key key = bed_key("k");
    struct bed bed;

    (void)state;
    options.capacity = 64 * BED_MIB;
    bed_start(&bed, &options);
    for (size_t i = 0; i < BC_ARRAY_LEN(flips); i++) {
        uint32_t objects;
        uint32_t temporary;
        int rc;

        assert_int_equal(bed_put(&bed, &key, flips[i].size, i), 0);
        flip(&bed, file_of(&key), flips[i].at);
        rc = bed_get(&bed, &key, flips[i].size, i);
        assert_int_equal(rc, -EBADMSG);
        assert_int_equal(bed_get(&bed, &key, flips[i].size, i), -ENOENT);
        bed_settle(&bed);
        assert_int_equal(bed_metric(&bed, "checksum_errors_total"), i + 1);
        assert_int_equal(bed_metric(&bed, "used_bytes"), 0);
        assert_int_equal(bed_disk_bytes(&bed, &objects, &temporary), 0);
        assert_int_equal(bed_leased(&bed), 0);
    }
    bed_end(&bed);
}

/* Padding carries nothing: what happens to it is of no interest. */
static void padding_is_of_no_interest(void **state)
{
    struct bed_options options = posix_options(1);
    struct bc_object_key key = bed_key("k");
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    assert_int_equal(bed_put(&bed, &key, 5000, 1), 0);
    flip(&bed, file_of(&key), 5001);
    assert_int_equal(bed_get(&bed, &key, 5000, 1), 0);
    bed_end(&bed);
}

static void short_and_missing_files_are_misses(void **state)
{
    static const off_t lens[] = {0, 1, 4096, 100000, 1048576};
    struct bed_options options = posix_options(1);
    struct bc_object_key key = bed_key("k");
    char path[512];
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    for (size_t i = 0; i < BC_ARRAY_LEN(lens); i++) {
        assert_int_equal(bed_put(&bed, &key, BED_MIB, i), 0);
        cut(&bed, file_of(&key), lens[i]);
        assert_int_equal(bed_get(&bed, &key, BED_MIB, i), -EBADMSG);
        assert_int_equal(bed_get(&bed, &key, BED_MIB, i), -ENOENT);
    }
    /* Restarted, so that no descriptor is kept open. */
    assert_int_equal(bed_put(&bed, &key, BED_MIB, 1), 0);
    bed_close(&bed);
    bed_open(&bed);
    path_in(&bed, path, sizeof(path), file_of(&key));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(bed_get(&bed, &key, BED_MIB, 1), -ENOENT);
    assert_false(bed_has(&bed, &key));
    bed_settle(&bed);
    assert_int_equal(bed_metric(&bed, "used_bytes"), 0);
    bed_end(&bed);
}

/* A file of another object in its place, valid in itself. */
static void exchanged_files_are_noticed(void **state)
{
    struct bed_options options = posix_options(1);
    struct bc_object_key one = bed_key("one");
    char from[512];
    char to[512];
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    assert_int_equal(bed_put(&bed, &one, 5000, 1), 0);
    path_in(&bed, from, sizeof(from), file_of(&one));
    path_in(&bed, to, sizeof(to), "kept");
    assert_int_equal(link(from, to), 0);
    assert_int_equal(bed_put(&bed, &one, 5000, 2), 0);
    bed_close(&bed);
    /* Same key, same size, older version: it must not come back under the new one's name. */
    bed_open(&bed);
    assert_int_equal(rename(to, from), 0);
    assert_int_equal(bed_get(&bed, &one, 5000, 2), -EBADMSG);
    assert_int_equal(bed_get(&bed, &one, 5000, 2), -ENOENT);
    bed_end(&bed);
}

static void recovery_drops_what_is_torn_and_leaves_others_alone(void **state)
{
    struct bed_options options = posix_options(2);
    struct bc_object_key good = bed_key("good");
    struct bc_object_key torn = bed_key("torn");
    struct bc_object_key empty = bed_key("empty");
    struct bc_object_key rotten = bed_key("rotten");
    char torn_path[BC_POSIX_PATH_LEN];
    char foreign[64];
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    assert_int_equal(bed_put(&bed, &good, 100000, 1), 0);
    assert_int_equal(bed_put(&bed, &torn, 100000, 2), 0);
    assert_int_equal(bed_put(&bed, &empty, 100000, 3), 0);
    assert_int_equal(bed_put(&bed, &rotten, 100000, 4), 0);
    bed_close(&bed);
    cut(&bed, file_of(&torn), 50 * 1024);
    bc_posix_path(torn.hash, torn_path);
    cut(&bed, file_of(&empty), 0);
    flip(&bed, file_of(&rotten), -3000);
    write_file(&bed, "tmp/w0-17", "x", 1);
    write_file(&bed, "tmp/w1-4", "x", 1);
    write_file(&bed, "tmp/notes.txt", "x", 1);
    write_file(&bed, "tmp/w1-", "x", 1);
    write_file(&bed, "objects/0/0/README", "x", 1);
    /* The name of an object in a directory where it has no business. */
    (void)snprintf(foreign, sizeof(foreign), "objects/0/0/f%s", torn_path + 13);
    write_file(&bed, foreign, "x", 1);
    bed_open(&bed);
    assert_int_equal(bed_get(&bed, &good, 100000, 1), 0);
    assert_false(bed_has(&bed, &torn));
    assert_false(bed_has(&bed, &empty));
    assert_false(bed_has(&bed, &rotten));
    assert_false(exists(&bed, torn_path));
    assert_false(exists(&bed, "tmp/w0-17"));
    assert_false(exists(&bed, "tmp/w1-4"));
    assert_true(exists(&bed, "tmp/notes.txt"));
    assert_true(exists(&bed, "tmp/w1-"));
    assert_true(exists(&bed, "objects/0/0/README"));
    assert_true(exists(&bed, foreign));
    assert_int_equal(bed_metric(&bed, "objects"), 1);
    assert_int_equal(bed_metric(&bed, "used_bytes"), bc_posix_file_len(100000));
    bed_end(&bed);
}

static void objects_of_a_store_formatted_over_are_dropped(void **state)
{
    struct bed_options options = posix_options(1);
    struct bc_object_key key = bed_key("old");
    struct bc_options_error error;
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    assert_int_equal(bed_put(&bed, &key, 100000, 1), 0);
    bed_close(&bed);
    flip(&bed, "bluecache.store", 100);
    assert_int_equal(bed_try_open(&bed, &error), -EBADMSG);
    assert_int_equal(open_store(&bed, true, &error), 0);
    bed_open(&bed);
    assert_false(bed_has(&bed, &key));
    assert_false(exists(&bed, file_of(&key)));
    bed_end(&bed);
}

static struct bc_object_key numbered(char *text, size_t len, uint32_t number)
{
    (void)snprintf(text, len, "key/%u", number);
    return bed_key(text);
}

static void eviction_goes_on_by_age_after_a_restart(void **state)
{
    struct bed_options options = posix_options(1);
    struct bc_object_key key;
    char text[32];
    struct bed bed;

    (void)state;
    options.capacity = 8 * BED_MIB;
    bed_start(&bed, &options);
    for (uint32_t i = 0; i < 7; i++) {
        key = numbered(text, sizeof(text), i);
        assert_int_equal(bed_put(&bed, &key, BED_MIB, i), 0);
    }
    bed_close(&bed);
    bed_open(&bed);
    for (uint32_t i = 7; i < 9; i++) {
        key = numbered(text, sizeof(text), i);
        assert_int_equal(bed_put(&bed, &key, BED_MIB, i), 0);
    }
    for (uint32_t i = 0; i < 9; i++) {
        key = numbered(text, sizeof(text), i);
        assert_int_equal(bed_get(&bed, &key, BED_MIB, i), i < 2 ? -ENOENT : 0);
    }
    bed_close(&bed);
    /* A smaller capacity holds from the start. */
    bed.options.capacity = 4 * BED_MIB;
    bed_open(&bed);
    assert_int_equal(bed_metric(&bed, "objects"), 3);
    assert_true(bed_metric(&bed, "used_bytes") <= (int64_t)(4 * BED_MIB));
    for (uint32_t i = 6; i < 9; i++) {
        key = numbered(text, sizeof(text), i);
        assert_int_equal(bed_get(&bed, &key, BED_MIB, i), 0);
    }
    bed_end(&bed);
}

static void any_number_of_workers_takes_any_store(void **state)
{
    struct bed_options options = posix_options(1);
    char text[32];
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    for (uint32_t i = 0; i < 200; i++) {
        struct bc_object_key key = numbered(text, sizeof(text), i);

        assert_int_equal(bed_put(&bed, &key, i * 10, i), 0);
    }
    for (uint32_t workers = 2; workers > 0; workers--) {
        bed_close(&bed);
        bed.options.workers = workers;
        bed_open(&bed);
        assert_int_equal(bed_count(&bed, 1000), 200);
        for (uint32_t i = 0; i < 200; i++) {
            struct bc_object_key key = numbered(text, sizeof(text), i);

            assert_int_equal(bed_get(&bed, &key, i * 10, i), 0);
        }
    }
    bed_end(&bed);
}

static bool opened;
static bool committed;

static void commit_done(struct bc_batch_op *op, int result)
{
    (void)op;
    assert_int_equal(result, 0);
    committed = true;
}

static void open_done(struct bc_open_op *op, int result)
{
    (void)op;
    assert_int_equal(result, 0);
    opened = true;
}

/* The reader comes while the rename is under way: its own descriptor and the writer's meet. */
static void a_file_read_as_soon_as_it_is_published_goes_when_removed(void **state)
{
    struct bed_options options = posix_options(1);
    struct bc_object_key key = bed_key("key");
    struct bed_put put = {.size = 0};
    struct bc_open_op open_op = {.key = key, .done = open_done};
    struct bc_batch_op commit = {.done = commit_done};
    struct bc_backend *backend;
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    assert_int_equal(bed_put(&bed, &key, 5000, 1), 0);
    bed_close(&bed);
    bed_open(&bed); /* no descriptor of the old one is open */
    backend = bed.workers[0].backend;
    assert_int_equal(bed_put_begin(&bed, &put, &key, 70000, 2), 0);
    assert_int_equal(bed_put_rest(&bed, &put), 0);
    opened = committed = false;
    backend->ops->put_commit(put.put, &commit);
    backend->ops->get_open(backend, &open_op);
    bed_wait(&bed, &committed);
    bed_wait(&bed, &opened);
    assert_int_equal(open_op.size, 70000);
    backend->ops->get_close(open_op.get);
    assert_int_equal(bed_remove(&bed, &key), 0);
    bed_settle(&bed);
    assert_int_equal(bed_metric(&bed, "used_bytes"), 0);
    bed_end(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_directory_is_formatted),
        cmocka_unit_test(a_directory_of_others_is_left_alone),
        cmocka_unit_test(files_with_our_names_that_are_not_ours_are_refused),
        cmocka_unit_test(an_interrupted_format_is_taken_up),
        cmocka_unit_test(a_format_that_ended_at_its_lock_is_taken_up),
        cmocka_unit_test(other_versions_and_damage_are_told),
        cmocka_unit_test(a_second_agent_is_refused_by_name),
        cmocka_unit_test(changed_files_are_never_shown),
        cmocka_unit_test(padding_is_of_no_interest),
        cmocka_unit_test(short_and_missing_files_are_misses),
        cmocka_unit_test(exchanged_files_are_noticed),
        cmocka_unit_test(recovery_drops_what_is_torn_and_leaves_others_alone),
        cmocka_unit_test(objects_of_a_store_formatted_over_are_dropped),
        cmocka_unit_test(eviction_goes_on_by_age_after_a_restart),
        cmocka_unit_test(any_number_of_workers_takes_any_store),
        cmocka_unit_test(a_file_read_as_soon_as_it_is_published_goes_when_removed),
    };

    bc_log_set_sink(bc_quiet_log, NULL); /* errors are what is asked for here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
