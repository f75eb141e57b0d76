# SPDX-License-Identifier: MIT
# Programs that must print the same on Linux and on Bothy: static, one per family.

ABI_PROGS := $(patsubst tests/abi/%.c,build/tests/abi/%,$(sort $(wildcard tests/abi/*.c)))

build/tests/abi/%: tests/abi/%.c $(wildcard tests/abi/*.h)
	@mkdir -p $(@D)
	$(call QUIET,ABI,$@) $(HOSTCC) -std=gnu17 -O1 -g -D_GNU_SOURCE -static -pthread -Wall -Wextra \
	    -Werror -Wno-unused-parameter -Wno-unused-result -o $@ $<

.PHONY: abi-programs
abi-programs: $(ABI_PROGS)

# A person at a terminal, for the applets' script.
build/tests/onpty: tests/abi/applets/onpty.c
	@mkdir -p $(@D)
	$(call QUIET,ABI,$@) $(HOSTCC) -std=gnu17 -O1 -g -D_GNU_SOURCE -static -Wall -Wextra -Werror -o $@ $<

abi-programs: build/tests/onpty
