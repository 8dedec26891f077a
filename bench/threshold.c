/* SPDX-License-Identifier: Apache-2.0
 *
 * threshold: figures that a test lab asks for, and JUnit's XML about them.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "judge.h"

int threshold_parse(struct threshold *threshold, const char *text, struct errinfo *err)
{
	size_t length = strcspn(text, "<>"), signs = strspn(text + length, "<>=");
	const char *number = text + length + signs;
	char *end;

	memset(threshold, 0, sizeof(*threshold));
	while (length && isspace((unsigned char)text[length - 1]))
		length--;
	threshold->bound = strtod(number, &end);
	end += strspn(end, " \t\r\n");
	if (!length || length >= sizeof(threshold->figure) || signs < 1 || signs > 2 ||
	    (signs == 2 && number[-1] != '=') || end == number || *end ||
	    !isfinite(threshold->bound))
		return err_set(err, -EINVAL,
			       "\"%s\" is no threshold: give FIGURE<NUMBER, say pivot.p99_ms<60",
			       text);
	memcpy(threshold->figure, text, length);
	memcpy(threshold->sign, number - signs, signs);
	return 0;
}

void threshold_check(struct threshold *threshold, const struct document *document)
{
	double found;

	threshold->known = !document_figure(document, threshold->figure, &found);
	threshold->held = false;
	if (!threshold->known)
		return;
	threshold->found = found;
	threshold->held =
	    threshold->sign[0] == '<' ? found < threshold->bound : found > threshold->bound;
	if (threshold->sign[1] == '=' && found == threshold->bound)
		threshold->held = true;
}

int thresholds_read(struct threshold *list, unsigned *count, const char *path, struct errinfo *err)
{
	FILE *file = fopen(path, "re");
	char line[512];
	int rc = 0;

	if (!file)
		return err_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
	while (!rc && fgets(line, sizeof(line), file)) {
		char *begin = line + strspn(line, " \t");

		begin[strcspn(begin, "#\n")] = '\0';
		if (!*begin)
			continue;
		if (*count == THRESHOLDS_MAX)
			rc = err_set(err, -E2BIG, "%s: more than %d thresholds", path,
				     THRESHOLDS_MAX);
		else
			rc = threshold_parse(&list[(*count)++], begin, err);
	}
	fclose(file);
	return rc;
}

static void put_escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '&':
			fputs("&amp;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default: /* XML 1.0 has no other control characters */
			if ((unsigned char)*text >= ' ')
				fputc(*text, out);
		}
	}
}

static void put_case(FILE *out, const struct threshold *threshold)
{
	fputs("  <testcase classname=\"qheal-bench\" name=\"", out);
	put_escaped(out, threshold->figure);
	put_escaped(out, threshold->sign);
	fprintf(out, "%g\"", threshold->bound);
	if (threshold->held)
		fputs("/>\n", out);
	else if (threshold->known)
		fprintf(out, "><failure message=\"it is %g\"/></testcase>\n", threshold->found);
	else
		fputs("><error message=\"it was not measured\"/></testcase>\n", out);
}

int thresholds_junit(const struct threshold *list, unsigned count, const char *path,
		     struct errinfo *err)
{
	FILE *out = fopen(path, "we");
	unsigned failures = 0, errors = 0;

	if (!out)
		return err_set(err, -errno, "cannot write %s: %s", path, strerror(errno));
	for (unsigned i = 0; i < count; i++) {
		failures += list[i].known && !list[i].held;
		errors += !list[i].known;
	}
	fprintf(out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<testsuite name=\"qheal-bench\" tests=\"%u\" failures=\"%u\" errors=\"%u\">\n",
		count, failures, errors);
	for (unsigned i = 0; i < count; i++)
		put_case(out, &list[i]);
	fputs("</testsuite>\n", out);
	if (fclose(out))
		return err_set(err, -EIO, "cannot write %s: %s", path, strerror(errno));
	return 0;
}
