/* SPDX-License-Identifier: Apache-2.0 */
/* crc32_iscsi.c - stands in for the one function of ISA-L that libbluecache calls, so that the
 * plugin loads on hosts that have no libisal.so (Debian has no archive of it to link). The host
 * checksums control messages only; the agent, which checksums the data, uses ISA-L itself.
 *
 * As ISA-L's: CRC-32C, reflected, the raw register in and out. The processor's instruction is used
 * where it has one, else tables. Thread: any; the tables are made before main. */
#include <isa-l/crc.h>

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* 0x1EDC6F41 with its bits reversed */

/* tables[k][b]: the register after byte b and k more bytes of zeros. */
static uint32_t tables[8][256];

__attribute__((constructor)) static void
make_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;

        for (int bit = 0; bit < 8; bit++) {
            crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
        }
        tables[0][byte] = crc;
    }
    for (uint32_t byte = 0; byte < 256; byte++) {
        for (int k = 1; k < 8; k++) {
            uint32_t crc = tables[k - 1][byte];

            tables[k][byte] = crc >> 8 ^ tables[0][crc & 0xff];
        }
    }
}

static uint32_t
with_tables(uint32_t crc, const unsigned char *data, size_t len)
{
    for (; len >= 8; data += 8, len -= 8) {
        uint64_t word;

        memcpy(&word, data, 8);
        word ^= crc;
        crc = 0;
        for (int k = 0; k < 8; k++) {
            crc ^= tables[7 - k][word >> 8 * k & 0xff];
        }
    }
    for (; len > 0; data++, len--) {
        crc = crc >> 8 ^ tables[0][(crc ^ *data) & 0xff];
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t
with_instruction(uint32_t crc, const unsigned char *data, size_t len)
{
    uint64_t wide = crc;

    for (; len >= 8; data += 8, len -= 8) {
        uint64_t word;

        memcpy(&word, data, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    return with_tables((uint32_t)wide, data, len);
}

static int
has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
}
#else
static uint32_t
with_instruction(uint32_t crc, const unsigned char *data, size_t len)
{
    return with_tables(crc, data, len);
}

static int
has_instruction(void)
{
    return 0;
}
#endif

unsigned int
crc32_iscsi(unsigned char *buffer, int len, unsigned int init_crc)
{
    if (len <= 0) {
        return init_crc;
    }
    return has_instruction() ? with_instruction(init_crc, buffer, (size_t)len)
                             : with_tables(init_crc, buffer, (size_t)len);
}
