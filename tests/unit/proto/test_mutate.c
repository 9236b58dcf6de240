/* SPDX-License-Identifier: Apache-2.0 */
/* test_mutate.c - every decoder against bodies that are cut, extended, mutated or random. Bodies
 * are copied to allocations of their exact size, so that a sanitizer sees a read past the end. */
#include "proto_test.h"

#include <stdlib.h>

#include "samples.h"

#define SAMPLES_PER_TYPE    40
#define MUTATIONS           60
#define RANDOM_BODIES       400
#define RANDOM_BODY_LEN_MAX 200

static size_t encode(struct seeded *seeded, unsigned type, uint8_t *data)
{
    struct bc_writer writer;
    size_t len = 0;

    bc_writer_init(&writer, data, SAMPLE_LEN_MAX);
    assert_int_equal(sample_encode(seeded, (uint8_t)type, &writer), 0);
    assert_int_equal(bc_writer_finish(&writer, &len), 0);
    return len;
}

static int decode_copy(unsigned type, const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    uint64_t sum;
    int rc;

    assert_non_null(copy);
    memcpy(copy, data, len);
    rc = walk_decode((uint8_t)type, copy, len, &sum);
    free(copy);
    if (rc != 0 && rc != -EBADMSG && rc != -E2BIG) {
        fail_msg("%s of %zu bytes: %d", bc_message_type_name((uint8_t)type), len, rc);
    }
    return rc;
}

static bool body_is_free(unsigned type)
{
    return type == BC_MSG_PING || type == BC_MSG_PONG || type == BC_MSG_ERROR;
}

static void decoders_take_what_encoders_write(void **state)
{
    struct seeded seeded = seeded_start(__func__);
    uint8_t data[SAMPLE_LEN_MAX];

    (void)state;
    for (unsigned type = 1; type < BC_MSG_TYPE_COUNT; type++) {
        for (int i = 0; i < SAMPLES_PER_TYPE; i++) {
            size_t len = encode(&seeded, type, data);

            assert_int_equal(decode_copy(type, data, len), 0);
        }
    }
}

static void decoders_refuse_a_body_cut_or_extended(void **state)
{
    struct seeded seeded = seeded_start(__func__);
    uint8_t data[SAMPLE_LEN_MAX + 1];

    (void)state;
    for (unsigned type = 1; type < BC_MSG_TYPE_COUNT; type++) {
        size_t len = encode(&seeded, type, data);

        data[len] = 0;
        if (body_is_free(type)) {
            continue;
        }
        assert_int_not_equal(decode_copy(type, data, len + 1), 0);
        for (size_t cut = 0; cut < len; cut++) {
            assert_int_not_equal(decode_copy(type, data, cut), 0);
        }
    }
}

static void encoders_refuse_a_buffer_too_small(void **state)
{
    struct seeded seeded = seeded_start(__func__);
    uint8_t data[SAMPLE_LEN_MAX];

    (void)state;
    for (unsigned type = 1; type < BC_MSG_TYPE_COUNT; type++) {
        struct seeded before = seeded;
        size_t len = encode(&seeded, type, data);

        for (size_t room = 0; room < len; room++) {
            struct seeded again = before;
            struct bc_writer writer;
            uint8_t *small = malloc(room > 0 ? room : 1);

            assert_non_null(small);
            bc_writer_init(&writer, small, room);
            assert_int_equal(sample_encode(&again, (uint8_t)type, &writer), -EMSGSIZE);
            assert_true(writer.failed);
            free(small);
        }
    }
}

/* One to four changes: a bit, a byte, an extreme value in a field, a cut, a repeated piece. */
static size_t mutate(struct seeded *seeded, uint8_t *data, size_t len)
{
    static const uint32_t extremes[] = {0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFF, 0x10000, UINT32_MAX};
    uint64_t changes = 1 + seeded_below(seeded, 4);

    for (uint64_t i = 0; i < changes && len > 4; i++) {
        size_t at = seeded_below(seeded, len - 3);
        uint32_t value = extremes[seeded_below(seeded, BC_ARRAY_LEN(extremes))];

        switch (seeded_below(seeded, 6)) {
        case 0:
            data[at] ^= (uint8_t)(1u << seeded_below(seeded, 8));
            break;
        case 1:
            data[at] = (uint8_t)seeded_next(seeded);
            break;
        case 2:
            memcpy(data + at, &value, 4);
            break;
        case 3:
            memcpy(data + at, &value, 2);
            break;
        case 4:
            len = at + 1;
            break;
        default:
            memmove(data + at, data + seeded_below(seeded, len - 3), 4);
            break;
        }
    }
    return len;
}

static void decoders_survive_mutations(void **state)
{
    struct seeded seeded = seeded_start(__func__);
    uint8_t data[SAMPLE_LEN_MAX];
    uint8_t changed[SAMPLE_LEN_MAX];
    uint64_t refused = 0;

    (void)state;
    for (unsigned type = 1; type < BC_MSG_TYPE_COUNT; type++) {
        for (int i = 0; i < SAMPLES_PER_TYPE; i++) {
            size_t len = encode(&seeded, type, data);

            for (int j = 0; j < MUTATIONS; j++) {
                memcpy(changed, data, len);
                if (decode_copy(type, changed, mutate(&seeded, changed, len)) != 0) {
                    refused++;
                }
            }
        }
    }
    assert_true(refused > 0);
}

static void decoders_survive_random_bytes(void **state)
{
    struct seeded seeded = seeded_start(__func__);
    uint8_t data[RANDOM_BODY_LEN_MAX];

    (void)state;
    for (unsigned type = 1; type < BC_MSG_TYPE_COUNT; type++) {
        for (int i = 0; i < RANDOM_BODIES; i++) {
            size_t len = seeded_below(&seeded, sizeof(data));

            seeded_fill(&seeded, data, len);
            (void)decode_copy(type, data, len);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoders_take_what_encoders_write),
        cmocka_unit_test(decoders_refuse_a_body_cut_or_extended),
        cmocka_unit_test(encoders_refuse_a_buffer_too_small),
        cmocka_unit_test(decoders_survive_mutations),
        cmocka_unit_test(decoders_survive_random_bytes),
    };

    return cmocka_run_group_tests_name("proto_mutate", tests, NULL, NULL);
}
