# SPDX-License-Identifier: MIT
# The benchmarks, static programs for Linux and Bothy alike, and the tables of both.

PERF_PROGS := $(OUT)/tests/ubench $(OUT)/tests/startbench $(OUT)/tests/scalebench $(OUT)/tests/netbench
perf_obj = $(addsuffix .c.o,$(addprefix $(OUT)/uobj/tests/perf/,$(1)))

$(OUT)/tests/ubench: $(call perf_obj,ubench bench)
$(OUT)/tests/startbench: $(call perf_obj,startbench)
$(OUT)/tests/scalebench: $(call perf_obj,scalebench rounds bench)
$(OUT)/tests/netbench: $(call perf_obj,netbench bench)
$(PERF_PROGS):
	@mkdir -p $(@D)
	$(call QUIET,ULD,$@) $(call musl_link,$@,$^)

-include $(patsubst %.o,%.d,$(call perf_obj,ubench startbench scalebench netbench rounds bench))

.PHONY: bench
bench: all $(PERF_PROGS) $(HV_TEST_PROGS)
	@tools/bench
