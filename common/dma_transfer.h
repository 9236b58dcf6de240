/* SPDX-License-Identifier: Apache-2.0 */
/* dma_transfer.h - the wire protocol between a host and a DPU agent, version 1: constants, packed
 * structures, limits.
 *
 * A connection carries frames; a message is one frame, or several of which all but the last have
 * BC_FRAME_FLAG_MORE and a body (same type and request id, not interleaved with other frames of the
 * same direction). Everything is little-endian. Bulk data never travels here.
 *
 *   client                                   agent
 *     HELLO            ---------------------->
 *     <---------------------------  HELLO_ACK | ERROR and close
 *     REGISTER, TRANSFER, QUERY, ... -------->   any order, many at once, within the credits given
 *     <--------- *_ACK, COMPLETION, *_RESULT     each carries the request id of what it answers
 *     GOODBYE          ---------------------->   (or from the agent when it drains)
 *
 * Answers: every client message but CANCEL and GOODBYE is answered exactly once (COMPLETION may
 * come in parts: BC_COMPLETION_FLAG_MORE). A CANCEL makes the target's COMPLETION come soon
 * (CANCELLED, or its real outcome). What breaks the rules is answered by ERROR and a closed
 * connection. Requests of a closed connection are cancelled; the agent touches no memory of a
 * session after it dropped its imports.
 * Statuses are of enum bc_status, never IN_PROGRESS; one that the receiver does not know is a
 * failure. Reserved fields are 0 and are checked to be, so that they can be given a meaning later.
 * Nothing here knows sockets, DOCA or threads. */
#ifndef BC_DMA_TRANSFER_H
#define BC_DMA_TRANSFER_H

#include "base/compiler.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the wire structures are read in place: a little-endian CPU is needed"
#endif

#define BC_WIRE_MAGIC   UINT32_C(0x31464342) /* "BCF1" */
#define BC_WIRE_VERSION 1u
#define BC_WIRE_PORT    18517u

/* Limits of the protocol; HELLO_ACK may grant less. */
#define BC_KEY_LEN_MAX          1024u
#define BC_OBJECT_SIZE_MAX      (UINT64_C(1) << 30)
#define BC_OBJECT_META_LEN      64u
#define BC_FRAME_BODY_MAX       (1u << 20)
#define BC_MESSAGE_BODY_MAX     (8u << 20)
#define BC_DESCRIPTOR_LEN_MAX   4096u
#define BC_REGISTER_BATCH_MAX   1024u
#define BC_TRANSFER_ENTRIES_MAX 65536u
#define BC_QUERY_KEYS_MAX       65536u
#define BC_AUTH_LEN_MAX         1024u
#define BC_NAME_LEN_MAX         64u
#define BC_ERROR_TEXT_LEN_MAX   255u
#define BC_PING_LEN_MAX         64u
#define BC_TLV_BYTES_MAX        65536u

enum bc_message_type {
    BC_MSG_HELLO = 1,
    BC_MSG_HELLO_ACK = 2,
    BC_MSG_REGISTER = 3,
    BC_MSG_REGISTER_ACK = 4,
    BC_MSG_UNREGISTER = 5,
    BC_MSG_UNREGISTER_ACK = 6,
    BC_MSG_TRANSFER = 7,
    BC_MSG_COMPLETION = 8,
    BC_MSG_QUERY = 9,
    BC_MSG_QUERY_RESULT = 10,
    BC_MSG_REMOVE = 11,
    BC_MSG_REMOVE_RESULT = 12,
    BC_MSG_CANCEL = 13,
    BC_MSG_PING = 14,
    BC_MSG_PONG = 15,
    BC_MSG_STATS = 16,
    BC_MSG_STATS_RESULT = 17,
    BC_MSG_GOODBYE = 18,
    BC_MSG_ERROR = 19,
    BC_MSG_TYPE_COUNT
};

#define BC_FRAME_FLAG_MORE   0x0001u /* the message goes on in the next frame */
#define BC_FRAME_FLAGS_KNOWN 0x0001u

struct bc_wire_frame {
    uint32_t magic;
    uint8_t version;
    uint8_t type; /* enum bc_message_type */
    uint16_t flags;
    uint32_t body_len; /* bytes after this header, <= BC_FRAME_BODY_MAX */
    uint32_t body_crc; /* CRC32C of the body; 0 for an empty body */
    uint64_t request_id;
    uint32_t reserved;   /* 0 */
    uint32_t header_crc; /* CRC32C of the 28 bytes before */
} BC_PACKED;
BC_STATIC_ASSERT(sizeof(struct bc_wire_frame) == 32, "frame header is 32 bytes");

/* ---- HELLO: followed by auth_len bytes and name_len bytes (client name for logs, UTF-8). ---- */
struct bc_wire_hello {
    uint16_t version_min;
    uint16_t version_max;
    uint32_t tenant; /* 0 until tenants come */
    uint64_t features;
    uint8_t host_id[16]; /* stable for a host (machine id), zero when unknown */
    uint32_t pid;
    uint32_t requests_wanted; /* credits; more than the limit, or 0: the limit */
    uint16_t auth_len;        /* <= BC_AUTH_LEN_MAX */
    uint16_t name_len;        /* <= BC_NAME_LEN_MAX */
    uint32_t reserved;
} BC_PACKED;
BC_STATIC_ASSERT(sizeof(struct bc_wire_hello) == 48, "hello is 48 bytes");

/* agent: the DMA engine is the software emulation */
#define BC_FEATURE_EMULATED_DOCA (UINT64_C(1) << 0)
#define BC_FEATURE_IF_ABSENT     (UINT64_C(1) << 1) /* reserved: BC_KEY_FLAG_IF_ABSENT is taken */
#define BC_FEATURE_PARTS         (UINT64_C(1) << 2) /* reserved: objects over several requests */
#define BC_FEATURE_GROUPS        (UINT64_C(1) << 3) /* agent: BC_TLV_GROUP is followed */

/* ---- HELLO_ACK: followed by name_len bytes: "dpu_dma_copy 0.1.0 posix" (program, version,
 *      backend). With status OK every credit and limit is at least 1. ---- */
struct bc_wire_hello_ack {
    uint32_t status; /* enum bc_status; other than OK: the connection is closed after it */
    uint16_t version;
    uint16_t name_len;
    uint64_t features;
    uint64_t session_id;
    uint8_t agent_id[16];  /* random per start of the agent: tells a restart */
    uint32_t requests_max; /* credits: requests in flight */
    uint32_t entries_max;  /* entries of one TRANSFER */
    uint64_t bytes_max; /* bytes of all TRANSFERs in flight; one larger request alone is allowed */
    uint32_t regions_max; /* registered memories */
    uint32_t message_max; /* largest message body the agent takes */
    uint64_t object_size_max;
    uint32_t chunk_len;    /* DMA chunk, for information */
    uint32_t keepalive_ms; /* silence after which either side may ping; 3 x: the peer is lost */
} BC_PACKED;
BC_STATIC_ASSERT(sizeof(struct bc_wire_hello_ack) == 80, "hello ack is 80 bytes");

/* ---- REGISTER: bc_wire_list, then per memory a bc_wire_memory followed by desc_len bytes.
 *      Answer: bc_wire_list, then one u32 status each. ---- */
enum bc_memory_kind {
    BC_MEMORY_PCI_EXPORT = 1, /* descriptor of doca_mmap_export_pci */
    BC_MEMORY_RDMA_KEY = 2,   /* reserved */
    BC_MEMORY_INLINE = 3,     /* reserved */
};
#define BC_MEMORY_ACCESS_READ  0x01u /* the agent may read it (push) */
#define BC_MEMORY_ACCESS_WRITE 0x02u /* the agent may write it (pull) */

struct bc_wire_list {
    uint32_t count;
    uint32_t reserved;
} BC_PACKED;
BC_STATIC_ASSERT(sizeof(struct bc_wire_list) == 8, "list is 8 bytes");

struct bc_wire_memory {
    uint32_t memory_id;  /* chosen by the client, < regions_max */
    uint32_t generation; /* chosen by the client; not 0; never reused for one id within a session */
    uint8_t kind;        /* enum bc_memory_kind */
    uint8_t access;
    uint16_t desc_len; /* <= BC_DESCRIPTOR_LEN_MAX */
    uint32_t reserved;
    uint64_t length; /* bytes; offsets of entries are relative to the start */
} BC_PACKED;
BC_STATIC_ASSERT(sizeof(struct bc_wire_memory) == 24, "memory is 24 bytes");

/* ---- UNREGISTER: bc_wire_list, then these. A barrier: answered when no copy can touch the memory
 *      any more. Answer: bc_wire_list, then one u32 status each. ---- */
struct bc_wire_memory_name {
    uint32_t memory_id;
    uint32_t generation;
} BC_PACKED;
BC_STATIC_ASSERT(sizeof(struct bc_wire_memory_name) == 8, "memory name is 8 bytes");

/* ---- TRANSFER: bc_wire_transfer, entry_count entries, then the key table (bc_wire_key, key bytes,
 *      and BC_OBJECT_META_LEN bytes when HAS_META; not padded), then tlv_len bytes of TLVs {u16
 *      type, u16 len, bytes}; unknown TLVs are skipped. ---- */
enum bc_transfer_op {
    /* memory -> object: the entries of one key tile [0, size) and replace the object */
    BC_TRANSFER_PUSH = 1,
    /* object -> memory: any range of the object */
    BC_TRANSFER_PULL = 2,
};

struct bc_wire_transfer {
    uint8_t op;
    uint8_t priority;     /* 0; reserved */
    uint16_t flags;       /* 0 */
    uint32_t deadline_ms; /* relative to arrival; 0: none */
    uint32_t key_count;
    uint32_t entry_count;
    uint32_t tlv_len; /* <= BC_TLV_BYTES_MAX */
    uint32_t reserved;
} BC_PACKED;
BC_STATIC_ASSERT(sizeof(struct bc_wire_transfer) == 24, "transfer is 24 bytes");

struct bc_wire_entry {
    uint32_t key_index; /* into the key table */
    uint32_t memory_id;
    uint32_t generation;
    uint32_t reserved;
    uint64_t memory_offset; /* from the start of the memory */
    uint64_t object_offset;
    /* 0 is allowed: such an entry only needs the object to exist (pull) or makes an empty object
     * (push). */
    uint64_t length;
} BC_PACKED;
BC_STATIC_ASSERT(sizeof(struct bc_wire_entry) == 40, "entry is 40 bytes");

#define BC_KEY_FLAG_HAS_META  0x0001u
#define BC_KEY_FLAG_IF_ABSENT 0x0002u /* reserved */
#define BC_KEY_FLAG_PART      0x0004u /* reserved */
#define BC_KEY_FLAGS_KNOWN    0x0001u

struct bc_wire_key {
    uint64_t object_size; /* push: size of the object; pull: 0 */
    uint16_t key_len;     /* over BC_KEY_LEN_MAX: the entries of this key get KEY_TOO_LONG */
    uint16_t flags;
    uint32_t reserved;
} BC_PACKED;
BC_STATIC_ASSERT(sizeof(struct bc_wire_key) == 16, "key is 16 bytes");

/* Hints that an agent may ignore; all but GROUP are reserved.
 *
 * GROUP: at most one, of a push only. A u64 for each key of the key table, in its order: the group
 * of the object, 0 for none. One that is there twice, of another length, or in a pull is malformed,
 * whatever the features. With BC_FEATURE_GROUPS the agent does this: when it drops an object of a
 * group to make room, or because stored bytes cannot be verified or read, it drops every object of
 * that group which was pushed by a TRANSFER that had arrived by then, wherever in this agent it is;
 * also one whose push is still under way, once it is stored. Objects of one TRANSFER so share their
 * fate. Groups are the client's choice and belong to a tenant. */
enum bc_tlv_type {
    BC_TLV_CHAIN_PARENT = 1,
    BC_TLV_SESSION = 2,
    BC_TLV_GROUP = 3,
    BC_TLV_PRIORITY = 4,
};
#define BC_TLV_HEADER_LEN 4u
/* Keys of a TRANSFER with groups: their TLV has 16 bits for its length. */
#define BC_GROUP_KEYS_MAX (UINT16_MAX / 8u)

/* ---- COMPLETION: this header, then entry_count u32 statuses from first_entry on. entry_count 0:
 *      `status` holds for every entry not named yet. ---- */
#define BC_COMPLETION_FLAG_MORE 0x0001u /* other completions of this request follow */

struct bc_wire_completion {
    uint32_t status; /* OK when all are OK, else the first one that is not */
    uint16_t flags;
    uint16_t reserved;
    uint32_t first_entry;
    uint32_t entry_count;
    uint64_t bytes;    /* moved over DMA for this request so far */
    uint64_t agent_ns; /* from arrival to this message, on the agent's clock */
} BC_PACKED;
BC_STATIC_ASSERT(sizeof(struct bc_wire_completion) == 32, "completion is 32 bytes");

/* ---- QUERY and REMOVE: bc_wire_list, then per key {u16 len, bytes}. Answers in the same order.
 *      QUERY_RESULT: bc_wire_list, then one of these each. ---- */
struct bc_wire_query_result {
    uint32_t status; /* OK or NOT_FOUND or KEY_TOO_LONG or a failure */
    uint32_t reserved;
    uint64_t size;
    uint64_t version;
} BC_PACKED;
BC_STATIC_ASSERT(sizeof(struct bc_wire_query_result) == 24, "query result is 24 bytes");
/* REMOVE_RESULT: bc_wire_list, then one u32 status each (NOT_FOUND when there was nothing). */

/* ---- CANCEL: u64 request id of a TRANSFER. PING, PONG: <= BC_PING_LEN_MAX bytes, echoed. ---- */

/* ---- STATS: empty body. STATS_RESULT: bc_wire_list, then per metric a bc_wire_metric and name_len
 *      bytes, at least one. ---- */
struct bc_wire_metric {
    uint8_t kind; /* enum bc_metric_kind */
    uint8_t name_len;
    uint16_t reserved;
    uint32_t reserved2;
    int64_t value; /* histogram: number of samples */
    uint64_t p50;  /* histograms only, else 0 */
    uint64_t p99;
    uint64_t sum;
} BC_PACKED;
BC_STATIC_ASSERT(sizeof(struct bc_wire_metric) == 40, "metric is 40 bytes");

/* ---- GOODBYE: empty body. ERROR: u32 status (not OK), then text (<= BC_ERROR_TEXT_LEN_MAX bytes,
 *      the rest of the body); the sender closes after it. ---- */

#endif
