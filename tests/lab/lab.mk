# SPDX-License-Identifier: Apache-2.0
#
# The test guest and the host-side checker, linked to nothing of qheal.

GUEST_SRC := $(wildcard tests/guest/*.c)

$(BUILD)/guest/init: $(GUEST_SRC) $(wildcard tests/guest/*.h)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -Os $(WARN) -D_GNU_SOURCE -static -o $@ $(GUEST_SRC)

$(BUILD)/guest/initramfs.cpio: $(BUILD)/guest/init tests/lab/initramfs.py
	PYTHONPATH=tests python3 -m lab.initramfs $< $@

# With the real guest agent in it.
$(BUILD)/guest/initramfs-agent.cpio: $(BUILD)/guest/init tests/lab/initramfs.py
	PYTHONPATH=tests python3 -m lab.initramfs $< $@ /usr/sbin/qemu-ga

$(BUILD)/tests/qcheck: tests/checker/qcheck.c tests/guest/record.h
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MF $@.d $(ALL_LDFLAGS) -o $@ $<

# What the guest counts, on the host.
$(BUILD)/obj/tests/unit/guest_%.o: CPPFLAGS += -Itests/guest
$(BUILD)/tests/guest_latency_test: $(BUILD)/obj/tests/unit/guest_latency_test.o \
		$(BUILD)/obj/tests/guest/latency.o $(BUILD)/obj/tests/support/cunit_main.o
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(CUNIT_LIBS)

$(BUILD)/tests/qcheck_test: $(BUILD)/tests/qcheck

# tests/tools/NAME.c: programs of the system tests that use our libraries.
TOOLS := $(patsubst tests/tools/%.c,$(BUILD)/tests/%,$(wildcard tests/tools/*.c))

$(TOOLS): $(BUILD)/tests/%: $(BUILD)/obj/tests/tools/%.o $(BUILD)/libblockio.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(BLOCKIO_LIBS)

guest: $(BUILD)/guest/initramfs.cpio $(BUILD)/tests/qcheck ## what the demo needs besides qheal

lab: guest $(BUILD)/guest/initramfs-agent.cpio $(TOOLS) ## what the system tests need besides qheal

# SYSTEM=pivot: tests with this in their name; QEMU: 7, 10 or all.
SYSTEM ?=
QEMU   ?= all

system: all lab ## tests with real QEMU processes and a real guest
	BUILD=$(abspath $(BUILD)) tests/system/run --qemu $(QEMU) $(SYSTEM)

.PHONY: guest lab system
