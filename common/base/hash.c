/* SPDX-License-Identifier: Apache-2.0 */
/* hash.c - XXH3-128 over tenant and key, and its text form.
 * The value is stored on disk: the input's layout, the seed (none) and the hash never change.
 * Any thread. Keys of the protocol's length are hashed on the stack, in one piece. */
#include "base/hash.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

#include "base/assert.h"

#define TENANT_LEN 4
/* Every key that a store accepts fits; longer ones are hashed only to be refused. */
#define KEY_STACK_LEN 1024

static struct bc_hash128 from_xxh(XXH128_hash_t value)
{
    return (struct bc_hash128){.low = value.low64, .high = value.high64};
}

/* The state needs an alignment that is easy to get wrong, so the library allocates it. */
static struct bc_hash128 hash_long(const uint8_t *tenant, const void *key, size_t key_len)
{
    XXH3_state_t *state = XXH3_createState();
    XXH128_hash_t value;

    BC_ASSERT(state != NULL);
    (void)XXH3_128bits_reset(state);
    (void)XXH3_128bits_update(state, tenant, TENANT_LEN);
    (void)XXH3_128bits_update(state, key, key_len);
    value = XXH3_128bits_digest(state);
    (void)XXH3_freeState(state);
    return from_xxh(value);
}

struct bc_hash128 bc_hash_key(uint32_t tenant, const void *key, size_t key_len)
{
    uint8_t input[TENANT_LEN + KEY_STACK_LEN];

    for (size_t i = 0; i < TENANT_LEN; i++) {
        input[i] = (uint8_t)(tenant >> (8 * i));
    }
    if (key_len > KEY_STACK_LEN) {
        return hash_long(input, key, key_len);
    }
    if (key_len > 0) {
        memcpy(input + TENANT_LEN, key, key_len);
    }
    return from_xxh(XXH3_128bits(input, TENANT_LEN + key_len));
}

static void word_to_hex(uint64_t word, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < 16; i++) {
        out[i] = digits[(word >> (60 - 4 * i)) & 15];
    }
}

void bc_hash_to_hex(struct bc_hash128 hash, char out[BC_HASH_HEX_LEN + 1])
{
    word_to_hex(hash.high, out);
    word_to_hex(hash.low, out + 16);
    out[BC_HASH_HEX_LEN] = '\0';
}

static int word_from_hex(const char *text, uint64_t *word_out)
{
    uint64_t word = 0;

    /* A text that ends early stops here as well: NUL is no digit. */
    for (int i = 0; i < 16; i++) {
        char c = text[i];

        if (c >= '0' && c <= '9') {
            word = word << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            word = word << 4 | (uint64_t)(c - 'a' + 10);
        } else {
            return -EINVAL;
        }
    }
    *word_out = word;
    return 0;
}

int bc_hash_from_hex(const char *text, struct bc_hash128 *hash_out)
{
    struct bc_hash128 hash;

    if (word_from_hex(text, &hash.high) != 0 || word_from_hex(text + 16, &hash.low) != 0 ||
        text[BC_HASH_HEX_LEN] != '\0') {
        return -EINVAL;
    }
    *hash_out = hash;
    return 0;
}
