# SPDX-License-Identifier: Apache-2.0
#
# The engine's tests share a QEMU in memory (tests/fake), and all writes to a
# monitor pass by it.

FAKE_OBJ := $(call objects,tests/fake)
ENGINE_SUPPORT := $(addprefix $(BUILD)/obj/tests/support/,cunit_main.o alloc_fail.o)
TEST_LDFLAGS_engine := $(ALLOC_WRAP) -Wl,--wrap=sendmsg

$(BUILD)/tests/engine_%_test: $(BUILD)/obj/tests/unit/engine_%_test.o $(FAKE_OBJ) $(ENGINE_SUPPORT) \
		$(BUILD)/libengine.a $(BUILD)/libqmp.a $(BUILD)/libblockio.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $(TEST_LDFLAGS_engine) -o $@ $^ $(BLOCKIO_LIBS) $(QMP_LIBS) $(ENGINE_LIBS) $(CUNIT_LIBS)

# One has a ring that fails.
$(BUILD)/tests/engine_monitor_test: TEST_LDFLAGS_engine += -Wl,--wrap=ring_run

# One test runs the program itself, beside which it lies.
$(BUILD)/tests/engine_main_test: | $(BUILD)/qheal
