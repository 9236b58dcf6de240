/* SPDX-License-Identifier: Apache-2.0 */
/* address.h - takes "HOST:PORT" apart. Private to common/channel.
 * Any thread; allocates nothing. */
#ifndef BC_CHANNEL_ADDRESS_H
#define BC_CHANNEL_ADDRESS_H

#include <stdbool.h>

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

#define BC_ADDRESS_HOST_MAX 255 /* longest DNS name */

struct bc_address {
    char host[BC_ADDRESS_HOST_MAX + 1]; /* without the brackets */
    uint16_t port;
    bool numeric; /* host is an address: no resolver may be asked */
};

/* "HOST:PORT", "[v6]:PORT", "HOST", "[v6]" or a bare v6 address; without a port it is BC_WIRE_PORT.
 * -EINVAL: empty host, a port that is no number from 0 to 65535, brackets around something else, a
 * host of digits and dots or of colons that is no address. */
BC_MUST_USE int bc_address_parse(const char *text, struct bc_address *address_out);

BC_EXTERN_C_END

#endif
