/* SPDX-License-Identifier: Apache-2.0
 *
 * query-blockstats is taken apart, whatever is in it.
 */
#include <CUnit/CUnit.h>
#include <string.h>

#include "blockstats.h"
#include "cunit_main.h"

static struct guest guest;
static struct blockstats stats[BOUND_DISKS];

static void setup(void)
{
	memset(&guest, 0, sizeof(guest));
	memset(stats, 0xff, sizeof(stats));
	guest.disk_count = 2;
	strcpy(guest.disks[0].qom, "/machine/peripheral/vda/virtio-backend");
	strcpy(guest.disks[1].qom, "/machine/peripheral/sda");
}

static bool parse(const char *text)
{
	json_t *reply = json_loads(text, JSON_DECODE_ANY, NULL);
	bool good = blockstats_parse(reply, &guest, stats);

	json_decref(reply);
	return good;
}

static void disks_are_told_by_path_or_id(void)
{
	setup();
	CU_ASSERT_TRUE(parse("[{\"qdev\": \"sda\", \"stats\": {\"rd_operations\": 7}},"
			     " {\"qdev\": \"/machine/peripheral/vda/virtio-backend\","
			     "  \"stats\": {\"wr_operations\": 3}},"
			     " {\"qdev\": \"/machine/peripheral/cd/virtio-backend\","
			     "  \"stats\": {\"wr_operations\": 9}}]"));
	CU_ASSERT_TRUE(stats[0].known && stats[1].known);
	CU_ASSERT_EQUAL(stats[0].writes, 3);
	CU_ASSERT_EQUAL(stats[1].reads, 7);
	CU_ASSERT_FALSE(stats[2].known);
}

static void failures_count_as_ended_and_flushes_do_not_count_as_latency(void)
{
	setup();
	CU_ASSERT_TRUE(parse("[{\"qdev\": \"sda\", \"stats\": {\"rd_operations\": 1,"
			     " \"wr_operations\": 2, \"flush_operations\": 4,"
			     " \"unmap_operations\": 8, \"failed_rd_operations\": 16,"
			     " \"failed_wr_operations\": 32, \"failed_flush_operations\": 64,"
			     " \"failed_unmap_operations\": 128, \"rd_total_time_ns\": 1000,"
			     " \"wr_total_time_ns\": 100, \"flush_total_time_ns\": 10,"
			     " \"rd_bytes\": 512, \"wr_bytes\": 1024,"
			     " \"wr_highest_offset\": 4096}}]"));
	CU_ASSERT_EQUAL(stats[1].reads, 1);
	CU_ASSERT_EQUAL(stats[1].writes, 2);
	CU_ASSERT_EQUAL(stats[1].others, 12);
	CU_ASSERT_EQUAL(stats[1].failed, 240);
	CU_ASSERT_EQUAL(stats[1].busy_ns, 1100);
	CU_ASSERT_EQUAL(stats[1].bytes, 1536);
	CU_ASSERT_EQUAL(stats[1].write_highest, 4096);
}

static void nonsense_is_nothing(void)
{
	static const char *const texts[] = {
		"[]", "[null]", "[7]", "[{}]", "[{\"qdev\": 7, \"stats\": {}}]",
		"[{\"qdev\": \"sda\"}]", "[{\"qdev\": \"sda\", \"stats\": 7}]",
		"[{\"qdev\": \"\", \"stats\": {}}]",
		"[{\"qdev\": \"virtio-backend-of-another\", \"stats\": {}}]",
	};

	setup();
	CU_ASSERT_FALSE(parse("{}"));
	CU_ASSERT_FALSE(parse("null"));
	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		CU_ASSERT_TRUE(parse(texts[i]));
		CU_ASSERT_FALSE(stats[0].known || stats[1].known);
	}
	CU_ASSERT_TRUE(parse("[{\"qdev\": \"sda\", \"stats\": {\"rd_operations\": -5,"
			     " \"wr_operations\": \"many\"}}]"));
	CU_ASSERT_TRUE(stats[1].known);
	CU_ASSERT_EQUAL(stats[1].reads + stats[1].writes, 0);
}

static void a_queue_tells_what_waits(void)
{
	static const struct {
		const char *text;
		unsigned waiting;
	} table[] = {
		{"{\"inuse\": 0}", 0},  {"{\"inuse\": 12}", 12}, {"{\"inuse\": -1}", 0},
		{"{\"inuse\": 1e9}", 0}, {"{\"inuse\": 99999}", 0}, {"{}", 0}, {"[]", 0},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		json_t *reply = json_loads(table[i].text, 0, NULL);

		CU_ASSERT_EQUAL(blockstats_queue(reply), table[i].waiting);
		json_decref(reply);
	}
}

int main(void)
{
	static const struct cunit_case cases[] = {
		{"disks_are_told_by_path_or_id", disks_are_told_by_path_or_id},
		{"failures_count_as_ended_and_flushes_do_not_count_as_latency",
		 failures_count_as_ended_and_flushes_do_not_count_as_latency},
		{"nonsense_is_nothing", nonsense_is_nothing},
		{"a_queue_tells_what_waits", a_queue_tells_what_waits},
	};

	return cunit_run("engine_blockstats", cases, sizeof(cases) / sizeof(cases[0]));
}
