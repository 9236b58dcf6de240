/* SPDX-License-Identifier: Apache-2.0 */
/* faulty_backend.c - each operation gets an op of its own, which is what the real store sees; each handle
 * stands for a real one. */
#include "testlib/faulty_backend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "testlib/pause.h"

#define RETRY_NS BC_NS_PER_MS /* of a delayed call that the real store refuses */

struct bc_put {
    struct bc_faulty_backend *twin;
    struct bc_put *real;
};

struct bc_get {
    struct bc_faulty_backend *twin;
    struct bc_get *real;
};

/* One operation under way. Of a get_chunk it lives until the release. */
struct faulty_op {
    struct bc_faulty_backend *twin;
    enum bc_faulty_backend_kind kind;
    struct bc_fault_rule rule;
    void *outer;
    struct bc_put *put; /* the twin's handles */
    struct bc_get *get;
    union {
        struct bc_put_op put;
        struct bc_get_op get;
        struct bc_open_op open;
        struct bc_batch_op batch;
    } inner;
    int result;
    struct bc_timer timer;
    struct bc_pause pause;
};

static struct bc_faulty_backend *self_of(const struct bc_backend *backend)
{
    return BC_CONTAINER_OF(backend, struct bc_faulty_backend, backend);
}

/* Counts a call; what strikes it. */
static struct bc_fault_rule next(struct bc_faulty_backend *self, enum bc_faulty_backend_kind kind)
{
    const struct bc_fault_rule *found = bc_faults_next(&self->faults, (uint32_t)kind);
    struct bc_fault_rule rule = {.action = BC_FAULT_NONE};

    self->operations++;
    if (found != NULL) {
        rule = *found;
    }
    self->vanished = self->vanished || rule.action == BC_FAULT_VANISH;
    if (self->vanished) {
        rule.action = BC_FAULT_FAIL;
    }
    return rule;
}

static int error_of(const struct bc_fault_rule *rule)
{
    return rule->error != 0 ? rule->error : -EIO;
}

/* ---- ready ---- */

static void call_ready(struct bc_faulty_backend *self)
{
    if (self->backend.ready != NULL) {
        self->backend.ready(self->backend.ready_arg);
    }
}

static void ready_later(struct bc_task *task)
{
    call_ready(BC_CONTAINER_OF(task, struct bc_faulty_backend, ready_task));
}

static void ready_in_time(struct bc_timer *timer)
{
    call_ready(BC_CONTAINER_OF(timer, struct bc_faulty_backend, ready_timer));
}

static void real_ready(void *arg)
{
    call_ready(arg);
}

/* True: the call is answered -EAGAIN, and `ready` will come. */
static bool refused(struct bc_faulty_backend *self, const struct bc_fault_rule *rule)
{
    if (rule->action == BC_FAULT_DELAY) {
        bc_timer_start(self->loop, &self->ready_timer, rule->amount);
        return true;
    }
    if (rule->action == BC_FAULT_REFUSE && !bc_list_linked(&self->ready_task.node)) {
        bc_loop_defer(self->loop, &self->ready_task);
    }
    return rule->action == BC_FAULT_REFUSE;
}

/* ---- operations ---- */

static struct faulty_op *make_op(struct bc_faulty_backend *self, enum bc_faulty_backend_kind kind,
                                 const struct bc_fault_rule *rule, void *outer)
{
    struct faulty_op *op = calloc(1, sizeof(*op));

    BC_ASSERT(op != NULL);
    op->twin = self;
    op->kind = kind;
    op->rule = *rule;
    op->outer = outer;
    self->under_way++;
    return op;
}

static void tell_get(struct faulty_op *op, int result)
{
    struct bc_get_op *outer = op->outer;

    if (result == 0) {
        outer->data = op->inner.get.data;
        outer->len = op->inner.get.len;
        outer->internal[0] = op;
        op->twin->views_open++;
    } else {
        free(op);
    }
    outer->done(outer, result);
}

static void tell_open(struct faulty_op *op, int result)
{
    struct bc_open_op *outer = op->outer;
    struct bc_get *get;

    if (result == 0) {
        get = calloc(1, sizeof(*get));
        BC_ASSERT(get != NULL);
        *get = (struct bc_get){.twin = op->twin, .real = op->inner.open.get};
        op->twin->gets_open++;
        outer->get = get;
        outer->size = op->inner.open.size;
        outer->version = op->inner.open.version;
        memcpy(outer->meta, op->inner.open.meta, sizeof(outer->meta));
    }
    free(op);
    outer->done(outer, result);
}

/* The end of an operation, as its caller sees it. */
static void tell(struct faulty_op *op, int result)
{
    struct bc_put_op *put;
    struct bc_batch_op *batch;

    op->twin->under_way--;
    switch (op->kind) {
    case BC_FAULTY_PUT_CHUNK:
        put = op->outer;
        free(op);
        put->done(put, result);
        break;
    case BC_FAULTY_GET_CHUNK:
        tell_get(op, result);
        break;
    case BC_FAULTY_GET_OPEN:
        tell_open(op, result);
        break;
    default:
        batch = op->outer;
        free(op);
        batch->done(batch, result);
        break;
    }
}

static void tell_now(struct bc_pause *pause)
{
    struct faulty_op *op = BC_CONTAINER_OF(pause, struct faulty_op, pause);

    tell(op, op->result);
}

static void tell_later(struct faulty_op *op, int result, uint64_t turns)
{
    op->result = result;
    bc_pause_start(&op->pause, op->twin->loop, turns, tell_now);
}

/* The real store has ended it. */
static void ended(struct faulty_op *op, int result)
{
    const struct bc_fault_rule *rule = &op->rule;
    struct bc_staging *staging = op->twin->staging;
    uint8_t bit;

    if (rule->action == BC_FAULT_SHORT && result == 0 && op->kind != BC_FAULTY_GET_CHUNK) {
        if (op->kind == BC_FAULTY_GET_OPEN) {
            op->twin->real->ops->get_close(op->inner.open.get);
        }
        result = error_of(rule);
    }
    if (rule->action == BC_FAULT_CORRUPT && result == 0 && op->kind == BC_FAULTY_PUT_CHUNK &&
        staging != NULL && bc_staging_valid(staging, op->inner.put.extent.lease)) {
        (void)bc_faults_flip(&op->twin->faults, op->inner.put.extent.data, op->inner.put.extent.len,
                             &bit);
    }
    if (rule->action == BC_FAULT_REORDER) {
        tell_later(op, result, rule->amount);
        return;
    }
    tell(op, result);
}

static void put_ended(struct bc_put_op *inner, int result)
{
    ended(BC_CONTAINER_OF(inner, struct faulty_op, inner.put), result);
}

static void get_ended(struct bc_get_op *inner, int result)
{
    ended(BC_CONTAINER_OF(inner, struct faulty_op, inner.get), result);
}

static void open_ended(struct bc_open_op *inner, int result)
{
    ended(BC_CONTAINER_OF(inner, struct faulty_op, inner.open), result);
}

static void batch_ended(struct bc_batch_op *inner, int result)
{
    ended(BC_CONTAINER_OF(inner, struct faulty_op, inner.batch), result);
}

/* Gives a commit to the real store; its handle is the real one from here on. */
static void start_commit(struct faulty_op *op)
{
    struct bc_put *real = op->put->real;

    free(op->put);
    op->put = NULL;
    op->twin->real->ops->put_commit(real, &op->inner.batch);
}

/* 0, or the real get_chunk's own refusal. */
static int start(struct faulty_op *op)
{
    struct bc_backend *real = op->twin->real;
    int rc = 0;

    switch (op->kind) {
    case BC_FAULTY_PUT_CHUNK:
        real->ops->put_chunk(op->put->real, &op->inner.put);
        break;
    case BC_FAULTY_PUT_COMMIT:
        start_commit(op);
        break;
    case BC_FAULTY_GET_OPEN:
        real->ops->get_open(real, &op->inner.open);
        break;
    case BC_FAULTY_GET_CHUNK:
        rc = real->ops->get_chunk(op->get->real, &op->inner.get);
        break;
    case BC_FAULTY_QUERY:
        real->ops->query(real, &op->inner.batch);
        break;
    case BC_FAULTY_REMOVE:
        real->ops->remove(real, &op->inner.batch);
        break;
    default:
        real->ops->flush(real, &op->inner.batch);
        break;
    }
    return rc;
}

static void delay_over(struct bc_timer *timer)
{
    struct faulty_op *op = BC_CONTAINER_OF(timer, struct faulty_op, timer);
    int rc = start(op);

    if (rc == -EAGAIN) {
        bc_timer_start(op->twin->loop, timer, RETRY_NS);
    } else if (rc != 0) {
        tell(op, rc);
    }
}

/* Begins an operation that cannot be refused, unless a rule says that it fails: what it holds is
 * given back then. */
static int begin(struct faulty_op *op)
{
    const struct bc_backend_ops *ops = op->twin->real->ops;

    if (op->rule.action == BC_FAULT_FAIL) {
        if (op->kind == BC_FAULTY_PUT_CHUNK) {
            ops->put_unlease(op->put->real, &op->inner.put.extent);
        } else if (op->kind == BC_FAULTY_PUT_COMMIT) {
            ops->put_abort(op->put->real);
            free(op->put);
        }
        tell_later(op, error_of(&op->rule), 1);
        return 0;
    }
    if (op->rule.action == BC_FAULT_DELAY) {
        bc_timer_init(&op->timer, delay_over);
        bc_timer_start(op->twin->loop, &op->timer, op->rule.amount);
        return 0;
    }
    return start(op);
}

static void begin_sure(struct faulty_op *op)
{
    int rc = begin(op);

    BC_ASSERT(rc == 0);
}

static uint32_t cut(uint32_t len, uint64_t amount)
{
    uint64_t most = bc_max_u64(bc_align_down_u64(amount, BC_CRC_BLOCK_SIZE), BC_CRC_BLOCK_SIZE);

    return (uint32_t)bc_min_u64(len, most);
}

/* ---- the table ---- */

static void faulty_caps(const struct bc_backend *backend, struct bc_backend_caps *caps_out)
{
    const struct bc_backend *real = self_of(backend)->real;

    real->ops->caps(real, caps_out);
}

static int faulty_put_begin(struct bc_backend *backend, const struct bc_object_key *key,
                            uint64_t size, const struct bc_put_hints *hints,
                            struct bc_put **put_out)
{
    struct bc_faulty_backend *self = self_of(backend);
    struct bc_fault_rule rule = next(self, BC_FAULTY_PUT_BEGIN);
    struct bc_put *put;
    int rc;

    if (refused(self, &rule)) {
        return -EAGAIN;
    }
    if (rule.action == BC_FAULT_FAIL) {
        return error_of(&rule);
    }
    put = calloc(1, sizeof(*put));
    BC_ASSERT(put != NULL);
    put->twin = self;
    rc = self->real->ops->put_begin(self->real, key, size, hints, &put->real);
    if (rc != 0) {
        free(put);
        return rc;
    }
    self->puts_open++;
    *put_out = put;
    return 0;
}

static int faulty_put_lease(struct bc_put *put, uint64_t offset, uint32_t want_len,
                            struct bc_extent *extent_out)
{
    struct bc_faulty_backend *self = put->twin;
    struct bc_fault_rule rule = next(self, BC_FAULTY_PUT_LEASE);
    int rc;

    if (refused(self, &rule)) {
        return -EAGAIN;
    }
    if (rule.action == BC_FAULT_FAIL) {
        return error_of(&rule);
    }
    if (rule.action == BC_FAULT_SHORT) {
        want_len = cut(want_len, rule.amount);
    }
    rc = self->real->ops->put_lease(put->real, offset, want_len, extent_out);
    self->leases_open += rc == 0;
    return rc;
}

static void faulty_put_unlease(struct bc_put *put, const struct bc_extent *extent)
{
    put->twin->leases_open--;
    put->twin->real->ops->put_unlease(put->real, extent);
}

static void faulty_put_chunk(struct bc_put *put, struct bc_put_op *outer)
{
    struct bc_faulty_backend *self = put->twin;
    struct bc_fault_rule rule = next(self, BC_FAULTY_PUT_CHUNK);
    struct faulty_op *op = make_op(self, BC_FAULTY_PUT_CHUNK, &rule, outer);

    self->leases_open--;
    op->put = put;
    op->inner.put = (struct bc_put_op){
        .extent = outer->extent, .offset = outer->offset, .crc = outer->crc, .done = put_ended};
    begin_sure(op);
}

static void faulty_put_commit(struct bc_put *put, struct bc_batch_op *outer)
{
    struct bc_faulty_backend *self = put->twin;
    struct bc_fault_rule rule = next(self, BC_FAULTY_PUT_COMMIT);
    struct faulty_op *op = make_op(self, BC_FAULTY_PUT_COMMIT, &rule, outer);

    self->puts_open--;
    op->put = put;
    op->inner.batch = (struct bc_batch_op){.done = batch_ended};
    begin_sure(op);
}

static void faulty_put_abort(struct bc_put *put)
{
    put->twin->puts_open--;
    put->twin->real->ops->put_abort(put->real);
    free(put);
}

static void faulty_get_open(struct bc_backend *backend, struct bc_open_op *outer)
{
    struct bc_faulty_backend *self = self_of(backend);
    struct bc_fault_rule rule = next(self, BC_FAULTY_GET_OPEN);
    struct faulty_op *op;

    if (rule.action == BC_FAULT_REFUSE) {
        rule.action = BC_FAULT_FAIL;
        rule.error = -EAGAIN;
    }
    op = make_op(self, BC_FAULTY_GET_OPEN, &rule, outer);
    op->inner.open = (struct bc_open_op){.key = outer->key, .done = open_ended};
    begin_sure(op);
}

static int faulty_get_chunk(struct bc_get *get, struct bc_get_op *outer)
{
    struct bc_faulty_backend *self = get->twin;
    struct bc_fault_rule rule = next(self, BC_FAULTY_GET_CHUNK);
    struct faulty_op *op;
    int rc;

    if (rule.action == BC_FAULT_REFUSE) {
        (void)refused(self, &rule);
        return -EAGAIN;
    }
    op = make_op(self, BC_FAULTY_GET_CHUNK, &rule, outer);
    op->get = get;
    op->inner.get =
        (struct bc_get_op){.offset = outer->offset, .len = outer->len, .done = get_ended};
    if (rule.action == BC_FAULT_SHORT) {
        op->inner.get.len = cut(outer->len, rule.amount);
    }
    rc = begin(op);
    if (rc != 0) {
        self->under_way--;
        free(op);
    }
    return rc;
}

static void faulty_get_release(struct bc_get *get, struct bc_get_op *outer)
{
    struct faulty_op *op = outer->internal[0];

    get->twin->views_open--;
    get->twin->real->ops->get_release(get->real, &op->inner.get);
    free(op);
}

static void faulty_get_close(struct bc_get *get)
{
    get->twin->gets_open--;
    get->twin->real->ops->get_close(get->real);
    free(get);
}

static void batch(struct bc_backend *backend, struct bc_batch_op *outer,
                  enum bc_faulty_backend_kind kind)
{
    struct bc_faulty_backend *self = self_of(backend);
    struct bc_fault_rule rule = next(self, kind);
    struct faulty_op *op = make_op(self, kind, &rule, outer);

    op->inner.batch = (struct bc_batch_op){
        .keys = outer->keys, .results = outer->results, .count = outer->count, .done = batch_ended};
    begin_sure(op);
}

static void faulty_query(struct bc_backend *backend, struct bc_batch_op *op)
{
    batch(backend, op, BC_FAULTY_QUERY);
}

static void faulty_remove(struct bc_backend *backend, struct bc_batch_op *op)
{
    batch(backend, op, BC_FAULTY_REMOVE);
}

static void faulty_iterate(struct bc_backend *backend, uint64_t *cursor, uint32_t count,
                           bc_iterate_fn visit, void *arg, struct bc_batch_op *op)
{
    struct bc_backend *real = self_of(backend)->real;

    real->ops->iterate(real, cursor, count, visit, arg, op);
}

static void faulty_group_drop(struct bc_backend *backend, uint64_t name, uint64_t time)
{
    struct bc_backend *real = self_of(backend)->real;

    real->ops->group_drop(real, name, time);
}

static void faulty_group_told(struct bc_backend *backend, struct bc_group_drop *drop)
{
    struct bc_backend *real = self_of(backend)->real;

    real->ops->group_told(real, drop);
}

static void real_group_dropped(void *arg, struct bc_group_drop *drop)
{
    struct bc_faulty_backend *self = arg;

    if (self->backend.group_dropped != NULL) {
        self->backend.group_dropped(self->backend.group_arg, drop);
    } else {
        self->real->ops->group_told(self->real, drop);
    }
}

static void faulty_flush(struct bc_backend *backend, struct bc_batch_op *op)
{
    batch(backend, op, BC_FAULTY_FLUSH);
}

static void faulty_stop(struct bc_backend *backend, struct bc_batch_op *op)
{
    struct bc_backend *real = self_of(backend)->real;

    real->ops->stop(real, op);
}

static void faulty_destroy(struct bc_backend *backend)
{
    struct bc_faulty_backend *self = self_of(backend);

    bc_loop_undefer(self->loop, &self->ready_task);
    bc_timer_stop(self->loop, &self->ready_timer);
    self->real->ops->destroy(self->real);
}

static const struct bc_backend_ops faulty_ops = {
    .name = "faulty",
    .caps = faulty_caps,
    .put_begin = faulty_put_begin,
    .put_lease = faulty_put_lease,
    .put_unlease = faulty_put_unlease,
    .put_chunk = faulty_put_chunk,
    .put_commit = faulty_put_commit,
    .put_abort = faulty_put_abort,
    .get_open = faulty_get_open,
    .get_chunk = faulty_get_chunk,
    .get_release = faulty_get_release,
    .get_close = faulty_get_close,
    .query = faulty_query,
    .remove = faulty_remove,
    .iterate = faulty_iterate,
    .group_drop = faulty_group_drop,
    .group_told = faulty_group_told,
    .flush = faulty_flush,
    .stop = faulty_stop,
    .destroy = faulty_destroy,
};

void bc_faulty_backend_init(struct bc_faulty_backend *backend, struct bc_backend *real,
                            struct bc_loop *loop, struct bc_staging *staging, uint64_t seed)
{
    *backend = (struct bc_faulty_backend){
        .backend = {.ops = &faulty_ops}, .real = real, .loop = loop, .staging = staging};
    bc_faults_init(&backend->faults, seed);
    backend->ready_task.run = ready_later;
    bc_timer_init(&backend->ready_timer, ready_in_time);
    real->ready = real_ready;
    real->ready_arg = backend;
    real->group_dropped = real_group_dropped;
    real->group_arg = backend;
}
