/* SPDX-License-Identifier: Apache-2.0 */
/* test_text.c - error names, and the log. */
#include "fixture.h"

#include <doca_log.h>
#include <doca_version.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

DOCA_LOG_REGISTER(TEST_TEXT);

static void names_are_those_of_the_codes(void **state)
{
    (void)state;
    assert_string_equal(doca_error_get_name(DOCA_SUCCESS), "DOCA_SUCCESS");
    assert_string_equal(doca_error_get_name(DOCA_ERROR_IO_FAILED), "DOCA_ERROR_IO_FAILED");
    assert_int_equal(DOCA_ERROR_CONNECTION_INPROGRESS, 13);
    assert_int_equal(DOCA_ERROR_IN_PROGRESS, 26);
    for (int i = 0; i <= DOCA_ERROR_SKIPPED; i++) {
        assert_non_null(doca_error_get_descr((doca_error_t)i));
        assert_memory_equal(doca_error_get_name((doca_error_t)i), "DOCA_", 5);
    }
}

static void unknown_code_has_a_name(void **state)
{
    (void)state;
    assert_non_null(doca_error_get_name((doca_error_t)1000));
    assert_non_null(doca_error_get_descr((doca_error_t)-1));
}

static void propagate_keeps_the_first_error(void **state)
{
    (void)state;
    doca_error_t result = DOCA_SUCCESS;
    DOCA_ERROR_PROPAGATE(result, DOCA_SUCCESS);
    DOCA_ERROR_PROPAGATE(result, DOCA_ERROR_IN_USE);
    DOCA_ERROR_PROPAGATE(result, DOCA_ERROR_AGAIN);
    assert_doca(result, DOCA_ERROR_IN_USE);
    assert_true(DOCA_IS_ERROR(DOCA_ERROR_IN_PROGRESS));
}

static void version_is_that_of_the_shape(void **state)
{
    (void)state;
#ifdef DOCA_EMU_API_2_7
    assert_string_equal(doca_version(), "2.7.0085");
    assert_true(DOCA_VERSION_EQ_CURRENT(2, 7, 85));
    assert_false(DOCA_VERSION_LTE_CURRENT(3, 0, 0));
#else
    assert_string_equal(doca_version(), "3.0.0058");
    assert_true(DOCA_VERSION_EQ_CURRENT(3, 0, 58));
    assert_false(DOCA_VERSION_LTE_CURRENT(3, 1, 0));
#endif
    assert_true(DOCA_VERSION_LTE_CURRENT(2, 7, 0));
    assert_string_equal(doca_version(), doca_version_runtime());
}

static void device_open_says_once_that_this_is_an_emulation(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    struct doca_log_backend *backend = NULL;
    assert_non_null(file);
    assert_ok(doca_log_backend_create_with_file_sdk(file, &backend));
    struct doca_dev *first = open_device(HOST_PCI);
    struct doca_dev *second = open_device(DPU_PCI);
    fflush(file);
    const char *line = strstr(text, "software emulation");
    assert_non_null(line);
    assert_null(strstr(line + 1, "software emulation"));
    assert_ok(doca_log_backend_set_sdk_level(backend, DOCA_LOG_LEVEL_DISABLE));
    assert_ok(doca_dev_close(first));
    assert_ok(doca_dev_close(second));
    fclose(file);
    free(text);
}

static void messages_pass_by_level(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    struct doca_log_backend *backend = NULL;
    assert_ok(doca_log_backend_create_with_file(file, &backend));
    assert_doca(doca_log_backend_set_sdk_level(backend, DOCA_LOG_LEVEL_INFO),
                DOCA_ERROR_INVALID_VALUE);
    DOCA_LOG_INFO("one %d", 1);
    DOCA_LOG_DBG("two");
    assert_ok(doca_log_level_set_global_lower_limit(DOCA_LOG_LEVEL_DEBUG));
    DOCA_LOG_DBG("three");
    assert_ok(doca_log_backend_set_level_lower_limit(backend, DOCA_LOG_LEVEL_ERROR));
    DOCA_LOG_WARN("four");
    DOCA_LOG_ERR("five");
    assert_doca(doca_log_level_set_global_lower_limit(5), DOCA_ERROR_INVALID_VALUE);
    fflush(file);
    assert_non_null(strstr(text, "[TEST_TEXT]"));
    assert_non_null(strstr(text, "one 1\n"));
    assert_null(strstr(text, "two"));
    assert_non_null(strstr(text, "three"));
    assert_null(strstr(text, "four"));
    assert_non_null(strstr(text, "five"));
    assert_ok(doca_log_backend_set_level_lower_limit(backend, DOCA_LOG_LEVEL_DISABLE));
    fclose(file);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_those_of_the_codes),
        cmocka_unit_test(unknown_code_has_a_name),
        cmocka_unit_test(propagate_keeps_the_first_error),
        cmocka_unit_test(version_is_that_of_the_shape),
        cmocka_unit_test(device_open_says_once_that_this_is_an_emulation),
        cmocka_unit_test(messages_pass_by_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
