# SPDX-License-Identifier: Apache-2.0
#
# make bench                      build/qheal-bench all: the numbers, in ten minutes
# make bench BENCH=restore        one case; SIZE=1G ROUNDS=5 QEMU=10
# make bench RESULT=FILE          the JSON document; the table goes to stdout

BENCH_ARGS = $(if $(SIZE),--size $(SIZE)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
	     $(if $(SECONDS_EACH),--seconds $(SECONDS_EACH)) $(if $(RESULT),--output $(RESULT))

# Programs of one file each; the rest is qheal-bench.
BENCH_ALONE := drain mirror_peer slow qheal_bench points
BENCH_OBJ := $(filter-out $(BENCH_ALONE:%=$(BUILD)/obj/bench/%.o),$(call objects,bench))
# What its unit tests link: all but the cases.
BENCH_PURE := $(addprefix $(BUILD)/obj/bench/,stats.o series.o document.o compare.o threshold.o lab.o \
	neighbours.o child.o work.o)

$(BUILD)/qheal-bench: $(BUILD)/obj/bench/qheal_bench.o $(BENCH_OBJ)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ -ljansson -lm

$(BUILD)/bench/drain: $(BUILD)/obj/bench/drain.o
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $< -lnbd

$(BUILD)/bench/mirror-peer: $(BUILD)/obj/bench/mirror_peer.o
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $<

# What points in time cost: points DIR [EXTENTS].
$(BUILD)/bench/points: $(BUILD)/obj/bench/points.o $(BUILD)/libblockio.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(BLOCKIO_LIBS)

# Delays the program that it is preloaded into: proves that delays are found.
$(BUILD)/bench/slow.so: bench/slow.c
	@mkdir -p $(@D)
	$(CC) -shared -fPIC -std=gnu11 -O2 -D_GNU_SOURCE -o $@ $<

$(BUILD)/obj/tests/unit/bench_%.o: CPPFLAGS += -Ibench
$(BUILD)/tests/bench_%_test: $(BUILD)/obj/tests/unit/bench_%_test.o $(SUPPORT) $(BENCH_PURE)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ -ljansson -lm $(CUNIT_LIBS)

bench-programs: all $(BUILD)/qheal-bench $(addprefix $(BUILD)/bench/,drain mirror-peer slow.so)

bench: bench-programs lab ## the numbers, as JSON
	@$(if $(filter-out all,$(QEMU)),QHEAL_QEMU=$(QEMU)) $(BUILD)/qheal-bench $(or $(BENCH),all) $(BENCH_ARGS)

.PHONY: bench bench-programs
