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

#define SIM_FILES 256
#define SIM_FDS 512
#define SIM_NAMES 256
#define SIM_NAME_CHANGES 512
#define SIM_NAME 32
#define SIM_PATH 128
#define SIM_OPS 512
#define SIM_ROOT 0 /* the node of the directory / */

enum { OP_READ, OP_WRITE, OP_WRITE_FLUSH, OP_FLUSH, OP_FALLOCATE, OP_NOW };

struct sim_name {
	char text[SIM_NAME]; /* "": free */
	int dir;	     /* node of the directory it is in */
	int node;
};

/* FROM disappears (unless ""), TO (unless "") then names NODE. */
struct sim_name_change {
	char from[SIM_NAME], to[SIM_NAME];
	int dir, node;
};

struct sim_fd {
	bool open, locked;
	int node;
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
	bool dirs[SIM_FILES]; /* the node is a directory */
	unsigned file_count;
	bool clones; /* files can share blocks */
	struct sim_name seen[SIM_NAMES], stable[SIM_NAMES];
	struct sim_name_change changes[SIM_NAME_CHANGES];
	unsigned change_count;
	struct sim_fd fds[SIM_FDS];
	struct ring *ring;
	void (*step)(void *arg);
	void *step_arg;
	uint64_t steps, fail_first, fail_count;
	int fail_status;
	const char *lie, *full;
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
	sim_file_init(&sim->files[SIM_ROOT]);
	sim->dirs[SIM_ROOT] = true;
	sim->file_count = SIM_ROOT + 1;
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

void sim_clones(struct sim *sim, bool possible)
{
	sim->clones = possible;
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

void sim_full(struct sim *sim, const char *suffix)
{
	sim->full = suffix;
}

/* Every operation passes here first; one that only reads may fail, but the disk is
 * the same before and after it. */
static int sim_read_step(struct sim *sim)
{
	sim->steps++;
	if (sim->fail_count && sim->steps >= sim->fail_first &&
	    sim->steps < sim->fail_first + sim->fail_count)
		return sim->fail_status;
	return 0;
}

static int sim_step(struct sim *sim)
{
	if (sim->step)
		sim->step(sim->step_arg);
	return sim_read_step(sim);
}

static bool ends_with(const char *path, const char *end)
{
	size_t length = strlen(path), suffix = end ? strlen(end) : 0;

	return suffix && length >= suffix && strcmp(path + length - suffix, end) == 0;
}

static bool sim_lies(const struct sim *sim, const char *path)
{
	return ends_with(path, sim->lie);
}

/* --- names --- */

/* Nodes are files and directories; a name is an entry of a directory.  So a
 * directory that is renamed takes along what is in it. */

static struct sim_name *name_find(struct sim_name *names, int dir, const char *text)
{
	for (unsigned i = 0; i < SIM_NAMES; i++)
		if (names[i].text[0] && names[i].dir == dir && strcmp(names[i].text, text) == 0)
			return &names[i];
	return NULL;
}

static void name_set(struct sim_name *names, int dir, const char *text, int node)
{
	struct sim_name *name = name_find(names, dir, text);

	for (unsigned i = 0; i < SIM_NAMES && !name; i++)
		if (!names[i].text[0])
			name = &names[i];
	assert(name);
	strcpy(name->text, text);
	name->dir = dir;
	name->node = node;
}

static void name_apply(struct sim_name *names, const struct sim_name_change *change)
{
	struct sim_name *from =
		change->from[0] ? name_find(names, change->dir, change->from) : NULL;

	if (from)
		from->text[0] = '\0';
	if (change->to[0])
		name_set(names, change->dir, change->to, change->node);
}

/* FROM becomes TO in the directory DIR; "" is none. */
static void name_change(struct sim *sim, int dir, const char *from, const char *to, int node)
{
	struct sim_name_change *change = &sim->changes[sim->change_count++];

	assert(sim->change_count <= SIM_NAME_CHANGES);
	*change = (struct sim_name_change){.dir = dir, .node = node};
	strcpy(change->from, from);
	strcpy(change->to, to);
	name_apply(sim->seen, change);
}

/* The node of PATH, or -ENOENT.  PARENT and LAST, the directory and the name in it,
 * are found even if PATH is not there; PARENT < 0: nor is the directory. */
static int path_find(struct sim *sim, const char *path, int *parent, char *last)
{
	int node = SIM_ROOT;

	*parent = SIM_ROOT;
	last[0] = '\0';
	while (*path) {
		const struct sim_name *name;
		size_t length;

		path += strspn(path, "/");
		length = strcspn(path, "/");
		if (!length)
			break;
		*parent = node;
		if (node < 0)
			return -ENOENT;
		assert(length < SIM_NAME);
		memcpy(last, path, length);
		last[length] = '\0';
		path += length;
		name = name_find(sim->seen, node, last);
		node = name ? name->node : -ENOENT;
	}
	return node;
}

static bool node_named(const struct sim *sim, int node)
{
	for (unsigned i = 0; i < SIM_NAMES; i++)
		if ((sim->seen[i].text[0] && sim->seen[i].node == node) ||
		    (sim->stable[i].text[0] && sim->stable[i].node == node))
			return true;
	for (unsigned i = 0; i < sim->change_count; i++)
		if (sim->changes[i].node == node || sim->changes[i].dir == node)
			return true;
	for (unsigned i = 0; i < SIM_FDS; i++)
		if (sim->fds[i].open && sim->fds[i].node == node)
			return true;
	return false;
}

/* A node that nothing knows any more, or a new one. */
static int node_new(struct sim *sim, bool dir)
{
	int node = SIM_ROOT + 1;

	while (node < (int)sim->file_count && node_named(sim, node))
		node++;
	assert(node < SIM_FILES);
	if (node < (int)sim->file_count)
		sim_file_release(&sim->files[node]);
	else
		sim->file_count = (unsigned)node + 1;
	sim_file_init(&sim->files[node]);
	sim->dirs[node] = dir;
	return node;
}

int file_make_dir(const char *path)
{
	char last[SIM_NAME];
	int parent, node, status = sim_step(current);

	if (status)
		return status;
	node = path_find(current, path, &parent, last);
	if (parent < 0)
		return -ENOENT;
	if (node < 0)
		name_change(current, parent, "", last, node_new(current, true));
	return 0;
}

/* Only within a directory: nothing else is done, and nothing else is atomic here. */
int file_rename(const char *from, const char *to)
{
	char last_from[SIM_NAME], last_to[SIM_NAME];
	int parent_from, parent_to, node, status = sim_step(current);

	if (status)
		return status;
	node = path_find(current, from, &parent_from, last_from);
	if (node < 0)
		return node;
	path_find(current, to, &parent_to, last_to);
	assert(parent_from == parent_to);
	name_change(current, parent_from, last_from, last_to, node);
	return 0;
}

static int node_remove(const char *path, bool dir)
{
	char last[SIM_NAME];
	int parent, node, status = sim_step(current);

	if (status)
		return status;
	node = path_find(current, path, &parent, last);
	if (node < 0)
		return node;
	if (current->dirs[node] != dir)
		return dir ? -ENOTDIR : -EISDIR;
	for (unsigned i = 0; i < SIM_NAMES; i++)
		if (dir && current->seen[i].text[0] && current->seen[i].dir == node)
			return -ENOTEMPTY;
	name_change(current, parent, last, "", node);
	return 0;
}

int file_remove(const char *path)
{
	return node_remove(path, false);
}

int file_remove_dir(const char *path)
{
	return node_remove(path, true);
}

int file_list(const char *path, int (*entry)(void *arg, const char *name), void *arg)
{
	char last[SIM_NAME];
	int parent, node = path_find(current, path, &parent, last), status = 0;

	if (node < 0)
		return node;
	if (!current->dirs[node])
		return -ENOTDIR;
	for (unsigned i = 0; i < SIM_NAMES && !status; i++)
		if (current->seen[i].text[0] && current->seen[i].dir == node) {
			strcpy(last, current->seen[i].text);
			status = entry(arg, last);
		}
	return status;
}

static void dir_flush(struct sim *sim, int node)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < sim->change_count; i++) {
		if (sim->changes[i].dir == node)
			name_apply(sim->stable, &sim->changes[i]);
		else
			sim->changes[kept++] = sim->changes[i];
	}
	sim->change_count = kept;
}

int file_sync_dir(const char *path)
{
	struct sim *sim = current;
	char last[SIM_NAME];
	int parent, node, status = sim_step(sim);

	if (status || sim_lies(sim, path))
		return status;
	node = path_find(sim, path, &parent, last);
	if (node >= 0)
		dir_flush(sim, node);
	return node < 0 ? node : 0;
}

int file_open(const char *path, int flags)
{
	struct sim *sim = current;
	char last[SIM_NAME];
	int parent, node, fd = 0;

	if (flags & (O_CREAT | O_TRUNC)) {
		int status = sim_step(sim);

		if (status)
			return status;
	}
	node = path_find(sim, path, &parent, last);
	if (node < 0 && (!(flags & O_CREAT) || parent < 0))
		return -ENOENT;
	if (node < 0) {
		node = node_new(sim, false);
		name_change(sim, parent, "", last, node);
	}
	while (fd < SIM_FDS && sim->fds[fd].open)
		fd++;
	assert(fd < SIM_FDS && strlen(path) < SIM_PATH);
	sim->fds[fd] = (struct sim_fd){.open = true, .node = node};
	strcpy(sim->fds[fd].path, path);
	if (flags & O_TRUNC)
		sim_file_change(&sim->files[node], SIM_TRUNCATE, NULL, 0, 0);
	return fd;
}

/* --- blocking calls on a file --- */

static struct sim_file *fd_file(struct sim *sim, int fd)
{
	assert(fd >= 0 && fd < SIM_FDS && sim->fds[fd].open);
	return &sim->files[sim->fds[fd].node];
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

	if (sim->dirs[sim->fds[fd].node]) {
		if (!status && !sim_lies(sim, sim->fds[fd].path))
			dir_flush(sim, sim->fds[fd].node);
		return status;
	}
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
	int status = sim_read_step(current);

	return status ? status
		      : (int64_t)sim_file_read(fd_file(current, fd), buffer, length, offset);
}

int file_write(int fd, const void *buffer, size_t length, uint64_t offset)
{
	int status = sim_step(current);

	if (ends_with(current->fds[fd].path, current->full))
		return -ENOSPC;
	if (!status)
		sim_file_change(fd_file(current, fd), SIM_WRITE, buffer, offset, length);
	return status;
}

int file_lock(int fd)
{
	for (int i = 0; i < SIM_FDS; i++)
		if (i != fd && current->fds[i].open && current->fds[i].locked &&
		    current->fds[i].node == current->fds[fd].node)
			return -EBUSY;
	current->fds[fd].locked = true;
	return 0;
}

int file_lock_shared(int fd)
{
	return 0; /* one machine runs one program: nobody has it for himself */
}

/* What FROM is seen to be, as a write that is not flushed. */
int file_clone(int to, int from, uint64_t offset, uint64_t length)
{
	const struct sim_file *source = fd_file(current, from);
	uint8_t *data;
	int status = sim_step(current);

	if (status || !current->clones)
		return status ? status : -EOPNOTSUPP;
	length = length ? length : source->seen.size - offset;
	data = calloc(1, length + 1);
	length = sim_file_read(source, data, length, offset);
	sim_file_change(fd_file(current, to), SIM_WRITE, data, offset, length);
	free(data);
	return 0;
}

int64_t file_data_next(int fd, uint64_t offset)
{
	const struct sim_image *image = &fd_file(current, fd)->seen;
	uint64_t page = offset / SIM_PAGE;

	while (page < image->count && !image->pages[page])
		page++;
	if (page >= image->count || offset >= image->size)
		return -ENXIO;
	return (int64_t)(page * SIM_PAGE > offset ? page * SIM_PAGE : offset);
}

bool file_tells_holes(int fd)
{
	return true;
}

int file_extents(int fd, uint64_t offset, uint64_t length, struct file_extent *extents,
		 unsigned max)
{
	return -EOPNOTSUPP;
}

int64_t file_clock_us(void)
{
	return 1 + (int64_t)current->steps;
}

int64_t file_used(const char *path)
{
	char last[SIM_NAME];
	int parent, node = path_find(current, path, &parent, last);

	return node < 0 ? node : (int64_t)current->files[node].seen.size;
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

void ring_sync(struct ring *ring, struct ring_op *op, int fd)
{
	ring_flush(ring, op, fd);
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
		*result = sim_read_step(sim);
		if (!*result)
			*result = (int)sim_file_read(fd_file(sim, op->fd), op->address, op->length,
					     op->offset);
		return true;
	}
	*result = sim_step(sim);
	if (op->kind == OP_WRITE && ends_with(sim->fds[op->fd].path, sim->full))
		*result = -ENOSPC;
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

static bool dir_named(const struct sim_name *names, int node)
{
	for (unsigned i = 0; i < SIM_NAMES; i++)
		if (names[i].text[0] && names[i].node == node)
			return true;
	return node == SIM_ROOT;
}

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

			if (!name->text[0] || dir_named(to->stable, name->dir))
				continue;
			name->text[0] = '\0';
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
	after->clones = sim->clones;
	memcpy(after->dirs, sim->dirs, sizeof(after->dirs));
	sim_file_release(&after->files[SIM_ROOT]);
	for (unsigned i = 0; i < sim->file_count; i++)
		sim_file_cut(&after->files[i], &sim->files[i], &random);
	for (unsigned i = 0; sim->ring && i < sim->ring->count; i++) {
		const struct ring_op *op = sim->ring->ops[i];
		struct sim_change change = op_change(op);

		if ((op->kind == OP_WRITE || op->kind == OP_WRITE_FLUSH ||
		     op->kind == OP_FALLOCATE) && !op->progress)
			sim_file_cut_change(&after->files[sim->fds[op->fd].node], &change,
					    &random);
	}
	names_cut(after, sim, &random);
	return after;
}
