/* SPDX-License-Identifier: Apache-2.0 */
/* samples.h - a random valid body of any message type, through the encoders; and a walk that
 * decodes a body and reads every byte that the decoder shows, for a sanitizer to watch. */
#ifndef BC_TEST_SAMPLES_H
#define BC_TEST_SAMPLES_H

#include "proto/proto.h"
#include "seeded.h"

/* Large enough for every sample. */
#define SAMPLE_LEN_MAX ((size_t)16384)

/* What the encoders say: 0 or -EMSGSIZE. The same state of `seeded` gives the same body. */
BC_MUST_USE int sample_encode(struct seeded *seeded, uint8_t type, struct bc_writer *writer);

/* What the decoder of `type` says. sum_out gets a checksum of all that it showed. */
BC_MUST_USE int walk_decode(uint8_t type, const void *body, size_t len, uint64_t *sum_out);

#endif
