/* SPDX-License-Identifier: Apache-2.0 */
/* power_files.c - the wrapped table of power_files.h, and what it remembers. What a cut leaves of it
 * is drawn in power_loss.c. */
#include "testlib/power_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct power_request {
    struct bc_file_req inner;
    struct bc_file_req *outer;
    struct bc_power *power;
    struct bc_loop *loop;
    struct power_file *file; /* opened, written, synced */
    struct power_write *write;
    struct power_name *changed[2]; /* by this request, or NULL */
    uint64_t value_number[2];
};

/* ---- names ---- */

static struct power_name *find_name(struct bc_power *power, const char *path)
{
    struct power_name *name = power->names;

    while (name != NULL && strcmp(name->path, path) != 0) {
        name = name->next;
    }
    return name;
}

struct power_name *bc_power_name(struct bc_power *power, const char *path)
{
    struct power_name *name = find_name(power, path);

    if (name == NULL) {
        name = calloc(1, sizeof(*name));
        BC_ASSERT(name != NULL && strlen(path) < sizeof(name->path));
        memcpy(name->path, path, strlen(path));
        name->values[name->count++] = (struct power_value){.file = NULL, .done = true};
        name->next = power->names;
        power->names = name;
    }
    return name;
}

/* What the name shows when everything that was begun has ended. */
static struct power_file *shows(struct bc_power *power, const char *path)
{
    struct power_name *name = find_name(power, path);

    return name == NULL ? NULL : name->values[name->count - 1].file;
}

static void drop_oldest(struct power_name *name, uint32_t count)
{
    name->count -= count;
    memmove(name->values, name->values + count, name->count * sizeof(name->values[0]));
}

uint64_t bc_power_change(struct bc_power *power, struct power_name *name, struct power_file *file,
                         bool done)
{
    if (name->count == POWER_VALUES_MAX) {
        /* Forgets one of the many that the name could go back to, not the flushed one. */
        name->count--;
        memmove(name->values + 1, name->values + 2, (name->count - 1) * sizeof(name->values[0]));
    }
    name->values[name->count++] =
        (struct power_value){.file = file, .number = ++power->number, .done = done};
    return power->number;
}

static void change(struct power_request *request, uint32_t which, const char *path,
                   struct power_file *file)
{
    struct power_name *name = bc_power_name(request->power, path);

    request->changed[which] = name;
    request->value_number[which] = bc_power_change(request->power, name, file, false);
}

/* The change took place, or it did not. */
static void settle(struct power_request *request, bool done)
{
    for (uint32_t which = 0; which < BC_ARRAY_LEN(request->changed); which++) {
        struct power_name *name = request->changed[which];

        for (uint32_t i = 1; name != NULL && i < name->count; i++) {
            if (name->values[i].number != request->value_number[which]) {
                continue;
            }
            if (done) {
                name->values[i].done = true;
            } else {
                name->count--;
                memmove(name->values + i, name->values + i + 1,
                        (name->count - i) * sizeof(name->values[0]));
            }
            break;
        }
    }
}

/* ---- files ---- */

struct power_file *bc_power_file(struct bc_power *power)
{
    struct power_file *file = calloc(1, sizeof(*file));

    BC_ASSERT(file != NULL);
    bc_list_init(&file->writes);
    file->next = power->files;
    power->files = file;
    return file;
}

static struct power_file *file_of(const struct bc_power *power, int fd)
{
    BC_ASSERT(fd >= 0 && (uint32_t)fd < BC_ARRAY_LEN(power->open));
    return power->open[fd];
}

static void remember_write(struct power_request *request)
{
    const struct bc_file_req *req = &request->inner;
    struct power_write *write = calloc(1, sizeof(*write));
    uint64_t at = 0;

    BC_ASSERT(write != NULL && request->file != NULL);
    for (uint32_t i = 0; i < req->iov_count; i++) {
        write->len += req->iov[i].iov_len;
    }
    write->data = malloc(write->len == 0 ? 1 : write->len);
    BC_ASSERT(write->data != NULL);
    for (uint32_t i = 0; i < req->iov_count; i++) {
        memcpy(write->data + at, req->iov[i].iov_base, req->iov[i].iov_len);
        at += req->iov[i].iov_len;
    }
    write->offset = req->offset;
    write->number = ++request->power->number;
    bc_list_push_back(&request->file->writes, &write->node);
    request->write = write;
}

void bc_power_apply(struct power_file *file, uint64_t offset, const uint8_t *data, uint64_t len)
{
    if (offset + len > file->len) {
        file->data = realloc(file->data, offset + len);
        BC_ASSERT(file->data != NULL);
        memset(file->data + file->len, 0, offset + len - file->len);
        file->len = offset + len;
    }
    memcpy(file->data + offset, data, len);
}

static void write_free(struct power_file *file, struct power_write *write)
{
    bc_list_remove(&file->writes, &write->node);
    free(write->data);
    free(write);
}

static void sync_file(struct power_file *file)
{
    struct bc_list_node *node = bc_list_first(&file->writes);

    while (node != NULL) {
        struct power_write *write = BC_CONTAINER_OF(node, struct power_write, node);

        node = bc_list_next(&file->writes, node);
        if (write->done) {
            bc_power_apply(file, write->offset, write->data, write->len);
            write_free(file, write);
        }
    }
}

void bc_power_file_free(struct power_file *file)
{
    struct bc_list_node *node;

    while ((node = bc_list_first(&file->writes)) != NULL) {
        write_free(file, BC_CONTAINER_OF(node, struct power_write, node));
    }
    free(file->image);
    free(file->data);
    free(file);
}

static void note_home(struct power_file *file, const struct power_name *name)
{
    BC_ASSERT(file != NULL);
    if (strncmp(name->path, "tmp/", 4) != 0) {
        file->moved = file->moved || (file->home != NULL && file->home != name);
        file->home = name;
    }
}

/* ---- requests ---- */

static void prepare(struct power_request *request)
{
    struct bc_power *power = request->power;
    const struct bc_file_req *req = &request->inner;

    switch (req->kind) {
    case BC_FILE_OPEN:
        BC_ASSERT((req->flags & O_TRUNC) == 0);
        request->file = shows(power, req->path);
        if ((req->flags & O_CREAT) != 0 && request->file == NULL) {
            request->file = bc_power_file(power);
            change(request, 0, req->path, request->file);
        }
        break;
    case BC_FILE_WRITE:
        request->file = file_of(power, req->fd);
        remember_write(request);
        break;
    case BC_FILE_SYNC:
        request->file = file_of(power, req->fd);
        break;
    case BC_FILE_RENAME:
        request->file = shows(power, req->path);
        change(request, 0, req->path2, request->file);
        change(request, 1, req->path, NULL);
        note_home(request->file, request->changed[0]);
        break;
    case BC_FILE_UNLINK:
        change(request, 0, req->path, NULL);
        break;
    case BC_FILE_CLOSE:
        power->open[req->fd] = NULL;
        break;
    default:
        break;
    }
}

static void note_end(struct power_request *request, int64_t result)
{
    struct bc_power *power = request->power;

    settle(request, result >= 0);
    if (request->inner.kind == BC_FILE_OPEN && result >= 0) {
        BC_ASSERT((uint64_t)result < BC_ARRAY_LEN(power->open));
        power->open[result] = request->file;
    } else if (request->inner.kind == BC_FILE_WRITE) {
        request->write->done = result >= 0;
    } else if (request->inner.kind == BC_FILE_SYNC && result == 0 && !power->failed) {
        sync_file(request->file);
    }
}

static void complete(struct power_request *request, int64_t result)
{
    struct bc_file_req *outer = request->outer;

    free(request);
    outer->result = result;
    outer->done(outer, result);
}

static void inner_done(struct bc_file_req *inner, int64_t result)
{
    struct power_request *request = BC_CONTAINER_OF(inner, struct power_request, inner);
    struct bc_power *power = request->power;

    (void)pthread_mutex_lock(&power->lock);
    note_end(request, result);
    power->under_way--;
    (void)pthread_mutex_unlock(&power->lock);
    complete(request, result);
}

static void fail_later(struct bc_task *task)
{
    complete(BC_CONTAINER_OF(task, struct power_request, inner.task), -EIO);
}

static void power_submit(struct bc_files *files, struct bc_file_req *req)
{
    struct power_worker *worker = BC_CONTAINER_OF(files, struct power_worker, files);
    struct bc_power *power = worker->power;
    struct power_request *request = calloc(1, sizeof(*request));
    bool failed;

    BC_ASSERT(request != NULL);
    request->inner = *req;
    request->inner.done = inner_done;
    request->outer = req;
    request->power = power;
    (void)pthread_mutex_lock(&power->lock);
    if (power->fail_in > 0 && --power->fail_in == 0) {
        power->failed = true;
    }
    /* Descriptors go back to the system even so. */
    failed = power->failed && req->kind != BC_FILE_CLOSE;
    if (!failed) {
        prepare(request);
        power->under_way++;
    }
    (void)pthread_mutex_unlock(&power->lock);
    if (failed) {
        request->inner.task = (struct bc_task){.run = fail_later};
        bc_loop_defer(worker->loop, &request->inner.task);
    } else {
        bc_file_submit(worker->real, &request->inner);
    }
}

/* ---- the table ---- */

struct bc_power *bc_power_create(const char *root, uint64_t seed)
{
    struct bc_power *power = calloc(1, sizeof(*power));

    BC_ASSERT(power != NULL && pthread_mutex_init(&power->lock, NULL) == 0);
    bc_faults_init(&power->random, seed);
    power->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    BC_ASSERT(power->root_fd >= 0);
    return power;
}

void bc_power_destroy(struct bc_power *power)
{
    if (power == NULL) {
        return;
    }
    bc_power_forget(power);
    (void)close(power->root_fd);
    (void)pthread_mutex_destroy(&power->lock);
    free(power);
}

struct bc_files *bc_power_wrap(struct bc_power *power, uint32_t worker, struct bc_loop *loop,
                               struct bc_files *real)
{
    BC_ASSERT(worker < BC_POWER_WORKERS_MAX);
    power->workers[worker] = (struct power_worker){
        .files = {.submit = power_submit}, .power = power, .loop = loop, .real = real};
    return &power->workers[worker].files;
}

void bc_power_fail_at(struct bc_power *power, uint64_t n)
{
    (void)pthread_mutex_lock(&power->lock);
    power->fail_in = n;
    (void)pthread_mutex_unlock(&power->lock);
}

void bc_power_fail(struct bc_power *power)
{
    (void)pthread_mutex_lock(&power->lock);
    power->failed = true;
    (void)pthread_mutex_unlock(&power->lock);
}

bool bc_power_failed(struct bc_power *power)
{
    bool failed;

    (void)pthread_mutex_lock(&power->lock);
    failed = power->failed;
    (void)pthread_mutex_unlock(&power->lock);
    return failed;
}

uint32_t bc_power_under_way(struct bc_power *power)
{
    uint32_t under_way;

    (void)pthread_mutex_lock(&power->lock);
    under_way = power->under_way;
    (void)pthread_mutex_unlock(&power->lock);
    return under_way;
}

/* Whatever the name had shown before what was done last cannot come back. */
static void flush_name(struct power_name *name)
{
    uint32_t last = 0;

    for (uint32_t i = 1; i < name->count; i++) {
        last = name->values[i].done ? i : last;
    }
    drop_oldest(name, last);
}

int bc_power_flush(struct bc_power *power)
{
    int rc = 0;

    (void)pthread_mutex_lock(&power->lock);
    if (power->failed) {
        rc = -EIO;
    } else {
        for (struct power_name *name = power->names; name != NULL; name = name->next) {
            flush_name(name);
        }
        for (struct power_file *file = power->files; file != NULL; file = file->next) {
            sync_file(file);
        }
    }
    (void)pthread_mutex_unlock(&power->lock);
    return rc;
}

void bc_power_opened(struct bc_power *power)
{
    for (struct power_name *name = power->names; name != NULL; name = name->next) {
        if (name->values[name->count - 1].file != NULL &&
            faccessat(power->root_fd, name->path, F_OK, AT_SYMLINK_NOFOLLOW) != 0) {
            (void)bc_power_change(power, name, NULL, true);
        }
    }
}

const char *bc_power_story(const struct bc_power *power)
{
    return power->story;
}
