/* SPDX-License-Identifier: Apache-2.0 */
/* keys.c - see keys.h. */
#include "keys.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    if (digit >= 'a' && digit <= 'f') {
        return digit - 'a' + 10;
    }
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

/* `bytes` has room for half of the digits. */
static int parse_hex(const char *command, const char *argument, uint8_t *bytes)
{
    size_t len = strlen(argument);

    if (len % 2 != 0) {
        return bc_cli_usage(command, "'%s' has an odd number of hex digits", argument);
    }
    for (size_t i = 0; i < len; i += 2) {
        int high = hex_digit(argument[i]);
        int low = hex_digit(argument[i + 1]);

        if (high < 0 || low < 0) {
            return bc_cli_usage(command, "'%s' is not made of hex digits", argument);
        }
        bytes[i / 2] = (uint8_t)(high * 16 + low);
    }
    return BC_CLI_DONE;
}

static int parse_all(const char *command, char **arguments, uint32_t count, bool hex,
                     struct bc_key *keys, uint8_t *bytes)
{
    for (uint32_t i = 0; i < count; i++) {
        struct bc_key *key = &keys[i];

        *key = (struct bc_key){.data = arguments[i], .len = strlen(arguments[i])};
        if (hex) {
            int status = parse_hex(command, arguments[i], bytes);

            if (status != BC_CLI_DONE) {
                return status;
            }
            *key = (struct bc_key){.data = bytes, .len = key->len / 2};
            bytes += key->len;
        }
        if (key->len == 0 || key->len > BC_CLIENT_KEY_LEN_MAX) {
            return bc_cli_usage(command, "a key has 1 to %u bytes, and one of %zu is given",
                                BC_CLIENT_KEY_LEN_MAX, key->len);
        }
    }
    return BC_CLI_DONE;
}

int bc_cli_keys_parse(const char *command, char **arguments, uint32_t count, bool hex,
                      struct bc_key **keys_out)
{
    size_t bytes = 0;
    struct bc_key *keys;
    int status;

    for (uint32_t i = 0; hex && i < count; i++) {
        bytes += strlen(arguments[i]) / 2;
    }
    keys = malloc(count * sizeof(*keys) + bytes + 1);
    if (keys == NULL) {
        bc_cli_error("out of memory");
        return BC_CLI_FAILED;
    }
    status = parse_all(command, arguments, count, hex, keys, (uint8_t *)(keys + count));
    if (status != BC_CLI_DONE) {
        free(keys);
        return status;
    }
    *keys_out = keys;
    return BC_CLI_DONE;
}

void bc_cli_keys_free(struct bc_key *keys)
{
    free(keys);
}

const char *bc_cli_key_text(char *buf, size_t buf_len, const struct bc_key *key)
{
    const char *text = key->data;
    size_t used = 0;

    for (size_t i = 0; i < key->len;) {
        size_t char_len = bc_json_utf8_len(text + i, key->len - i);
        unsigned char byte = (unsigned char)text[i];
        /* U+0080 to U+009F are control characters as well. */
        bool control = byte < 0x20 || byte == 0x7f || byte == '\\' ||
                       (char_len == 2 && byte == 0xc2 && (unsigned char)text[i + 1] < 0xa0);
        char piece[16] = "";

        if (char_len == 0 || control) {
            (void)snprintf(piece, sizeof(piece), "\\x%02x", byte);
            char_len = 1;
        } else {
            memcpy(piece, text + i, char_len);
        }
        if (used + strlen(piece) + sizeof("...") > buf_len) {
            (void)snprintf(buf + used, buf_len - used, "...");
            return buf;
        }
        used += (size_t)snprintf(buf + used, buf_len - used, "%s", piece);
        i += char_len;
    }
    buf[used] = '\0';
    return buf;
}

static bool is_text(const struct bc_key *key)
{
    const char *text = key->data;

    for (size_t i = 0; i < key->len;) {
        size_t char_len = bc_json_utf8_len(text + i, key->len - i);

        if (char_len == 0 || text[i] == '\0') {
            return false;
        }
        i += char_len;
    }
    return true;
}

void bc_cli_key_json(struct bc_json *json, const struct bc_key *key)
{
    char hex[2 * BC_CLIENT_KEY_LEN_MAX + 1];
    char text[BC_CLIENT_KEY_LEN_MAX + 1];
    const unsigned char *bytes = key->data;

    memcpy(text, key->data, key->len);
    text[key->len] = '\0';
    for (size_t i = 0; i < key->len; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    }
    bc_json_string(json, "key", is_text(key) ? text : NULL);
    bc_json_string(json, "key_hex", hex);
}
