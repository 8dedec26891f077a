/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration file: what is taken, and that everything wrong is told at once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/CUnit.h>

#include "config_file.h"
#include "cunit_main.h"

static struct config_file file;
static struct config_file_errors errors;

static bool parse(const char *text)
{
	return config_file_parse(&file, text, strlen(text), &errors);
}

static void an_empty_file_says_the_defaults(void)
{
	static struct config_file defaults;

	config_file_default(&defaults);
	CU_ASSERT(parse(""));
	CU_ASSERT(!memcmp(&file, &defaults, sizeof(file)));
	CU_ASSERT(parse("# nothing\n\n; here\n[limits]\n"));
	CU_ASSERT(!memcmp(&file, &defaults, sizeof(file)));
}

static void every_key_is_taken(void)
{
	CU_ASSERT(parse("[protect]\ninterval = 250\nobjective = optimal\non-loss = rollback\n"
			"scratch = 64\ndisk = vda vdb\nrestart = hook:/bin/up web1\n"
			"[weights]\ndowntime-s=2\nlost-mib=3.5\nmoved-gib=4\ninterference-s=5\n"
			"guest-reset=6\n[limits]\nflap-limit=4\nflap-window-s=300\nbackoff-s=0.5\n"
			"backoff-max-s=30\n[optimal]\nrate-mib-s=100\ncpu-percent=50\n"
			"[allow]\ndisk-write-error = pivot rollback\nnic-down =\n"));
	CU_ASSERT(file.interval_ms == 250 && file.scratch_bytes == 64 << 20);
	CU_ASSERT(file.policy.objective == OBJECTIVE_OPTIMAL && file.objective_set);
	CU_ASSERT(file.policy.on_loss == ON_LOSS_ROLLBACK && file.on_loss_set);
	CU_ASSERT_STRING_EQUAL(file.restart, "hook:/bin/up web1");
	CU_ASSERT(file.disk_count == 2 && !strcmp(file.disks[1], "vdb"));
	CU_ASSERT(file.policy.weights.lost_mib == 3.5 && file.policy.weights.guest_reset == 6);
	CU_ASSERT(file.policy.flap_limit == 4 && file.policy.backoff_ns == 500000000);
	CU_ASSERT(file.rate_mib_s == 100 && file.cpu_percent == 50);
	CU_ASSERT_EQUAL(file.policy.allowed[FAULT_DISK_WRITE],
			STRATEGY_BIT(STRATEGY_PIVOT) | STRATEGY_BIT(STRATEGY_ROLLBACK) |
				STRATEGY_BIT(STRATEGY_HOLD));
	CU_ASSERT_EQUAL(file.policy.allowed[FAULT_NIC], STRATEGY_BIT(STRATEGY_HOLD));
	CU_ASSERT_EQUAL(file.policy.allowed[FAULT_DISK_READ], policy_sensible(FAULT_DISK_READ));
}

static void each_error_is_told_with_its_line(void)
{
	static const struct {
		const char *text;
		int line;
		const char *says;
	} table[] = {
		{"interval=1\n", 1, "before any"},
		{"[protect]\ninterval=49", 2, "from 50"},
		{"[protect]\ninterval=100.5", 2, "whole"},
		{"[protect]\ninterval=1x", 2, "not \"1x\""},
		{"[protect]\ninterval=", 2, "not \"\""},
		{"[protect]\ninterval=nan", 2, "not \"nan\""},
		{"[protect]\n\ninterval=60\ninterval=60", 4, "line 3"},
		{"[protect]\nobjective=quick", 2, "fast or optimal"},
		{"[protect]\non-loss=lose", 2, "hold or rollback"},
		{"[protect]\nrestart=hook:up", 2, "absolute path"},
		{"[protect]\nrestart=never\nrestart=never", 3, "line 2 already"},
		{"[protect]\nON-LOSS=hold", 2, "no key"},
		{"[protect]\ndisk = a b a", 2, "twice"},
		{"[nothing]\nx=1", 2, "no section"},
		{"[limits]\nflap-limit=0", 2, "from 1"},
		{"[weights]\nlost-mib=-1", 2, "from 0"},
		{"[allow]\nfire=pivot", 2, "no such fault"},
		{"[allow]\nnic-down=fly", 2, "no strategy"},
		{"[allow]\nnic-down=pivot", 2, "no answer"},
		{"[allow]\nnic-down=relink\nnic-down=", 3, "line 2"},
		{"[protect]\nnonsense\n", 2, "neither"},
		{"[protect\n", 1, "neither"},
		{"[limits]\nbackoff-s=61", 2, "more than backoff-max-s"},
		{"[limits]\nflap-window-s=60", 2, "never be reached"},
		{"[weights]\ndowntime-s=0\nlost-mib=0\nmoved-gib=0\ninterference-s=0\nguest-reset=0",
		 0, "all weights"},
		{"[protect]\n  interval=49\n", 2, "from 50"}, /* indented lines are lines */
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		CU_ASSERT(!parse(table[i].text));
		CU_ASSERT_EQUAL(errors.count, 1);
		CU_ASSERT_EQUAL(errors.list[0].line, table[i].line);
		CU_ASSERT(strstr(errors.list[0].text, table[i].says) != NULL);
	}
}

static void all_errors_are_told_at_once(void)
{
	static char text[40000];
	size_t at = 0;

	CU_ASSERT(!parse("[protect]\ninterval=1\nwhat=2\nrubbish\n[limits]\nbackoff-s=100\n"
			 "flap-limit=x\n[other]\na=1\n[allow]\nnic-down=fly pivot\n"));
	CU_ASSERT_EQUAL(errors.count, 8);
	for (unsigned i = 0; i < 1000; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "[protect]\nwhat%u=1\n", i);
	CU_ASSERT(!parse(text));
	CU_ASSERT_EQUAL(errors.count, 1000); /* counted, not all kept */
}

static void long_lines_and_zero_bytes_are_refused(void)
{
	static char text[600];

	memset(text, 'x', sizeof(text) - 1);
	CU_ASSERT(!parse(text) && errors.list[0].line == 1);
	CU_ASSERT(!config_file_parse(&file, "[protect]\n\0=1\n", 14, &errors));
	CU_ASSERT_EQUAL(errors.list[0].line, 2);
}

/* Bytes of no sense: nothing crashes, and what is taken is within its bounds. */
static void any_bytes_are_survived(void)
{
	static const char *const words[] = {"[protect]", "[allow]", "[limits]", "\n", "=", " ", "pivot",
					    "interval", "disk", "60", "1e9", "]", "[", ";", "\t",
					    "nic-down", "\0x", "\xef\xbb\xbf", "-1", "\r\n"};
	unsigned seed = 4242;

	printf("seed %u ", seed);
	srand(seed);
	for (unsigned round = 0; round < 20000; round++) {
		char text[400] = "";
		size_t at = 0;

		for (int n = rand() % 40; n > 0; n--) {
			const char *word = words[rand() % 20];
			size_t length = word[0] ? strlen(word) : 2;

			if (at + length > sizeof(text))
				break;
			memcpy(text + at, word, length);
			at += length;
		}
		config_file_parse(&file, text, at, &errors);
		CU_ASSERT(!file.interval_ms || file.interval_ms >= BOUND_INTERVAL_MIN_MS);
		CU_ASSERT(file.disk_count <= BOUND_DISKS);
	}
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(an_empty_file_says_the_defaults),
		CASE(every_key_is_taken),
		CASE(each_error_is_told_with_its_line),
		CASE(all_errors_are_told_at_once),
		CASE(long_lines_and_zero_bytes_are_refused),
		CASE(any_bytes_are_survived),
	};

	return cunit_run("config_file", cases, sizeof(cases) / sizeof(cases[0]));
}
