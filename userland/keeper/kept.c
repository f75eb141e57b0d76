// SPDX-License-Identifier: MIT
// The processes that are kept, by id and by number. Ids are random: no one can make a table slow.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keeper/keeper.h"

#define PLACES 256

static struct kept *ids[PLACES], *pids[PLACES];
static struct kept *spare; /* the last that was freed: its page would come and go with each start */
static unsigned count;

static unsigned place_of_id(const char *id)
{
    unsigned h = 0;

    for (int i = 0; i < 8; i++)
        h = h * 31 + (unsigned char)id[i];
    return h % PLACES;
}

struct kept *kept_find(const char *id)
{
    for (struct kept *k = ids[place_of_id(id)]; k; k = k->by_id)
        if (!memcmp(k->head.id, id, KEEP_ID))
            return k;
    return NULL;
}

struct kept *kept_of_pid(pid_t pid)
{
    for (struct kept *k = pids[(unsigned)pid % PLACES]; k; k = k->by_pid)
        if (k->head.pid == pid && !(k->head.flags & KEEP_DEAD))
            return k;
    return NULL;
}

unsigned kept_count(void)
{
    return count;
}

unsigned kept_alive(void)
{
    unsigned n = 0;

    for (int i = 0; i < PLACES; i++)
        for (struct kept *k = ids[i]; k; k = k->by_id)
            n += !(k->head.flags & KEEP_DEAD);
    return n;
}

void kept_each(void (*fn)(struct kept *k))
{
    for (int i = 0; i < PLACES; i++)
        for (struct kept *k = ids[i]; k; k = k->by_id)
            fn(k);
}

struct kept *kept_new(const struct keep_message *m)
{
    struct kept *k = spare ? spare : malloc(sizeof(*k));

    if (!k)
        return NULL;
    spare = NULL;
    *k = (struct kept){0};
    k->said = malloc(KEEP_SAID_MAX); /* what it may have to say is not to fail for memory */
    k->in = k->out = k->err = k->sync = -1;
    k->head = m->head;
    k->head.type = KEEP_PROCESS;
    k->head.flags &= KEEP_TTY | KEEP_EXEC | KEEP_IN_ONCE;
    k->head.text = 0;
    k->head.value = 0;
    k->head.born = k->head.died = 0;
    k->note = k->head.note ? malloc(k->head.note) : NULL;
    if (!k->said || (k->head.note && !k->note)) {
        free(k->said);
        free(k->note);
        free(k);
        return NULL;
    }
    if (k->note)
        memcpy(k->note, m->note, k->head.note);
    return k;
}

static void pid_link(struct kept *k)
{
    struct kept **pid = &pids[(unsigned)k->head.pid % PLACES];

    k->by_pid = *pid;
    *pid = k;
}

static void pid_unlink(struct kept *k)
{
    for (struct kept **at = &pids[(unsigned)k->head.pid % PLACES]; *at; at = &(*at)->by_pid)
        if (*at == k) {
            *at = k->by_pid;
            break;
        }
}

void kept_add(struct kept *k)
{
    struct kept **id = &ids[place_of_id(k->head.id)];

    k->by_id = *id;
    *id = k;
    pid_link(k);
    count++;
}

void kept_born(struct kept *k, pid_t pid)
{
    pid_unlink(k);
    k->head.pid = pid;
    k->maker = false;
    pid_link(k);
}

static void kept_unlink(struct kept *k)
{
    for (struct kept **at = &ids[place_of_id(k->head.id)]; *at; at = &(*at)->by_id)
        if (*at == k) {
            *at = k->by_id;
            count--;
            break;
        }
    pid_unlink(k);
}

void kept_hide(struct kept *k)
{
    if (k->note)
        explicit_bzero(k->note, k->head.note);
    if (k->said)
        explicit_bzero(k->said, k->said_len);
}

void kept_free(struct kept *k)
{
    const int fds[] = {k->in, k->out, k->err, k->sync};

    kept_unlink(k);
    for (int i = 0; i < 4; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    kept_hide(k);
    free(k->note);
    free(k->said);
    free(spare);
    spare = k;
}
