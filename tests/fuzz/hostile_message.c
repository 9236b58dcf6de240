/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_message.c - bodies of messages, from a fuzzer's input: valid for the decoders, sensible
 * more often than not. */
#include <stdio.h>

#include "hostile.h"
#include "samples.h"

uint64_t hostile_extreme(struct bc_reader *input)
{
    static const uint64_t values[] = {
        0,
        1,
        2,
        255,
        4095,
        4096,
        65535,
        65536,
        (1u << 20) - 1,
        1u << 20,
        (1u << 20) + 1,
        INT32_MAX,
        UINT64_C(1) << 31,
        UINT32_MAX,
        UINT64_C(1) << 32,
        BC_OBJECT_SIZE_MAX,
        BC_OBJECT_SIZE_MAX + 1,
        INT64_MAX,
        UINT64_C(1) << 63,
        UINT64_MAX - 4095,
        UINT64_MAX - 1,
        UINT64_MAX,
    };

    return values[bc_reader_u8(input) % BC_ARRAY_LEN(values)];
}

/* Mostly `usual`: one of 16 times something at an end. */
static uint64_t mostly(struct bc_reader *input, uint64_t usual)
{
    return bc_reader_u8(input) % 16 == 15 ? hostile_extreme(input) : usual;
}

static bool hello(struct bc_reader *input, struct bc_writer *writer)
{
    static const uint8_t text[BC_NAME_LEN_MAX] = "hostile\n\033[31m\377";
    uint8_t choice = bc_reader_u8(input);
    struct bc_hello hello = {
        .wire = {.version_min = (uint16_t)mostly(input, BC_WIRE_VERSION),
                 .version_max = (uint16_t)mostly(input, BC_WIRE_VERSION),
                 .tenant = (uint32_t)mostly(input, 0),
                 .features = mostly(input, 0),
                 .requests_wanted = (uint32_t)mostly(input, choice % 8)},
        .auth = {text, choice % 4 == 3 ? sizeof(text) : 0},
        .name = {text, choice % sizeof(text)},
    };

    return bc_hello_encode(writer, &hello) == 0;
}

/* A few regions that overlap; descriptors of the bed's engine, or bytes of the input. */
static bool reg(const struct hostile *hostile, struct bc_reader *input, struct bc_writer *writer)
{
    uint32_t count = 1 + bc_reader_u8(input) % 4;

    if (bc_list_begin_encode(writer, count) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint8_t choice = bc_reader_u8(input);
        struct bc_memory_region region = {.magic = BC_MEMORY_REGION_MAGIC,
                                          .base =
                                              hostile->bed->memory + (size_t)(choice % 4) * 65536,
                                          .len = mostly(input, (uint64_t)1 << 20)};
        struct bc_memory_desc memory = {
            .wire = {.memory_id = choice % (HOSTILE_REGIONS + 1),
                     .generation = 1 + choice / 128,
                     .kind = (uint8_t)mostly(input, BC_MEMORY_PCI_EXPORT),
                     .access = choice % 16 == 7 ? bc_reader_u8(input) % 4 : 3,
                     .length = mostly(input, region.len)},
            .descriptor = {(const uint8_t *)&region, sizeof(region)},
        };
        if (choice % 32 == 31) {
            memory.descriptor.len = bc_reader_u8(input) % 16;
        }
        if (bc_memory_encode(writer, &memory) != 0) {
            return false;
        }
    }
    return true;
}

static bool unregister(struct bc_reader *input, struct bc_writer *writer)
{
    struct bc_wire_memory_name names[4];
    uint32_t count = 1 + bc_reader_u8(input) % BC_ARRAY_LEN(names);

    for (uint32_t i = 0; i < count; i++) {
        uint8_t choice = bc_reader_u8(input);
        names[i].memory_id = (uint32_t)mostly(input, choice % HOSTILE_REGIONS);
        names[i].generation = 1 + choice / 128;
    }
    return bc_unregister_encode(writer, names, count) == 0;
}

/* "h0" ... "h15", or a name of another length; bytes of any value. */
static struct bc_bytes key(struct bc_reader *input, char *name, size_t size)
{
    static const uint8_t lens[] = {0, 1, 2, 255};
    static uint8_t longest[65535];
    uint8_t choice = bc_reader_u8(input);

    if (choice < 224) {
        int len = snprintf(name, size, "h%u", choice % 16);
        return (struct bc_bytes){(const uint8_t *)name, (size_t)len};
    }
    if (choice < 248) {
        return (struct bc_bytes){longest, lens[choice % BC_ARRAY_LEN(lens)]};
    }
    if (choice < 254) {
        return (struct bc_bytes){longest, BC_KEY_LEN_MAX + choice % 2};
    }
    return (struct bc_bytes){longest, sizeof(longest)};
}

static bool keys(struct bc_reader *input, struct bc_writer *writer)
{
    uint32_t count = bc_reader_u8(input) % 8;
    bool ok = bc_list_begin_encode(writer, count) == 0;

    for (uint32_t i = 0; ok && i < count; i++) {
        char name[16];
        struct bc_bytes bytes = key(input, name, sizeof(name));

        bc_writer_u16(writer, (uint16_t)bytes.len);
        bc_writer_copy(writer, bytes.data, bytes.len);
    }
    return ok;
}

#define KEYS_MAX    4u
#define ENTRIES_MAX 8u

/* Entries that tile their objects one after another, until something is at an end. */
static bool entries(struct bc_reader *input, struct bc_writer *writer, uint32_t key_count,
                    uint32_t count, uint64_t *sizes)
{
    static const uint32_t lens[] = {0, 1, 100, 4096, 65536, 65537, 200000, 1u << 20};
    uint64_t memory_offset = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint8_t choice = bc_reader_u8(input);
        uint32_t index = i % key_count;
        uint64_t len = lens[choice % BC_ARRAY_LEN(lens)];
        struct bc_wire_entry entry = {.key_index = index,
                                      .memory_id =
                                          (uint32_t)mostly(input, choice / 8 % HOSTILE_REGIONS),
                                      .generation = 1 + (choice >= 240),
                                      .memory_offset = mostly(input, memory_offset),
                                      .object_offset = mostly(input, sizes[index]),
                                      .length = mostly(input, len)};

        memory_offset += len;
        sizes[index] += len;
        if (bc_transfer_entry_encode(writer, &entry) != 0) {
            return false;
        }
    }
    return true;
}

static bool transfer(struct bc_reader *input, struct bc_writer *writer)
{
    static const uint8_t meta[BC_OBJECT_META_LEN] = "meta";
    uint64_t sizes[KEYS_MAX] = {0};
    uint8_t choice = bc_reader_u8(input);
    struct bc_wire_transfer header = {
        .op = choice % 2 == 0 ? BC_TRANSFER_PUSH : BC_TRANSFER_PULL,
        .deadline_ms = (uint32_t)mostly(input, 0),
        .key_count = 1 + choice / 2 % KEYS_MAX,
        .entry_count = 1 + choice / 8 % ENTRIES_MAX,
    };
    bool groups = header.op == BC_TRANSFER_PUSH && (choice & 64) != 0;

    header.tlv_len = groups ? (uint32_t)bc_tlv_group_len(header.key_count) : 0;
    if (bc_transfer_header_encode(writer, &header) != 0 ||
        !entries(input, writer, header.key_count, header.entry_count, sizes)) {
        return false;
    }
    for (uint32_t i = 0; i < header.key_count; i++) {
        char name[16];
        struct bc_key_desc desc = {
            .wire = {.object_size = header.op == BC_TRANSFER_PUSH ? mostly(input, sizes[i]) : 0},
            .key = key(input, name, sizeof(name)),
            .meta = choice >= 128 ? meta : NULL,
        };
        if (bc_transfer_key_encode(writer, &desc) != 0) {
            return false;
        }
    }
    if (groups && bc_tlv_group_begin(writer, header.key_count) != 0) {
        return false;
    }
    for (uint32_t i = 0; groups && i < header.key_count; i++) {
        bc_writer_u64(writer, bc_reader_u8(input) % 4);
    }
    return true;
}

/* A valid body that knows nothing of this session. */
static bool sample(struct bc_reader *input, uint8_t type, struct bc_writer *writer)
{
    struct seeded seeded = {.state = 1 + bc_reader_u8(input)};

    return type > 0 && type < BC_MSG_TYPE_COUNT && sample_encode(&seeded, type, writer) == 0;
}

size_t hostile_body(const struct hostile *hostile, struct bc_reader *input, uint8_t type,
                    uint8_t *body)
{
    struct bc_writer writer;
    bool made;
    size_t len;

    bc_writer_init(&writer, body, HOSTILE_BODY_MAX);
    switch (type) {
    case BC_MSG_HELLO:
        made = hello(input, &writer);
        break;
    case BC_MSG_REGISTER:
        made = reg(hostile, input, &writer);
        break;
    case BC_MSG_UNREGISTER:
        made = unregister(input, &writer);
        break;
    case BC_MSG_TRANSFER:
        made = transfer(input, &writer);
        break;
    case BC_MSG_QUERY:
    case BC_MSG_REMOVE:
        made = keys(input, &writer);
        break;
    case BC_MSG_CANCEL:
        made = bc_cancel_encode(&writer,
                                mostly(input, hostile->next_id - bc_reader_u8(input) % 8)) == 0;
        break;
    case BC_MSG_PING:
        made = bc_writer_reserve(&writer, bc_reader_u8(input) % (BC_PING_LEN_MAX + 2)) != NULL;
        break;
    case BC_MSG_STATS:
    case BC_MSG_GOODBYE:
        made = true;
        break;
    default:
        made = sample(input, type, &writer);
        break;
    }
    if (!made || bc_writer_finish(&writer, &len) != 0) {
        return 0;
    }
    return len;
}
