/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's format; in a program of its own, since the format is read once per process. */
#include "unit.h"

#include <stdlib.h>

#include "base/log.h"
#include "capture.h"

static void journal_gets_priorities_and_no_time(void **state)
{
    struct capture capture;
    char text[512];

    (void)state;
    assert_int_equal(setenv("BC_LOG_FORMAT", "journal", 1), 0);
    bc_log_set_level(BC_LOG_TRACE);
    assert_true(capture_start(&capture));
    BC_ERROR("posix", "e");
    BC_WARN("posix", "w");
    BC_INFO("posix", "i");
    BC_DBG("posix", "d");
    BC_TRACE("posix", "t");
    assert_true(capture_stop(&capture, text, sizeof(text)) > 0);
    assert_string_equal(text, "<3>ERROR posix  e\n<4>WARN  posix  w\n<6>INFO  posix  i\n"
                              "<7>DEBUG posix  d\n<7>TRACE posix  t\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(journal_gets_priorities_and_no_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
