/* SPDX-License-Identifier: Apache-2.0 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cunit_main.h"
#include "member.h"
#include "ring.h"

#define BLOCK 65536
#define MS INT64_C(1000000)

static struct ring *ring;
static int fd;

static void setup_dir(const char *dir, int flags)
{
	struct errinfo err = {0};

	fd = open(dir, O_RDWR | O_TMPFILE | O_CLOEXEC | flags, 0600);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(ring_new(&ring, 16, &err), 0);
}

static void setup(void)
{
	setup_dir("/tmp", 0);
}

static void teardown(void)
{
	ring_free(ring);
	close(fd);
}

static uint8_t *memory_new(size_t bytes, int fill)
{
	void *memory = NULL;

	CU_ASSERT_EQUAL_FATAL(posix_memalign(&memory, 4096, bytes), 0);
	memset(memory, fill, bytes);
	return memory;
}

static int await_read(int file, void *buffer, uint32_t length, uint64_t offset)
{
	struct ring_wait wait;

	ring_wait_init(&wait);
	ring_read(ring, &wait.op, file, buffer, length, offset);
	return ring_await(ring, &wait);
}

static int await_write(int file, const void *buffer, uint32_t length, uint64_t offset)
{
	struct ring_wait wait;

	ring_wait_init(&wait);
	ring_write(ring, &wait.op, file, buffer, length, offset);
	return ring_await(ring, &wait);
}

static int await_write_flush(int file, const void *buffer, uint32_t length, uint64_t offset)
{
	struct ring_wait wait;

	ring_wait_init(&wait);
	ring_write_flush(ring, &wait.op, file, buffer, length, offset);
	return ring_await(ring, &wait);
}

static int await_flush(int file)
{
	struct ring_wait wait;

	ring_wait_init(&wait);
	ring_flush(ring, &wait.op, file);
	return ring_await(ring, &wait);
}

/* An operation that counts and remembers. */
struct probe {
	struct ring_op op;
	unsigned runs;
	int result;
	unsigned turn;
};
static unsigned turns;

static void probe_done(struct ring_op *op, int result)
{
	struct probe *probe = member_of(op, struct probe, op);

	probe->runs++;
	probe->result = result;
	probe->turn = ++turns;
}

static void probe_init(struct probe *probe)
{
	memset(probe, 0, sizeof(*probe));
	probe->op.done = probe_done;
}

static void run_until(const struct probe *probe)
{
	while (probe->op.pending)
		CU_ASSERT_FATAL(ring_run(ring) >= 0);
}

static void what_is_written_is_read_back(void)
{
	uint8_t *out = memory_new(BLOCK, 0x5a);
	uint8_t *in = memory_new(BLOCK, 0);

	setup();
	CU_ASSERT_EQUAL(await_write(fd, out, BLOCK, 3 * BLOCK), BLOCK);
	CU_ASSERT_EQUAL(await_read(fd, in, BLOCK, 3 * BLOCK), BLOCK);
	CU_ASSERT_EQUAL(memcmp(in, out, BLOCK), 0);
	CU_ASSERT_EQUAL(await_read(fd, in, BLOCK, 0), BLOCK);
	CU_ASSERT_EQUAL(in[BLOCK - 1], 0);
	CU_ASSERT_EQUAL(await_flush(fd), 0);
	CU_ASSERT_EQUAL(await_write(fd, out, 0, 0), 0);
	CU_ASSERT_EQUAL(await_read(fd, in, 0, 0), 0);
	CU_ASSERT_EQUAL(await_write_flush(fd, out, 0, 0), 0);
	teardown();
	free(out);
	free(in);
}

static void a_read_at_the_end_gives_what_exists(void)
{
	uint8_t *buffer = memory_new(BLOCK, 7);

	setup();
	CU_ASSERT_EQUAL(await_write(fd, buffer, 1000, 0), 1000);
	CU_ASSERT_EQUAL(await_read(fd, buffer, BLOCK, 0), 1000);
	CU_ASSERT_EQUAL(await_read(fd, buffer, BLOCK, 600), 400);
	CU_ASSERT_EQUAL(await_read(fd, buffer, BLOCK, 1000), 0);
	CU_ASSERT_EQUAL(await_read(fd, buffer, BLOCK, 1 << 20), 0);
	teardown();
	free(buffer);
}

static void a_direct_read_over_an_odd_end_gives_what_exists(void)
{
	uint8_t *buffer = memory_new(BLOCK, 7);

	setup_dir("/var/tmp", O_DIRECT);
	CU_ASSERT_EQUAL(await_write_flush(fd, buffer, BLOCK, 0), BLOCK);
	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, 4096 + 1000), 0);
	CU_ASSERT_EQUAL(await_read(fd, buffer, BLOCK, 0), 4096 + 1000);
	teardown();
	free(buffer);
}

static void registered_memory_and_files_give_the_same_bytes(void)
{
	uint8_t *memory = memory_new(16 * BLOCK, 0);
	uint8_t *check = memory_new(16 * BLOCK, 0xff);
	struct errinfo err = {0};

	for (unsigned i = 0; i < 16 * BLOCK; i++)
		memory[i] = (uint8_t)(i * 7 + (i >> 12));
	setup_dir("/var/tmp", O_DIRECT);
	CU_ASSERT_EQUAL(ring_register_memory(ring, memory, 16 * BLOCK, &err), 0);
	ring_register_file(ring, fd);
	ring_register_file(ring, fd);
	CU_ASSERT_EQUAL(await_write_flush(fd, memory, 15 * BLOCK, 0), 15 * BLOCK);
	CU_ASSERT_EQUAL(await_write(fd, memory + 15 * BLOCK, BLOCK, 15 * BLOCK), BLOCK);
	CU_ASSERT_EQUAL(await_read(fd, check, 16 * BLOCK, 0), 16 * BLOCK); /* not registered */
	CU_ASSERT_EQUAL(memcmp(check, memory, 16 * BLOCK), 0);
	memset(memory, 0, 16 * BLOCK);
	CU_ASSERT_EQUAL(await_read(fd, memory, 16 * BLOCK, 0), 16 * BLOCK);
	CU_ASSERT_EQUAL(memcmp(check, memory, 16 * BLOCK), 0);
	/* The next region takes the place of the first; that one still works. */
	CU_ASSERT_EQUAL(ring_register_memory(ring, check, 16 * BLOCK, &err), 0);
	CU_ASSERT_EQUAL(ring_register_memory(ring, memory, 0, &err), 0);
	CU_ASSERT_EQUAL(await_read(fd, memory, BLOCK, BLOCK), BLOCK);
	CU_ASSERT_EQUAL(memcmp(check + BLOCK, memory, BLOCK), 0);
	CU_ASSERT_EQUAL(await_read(fd, check, BLOCK, BLOCK), BLOCK);
	CU_ASSERT_EQUAL(ring_register_memory(ring, check, 0, &err), 0);
	ring_unregister_file(ring, fd);
	ring_unregister_file(ring, fd);
	CU_ASSERT_EQUAL(await_read(fd, check, BLOCK, BLOCK), BLOCK);
	teardown();
	free(memory);
	free(check);
}

static void an_unregistered_file_is_closed_for_good(void)
{
	struct rlimit limit;
	int ends[2];
	char byte;

	setup();
	CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
	ring_register_file(ring, ends[1]);
	ring_unregister_file(ring, ends[1]);
	close(ends[1]);
	CU_ASSERT_EQUAL(await_flush(fd), 0);
	CU_ASSERT_EQUAL(read(ends[0], &byte, 1), 0); /* end of file: nobody holds it */
	/* More files than slots, descriptors above the table: all work. */
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int i = 0; i < 300; i++) {
		int copy = fcntl(fd, F_DUPFD_CLOEXEC, 500 + i);

		CU_ASSERT_FATAL(copy >= 0);
		ring_register_file(ring, copy);
		CU_ASSERT_EQUAL(await_write(copy, &byte, 1, (uint64_t)i), 1);
	}
	for (int i = 0; i < 300; i++) {
		ring_unregister_file(ring, 500 + i);
		close(500 + i);
	}
	teardown();
	close(ends[0]);
}

static void more_operations_than_entries_all_end(void)
{
	enum { COUNT = 1000 };
	struct probe *probes = calloc(COUNT, sizeof(*probes));
	uint8_t *memory = memory_new(COUNT * 512 + 3584, 0);
	unsigned dispatched = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(probes);
	setup();
	for (unsigned i = 0; i < COUNT; i++) {
		probe_init(&probes[i]);
		memset(memory + i * 512, (int)i, 512);
		if (i * 7 % 5 > 1) /* so that a pair meets one last entry, too */
			ring_write(ring, &probes[i].op, fd, memory + i * 512, 512, i * 512);
		else
			ring_write_flush(ring, &probes[i].op, fd, memory + i * 512, 512, i * 512);
		CU_ASSERT(ring_op_pending(&probes[i].op));
	}
	CU_ASSERT_EQUAL(ring_files(ring).pending, COUNT);
	CU_ASSERT_EQUAL(ring_files(ring).ended, 0);
	while (dispatched < COUNT) {
		int ret = ring_run(ring);

		CU_ASSERT_FATAL(ret > 0);
		dispatched += (unsigned)ret;
	}
	CU_ASSERT_EQUAL(ring_run(ring), 0);
	CU_ASSERT_EQUAL(ring_files(ring).pending, 0);
	CU_ASSERT_EQUAL(ring_files(ring).ended, COUNT);
	for (unsigned i = 0; i < COUNT; i++) {
		uint8_t sector[512];

		CU_ASSERT_EQUAL(probes[i].runs, 1);
		CU_ASSERT_EQUAL(probes[i].result, 512);
		CU_ASSERT_EQUAL(pread(fd, sector, 512, i * 512), 512);
		CU_ASSERT_EQUAL(memcmp(sector, memory + i * 512, 512), 0);
	}
	teardown();
	free(probes);
	free(memory);
}

static void failures_come_with_their_errno(void)
{
	uint8_t *buffer = memory_new(BLOCK, 1);
	struct ring_wait wait;
	int readonly;

	setup_dir("/var/tmp", O_DIRECT);
	CU_ASSERT_EQUAL(await_read(-1, buffer, BLOCK, 0), -EBADF);
	CU_ASSERT_EQUAL(await_write(1023, buffer, BLOCK, 0), -EBADF);
	CU_ASSERT_EQUAL(await_write_flush(-1, buffer, BLOCK, 0), -EBADF);
	CU_ASSERT_EQUAL(await_flush(-1), -EBADF);
	CU_ASSERT_EQUAL(await_write(fd, buffer, BLOCK, 0), BLOCK);
	CU_ASSERT_EQUAL(await_read(fd, buffer + 1, 512, 1), -EINVAL); /* unaligned, O_DIRECT */
	CU_ASSERT_EQUAL(await_write_flush(fd, buffer + 1, 512, 1), -EINVAL);
	readonly = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	CU_ASSERT_EQUAL(await_write(readonly, buffer, 512, 0), -EBADF);
	CU_ASSERT_EQUAL(await_write_flush(readonly, buffer, 512, 0), -EBADF);
	close(readonly);
	ring_wait_init(&wait);
	ring_fallocate(ring, &wait.op, fd, 0x7f000000, 0, BLOCK);
	CU_ASSERT_EQUAL(ring_await(ring, &wait), -EOPNOTSUPP);
	ring_wait_init(&wait);
	ring_poll(ring, &wait.op, 1023, POLLIN);
	CU_ASSERT_EQUAL(ring_await(ring, &wait), -EBADF);
	teardown();
	free(buffer);
}

/* A file that may not grow beyond a limit takes part of a write, then none. */
static void a_short_write_is_continued_and_its_error_reported(void)
{
	uint8_t *buffer = memory_new(BLOCK, 3);
	struct rlimit old, limit;
	struct stat st;

	setup();
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = 10000;
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
	CU_ASSERT_EQUAL(await_write(fd, buffer, BLOCK, 0), -EFBIG);
	CU_ASSERT_EQUAL(fstat(fd, &st), 0);
	CU_ASSERT_EQUAL(st.st_size, 10000); /* the part before the limit was written */
	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, 0), 0);
	CU_ASSERT_EQUAL(await_write_flush(fd, buffer, BLOCK, 0), -EFBIG);
	CU_ASSERT_EQUAL(fstat(fd, &st), 0);
	CU_ASSERT_EQUAL(st.st_size, 10000);
	CU_ASSERT_EQUAL(await_write_flush(fd, buffer, 10000, 0), 10000);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &old), 0);
	teardown();
	free(buffer);
}

/* A pipe takes what its buffer holds; the rest goes when the reader took it. */
static void short_transfers_reach_their_full_length(void)
{
	enum { BYTES = 4 << 20 };
	uint8_t *out = memory_new(BYTES, 0);
	uint8_t *in = memory_new(BYTES, 0);
	struct probe reader, writer;
	int ends[2];

	for (unsigned i = 0; i < BYTES; i++)
		out[i] = (uint8_t)(i ^ (i >> 11));
	setup();
	CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
	probe_init(&reader);
	probe_init(&writer);
	ring_write(ring, &writer.op, ends[1], out, BYTES, 0);
	ring_read(ring, &reader.op, ends[0], in, BYTES, 0);
	run_until(&reader);
	run_until(&writer);
	CU_ASSERT_EQUAL(writer.result, BYTES);
	CU_ASSERT_EQUAL(reader.result, BYTES);
	CU_ASSERT_EQUAL(memcmp(in, out, BYTES), 0);
	teardown();
	close(ends[0]);
	close(ends[1]);
	free(out);
	free(in);
}

static void fallocate_punches_and_extends(void)
{
	uint8_t *buffer = memory_new(4 * BLOCK, 9);
	struct ring_wait wait;
	struct stat st;

	setup_dir("/var/tmp", 0);
	CU_ASSERT_EQUAL(await_write_flush(fd, buffer, 4 * BLOCK, 0), 4 * BLOCK);
	ring_register_file(ring, fd);
	ring_wait_init(&wait);
	ring_fallocate(ring, &wait.op, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BLOCK,
		       2 * BLOCK);
	CU_ASSERT_EQUAL(ring_await(ring, &wait), 0);
	CU_ASSERT_EQUAL(await_read(fd, buffer, 4 * BLOCK, 0), 4 * BLOCK);
	CU_ASSERT_EQUAL(buffer[BLOCK - 1], 9);
	CU_ASSERT_EQUAL(buffer[BLOCK], 0);
	CU_ASSERT_EQUAL(buffer[3 * BLOCK - 1], 0);
	CU_ASSERT_EQUAL(buffer[3 * BLOCK], 9);
	ring_wait_init(&wait);
	ring_fallocate(ring, &wait.op, fd, 0, 5ull << 30, 1 << 20); /* beyond 32 bits */
	CU_ASSERT_EQUAL(ring_await(ring, &wait), 0);
	CU_ASSERT_EQUAL(fstat(fd, &st), 0);
	CU_ASSERT_EQUAL(st.st_size, (5ll << 30) + (1 << 20));
	teardown();
	free(buffer);
}

static void a_timer_fires_at_its_time_and_not_before(void)
{
	struct probe late, early, past, zero;
	int64_t start;

	setup();
	start = ring_now_ns();
	probe_init(&late);
	probe_init(&early);
	probe_init(&past);
	probe_init(&zero);
	ring_timer(ring, &late.op, start + 1500 * MS);
	ring_timer(ring, &early.op, start + 1000 * MS);
	ring_timer(ring, &past.op, start - MS);
	ring_timer(ring, &zero.op, 0);
	CU_ASSERT_EQUAL(ring_files(ring).pending, 0);
	CU_ASSERT_EQUAL(past.runs + zero.runs, 0); /* never inside the call */
	CU_ASSERT_EQUAL(ring_run(ring), 2);
	CU_ASSERT_EQUAL(past.runs + zero.runs, 2);
	run_until(&early);
	CU_ASSERT(ring_now_ns() - start >= 1000 * MS);
	CU_ASSERT(late.op.pending || ring_now_ns() - start >= 1500 * MS);
	run_until(&late);
	CU_ASSERT(ring_now_ns() - start >= 1500 * MS);
	CU_ASSERT_EQUAL(early.result, 0);
	CU_ASSERT_EQUAL(late.result, 0);
	teardown();
}

static int64_t idle_us(void)
{
	struct rusage before, after;
	struct probe timer;
	int runs = 0;

	probe_init(&timer);
	getrusage(RUSAGE_SELF, &before);
	ring_timer(ring, &timer.op, ring_now_ns() + 200 * MS);
	while (timer.op.pending) {
		CU_ASSERT_FATAL(ring_run(ring) >= 0);
		runs++;
	}
	getrusage(RUSAGE_SELF, &after);
	CU_ASSERT_EQUAL(runs, 1);
	return (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 +
	       after.ru_utime.tv_usec - before.ru_utime.tv_usec +
	       (after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000 +
	       after.ru_stime.tv_usec - before.ru_stime.tv_usec;
}

/* One that polls uses all of it each time; others' interrupts are counted now and then. */
static void an_idle_ring_uses_no_processor(void)
{
	int64_t used_us = INT64_MAX;

	setup();
	for (int i = 0; i < 10 && used_us >= 20000; i++)
		used_us = idle_us();
	CU_ASSERT(used_us < 20000);
	teardown();
}

static void a_poll_gives_the_events(void)
{
	struct probe in, out;
	int ends[2];

	setup();
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	probe_init(&in);
	probe_init(&out);
	ring_poll(ring, &in.op, ends[0], POLLIN);
	ring_poll(ring, &out.op, ends[0], POLLOUT);
	run_until(&out);
	CU_ASSERT_EQUAL(out.result & POLLOUT, POLLOUT);
	CU_ASSERT(in.op.pending);
	CU_ASSERT_EQUAL(write(ends[1], "x", 1), 1);
	run_until(&in);
	CU_ASSERT_EQUAL(in.result & POLLIN, POLLIN);
	CU_ASSERT_EQUAL(in.result & POLLHUP, 0);
	close(ends[1]);
	ring_poll(ring, &in.op, ends[0], POLLIN);
	run_until(&in);
	CU_ASSERT_EQUAL(in.result & POLLHUP, POLLHUP);
	teardown();
	close(ends[0]);
}

static void a_cancelled_operation_ends_once_in_every_state(void)
{
	struct probe queued, running, poll, ready, timer;
	int ends[2];

	setup();
	CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
	probe_init(&queued);
	probe_init(&running);
	probe_init(&poll);
	probe_init(&ready);
	probe_init(&timer);
	ring_timer(ring, &running.op, ring_now_ns() + 60000 * MS);
	ring_poll(ring, &poll.op, ends[0], POLLIN);
	ring_timer(ring, &timer.op, ring_now_ns() + MS);
	run_until(&timer); /* the two before are now in the kernel */
	ring_timer(ring, &queued.op, ring_now_ns() + 60000 * MS);
	ring_timer(ring, &ready.op, 0);
	for (int twice = 0; twice < 2; twice++) {
		ring_cancel(ring, &queued.op);
		ring_cancel(ring, &running.op);
		ring_cancel(ring, &poll.op);
		ring_cancel(ring, &ready.op);
		ring_cancel(ring, &timer.op); /* has ended long ago */
	}
	CU_ASSERT_EQUAL(queued.runs + running.runs + poll.runs + ready.runs, 0);
	run_until(&queued);
	run_until(&running);
	run_until(&poll);
	run_until(&ready);
	CU_ASSERT_EQUAL(ring_run(ring), 0);
	CU_ASSERT_EQUAL(queued.runs, 1);
	CU_ASSERT_EQUAL(queued.result, -ECANCELED);
	CU_ASSERT_EQUAL(running.runs, 1);
	CU_ASSERT_EQUAL(running.result, -ECANCELED);
	CU_ASSERT_EQUAL(poll.runs, 1);
	CU_ASSERT_EQUAL(poll.result, -ECANCELED);
	CU_ASSERT_EQUAL(ready.runs, 1);
	CU_ASSERT_EQUAL(ready.result, 0); /* it had fired */
	CU_ASSERT_EQUAL(timer.runs, 1);
	teardown();
	close(ends[0]);
	close(ends[1]);
}

static void a_cancelled_transfer_does_not_go_on(void)
{
	enum { BYTES = 4 << 20 };
	uint8_t *out = memory_new(BYTES, 1);
	struct probe writer, flusher, timer;
	int ends[2], flush_ends[2];

	setup();
	CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
	CU_ASSERT_EQUAL_FATAL(pipe(flush_ends), 0);
	probe_init(&writer);
	probe_init(&flusher);
	probe_init(&timer);
	ring_write(ring, &writer.op, ends[1], out, BYTES, 0);
	ring_write_flush(ring, &flusher.op, flush_ends[1], out, BYTES, 0);
	ring_timer(ring, &timer.op, ring_now_ns() + 5 * MS);
	run_until(&timer);
	CU_ASSERT_FATAL(writer.op.pending && flusher.op.pending);
	ring_cancel(ring, &writer.op);
	ring_cancel(ring, &flusher.op);
	run_until(&writer);
	run_until(&flusher);
	CU_ASSERT_EQUAL(writer.result, -ECANCELED);
	CU_ASSERT_EQUAL(flusher.result, -ECANCELED);
	CU_ASSERT_EQUAL(ring_run(ring), 0);
	teardown();
	for (int i = 0; i < 2; i++) {
		close(ends[i]);
		close(flush_ends[i]);
	}
	free(out);
}

struct killer {
	struct ring_op op;
	struct probe *victim;
};

static void killer_done(struct ring_op *op, int result)
{
	ring_cancel(ring, &member_of(op, struct killer, op)->victim->op);
}

/* The victim's short completion is there already when it is cancelled. */
static void a_cancel_that_comes_late_ends_its_victim_and_nothing_else(void)
{
	struct killer killer = {.op.done = killer_done};
	struct probe victim, timer;
	int first[2], second[2];
	char bytes[1000];

	setup();
	CU_ASSERT_EQUAL_FATAL(pipe(first), 0);
	CU_ASSERT_EQUAL_FATAL(pipe(second), 0);
	CU_ASSERT_EQUAL(write(first[1], "x", 1), 1);
	CU_ASSERT_EQUAL(write(second[1], "0123456789", 10), 10);
	probe_init(&victim);
	probe_init(&timer);
	killer.victim = &victim;
	ring_read(ring, &killer.op, first[0], bytes, 1, 0);
	ring_read(ring, &victim.op, second[0], bytes, sizeof(bytes), 0);
	run_until(&victim);
	CU_ASSERT_EQUAL(victim.result, -ECANCELED);
	/* The same memory as another operation: no old request may end it. */
	ring_poll(ring, &victim.op, second[0], POLLIN);
	ring_timer(ring, &timer.op, ring_now_ns() + 10 * MS);
	run_until(&timer);
	CU_ASSERT(victim.op.pending);
	CU_ASSERT_EQUAL(victim.runs, 1);
	teardown();
	for (int i = 0; i < 2; i++) {
		close(first[i]);
		close(second[i]);
	}
}

/* Queues the next operation from inside done(), cancels another one there. */
struct chain {
	struct ring_op op;
	struct probe *victim;
	unsigned left;
};

static void chain_done(struct ring_op *op, int result)
{
	struct chain *chain = member_of(op, struct chain, op);

	CU_ASSERT_EQUAL(result, 0);
	if (chain->victim)
		ring_cancel(ring, &chain->victim->op);
	if (--chain->left)
		ring_timer(ring, op, 0);
}

static void operations_may_be_queued_and_cancelled_inside_done(void)
{
	struct chain chain = {.op.done = chain_done, .left = 100};
	struct probe victim, bystander;

	setup();
	probe_init(&victim);
	probe_init(&bystander);
	chain.victim = &victim;
	ring_timer(ring, &victim.op, ring_now_ns() + 60000 * MS);
	ring_timer(ring, &chain.op, 0);
	ring_flush(ring, &bystander.op, fd);
	CU_ASSERT(ring_run(ring) >= 1);
	while (chain.op.pending || victim.op.pending || bystander.op.pending)
		CU_ASSERT_FATAL(ring_run(ring) > 0);
	CU_ASSERT_EQUAL(chain.left, 0);
	CU_ASSERT_EQUAL(victim.result, -ECANCELED);
	CU_ASSERT_EQUAL(bystander.result, 0);
	teardown();
}

static void deferred_work_does_not_starve_completions(void)
{
	struct chain chain = {.op.done = chain_done, .left = 10 * 1000 * 1000};
	struct probe timer;

	setup();
	probe_init(&timer);
	ring_timer(ring, &timer.op, ring_now_ns() + 5 * MS);
	ring_timer(ring, &chain.op, 0);
	run_until(&timer);
	CU_ASSERT(chain.op.pending);
	teardown();
}

static void freeing_ends_everything_and_tells_only_the_cancelled(void)
{
	struct probe silent, cancelled, queued, ready;
	int ends[2];

	setup();
	CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
	probe_init(&silent);
	probe_init(&cancelled);
	probe_init(&queued);
	probe_init(&ready);
	ring_poll(ring, &silent.op, ends[0], POLLIN);
	ring_poll(ring, &cancelled.op, ends[0], POLLIN);
	ring_timer(ring, &ready.op, 0);
	run_until(&ready);
	ring_cancel(ring, &cancelled.op);
	ring_timer(ring, &queued.op, ring_now_ns() + 60000 * MS);
	ring_cancel(ring, &queued.op);
	ring_timer(ring, &ready.op, 0);
	teardown();
	CU_ASSERT_EQUAL(silent.runs, 0);
	CU_ASSERT_EQUAL(ready.runs, 1);
	CU_ASSERT_EQUAL(cancelled.runs, 1);
	CU_ASSERT_EQUAL(cancelled.result, -ECANCELED);
	CU_ASSERT_EQUAL(queued.runs, 1);
	CU_ASSERT_EQUAL(queued.result, -ECANCELED);
	close(ends[0]);
	close(ends[1]);
	ring_free(NULL);
}

static const struct cunit_case cases[] = {
    {"what_is_written_is_read_back", what_is_written_is_read_back},
    {"a_read_at_the_end_gives_what_exists", a_read_at_the_end_gives_what_exists},
    {"a_direct_read_over_an_odd_end_gives_what_exists",
     a_direct_read_over_an_odd_end_gives_what_exists},
    {"registered_memory_and_files_give_the_same_bytes",
     registered_memory_and_files_give_the_same_bytes},
    {"an_unregistered_file_is_closed_for_good", an_unregistered_file_is_closed_for_good},
    {"more_operations_than_entries_all_end", more_operations_than_entries_all_end},
    {"failures_come_with_their_errno", failures_come_with_their_errno},
    {"a_short_write_is_continued_and_its_error_reported",
     a_short_write_is_continued_and_its_error_reported},
    {"short_transfers_reach_their_full_length", short_transfers_reach_their_full_length},
    {"fallocate_punches_and_extends", fallocate_punches_and_extends},
    {"a_timer_fires_at_its_time_and_not_before", a_timer_fires_at_its_time_and_not_before},
    {"an_idle_ring_uses_no_processor", an_idle_ring_uses_no_processor},
    {"a_poll_gives_the_events", a_poll_gives_the_events},
    {"a_cancelled_operation_ends_once_in_every_state",
     a_cancelled_operation_ends_once_in_every_state},
    {"a_cancelled_transfer_does_not_go_on", a_cancelled_transfer_does_not_go_on},
    {"a_cancel_that_comes_late_ends_its_victim_and_nothing_else",
     a_cancel_that_comes_late_ends_its_victim_and_nothing_else},
    {"operations_may_be_queued_and_cancelled_inside_done",
     operations_may_be_queued_and_cancelled_inside_done},
    {"deferred_work_does_not_starve_completions", deferred_work_does_not_starve_completions},
    {"freeing_ends_everything_and_tells_only_the_cancelled",
     freeing_ends_everything_and_tells_only_the_cancelled},
};

int main(void)
{
	signal(SIGXFSZ, SIG_IGN);
	return cunit_run("ring", cases, sizeof(cases) / sizeof(cases[0]));
}
