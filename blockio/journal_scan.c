/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_scan: see journal_scan.h; the rules are those of docs/FORMAT.md.
 *
 * What makes the decision exact is the seal.  It is written and flushed after a
 * generation was acknowledged and its predecessor is in the heads, and before
 * anything of it goes there itself; the next generation begins only after it:
 *
 *   current g   other area     meaning                              to apply
 *   ---------   -------------  -----------------------------------  ---------
 *   sealed      anything       g-1 is in the heads and flushed      g
 *   unsealed    g-1 whole      g-1 perhaps not in the heads yet     g-1, g
 *   unsealed    anything else  only right for the first one after   g
 *				the base (a new store's is 0)
 *   (none)                     only right before the first commit   nothing
 *
 * A seal that is higher than every whole generation means that one which was
 * acknowledged has been damaged since: that is never passed over in silence.
 *
 * An area with a page that cannot be read may hold an acknowledged generation behind
 * it, unless it begins with a record that is obsolete: the one that follows would
 * have overwritten that record before anybody was told of it.
 */
#include "journal_scan.h"

#include <errno.h>
#include <string.h>

struct scan {
	struct journal_reader *reader;
	const struct record_shape *shape;
	uint8_t *buffer;
	uint32_t buffer_bytes;
	struct record page;
	uint64_t offset;
	uint64_t sequence;
	uint64_t chain;
	uint64_t seal_attempt;
};

/* 1: a valid record is in scan->page; 0: none there; negative: errno. */
static int scan_page(struct scan *scan, uint64_t offset)
{
	int64_t n = scan->reader->read(scan->reader, scan->buffer, RECORD_PAGE, offset);

	if (n < 0)
		return (int)n;
	if (n < RECORD_PAGE)
		return 0;
	memcpy(&scan->page, scan->buffer, RECORD_PAGE);
	return record_valid(&scan->page, scan->shape);
}

/* 1: every block is what its sum says. */
static int scan_content(struct scan *scan)
{
	const uint32_t room = scan->buffer_bytes / scan->shape->block_bytes;
	struct record part = scan->page;
	uint64_t offset = scan->offset + RECORD_PAGE;

	for (uint32_t done = 0; done < scan->page.count; done += part.count) {
		uint32_t padded;
		int64_t n;

		part.count = scan->page.count - done < room ? scan->page.count - done : room;
		part.block = scan->page.block + done;
		memmove(part.sums, scan->page.sums + done, part.count * sizeof(part.sums[0]));
		part.bytes = record_blocks_bytes(scan->shape, part.disk, part.block, part.count);
		padded = (uint32_t)(record_length(&part) - RECORD_PAGE);
		n = scan->reader->read(scan->reader, scan->buffer, padded, offset);
		if (n < 0)
			return (int)n;
		if (n < padded || record_bad_block(&part, scan->shape, scan->buffer) >= 0)
			return 0;
		offset += padded;
	}
	return 1;
}

static void scan_seal(struct scan *scan, unsigned area, struct journal_found *found)
{
	int valid = scan_page(scan, 0);

	if (valid < 0)
		found->error = valid;
	if (valid <= 0 || scan->page.type != RECORD_SEAL || (scan->page.generation & 1) != area)
		return;
	found->seal = scan->page.generation;
	found->seal_time_us = scan->page.time_us;
	scan->seal_attempt = scan->page.attempt;
}

/* Does scan->page continue what was found so far? */
static bool scan_continues(struct scan *scan, unsigned area, struct journal_found *found)
{
	const struct record *page = &scan->page;

	if (page->type == RECORD_SEAL || page->sequence != scan->sequence ||
	    page->place != scan->offset)
		return false;
	if (scan->sequence == 0) {
		if ((page->generation & 1) != area)
			return false;
		found->generation = page->generation;
		found->attempt = page->attempt;
		found->state = JOURNAL_TORN;
		scan->chain = page->attempt;
	}
	return page->generation == found->generation && page->attempt == found->attempt;
}

static void scan_commit(struct scan *scan, struct journal_found *found)
{
	if (scan->page.chain != scan->chain || scan->page.bytes != found->bytes)
		return;
	found->state = JOURNAL_COMMITTED;
	found->records = scan->sequence;
	found->end = scan->offset;
	found->time_us = scan->page.time_us;
	found->sealed = found->seal == found->generation && scan->seal_attempt == found->attempt;
}

void journal_scan(struct journal_reader *reader, const struct record_shape *shape, unsigned area,
		  enum journal_depth depth, void *buffer, uint32_t buffer_bytes,
		  struct journal_found *found)
{
	struct scan scan = {.reader = reader, .shape = shape, .buffer = buffer,
			    .buffer_bytes = buffer_bytes, .offset = RECORD_PAGE};
	int status;

	memset(found, 0, sizeof(*found));
	scan_seal(&scan, area, found);
	for (;;) {
		status = scan_page(&scan, scan.offset);
		if (status <= 0 || !scan_continues(&scan, area, found))
			break;
		if (scan.page.type == RECORD_COMMIT) {
			scan_commit(&scan, found);
			break;
		}
		/* Of a sealed generation every write was flushed; a block of it that
		 * went bad since is noticed when it is applied. */
		if (scan.page.type == RECORD_DATA && depth == JOURNAL_CONTENT &&
		    found->seal != found->generation) {
			status = scan_content(&scan);
			if (status <= 0)
				break;
		}
		scan.chain = record_chain(scan.chain, &scan.page);
		scan.offset += record_length(&scan.page);
		scan.sequence++;
		found->bytes += scan.page.type == RECORD_DATA ? scan.page.bytes : 0;
	}
	if (status < 0)
		found->error = status;
}

static void plan_add(struct journal_plan *plan, unsigned area, const struct journal_found *found)
{
	plan->area[plan->count++] = area;
	plan->generation = found->generation;
	plan->time_us = found->time_us;
}

static int decide_none(uint64_t seal, const struct journal_base *base,
		       struct journal_plan *plan, struct errinfo *err)
{
	plan->generation = base->generation;
	plan->time_us = base->time_us;
	if (seal)
		return err_set(err, -EUCLEAN,
			       "journal: generation %llu was committed but neither area holds it "
			       "whole any more: the replica is damaged, protect into a new store",
			       (unsigned long long)seal);
	if (base->more)
		return err_set(err, -EUCLEAN,
			       "journal: store.json says that generations were committed but "
			       "neither area holds one: the replica is damaged, protect into a "
			       "new store");
	return 0;
}

/* What the base covers might as well not be there. */
static void base_drop(struct journal_found *found, uint64_t base)
{
	if (found->generation <= base)
		found->state = JOURNAL_EMPTY;
	if (found->seal <= base)
		found->seal = 0;
}

/* Nothing that was acknowledged is behind a page of AREA that cannot be read. */
static int unread_check(const struct journal_found found[2], unsigned area, uint64_t base,
			struct errinfo *err)
{
	const struct journal_found *unread = &found[area], *other = &found[area ^ 1];
	uint64_t settled = base;

	if (other->state == JOURNAL_COMMITTED && other->sealed && other->generation > settled)
		settled = other->generation;
	if (!unread->error || (unread->state != JOURNAL_EMPTY && unread->generation <= settled))
		return 0;
	return err_set(err, unread->error,
		       "journal: area %c cannot be read (%s), and an acknowledged generation may be in "
		       "it: protect into a new store if the disk does not give it back",
		       area ? 'b' : 'a', strerror(-unread->error));
}

int journal_decide(const struct journal_found areas[2], const struct journal_base *base,
		   struct journal_plan *plan, struct errinfo *err)
{
	struct journal_found found[2] = {areas[0], areas[1]};
	const struct journal_found *current, *other;
	unsigned area = 0;
	uint64_t seal;
	int status;

	memset(plan, 0, sizeof(*plan));
	for (unsigned i = 0; i < 2; i++) {
		status = unread_check(areas, i, base->generation, err);
		if (status)
			return status;
	}
	for (unsigned i = 0; i < 2; i++)
		base_drop(&found[i], base->generation);
	seal = found[0].seal > found[1].seal ? found[0].seal : found[1].seal;
	if (found[1].state == JOURNAL_COMMITTED &&
	    (found[0].state != JOURNAL_COMMITTED || found[1].generation > found[0].generation))
		area = 1;
	current = &found[area];
	other = &found[area ^ 1];
	if (current->state != JOURNAL_COMMITTED)
		return decide_none(seal, base, plan, err);
	if (seal > current->generation || (seal == current->generation && !current->sealed))
		return err_set(err, -EUCLEAN,
			       "journal: generation %llu was committed but area %c does not hold it "
			       "whole any more: the replica is damaged, protect into a new store",
			       (unsigned long long)seal, seal & 1 ? 'b' : 'a');
	if (!current->sealed && current->generation > base->generation + 1) {
		if (other->state != JOURNAL_COMMITTED ||
		    other->generation != current->generation - 1)
			return err_set(err, -EUCLEAN,
				       "journal: generation %llu is whole but its predecessor is "
				       "not: the replica is damaged, protect into a new store",
				       (unsigned long long)current->generation);
		plan_add(plan, area ^ 1, other);
	}
	plan_add(plan, area, current);
	return 0;
}
