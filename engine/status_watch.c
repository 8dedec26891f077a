/* SPDX-License-Identifier: Apache-2.0
 *
 * status_watch: see status_watch.h.
 */
#include "status_watch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define HOME "\033[H"
#define CLEAR_LINE "\033[K"
#define CLEAR_BELOW "\033[J"
#define HIDE_CURSOR "\033[?25l"
#define SHOW_CURSOR "\033[?25h"

static struct {
	bool terminal, keys, drawn;
	struct termios before;
} watch;
static volatile sig_atomic_t ending;

static void note_signal(int number)
{
	ending = 1;
}

static void note_resize(int number)
{
}

void status_watch_begin(bool terminal)
{
	struct sigaction action = {.sa_handler = note_signal};
	struct termios raw;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	action.sa_handler = note_resize; /* only that poll() returns */
	sigaction(SIGWINCH, &action, NULL);
	watch.terminal = terminal;
	watch.keys = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &watch.before);
	if (!terminal || !watch.keys)
		return;
	raw = watch.before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

size_t status_watch_fit(const char *text, unsigned columns)
{
	unsigned used = 0;
	size_t i;

	for (i = 0; text[i] && text[i] != '\n'; i++) {
		bool begins = ((unsigned char)text[i] & 0xc0) != 0x80;

		if (begins && used++ == columns)
			break;
	}
	return i;
}

void status_watch_draw(const char *text)
{
	struct winsize size = {0};
	unsigned rows = 24, columns = 80;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col && size.ws_row) {
		rows = size.ws_row;
		columns = size.ws_col;
	}
	/* From the second time on over what is there: nothing flickers. */
	fputs(watch.drawn ? HIDE_CURSOR HOME : HIDE_CURSOR HOME CLEAR_BELOW, stdout);
	watch.drawn = true;
	for (unsigned row = 0; *text && row + 1 < rows; row++) {
		size_t length = status_watch_fit(text, columns);

		printf("%.*s" CLEAR_LINE "\n", (int)length, text);
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	fputs(CLEAR_BELOW, stdout);
	fflush(stdout);
}

static bool quit_pressed(void)
{
	char keys[16];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	if (n <= 0)
		watch.keys = false; /* nobody is there any more */
	for (ssize_t i = 0; i < n; i++) {
		if (keys[i] == 'q' || keys[i] == 'Q')
			return true;
	}
	return false;
}

bool status_watch_wait(int ms)
{
	struct pollfd keys = {.fd = watch.terminal && watch.keys ? STDIN_FILENO : -1,
			      .events = POLLIN};
	struct timespec start, now;
	long left = ms;

	clock_gettime(CLOCK_MONOTONIC, &start);
	while (!ending && left > 0) {
		int n = poll(&keys, 1, (int)left);

		if (n > 0 && quit_pressed())
			return false;
		if (n < 0 && errno == EINTR && !ending)
			return true; /* another size: draw at once */
		keys.fd = watch.terminal && watch.keys ? STDIN_FILENO : -1;
		clock_gettime(CLOCK_MONOTONIC, &now);
		left = ms - (now.tv_sec - start.tv_sec) * 1000 - (now.tv_nsec - start.tv_nsec) / 1000000;
	}
	return !ending;
}

void status_watch_end(void)
{
	if (!watch.terminal)
		return;
	fputs(SHOW_CURSOR, stdout);
	fflush(stdout);
	if (isatty(STDIN_FILENO))
		tcsetattr(STDIN_FILENO, TCSANOW, &watch.before);
}
