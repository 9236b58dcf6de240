/* SPDX-License-Identifier: Apache-2.0 */
/* channel.c - life of a channel. See receive.c and queue.c for what it does.
 * Thread: one at a time. Memory: freed by destroy. Errors: -EINVAL, -ENOMEM. */
#include "channel/internal.h"

#include <errno.h>
#include <stdlib.h>

#define OUT_MAX_DEFAULT ((size_t)16 << 20)

static size_t or_default(size_t value, size_t default_value)
{
    return value != 0 ? value : default_value;
}

int bc_channel_create(const struct bc_channel_options *options, struct bc_channel **channel_out)
{
    static const struct bc_channel_options defaults;
    const struct bc_channel_options *opt = options != NULL ? options : &defaults;
    struct bc_channel *channel;

    if (opt->message_max > BC_MESSAGE_BODY_MAX || opt->frame_max > BC_FRAME_BODY_MAX) {
        return -EINVAL;
    }
    channel = calloc(1, sizeof(*channel));
    if (channel == NULL) {
        return -ENOMEM;
    }
    bc_channel_in_init(&channel->in, or_default(opt->message_max, BC_MESSAGE_BODY_MAX));
    bc_channel_out_init(&channel->out, or_default(opt->frame_max, BC_FRAME_BODY_MAX),
                        or_default(opt->out_max, OUT_MAX_DEFAULT));
    *channel_out = channel;
    return 0;
}

void bc_channel_destroy(struct bc_channel *channel)
{
    if (channel == NULL) {
        return;
    }
    bc_channel_in_fini(&channel->in);
    bc_channel_out_fini(&channel->out);
    free(channel);
}
