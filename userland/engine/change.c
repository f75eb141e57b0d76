// SPDX-License-Identifier: MIT
// Changes of containers that are not written down yet; see change.h.
//
// Those of one container stand in its list in the order in which they were made, which is that of
// their writes' ends. Where one that fails was followed by another of the same thing, the later
// one's stays in force, and is what may be taken back: to what there was before both.
#include "engine/change.h"

#include <stdlib.h>

#include "engine/engine.h"
#include "lib/str.h"

struct change {
    struct change *later; /* of the same container */
    struct container *c;  /* a reference */
    unsigned what;
    /* as it was before */
    char *name;
    struct limits limits;
    enum restart_kind kind;
    int64_t max; /* of the policy */
    /* from change_save() on */
    const char *event;
    struct answer *answer;
};

struct change *change_begin(struct container *c, unsigned what)
{
    struct change *ch = mem_alloc(sizeof(*ch)), **at = &c->changes;

    *ch = (struct change){.c = container_get(c),
                          .what = what,
                          .name = str_dup(c->name),
                          .limits = c->limits,
                          .kind = c->restart.kind,
                          .max = c->restart.max};
    while (*at)
        at = &(*at)->later;
    *at = ch;
    return ch;
}

static void change_end(struct change *ch)
{
    struct change **at = &ch->c->changes;

    while (*at != ch)
        at = &(*at)->later;
    *at = ch->later;
    container_put(ch->c);
    free(ch->name);
    free(ch);
}

/* ---- taking back ----------------------------------------------------------------------------- */

/* Another container may have taken the name meanwhile: then it keeps the new one. */
static void change_back_name(struct change *ch)
{
    char *name = ch->c->name, *why;
    int status;

    why = container_name(ch->name, &status);
    if (!why) {
        ch->c->name = ch->name;
        ch->name = name;
    }
    free(why);
}

static void change_back_limits(struct change *ch)
{
    ch->c->limits = ch->limits;
    if (container_has_group(ch->c))
        free(cgroup_apply(ch->c)); /* as far as it can be */
}

static void change_back_policy(struct change *ch)
{
    ch->c->restart.kind = ch->kind;
    ch->c->restart.max = ch->max;
}

static void change_hand_name(struct change *ch, struct change *later)
{
    char *name = later->name;

    later->name = ch->name;
    ch->name = name;
}

static void change_hand_limits(struct change *ch, struct change *later)
{
    later->limits = ch->limits;
}

static void change_hand_policy(struct change *ch, struct change *later)
{
    later->kind = ch->kind;
    later->max = ch->max;
}

static const struct {
    unsigned what;
    void (*back)(struct change *ch);
    void (*hand)(struct change *ch, struct change *later); /* what there was before both */
} change_kinds[] = {{CHANGE_NAME, change_back_name, change_hand_name},
                    {CHANGE_LIMITS, change_back_limits, change_hand_limits},
                    {CHANGE_POLICY, change_back_policy, change_hand_policy}};

static void change_undo(struct change *ch)
{
    for (size_t i = 0; i < sizeof(change_kinds) / sizeof(change_kinds[0]); i++) {
        unsigned what = change_kinds[i].what;
        struct change *later = ch->later;

        while (later && !(later->what & what))
            later = later->later;
        if (ch->what & what && later)
            change_kinds[i].hand(ch, later);
        else if (ch->what & what)
            change_kinds[i].back(ch);
    }
}

void change_abandon(struct change *ch)
{
    change_undo(ch);
    change_end(ch);
}

/* ---- writing down ---------------------------------------------------------------------------- */

static void change_event(const struct change *ch)
{
    char *old = str_fmt("/%s", ch->name);

    event_container(ch->c, ch->event, ch->what & CHANGE_NAME ? EVENT_MORE("oldName", old) : NULL);
    free(old);
}

/* A write that failed may have left the new object on the disk all the same (its directory could
 * not be synced, the worker ended before it told), and so may another write that was under way:
 * what is taken back is written again. */
static void change_saved(void *arg, const char *why)
{
    struct change *ch = arg;

    if (why) {
        change_undo(ch);
        container_save(ch->c, NULL, NULL);
    } else {
        change_event(ch);
    }
    answer_done(ch->answer, why);
    change_end(ch);
}

void change_save(struct change *ch, const char *event, struct answer *a)
{
    ch->event = event;
    ch->answer = a;
    container_save(ch->c, change_saved, ch);
}
