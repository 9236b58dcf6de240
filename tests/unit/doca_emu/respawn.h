/* SPDX-License-Identifier: Apache-2.0 */
/* respawn.h - this program once more, as a process of its own that is told what to do over a socket:
 * a fresh image, so that nothing of the emulation is inherited. */
#ifndef DOCA_EMU_RESPAWN_H
#define DOCA_EMU_RESPAWN_H

#include <sys/types.h>

#define PEER_FD 20 /* the socket, in the new process */

/* Starts it with these arguments, and with these variables ("NAME=value", or NULL) before those of
 * this process. Returns our end of the socket (SOCK_SEQPACKET), on which receiving ends after 30 s. */
int respawn(pid_t *pid_out, char *const argv[], const char *first_env, const char *second_env);

#endif /* DOCA_EMU_RESPAWN_H */
