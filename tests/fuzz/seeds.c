/* SPDX-License-Identifier: Apache-2.0 */
/* seeds.c - the program fuzz_seeds: writes the inputs that the fuzzers start from.
 *
 *   fuzz_seeds DIR      makes DIR/channel/00, DIR/proto/00, ...
 *
 * A few of each kind, valid as far as can be: the fuzzers find the way from there. Exit status: 0
 * written. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/posix_format.h"
#include "base/assert.h"
#include "channel/channel.h"
#include "channel/comch_wire.h"
#include "samples.h"

#define SAMPLES_PER_TYPE 3u
#define SEED_LEN_MAX     (2 * SAMPLE_LEN_MAX)

static const char *root;

/* One file: the target's choices, then the bytes that came from outside. */
static void put(const char *target, uint32_t number, uint8_t choices, const void *data, size_t len)
{
    char path[4096];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", root, target);
    if (mkdir(path, 0777) != 0 && errno != EEXIST) {
        goto err_exit;
    }
    (void)snprintf(path, sizeof(path), "%s/%s/%02u", root, target, number);
    file = fopen(path, "we");
    if (file == NULL || fputc(choices, file) == EOF || fwrite(data, 1, len, file) != len ||
        fclose(file) != 0) {
        goto err_exit;
    }
    return;

err_exit:
    (void)fprintf(stderr, "fuzz_seeds: %s: %s\n", path, strerror(errno));
    exit(EXIT_FAILURE);
}

static void put_text(const char *target, uint32_t number, uint8_t choices, const char *text)
{
    put(target, number, choices, text, strlen(text));
}

/* The sample's frames, cut small by the channel, as one stream. */
static size_t frame(uint8_t type, const uint8_t *body, size_t body_len, uint8_t *stream)
{
    struct bc_channel_options options = {.frame_max = 200};
    struct bc_channel *channel;
    const uint8_t *data;
    size_t len;
    size_t total = 0;

    BC_ASSERT(bc_channel_create(&options, &channel) == 0);
    BC_ASSERT(bc_channel_send(channel, type, 7, body, body_len) == 0);
    while (bc_channel_out_peek(channel, &data, &len)) {
        BC_ASSERT(total + len <= SEED_LEN_MAX);
        memcpy(stream + total, data, len);
        total += len;
        bc_channel_out_consume(channel, len);
    }
    bc_channel_destroy(channel);
    return total;
}

static void messages(void)
{
    static uint8_t body[SAMPLE_LEN_MAX];
    static uint8_t stream[SEED_LEN_MAX];
    struct seeded seeded = seeded_start("fuzz_seeds");
    uint32_t number = 0;

    for (uint8_t type = 1; type < BC_MSG_TYPE_COUNT; type++) {
        for (uint32_t i = 0; i < SAMPLES_PER_TYPE; i++, number++) {
            struct bc_writer writer;
            size_t len;

            bc_writer_init(&writer, body, sizeof(body));
            BC_ASSERT(sample_encode(&seeded, type, &writer) == 0);
            BC_ASSERT(bc_writer_finish(&writer, &len) == 0);
            put("proto", number, (uint8_t)(type - 1), body, len);
            len = frame(type, body, len, stream);
            put("channel", number, (uint8_t)(number << 2 | 3u), stream, len);
        }
    }
}

/* Each record is a message of Comch with its length before it. */
static size_t comch_record(uint8_t *out, uint8_t kind, uint32_t taken, size_t data_len)
{
    struct bc_comch_header header = {.kind = kind, .taken = taken};
    size_t len = BC_COMCH_HEADER_LEN + data_len;

    out[0] = (uint8_t)len;
    out[1] = (uint8_t)(len >> 8);
    bc_comch_header_encode(&header, out + 2);
    memset(out + 2 + BC_COMCH_HEADER_LEN, 'd', data_len);
    return 2 + len;
}

static void comch(void)
{
    static const uint8_t kinds[] = {BC_COMCH_DATA, BC_COMCH_CREDIT, BC_COMCH_DATA, BC_COMCH_CLOSE,
                                    BC_COMCH_DATA};
    uint8_t records[2048];

    for (uint32_t number = 0; number < 3; number++) {
        size_t len = 0;

        for (size_t i = 0; i < BC_ARRAY_LEN(kinds); i++) {
            len += comch_record(records + len, kinds[i], 0,
                                kinds[i] == BC_COMCH_DATA ? 100 + 50 * number : 0);
        }
        put("comch", number, (uint8_t)number, records, len);
    }
}

static void options(void)
{
    put_text(
        "options", 0, 0,
        "# of a test\ndepth: 64\nstaging_memory: 1G\ntimeout: 5m\nverbose: true\nbackend: dram\n"
        "root: '/var/lib/x'\ndevice: [/dev/a, \"/dev/b\"]\n");
    put_text("options", 1, 0, "device:\n- one\n- two\ncapacity: 12345B\nno-such-key: 1\n");
    put_text("options", 2, 0, "root: &a x\nroot: *a\n---\n{depth: {a: 1}}\n");
    put_text("options", 3, 1, "-v\n-m256\n--depth=8\n-q\n9\n--no-direct\n-D\na\n--device=b\n--\nx");
    put_text("options", 4, 1, "--backend\ndram\n--timeout=90s\n--capacity\n1.5G\n--unknown");
    put_text("options", 5, 2, "true\n64\n1G\n/root\nflash\na,b,c");
}

static void texts(void)
{
    static const char *const addresses[] = {"host.example:18517", "[fe80::1%eth0]:1", "::1",
                                            "127.0.0.1:65535"};
    static const char *const numbers[] = {"18446744073709551615", "64MiB", "1h", "0", "7K"};
    uint32_t number = 0;

    for (size_t i = 0; i < BC_ARRAY_LEN(addresses); i++) {
        put_text("text", number++, 0, addresses[i]);
    }
    for (size_t i = 0; i < BC_ARRAY_LEN(numbers); i++) {
        put_text("text", number++, 1, numbers[i]);
    }
    put_text("text", number++, 2, "0123456789abcdef0123456789abcdef" BC_POSIX_SUFFIX);
    put_text("text", number++, 3, "a key of \001 and \377");
}

static void blocks(void)
{
    static const uint64_t lens[] = {0, 1, 70000, (uint64_t)50 << 20, BC_OBJECT_SIZE_MAX};
    static const uint8_t uuid[BC_POSIX_UUID_LEN] = "a store's uuid.";
    static const uint8_t table[BC_POSIX_TABLE_LEN_MAX];
    struct bc_posix_store_record record;

    bc_posix_store_encode(&record, 64, uuid, 1700000000);
    put("posix", 0, 0, &record, 64);
    for (uint32_t i = 0; i < BC_ARRAY_LEN(lens); i++) {
        struct bc_posix_footer footer;
        struct bc_hash128 hash = {.low = 1, .high = 2};

        bc_posix_footer_init(&footer, uuid, hash, 0, lens[i]);
        footer.key_len = 3;
        memcpy(footer.key, "key", 3);
        bc_posix_footer_seal(&footer, table, 1);
        put("posix", 1 + i, 1, &footer, 256); /* behind it are zeros */
    }
}

static void emulation(void)
{
    static const uint8_t other_process[] = {24, 8, 1, 2, 3, 4, 5, 6, 7, 8};
    static const uint8_t longer[] = {80, 8, 0, 0, 0, 1, 0, 0, 0, 0};
    static const char devices[] =
        " host 0000:17:00.0 ibdev=mlx5_0 iface=ens1 mac=02:00:00:00:00:01 ipv4=10.0.0.1 type=pf\n"
        "dpu 03:00.0 rep=0000:17:00.0 # its function\n";

    put("export", 0, 0, "", 0);
    put("export", 1, 1, "", 0);
    put("export", 2, 0, other_process, sizeof(other_process));
    put("export", 3, 1, longer, sizeof(longer));
    put("export", 4, 3, longer, sizeof(longer));
    put_text("devices", 0, '\n', devices); /* all of it is the table */
}

/* A client that registers, pushes, pulls and unregisters; the same with copies that take their time, so that
 * the memory is to go while it is used, or the pull is cancelled and the connection drops (hostile.h). */
static void sessions(void)
{
    static const uint8_t serves[] = {0,   0,   20, 20, 0,  0,  0, 0, 0, 0, 200, 250, 0,   1,
                                     20,  20,  0,  0,  3,  0,  0, 0, 0, 0, 0,   0,   200, 250,
                                     0,   1,   20, 20, 1,  0,  3, 0, 0, 0, 0,   0,   0,   0,
                                     200, 250, 0,  7,  20, 20, 0, 0, 0, 0, 200, 250};
    static const uint8_t leaves[] = {0, 0,   20,  20,  0, 0,  0,  0,  0, 0, 200, 68, 1,   200, 69,
                                     1, 200, 250, 0,   1, 20, 20, 0,  0, 3, 0,   0,  0,   0,   0,
                                     0, 0,   200, 250, 0, 7,  20, 20, 0, 0, 0,   0,  200, 250};
    static const uint8_t drops[] = {
        0, 0, 20, 20, 0, 0,   0,   0,   0,  0, 200, 250, 0, 1, 20, 20,  0,   0, 3,  0, 0,
        0, 0, 0,  0,  0, 200, 250, 200, 68, 1, 200, 69,  1, 0, 1,  20,  20,  1, 0,  3, 0,
        0, 0, 0,  0,  0, 0,   200, 250, 0,  6, 20,  20,  1, 0, 0,  200, 250, 0, 244};

    put("session", 0, 0, serves, sizeof(serves));
    put("session", 1, 0, leaves, sizeof(leaves));
    put("session", 2, 0, drops, sizeof(drops));
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: fuzz_seeds DIR\n");
        return 2;
    }
    root = argv[1];
    if (mkdir(root, 0777) != 0 && errno != EEXIST) {
        (void)fprintf(stderr, "fuzz_seeds: %s: %s\n", root, strerror(errno));
        return EXIT_FAILURE;
    }
    messages();
    comch();
    options();
    texts();
    blocks();
    emulation();
    sessions();
    return EXIT_SUCCESS;
}
