/* SPDX-License-Identifier: Apache-2.0
 *
 * takeover: see takeover.h.
 */
#include "takeover_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "boot.h"
#include "file.h"
#include "mind.h"
#include "notify.h"
#include "respond.h"

#define LOCK_FILE "standby.lock"
#define FENCE_TIMEOUT_MS 120000 /* a management board takes its time to answer */
#define MONITOR_WAIT_MS 2000
#define GAP_PERIODS 3 /* between two looks; more is no watching */
#define LOCK_WAIT_MS 3000 /* a process that was killed has its locks for a moment yet */
#define LOCK_POLL_MS 50
#define RETRY_FIRST_MS 30000
#define RETRY_LAST_MS 600000

struct takeover takeover;

/* --- the lease --- */

static void watch_anew(struct takeover *watch)
{
	watch->renewed_ns = watch->lease.seconds && !watch->lease.released ? ring_now_ns() : 0;
	watch->due_ns = 0;
	watch->wait_ms = RETRY_FIRST_MS;
	watch->told = false;
}

static int64_t period_ns(const struct takeover *watch)
{
	return (watch->lease.seconds ?: LEASE_RENEWALS) * 1000 * NS_PER_MS / LEASE_RENEWALS;
}

static void tell_once(struct takeover *watch, const char *why)
{
	if (!watch->told)
		log_warn("%s", why);
	watch->told = true;
}

/* One that cannot be read says nothing of its host; nor does one that nobody looked at for a
 * while, as we stood still, or the store did, for both sides. */
static void read_lease(struct takeover *watch)
{
	const char *store = watch->config->store;
	int64_t before_ns = watch->read_ns;
	struct errinfo err = {0};
	struct lease now;

	if (lease_read(store, &now, &err)) {
		bool told = watch->told;

		watch_anew(watch);
		watch->told = told;
		if (watch->lease.seconds)
			tell_once(watch, err.text);
		return;
	}
	watch->read_ns = ring_now_ns();
	if (before_ns && watch->read_ns - before_ns > GAP_PERIODS * period_ns(watch) &&
	    watch->renewed_ns)
		watch->renewed_ns = watch->read_ns;
	if (lease_same_host(&now, &watch->lease) && now.count == watch->lease.count)
		return;
	/* What we took ourselves, in an attempt that failed: that goes on. */
	if (lease_same_host(&now, &watch->here) &&
	    now.count == watch->sidecar->heartbeat.lease.count) {
		watch->lease = now;
		return;
	}
	if (!lease_same_host(&now, &watch->lease) || now.released != watch->lease.released)
		log_info("%s: %s on host %s: %s", store, now.vm, now.host,
			 now.released ? "its lease is released; nothing is to be done"
				      : "its lease is watched");
	watch->lease = now;
	watch_anew(watch);
}

/* A socket that somebody listens on has its QEMU here, whether that answers or not. */
static bool guest_lives(const struct takeover *watch)
{
	struct monitor monitor;
	struct errinfo err = {0};
	int rc = monitor_begin_peer(&monitor, &watch->sidecar->loop, watch->config->qmp,
				    QMP_PEER_QEMU, MONITOR_WAIT_MS, &err);

	if (!rc)
		monitor_close(&monitor);
	return !rc || rc == -EBUSY;
}

/* --- the boot --- */

static int fence(struct response *response, struct errinfo *err)
{
	char host[96];

	snprintf(host, sizeof(host), "QHEAL_HOST=%s", takeover.lease.host);
	return boot_run_hook(response, "fence", response->sidecar->config->fence,
			     FENCE_TIMEOUT_MS, host, err);
}

static void close_store(struct sidecar *sidecar)
{
	store_close(sidecar->store);
	pool_free(sidecar->pool);
	sidecar->store = NULL;
	sidecar->pool = NULL;
}

static int open_patiently(struct sidecar *sidecar, uint32_t block_bytes, struct errinfo *err)
{
	struct loop *loop = &sidecar->loop;
	int64_t end_ns = ring_now_ns() + LOCK_WAIT_MS * NS_PER_MS;

	for (;;) {
		int rc = sidecar_open_store(sidecar, block_bytes, err);

		if (rc != -EBUSY || loop->quit || ring_now_ns() >= end_ns)
			return rc;
		close_store(sidecar);
		err_clear(err);
		loop_until_set(loop, &loop->quit, ring_now_ns() + LOCK_POLL_MS * NS_PER_MS);
	}
}

static int open_store(struct response *response, struct errinfo *err)
{
	struct sidecar *sidecar = response->sidecar;
	struct store_info info;
	int rc = store_inspect(sidecar->config->store, &info, err);

	if (!rc)
		rc = open_patiently(sidecar, info.spec.block_bytes, err);
	if (!rc)
		rc = heartbeat_start(&sidecar->heartbeat, sidecar->loop.ring,
				     sidecar->config->store, info.spec.vm, takeover.lease.seconds,
				     err);
	timeline_mark(&response->timeline, "open");
	return rc;
}

/* On overlays already, or above their heads now. */
static int place_disks(struct response *response, struct errinfo *err)
{
	struct sidecar *sidecar = response->sidecar;

	if (store_info(sidecar->store)->promoted) {
		response->lost_bytes = response->facts.all_dirty_bytes;
		return 0;
	}
	return boot_onto_replica(response, err);
}

/* Nobody has renewed it while we were busy. */
static int still_expired(struct errinfo *err)
{
	struct errinfo ignored = {0};
	struct lease now;

	if (lease_read(takeover.config->store, &now, &ignored) ||
	    (lease_same_host(&now, &takeover.lease) && now.count == takeover.lease.count))
		return 0;
	return err_set(err, -EBUSY, "host %s renews its lease: it is not gone", now.host);
}

static json_t *told(const struct sidecar *sidecar)
{
	char time[40];

	report_time(store_info(sidecar->store)->generation_time_us, time);
	return json_pack("{s:s,s:s}", "host", takeover.lease.host, "generation_time", time);
}

int takeover_boot(struct response *response, struct errinfo *err)
{
	struct sidecar *sidecar = response->sidecar;
	bool booting = false;
	int rc = still_expired(err);

	/* The lease became ours only when that host was fenced, or it is our own host's. */
	if (!rc && !takeover_ours(&takeover))
		rc = fence(response, err);
	if (!rc)
		rc = still_expired(err);
	if (!rc)
		rc = open_store(response, err);
	if (!rc)
		rc = place_disks(response, err);
	booting = !rc;
	if (!rc)
		rc = boot_qemu(response, false, err);
	if (!rc)
		response->told = told(sidecar);
	if (rc) {
		/* A QEMU that we were told to leave while it starts is left running. */
		heartbeat_stop(&sidecar->heartbeat, &sidecar->loop,
			       booting && rc == -EINTR && guest_lives(&takeover));
		close_store(sidecar);
	}
	return rc;
}

/* --- the story --- */

static void take_over(struct takeover *watch, const struct detect_fault *fault)
{
	struct sidecar *sidecar = watch->sidecar;
	struct response response = {.sidecar = sidecar, .fault = *fault, .gather = takeover_gather,
				    .resource = "host",
				    .time_us = loop_realtime_us(), .since_ns = ring_now_ns()};
	struct errinfo err = {0};
	struct store_info info;

	if (!store_inspect(watch->config->store, &info, &err))
		takeover_name_guest(sidecar, &info.spec);
	log_warn("host %s of %s: %s", watch->lease.host, sidecar->guest.name, fault->evidence);
	report_event(&sidecar->report, "fault",
		     json_pack("{s:s,s:s,s:s,s:s}", "kind", fault_name(fault->kind), "resource",
			       "host", "detail", fault->evidence, "host", watch->lease.host));
	mind_open(watch->config->mind, watch->config->store); /* it learned meanwhile */
	respond_answer(&response);
	/* What was decided stands until the lease is renewed; what failed may work next time. */
	watch->due_ns = response.tried || watch->unsure
				? ring_now_ns() + watch->wait_ms * NS_PER_MS : INT64_MAX;
	watch->wait_ms = watch->wait_ms * 2 > RETRY_LAST_MS ? RETRY_LAST_MS : watch->wait_ms * 2;
}

/* Whoever was killed has its lock for a moment yet. */
static bool store_is_free(struct takeover *watch)
{
	struct errinfo err = {0};
	struct store_info info;
	int rc = store_inspect(watch->config->store, &info, &err);

	if (!rc)
		rc = open_patiently(watch->sidecar, info.spec.block_bytes, &err);
	close_store(watch->sidecar);
	if (rc)
		tell_once(watch, err.text);
	return !rc;
}

static void judge(struct takeover *watch)
{
	struct detect_facts facts = {.host_heartbeat_ns = watch->renewed_ns};
	struct detect_limits limits = detect_limits_default;
	struct detect_verdict verdict;
	char why[400];

	limits.heartbeat_ns = watch->lease.seconds * 1000 * NS_PER_MS;
	detect_run(&facts, &limits, ring_now_ns(), &verdict);
	if (!verdict.count || ring_now_ns() < watch->due_ns)
		return;
	if (!guest_lives(watch)) {
		take_over(watch, &verdict.faults[0]);
		return;
	}
	if (lease_same_host(&watch->lease, &watch->here)) {
		if (!store_is_free(watch))
			return;
		log_warn("%s runs on this host and has no sidecar any more: here is one",
			 watch->lease.vm);
		watch->sidecar->rebirth = true;
		return;
	}
	snprintf(why, sizeof(why), "the lease of %.60s is not renewed, but somebody listens on %.90s: "
		 "it is left alone", watch->lease.vm, watch->config->qmp);
	tell_once(watch, why);
}

static void watch_host(struct takeover *watch)
{
	struct loop *loop = &watch->sidecar->loop;

	log_info("standby for the guest of %s", watch->config->store);
	while (!loop->quit && !watch->sidecar->rebirth) {
		read_lease(watch);
		judge(watch);
		if (!watch->sidecar->rebirth)
			loop_until_set(loop, &loop->quit, ring_now_ns() + period_ns(watch));
	}
}

/* One standby a store: two would fence each other. */
static int lock_store(const char *dir, struct errinfo *err)
{
	char path[PATH_MAX];
	int fd, rc;

	if (snprintf(path, sizeof(path), "%s/" LOCK_FILE, dir) >= (int)sizeof(path))
		return err_set(err, -ENAMETOOLONG, "%s: the path is too long", dir);
	fd = file_open(path, O_RDWR | O_CREAT | O_NOFOLLOW);
	if (fd < 0)
		return err_set(err, fd, "%s: %s", path, strerror(-fd));
	rc = file_lock(fd);
	for (unsigned ms = 0; rc == -EBUSY && ms < LOCK_WAIT_MS; ms += LOCK_POLL_MS) {
		poll(NULL, 0, LOCK_POLL_MS);
		rc = file_lock(fd);
	}
	if (!rc)
		return fd;
	file_close(fd);
	return rc == -EBUSY ? err_set(err, rc, "%s has a standby already", dir)
			    : err_set(err, rc, "%s: %s", path, strerror(-rc));
}

bool takeover_waits(const char *dir)
{
	char path[PATH_MAX];
	bool waits;
	int fd;

	if (snprintf(path, sizeof(path), "%s/" LOCK_FILE, dir) >= (int)sizeof(path))
		return false;
	fd = file_open(path, O_RDONLY);
	if (fd < 0)
		return false;
	waits = file_lock_shared(fd) == -EBUSY;
	file_close(fd);
	return waits;
}

/* There is a replica, and nobody else stands by; what may be set for its guest alone. */
static int begin(const struct config *config, int *fd, struct errinfo *err)
{
	struct store_info info;
	int rc = store_inspect(config->store, &info, err);

	*fd = -1;
	if (!rc && config->named)
		rc = config->named(config->named_arg, info.spec.vm, err);
	if (!rc)
		*fd = lock_store(config->store, err);
	if (!rc && *fd >= 0 && config->on_loss == ON_LOSS_HOLD)
		log_warn("%s: what the guest wrote since the last generation would be lost with "
			 "its host: with --on-loss hold that is told, and nothing is done",
			 info.spec.vm);
	return rc ? rc : *fd < 0 ? *fd : 0;
}

int takeover_run(struct sidecar *sidecar, struct config *config)
{
	const struct report report = sidecar->report;
	struct errinfo err = {0};
	int fd, rc = begin(config, &fd, &err);

	memset(sidecar, 0, sizeof(*sidecar));
	sidecar->report = report;
	sidecar->config = config;
	sidecar->monitor.closed = true;
	takeover = (struct takeover){.sidecar = sidecar, .config = config};
	lease_here(&takeover.here);
	if (!rc)
		rc = loop_init(&sidecar->loop, &err);
	if (rc)
		log_error("%s", err.text);
	else {
		notify_ready(); /* to wait is its work */
		watch_host(&takeover);
	}
	if (!rc) {
		/* The guest runs, and we are to leave it: nobody is to take that for our end. */
		heartbeat_stop(&sidecar->heartbeat, &sidecar->loop, sidecar->loop.quit);
		sidecar->rebirth = sidecar->rebirth && !sidecar->loop.quit;
		close_store(sidecar);
		loop_release(&sidecar->loop);
	}
	json_decref(sidecar->last_recovery);
	json_decref(sidecar->last_fault);
	if (!config->lease_s)
		config->lease_s = takeover.lease.seconds; /* the next standby watches us */
	file_close(fd);
	return rc != 0;
}
