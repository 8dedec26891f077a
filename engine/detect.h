/* SPDX-License-Identifier: Apache-2.0
 *
 * detect: which faults there are.  Pure: the facts of one moment and a clock value
 * in, a list of faults out, each with what it was seen by; no memory between two
 * calls, so a recorded incident gives the same list again.
 *
 * A fault has a kind (the contract's name) and a cause, which the kind leaves open
 * and the strategies depend on:
 *
 *   TRANSIENT    an error, and after it everything works, reads at other places too
 *   BAD_SECTOR   the same reads fail again, reads at other places work
 *   NO_WRITES    writes fail, reads work
 *   DEAD         nothing can be read any more, or the device is gone
 *   FULL         no space left for the image
 *   HUNG         requests neither succeed nor fail
 *   PATH         what is between QEMU and the disk: a connection, a server
 *   SLOWER, MORE_ERRORS    warnings before a fault (drift.h, history of errors)
 *   EXIT, CRASH  QEMU is gone: by an error it named, or without a word
 *   PANIC, PANIC_DUMPING   the guest's kernel; writing its dump just now
 *
 * Times are nanoseconds of one monotonic clock; 0 means "never", so a clock begins
 * at 1.
 */
#ifndef ENGINE_DETECT_H
#define ENGINE_DETECT_H

#include <stdbool.h>
#include <stdint.h>

#include "bounds.h"
#include "fault.h"

enum detect_cause {
	CAUSE_UNKNOWN,
	CAUSE_TRANSIENT,
	CAUSE_BAD_SECTOR,
	CAUSE_NO_WRITES,
	CAUSE_DEAD,
	CAUSE_FULL,
	CAUSE_HUNG,
	CAUSE_PATH,
	CAUSE_SLOWER,
	CAUSE_MORE_ERRORS,
	CAUSE_EXIT,
	CAUSE_CRASH,
	CAUSE_PANIC,
	CAUSE_PANIC_DUMPING,
	DETECT_CAUSES,
};

#define DETECT_ERRORS_MAX 32 /* of a disk; more tell nothing new */
#define DETECT_PROBES_MAX 8  /* the latest, at different places of the disk */
#define DETECT_NICS_MAX 16
#define DETECT_FAULTS_MAX (3 * BOUND_DISKS + DETECT_NICS_MAX + 8) /* three a disk, one a NIC, the rest */

struct detect_error { /* BLOCK_IO_ERROR */
	int64_t time_ns;
	bool write, nospace, stops;
	int error; /* errno, 0: only a text came that is none of strerror() */
};

enum detect_probe_result { PROBE_GOOD, PROBE_ERROR, PROBE_TIMEOUT };

struct detect_probe { /* one small read of ours */
	int64_t time_ns;
	uint64_t offset;
	enum detect_probe_result result;
	bool at_error; /* where QEMU's request failed, as far as that is known */
};

struct detect_stats { /* query-blockstats, sums since QEMU began */
	int64_t time_ns;
	uint64_t operations, bytes, failed, busy_ns;
};

struct detect_disk {
	char name[64];
	struct detect_error errors[DETECT_ERRORS_MAX]; /* oldest first */
	unsigned error_count;
	struct detect_probe probes[DETECT_PROBES_MAX]; /* oldest first */
	unsigned probe_count;
	int64_t probe_since_ns;		 /* one is on its way since then; 0: none */
	struct detect_stats before, now; /* an interval apart; before.time_ns 0: no rate yet */
	int64_t good_ns; /* requests ended well after it, and none failed; the latest, 0: none */
	unsigned in_flight;		 /* requests of the guest that wait */
	bool in_flight_known;		 /* 0 is an answer, not ignorance */
	int64_t progress_ns;		 /* when one ended last, or the first that waits began to */
	bool remote;			 /* NBD, iSCSI, NFS, ...: a path can fail */
	bool disconnected;		 /* QEMU, or the server, says so */
	uint64_t room_bytes, room_total; /* file system of the image; total 0: no such thing */
	bool grows;		  /* the image needs room when the guest writes */
	int64_t write_threshold_ns; /* BLOCK_WRITE_THRESHOLD came; forgotten as errors are */
	bool slower;		  /* drift.h */
	char slower_detail[128];
	uint64_t corrupt_blocks;  /* found by the scrub, not healed yet */
};

struct detect_nic {
	char name[64];
	bool link_down_by_owner; /* set_link: as wanted */
	bool backend_lost;	 /* NETDEV_STREAM_DISCONNECTED, or its process is gone */
	bool link_down;
};

/* SHUTDOWN's "reason", as far as it makes a difference. */
enum detect_shutdown {
	SHUTDOWN_NOT,	 /* no such event */
	SHUTDOWN_WANTED, /* guest-shutdown, host-qmp-quit, host-signal, host-ui */
	SHUTDOWN_PANIC,	 /* guest-panic: -action panic=shutdown */
	SHUTDOWN_ERROR,	 /* host-error */
};

enum detect_run { /* run state */
	RUN_RUNNING,
	RUN_IO_ERROR,
	RUN_PAUSED,	/* by its owner, or by a job of ours */
	RUN_PANICKED,	/* guest-panicked */
	RUN_WATCHDOG,
	RUN_INTERNAL_ERROR, /* of the accelerator */
	RUN_SHUTDOWN,
	RUN_MIGRATED,	/* postmigrate, finish-migrate: it lives elsewhere */
	RUN_PRELAUNCH,	/* nobody let it go yet: behind -S, or a reset in a pause */
	RUN_INCOMING,	/* inmigrate: it runs elsewhere yet */
	RUN_OTHER,	/* save-vm, ...: on its way */
};

enum detect_panic_action { PANIC_PAUSE, PANIC_RUN, PANIC_POWEROFF };

/* -action watchdog=, as far as it makes a difference. */
enum detect_watchdog {
	WATCHDOG_PAUSES,  /* it is for somebody else to act */
	WATCHDOG_ACTS,	  /* QEMU itself resets or powers off */
	WATCHDOG_NMI,	  /* the guest's kernel is to write a dump */
	WATCHDOG_NOTHING, /* its owner wants it to go on */
};

struct detect_facts {
	/* QEMU */
	bool process_ended;	/* pidfd */
	bool monitor_ended;	/* its socket, by QEMU */
	int64_t asked_ns;	/* the oldest question without an answer, 0: none */
	bool draining; /* QEMU was told what ends only with the requests of the disks */
	enum detect_run run;
	bool stopped_by_other; /* the last STOP: by its owner, or what QEMU does for them */
	/* Between this look and the next, the process wrote much; 0: never. */
	int64_t writes_since_ns;
	enum detect_shutdown shutdown;
	/* the guest */
	int64_t panicked_ns, crashloaded_ns; /* events; 0: never, or a RESET came after it */
	enum detect_panic_action panic_action;
	int64_t watchdog_ns; /* event; 0: never, or dealt with */
	int64_t watchdog_ignored_ns; /* the same, and QEMU does nothing; forgotten as errors are */
	enum detect_watchdog watchdog; /* what QEMU does then */
	int64_t agent_ns;    /* last answer; 0: never had one */
	int64_t agent_asked_ns; /* the first ping since then that nobody answered; 0: none */
	/* memory */
	int64_t memory_failure_ns; /* event, 0: never, or a RESET came after it */
	int64_t memory_spared_ns;  /* the same, action "ignore": nothing of the guest was hit;
				    * forgotten as errors are */
	bool memory_fatal;	   /* action "fatal", or the hypervisor's own memory */
	uint64_t corrected_errors; /* of the host since the last look */
	/* the rest */
	int64_t host_heartbeat_ns; /* of the protected host, seen by a standby; 0: no standby */
	int store_error;	   /* errno of its last write, 0 */
	int64_t store_stalled_ns;  /* nothing of what it was told has ended for so long */
	uint64_t store_room_bytes, store_room_total, store_need_bytes; /* of the next generation */
	struct detect_disk disks[BOUND_DISKS];
	unsigned disk_count;
	struct detect_nic nics[DETECT_NICS_MAX];
	unsigned nic_count;
};

struct detect_limits {
	int64_t hang_ns;	 /* a disk, the store, or QEMU's dump, without progress */
	int64_t answer_ns;	 /* QEMU without an answer */
	int64_t agent_ns;	 /* an agent that had answered */
	int64_t dump_ns;	 /* a crash kernel, or QEMU for its owner, may write so long */
	int64_t heartbeat_ns;
	int64_t history_ns;	 /* errors older than this are forgotten */
	unsigned errors_warn;	 /* so many in the history: degrading */
	unsigned full_percent;	 /* used on the image's file system: alarm */
	uint64_t corrected_warn; /* corrected memory errors between two looks */
};

extern const struct detect_limits detect_limits_default;

struct detect_fault {
	enum fault_kind kind;
	enum detect_cause cause;
	int index;	/* of the disk or NIC, -1: the whole */
	bool warning;	/* nothing is broken yet; the guest runs */
	char evidence[160];
};

struct detect_verdict {
	unsigned count;
	struct detect_fault faults[DETECT_FAULTS_MAX]; /* the most urgent first */
};

/* Counts outside their arrays are an error of the caller's: asserted. */
void detect_run(const struct detect_facts *facts, const struct detect_limits *limits,
		int64_t now_ns, struct detect_verdict *verdict);

const char *detect_cause_name(enum detect_cause cause);
enum detect_shutdown detect_shutdown_of(const char *reason); /* SHUTDOWN's; NULL: no such event */
enum detect_panic_action detect_panic_of(const char *action); /* GUEST_PANICKED's */
enum detect_watchdog detect_watchdog_of(const char *action); /* WATCHDOG's */
enum detect_run detect_run_of(const char *status);	     /* query-status's */
bool detect_on_its_way(enum detect_run run); /* neither runs nor stands for a reason */
int detect_errno_of(const char *reason);		     /* BLOCK_IO_ERROR's text, 0: unknown */

#endif
