/* SPDX-License-Identifier: Apache-2.0 */
/* devinfo.c - what can be asked of a device's or a representor's description. */
#include "dev.h"

#include <stdio.h>
#include <string.h>

static doca_error_t copy_text(const char *text, char *out, uint32_t size, uint32_t needed)
{
    if (out == NULL || size < needed) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    size_t len = strlen(text);
    memcpy(out, text, len + 1);
    return DOCA_SUCCESS;
}

static doca_error_t compare_pci(const struct emu_pci *pci, const char *text, uint8_t *is_equal)
{
    struct emu_pci other;
    if (is_equal == NULL || !emu_pci_parse(text, &other)) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *is_equal = emu_pci_equal(pci, &other);
    return DOCA_SUCCESS;
}

doca_error_t doca_devinfo_get_pci_addr_str(const struct doca_devinfo *devinfo, char *pci_addr_str)
{
    if (devinfo == NULL || pci_addr_str == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    emu_pci_format(&emu_devinfo_function(devinfo)->pci, pci_addr_str);
    return DOCA_SUCCESS;
}

doca_error_t doca_devinfo_is_equal_pci_addr(const struct doca_devinfo *devinfo,
                                            const char *pci_addr_str, uint8_t *is_equal)
{
    if (devinfo == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return compare_pci(&emu_devinfo_function(devinfo)->pci, pci_addr_str, is_equal);
}

doca_error_t doca_devinfo_get_ipv4_addr(const struct doca_devinfo *devinfo, uint8_t *ipv4_addr,
                                        uint32_t size)
{
    if (devinfo == NULL || ipv4_addr == NULL || size < DOCA_DEVINFO_IPV4_ADDR_SIZE) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    const struct emu_function *function = emu_devinfo_function(devinfo);
    if (!function->has_ipv4) {
        return DOCA_ERROR_NOT_FOUND;
    }
    memcpy(ipv4_addr, function->ipv4, DOCA_DEVINFO_IPV4_ADDR_SIZE);
    return DOCA_SUCCESS;
}

doca_error_t doca_devinfo_get_ipv6_addr(const struct doca_devinfo *devinfo, uint8_t *ipv6_addr,
                                        uint32_t size)
{
    if (devinfo == NULL || ipv6_addr == NULL || size < DOCA_DEVINFO_IPV6_ADDR_SIZE) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return DOCA_ERROR_NOT_FOUND;
}

doca_error_t doca_devinfo_get_mac_addr(const struct doca_devinfo *devinfo, uint8_t *mac_addr,
                                       uint32_t size)
{
    if (devinfo == NULL || mac_addr == NULL || size < DOCA_DEVINFO_MAC_ADDR_SIZE) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    memcpy(mac_addr, emu_devinfo_function(devinfo)->mac, DOCA_DEVINFO_MAC_ADDR_SIZE);
    return DOCA_SUCCESS;
}

doca_error_t doca_devinfo_get_iface_name(const struct doca_devinfo *devinfo, char *iface_name,
                                         uint32_t size)
{
    if (devinfo == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return copy_text(emu_devinfo_function(devinfo)->iface, iface_name, size,
                     DOCA_DEVINFO_IFACE_NAME_SIZE);
}

doca_error_t doca_devinfo_get_ibdev_name(const struct doca_devinfo *devinfo, char *ibdev_name,
                                         uint32_t size)
{
    if (devinfo == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return copy_text(emu_devinfo_function(devinfo)->ibdev, ibdev_name, size,
                     DOCA_DEVINFO_IBDEV_NAME_SIZE);
}

doca_error_t doca_devinfo_get_lid(const struct doca_devinfo *devinfo, uint16_t *lid)
{
    if (devinfo == NULL || lid == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return DOCA_ERROR_NOT_SUPPORTED; /* an Ethernet port has none */
}

#ifdef DOCA_EMU_API_2_7
typedef double emu_rate;
#else
typedef uint64_t emu_rate;
#endif

doca_error_t doca_devinfo_get_active_rate(const struct doca_devinfo *devinfo, emu_rate *active_rate)
{
    if (devinfo == NULL || active_rate == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return DOCA_ERROR_NOT_SUPPORTED; /* there is no link whose rate could be told */
}

doca_error_t doca_devinfo_get_vhca_id(const struct doca_devinfo *devinfo, uint16_t *vhca_id)
{
    if (devinfo == NULL || vhca_id == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *vhca_id = (uint16_t)devinfo->index;
    return DOCA_SUCCESS;
}

doca_error_t doca_devinfo_get_pci_func_type(const struct doca_devinfo *devinfo,
                                            enum doca_pci_func_type *pci_func_type)
{
    if (devinfo == NULL || pci_func_type == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *pci_func_type = emu_devinfo_function(devinfo)->type;
    return DOCA_SUCCESS;
}

doca_error_t doca_devinfo_get_sf_index(const struct doca_devinfo *devinfo, uint32_t *sf_index)
{
    if (devinfo == NULL || sf_index == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (emu_devinfo_function(devinfo)->type != DOCA_PCI_FUNC_TYPE_SF) {
        return DOCA_ERROR_NOT_SUPPORTED;
    }
    *sf_index = devinfo->index;
    return DOCA_SUCCESS;
}

static doca_error_t answer_if_dpu(const struct doca_devinfo *devinfo, uint8_t *answer)
{
    if (devinfo == NULL || answer == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *answer = emu_devinfo_function(devinfo)->dpu;
    return DOCA_SUCCESS;
}

doca_error_t doca_devinfo_rep_cap_is_filter_all_supported(const struct doca_devinfo *devinfo,
                                                          uint8_t *filter_all_supported)
{
    return answer_if_dpu(devinfo, filter_all_supported);
}

doca_error_t doca_devinfo_rep_cap_is_filter_net_supported(const struct doca_devinfo *devinfo,
                                                          uint8_t *filter_net_supported)
{
    return answer_if_dpu(devinfo, filter_net_supported);
}

doca_error_t doca_devinfo_rep_cap_is_filter_emulated_supported(const struct doca_devinfo *devinfo,
                                                               uint8_t *filter_emulated_supported)
{
    if (devinfo == NULL || filter_emulated_supported == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *filter_emulated_supported = 0;
    return DOCA_SUCCESS;
}

static const struct emu_function *rep_function(const struct doca_devinfo_rep *rep)
{
    return &rep->world->functions[rep->index];
}

doca_error_t doca_devinfo_rep_get_vuid(const struct doca_devinfo_rep *devinfo_rep, char *rep_vuid,
                                       uint32_t size)
{
    if (devinfo_rep == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    char text[DOCA_DEVINFO_REP_VUID_SIZE];
    snprintf(text, sizeof(text), "EMU%016llXF%u", (unsigned long long)devinfo_rep->world->id,
             devinfo_rep->index);
    return copy_text(text, rep_vuid, size, DOCA_DEVINFO_REP_VUID_SIZE);
}

doca_error_t doca_devinfo_rep_get_pci_addr_str(const struct doca_devinfo_rep *devinfo_rep,
                                               char *pci_addr_str)
{
    if (devinfo_rep == NULL || pci_addr_str == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    emu_pci_format(&rep_function(devinfo_rep)->pci, pci_addr_str);
    return DOCA_SUCCESS;
}

doca_error_t doca_devinfo_rep_get_pci_func_type(const struct doca_devinfo_rep *devinfo_rep,
                                                enum doca_pci_func_type *pci_func_type)
{
    if (devinfo_rep == NULL || pci_func_type == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *pci_func_type = rep_function(devinfo_rep)->type;
    return DOCA_SUCCESS;
}

doca_error_t doca_devinfo_rep_get_is_hotplug(const struct doca_devinfo_rep *devinfo_rep,
                                             uint8_t *is_hotplug)
{
    if (devinfo_rep == NULL || is_hotplug == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *is_hotplug = 0;
    return DOCA_SUCCESS;
}

doca_error_t doca_devinfo_rep_get_iface_name(const struct doca_devinfo_rep *devinfo_rep,
                                             char *iface_name, uint32_t size)
{
    if (devinfo_rep == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    char text[DOCA_DEVINFO_REP_IFACE_NAME_SIZE];
    snprintf(text, sizeof(text), "pf%uhpf", devinfo_rep->index);
    return copy_text(text, iface_name, size, DOCA_DEVINFO_REP_IFACE_NAME_SIZE);
}

doca_error_t doca_devinfo_rep_get_vhca_id(const struct doca_devinfo_rep *devinfo_rep,
                                          uint16_t *vhca_id)
{
    if (devinfo_rep == NULL || vhca_id == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *vhca_id = (uint16_t)devinfo_rep->index;
    return DOCA_SUCCESS;
}

doca_error_t doca_devinfo_rep_is_equal_pci_addr(const struct doca_devinfo_rep *devinfo_rep,
                                                const char *pci_addr_str, uint8_t *is_equal)
{
    if (devinfo_rep == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return compare_pci(&rep_function(devinfo_rep)->pci, pci_addr_str, is_equal);
}
