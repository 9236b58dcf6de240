/* SPDX-License-Identifier: Apache-2.0 */
/* device.c - see internal.h. Addresses, and the functions of the BlueField that they name. What
 * cannot be opened is said in a sentence for whoever operates the machine. */
#include "channel/comch/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SCHEME    "comch:"
#define NAMES_LEN 256u

int bc_comch_errno(doca_error_t error)
{
    switch (error) {
    case DOCA_SUCCESS:
        return 0;
    case DOCA_ERROR_NO_MEMORY:
        return -ENOMEM;
    case DOCA_ERROR_INVALID_VALUE:
        return -EINVAL;
    case DOCA_ERROR_NOT_SUPPORTED:
        return -EOPNOTSUPP;
    case DOCA_ERROR_NOT_PERMITTED:
        return -EACCES;
    case DOCA_ERROR_NOT_FOUND:
        return -ENODEV;
    case DOCA_ERROR_ALREADY_EXIST:
    case DOCA_ERROR_IN_USE:
        return -EADDRINUSE;
    case DOCA_ERROR_NOT_CONNECTED:
    case DOCA_ERROR_CONNECTION_RESET:
    case DOCA_ERROR_CONNECTION_ABORTED:
        return -ECONNREFUSED;
    default:
        return -EIO;
    }
}

/* ---- addresses ----------------------------------------------------------------------------- */

/* Takes what comes before the next '/', or all. NULL: it does not fit. */
static const char *take_part(const char *text, char *out, size_t size)
{
    size_t len = strcspn(text, "/");

    if (len >= size) {
        return NULL;
    }
    memcpy(out, text, len);
    out[len] = '\0';
    return text + len;
}

int bc_comch_address_parse(const char *text, bool listens, struct bc_comch_address *address_out)
{
    struct bc_comch_address address = {.service = BC_COMCH_SERVICE};
    const char *rest;

    if (strncmp(text, SCHEME, strlen(SCHEME)) != 0) {
        return -EINVAL;
    }
    rest = take_part(text + strlen(SCHEME), address.device, sizeof(address.device));
    if (rest != NULL && listens && rest[0] == '/') {
        rest = take_part(rest + 1, address.rep, sizeof(address.rep));
    }
    if (rest != NULL && rest[0] == '/') {
        rest = take_part(rest + 1, address.service, sizeof(address.service));
    }
    if (rest == NULL || rest[0] != '\0' || address.service[0] == '\0') {
        return -EINVAL;
    }
    *address_out = address;
    return 0;
}

/* ---- devices ------------------------------------------------------------------------------- */

static void add_name(char *names, const char *name)
{
    size_t used = strlen(names);

    (void)snprintf(names + used, NAMES_LEN - used, "%s%s", used == 0 ? "" : ", ", name);
}

static bool can(const struct doca_devinfo *info, bool server)
{
    return (server ? doca_comch_cap_server_is_supported(info)
                   : doca_comch_cap_client_is_supported(info)) == DOCA_SUCCESS;
}

/* The function that is meant; NULL: none, or several. *wrong_out: it exists but cannot do it. */
static struct doca_devinfo *find(struct doca_devinfo **list, uint32_t count, const char *pci_addr,
                                 bool server, char *names, bool *wrong_out)
{
    struct doca_devinfo *found = NULL;
    uint32_t matches = 0;

    for (uint32_t i = 0; i < count; i++) {
        char name[DOCA_DEVINFO_PCI_ADDR_SIZE] = "";
        bool able = can(list[i], server);
        uint8_t equal = pci_addr[0] == '\0';

        if (equal == 0 &&
            doca_devinfo_is_equal_pci_addr(list[i], pci_addr, &equal) != DOCA_SUCCESS) {
            equal = 0;
        }
        if (able && doca_devinfo_get_pci_addr_str(list[i], name) == DOCA_SUCCESS) {
            add_name(names, name);
        }
        if (able && equal != 0) {
            found = list[i];
            matches++;
        }
        *wrong_out = *wrong_out || (!able && equal != 0 && pci_addr[0] != '\0');
    }
    return matches == 1 ? found : NULL;
}

static int not_found(const char *pci_addr, bool server, const char *names, bool wrong)
{
    const char *role = server ? "serve" : "connect to";

    if (wrong) {
        BC_WARN_LIMITED("comch", "%s cannot %s a Comch service: %s; functions that can: %s",
                        pci_addr, role,
                        server ? "it is a host's function, or the DPU is in NIC mode"
                               : "it is a DPU's own function",
                        names[0] == '\0' ? "none" : names);
        return -EOPNOTSUPP;
    }
    if (names[0] == '\0') {
        BC_WARN_LIMITED("comch",
                        "no function here can %s a Comch service: see that %s, and that this user "
                        "may open it (root, or the group mlnx)",
                        role,
                        server ? "this is a BlueField in DPU mode (mlxconfig: INTERNAL_CPU_MODEL)"
                               : "a BlueField is in this host");
    } else if (pci_addr[0] == '\0') {
        BC_WARN_LIMITED("comch", "several functions can %s a Comch service; choose one: %s", role,
                        names);
    } else {
        BC_WARN_LIMITED("comch",
                        "no function at PCI address %s can %s a Comch service; there is %s",
                        pci_addr, role, names);
    }
    return -ENODEV;
}

static int check_name(const struct doca_devinfo *info, const char *service)
{
    uint32_t len_max = 0; /* with its end */

    if (doca_comch_cap_get_max_name_len(info, &len_max) == DOCA_SUCCESS &&
        strlen(service) >= len_max) {
        BC_WARN_LIMITED("comch", "the service name %s is too long: at most %u characters", service,
                        len_max - 1);
        return -EINVAL;
    }
    return 0;
}

static int open_found(struct doca_devinfo *info, struct bc_comch_address *address,
                      struct doca_dev **dev_out)
{
    doca_error_t error;
    int rc = check_name(info, address->service);

    if (rc != 0) {
        return rc;
    }
    (void)doca_devinfo_get_pci_addr_str(info, address->device);
    error = doca_dev_open(info, dev_out);
    if (error != DOCA_SUCCESS) {
        BC_WARN_LIMITED("comch",
                        "cannot open %s: %s (run as root or as a member of the group mlnx?)",
                        address->device, doca_error_get_descr(error));
    }
    return bc_comch_errno(error);
}

int bc_comch_device_open(struct bc_comch_address *address, bool server, struct doca_dev **dev_out)
{
    struct doca_devinfo **list = NULL;
    struct doca_devinfo *info;
    char names[NAMES_LEN] = "";
    bool wrong = false;
    uint32_t count = 0;
    int rc;

    if (doca_devinfo_create_list(&list, &count) != DOCA_SUCCESS) {
        return not_found(address->device, server, names, false);
    }
    info = find(list, count, address->device, server, names, &wrong);
    rc = info != NULL ? open_found(info, address, dev_out)
                      : not_found(address->device, server, names, wrong);
    (void)doca_devinfo_destroy_list(list);
    return rc;
}

/* ---- representors -------------------------------------------------------------------------- */

static struct doca_devinfo_rep *find_rep(struct doca_devinfo_rep **list, uint32_t count,
                                         const char *pci_addr, char *names)
{
    struct doca_devinfo_rep *found = NULL;
    uint32_t matches = 0;

    for (uint32_t i = 0; i < count; i++) {
        char name[DOCA_DEVINFO_REP_PCI_ADDR_SIZE] = "";
        uint8_t equal = pci_addr[0] == '\0';

        if (doca_devinfo_rep_get_pci_addr_str(list[i], name) == DOCA_SUCCESS) {
            add_name(names, name);
        }
        if (equal != 0 ||
            (doca_devinfo_rep_is_equal_pci_addr(list[i], pci_addr, &equal) == DOCA_SUCCESS &&
             equal != 0)) {
            found = list[i];
            matches++;
        }
    }
    return matches == 1 ? found : NULL;
}

static int rep_not_found(const struct bc_comch_address *address, const char *names)
{
    if (names[0] == '\0') {
        BC_ERROR("comch",
                 "%s represents no function of the host: see that the BlueField is in DPU mode "
                 "(mlxconfig: INTERNAL_CPU_MODEL) and that this is the DPU's own function",
                 address->device);
    } else if (address->rep[0] == '\0') {
        BC_ERROR("comch", "%s represents several functions of the host; choose one with --rep: %s",
                 address->device, names);
    } else {
        BC_ERROR("comch",
                 "%s does not represent the host function %s; it represents %s (addresses as lspci "
                 "on the host shows them)",
                 address->device, address->rep, names);
    }
    return -ENODEV;
}

int bc_comch_rep_open(struct doca_dev *dev, struct bc_comch_address *address,
                      struct doca_dev_rep **rep_out)
{
    struct doca_devinfo_rep **list = NULL;
    struct doca_devinfo_rep *info;
    char names[NAMES_LEN] = "";
    uint32_t count = 0;
    uint8_t supported = 0;
    doca_error_t error;
    int rc = 0;

    if (doca_devinfo_rep_cap_is_filter_net_supported(doca_dev_as_devinfo(dev), &supported) !=
            DOCA_SUCCESS ||
        supported == 0 ||
        doca_devinfo_rep_create_list(dev, DOCA_DEVINFO_REP_FILTER_NET, &list, &count) !=
            DOCA_SUCCESS) {
        return rep_not_found(address, names);
    }
    info = find_rep(list, count, address->rep, names);
    if (info == NULL) {
        rc = rep_not_found(address, names);
    } else {
        (void)doca_devinfo_rep_get_pci_addr_str(info, address->rep);
        error = doca_dev_rep_open(info, rep_out);
        rc = bc_comch_errno(error);
        if (rc != 0) {
            BC_ERROR("comch", "cannot open the representor of %s: %s (run as root?)", address->rep,
                     doca_error_get_descr(error));
        }
    }
    (void)doca_devinfo_rep_destroy_list(list);
    return rc;
}
