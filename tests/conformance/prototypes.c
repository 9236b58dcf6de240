/* SPDX-License-Identifier: Apache-2.0 */
/* prototypes.c - that the headers declare every function with its exact type, and every constant with
 * its value, in C and in C++, in the shapes of DOCA 3.0 and 2.7. Linked, that the libraries have them.
 * CONFORMANCE_STABLE_ONLY leaves the experimental functions out, to be compiled without
 * DOCA_ALLOW_EXPERIMENTAL_API and with deprecation as an error. */
#include <doca_argp.h>
#include <doca_buf.h>
#include <doca_buf_inventory.h>
#include <doca_comch.h>
#include <doca_comch_consumer.h>
#include <doca_comch_producer.h>
#include <doca_ctx.h>
#include <doca_dev.h>
#include <doca_dma.h>
#include <doca_erasure_coding.h>
#include <doca_error.h>
#include <doca_log.h>
#include <doca_mmap.h>
#include <doca_pe.h>
#include <doca_types.h>
#include <doca_version.h>

#include <assert.h>
#include <stdio.h>

/* clang-format off */
#define MEMBER(type, name, args) type (*name) args;
/* clang-format on */
#define VALUE(type, name, args) name,
#define NOTHING(type, name, args)
/* A function of this name would be a contradiction. */
#define ABSENT(type, name, args) typedef struct absent_##name name;

#ifdef CONFORMANCE_STABLE_ONLY
#define IF_EXPERIMENTAL(macro) NOTHING
#else
#define IF_EXPERIMENTAL(macro) macro
#endif

struct functions {
#define STABLE       MEMBER
#define EXPERIMENTAL IF_EXPERIMENTAL(MEMBER)
#ifdef DOCA_EMU_API_2_7
#define NEW                                      NOTHING
#define COMCH                                    IF_EXPERIMENTAL(MEMBER)
#define DIFFERS(type27, name27, args27, t, n, a) IF_EXPERIMENTAL(MEMBER)(type27, name27, args27)
#else
#define NEW                             IF_EXPERIMENTAL(MEMBER)
#define COMCH                           MEMBER
#define DIFFERS(t27, n27, a27, t, n, a) IF_EXPERIMENTAL(MEMBER)(t, n, a)
#endif
#include "prototypes.def"
#undef STABLE
#undef EXPERIMENTAL
#undef NEW
#undef COMCH
#undef DIFFERS
};

static const struct functions functions = {
#define STABLE       VALUE
#define EXPERIMENTAL IF_EXPERIMENTAL(VALUE)
#ifdef DOCA_EMU_API_2_7
#define NEW                                      NOTHING
#define COMCH                                    IF_EXPERIMENTAL(VALUE)
#define DIFFERS(type27, name27, args27, t, n, a) IF_EXPERIMENTAL(VALUE)(type27, name27, args27)
#else
#define NEW                             IF_EXPERIMENTAL(VALUE)
#define COMCH                           VALUE
#define DIFFERS(t27, n27, a27, t, n, a) IF_EXPERIMENTAL(VALUE)(t, n, a)
#endif
#include "prototypes.def"
#undef STABLE
#undef EXPERIMENTAL
#undef NEW
#undef COMCH
#undef DIFFERS
};

#ifdef DOCA_EMU_API_2_7
#define STABLE       NOTHING
#define EXPERIMENTAL NOTHING
#define COMCH        NOTHING
#define NEW          ABSENT
#define DIFFERS(t27, n27, a27, t, n, a)
#include "prototypes.def"
#endif

#define IS(constant, value) static_assert((int)(constant) == (value), #constant)

IS(DOCA_SUCCESS, 0);
IS(DOCA_ERROR_UNKNOWN, 1);
IS(DOCA_ERROR_NOT_PERMITTED, 2);
IS(DOCA_ERROR_IN_USE, 3);
IS(DOCA_ERROR_NOT_SUPPORTED, 4);
IS(DOCA_ERROR_AGAIN, 5);
IS(DOCA_ERROR_INVALID_VALUE, 6);
IS(DOCA_ERROR_NO_MEMORY, 7);
IS(DOCA_ERROR_INITIALIZATION, 8);
IS(DOCA_ERROR_TIME_OUT, 9);
IS(DOCA_ERROR_SHUTDOWN, 10);
IS(DOCA_ERROR_CONNECTION_RESET, 11);
IS(DOCA_ERROR_CONNECTION_ABORTED, 12);
IS(DOCA_ERROR_CONNECTION_INPROGRESS, 13);
IS(DOCA_ERROR_NOT_CONNECTED, 14);
IS(DOCA_ERROR_NO_LOCK, 15);
IS(DOCA_ERROR_NOT_FOUND, 16);
IS(DOCA_ERROR_IO_FAILED, 17);
IS(DOCA_ERROR_BAD_STATE, 18);
IS(DOCA_ERROR_UNSUPPORTED_VERSION, 19);
IS(DOCA_ERROR_OPERATING_SYSTEM, 20);
IS(DOCA_ERROR_DRIVER, 21);
IS(DOCA_ERROR_UNEXPECTED, 22);
IS(DOCA_ERROR_ALREADY_EXIST, 23);
IS(DOCA_ERROR_FULL, 24);
IS(DOCA_ERROR_EMPTY, 25);
IS(DOCA_ERROR_IN_PROGRESS, 26);
IS(DOCA_ERROR_TOO_BIG, 27);
IS(DOCA_ERROR_AUTHENTICATION, 28);
IS(DOCA_ERROR_BAD_CONFIG, 29);
IS(DOCA_ERROR_SKIPPED, 30);

IS(DOCA_LOG_LEVEL_DISABLE, 10);
IS(DOCA_LOG_LEVEL_CRIT, 20);
IS(DOCA_LOG_LEVEL_ERROR, 30);
IS(DOCA_LOG_LEVEL_WARNING, 40);
IS(DOCA_LOG_LEVEL_INFO, 50);
IS(DOCA_LOG_LEVEL_DEBUG, 60);
IS(DOCA_LOG_LEVEL_TRACE, 70);

IS(DOCA_ACCESS_FLAG_LOCAL_READ_ONLY, 0);
IS(DOCA_ACCESS_FLAG_LOCAL_READ_WRITE, 1);
IS(DOCA_ACCESS_FLAG_RDMA_READ, 2);
IS(DOCA_ACCESS_FLAG_RDMA_WRITE, 4);
IS(DOCA_ACCESS_FLAG_RDMA_ATOMIC, 8);
IS(DOCA_ACCESS_FLAG_PCI_READ_ONLY, 16);
IS(DOCA_ACCESS_FLAG_PCI_READ_WRITE, 32);
IS(DOCA_ACCESS_FLAG_PCI_RELAXED_ORDERING, 64);
IS(DOCA_PCI_FUNC_TYPE_PF, 0);
IS(DOCA_PCI_FUNC_TYPE_VF, 1);
IS(DOCA_PCI_FUNC_TYPE_SF, 2);
IS(DOCA_GPU_MEM_TYPE_GPU, 0);
IS(DOCA_GPU_MEM_TYPE_GPU_CPU, 1);
IS(DOCA_GPU_MEM_TYPE_CPU_GPU, 2);
IS(doca_event_invalid_handle, -1);
static_assert(sizeof(union doca_data) == 8, "doca_data");
static_assert(sizeof(doca_notification_handle_t) == sizeof(int), "doca_notification_handle_t");

IS(DOCA_DEVINFO_PCI_ADDR_SIZE, 13);
IS(DOCA_DEVINFO_PCI_BDF_SIZE, 8);
IS(DOCA_DEVINFO_IBDEV_NAME_SIZE, 64);
IS(DOCA_DEVINFO_IFACE_NAME_SIZE, 256);
IS(DOCA_DEVINFO_VUID_SIZE, 128);
IS(DOCA_DEVINFO_MAC_ADDR_SIZE, 6);
IS(DOCA_DEVINFO_IPV4_ADDR_SIZE, 4);
IS(DOCA_DEVINFO_IPV6_ADDR_SIZE, 16);
IS(DOCA_DEVINFO_REP_VUID_SIZE, 128);
IS(DOCA_DEVINFO_REP_PCI_ADDR_SIZE, 13);
IS(DOCA_DEVINFO_REP_PCI_BDF_SIZE, 8);
IS(DOCA_DEVINFO_REP_FILTER_ALL, 0);
IS(DOCA_DEVINFO_REP_FILTER_NET, 2);
IS(DOCA_DEVINFO_REP_FILTER_EMULATED, 4);

IS(DOCA_CTX_STATE_IDLE, 0);
IS(DOCA_CTX_STATE_STARTING, 1);
IS(DOCA_CTX_STATE_RUNNING, 2);
IS(DOCA_CTX_STATE_STOPPING, 3);
#ifndef DOCA_EMU_API_2_7
IS(DOCA_TASK_SUBMIT_FLAG_NONE, 0);
IS(DOCA_TASK_SUBMIT_FLAG_FLUSH, 1);
IS(DOCA_TASK_SUBMIT_FLAG_OPTIMIZE_REPORTS, 2);
IS(DOCA_PE_EVENT_MODE_PROGRESS_SELECTIVE, 0);
IS(DOCA_PE_EVENT_MODE_PROGRESS_ALL, 1);
#endif
IS(DOCA_COMCH_COUNTER_SENT_MESSAGES, 1);
IS(DOCA_COMCH_COUNTER_SENT_BYTES, 2);
IS(DOCA_COMCH_COUNTER_RECV_MESSAGES, 3);
IS(DOCA_COMCH_COUNTER_RECV_BYTES, 4);
IS(DOCA_EC_MATRIX_TYPE_CAUCHY, 1);
IS(DOCA_EC_MATRIX_TYPE_VANDERMONDE, 2);
IS(DOCA_ARGP_TYPE_UNKNOWN, 0);
IS(DOCA_ARGP_TYPE_STRING, 1);
IS(DOCA_ARGP_TYPE_INT, 2);
IS(DOCA_ARGP_TYPE_BOOLEAN, 3);
IS(DOCA_ARGP_TYPE_JSON_OBJ, 4);

#if !DOCA_VERSION_LTE_CURRENT(2, 7, 85)
#error "the version is for the preprocessor, too"
#endif
#ifdef DOCA_EMU_API_2_7
static_assert(DOCA_VERSION_EQ_CURRENT(2, 7, 85), "version");
#else
static_assert(DOCA_VERSION_EQ_CURRENT(3, 0, 58), "version");
static_assert(!DOCA_VERSION_LTE_CURRENT(3, 0, 59), "version");
#endif

int main(void)
{
    printf("%zu functions\n", sizeof(functions) / sizeof(functions.doca_error_get_name));
    return 0;
}
