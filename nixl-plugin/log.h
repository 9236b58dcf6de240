/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - the plugin's own messages: one line on stderr, "DOCA_DMA_PROXY: <level>: <sentence>".
 * NIXL's logging is not used: it would tie the plugin to one version of Abseil.
 * BLUECACHE_LOG (error, warn, info, debug; default warn) is read when the first line is written.
 * Thread: any; a line is one write. Keys are printed with printable(), never raw. */
#ifndef BC_NIXL_LOG_H
#define BC_NIXL_LOG_H

#include <string>

namespace docaDmaProxy
{

enum class LogLevel { error = 0, warn = 1, info = 2, debug = 3 };

/* Lines above the level are dropped; longer ones than 1,000 bytes are cut. */
void logLine(LogLevel level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A key of any bytes as text: printable ASCII as it is, others as \xNN, long ones cut with
 * "...". */
std::string printable(const std::string &key);

} // namespace docaDmaProxy

#endif
