/* SPDX-License-Identifier: Apache-2.0
 *
 * store.json: what is written is read back, what is not a store is refused.
 */
#include "store_fixture.h"

#include "cunit_main.h"
#include "store_json.h"

static const char good[] =
	"{\"format\": 2, \"uuid\": \"01234567-89ab-4cde-8f01-23456789abcd\", \"vm\": \"g\","
	" \"vm_uuid\": \"\", \"block_bytes\": 65536, \"state\": \"ready\","
	" \"disks\": [{\"name\": \"vda\", \"size\": 1048576}, {\"name\": \"#block1\", \"size\": 512,"
	" \"from\": 4, \"grown_from\": 512}],"
	" \"settled\": {\"generation\": 3, \"time_us\": 7, \"more\": false},"
	" \"gone\": [{\"name\": \"vdg\", \"size\": 4096}],"
	" \"promoted\": [{\"disk\": \"vda\", \"image\": \"/i\", \"generation\": 3, \"time_us\": 9}]}";

static void what_is_written_is_read_back(void)
{
	struct store_json *json = calloc(1, sizeof(*json)), *again = calloc(1, sizeof(*again));
	struct errinfo err = {0};
	char *text;

	CU_ASSERT_EQUAL_FATAL(store_json_parse(good, strlen(good), "x", json, &err), 0);
	CU_ASSERT_EQUAL(json->state, STORE_READY);
	CU_ASSERT_EQUAL(json->spec.disk_count, 2);
	CU_ASSERT_EQUAL(json->uuid_bytes[0], 0x01);
	CU_ASSERT_EQUAL(json->uuid_bytes[15], 0xcd);
	CU_ASSERT_STRING_EQUAL(json->spec.disks[1].name, "#block1");
	CU_ASSERT_STRING_EQUAL(json->promoted[0].image, "/i");
	CU_ASSERT_EQUAL(json->marks[0].from, 0);
	CU_ASSERT_EQUAL(json->marks[1].from, 4);
	CU_ASSERT_EQUAL(json->marks[1].grown_from, 512);
	CU_ASSERT_TRUE(json->settled.generation == 3 && json->settled.time_us == 7);
	CU_ASSERT_EQUAL_FATAL(json->gone_count, 1);
	CU_ASSERT_STRING_EQUAL(json->gone[0].name, "vdg");
	text = store_json_format(json);
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	CU_ASSERT_EQUAL(store_json_parse(text, strlen(text), "x", again, &err), 0);
	CU_ASSERT_TRUE(again->summed && !json->summed);
	json->summed = true;
	CU_ASSERT_EQUAL(memcmp(json, again, sizeof(*json)), 0);
	free(text);
	free(json);
	free(again);
}

/* Also one that leaves valid JSON with other numbers in it. */
static void no_flipped_bit_gives_another_store(void)
{
	struct store_json *json = calloc(1, sizeof(*json)), *flipped = calloc(1, sizeof(*flipped));
	struct errinfo err = {0};
	unsigned refused = 0, same = 0;
	char *text;

	CU_ASSERT_EQUAL_FATAL(store_json_parse(good, strlen(good), "x", json, &err), 0);
	text = store_json_format(json);
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	for (size_t bit = 0; bit < 8 * strlen(text); bit++) {
		text[bit / 8] ^= (char)(1 << bit % 8);
		if (store_json_parse(text, strlen(text), "x", flipped, &err)) {
			refused++;
		} else {
			flipped->summed = json->summed; /* "sum" itself has another name */
			CU_ASSERT_EQUAL(memcmp(json, flipped, sizeof(*json)), 0);
			same++;
		}
		err_clear(&err);
		text[bit / 8] ^= (char)(1 << bit % 8);
	}
	CU_ASSERT_TRUE(refused > same);
	free(text);
	free(json);
	free(flipped);
}

/* GOOD with the first FROM replaced by TO. */
static int parse_with(const char *from, const char *to, struct errinfo *err)
{
	struct store_json *json = calloc(1, sizeof(*json));
	char text[2048];
	const char *at = strstr(good, from);
	int status;

	CU_ASSERT_PTR_NOT_NULL_FATAL(at);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
	err_clear(err);
	status = store_json_parse(text, strlen(text), "STORE/store.json", json, err);
	free(json);
	return status;
}

static void newer_format_is_refused_with_both_numbers(void)
{
	struct errinfo err;

	CU_ASSERT_EQUAL(parse_with("\"format\": 2", "\"format\": 3", &err), -ENOTSUP);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "format 3"));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "up to 2"));
	/* even when everything else has changed with it */
	CU_ASSERT_EQUAL(parse_with("\"format\": 2, \"uuid\"", "\"format\": 3, \"id\"", &err),
			-ENOTSUP);
}

static void older_format_is_read_and_written_as_the_present_one(void)
{
	struct store_json *json = calloc(1, sizeof(*json));
	struct errinfo err = {0};
	char text[2048], *written;

	snprintf(text, sizeof(text), "{\"format\": 1%s", good + strlen("{\"format\": 2"));
	CU_ASSERT_EQUAL_FATAL(store_json_parse(text, strlen(text), "x", json, &err), 0);
	CU_ASSERT_EQUAL(json->format, 1);
	CU_ASSERT_EQUAL(json->spec.disk_count, 2);
	written = store_json_format(json);
	CU_ASSERT_PTR_NOT_NULL_FATAL(written);
	CU_ASSERT_PTR_NOT_NULL(strstr(written, "\"format\": 2"));
	free(written);
	free(json);
}

static void what_is_no_store_is_refused(void)
{
	static const char *const edits[][2] = {
		{"\"format\": 2", "\"format\": 0"},
		{"\"format\": 2", "\"format\": \"2\""},
		{"\"format\": 2,", ""},
		{"01234567-", "01234567+"},
		{"01234567-", "0123456g-"},
		{"65536", "65535"},
		{"65536", "2048"},
		{"65536", "2097152"},
		{"65536", "99999999999999999999"},
		{"\"ready\"", "\"broken\""},
		{"\"ready\"", "4"},
		{"\"vda\"", "\"../../etc\""},
		{"\"vda\"", "\"..\""},
		{"\"vda\"", "\".\""},
		{"\"vda\"", "\"a/b\""},
		{"\"vda\"", "\"\""},
		{"\"vda\"", "\"a\\u0000b\""},
		{"\"vda\"", "\"#block1\""},
		{"1048576", "0"},
		{"1048576", "1000"},
		{"1048576", "-512"},
		{"1048576", "9223372036854775296"},
		{"1048576", "1e6"},
		{"[{\"name\"", "[{\"nom\""},
		{"\"disk\": \"vda\"", "\"disk\": \"vdz\""},
		{"\"image\": \"/i\"", "\"image\": \"\""},
		{"\"generation\": 3, \"time_us\": 9", "\"generation\": 0, \"time_us\": 9"},
		{"\"from\": 4", "\"from\": -4"},
		{"\"from\": 4", "\"from\": \"4\""},
		{"\"from\": 4, ", ""},
		{"\"grown_from\": 512", "\"grown_from\": 1024"},
		{"\"grown_from\": 512", "\"grown_from\": 100"},
		{"\"generation\": 3, \"time_us\": 7", "\"generation\": 0, \"time_us\": 7"},
		{"\"more\": false", "\"more\": 0"},
		{", \"more\": false", ""},
		{"\"vdg\"", "\"../x\""},
		{"\"vdg\"", "\"vda\""},
		{"\"ready\"", "\"filled\""},
		{"{\"format\"", "[{\"format\""},
		{"\"vm\": \"g\"", "\"vm\": \"g\", \"vm\": \"h\""},
	};
	struct errinfo err;

	for (unsigned i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		int status = parse_with(edits[i][0], edits[i][1], &err);

		if (status != -EUCLEAN)
			printf("%s -> %s: %d\n", edits[i][0], edits[i][1], status);
		CU_ASSERT_EQUAL(status, -EUCLEAN);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "STORE/store.json"));
	}
	for (size_t length = 0; length < strlen(good); length++) {
		struct store_json *json = calloc(1, sizeof(*json));

		CU_ASSERT_EQUAL(store_json_parse(good, length, "x", json, NULL), -EUCLEAN);
		free(json);
	}
}

static void names_that_are_no_directory_are_refused(void)
{
	struct store_spec spec = fixture_spec(512, 512);
	struct errinfo err = {0};

	CU_ASSERT_EQUAL(store_name_check("virtio-disk0.a_b:c#9", &err), 0);
	CU_ASSERT_EQUAL(store_name_check("../x", &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "'../x'"));
	CU_ASSERT_EQUAL(store_spec_check(&spec, NULL), 0);
	strcpy(spec.disks[1].name, "vda");
	err_clear(&err);
	CU_ASSERT_EQUAL(store_spec_check(&spec, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "two disks are named vda"));
	spec = fixture_spec(513, 0);
	CU_ASSERT_EQUAL(store_spec_check(&spec, NULL), -EINVAL);
}

int main(void)
{
	static const struct cunit_case cases[] = {
		{"what_is_written_is_read_back", what_is_written_is_read_back},
		{"no_flipped_bit_gives_another_store", no_flipped_bit_gives_another_store},
		{"newer_format_is_refused_with_both_numbers",
		 newer_format_is_refused_with_both_numbers},
		{"older_format_is_read_and_written_as_the_present_one",
		 older_format_is_read_and_written_as_the_present_one},
		{"what_is_no_store_is_refused", what_is_no_store_is_refused},
		{"names_that_are_no_directory_are_refused",
		 names_that_are_no_directory_are_refused},
	};

	return cunit_run("store_json", cases, sizeof(cases) / sizeof(cases[0]));
}
