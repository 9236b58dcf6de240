/* SPDX-License-Identifier: Apache-2.0 */
/* world.c - reads the table of PCI functions and the limits of the emulated machine. */
#include "world.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One BlueField with one port: what a host and its DPU each call their own first function. */
static const char default_table[] = "host 0000:ba:00.0 ibdev=mlx5_0 iface=ens1f0np0\n"
                                    "dpu 0000:03:00.0 ibdev=mlx5_1 iface=p0 rep=0000:ba:00.0\n";

#define TABLE_SIZE_MAX 65536

/* Exactly so many hexadecimal digits, then the delimiter. */
static bool parse_hex(const char **at, unsigned digits, char delimiter, unsigned *value_out)
{
    unsigned value = 0;
    const char *text = *at;
    for (unsigned i = 0; i < digits; i++, text++) {
        if (!isxdigit((unsigned char)*text)) {
            return false;
        }
        unsigned digit =
            *text <= '9' ? (unsigned)(*text - '0') : ((unsigned)*text | 32u) - 'a' + 10;
        value = value << 4 | digit;
    }
    if (*text != delimiter) {
        return false;
    }
    *at = text + 1;
    *value_out = value;
    return true;
}

bool emu_pci_parse(const char *text, struct emu_pci *pci_out)
{
    unsigned domain = 0;
    unsigned bus = 0;
    unsigned device = 0;
    unsigned function = 0;
    const char *at = text;
    if (text == NULL) {
        return false;
    }
    if (strnlen(text, DOCA_DEVINFO_PCI_ADDR_SIZE) == DOCA_DEVINFO_PCI_ADDR_SIZE - 1 &&
        !parse_hex(&at, 4, ':', &domain)) {
        return false;
    }
    if (!parse_hex(&at, 2, ':', &bus) || !parse_hex(&at, 2, '.', &device) ||
        !parse_hex(&at, 1, '\0', &function) || device > 31 || function > 7) {
        return false;
    }
    *pci_out =
        (struct emu_pci){(uint16_t)domain, (uint8_t)bus, (uint8_t)device, (uint8_t)function, 0};
    return true;
}

bool emu_pci_equal(const struct emu_pci *a, const struct emu_pci *b)
{
    return a->domain == b->domain && a->bus == b->bus && a->device == b->device &&
           a->function == b->function;
}

void emu_pci_format(const struct emu_pci *pci, char *text)
{
    snprintf(text, DOCA_DEVINFO_PCI_ADDR_SIZE, "%04x:%02x:%02x.%1x", pci->domain, pci->bus,
             pci->device & 31u, pci->function & 7u);
}

static int find_function(const struct emu_world *world, const struct emu_pci *pci)
{
    for (uint32_t i = 0; i < world->num_functions; i++) {
        if (emu_pci_equal(&world->functions[i].pci, pci)) {
            return (int)i;
        }
    }
    return -1;
}

static bool parse_reps(struct emu_world *world, struct emu_function *function, char *value)
{
    char *rest = NULL;
    for (char *word = strtok_r(value, ",", &rest); word != NULL;
         word = strtok_r(NULL, ",", &rest)) {
        struct emu_pci pci;
        int index = emu_pci_parse(word, &pci) ? find_function(world, &pci) : -1;
        if (!function->dpu || index < 0 || world->functions[index].dpu) {
            return false;
        }
        function->represents |= UINT64_C(1) << index;
    }
    return true;
}

static bool copy_name(char *out, size_t size, const char *value)
{
    size_t len = strlen(value);
    if (len == 0 || len >= size) {
        return false;
    }
    memcpy(out, value, len + 1);
    return true;
}

static bool parse_mac(struct emu_function *function, const char *value)
{
    for (size_t i = 0; i < DOCA_DEVINFO_MAC_ADDR_SIZE; i++) {
        unsigned byte = 0;
        if (!parse_hex(&value, 2, i + 1 < DOCA_DEVINFO_MAC_ADDR_SIZE ? ':' : '\0', &byte)) {
            return false;
        }
        function->mac[i] = (uint8_t)byte;
    }
    return true;
}

static bool parse_type(struct emu_function *function, const char *value)
{
    static const char *const names[] = {"pf", "vf", "sf"};
    for (size_t i = 0; i < EMU_ARRAY_LEN(names); i++) {
        if (strcmp(value, names[i]) == 0) {
            function->type = (enum doca_pci_func_type)i;
            return true;
        }
    }
    return false;
}

static bool parse_setting(struct emu_world *world, struct emu_function *function, char *word)
{
    char *value = strchr(word, '=');
    if (value == NULL) {
        return false;
    }
    *value++ = '\0';
    if (strcmp(word, "ibdev") == 0) {
        return copy_name(function->ibdev, sizeof(function->ibdev), value);
    }
    if (strcmp(word, "iface") == 0) {
        return copy_name(function->iface, sizeof(function->iface), value);
    }
    if (strcmp(word, "mac") == 0) {
        return parse_mac(function, value);
    }
    if (strcmp(word, "ipv4") == 0) {
        function->has_ipv4 = inet_pton(AF_INET, value, function->ipv4) == 1;
        return function->has_ipv4;
    }
    if (strcmp(word, "type") == 0) {
        return parse_type(function, value);
    }
    if (strcmp(word, "rep") == 0) {
        return parse_reps(world, function, value);
    }
    return false;
}

/* "host|dpu PCI [ibdev=] [iface=] [mac=] [ipv4=] [type=pf|vf|sf] [rep=PCI,...]" */
static bool parse_line(struct emu_world *world, char *line)
{
    static const char blanks[] = " \t\r";
    char *rest = NULL;
    char *side = strtok_r(line, blanks, &rest);
    if (side == NULL || side[0] == '#') {
        return true;
    }
    char *address = strtok_r(NULL, blanks, &rest);
    uint32_t index = world->num_functions;
    struct emu_function function = {.mac = {0x02, 0xb1, 0x0e, 0xca, 0x00, (uint8_t)index}};
    function.dpu = strcmp(side, "dpu") == 0;
    if ((!function.dpu && strcmp(side, "host") != 0) || !emu_pci_parse(address, &function.pci) ||
        index == EMU_FUNCTIONS_MAX || find_function(world, &function.pci) >= 0) {
        return false;
    }
    snprintf(function.ibdev, sizeof(function.ibdev), "mlx5_%u", index);
    snprintf(function.iface, sizeof(function.iface), "emu%u", index);
    for (char *word = strtok_r(NULL, blanks, &rest); word != NULL;
         word = strtok_r(NULL, blanks, &rest)) {
        if (word[0] == '#') {
            break;
        }
        if (!parse_setting(world, &function, word)) {
            return false;
        }
    }
    world->functions[world->num_functions++] = function;
    return true;
}

static doca_error_t parse_table(struct emu_world *world, char *text, const char *name)
{
    unsigned number = 0;
    for (char *line = text; line != NULL;) {
        char *next = strchr(line, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
        number++;
        if (!parse_line(world, line)) {
            emu_log(DOCA_LOG_LEVEL_ERROR, "%s:%u: not a line of a device table", name, number);
            return DOCA_ERROR_INVALID_VALUE;
        }
        line = next;
    }
    if (world->num_functions == 0) {
        emu_log(DOCA_LOG_LEVEL_ERROR, "%s: the device table is empty", name);
        return DOCA_ERROR_NOT_FOUND;
    }
    return DOCA_SUCCESS;
}

static doca_error_t read_table(struct emu_world *world)
{
    const char *path = getenv("DOCA_EMU_DEVICES");
    if (path == NULL || path[0] == '\0') {
        char text[sizeof(default_table)];
        memcpy(text, default_table, sizeof(text));
        return parse_table(world, text, "default table");
    }
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        emu_log(DOCA_LOG_LEVEL_ERROR, "device table %s cannot be read: %s", path, strerror(errno));
        return DOCA_ERROR_NOT_FOUND;
    }
    doca_error_t result = DOCA_ERROR_NO_MEMORY;
    char *text = malloc(TABLE_SIZE_MAX + 1);
    if (text != NULL) {
        size_t len = fread(text, 1, TABLE_SIZE_MAX, file);
        text[len] = '\0';
        result = parse_table(world, text, path);
    }
    free(text);
    fclose(file);
    return result;
}

/* FNV-1a. A name with a slash is a path and is resolved, so that two spellings are one world. */
static uint64_t world_id(void)
{
    char resolved[PATH_MAX];
    const char *name = getenv("DOCA_EMU_WORLD");
    if (name == NULL || name[0] == '\0') {
        name = "default";
    }
    if (strchr(name, '/') != NULL && realpath(name, resolved) != NULL) {
        name = resolved;
    }
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *name != '\0'; name++) {
        hash = (hash ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
    }
    return hash;
}

doca_error_t emu_world_create(struct emu_world **world_out)
{
    struct emu_world *world = calloc(1, sizeof(*world));
    if (world == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    atomic_init(&world->refs, 1);
    world->id = world_id();
    /* An engine that polls only helps when its submitter runs on another processor. */
    uint64_t spin_ns = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 12000 : 0;
    world->limits = (struct emu_limits){
        .max_buf_size = emu_env_u64("DOCA_EMU_MAX_BUF_SIZE", 2u << 20, 1, UINT32_MAX),
        .max_ec_block = emu_env_u64("DOCA_EMU_MAX_EC_BLOCK", 2u << 20, 64, UINT32_MAX),
        .max_list_len = (uint32_t)emu_env_u64("DOCA_EMU_MAX_LIST_LEN", 64, 1, 4096),
        .max_tasks = (uint32_t)emu_env_u64("DOCA_EMU_MAX_TASKS", 8192, 1, 65536),
        .engine_threads = (uint32_t)emu_env_u64("DOCA_EMU_ENGINE_THREADS", 1, 1, 16),
        .empty_source_fails = emu_env_u64("DOCA_EMU_EMPTY_SOURCE_FAILS", 0, 0, 1) != 0,
        .spin_ns = (uint32_t)emu_env_u64("DOCA_EMU_SPIN_NS", spin_ns, 0, 10000000),
    };
    doca_error_t result = read_table(world);
    if (result != DOCA_SUCCESS) {
        free(world);
        return result;
    }
    *world_out = world;
    return DOCA_SUCCESS;
}

struct emu_world *emu_world_get(struct emu_world *world)
{
    atomic_fetch_add_explicit(&world->refs, 1, memory_order_relaxed);
    return world;
}

void emu_world_put(struct emu_world *world)
{
    if (atomic_fetch_sub_explicit(&world->refs, 1, memory_order_acq_rel) == 1) {
        free(world);
    }
}
