/* SPDX-License-Identifier: Apache-2.0 */
/* scenario.c - see scenario.h.
 *
 * Memory of the client: [sources | sink]. The sources hold the contents of all versions, one after another,
 * and never change; a pull goes to the sink, each key to a slot of its own. */
#include "scenario.h"

#include "versions.h"

#define SOURCE_AT  UINT64_C(0)
#define SINK_AT    (UINT64_C(4) << 20)
#define REGION_LEN (UINT64_C(4) << 20)
#define SLOT_LEN   (UINT64_C(512) << 10)
#define GUARD_LEN  UINT64_C(64)
#define EMPTY_BYTE 0xEE
#define LEFT_BYTE  0xAA
#define ABSENT     1u
#define KEY_SPLIT  3u /* pulls read the first third of an object and the rest as two entries */
#define RANGES_MAX 24u

enum { SOURCE = 0, SINK = 1, REGIONS = 2 };

static const char *const keys[SCENARIO_KEYS] = {"k0", "k1", "k2", "k3", "k4", "k5"};

static const uint8_t *content(const struct scenario *scenario, uint32_t version)
{
    return scenario->world->memory + SOURCE_AT + versions_source(version);
}

void scenario_init(struct scenario *scenario, struct world *world)
{
    memset(scenario, 0, sizeof(*scenario));
    scenario->world = world;
    for (uint32_t i = 0; i < SCENARIO_KEYS; i++) {
        scenario->possible[i] = ABSENT;
    }
    versions_fill(world->memory + SOURCE_AT, REGION_LEN);
}

/* ---- what faults explain -------------------------------------------------------------------- */

/* What fails its check, or cannot be read, is dropped: such a key may be absent from then on. */
static bool may_drop(const struct scenario *scenario)
{
    const struct world *world = scenario->world;

    return scenario->dropped || world_struck(world, TWIN_BACKEND, BC_FAULT_CORRUPT) > 0 ||
           world_struck(world, TWIN_FILES, BC_FAULT_CORRUPT) > 0 ||
           world_struck(world, TWIN_FILES, BC_FAULT_FAIL) > 0 ||
           world_struck(world, TWIN_FILES, BC_FAULT_SHORT) > 0 ||
           world_struck(world, TWIN_FILES, BC_FAULT_VANISH) > 0;
}

/* Where a disk failed more than once, one of the failures may have been the unlink of an object that was
 * dropped: it is a miss from then on, to a removal too, but back after a restart. */
static bool may_come_back(const struct scenario *scenario)
{
    const struct world *world = scenario->world;

    return world_struck(world, TWIN_FILES, BC_FAULT_VANISH) > 0 ||
           world_struck(world, TWIN_FILES, BC_FAULT_FAIL) +
                   world_struck(world, TWIN_FILES, BC_FAULT_SHORT) >
               1;
}

/* Bits that may be wrong in what is pulled: those that the engine itself got wrong, between the check
 * and the client's memory or before the checksum was made. Nobody can notice these. */
static uint64_t bits_allowed(const struct scenario *scenario)
{
    return scenario->wrong_bits + world_struck(scenario->world, TWIN_DMA, BC_FAULT_CORRUPT);
}

static void failed(struct scenario *scenario, uint32_t status, const char *what, uint32_t key)
{
    scenario->failures++;
    if (world_struck_any(scenario->world) == 0) {
        world_fail("%s of %s ends in status %u without a fault", what, keys[key], status);
    }
    if (status == BC_STATUS_INTERNAL || status >= BC_STATUS_COUNT) {
        world_fail("%s of %s ends in status %u", what, keys[key], status);
    }
}

/* ---- push ----------------------------------------------------------------------------------- */

struct push {
    uint32_t versions[SCENARIO_KEYS];
    uint32_t count;
    uint32_t id;
    uint32_t first[SCENARIO_KEYS]; /* entry of each; it has two when the object is large */
};

static void push_begin(struct scenario *scenario, struct client *client, struct push *push)
{
    struct client_range ranges[RANGES_MAX];
    uint32_t count = 0;

    for (uint32_t i = 0; i < push->count; i++) {
        const struct version *version = &versions[push->versions[i]];
        uint64_t cut = version->size > 100001 ? 100001 : version->size;
        struct client_range range = {.memory = SOURCE,
                                     .memory_offset = versions_source(push->versions[i]),
                                     .key = keys[version->key],
                                     .object_size = version->size,
                                     .len = cut};

        push->first[i] = count;
        ranges[count++] = range;
        if (cut < version->size) {
            range.memory_offset += cut;
            range.object_offset = cut;
            range.len = version->size - cut;
            ranges[count++] = range;
        }
        scenario->possible[version->key] |= 1u << push->versions[i];
    }
    push->id = client_transfer(client, BC_TRANSFER_PUSH, ranges, count);
}

/* False: the connection is lost. */
static bool push_end(struct scenario *scenario, struct client *client, struct push *push)
{
    const struct reply *reply = &client->replies[push->id];

    if (!client_wait(client, push->id)) {
        return false;
    }
    for (uint32_t i = 0; i < push->count; i++) {
        uint32_t key = versions[push->versions[i]].key;
        uint32_t status = reply->statuses[push->first[i]];

        if (status == BC_STATUS_OK) {
            scenario->possible[key] = 1u << push->versions[i];
        } else if (status != BC_STATUS_CANCELLED) {
            failed(scenario, status, "a push", key);
        }
        if (may_drop(scenario)) {
            scenario->possible[key] |= ABSENT;
        }
    }
    return true;
}

static bool push(struct scenario *scenario, struct client *client, const uint32_t *pushed,
                 uint32_t count)
{
    struct push push = {.count = count};

    memcpy(push.versions, pushed, count * sizeof(*pushed));
    push_begin(scenario, client, &push);
    return push_end(scenario, client, &push);
}

/* ---- pull ----------------------------------------------------------------------------------- */

struct pull {
    uint32_t keys[SCENARIO_KEYS];
    uint64_t sizes[SCENARIO_KEYS];
    uint32_t count;
    uint32_t id;
    uint32_t allowed[SCENARIO_KEYS]; /* when it began; by place in keys */
};

static uint8_t *slot_of(const struct scenario *scenario, uint32_t key)
{
    return scenario->world->memory + SINK_AT + key * SLOT_LEN;
}

/* The size that the newest version has which the key may hold. */
static uint64_t likely_size(const struct scenario *scenario, uint32_t key)
{
    uint32_t possible = scenario->possible[key];

    return possible == 0 ? 0 : versions[31 - (uint32_t)__builtin_clz(possible)].size;
}

static void pull_begin(struct scenario *scenario, struct client *client, struct pull *pull)
{
    struct client_range ranges[RANGES_MAX];
    uint32_t count = 0;

    for (uint32_t i = 0; i < pull->count; i++) {
        uint32_t key = pull->keys[i];
        uint64_t cut = pull->sizes[i] / KEY_SPLIT;
        struct client_range range = {
            .memory = SINK, .memory_offset = key * SLOT_LEN, .key = keys[key], .len = cut};

        memset(slot_of(scenario, key), EMPTY_BYTE, pull->sizes[i] + GUARD_LEN);
        ranges[count++] = range;
        range.memory_offset += cut;
        range.object_offset = cut;
        range.len = pull->sizes[i] - cut;
        ranges[count++] = range;
        pull->allowed[i] = scenario->possible[key];
    }
    pull->id = client_transfer(client, BC_TRANSFER_PULL, ranges, count);
}

static uint64_t bits_that_differ(const uint8_t *left, const uint8_t *right, uint64_t len)
{
    uint64_t bits = 0;

    if (memcmp(left, right, len) == 0) {
        return 0;
    }
    for (uint64_t i = 0; i < len; i++) {
        bits += (uint64_t)__builtin_popcount(left[i] ^ right[i]);
    }
    return bits;
}

/* Which of the versions `allowed` the bytes [from, to) at the key's slot can be of. */
static uint32_t which(const struct scenario *scenario, uint32_t key, uint32_t allowed,
                      uint64_t from, uint64_t to)
{
    uint32_t found = 0;

    for (uint32_t v = 1; v < VERSIONS; v++) {
        if ((allowed >> v & 1u) != 0 && versions[v].size >= to &&
            bits_that_differ(slot_of(scenario, key) + from, content(scenario, v) + from,
                             to - from) <= bits_allowed(scenario)) {
            found |= 1u << v;
        }
    }
    return found;
}

static void check_guard(const struct scenario *scenario, uint32_t key, uint64_t size)
{
    const uint8_t *guard = slot_of(scenario, key) + size;

    for (uint64_t i = 0; i < GUARD_LEN; i++) {
        WORLD_CHECK_EQUAL(guard[i], EMPTY_BYTE);
    }
}

/* A miss, or a failure: what does it say of the key? */
static void pull_failed(struct scenario *scenario, uint32_t key, uint32_t allowed, uint32_t status)
{
    switch (status) {
    case BC_STATUS_NOT_FOUND:
        if ((allowed & ABSENT) == 0 && !may_drop(scenario)) {
            world_fail("%s is gone", keys[key]);
        }
        scenario->failures += (allowed & ABSENT) == 0;
        break;
    case BC_STATUS_CHECKSUM:
        if (!may_drop(scenario)) {
            world_fail("%s fails its check, and nothing was changed", keys[key]);
        }
        failed(scenario, status, "a pull", key);
        break;
    case BC_STATUS_RANGE: /* a smaller version was read than was thought to be there */
        WORLD_CHECK((allowed & (allowed - 1)) != 0);
        break;
    default:
        failed(scenario, status, "a pull", key);
        break;
    }
    if (may_drop(scenario)) {
        scenario->possible[key] |= ABSENT;
    }
}

/* settled: no push of the key is under way, so that what was seen stays. */
static void pull_check(struct scenario *scenario, const struct pull *pull, uint32_t i,
                       const uint32_t *statuses, bool settled)
{
    uint32_t key = pull->keys[i];
    uint32_t allowed = pull->allowed[i] | scenario->possible[key];
    uint64_t cut = pull->sizes[i] / KEY_SPLIT;
    uint64_t ends[] = {0, cut, pull->sizes[i]};
    uint32_t seen = allowed;
    bool any = false;

    check_guard(scenario, key, pull->sizes[i]);
    for (uint32_t part = 0; part < 2; part++) {
        if (statuses[part] != BC_STATUS_OK) {
            pull_failed(scenario, key, allowed, statuses[part]);
            continue;
        }
        any = true;
        seen &= which(scenario, key, allowed, ends[part], ends[part + 1]);
        if (seen == 0) {
            world_fail("%s: bytes %llu to %llu are of no version that it may hold (0x%x)",
                       keys[key], (unsigned long long)ends[part],
                       (unsigned long long)ends[part + 1], allowed);
        }
    }
    if (any && settled) {
        scenario->possible[key] = seen | (may_drop(scenario) ? ABSENT : 0);
    }
}

static bool pull_end(struct scenario *scenario, struct client *client, const struct pull *pull,
                     bool settled)
{
    const struct reply *reply = &client->replies[pull->id];

    if (!client_wait(client, pull->id)) {
        return false;
    }
    for (uint32_t i = 0; i < pull->count; i++) {
        pull_check(scenario, pull, i, &reply->statuses[(size_t)2 * i], settled);
    }
    return true;
}

static bool pull_all(struct scenario *scenario, struct client *client)
{
    struct pull pull = {.count = SCENARIO_KEYS};

    for (uint32_t i = 0; i < SCENARIO_KEYS; i++) {
        pull.keys[i] = i;
        pull.sizes[i] = likely_size(scenario, i);
    }
    pull_begin(scenario, client, &pull);
    return pull_end(scenario, client, &pull, true);
}

/* ---- query, remove -------------------------------------------------------------------------- */

static void query_check(struct scenario *scenario, uint32_t key, uint32_t status, uint64_t size)
{
    uint32_t possible = scenario->possible[key];
    bool found = false;

    if (status == BC_STATUS_NOT_FOUND) {
        if ((possible & ABSENT) == 0 && !may_drop(scenario)) {
            world_fail("%s is not listed", keys[key]);
        }
        return;
    }
    if (status != BC_STATUS_OK) {
        failed(scenario, status, "a query", key);
        return;
    }
    for (uint32_t v = 1; v < VERSIONS; v++) {
        found = found || ((possible >> v & 1u) != 0 && versions[v].size == size);
    }
    if (!found) {
        world_fail("%s is listed with %llu bytes", keys[key], (unsigned long long)size);
    }
}

static bool query_all(struct scenario *scenario, struct client *client, struct reply *reply_out)
{
    uint32_t id = client_keys(client, BC_MSG_QUERY, keys, SCENARIO_KEYS);

    if (!client_wait(client, id)) {
        return false;
    }
    *reply_out = client->replies[id];
    for (uint32_t i = 0; i < SCENARIO_KEYS; i++) {
        query_check(scenario, i, reply_out->statuses[i], reply_out->sizes[i]);
    }
    return true;
}

static bool remove_keys(struct scenario *scenario, struct client *client, uint32_t mask)
{
    const char *names[SCENARIO_KEYS];
    uint32_t places[SCENARIO_KEYS];
    uint32_t count = 0;
    uint32_t id;

    for (uint32_t i = 0; i < SCENARIO_KEYS; i++) {
        if ((mask >> i & 1u) != 0) {
            names[count] = keys[i];
            places[count++] = i;
        }
    }
    id = client_keys(client, BC_MSG_REMOVE, names, count);
    (void)client_wait(client, id);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t *possible = &scenario->possible[places[i]];
        uint32_t status = client->replies[id].statuses[i];

        if (client->replies[id].state != REPLY_GIVEN) {
            *possible |= ABSENT;
        } else if (status == BC_STATUS_OK || status == BC_STATUS_NOT_FOUND) {
            WORLD_CHECK(status == BC_STATUS_OK || (*possible & ABSENT) != 0 || may_drop(scenario));
            *possible = status == BC_STATUS_NOT_FOUND && may_come_back(scenario)
                            ? *possible | ABSENT
                            : ABSENT;
        } else {
            failed(scenario, status, "a removal", places[i]);
            *possible |= ABSENT;
        }
    }
    return client->replies[id].state == REPLY_GIVEN;
}

/* ---- the work ------------------------------------------------------------------------------- */

static bool begin(struct scenario *scenario, struct client *client)
{
    static const uint64_t offsets[REGIONS] = {SOURCE_AT, SINK_AT};
    uint32_t id;

    if (!client_greet(client)) {
        return false;
    }
    id = client_register(client, offsets, REGIONS, REGION_LEN);
    if (!client_wait(client, id)) {
        return false;
    }
    for (uint32_t i = 0; i < REGIONS; i++) {
        uint32_t status = client->replies[id].statuses[i];
        if (status != BC_STATUS_OK) {
            failed(scenario, status, "a registration", i);
            return false;
        }
    }
    return true;
}

/* After the answer the agent has let go of the memory. False: that was not said. */
static bool end(struct client *client)
{
    uint32_t id = client_unregister(client, REGIONS);

    if (!client_wait(client, id)) {
        return false;
    }
    client_goodbye(client);
    return client->replies[id].statuses[SINK] == BC_STATUS_OK;
}

static bool overwrite_while_reading(struct scenario *scenario, struct client *client)
{
    struct push push = {.versions = {6, 7}, .count = 2};
    struct pull pull = {.keys = {0, 4}, .count = 2};
    bool pulled;

    /* The smaller of the two sizes, so that either version has these bytes. */
    pull.sizes[0] = versions[6].size;
    pull.sizes[1] = likely_size(scenario, 4);
    push_begin(scenario, client, &push);
    pull_begin(scenario, client, &pull);
    pulled = pull_end(scenario, client, &pull, false);
    return push_end(scenario, client, &push) && pulled;
}

static bool push_and_cancel(struct scenario *scenario, struct client *client)
{
    struct push push = {.versions = {8}, .count = 1};

    push_begin(scenario, client, &push);
    client_cancel(client, push.id);
    return push_end(scenario, client, &push);
}

static bool work(struct scenario *scenario, struct client *client)
{
    static const uint32_t first[] = {1, 2, 3, 4, 5};
    static const uint32_t last[] = {9};
    struct reply reply;

    return begin(scenario, client) && push(scenario, client, first, BC_ARRAY_LEN(first)) &&
           pull_all(scenario, client) && query_all(scenario, client, &reply) &&
           overwrite_while_reading(scenario, client) && push_and_cancel(scenario, client) &&
           pull_all(scenario, client) && push(scenario, client, last, 1) &&
           remove_keys(scenario, client, 1u << 1 | 1u << 3 | 1u << 5) &&
           pull_all(scenario, client) && query_all(scenario, client, &reply);
}

static void check_untouched(const struct scenario *scenario)
{
    const uint8_t *sink = scenario->world->memory + SINK_AT;

    for (uint64_t i = 0; i < SCENARIO_KEYS * SLOT_LEN; i++) {
        if (sink[i] != LEFT_BYTE) {
            world_fail("byte %llu of the client's memory was written after it was given back",
                       (unsigned long long)i);
        }
    }
}

static void finish(struct scenario *scenario, struct client *client, bool greeted)
{
    bool given_back = greeted && client->fd >= 0 && end(client);

    if (given_back) {
        memset(scenario->world->memory + SINK_AT, LEFT_BYTE, SCENARIO_KEYS * SLOT_LEN);
    }
    client_close(client);
    world_heal(scenario->world);
    world_settle(scenario->world);
    if (given_back) {
        check_untouched(scenario);
    }
}

void scenario_run(struct scenario *scenario, bool may_fall_silent)
{
    struct client client;

    client_open(&client, scenario->world, may_fall_silent);
    scenario->cut_short = !work(scenario, &client);
    finish(scenario, &client, !scenario->cut_short);
}

/* ---- afterwards ----------------------------------------------------------------------------- */

/* What the store says it uses is what it does use. */
static void check_bytes(const struct scenario *scenario, bool stranded)
{
    const struct world *world = scenario->world;
    int64_t used = world_store_metric(world, "used_bytes");
    uint32_t objects;
    uint32_t temporary;
    uint64_t bytes = world_disk_bytes(world, &objects, &temporary);

    WORLD_CHECK(used <= world_store_metric(world, "capacity_bytes"));
    if (world->root[0] == '\0') {
        WORLD_CHECK_EQUAL(used, world_leased(world));
        return;
    }
    WORLD_CHECK_EQUAL(world_leased(world), 0);
    if (stranded) {
        WORLD_CHECK(used >= (int64_t)bytes);
        return;
    }
    WORLD_CHECK_EQUAL(used, bytes);
    WORLD_CHECK_EQUAL(temporary, 0);
    WORLD_CHECK_EQUAL(objects, world_store_metric(world, "objects"));
}

void scenario_carry(struct scenario *scenario)
{
    scenario->dropped = may_drop(scenario);
    scenario->wrong_bits = bits_allowed(scenario);
}

void scenario_verify(struct scenario *scenario, bool stranded)
{
    struct pull pull = {.count = SCENARIO_KEYS};
    struct client client;
    struct reply reply;

    client_open(&client, scenario->world, false);
    WORLD_CHECK(begin(scenario, &client));
    WORLD_CHECK(query_all(scenario, &client, &reply));
    for (uint32_t i = 0; i < SCENARIO_KEYS; i++) {
        pull.keys[i] = i;
        pull.sizes[i] = reply.statuses[i] == BC_STATUS_OK ? reply.sizes[i] : 0;
    }
    pull_begin(scenario, &client, &pull);
    WORLD_CHECK(pull_end(scenario, &client, &pull, true));
    finish(scenario, &client, true);
    check_bytes(scenario, stranded);
}

void scenario_clean(struct scenario *scenario)
{
    struct client client;

    client_open(&client, scenario->world, false);
    WORLD_CHECK(begin(scenario, &client));
    WORLD_CHECK(remove_keys(scenario, &client, (1u << SCENARIO_KEYS) - 1));
    finish(scenario, &client, true);
    WORLD_CHECK_EQUAL(world_store_metric(scenario->world, "objects"), 0);
    WORLD_CHECK_EQUAL(world_store_metric(scenario->world, "used_bytes"), 0);
    check_bytes(scenario, false);
}
