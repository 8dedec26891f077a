/* SPDX-License-Identifier: Apache-2.0
 *
 * bench: what one run of qheal-bench has, and its cases.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <limits.h>
#include <stdint.h>
#include <stdio.h>

#include "child.h"
#include "series.h"
#include "work.h"

struct bench {
	struct work work;
	struct document document;
	uint64_t size_bytes;  /* of a disk */
	unsigned rounds;      /* 0: as each case thinks */
	double precision;     /* of a restore: rounds go on until then, in percent; 0: none */
	double seconds;	      /* of one sample of a rate; 0: as each case thinks */
	const char *qheal;    /* the program that is measured */
	const char *baseline; /* another build, in turn with it; NULL: none */
	const char *variants; /* of restore: words with commas, NULL: all */
	const char *tools;    /* of restore, likewise; "limit" is one */
	const char *source;   /* folder of the sources, where the lab is */
	char build[PATH_MAX]; /* folder of the build */
	double began_s;
};

/* A case adds series to the document.  What does not run is told in `missing`, or is
 * the error that ends the case. */
int case_restore(struct bench *bench, struct errinfo *err);
int case_scrub(struct bench *bench, struct errinfo *err);
/* Cases with real guests: Python programs of this folder that drive the test lab. */
int case_delta(struct bench *bench, struct errinfo *err);
int case_pivot(struct bench *bench, struct errinfo *err);
int case_impact(struct bench *bench, struct errinfo *err);
int case_scale(struct bench *bench, struct errinfo *err);
int case_firstcopy(struct bench *bench, struct errinfo *err);
int case_footprint(struct bench *bench, struct errinfo *err);

/* A sample of NAME; ends the program when there is no memory for it. */
struct series *bench_note(struct bench *bench, const char *name, const char *unit,
			  enum series_better better, double value);
/* A line on a terminal that is written over; lines in a log. */
void bench_progress(struct bench *bench, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void bench_progress_end(struct bench *bench);

/* WORD is one of the words in LIST, or LIST is NULL. */
bool bench_wants(const char *list, const char *word);

/* store.c: a store of one disk, vda, PERCENT of it incompressible data; of its
 * POINTS kept points each has one block in fifty that the next has not.  HEAD is the path
 * of its image.  Valid until bench->work is gone. */
int store_make(struct bench *bench, const char *name, unsigned percent, unsigned points, char *head,
	       struct errinfo *err);

/* limit.c: what the hardware gives, by fio with io_uring and O_DIRECT. */
enum limit_kind { LIMIT_READ, LIMIT_WRITE, LIMIT_COPY };
/* Seconds to read FROM, to write TO, or both at a time, SIZE bytes, flushed. */
int limit_seconds(const struct work *work, enum limit_kind kind, const char *from, const char *to,
		  uint64_t size, double *seconds, struct errinfo *err);

/* machine.c: date, commit, machine, versions, into the head of the document. */
void machine_describe(struct bench *bench);

/* table.c: the Markdown of a document. */
void table_write(const struct document *document, FILE *out);
/* plot.c: SVG files into FOLDER by gnuplot; 1 when there is none. */
int plot_all(const struct document *document, const char *folder, struct errinfo *err);

#endif
