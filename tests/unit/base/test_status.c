/* SPDX-License-Identifier: Apache-2.0 */
/* Every status has words of its own, and every errno one status. */
#include "unit.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/status.h"

static void every_status_has_its_own_words(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < BC_STATUS_COUNT; i++) {
        const char *name = bc_status_name(i);
        const char *text = bc_status_text(i);

        assert_true(strlen(name) > 0 &&
                    strspn(name, "abcdefghijklmnopqrstuvwxyz_") == strlen(name));
        assert_string_not_equal(name, "unknown");
        assert_int_equal(text[strlen(text) - 1], '.');
        for (uint32_t j = 0; j < i; j++) {
            assert_string_not_equal(name, bc_status_name(j));
            assert_string_not_equal(text, bc_status_text(j));
        }
    }
    assert_string_equal(bc_status_name(BC_STATUS_NOT_FOUND), "not_found");
}

static void strange_status_is_unknown(void **state)
{
    (void)state;
    assert_string_equal(bc_status_name(BC_STATUS_COUNT), "unknown");
    assert_string_equal(bc_status_name(UINT32_MAX), "unknown");
    assert_true(strlen(bc_status_text(UINT32_MAX)) > 0);
}

static void errno_becomes_status(void **state)
{
    static const struct {
        int error;
        enum bc_status status;
    } pairs[] = {
        {0, BC_STATUS_OK},
        {-ENOENT, BC_STATUS_NOT_FOUND},
        {-EBADMSG, BC_STATUS_CHECKSUM},
        {-ENOSPC, BC_STATUS_NO_SPACE},
        {-EDQUOT, BC_STATUS_NO_SPACE},
        {-ERANGE, BC_STATUS_RANGE},
        {-ENAMETOOLONG, BC_STATUS_KEY_TOO_LONG},
        {-EFBIG, BC_STATUS_TOO_BIG},
        {-ENOMEM, BC_STATUS_NO_MEMORY},
        {-ECANCELED, BC_STATUS_CANCELLED},
        {-ETIMEDOUT, BC_STATUS_TIMED_OUT},
        {-EINVAL, BC_STATUS_INVALID},
        {-EBUSY, BC_STATUS_BUSY},
        {-EAGAIN, BC_STATUS_BUSY},
        {-EACCES, BC_STATUS_DENIED},
        {-EPERM, BC_STATUS_DENIED},
        {-EOPNOTSUPP, BC_STATUS_NOT_SUPPORTED},
        {-ESHUTDOWN, BC_STATUS_SHUTTING_DOWN},
        {-EREMOTEIO, BC_STATUS_DMA_ERROR},
        {-EIO, BC_STATUS_IO_ERROR},
        {-EROFS, BC_STATUS_IO_ERROR},
        {ENOENT, BC_STATUS_IO_ERROR}, /* positive: not an error code of this project */
        {INT_MIN, BC_STATUS_IO_ERROR},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        assert_int_equal(bc_status_from_errno(pairs[i].error), pairs[i].status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_own_words),
        cmocka_unit_test(strange_status_is_unknown),
        cmocka_unit_test(errno_becomes_status),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
