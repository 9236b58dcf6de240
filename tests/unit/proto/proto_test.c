/* SPDX-License-Identifier: Apache-2.0 */
/* proto_test.c - see proto_test.h. */
#include "proto_test.h"

#include <stdlib.h>

void assert_damage(const struct body *body, const struct damage *damage, size_t count,
                   int (*decode)(const void *data, size_t len))
{
    assert_int_equal(decode(body->data, body_len(body)), 0);
    for (size_t i = 0; i < count; i++) {
        uint8_t *copy = malloc(body_len(body));
        int rc;

        assert_non_null(copy);
        assert_true(damage[i].offset + damage[i].len <= body_len(body));
        memcpy(copy, body->data, body_len(body));
        memcpy(copy + damage[i].offset, &damage[i].value, damage[i].len);
        rc = decode(copy, body_len(body));
        if (rc != damage[i].error) {
            fail_msg("damage %zu at %zu: %d instead of %d", i, damage[i].offset, rc,
                     damage[i].error);
        }
        free(copy);
    }
}
