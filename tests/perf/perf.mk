# SPDX-License-Identifier: MIT
# The micro-benchmark, a static program for Linux and Bothy alike, and the table of both.

PERF_PROGS := $(OUT)/tests/ubench $(OUT)/tests/startbench

$(PERF_PROGS): $(OUT)/tests/%: $(OUT)/uobj/tests/perf/%.c.o
	@mkdir -p $(@D)
	$(call QUIET,ULD,$@) $(call musl_link,$@,$^)

-include $(PERF_PROGS:$(OUT)/tests/%=$(OUT)/uobj/tests/perf/%.c.d)

.PHONY: bench
bench: all $(PERF_PROGS) $(HV_TEST_PROGS)
	@tools/bench
