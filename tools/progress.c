/* SPDX-License-Identifier: Apache-2.0 */
/* progress.c - see progress.h. */
#include "progress.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli.h"
#include "units.h"

#define DRAW_EVERY_NS  UINT64_C(100000000)
#define SHOW_AFTER_NS  UINT64_C(300000000)
#define BAR_CELLS      24
#define COLUMNS_WANTED 60 /* what the numbers take; the bar gets what is left */

/* Guards all of it: messages of other threads hide the line. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool running;
static bool shown;
static const char *label;
static uint64_t begun_ns;
static uint64_t drawn_ns;

static uint32_t columns(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static void draw_bar(char *out, size_t out_len, int32_t permille, uint32_t width)
{
    uint32_t cells = width > COLUMNS_WANTED ? width - COLUMNS_WANTED : 0;
    uint32_t filled;

    out[0] = '\0';
    if (permille < 0 || cells < 5) {
        return;
    }
    cells = cells > BAR_CELLS ? BAR_CELLS : cells;
    filled = cells * (uint32_t)permille / 1000;
    (void)snprintf(out, out_len, "[%.*s%.*s] %3d%% ", (int)filled, "########################",
                   (int)(cells - filled), "........................", (int)(permille / 10));
}

/* "12 s left": none before there is something to reckon with. */
static void draw_left(char *out, size_t out_len, int32_t permille, uint64_t elapsed_ns)
{
    char buf[BC_CLI_UNITS_LEN];

    if (permille < 0) {
        (void)snprintf(out, out_len, "%s", bc_cli_duration(buf, elapsed_ns));
    } else if (permille == 0) {
        out[0] = '\0';
    } else {
        uint64_t left_s =
            elapsed_ns / (uint64_t)permille * (uint64_t)(1000 - permille) / 1000000000;

        (void)snprintf(out, out_len, "%llu:%02llu left", (unsigned long long)(left_s / 60),
                       (unsigned long long)(left_s % 60));
    }
}

static void draw_locked(uint64_t now_ns, uint64_t bytes, int32_t permille)
{
    char bar[BAR_CELLS * 2 + 24];
    char size[BC_CLI_UNITS_LEN] = "";
    char rate[BC_CLI_UNITS_LEN] = "";
    char left[BC_CLI_UNITS_LEN + 8];
    char line[256];
    uint32_t width = columns();

    draw_bar(bar, sizeof(bar), permille, width);
    if (bytes > 0) {
        (void)bc_cli_size(size, bytes);
        (void)bc_cli_rate(rate, bytes, now_ns - begun_ns);
    }
    draw_left(left, sizeof(left), permille, now_ns - begun_ns);
    (void)snprintf(line, sizeof(line), "%-8s %s%10s %10s  %s", label, bar, size, rate, left);
    /* The last column stays free: some terminals wrap when it is written. */
    (void)fprintf(stderr, "\r\033[K%.*s", (int)(width > 1 ? width - 1 : 1), line);
    (void)fflush(stderr);
    shown = true;
    drawn_ns = now_ns;
}

static void hide_locked(void)
{
    if (shown) {
        (void)fputs("\r\033[K", stderr);
        (void)fflush(stderr);
        shown = false;
    }
}

void bc_cli_progress_begin(bool wanted, const char *text)
{
    (void)pthread_mutex_lock(&lock);
    running = wanted && isatty(STDERR_FILENO) == 1;
    label = text;
    begun_ns = bc_cli_now_ns();
    drawn_ns = 0;
    (void)pthread_mutex_unlock(&lock);
}

void bc_cli_progress_relabel(const char *text)
{
    (void)pthread_mutex_lock(&lock);
    label = text;
    begun_ns = bc_cli_now_ns();
    (void)pthread_mutex_unlock(&lock);
}

void bc_cli_progress_update(uint64_t bytes, int32_t permille)
{
    uint64_t now_ns;

    (void)pthread_mutex_lock(&lock);
    now_ns = bc_cli_now_ns();
    if (running && now_ns - drawn_ns >= DRAW_EVERY_NS &&
        (shown || now_ns - begun_ns >= SHOW_AFTER_NS)) {
        draw_locked(now_ns, bytes, permille > 1000 ? 1000 : permille);
    }
    (void)pthread_mutex_unlock(&lock);
}

void bc_cli_progress_end(void)
{
    (void)pthread_mutex_lock(&lock);
    hide_locked();
    running = false;
    (void)pthread_mutex_unlock(&lock);
}

void bc_cli_progress_hide(void)
{
    (void)pthread_mutex_lock(&lock);
    hide_locked();
    (void)pthread_mutex_unlock(&lock);
}
