# SPDX-License-Identifier: MIT
# The micro-benchmark, a static program for Linux and Bothy alike, and the table of both.

PERF_PROGS := $(OUT)/tests/ubench

$(OUT)/tests/ubench: $(OUT)/uobj/tests/perf/ubench.c.o
	@mkdir -p $(@D)
	$(call QUIET,ULD,$@) $(call musl_link,$@,$^)

-include $(OUT)/uobj/tests/perf/ubench.c.d

.PHONY: bench
bench: all $(PERF_PROGS) $(HV_TEST_PROGS)
	@tools/bench
