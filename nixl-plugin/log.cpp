/* SPDX-License-Identifier: Apache-2.0 */
/* log.cpp - see log.h. */
#include "log.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <poll.h>
#include <unistd.h>

namespace docaDmaProxy
{

namespace
{

constexpr const char *levelNames[] = {"error", "warn", "info", "debug"};
constexpr size_t lineMax = 1000;
constexpr size_t printedKeyMax = 96;
constexpr int roomWaitMs = 100;

LogLevel
levelFromEnvironment()
{
    const char *text = getenv("BLUECACHE_LOG");

    for (int level = 0; text != nullptr && level < 4; ++level) {
        if (strcmp(text, levelNames[level]) == 0) {
            return static_cast<LogLevel>(level);
        }
    }
    return text != nullptr && strcmp(text, "trace") == 0 ? LogLevel::debug : LogLevel::warn;
}

} // namespace

void
logLine(LogLevel level, const char *format, ...)
{
    static const LogLevel threshold = levelFromEnvironment();
    char line[lineMax];
    va_list args;

    if (level > threshold) {
        return;
    }
    int used =
        snprintf(line, sizeof(line), "DOCA_DMA_PROXY: %s: ", levelNames[static_cast<int>(level)]);
    va_start(args, format);
    const int added = vsnprintf(line + used, sizeof(line) - used - 1, format, args);
    va_end(args);
    if (added > 0) {
        const size_t room = sizeof(line) - used - 2;
        used += static_cast<int>(static_cast<size_t>(added) < room ? added : room);
    }
    line[used++] = '\n';
    /* A message that cannot be written has nowhere else to go. One that nobody takes is dropped as
     * well: calls that never wait must not begin to because of a pipe. */
    struct pollfd room = {STDERR_FILENO, POLLOUT, 0};

    if (poll(&room, 1, roomWaitMs) != 0) {
        const ssize_t written = write(STDERR_FILENO, line, static_cast<size_t>(used));
        static_cast<void>(written);
    }
}

std::string
printable(const std::string &key)
{
    std::string text;

    for (const unsigned char byte : key) {
        if (text.size() >= printedKeyMax) {
            return text + "...";
        }
        if (byte >= 0x20 && byte < 0x7f && byte != '\\') {
            text += static_cast<char>(byte);
        } else {
            char escaped[8];

            snprintf(escaped, sizeof(escaped), "\\x%02x", byte);
            text += escaped;
        }
    }
    return text;
}

} // namespace docaDmaProxy
