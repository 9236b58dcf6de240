/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_export.c - forged export descriptors into the emulation's import.
 *
 *   input: [ which memory; whether the checksum is mended ][ patches: offset, length, bytes ]*
 *
 * Descriptors name this very process and change from run to run, so an input is not a descriptor
 * but what is to be changed in a real one. An import that is let in has to be of the memory that
 * was exported. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <doca_dev.h>
#include <doca_error.h>
#include <doca_mmap.h>

#include "base/assert.h"
#include "base/cursor.h"
#include "blob.h"

#define MEMORY_LEN ((size_t)3 * 4096)

static struct doca_dev *dpu;
static struct memory {
    struct doca_mmap *exported; /* lives as long as the process */
    uint8_t *base;
    struct emu_export_blob blob;
} memories[2]; /* private, and a file's */

static struct doca_dev *open_device(const char *pci_addr)
{
    struct doca_devinfo **list;
    struct doca_dev *dev = NULL;
    uint32_t count;

    BC_ASSERT(doca_devinfo_create_list(&list, &count) == DOCA_SUCCESS);
    for (uint32_t i = 0; i < count && dev == NULL; i++) {
        uint8_t equal = 0;

        BC_ASSERT(doca_devinfo_is_equal_pci_addr(list[i], pci_addr, &equal) == DOCA_SUCCESS);
        if (equal != 0) {
            BC_ASSERT(doca_dev_open(list[i], &dev) == DOCA_SUCCESS);
        }
    }
    BC_ASSERT(doca_devinfo_destroy_list(list) == DOCA_SUCCESS);
    BC_ASSERT(dev != NULL);
    return dev;
}

static void export_memory(struct doca_dev *host, int flags, int fd, struct memory *memory)
{
    struct doca_mmap *exported;
    const void *descriptor;
    size_t len;

    memory->base = mmap(NULL, MEMORY_LEN, PROT_READ | PROT_WRITE, flags, fd, 0);
    BC_ASSERT(memory->base != MAP_FAILED);
    BC_ASSERT(doca_mmap_create(&exported) == DOCA_SUCCESS);
    BC_ASSERT(doca_mmap_add_dev(exported, host) == DOCA_SUCCESS);
    BC_ASSERT(doca_mmap_set_memrange(exported, memory->base, MEMORY_LEN) == DOCA_SUCCESS);
    BC_ASSERT(doca_mmap_set_permissions(exported, DOCA_ACCESS_FLAG_PCI_READ_WRITE) == DOCA_SUCCESS);
    BC_ASSERT(doca_mmap_start(exported) == DOCA_SUCCESS);
    BC_ASSERT(doca_mmap_export_pci(exported, host, &descriptor, &len) == DOCA_SUCCESS);
    BC_ASSERT(len == sizeof(memory->blob));
    memory->exported = exported;
    memcpy(&memory->blob, descriptor, len);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct doca_dev *host;
    int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    (void)argc;
    (void)argv;
    BC_ASSERT(fd >= 0 && ftruncate(fd, (off_t)MEMORY_LEN) == 0);
    host = open_device("0000:ba:00.0");
    dpu = open_device("0000:03:00.0");
    export_memory(host, MAP_PRIVATE | MAP_ANONYMOUS, -1, &memories[0]);
    export_memory(host, MAP_SHARED, fd, &memories[1]);
    return 0;
}

/* Returns the length of the descriptor: that of a real one, unless the patches say otherwise. */
static size_t patch(struct emu_export_blob *blob, const uint8_t *data, size_t len)
{
    struct bc_reader reader;
    size_t blob_len = sizeof(*blob);

    bc_reader_init(&reader, data, len);
    while (bc_reader_left(&reader) > 0) {
        size_t offset = bc_reader_u8(&reader);
        size_t count = bc_reader_u8(&reader) % 9;
        const uint8_t *bytes = bc_reader_view(&reader, count);

        if (bytes == NULL) {
            break;
        }
        if (offset >= sizeof(*blob)) {
            blob_len = offset - sizeof(*blob);
        } else {
            count = count < sizeof(*blob) - offset ? count : sizeof(*blob) - offset;
            memcpy((uint8_t *)blob + offset, bytes, count);
        }
    }
    return blob_len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t choices = len > 0 ? data[0] : 0;
    const struct memory *memory = &memories[choices & 1u];
    struct emu_export_blob blob = memory->blob;
    size_t blob_len = patch(&blob, data + 1, len > 0 ? len - 1 : 0);
    struct doca_mmap *imported = NULL;
    uint8_t *copy;
    doca_error_t result;

    if ((choices & 2u) == 0) {
        blob.crc = emu_blob_crc(&blob);
    }
    copy = fuzz_copy((const uint8_t *)&blob, blob_len < sizeof(blob) ? blob_len : sizeof(blob));
    result = doca_mmap_create_from_export(NULL, copy, blob_len, dpu, &imported);
    free(copy);
    if (result == DOCA_SUCCESS) {
        void *base;
        size_t range_len;

        BC_ASSERT(doca_mmap_get_memrange(imported, &base, &range_len) == DOCA_SUCCESS);
        BC_ASSERT(base == memory->base && range_len == MEMORY_LEN);
        BC_ASSERT(doca_mmap_destroy(imported) == DOCA_SUCCESS);
    } else {
        BC_ASSERT(result == DOCA_ERROR_INVALID_VALUE || result == DOCA_ERROR_DRIVER ||
                  result == DOCA_ERROR_NOT_SUPPORTED || result == DOCA_ERROR_NO_MEMORY);
    }
    return 0;
}
