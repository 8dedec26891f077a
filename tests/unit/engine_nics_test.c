/* SPDX-License-Identifier: Apache-2.0
 *
 * Network cards from QEMU's command line; the standby from its option.
 */
#include <string.h>

#include <CUnit/CUnit.h>

#include "cunit_main.h"
#include "jsontext.h"
#include "nics.h"
#include "standby.h"

static void cards_have_their_backends(void)
{
	static const char *const words[] = {
		"qemu", "-netdev", "user,id=u0", "-device", "e1000,netdev=u0,id=net0",
		"-netdev", "stream,id=s0,addr.type=unix,addr.path=/a,,b,server=off",
		"-device", "{\"driver\":\"virtio-net-pci\",\"netdev\":\"s0\",\"id\":\"net1\"}",
		"--netdev", "{\"type\":\"stream\",\"id\":\"s1\",\"server\":true,"
			    "\"addr\":{\"type\":\"unix\",\"path\":\"/c\"}}",
		"--device", "virtio-net-pci,id=net2,netdev=s1", "-netdev",
		"stream,id=s2,reconnect=5,addr.type=inet,addr.host=h,addr.port=1", "-device",
		"virtio-net-pci,id=net3,netdev=s2", "-device", "virtio-net-pci,netdev=none",
		"-device", "virtio-blk-pci,drive=d,id=vda", "-netdev"};
	struct nics nics;
	json_t *argv = json_array();

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		json_array_append_new(argv, json_string(words[i]));
	nics_parse(&nics, argv);
	CU_ASSERT_EQUAL_FATAL(nics.count, 4);
	CU_ASSERT_STRING_EQUAL(nics.list[0].device, "net0");
	CU_ASSERT_PTR_NULL(nics.list[0].backend); /* not of a kind that is lost */
	CU_ASSERT(!nics.list[0].card_json && nics.list[1].card_json);
	CU_ASSERT_STRING_EQUAL(json_text(nics.list[0].card, "driver"), "e1000");
	CU_ASSERT_PTR_NOT_NULL_FATAL(nics.list[1].backend);
	CU_ASSERT_STRING_EQUAL(nics.list[1].path, "/a,b");
	CU_ASSERT(json_is_false(json_object_get(nics.list[1].backend, "server")));
	CU_ASSERT_STRING_EQUAL(json_text(json_object_get(nics.list[1].backend, "addr"), "type"),
			       "unix");
	CU_ASSERT_PTR_NULL(nics.list[2].backend); /* it listens */
	CU_ASSERT_PTR_NULL(nics.list[3].backend); /* it tries again by itself */
	nics_release(&nics);
	json_decref(argv);
}

static void no_more_cards_than_there_is_room_for(void)
{
	struct nics nics;
	json_t *argv = json_array();

	json_array_append_new(argv, json_string("qemu"));
	for (unsigned i = 0; i < DETECT_NICS_MAX + 2; i++) {
		json_array_append_new(argv, json_string("-device"));
		json_array_append_new(argv, json_sprintf("e1000,netdev=n%u,id=c%u", i, i));
	}
	nics_parse(&nics, argv);
	CU_ASSERT_EQUAL(nics.count, DETECT_NICS_MAX);
	nics_release(&nics);
	json_decref(argv);
}

static void the_standby_is_read(void)
{
	static const struct {
		const char *text, *qmp, *uri;
	} table[] = {
		{"qmp=/run/b.sock", "/run/b.sock", ""},
		{"qmp=/run/b,,c.sock,uri=unix:/m", "/run/b,c.sock", "unix:/m"},
		{"uri=tcp:h:1,qmp=tcp:h:2", "tcp:h:2", "tcp:h:1"},
		{"uri=tcp:h:1", "", ""},
		{"qmp=", "", ""},
		{"/run/b.sock", "", ""},
		{"qmp=/a,url=b", "", ""},
		{"{\"qmp\":\"/a\"}", "", ""},
		{"", "", ""},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct standby standby;

		CU_ASSERT_EQUAL(standby_parse(table[i].text, &standby), table[i].qmp[0] != '\0');
		CU_ASSERT_STRING_EQUAL(standby.qmp, table[i].qmp);
		if (table[i].qmp[0])
			CU_ASSERT_STRING_EQUAL(standby.uri, table[i].uri);
	}
}

#define CASE(name) {#name, name}

int main(void)
{
	static const struct cunit_case cases[] = {
		CASE(cards_have_their_backends),
		CASE(no_more_cards_than_there_is_room_for),
		CASE(the_standby_is_read),
	};

	return cunit_run("nics", cases, sizeof(cases) / sizeof(cases[0]));
}
