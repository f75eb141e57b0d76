// SPDX-License-Identifier: MIT
// Restart policies; see restart.h. Rules and words are Docker's.
#include "engine/restart.h"

#include <string.h>

#include "lib/json.h"
#include "lib/str.h"

static const char *const names[] = {"no", "always", "unless-stopped", "on-failure"};

const char *restart_name(enum restart_kind kind)
{
    return names[kind];
}

static char *restart_judge(const struct restart *r, bool remove)
{
    if (r->kind != RESTART_ON_FAILURE && r->max)
        return str_dup("invalid restart policy: maximum retry count can only be used with "
                       "'on-failure'");
    if (r->max < 0)
        return str_dup("invalid restart policy: maximum retry count cannot be negative");
    if (remove && r->kind != RESTART_NO)
        return str_dup("can't create 'AutoRemove' container with restart policy");
    return NULL;
}

char *restart_read(struct restart *r, const struct json *policy, bool remove)
{
    const char *name = json_str(policy, "Name");

    r->kind = RESTART_NO;
    r->max = json_int(policy, "MaximumRetryCount", 0);
    for (int i = 0; name && *name; i++) {
        if (i > RESTART_ON_FAILURE)
            return str_fmt("invalid restart policy: unknown policy '%s'; use one of 'no', "
                           "'always', 'on-failure', or 'unless-stopped'",
                           name);
        if (strcmp(name, names[i]))
            continue;
        r->kind = (enum restart_kind)i;
        break;
    }
    return restart_judge(r, remove);
}

static bool restart_wanted(const struct restart *r, int code)
{
    switch (r->kind) {
    case RESTART_NO:
        return false;
    case RESTART_ALWAYS:
        return !r->cancelled;
    case RESTART_UNLESS_STOPPED:
        return !r->cancelled && !r->stopped;
    case RESTART_ON_FAILURE:
        return !r->cancelled && code && (!r->max || r->count < r->max);
    }
    return false;
}

bool restart_again(struct restart *r, int code, uint64_t ran_ms)
{
    if (!restart_wanted(r, code))
        return false;
    if (ran_ms >= RESTART_STEADY_MS || !r->delay_ms)
        r->delay_ms = RESTART_DELAY_MS;
    else
        r->delay_ms *= 2;
    if (r->delay_ms > RESTART_DELAY_MAX_MS)
        r->delay_ms = RESTART_DELAY_MAX_MS;
    r->count++;
    return true;
}

bool restart_at_begin(const struct restart *r)
{
    return r->kind == RESTART_ALWAYS || (r->kind == RESTART_UNLESS_STOPPED && !r->stopped);
}

void restart_reset(struct restart *r)
{
    r->count = 0;
    r->delay_ms = 0;
    r->stopped = r->cancelled = false;
}
