/* SPDX-License-Identifier: Apache-2.0 */
/* copy_host.c - exports memory, leaves descriptor, address and length in files, and waits for a line on stdin.
 * Then prints the text that the memory holds. */
#include "common.h"

#include <stdio.h>

DOCA_LOG_REGISTER(COPY_HOST);

#ifndef DOCA_ARCH_HOST
#error "runs on the host"
#endif

static doca_error_t save(const char *path, const void *bytes, size_t len)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        return DOCA_ERROR_IO_FAILED;
    }
    bool good = fwrite(bytes, 1, len, file) == len;
    return fclose(file) == 0 && good ? DOCA_SUCCESS : DOCA_ERROR_IO_FAILED;
}

static doca_error_t export_memory(const struct options *options, char *memory, size_t len)
{
    struct doca_dev *dev = NULL;
    struct doca_mmap *mmap = NULL;
    const void *desc = NULL;
    size_t desc_len = 0;
    char info[64];
    TRY(open_device(options->pci, NULL, &dev));
    TRY(doca_mmap_create(&mmap));
    TRY(doca_mmap_add_dev(mmap, dev));
    TRY(doca_mmap_set_permissions(mmap, options->write ? DOCA_ACCESS_FLAG_PCI_READ_WRITE
                                                       : DOCA_ACCESS_FLAG_PCI_READ_ONLY));
    TRY(doca_mmap_set_memrange(mmap, memory, len));
    TRY(doca_mmap_start(mmap));
    TRY(doca_mmap_export_pci(mmap, dev, &desc, &desc_len));
    snprintf(info, sizeof(info), "%" PRIu64 "\n%zu\n", (uint64_t)(uintptr_t)memory, len);
    TRY(save(options->info_path, info, strlen(info)));
    TRY(save(options->desc_path, desc, desc_len));
    printf("ready\n");
    fflush(stdout);
    for (int c = 0; c != '\n' && c != EOF;) {
        c = getchar();
    }
    printf("memory: %s\n", memory);
    TRY(doca_mmap_destroy(mmap));
    TRY(doca_dev_close(dev));
    return DOCA_SUCCESS;
}

int main(int argc, char **argv)
{
    struct options options;
    if (begin("copy_host", &options, argc, argv) != DOCA_SUCCESS) {
        return EXIT_FAILURE;
    }
    char *memory = (char *)calloc(1, sizeof(options.text));
    if (memory == NULL) {
        return EXIT_FAILURE;
    }
    strcpy(memory, options.text);
    doca_error_t result = export_memory(&options, memory, strlen(options.text) + 1);
    free(memory);
    return result == DOCA_SUCCESS ? EXIT_SUCCESS : EXIT_FAILURE;
}
