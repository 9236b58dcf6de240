/* SPDX-License-Identifier: Apache-2.0 */
/* crc.h - the one function of ISA-L that is called, and crc32_iscsi.c stands in for: within NIXL's
 * tree neither the library nor its headers are needed. */
#ifndef BC_IN_TREE_CRC_H
#define BC_IN_TREE_CRC_H

#ifdef __cplusplus
extern "C" {
#endif

unsigned int crc32_iscsi(unsigned char *buffer, int len, unsigned int init_crc);

#ifdef __cplusplus
}
#endif

#endif
