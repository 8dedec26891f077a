/* SPDX-License-Identifier: Apache-2.0
 *
 * Opens a store as the sidecar would, so that what its journal holds is in the
 * heads, and says which generation that is:  store_open DIR
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "pool.h"
#include "ring.h"
#include "store.h"

#define BUFFERS 16

struct opened {
	struct ring *ring;
	struct pool *pool;
	struct store *store;
	bool settled;
	int status;
};

static void on_settled(void *arg, int status, const struct errinfo *error)
{
	struct opened *opened = arg;

	opened->settled = true;
	opened->status = status;
	if (status)
		fprintf(stderr, "%s\n", error ? error->text : strerror(-status));
}

static int open_and_settle(struct opened *opened, const char *dir, struct errinfo *err)
{
	struct store_info info;
	int rc = store_inspect(dir, &info, err);

	if (!rc)
		rc = ring_new(&opened->ring, BOUND_RING_ENTRIES, err);
	if (!rc)
		rc = pool_new(&opened->pool, opened->ring, BUFFERS, BOUND_BUFFER_BYTES,
			      info.spec.block_bytes, err);
	if (!rc)
		rc = store_open(&opened->store, opened->ring, opened->pool, dir, err);
	if (rc)
		return rc;
	store_settle(opened->store, on_settled, opened);
	while (!opened->settled)
		ring_run(opened->ring);
	return opened->status;
}

int main(int argc, char **argv)
{
	struct opened opened = {0};
	struct errinfo err = {0};
	int rc;

	if (argc != 2) {
		fprintf(stderr, "usage: store_open DIR\n");
		return 2;
	}
	rc = open_and_settle(&opened, argv[1], &err);
	if (!rc)
		printf("%llu\n", (unsigned long long)store_info(opened.store)->generation);
	else if (err.code)
		fprintf(stderr, "%s\n", err.text);
	store_close(opened.store);
	pool_free(opened.pool);
	ring_free(opened.ring);
	return rc ? 1 : 0;
}
