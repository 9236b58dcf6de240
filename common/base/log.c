/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - puts a line together on the stack and hands it over in one piece.
 *
 *   2026-11-21T10:00:00.123Z INFO  posix  text         on stderr
 *   <6>INFO  posix  text                               with BC_LOG_FORMAT=journal
 *
 * Invariants: a line holds printable ASCII only, whatever the arguments were, so that no argument
 * can forge a line or steer a terminal; logging leaves errno as it was and allocates nothing.
 * Threads: any; the level is read with relaxed atomics, the format is decided once. A line that
 * cannot be written is lost. That goes for one that nobody takes, too: a pipe whose reader has
 * stopped must not stop us. The first such line waits for LOG_WAIT_MS, the next ones do not wait,
 * and when there is room again a line says how many are missing. */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"

#define LINE_LEN_MAX 1000 /* with its end less than a pipe takes in one piece */
#define LOG_WAIT_MS  100
#define CUT_MARK     "..."
#define CUT_MARK_LEN (sizeof(CUT_MARK) - 1)

struct level_words {
    const char *name;
    const char *label;
    int journal_priority; /* of syslog(3) */
};

static const struct level_words levels[] = {
    [BC_LOG_ERROR] = {"error", "ERROR", 3}, [BC_LOG_WARN] = {"warn", "WARN", 4},
    [BC_LOG_INFO] = {"info", "INFO", 6},    [BC_LOG_DEBUG] = {"debug", "DEBUG", 7},
    [BC_LOG_TRACE] = {"trace", "TRACE", 7},
};

enum bc_log_level bc_log_threshold = BC_LOG_INFO;

static bc_log_sink_fn log_sink;
static void *log_sink_arg;

static pthread_once_t format_once = PTHREAD_ONCE_INIT;
static bool format_is_journal;

struct bc_counter bc_log_suppressed;

/* Held over looking for room and using it. */
static pthread_mutex_t write_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int lines_lost; /* since the last line that was written */

static void read_format(void)
{
    const char *format = getenv("BC_LOG_FORMAT");

    format_is_journal = format != NULL && strcmp(format, "journal") == 0;
}

void bc_log_set_level(enum bc_log_level level)
{
    BC_ASSERT((unsigned int)level < BC_ARRAY_LEN(levels));
    __atomic_store_n(&bc_log_threshold, level, __ATOMIC_RELAXED);
}

int bc_log_level_parse(const char *text, enum bc_log_level *level_out)
{
    for (size_t i = 0; i < BC_ARRAY_LEN(levels); i++) {
        if (strcmp(text, levels[i].name) == 0) {
            *level_out = (enum bc_log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

void bc_log_set_sink(bc_log_sink_fn sink, void *arg)
{
    log_sink = sink;
    log_sink_arg = arg;
}

/* Appends \xNN or the byte itself; false, and nothing appended, when end is too near. */
static bool put_escaped(char **at, const char *end, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    bool printable = byte >= 0x20 && byte < 0x7f;
    ptrdiff_t need = printable ? 1 : 4;

    if (end - *at < need) {
        return false;
    }
    if (printable) {
        (*at)[0] = (char)byte;
    } else {
        (*at)[0] = '\\';
        (*at)[1] = 'x';
        (*at)[2] = digits[byte >> 4];
        (*at)[3] = digits[byte & 15];
    }
    *at += need;
    return true;
}

/* Writes len bytes escaped and a NUL to buf; what does not fit in size is cut and marked. Returns
 * the length without the NUL. size must hold the mark and the NUL. */
static size_t escape(char *buf, size_t size, const unsigned char *bytes, size_t len)
{
    const char *end = buf + size - 1;
    char *at = buf;
    char *cut = buf; /* the last place from which the mark still fits */

    for (size_t i = 0; i < len; i++) {
        if ((size_t)(end - at) >= CUT_MARK_LEN) {
            cut = at;
        }
        if (!put_escaped(&at, end, bytes[i])) {
            memcpy(cut, CUT_MARK, CUT_MARK_LEN);
            at = cut + CUT_MARK_LEN;
            break;
        }
    }
    *at = '\0';
    return (size_t)(at - buf);
}

/* What stands before the text; at most size - 1 bytes. Returns its length. */
static size_t format_prefix(char *buf, size_t size, enum bc_log_level level, const char *module,
                            bool journal)
{
    const struct level_words *words = &levels[level];
    struct timespec now = {0};
    struct tm utc = {0};
    int len;

    if (journal) {
        len = snprintf(buf, size, "<%d>%-5s %s  ", words->journal_priority, words->label, module);
    } else {
        (void)clock_gettime(CLOCK_REALTIME, &now);
        (void)gmtime_r(&now.tv_sec, &utc);
        len = snprintf(buf, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %-5s %s  ",
                       utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                       utc.tm_sec, now.tv_nsec / 1000000, words->label, module);
    }
    if (len < 0) {
        return 0;
    }
    return (size_t)len < size ? (size_t)len : size - 1;
}

/* One write for the line and its end: lines of several threads and processes do not mix. */
static void write_text(const char *text, size_t len)
{
    ssize_t written;

    do {
        written = write(STDERR_FILENO, text, len);
    } while (written < 0 && errno == EINTR);
}

static bool has_room(int wait_ms)
{
    struct pollfd pollfd = {.fd = STDERR_FILENO, .events = POLLOUT};
    int ready;

    do {
        ready = poll(&pollfd, 1, wait_ms);
    } while (ready < 0 && errno == EINTR);
    return ready != 0; /* an error is the write's to find */
}

static void write_line(char *line, size_t len)
{
    char text[192];
    size_t text_len;

    line[len] = '\n';
    (void)pthread_mutex_lock(&write_lock);
    if (lines_lost > 0 && has_room(0)) {
        text_len = format_prefix(text, sizeof(text), BC_LOG_WARN, "log", format_is_journal);
        text_len += (size_t)snprintf(text + text_len, sizeof(text) - text_len,
                                     "nobody read the log: %u lines are lost\n", lines_lost);
        write_text(text, bc_min_u64(text_len, sizeof(text) - 1));
        lines_lost = 0;
    }
    if (has_room(lines_lost > 0 ? 0 : LOG_WAIT_MS)) {
        write_text(line, len + 1);
    } else {
        lines_lost++;
    }
    (void)pthread_mutex_unlock(&write_lock);
}

void bc_log_write(enum bc_log_level level, const char *module, const char *format, ...)
{
    int saved_errno = errno;
    char text[LINE_LEN_MAX + 1];
    char line[LINE_LEN_MAX + 1];
    size_t prefix_len;
    size_t text_len;
    va_list args;
    int needed;

    BC_ASSERT((unsigned int)level < BC_ARRAY_LEN(levels));
    va_start(args, format);
    needed =
        vsnprintf(text, sizeof(text), format, args); /* before anything else: it may print %m */
    va_end(args);
    text_len = needed < 0 ? 0 : strlen(text);

    (void)pthread_once(&format_once, read_format);
    /* A prefix takes a small part of a line, however long a module calls itself. */
    prefix_len = format_prefix(line, 128, level, module, format_is_journal && log_sink == NULL);
    prefix_len +=
        escape(line + prefix_len, sizeof(line) - prefix_len, (unsigned char *)text, text_len);
    if (log_sink != NULL) {
        log_sink(log_sink_arg, level, line);
    } else {
        write_line(line, prefix_len);
    }
    errno = saved_errno;
}

const char *bc_log_key(char *buf, size_t buf_len, const void *key, size_t key_len)
{
    BC_ASSERT(buf_len > 0);
    if (buf_len <= CUT_MARK_LEN) {
        buf[0] = '\0';
    } else {
        (void)escape(buf, buf_len, key, key_len);
    }
    return buf;
}

/* Lines that race for a new period may be counted in the old one: a few more or less pass. */
bool bc_log_gate_pass(struct bc_log_gate *gate, uint64_t now_ns, uint32_t *held_out)
{
    uint64_t period_ns = __atomic_load_n(&gate->period_ns, __ATOMIC_RELAXED);

    BC_ASSERT(now_ns != 0);
    if ((period_ns == 0 || (now_ns > period_ns && now_ns - period_ns >= BC_LOG_PERIOD_NS)) &&
        __atomic_compare_exchange_n(&gate->period_ns, &period_ns, now_ns, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED)) {
        __atomic_store_n(&gate->passed, 0, __ATOMIC_RELAXED);
    }
    if (__atomic_fetch_add(&gate->passed, 1, __ATOMIC_RELAXED) >= BC_LOG_BURST) {
        (void)__atomic_add_fetch(&gate->held, 1, __ATOMIC_RELAXED);
        (void)__atomic_add_fetch(&bc_log_suppressed.value, 1, __ATOMIC_RELAXED);
        return false;
    }
    *held_out = __atomic_exchange_n(&gate->held, 0, __ATOMIC_RELAXED);
    return true;
}

bool bc_log_gate_open(struct bc_log_gate *gate, enum bc_log_level level, const char *module)
{
    uint32_t held = 0;

    if (!bc_log_gate_pass(gate, bc_clock_now_ns(bc_clock_monotonic()), &held)) {
        return false;
    }
    if (held > 0) {
        bc_log_write(level, module, "%u lines like the next one were suppressed", held);
    }
    return true;
}
