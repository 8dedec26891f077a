/* SPDX-License-Identifier: Apache-2.0
 *
 * sim_disk: see sim_disk.h.  Names here, contents in sim_file.c.
 */
#include "sim_disk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "ring.h"
#include "sim_file.h"

#define SIM_FILES 256 /* every store.json that is replaced was one */
#define SIM_FDS 256
#define SIM_NAMES 64
#define SIM_NAME_CHANGES 128
#define SIM_PATH 128
#define SIM_OPS 512

enum { OP_READ, OP_WRITE, OP_WRITE_FLUSH, OP_FLUSH, OP_FALLOCATE, OP_NOW };

struct sim_name {
	char path[SIM_PATH]; /* "": free */
	int file;	     /* -1: a directory */
};

/* FROM disappears (unless ""), TO then names FILE ("": nothing does). */
struct sim_name_change {
	char from[SIM_PATH], to[SIM_PATH];
	int file;
};

struct sim_fd {
	bool open, locked;
	int file;
	char path[SIM_PATH];
};

struct ring {
	struct sim *sim;
	struct ring_op *ops[SIM_OPS];
	unsigned count;
};

struct sim {
	uint64_t random;
	struct sim_file files[SIM_FILES];
	unsigned file_count;
	struct sim_name seen[SIM_NAMES], stable[SIM_NAMES];
	struct sim_name_change changes[SIM_NAME_CHANGES];
	unsigned change_count;
	struct sim_fd fds[SIM_FDS];
	struct ring *ring;
	void (*step)(void *arg);
	void *step_arg;
	uint64_t steps, fail_first, fail_count;
	int fail_status;
	const char *lie;
};

static struct sim *current;

uint64_t sim_random(uint64_t *state)
{
	uint64_t x = (*state += UINT64_C(0x9e3779b97f4a7c15)); /* splitmix64 */

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

struct sim *sim_new(uint64_t seed)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	sim->random = seed;
	return sim;
}

void sim_free(struct sim *sim)
{
	for (unsigned i = 0; i < sim->file_count; i++)
		sim_file_release(&sim->files[i]);
	free(sim);
}

struct sim *sim_use(struct sim *sim)
{
	struct sim *before = current;

	current = sim;
	return before;
}

void sim_on_step(struct sim *sim, void (*step)(void *arg), void *arg)
{
	sim->step = step;
	sim->step_arg = arg;
}

uint64_t sim_steps(const struct sim *sim)
{
	return sim->steps;
}

bool sim_busy(const struct sim *sim)
{
	return sim->ring && sim->ring->count;
}

void sim_fail(struct sim *sim, uint64_t nth, uint64_t count, int status)
{
	sim->fail_first = sim->steps + nth;
	sim->fail_count = count;
	sim->fail_status = status;
}

void sim_lie(struct sim *sim, const char *suffix)
{
	sim->lie = suffix;
}

/* Every operation that matters passes here first. */
static int sim_step(struct sim *sim)
{
	if (sim->step)
		sim->step(sim->step_arg);
	sim->steps++;
	if (sim->fail_count && sim->steps >= sim->fail_first &&
	    sim->steps < sim->fail_first + sim->fail_count)
		return sim->fail_status;
	return 0;
}

static bool sim_lies(const struct sim *sim, const char *path)
{
	size_t length = strlen(path), suffix = sim->lie ? strlen(sim->lie) : 0;

	return suffix && length >= suffix && strcmp(path + length - suffix, sim->lie) == 0;
}

/* --- names --- */

static struct sim_name *name_find(struct sim_name *names, const char *path)
{
	for (unsigned i = 0; i < SIM_NAMES; i++)
		if (strcmp(names[i].path, path) == 0)
			return &names[i];
	return NULL;
}

static void name_set(struct sim_name *names, const char *path, int file)
{
	struct sim_name *name = name_find(names, path);

	if (!name)
		name = name_find(names, "");
	assert(name && strlen(path) < SIM_PATH);
	strcpy(name->path, path);
	name->file = file;
}

static void name_apply(struct sim_name *names, const struct sim_name_change *change)
{
	struct sim_name *from = change->from[0] ? name_find(names, change->from) : NULL;

	if (from)
		from->path[0] = '\0';
	if (change->to[0])
		name_set(names, change->to, change->file);
}

static void name_change(struct sim *sim, const char *from, const char *to, int file)
{
	struct sim_name_change *change = &sim->changes[sim->change_count++];

	assert(sim->change_count <= SIM_NAME_CHANGES);
	strcpy(change->from, from);
	strcpy(change->to, to);
	change->file = file;
	name_apply(sim->seen, change);
}

static bool path_in(const char *path, const char *dir)
{
	size_t length = strlen(dir);

	return strncmp(path, dir, length) == 0 && path[length] == '/' &&
	       !strchr(path + length + 1, '/');
}

static bool parent_exists(struct sim_name *names, const char *path)
{
	char parent[SIM_PATH];
	char *slash;

	strcpy(parent, path);
	slash = strrchr(parent, '/');
	if (!slash || slash == parent)
		return true; /* the root is always there */
	*slash = '\0';
	return name_find(names, parent) != NULL;
}

int file_make_dir(const char *path)
{
	int status = sim_step(current);

	if (status)
		return status;
	if (!parent_exists(current->seen, path))
		return -ENOENT;
	if (!name_find(current->seen, path))
		name_change(current, "", path, -1);
	return 0;
}

int file_rename(const char *from, const char *to)
{
	struct sim_name *name = name_find(current->seen, from);
	int status = sim_step(current);

	if (status)
		return status;
	if (!name)
		return -ENOENT;
	name_change(current, from, to, name->file);
	return 0;
}

static int name_remove(const char *path, bool dir)
{
	struct sim_name *name = name_find(current->seen, path);
	int status = sim_step(current);

	if (status)
		return status;
	if (!name)
		return -ENOENT;
	if (dir != (name->file < 0))
		return dir ? -ENOTDIR : -EISDIR;
	for (unsigned i = 0; dir && i < SIM_NAMES; i++)
		if (path_in(current->seen[i].path, path))
			return -ENOTEMPTY;
	name_change(current, path, "", -1);
	return 0;
}

int file_remove(const char *path)
{
	return name_remove(path, false);
}

int file_remove_dir(const char *path)
{
	return name_remove(path, true);
}

int file_list(const char *path, int (*entry)(void *arg, const char *name), void *arg)
{
	int status = 0;

	if (!name_find(current->seen, path))
		return -ENOENT;
	for (unsigned i = 0; i < SIM_NAMES && !status; i++)
		if (path_in(current->seen[i].path, path))
			status = entry(arg, strrchr(current->seen[i].path, '/') + 1);
	return status;
}

int file_sync_dir(const char *path)
{
	struct sim *sim = current;
	int status = sim_step(sim);
	unsigned kept = 0;

	if (status || sim_lies(sim, path))
		return status;
	for (unsigned i = 0; i < sim->change_count; i++) {
		const struct sim_name_change *change = &sim->changes[i];
		const char *name = change->to[0] ? change->to : change->from;

		if (path_in(name, path) ||
		    (path[0] == '/' && !path[1] && !strchr(name + 1, '/')))
			name_apply(sim->stable, change);
		else
			sim->changes[kept++] = sim->changes[i];
	}
	sim->change_count = kept;
	return 0;
}

int file_open(const char *path, int flags)
{
	struct sim *sim = current;
	struct sim_name *name = name_find(sim->seen, path);
	int fd = 0;

	if (flags & (O_CREAT | O_TRUNC)) {
		int status = sim_step(sim);

		if (status)
			return status;
	}
	if (!name && !((flags & O_CREAT) && parent_exists(sim->seen, path)))
		return -ENOENT;
	if (!name) {
		assert(sim->file_count < SIM_FILES);
		sim_file_init(&sim->files[sim->file_count]);
		name_change(sim, "", path, (int)sim->file_count++);
		name = name_find(sim->seen, path);
	}
	while (sim->fds[fd].open)
		fd++;
	assert(fd < SIM_FDS && name->file >= 0);
	sim->fds[fd] = (struct sim_fd){.open = true, .file = name->file};
	strcpy(sim->fds[fd].path, path);
	if (flags & O_TRUNC)
		sim_file_change(&sim->files[name->file], SIM_TRUNCATE, NULL, 0, 0);
	return fd;
}

/* --- blocking calls on a file --- */

static struct sim_file *fd_file(struct sim *sim, int fd)
{
	assert(fd >= 0 && fd < SIM_FDS && sim->fds[fd].open);
	return &sim->files[sim->fds[fd].file];
}

void file_close(int fd)
{
	if (fd >= 0)
		current->fds[fd].open = current->fds[fd].locked = false;
}

int64_t file_size(int fd)
{
	return (int64_t)fd_file(current, fd)->seen.size;
}

int file_truncate(int fd, uint64_t size)
{
	int status = sim_step(current);

	if (!status)
		sim_file_change(fd_file(current, fd), SIM_TRUNCATE, NULL, size, 0);
	return status;
}

static int fd_flush(struct sim *sim, int fd, int status)
{
	struct sim_file *file = fd_file(sim, fd);

	/* As Linux has it: after a failed flush the pages are clean and lost. */
	if (status && sim_random(&sim->random) & 1)
		sim_file_forget(file);
	else if (!status && !sim_lies(sim, sim->fds[fd].path))
		sim_file_flush(file);
	return status;
}

int file_sync(int fd)
{
	return fd_flush(current, fd, sim_step(current));
}

int64_t file_read(int fd, void *buffer, size_t length, uint64_t offset)
{
	int status = sim_step(current);

	return status ? status
		      : (int64_t)sim_file_read(fd_file(current, fd), buffer, length, offset);
}

int file_write(int fd, const void *buffer, size_t length, uint64_t offset)
{
	int status = sim_step(current);

	if (!status)
		sim_file_change(fd_file(current, fd), SIM_WRITE, buffer, offset, length);
	return status;
}

int file_lock(int fd)
{
	for (int i = 0; i < SIM_FDS; i++)
		if (i != fd && current->fds[i].open && current->fds[i].locked &&
		    current->fds[i].file == current->fds[fd].file)
			return -EBUSY;
	current->fds[fd].locked = true;
	return 0;
}

/* One machine runs one program: nobody has it for himself. */
int file_lock_shared(int fd)
{
	return 0;
}

int64_t file_used(const char *path)
{
	struct sim_name *name = name_find(current->seen, path);

	return name && name->file >= 0 ? (int64_t)current->files[name->file].seen.size : -ENOENT;
}

int file_room(const char *path, uint64_t *bytes)
{
	*bytes = UINT64_C(1) << 40;
	return 0;
}

int file_random(void *buffer, size_t length)
{
	for (size_t i = 0; i < length; i++)
		((uint8_t *)buffer)[i] = (uint8_t)sim_random(&current->random);
	return 0;
}

bool file_is_direct(int fd)
{
	return true;
}

void file_forget(int fd, uint64_t offset, uint64_t length)
{
}

/* --- the ring --- */

int ring_new(struct ring **ring, unsigned entries, struct errinfo *err)
{
	*ring = calloc(1, sizeof(**ring));
	(*ring)->sim = current;
	current->ring = *ring;
	return 0;
}

void ring_free(struct ring *ring)
{
	if (!ring)
		return;
	ring->sim->ring = NULL;
	free(ring);
}

int ring_register_memory(struct ring *ring, void *base, size_t length, struct errinfo *err)
{
	return 0;
}

void ring_register_file(struct ring *ring, int fd)
{
}

void ring_unregister_file(struct ring *ring, int fd)
{
}

static void op_queue(struct ring *ring, struct ring_op *op, uint8_t kind, int fd, void *address,
		     uint32_t length, uint64_t offset)
{
	assert(ring->count < SIM_OPS && !op->pending);
	op->kind = kind;
	op->fd = fd;
	op->address = address;
	op->length = length;
	op->offset = offset;
	op->progress = 0;
	op->pending = true;
	ring->ops[ring->count++] = op;
}

void ring_read(struct ring *ring, struct ring_op *op, int fd, void *buffer, uint32_t length,
	       uint64_t offset)
{
	op_queue(ring, op, OP_READ, fd, buffer, length, offset);
}

void ring_write(struct ring *ring, struct ring_op *op, int fd, const void *buffer, uint32_t length,
		uint64_t offset)
{
	op_queue(ring, op, OP_WRITE, fd, (void *)(uintptr_t)buffer, length, offset);
}

void ring_write_flush(struct ring *ring, struct ring_op *op, int fd, const void *buffer,
		      uint32_t length, uint64_t offset)
{
	op_queue(ring, op, OP_WRITE_FLUSH, fd, (void *)(uintptr_t)buffer, length, offset);
}

void ring_flush(struct ring *ring, struct ring_op *op, int fd)
{
	op_queue(ring, op, OP_FLUSH, fd, NULL, 0, 0);
}

void ring_fallocate(struct ring *ring, struct ring_op *op, int fd, int mode, uint64_t offset,
		    uint64_t length)
{
	op_queue(ring, op, OP_FALLOCATE, fd, NULL, 0, offset);
	op->mode = (uint32_t)mode;
	op->range_bytes = length;
}

void ring_timer(struct ring *ring, struct ring_op *op, int64_t deadline_ns)
{
	op_queue(ring, op, OP_NOW, -1, NULL, 0, 0);
}

static struct sim_change op_change(const struct ring_op *op)
{
	struct sim_change change = {.kind = SIM_WRITE, .offset = op->offset,
				    .length = op->length, .data = op->address};

	if (op->kind == OP_FALLOCATE) {
		change.data = NULL;
		change.length = op->range_bytes;
		change.kind = op->mode & FALLOC_FL_PUNCH_HOLE ? SIM_ZERO : SIM_GROW;
	}
	if (change.kind == SIM_GROW) {
		change.offset += change.length;
		change.length = 0;
	}
	return change;
}

/* Runs OP; false: there is a second half of it to come. */
static bool op_run(struct sim *sim, struct ring_op *op, int *result)
{
	struct sim_change change = op_change(op);

	if (op->kind == OP_NOW)
		return true;
	if (op->kind == OP_READ) {
		*result = sim_step(sim);
		if (!*result)
			*result = (int)sim_file_read(fd_file(sim, op->fd), op->address, op->length,
					     op->offset);
		return true;
	}
	*result = sim_step(sim);
	if (op->kind == OP_FLUSH || op->progress) {
		*result = fd_flush(sim, op->fd, *result);
		*result = *result ? *result : (int)op->length;
		return true;
	}
	/* A write that fails may have left a part of itself behind. */
	if (*result && change.kind == SIM_WRITE)
		change.length = change.length / 2 / SIM_SECTOR * SIM_SECTOR;
	if (!*result || (change.kind == SIM_WRITE && sim_random(&sim->random) & 1))
		sim_file_change(fd_file(sim, op->fd), change.kind, change.data, change.offset,
				change.length);
	if (*result)
		return true;
	op->progress = op->length;
	*result = op->kind == OP_FALLOCATE ? 0 : (int)op->length;
	return op->kind != OP_WRITE_FLUSH;
}

int ring_run(struct ring *ring)
{
	unsigned index;
	struct ring_op *op;
	int result = 0;

	assert(ring->count); /* somebody waits for what never comes */
	index = (unsigned)(sim_random(&ring->sim->random) % ring->count);
	op = ring->ops[index];
	if (!op_run(ring->sim, op, &result))
		return 0;
	ring->ops[index] = ring->ops[--ring->count];
	op->pending = false;
	op->done(op, result);
	return 1;
}

int64_t ring_now_ns(void)
{
	return current ? (int64_t)current->steps : 0;
}

/* --- the power cut --- */

static void names_cut(struct sim *to, const struct sim *from, uint64_t *random)
{
	bool orphans = true;

	memcpy(to->stable, from->stable, sizeof(to->stable));
	for (unsigned i = 0; i < from->change_count; i++)
		if (sim_random(random) & 1)
			name_apply(to->stable, &from->changes[i]);
	while (orphans) {
		orphans = false;
		for (unsigned i = 0; i < SIM_NAMES; i++) {
			struct sim_name *name = &to->stable[i];

			if (!name->path[0] || parent_exists(to->stable, name->path))
				continue;
			name->path[0] = '\0';
			orphans = true;
		}
	}
	memcpy(to->seen, to->stable, sizeof(to->seen));
}

struct sim *sim_cut(const struct sim *sim, uint64_t seed)
{
	struct sim *after = sim_new(seed);
	uint64_t random = seed ^ UINT64_C(0x706f776572);

	after->file_count = sim->file_count;
	for (unsigned i = 0; i < sim->file_count; i++)
		sim_file_cut(&after->files[i], &sim->files[i], &random);
	for (unsigned i = 0; sim->ring && i < sim->ring->count; i++) {
		const struct ring_op *op = sim->ring->ops[i];
		struct sim_change change = op_change(op);

		if ((op->kind == OP_WRITE || op->kind == OP_WRITE_FLUSH ||
		     op->kind == OP_FALLOCATE) && !op->progress)
			sim_file_cut_change(&after->files[sim->fds[op->fd].file], &change,
					    &random);
	}
	names_cut(after, sim, &random);
	return after;
}
