/* SPDX-License-Identifier: Apache-2.0 */
/* address.c - takes "HOST:PORT" apart; see address.h. */
#include "channel/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "dma_transfer.h"

static int parse_port(const char *text, uint16_t *port_out)
{
    uint32_t port = 0;
    size_t digits = strlen(text);

    if (digits == 0 || digits > 5) {
        return -EINVAL;
    }
    for (size_t i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -EINVAL;
        }
        port = port * 10 + (uint32_t)(text[i] - '0');
    }
    if (port > UINT16_MAX) {
        return -EINVAL;
    }
    *port_out = (uint16_t)port;
    return 0;
}

/* A v6 address may name its interface: "fe80::1%eth0". */
static bool is_v6(const char *host)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr out;
    size_t len = strcspn(host, "%");

    if (len >= sizeof(address) || (host[len] == '%' && host[len + 1] == '\0')) {
        return false;
    }
    memcpy(address, host, len);
    address[len] = '\0';
    return inet_pton(AF_INET6, address, &out) == 1;
}

/* Sets `numeric`. What looks like an address and is none would only make the resolver wait. */
static int check_host(struct bc_address *address, bool must_be_v6)
{
    struct in_addr out;

    if (address->host[0] == '\0') {
        return -EINVAL;
    }
    address->numeric = true;
    if (must_be_v6 || strchr(address->host, ':') != NULL) {
        return is_v6(address->host) ? 0 : -EINVAL;
    }
    if (address->host[strspn(address->host, "0123456789.")] == '\0') {
        return inet_pton(AF_INET, address->host, &out) == 1 ? 0 : -EINVAL;
    }
    address->numeric = false;
    return 0;
}

int bc_address_parse(const char *text, struct bc_address *address_out)
{
    struct bc_address address = {.port = BC_WIRE_PORT};
    bool bracketed = text[0] == '[';
    const char *host = bracketed ? text + 1 : text;
    const char *port = NULL;
    size_t host_len;
    int rc;

    if (bracketed) {
        host_len = strcspn(host, "]");
        if (host[host_len] == '\0') {
            return -EINVAL;
        }
        if (host[host_len + 1] == ':') {
            port = host + host_len + 2;
        } else if (host[host_len + 1] != '\0') {
            return -EINVAL;
        }
    } else {
        host_len = strcspn(host, ":");
        if (host[host_len] == ':' && strchr(host + host_len + 1, ':') == NULL) {
            port = host + host_len + 1;
        } else {
            host_len = strlen(host);
        }
    }
    if (host_len > BC_ADDRESS_HOST_MAX) {
        return -EINVAL;
    }
    memcpy(address.host, host, host_len);
    address.host[host_len] = '\0';
    if (port != NULL) {
        rc = parse_port(port, &address.port);
        if (rc != 0) {
            return rc;
        }
    }
    rc = check_host(&address, bracketed);
    if (rc != 0) {
        return rc;
    }
    *address_out = address;
    return 0;
}
