# SPDX-License-Identifier: Apache-2.0
#
# libqmp's own tests, fuzz target and example link with libqmp and jansson only:
# the library is of use without the rest.

ALLOC_WRAP := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup
TEST_LDFLAGS_qmp_alloc := $(ALLOC_WRAP)
QMP_SUPPORT := $(addprefix $(BUILD)/obj/tests/support/,cunit_main.o alloc_fail.o)

$(BUILD)/tests/qmp_%_test: $(BUILD)/obj/tests/unit/qmp_%_test.o $(QMP_SUPPORT) $(BUILD)/libqmp.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $(TEST_LDFLAGS_qmp_$*) -o $@ $< $(filter-out $<,$^) $(QMP_LIBS) $(CUNIT_LIBS)

$(BUILD)/fuzz/qmp_%: tests/fuzz/qmp_%.c $(wildcard qmp/*.c qmp/*.h)
	@mkdir -p $(@D)
	clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		-D_GNU_SOURCE -DFUZZING -Iinclude -Iqmp -o $@ $(filter %.c,$^) $(QMP_LIBS)

# The example, as a user of the installed library would build it.
$(BUILD)/examples/%: qmp/examples/%.c $(BUILD)/libqmp.so
	@mkdir -p $(@D)
	$(CC) -Iqmp $(WARN) $(CFLAGS) $(if $(SAN),-fsanitize=$(SAN)) -o $@ $< \
		-L$(BUILD) -Wl,-rpath,$(abspath $(BUILD)) -lqmp $(QMP_LIBS)

check: $(patsubst qmp/examples/%.c,$(BUILD)/examples/%,$(wildcard qmp/examples/*.c))
