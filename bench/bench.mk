# SPDX-License-Identifier: Apache-2.0
#
# make bench                      all numbers as one JSON object (some 20 minutes)
# make bench BENCH=pivot          one of them; ROUNDS=5, SECONDS_EACH=5, QEMU=10
# make bench RESULT=FILE          write it there as well

BENCH_ARGS = $(BENCH) $(if $(ROUNDS),--rounds $(ROUNDS)) \
	     $(if $(SECONDS_EACH),--seconds $(SECONDS_EACH)) $(if $(RESULT),--output $(RESULT))

$(BUILD)/bench/%: $(BUILD)/obj/bench/%.o
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $< -lnbd

bench: all lab $(BUILD)/bench/drain ## the numbers, as JSON
	@BUILD=$(abspath $(BUILD)) $(if $(filter-out all,$(QEMU)),QHEAL_QEMU=$(QEMU)) PYTHONDONTWRITEBYTECODE=1 \
		python3 bench/run.py $(BENCH_ARGS)

.PHONY: bench
