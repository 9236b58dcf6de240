/* SPDX-License-Identifier: Apache-2.0 */
/* world.h - the emulated machine: the table of PCI functions, its limits, and the identity that
 * keeps the exports of one world out of another.
 * A world is made by doca_devinfo_create_list() from the environment (DOCA_EMU_WORLD,
 * DOCA_EMU_DEVICES and limits) and is constant afterwards. Thread: any. Lifetime: reference
 * counted. */
#ifndef EMU_WORLD_H
#define EMU_WORLD_H

#include "emu.h"

#include "doca_dev.h"

#include "atomics.h"

#define EMU_FUNCTIONS_MAX 64

struct emu_pci {
    uint16_t domain;
    uint8_t bus;
    uint8_t device;
    uint8_t function;
    uint8_t reserved; /* 0; makes the padding explicit, as export descriptors hold this struct */
};

/* One PCI function, of the host or of the DPU. */
struct emu_function {
    bool dpu; /* on the DPU's side */
    struct emu_pci pci;
    enum doca_pci_func_type type;
    char ibdev[DOCA_DEVINFO_IBDEV_NAME_SIZE];
    char iface[DOCA_DEVINFO_IFACE_NAME_SIZE];
    uint8_t mac[DOCA_DEVINFO_MAC_ADDR_SIZE];
    bool has_ipv4;
    uint8_t ipv4[DOCA_DEVINFO_IPV4_ADDR_SIZE];
    uint64_t represents; /* DPU: bit i is set when host function i of the table is behind it */
};

struct emu_limits {
    uint64_t max_buf_size;   /* bytes a DMA task may copy */
    uint64_t max_ec_block;   /* bytes of a block of erasure coding */
    uint32_t max_list_len;   /* elements of a buf list */
    uint32_t max_tasks;      /* tasks of one DMA context */
    uint32_t engine_threads; /* threads of one DMA context */
    bool empty_source_fails; /* a DMA task without bytes to copy stops its context */
    uint32_t spin_ns;        /* how long an idle engine thread polls before it sleeps */
};

struct emu_world {
    EMU_ATOMIC(uint32_t) refs;
    uint64_t id;
    struct emu_limits limits;
    uint32_t num_functions;
    struct emu_function functions[EMU_FUNCTIONS_MAX];
};

/* From the environment. NOT_FOUND: the table's file cannot be read or is empty; INVALID_VALUE: a
 * line of it is malformed; both are logged. */
doca_error_t emu_world_create(struct emu_world **world_out);
struct emu_world *emu_world_get(struct emu_world *world);
void emu_world_put(struct emu_world *world);

/* Both spellings, "0000:ba:00.0" and "ba:00.0" (domain 0); upper or lower case. */
bool emu_pci_parse(const char *text, struct emu_pci *pci_out);
EMU_INTERNAL bool emu_pci_equal(const struct emu_pci *a, const struct emu_pci *b);
/* text must hold DOCA_DEVINFO_PCI_ADDR_SIZE bytes. */
EMU_INTERNAL void emu_pci_format(const struct emu_pci *pci, char *text);

#endif /* EMU_WORLD_H */
