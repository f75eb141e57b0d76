// SPDX-License-Identifier: MIT
// The API's change of a container's limits: judged whole, then applied whole or not at all.
#include <stdlib.h>
#include <string.h>

#include "engine/change.h"
#include "engine/engine.h"
#include "lib/str.h"

/* What only later Linux or a daemon of another kind could do with a container that runs. */
static char *update_refuse(const struct json *body)
{
    static const char *const numbers[] = {"BlkioWeight", "CpuRealtimePeriod", "CpuRealtimeRuntime",
                                          "KernelMemory"};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (json_int(body, numbers[i], 0))
            return str_fmt("%s cannot be changed", numbers[i]);
    if (json_str(body, "CgroupParent") && *json_str(body, "CgroupParent"))
        return str_dup("CgroupParent cannot be changed");
    return NULL;
}

static char *update_judge(const struct container *c, const struct json *body, struct limits *l)
{
    char *why = update_refuse(body);

    why = why ? why : limits_read(l, body);
    why = why ? why : limits_judge(l);
    if (!why && container_running(c) && c->runtime == RUNTIME_VM)
        why = str_dup("a running VM's limits cannot be changed");
    return why;
}

/* NULL, or why nothing of it is done. */
static char *update_apply(struct container *c, const struct limits *wanted)
{
    c->limits = *wanted;
    return container_has_group(c) ? cgroup_apply(c) : NULL;
}

API(api_container_update)
{
    struct container *c = api_container(call);
    const struct json *policy = json_get(call->body, "RestartPolicy");
    bool policed = json_str(policy, "Name") && *json_str(policy, "Name");
    struct restart restart = {0};
    struct limits wanted;
    struct answer *a;
    struct change *ch;
    bool limited;
    char *why;

    if (!c)
        return;
    wanted = c->limits;
    why = judge_update(call->body);
    why = why ? why : update_judge(c, call->body, &wanted);
    why = why ? why : restart_read(&restart, policed ? policy : NULL, false);
    if (why) {
        api_error(call->conn, 400, "%s", why);
        free(why);
        return;
    }
    if (policed && restart.kind != RESTART_NO && c->auto_remove) {
        api_error(call->conn, 409,
                  "Restart policy cannot be updated because AutoRemove is enabled for the "
                  "container");
        return;
    }
    limited = memcmp(&wanted, &c->limits, sizeof(wanted)) != 0;
    ch = change_begin(c, (limited ? CHANGE_LIMITS : 0) | (policed ? CHANGE_POLICY : 0));
    why = update_apply(c, &wanted);
    if (why) {
        change_abandon(ch);
        api_error(call->conn, 500, "Cannot update container %s: %s", c->id, why);
        free(why);
        return;
    }
    if (policed) {
        c->restart.kind = restart.kind;
        c->restart.max = restart.max;
    }
    a = answer_new(call->conn, 200, "application/json");
    buf_str(&a->body, "{\"Warnings\":[]}\n");
    change_save(ch, "update", a);
}
