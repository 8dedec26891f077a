/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WIDTH_DEFAULT 80
#define WIDTH_MAX 120
#define BAR_MIN 5 /* a shorter bar tells nothing: then there is none */
#define SMOOTH 0.1 /* of a new rate: five a second, so some seconds count */
#define CLEAR "\r\033[K"

void progress_bytes(char text[16], double bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	unsigned unit = 0;

	while (bytes >= 1000 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text, 16, "%.*f %s", unit && bytes < 100 ? 1 : 0, bytes, units[unit]);
}

static void time_left(char text[24], double seconds)
{
	unsigned long left = seconds < 359999 ? (unsigned long)(seconds + 0.5) : 359999;

	if (left >= 3600)
		snprintf(text, 24, "%lu:%02lu:%02lu", left / 3600, left / 60 % 60, left % 60);
	else
		snprintf(text, 24, "%lu:%02lu", left / 60, left % 60);
}

static void bar(char *text, unsigned width, double share)
{
	unsigned full = (unsigned)(share * (width - 2) + 0.5);

	text[0] = '[';
	for (unsigned i = 0; i < width - 2; i++)
		text[i + 1] = i < full ? '#' : ' ';
	text[width - 1] = ']';
	text[width] = '\0';
}

void progress_line(char *text, size_t size, unsigned width, const char *what, uint64_t done,
		   uint64_t total, double rate)
{
	double share = total ? (double)done / (double)total : 1;
	char figures[112], have[16], all[16], speed[16] = "", left[24] = "", drawn[WIDTH_MAX + 1] = "";
	unsigned used;

	if (share > 1)
		share = 1;
	progress_bytes(have, (double)done);
	progress_bytes(all, (double)total);
	if (rate > 0) {
		progress_bytes(speed, rate);
		time_left(left, total > done ? (double)(total - done) / rate : 0);
	}
	snprintf(figures, sizeof(figures), "%3.0f %% of %s%s%s%s%s%s", share * 100, all,
		 rate > 0 ? ", " : "", speed, rate > 0 ? "/s, " : "", left, rate > 0 ? " left" : "");
	used = (unsigned)(strlen(what) + 2 + strlen(figures));
	if (width > WIDTH_MAX)
		width = WIDTH_MAX;
	if (used + BAR_MIN < width)
		bar(drawn, width - used, share);
	snprintf(text, size < width + 1 ? size : width + 1, "%s %s%s%s", what, drawn,
		 drawn[0] ? " " : "", figures);
}

void progress_init(struct progress *progress, const char *what, bool quiet, int64_t now_ns)
{
	memset(progress, 0, sizeof(*progress));
	progress->what = what;
	progress->on = !quiet && isatty(STDERR_FILENO);
	progress->last_ns = now_ns;
}

static unsigned terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || !size.ws_col)
		return WIDTH_DEFAULT;
	return size.ws_col;
}

void progress_show(struct progress *progress, uint64_t done, uint64_t total, int64_t now_ns)
{
	char text[WIDTH_MAX + 1];
	double rate;

	if (now_ns > progress->last_ns && done >= progress->last_done) {
		rate = (double)(done - progress->last_done) * 1e9 /
		       (double)(now_ns - progress->last_ns);
		progress->rate = progress->rate > 0
					 ? progress->rate + SMOOTH * (rate - progress->rate)
					 : rate;
	}
	progress->last_ns = now_ns;
	progress->last_done = done;
	if (!progress->on)
		return;
	progress_line(text, sizeof(text), terminal_width() - 1, progress->what, done, total,
		      progress->rate);
	fprintf(stderr, CLEAR "%s", text);
	fflush(stderr);
	progress->shown = true;
}

void progress_end(struct progress *progress)
{
	if (progress->shown)
		fputs(CLEAR, stderr);
	progress->shown = false;
}
