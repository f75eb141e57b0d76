/* SPDX-License-Identifier: MIT
 *
 * Limit accounts: hierarchical counters that a charge passes from a leaf up to the root. The
 * account knows numbers only; container/ names accounts, arranges them and decides what exceeding
 * means.
 *
 * Context: irq-safe, never sleeps.
 */
#pragma once

#include "lib/atomic.h"
#include "lib/types.h"

struct account {
    struct account *parent; /* I  NULL at the root */
    atomic64_t used;        /* a  unit: pages for memory, tasks for pids */
    atomic64_t peak;        /* a */
    s64 limit;              /* a  S64_MAX: none */
    atomic64_t failures;    /* a  charges refused here */
    void *owner;            /* I  for container: the control group */
};

void account_init(struct account *a, struct account *parent, void *owner);
/* 0, or -ENOMEM with *failed (may be NULL) set to the account that refused; all or nothing. */
int account_charge(struct account *a, u64 n, struct account **failed) __must_check;
/* Charges past the limit too: for what cannot be refused any more. */
void account_charge_forced(struct account *a, u64 n);
void account_uncharge(struct account *a, u64 n);
extern struct account account_root_memory;
