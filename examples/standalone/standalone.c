/* SPDX-License-Identifier: Apache-2.0 */
/* standalone.c - libbluecache without NIXL: stores a few blocks of memory as objects through the
 * DPU agent, asks for them, brings them back and compares.
 *
 *   usage: standalone [HOST:PORT [PCI]]       exit status 0: every byte came back
 *
 * BLUECACHE_MODE=comch reaches the agent through the BlueField itself; HOST:PORT then means nothing.
 * The rules to keep: register memory before it is used in a request; leave it alone until the
 * request has a terminal status; look at every entry's status: one block may fail alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bluecache/bluecache.h>

#define BLOCKS     8
#define BLOCK_LEN  ((size_t)1 << 20)
#define TIMEOUT_MS 10000

/* One entry a block: block i of the memory is the whole object "example/i". */
static void describe(struct bc_memory *memory, char names[BLOCKS][32],
                     struct bc_entry entries[BLOCKS])
{
    for (int i = 0; i < BLOCKS; i++) {
        int len = snprintf(names[i], 32, "example/%d", i);

        entries[i] = (struct bc_entry){.memory = memory,
                                       .memory_offset = (uint64_t)i * BLOCK_LEN,
                                       .key = names[i],
                                       .key_len = (size_t)len,
                                       .object_offset = 0,
                                       .length = BLOCK_LEN};
    }
}

/* Starts a request and waits for its end. A program with other work to do would poll the descriptor
 * of bc_client_fd, or call bc_request_test now and then. */
static int transfer(struct bc_client *client, enum bc_op op, const struct bc_entry entries[BLOCKS])
{
    const char *name = op == BC_PUSH ? "push" : "pull";
    struct bc_submit_options options = {.timeout_ms = TIMEOUT_MS};
    struct bc_request *request;
    enum bc_status status;
    int rc = bc_submit(client, op, entries, BLOCKS, &options, &request);

    if (rc != 0) {
        fprintf(stderr, "%s: %s\n", name, strerror(-rc));
        return -1;
    }
    /* The library ends the request at its deadline; what is added is time to say so. */
    status = bc_request_wait(request, 2 * TIMEOUT_MS);
    for (int i = 0; status != BC_STATUS_OK && i < BLOCKS; i++) {
        enum bc_status of_entry = bc_request_entry_status(request, (size_t)i);

        if (of_entry != BC_STATUS_OK) {
            fprintf(stderr, "%s, block %d: %s\n", name, i, bc_status_text(of_entry));
        }
    }
    printf("%s: %llu bytes, %s\n", name, (unsigned long long)bc_request_bytes(request),
           bc_status_name(status));
    /* -EBUSY: the agent stopped inside a copy. Its memory must not be touched: give up. */
    if (bc_request_free(request) != 0) {
        fprintf(stderr, "%s: the request does not end\n", name);
        exit(EXIT_FAILURE);
    }
    return status == BC_STATUS_OK ? 0 : -1;
}

/* All keys in one round trip. */
static int query(struct bc_client *client, char names[BLOCKS][32])
{
    struct bc_object_info infos[BLOCKS];
    struct bc_key keys[BLOCKS];
    int rc;

    for (int i = 0; i < BLOCKS; i++) {
        keys[i] = (struct bc_key){.data = names[i], .len = strlen(names[i])};
    }
    rc = bc_query(client, keys, BLOCKS, 0, infos);
    if (rc != 0) {
        fprintf(stderr, "query: %s\n", strerror(-rc));
        return -1;
    }
    for (int i = 0; i < BLOCKS; i++) {
        printf("query: %s: %s, %llu bytes\n", names[i], bc_status_name(infos[i].status),
               (unsigned long long)infos[i].size);
    }
    return 0;
}

/* There and back: `bytes` are pushed, forgotten, and pulled. */
static int run(struct bc_client *client, unsigned char *bytes, struct bc_memory *memory)
{
    char names[BLOCKS][32];
    struct bc_entry entries[BLOCKS];

    describe(memory, names, entries);
    for (size_t i = 0; i < BLOCKS * BLOCK_LEN; i++) {
        bytes[i] = (unsigned char)(i * 31 + i / BLOCK_LEN);
    }
    if (transfer(client, BC_PUSH, entries) != 0 || query(client, names) != 0) {
        return -1;
    }
    memset(bytes, 0, BLOCKS * BLOCK_LEN);
    if (transfer(client, BC_PULL, entries) != 0) {
        return -1;
    }
    for (size_t i = 0; i < BLOCKS * BLOCK_LEN; i++) {
        if (bytes[i] != (unsigned char)(i * 31 + i / BLOCK_LEN)) {
            fprintf(stderr, "byte %zu is wrong\n", i);
            return -1;
        }
    }
    printf("verified: %zu bytes\n", BLOCKS * BLOCK_LEN);
    return 0;
}

int main(int argc, char **argv)
{
    /* What is left zero comes from the environment, or is a default: see bluecache.h. */
    struct bc_client_options options = {.dpu_addr = argc > 1 ? argv[1] : NULL,
                                        .pci_addr = argc > 2 ? argv[2] : NULL};
    struct bc_client *client;
    struct bc_memory *memory = NULL;
    struct bc_error error = {.text = ""};
    void *bytes = NULL;
    int result = -1;
    int rc = bc_client_open(&options, &client, &error);

    if (rc != 0) {
        fprintf(stderr, "open: %s\n", error.text[0] != '\0' ? error.text : strerror(-rc));
        return EXIT_FAILURE;
    }
    /* Any memory will do; this kind is the fastest to copy with the emulation of DOCA. */
    rc = bc_memory_alloc(BLOCKS * BLOCK_LEN, &bytes);
    if (rc == 0) {
        rc = bc_memory_register(client, bytes, BLOCKS * BLOCK_LEN, BC_MEMORY_HOST, 0, &memory);
    }
    if (rc == 0) {
        result = run(client, bytes, memory);
        rc = bc_memory_unregister(client, memory);
    }
    if (rc != 0) {
        fprintf(stderr, "memory: %s\n", strerror(-rc));
        result = -1;
    } else {
        bc_memory_free(bytes);
    }
    return bc_client_close(client) == 0 && result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
