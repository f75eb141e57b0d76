# SPDX-License-Identifier: MIT
# The one Makefile. A folder adds a source file and nothing else: sources are found by name.
#
#   DEBUG=1   UBSan, lock-rank checks, allocator poisoning; builds under build/debug
#   WATCH=1   the release build that measures how long the kernel runs without a yield; build/watch
#   CC=clang  the other supported compiler

MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DEFAULT_GOAL := all

ifneq ($(origin CC),command line)
CC := gcc
endif
HOSTCC := gcc
ifeq ($(DEBUG),1)
OUT := build/debug
else ifeq ($(WATCH),1)
OUT := build/watch
else
OUT := build
endif

WARN := -Wall -Wextra -Wshadow -Wimplicit-fallthrough -Wstrict-prototypes -Wmissing-prototypes \
        -Wvla -Werror -Wno-unused-parameter
QUIET = @printf '  %-6s %s\n' $(1) $(2);

include kernel/kernel.mk
include userland/userland.mk
include tools/tools.mk
include tests/tests.mk

.PHONY: all clean help
all: $(KERNEL) $(USER_PROGS) $(ISO)

clean:
	rm -rf build

help:
	@printf '%s\n' \
	  'make            build everything: kernel, userland, build/bothy.iso' \
	  'make run        install what is missing, build, boot in QEMU to the console prompt' \
	  'make test       the whole suite; ends with "N passed, N failed"' \
	  'make test-T     one tier of it: unit, kernel, abi, hv, system' \
	  'make test-watch abi and hv in the build that watches how long the kernel runs without a yield' \
	  'make test-soak  what the suite has no time for: crowds on Linux and in the debug build' \
	  'make test-fails each place where the kernel can be refused something is refused once (minutes to hours)' \
  'make bench      this system beside Linux in the same emulator, one table' \
	  'make fuzz       random bytes into what reads a guest'"'"'s, on this machine' \
	  'make fuzz-wire  guided bytes into what userland reads off a network: SECONDS=N KIND=NAME' \
	  'make fuzz-abi   random system calls in containers, debug build: SECONDS=N SEED=N CPUS=N RELEASE=1' \
	  'make fuzz-netlink  random netlink messages and sockets in containers, the same way' \
	  'make fuzz-kvm   random guests and ioctls of /dev/kvm, the same way' \
	  'make abi-report each system call: implemented, in part or not, and its tests' \
	  'make kvm-report what VMMs ask of /dev/kvm, and the answers of Linux and of this system' \
  'make soak-differential  random operations, Linux against Bothy: SEEDS="FROM TO" OPS=N' \
	  'make soak-net   a million runs of TCP over bad wires, sanitized: SEED=N RUNS=N JOBS=N' \
  'make soak-engine  random clients at the engine, sanitized: SEED=N SECONDS=N' \
	  'make check      format, layers, warnings under gcc and clang, headers, exports, Linux'"'"'s numbers' \
	  'make gdb        attach gdb to a machine started by tools/run --gdb' \
	  'make DEBUG=1    the same for the debug build (build/debug): all, run, gdb' \
	  'make WATCH=1    the build that watches how long the kernel runs without a yield (build/watch)' \
	  'make CC=clang   with the other compiler, after make clean'
