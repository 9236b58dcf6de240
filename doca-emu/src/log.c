/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - log back ends for the application's messages (doca_log) and for the library's (emu_log).
 * Back ends are few and never freed; everything is under one mutex, so lines do not mix. */
#include "doca_log.h"

#include "emu.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BACKENDS_MAX 16
#define SOURCES_MAX  512
#define LINE_MAX_LEN 1024

struct doca_log_backend {
    FILE *file;
    uint32_t level; /* messages up to this level pass */
    uint32_t above; /* and above this one; 0: no limit */
    bool sdk;       /* takes the library's messages, not the application's */
};

static struct {
    pthread_mutex_t lock;
    struct doca_log_backend backends[BACKENDS_MAX];
    size_t num_backends;
    bool standard;      /* create_standard was called */
    uint32_t app_level; /* global limit of the application's messages */
    char *names[SOURCES_MAX];
    int num_names;
} logs = {.lock = PTHREAD_MUTEX_INITIALIZER, .app_level = DOCA_LOG_LEVEL_INFO};

static const char *level_name(uint32_t level)
{
    switch (level) {
    case DOCA_LOG_LEVEL_CRIT:
        return "CRT";
    case DOCA_LOG_LEVEL_ERROR:
        return "ERR";
    case DOCA_LOG_LEVEL_WARNING:
        return "WRN";
    case DOCA_LOG_LEVEL_INFO:
        return "INF";
    case DOCA_LOG_LEVEL_DEBUG:
        return "DBG";
    default:
        return "TRC";
    }
}

static bool level_valid(uint32_t level)
{
    return level >= DOCA_LOG_LEVEL_DISABLE && level <= DOCA_LOG_LEVEL_TRACE;
}

static doca_error_t add_backend(FILE *file, bool sdk, uint32_t level,
                                struct doca_log_backend **backend_out)
{
    doca_error_t result = DOCA_SUCCESS;
    pthread_mutex_lock(&logs.lock);
    if (logs.num_backends == BACKENDS_MAX) {
        result = DOCA_ERROR_NO_MEMORY;
    } else {
        struct doca_log_backend *backend = &logs.backends[logs.num_backends++];
        *backend = (struct doca_log_backend){.file = file, .level = level, .sdk = sdk};
        *backend_out = backend;
    }
    pthread_mutex_unlock(&logs.lock);
    return result;
}

doca_error_t doca_log_backend_set_level_lower_limit(struct doca_log_backend *backend,
                                                    uint32_t level)
{
    if (backend == NULL || !level_valid(level)) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    pthread_mutex_lock(&logs.lock);
    backend->level = level;
    pthread_mutex_unlock(&logs.lock);
    return DOCA_SUCCESS;
}

doca_error_t doca_log_level_set_global_lower_limit(uint32_t level)
{
    if (!level_valid(level)) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    pthread_mutex_lock(&logs.lock);
    logs.app_level = level;
    pthread_mutex_unlock(&logs.lock);
    return DOCA_SUCCESS;
}

doca_error_t doca_log_register_source(const char *source_name, int *source)
{
    if (source_name == NULL || source == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    char *name = strdup(source_name);
    if (name == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    doca_error_t result = DOCA_SUCCESS;
    pthread_mutex_lock(&logs.lock);
    if (logs.num_names == SOURCES_MAX) {
        result = DOCA_ERROR_NO_MEMORY;
    } else {
        *source = logs.num_names;
        logs.names[logs.num_names++] = name;
        name = NULL;
    }
    pthread_mutex_unlock(&logs.lock);
    free(name);
    return result;
}

doca_error_t doca_log_backend_create_with_file(FILE *fptr, struct doca_log_backend **backend)
{
    if (fptr == NULL || backend == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return add_backend(fptr, false, DOCA_LOG_LEVEL_TRACE, backend);
}

doca_error_t doca_log_backend_set_sdk_level(struct doca_log_backend *backend, uint32_t level)
{
    if (backend == NULL || !backend->sdk) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return doca_log_backend_set_level_lower_limit(backend, level);
}

doca_error_t emu_log_set_sdk_level(uint32_t level)
{
    if (!level_valid(level)) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    pthread_mutex_lock(&logs.lock);
    for (size_t i = 0; i < logs.num_backends; i++) {
        if (logs.backends[i].sdk) {
            logs.backends[i].level = level;
        }
    }
    pthread_mutex_unlock(&logs.lock);
    return DOCA_SUCCESS;
}

doca_error_t doca_log_backend_create_with_file_sdk(FILE *fptr, struct doca_log_backend **backend)
{
    if (fptr == NULL || backend == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return add_backend(fptr, true, DOCA_LOG_LEVEL_INFO, backend);
}

doca_error_t doca_log_backend_create_standard(void)
{
    pthread_mutex_lock(&logs.lock);
    bool first = !logs.standard;
    logs.standard = true;
    pthread_mutex_unlock(&logs.lock);
    struct doca_log_backend *out = NULL;
    struct doca_log_backend *err = NULL;
    if (!first) {
        return DOCA_SUCCESS;
    }
    doca_error_t result = add_backend(stderr, false, DOCA_LOG_LEVEL_WARNING, &err);
    if (result == DOCA_SUCCESS) {
        result = add_backend(stdout, false, DOCA_LOG_LEVEL_TRACE, &out);
    }
    if (result == DOCA_SUCCESS) {
        out->above = DOCA_LOG_LEVEL_WARNING;
    }
    return result;
}

/* Writes one finished line to the back ends of one sort; tells how many took it or would have. */
static size_t write_line_locked(bool sdk, uint32_t level, const char *line)
{
    size_t found = 0;
    for (size_t i = 0; i < logs.num_backends; i++) {
        struct doca_log_backend *backend = &logs.backends[i];
        if (backend->sdk != sdk) {
            continue;
        }
        found++;
        if (level <= backend->level && level > backend->above) {
            fputs(line, backend->file);
            fflush(backend->file);
        }
    }
    return found;
}

static void format_head(char *head, size_t size, uint32_t level)
{
    struct timespec now;
    struct tm local;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &local);
    snprintf(head, size, "[%02d:%02d:%02d.%06ld][%d][%s]", local.tm_hour, local.tm_min,
             local.tm_sec, now.tv_nsec / 1000, (int)getpid(), level_name(level));
}

doca_error_t doca_log(uint32_t level, int source, const char *fname, int line, const char *func,
                      const char *format, ...)
{
    if (format == NULL || !level_valid(level)) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    char head[64];
    char text[LINE_MAX_LEN];
    char full[LINE_MAX_LEN + 512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    format_head(head, sizeof(head), level);
    const char *base = fname == NULL ? "" : strrchr(fname, '/');
    pthread_mutex_lock(&logs.lock);
    if (level <= logs.app_level) {
        const char *name = source >= 0 && source < logs.num_names ? logs.names[source] : "";
        snprintf(full, sizeof(full), "%s[%.64s][%.128s:%d][%.128s] %s\n", head, name,
                 fname == NULL  ? ""
                 : base == NULL ? fname
                                : base + 1,
                 line, func == NULL ? "" : func, text);
        (void)write_line_locked(false, level, full);
    }
    pthread_mutex_unlock(&logs.lock);
    return DOCA_SUCCESS;
}

/* What DOCA_EMU_LOG asks for: 0 nothing, 1 INFO on stderr, or a level of its own. */
static uint32_t env_level(void)
{
    const char *text = getenv("DOCA_EMU_LOG");
    if (text == NULL || text[0] == '\0') {
        return 0;
    }
    unsigned long value = strtoul(text, NULL, 10);
    return value == 1 ? DOCA_LOG_LEVEL_INFO : (uint32_t)value;
}

void emu_log(enum doca_log_level level, const char *format, ...)
{
    char head[64];
    char text[LINE_MAX_LEN];
    char full[LINE_MAX_LEN + 96];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    format_head(head, sizeof(head), level);
    snprintf(full, sizeof(full), "%s[doca-emu] %s\n", head, text);
    pthread_mutex_lock(&logs.lock);
    /* Without a back end of its own the library speaks where the application does. */
    if (write_line_locked(true, level, full) == 0 && logs.num_backends > 0 &&
        level <= DOCA_LOG_LEVEL_INFO) {
        (void)write_line_locked(false, level, full);
    }
    if ((uint32_t)level <= env_level()) {
        fputs(full, stderr);
    }
    pthread_mutex_unlock(&logs.lock);
}
