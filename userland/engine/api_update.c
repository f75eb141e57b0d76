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

static bool container_has_group(const struct container *c)
{
    return container_running(c) && c->state != C_PREPARING && c->state != C_RESTARTING;
}

/* What is not written down is taken back, or a later engine would have the container run otherwise.
 */
struct update {
    struct container *c; /* a reference */
    struct answer *answer;
    struct limits was, wanted;
    struct restart restart; /* as it was: kind and max */
};

static void update_undo(struct update *u)
{
    struct container *c = u->c;

    if (memcmp(&c->limits, &u->wanted, sizeof(u->wanted)) != 0)
        return; /* another has come after it */
    c->limits = u->was;
    if (container_has_group(c))
        free(cgroup_apply(c));
    c->restart.kind = u->restart.kind;
    c->restart.max = u->restart.max;
}

static void update_saved(void *arg, const char *why)
{
    struct update *u = arg;

    if (why)
        update_undo(u);
    else
        event_container(u->c, "update", NULL, NULL);
    answer_done(u->answer, why);
    container_put(u->c);
    free(u);
}

API(api_container_update)
{
    struct container *c = api_container(call);
    const struct json *policy = json_get(call->body, "RestartPolicy");
    bool policed = json_str(policy, "Name") && *json_str(policy, "Name");
    struct restart restart = {0};
    struct limits wanted, old;
    struct update *u;
    char *why;

    if (!c)
        return;
    wanted = old = c->limits;
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
    c->limits = wanted;
    why = container_has_group(c) ? cgroup_apply(c) : NULL;
    if (why) {
        c->limits = old;
        free(cgroup_apply(c)); /* what of it was taken is given back */
        api_error(call->conn, 500, "Cannot update container %s: %s", c->id, why);
        free(why);
        return;
    }
    u = mem_alloc(sizeof(*u));
    *u = (struct update){container_get(c), answer_new(call->conn, 200, "application/json"), old,
                         wanted, c->restart};
    buf_str(&u->answer->body, "{\"Warnings\":[]}\n");
    if (policed) {
        c->restart.kind = restart.kind;
        c->restart.max = restart.max;
    }
    container_save(c, update_saved, u);
}
