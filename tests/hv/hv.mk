# SPDX-License-Identifier: MIT
# The KVM clients: kvmtest and kvmbench, static programs for Linux and Bothy alike.

HV_TEST_PROGS := $(OUT)/tests/kvmtest $(OUT)/tests/kvmbench
HV_COMMON := hvtest.c guests.S guests_edge.S
HV_TESTS := $(notdir $(sort $(wildcard tests/hv/t_*.c)))
hv_obj = $(addsuffix .o,$(addprefix $(OUT)/uobj/tests/hv/,$(1)))

$(call hv_obj,$(HV_COMMON) $(HV_TESTS) kvmtest.c kvmbench.c): USER_CPPFLAGS += -Itests/hv

$(OUT)/tests/kvmtest: $(call hv_obj,kvmtest.c $(HV_COMMON) $(HV_TESTS))
	@mkdir -p $(@D)
	$(call QUIET,ULD,$@) $(call musl_link,$@,$^)

$(OUT)/tests/kvmbench: $(call hv_obj,kvmbench.c $(HV_COMMON))
	@mkdir -p $(@D)
	$(call QUIET,ULD,$@) $(call musl_link,$@,$^)

-include $(patsubst %.o,%.d,$(call hv_obj,$(filter %.c,$(HV_COMMON)) $(HV_TESTS) kvmtest.c kvmbench.c))

.PHONY: test-hv-linux
# The same tests on Linux's KVM: what they promise is what Linux does.
test-hv-linux: $(HV_TEST_PROGS) $(OUT)/user/vmm
	@tests/hv/check-kvm-header
	@tools/linux-peer --kvm --timeout 300 --file $(OUT)/tests/kvmtest -c /files/kvmtest
	@tests/hv/test-vmm

.PHONY: test-hv-bothy
# On Bothy, in the machine that tools/run makes.
test-hv-bothy: all $(HV_TEST_PROGS)
	@tools/run --cpus 3 --timeout 300 --file $(OUT)/tests/kvmtest -c /boot/files/kvmtest
	@tests/hv/test-vmm --on bothy
