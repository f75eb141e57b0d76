// SPDX-License-Identifier: MIT
// The API's change of a container's limits: judged whole, then applied whole or not at all.
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "lib/str.h"

/* What only later Linux or a daemon of another kind could do with a container that runs. */
static char *update_refuse(const struct json *body)
{
    static const char *const numbers[] = {"BlkioWeight", "CpuRealtimePeriod", "CpuRealtimeRuntime",
                                          "KernelMemory"};
    const char *restart = json_str(json_get(body, "RestartPolicy"), "Name");

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (json_int(body, numbers[i], 0))
            return str_fmt("%s cannot be changed", numbers[i]);
    if (json_str(body, "CgroupParent") && *json_str(body, "CgroupParent"))
        return str_dup("CgroupParent cannot be changed");
    if (restart && *restart && strcmp(restart, "no"))
        return str_fmt("restart policy \"%s\" is not supported", restart);
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

API(api_container_update)
{
    struct container *c = api_container(call);
    struct limits wanted, old;
    char *why;

    if (!c)
        return;
    wanted = old = c->limits;
    why = judge_update(call->body);
    why = why ? why : update_judge(c, call->body, &wanted);
    if (why) {
        api_error(call->conn, 400, "%s", why);
        free(why);
        return;
    }
    c->limits = wanted;
    why = container_running(c) && c->state != C_PREPARING ? cgroup_apply(c) : NULL;
    if (why) {
        c->limits = old;
        free(cgroup_apply(c)); /* what of it was taken is given back */
        api_error(call->conn, 500, "Cannot update container %s: %s", c->id, why);
        free(why);
        return;
    }
    event_container(c, "update", NULL, NULL);
    http_reply(call->conn, 200, "application/json", "{\"Warnings\":[]}\n", 16);
}
