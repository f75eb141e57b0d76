# SPDX-License-Identifier: MIT
# Programs of random operations, static: what they print is compared between Linux and Bothy.

DIFF_PROGS := $(addprefix build/tests/differential/,files mappings channels processes locks)

build/tests/differential/%: tests/differential/%.c $(wildcard tests/differential/*.h) \
                            tests/differential/differential.c
	@mkdir -p $(@D)
	$(call QUIET,ABI,$@) $(HOSTCC) -std=gnu17 -O1 -g -D_GNU_SOURCE -static $(WARN) -o $@ \
	    $(filter %.c,$^)

build/tests/differential/processes build/tests/differential/locks: tests/differential/actors.c

abi-programs: $(DIFF_PROGS)

.PHONY: soak-differential
# SEEDS='FROM TO' and OPS=N choose other ones.
soak-differential: all $(DIFF_PROGS)
	@tests/differential/test-differential --seeds $(or $(SEEDS),1000 1200) --ops $(or $(OPS),600)
