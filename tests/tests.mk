# SPDX-License-Identifier: Apache-2.0
#
# tests/unit/NAME_test.c      a CUnit program each; names a module
# tests/support/*.c           linked into every unit test
# tests/fuzz/NAME_fuzz.c      libFuzzer targets (clang)
#
# A unit test that replaces a module (say the ring by one in memory) lists the
# objects of the library it wants itself:   TEST_OBJECTS_name = ...

UNIT_SRC  := $(wildcard tests/unit/*_test.c)
UNIT_BIN  := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(UNIT_SRC))
SUPPORT   := $(call objects,tests/support)

# Those that take longest go first, so that none of them is left alone at the end.
UNIT_LONG := $(filter $(patsubst %,$(BUILD)/tests/%_test,overlay store_sim store_shape_sim engine_control \
	     engine_retention image point engine_guard),$(UNIT_BIN))
CHECK_JOBS ?= 2

# All of them run, whatever fails.
check: check-programs ## unit tests, CHECK_JOBS=2 programs at a time
	@tests/check $(CHECK_JOBS) $(UNIT_LONG) $(filter-out $(UNIT_LONG),$(UNIT_BIN))

check-programs: all link $(UNIT_BIN)

# qmp/ and blockio/ know neither each other nor the engine.
link: $(BUILD)/libqmp.a $(BUILD)/libblockio.a
	@tests/link $(BUILD) $(CC) $(if $(SAN),-fsanitize=$(SAN)) -- $(QMP_LIBS) -- $(BLOCKIO_LIBS)

$(BUILD)/tests/%_test: $(BUILD)/obj/tests/unit/%_test.o $(SUPPORT) $(BUILD)/libengine.a $(BUILD)/libqmp.a $(BUILD)/libblockio.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $(TEST_LDFLAGS_$*) -o $@ $< $(SUPPORT) $(or $(TEST_OBJECTS_$*),$(filter %.a,$^)) \
		$(BLOCKIO_LIBS) $(QMP_LIBS) $(ENGINE_LIBS) $(CUNIT_LIBS)

# Programs in which the Nth allocation fails (support/alloc_fail.h).
TEST_LDFLAGS_pool = $(ALLOC_WRAP)
TEST_LDFLAGS_nbd = $(ALLOC_WRAP)
TEST_LDFLAGS_copy = $(ALLOC_WRAP)
TEST_LDFLAGS_image = -Wl,--wrap=ring_read,--wrap=file_read
TEST_LDFLAGS_point = -Wl,--wrap=ring_read
TEST_LDFLAGS_clone = -Wl,--wrap=ring_timer,--wrap=pace_slice,--wrap=file_clone
TEST_LDFLAGS_restore = -Wl,--wrap=ring_write,--wrap=ring_flush,--wrap=open64
TEST_LDFLAGS_store = -Wl,--wrap=poll
TEST_LDFLAGS_overlay = $(ALLOC_WRAP) -Wl,--wrap=open64,--wrap=pwrite64,--wrap=ftruncate64 \
	-Wl,--wrap=ring_write,--wrap=ring_flush

# The store without its ring and files, on a disk in memory.
SIM_OBJ := $(call objects,tests/sim)
TEST_OBJECTS_store_sim = $(SIM_OBJ) $(filter $(addprefix %/,apply.o clone.o flush.o head.o head_files.o inspect.o json_sum.o \
	journal.o journal_area.o journal_scan.o journal_zero.o keep.o keep_files.o \
	keep_move.o keep_op.o keep_read.o point.o point_delete.o point_json.o point_store.o point_take.o \
	pool.o record.o store.o store_fill.o \
	store_json.o store_make.o store_open.o store_disks.o point.o point_json.o sum.o),$(BLOCKIO_OBJ))
TEST_OBJECTS_store_shape_sim = $(TEST_OBJECTS_store_sim)
$(BUILD)/tests/store_sim_test $(BUILD)/tests/store_shape_sim_test: $(SIM_OBJ)

# Histories of a store without end; QHEAL_SEED=N begins with that one.
torture: $(BUILD)/tests/store_sim_test ## power cuts, for as long as one likes
	TORTURE_SECONDS=$(or $(TORTURE_SECONDS),0) $(if $(QHEAL_SEED),QHEAL_SEED=$(QHEAL_SEED)) $<

FUZZ_SECONDS ?= 60
FUZZ_SRC := $(wildcard tests/fuzz/*_fuzz.c)
FUZZ_BIN := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRC))
FUZZ_OBJ := $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,$(wildcard qmp/*.c blockio/*.c))
FUZZ_CC = clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
	  -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DFUZZING -Iinclude -Iqmp -Iblockio -Itests/support -MMD -MP

$(BUILD)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(FUZZ_CC) -c -o $@ $<

$(BUILD)/fuzz/%_fuzz: $(BUILD)/fuzz/obj/tests/fuzz/%_fuzz.o $(FUZZ_OBJ)
	$(FUZZ_CC) -o $@ $^ $(BLOCKIO_LIBS) $(QMP_LIBS)

fuzz: $(FUZZ_BIN) ## libFuzzer targets, CHECK_JOBS=2 at a time
	@tests/fuzz/run $(CHECK_JOBS) $(FUZZ_SECONDS) $(BUILD)/corpus $(FUZZ_BIN)

fuzz-programs: $(FUZZ_BIN)

include tests/lab/lab.mk

.PHONY: check check-programs fuzz fuzz-programs link torture
.SECONDARY: # objects stay for the next build
