/* SPDX-License-Identifier: Apache-2.0
 *
 * sense_host: the host below the guest.  A part of sense.h.
 *
 *   QEMU's process     CPU and resident memory, /proc/PID/stat; what it wrote, /proc/PID/io
 *   processors         /proc/pressure/cpu: what lengthens requests without being the disk's
 *   memory pressure    /proc/pressure/memory: the share of the time that somebody waits
 *   corrected errors   of the memory, as the kernel counts them (EDAC), the last minute
 *   balloon            what the guest has of its memory (query-balloon)
 *
 * Only the corrected errors and that QEMU writes are facts for detect.h; the rest is for people.
 */
#ifndef ENGINE_SENSE_HOST_H
#define ENGINE_SENSE_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SENSE_HOST_S 2	  /* between two looks at files of the kernel */
#define SENSE_BALLOON_S 10
#define SENSE_EDAC_DIR "/sys/devices/system/edac/mc"
#define SENSE_EDAC_ENV "QHEAL_EDAC" /* another folder, for drills on machines without */
#define SENSE_EDAC_LOOKS 30	    /* a minute of them */

struct sidecar;

struct sense_host {
	unsigned ticks;
	int stat_fd, io_fd, pressure_fd, cpu_pressure_fd; /* -1: there is none */
	int64_t cpu_ticks, cpu_ns; /* of QEMU, when */
	double cpu_percent;	   /* of one core, between the last two looks; -1: not known */
	uint64_t resident_bytes;
	uint64_t written_bytes; /* at the last look, WRITTEN_NS; 0: never looked */
	int64_t written_ns;
	double pressure_percent; /* some, the last ten seconds; -1: not known */
	double cpu_pressure_percent; /* the same of processors */
	int64_t balloon_bytes;	 /* -1: there is none */
	bool no_balloon, asking;
	/* Sums of corrected errors, the oldest at NEXT once there are so many. */
	uint64_t corrected[SENSE_EDAC_LOOKS];
	unsigned corrected_count, corrected_next;
};

void sense_host_start(struct sidecar *sidecar, pid_t pid);
void sense_host_stop(struct sidecar *sidecar);
void sense_host_tick(struct sidecar *sidecar); /* once a second */
/* What failed or was dealt with does not count again. */
void sense_host_forget_errors(struct sidecar *sidecar);

/* Pure: of the texts of the kernel's files.  False: it is something else. */
bool sense_host_parse_stat(const char *text, int64_t *cpu_ticks, uint64_t *resident_pages);
bool sense_host_parse_written(const char *text, uint64_t *bytes);
bool sense_host_parse_pressure(const char *text, double *percent);
/* The sum over the controllers below DIR; false where the kernel counts none. */
bool sense_host_corrected(const char *dir, uint64_t *count);

#endif
