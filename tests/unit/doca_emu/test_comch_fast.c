/* SPDX-License-Identifier: Apache-2.0 */
/* test_comch_fast.c - Comch's data path: there is none here, and its calls say so. */
#include "comch_side.h"

#include <doca_comch_consumer.h>
#include <doca_comch_producer.h>

static void data_path_is_not_supported(void **state)
{
    struct side server;
    struct side client;
    struct doca_comch_consumer *consumer = NULL;
    struct doca_comch_producer *producer = NULL;
    uint32_t value = 0;
    uint8_t byte = 0;
    (void)state;
    side_make_server(&server, "fast");
    side_make_client(&client, "fast");
    sides_connect(&server, &client);
    const struct doca_devinfo *info = doca_dev_as_devinfo(client.dev);
    struct doca_mmap *mmap = make_mmap(client.dev, &byte, 1, DOCA_ACCESS_FLAG_PCI_READ_WRITE);
    assert_doca(doca_comch_consumer_cap_is_supported(info), DOCA_ERROR_NOT_SUPPORTED);
    assert_doca(doca_comch_producer_cap_is_supported(info), DOCA_ERROR_NOT_SUPPORTED);
    assert_doca(doca_comch_consumer_cap_get_max_buf_size(info, &value), DOCA_ERROR_NOT_SUPPORTED);
    assert_doca(doca_comch_producer_cap_get_max_num_tasks(info, &value), DOCA_ERROR_NOT_SUPPORTED);
    assert_doca(doca_comch_consumer_cap_get_max_consumers(NULL, &value), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_comch_consumer_create(side_peer(&client), mmap, &consumer),
                DOCA_ERROR_NOT_SUPPORTED);
    assert_doca(doca_comch_producer_create(side_peer(&client), &producer),
                DOCA_ERROR_NOT_SUPPORTED);
    assert_null(consumer);
    assert_null(producer);
    assert_ok(doca_mmap_destroy(mmap));
    side_end(&client, &server);
    side_end(&server, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(data_path_is_not_supported)};
    side_world();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
