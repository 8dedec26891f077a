# SPDX-License-Identifier: Apache-2.0
#
# make              build/qheal and the libraries      make help   all targets
# make SAN=address,undefined                           a build with sanitizers, in build-san/
#
# qmp/ and blockio/ know neither each other nor engine/: their include paths and
# the link test of `make check` prove it.

VERSION   := 0.1.0
SAN       ?=
BUILD     ?= $(if $(SAN),build-san,build)
# Named alike however it is given: the dependencies of a build are found by its name.
override BUILD := $(patsubst $(CURDIR)/%,%,$(BUILD))
PREFIX    ?= /usr/local
CC        ?= cc
PKG       := pkg-config
CFLAGS    ?= -O2 -g
WARN      := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
	     -Wvla -Wformat=2 -Wundef -Wno-unused-parameter
HARDEN    := -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2
ALL_CFLAGS = -std=gnu11 $(WARN) $(HARDEN) $(CFLAGS) -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 \
	     -DQHEAL_VERSION='"$(VERSION)"' -Iinclude -MMD -MP
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now $(LDFLAGS)
ifneq ($(SAN),)
ALL_CFLAGS  += -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=undefined -U_FORTIFY_SOURCE
ALL_LDFLAGS += -fsanitize=$(SAN)
endif

QMP_LIBS     := $(shell $(PKG) --libs jansson)
BLOCKIO_LIBS := $(shell $(PKG) --libs liburing libxxhash libnbd jansson)
ENGINE_LIBS  := $(shell $(PKG) --libs inih) -lm
CUNIT_LIBS   := -lcunit

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard $(1)/*.c))
QMP_OBJ     := $(call objects,qmp)
BLOCKIO_OBJ := $(call objects,blockio)
ENGINE_OBJ  := $(filter-out $(BUILD)/obj/engine/main.o,$(call objects,engine))

all: $(BUILD)/qheal $(BUILD)/libqmp.so $(BUILD)/qmp.pc

# --- libraries: each folder sees only its own headers and include/ ---

$(BUILD)/obj/qmp/%.o: CPPFLAGS += -Iqmp
$(BUILD)/obj/blockio/%.o: CPPFLAGS += -Iblockio
$(BUILD)/obj/engine/%.o: CPPFLAGS += -Iengine -Iqmp -Iblockio
$(BUILD)/obj/bench/%.o: CPPFLAGS += -Ibench -Iqmp -Iblockio
$(BUILD)/obj/tests/%.o: CPPFLAGS += -Itests -Itests/support -Iengine -Iqmp -Iblockio

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/pic/qmp/%.o: qmp/%.c
	@mkdir -p $(@D)
	$(CC) -Iqmp $(ALL_CFLAGS) -fPIC -c -o $@ $<

$(BUILD)/libqmp.a: $(QMP_OBJ)
$(BUILD)/libblockio.a: $(BLOCKIO_OBJ)
$(BUILD)/libengine.a: $(ENGINE_OBJ)
%.a:
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/libqmp.so.0: $(patsubst qmp/%.c,$(BUILD)/pic/qmp/%.o,$(wildcard qmp/*.c)) qmp/qmp.map
	$(CC) -shared -Wl,-soname,libqmp.so.0 -Wl,--no-undefined -Wl,--version-script=qmp/qmp.map \
		$(filter-out -pie,$(ALL_LDFLAGS)) -o $@ $(filter %.o,$^) $(QMP_LIBS)
$(BUILD)/libqmp.so: $(BUILD)/libqmp.so.0
	ln -sf libqmp.so.0 $@
$(BUILD)/qmp.pc: qmp/qmp.pc.in Makefile
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' $< > $@

$(BUILD)/qheal: $(BUILD)/obj/engine/main.o $(BUILD)/libengine.a $(BUILD)/libqmp.a $(BUILD)/libblockio.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(BLOCKIO_LIBS) $(QMP_LIBS) $(ENGINE_LIBS)

-include tests/tests.mk bench/bench.mk qmp/qmp.mk engine/engine.mk
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

demo: ## boot a guest, kill its disk, watch it live
	./scripts/demo

lint: ## warnings, static analysis, shell scripts, formatting of what changed
	./scripts/lint

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include \
		$(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man3
	install -m 755 $(BUILD)/qheal $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(BUILD)/libqmp.a $(DESTDIR)$(PREFIX)/lib/
	install -m 755 $(BUILD)/libqmp.so.0 $(DESTDIR)$(PREFIX)/lib/
	ln -sf libqmp.so.0 $(DESTDIR)$(PREFIX)/lib/libqmp.so
	install -m 644 $(BUILD)/qmp.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/
	install -m 644 qmp/qmp.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 man/qheal.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 man/libqmp.3 $(DESTDIR)$(PREFIX)/share/man/man3/

clean:
	rm -rf build build-*

help:
	@echo "make            build/qheal, build/libqmp.a, build/libqmp.so"
	@echo "make check      unit tests (CUnit); SAN=address,undefined for sanitizers"
	@echo "make torture    power cuts on a simulated disk, TORTURE_SECONDS=60, until Ctrl-C without"
	@echo "make fuzz       libFuzzer targets, FUZZ_SECONDS=60 each"
	@echo "make system     tests with real QEMU processes and a real guest"
	@echo "make demo       the main job, to watch"
	@echo "make bench      the numbers, as JSON"
	@echo "make lint       static checks"
	@echo "make install    PREFIX=$(PREFIX), DESTDIR=$(DESTDIR)"
	@echo "make clean      remove build/ and build-*/"

.PHONY: all demo lint install clean help
.DELETE_ON_ERROR:
