/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_text.c - the small parsers of text: addresses, numbers, sizes, times, names of files.
 *
 *   input: [ which ][ text ]
 */
#include "fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/posix_format.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/options.h"
#include "channel/address.h"

static void parse_address(const char *text)
{
    struct bc_address address;
    int rc = bc_address_parse(text, &address);

    BC_ASSERT(rc == 0 || rc == -EINVAL);
    BC_ASSERT(rc != 0 || memchr(address.host, '\0', sizeof(address.host)) != NULL);
    BC_ASSERT(rc != 0 || address.host[0] != '\0');
}

static void parse_numbers(const char *text)
{
    uint64_t value;
    int rc = bc_parse_u64(text, &value);

    BC_ASSERT(rc == 0 || rc == -EINVAL || rc == -ERANGE);
    rc = bc_parse_size(text, 1024 * 1024, &value);
    BC_ASSERT(rc == 0 || rc == -EINVAL || rc == -ERANGE);
    rc = bc_parse_duration_ms(text, &value);
    BC_ASSERT(rc == 0 || rc == -EINVAL || rc == -ERANGE);
}

/* A name that parses is the name that its hash makes. */
static void parse_file_name(const char *text)
{
    struct bc_hash128 hash;
    char path[BC_POSIX_PATH_LEN];

    if (bc_posix_name_parse(text, &hash)) {
        bc_posix_path(hash, path);
        BC_ASSERT(strcmp(strrchr(path, '/') + 1, text) == 0);
    }
}

static void print_key(const uint8_t *data, size_t len)
{
    char out[64];
    enum bc_log_level level;
    char *text = fuzz_text(data, len);

    for (size_t room = 1; room <= sizeof(out); room += 7) {
        BC_ASSERT(strlen(bc_log_key(out, room, data, len)) < room);
    }
    (void)!bc_log_level_parse(text, &level);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    size_t text_len = len > 0 ? len - 1 : 0;
    char *text = fuzz_text(data + 1, text_len);

    switch (len > 0 ? data[0] % 4 : 0) {
    case 0:
        parse_address(text);
        break;
    case 1:
        parse_numbers(text);
        break;
    case 2:
        parse_file_name(text);
        break;
    default:
        print_key((const uint8_t *)text, text_len);
        break;
    }
    free(text);
    return 0;
}
