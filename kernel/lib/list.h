/* SPDX-License-Identifier: MIT
 *
 * Intrusive doubly linked circular list. A head is a node that is in no element; an element not on
 * any list is initialised with list_init, so that list_empty(&e->node) tells and list_del is safe.
 */
#pragma once

#include "lib/compiler.h"
#include "lib/types.h"

struct list_node {
    struct list_node *prev, *next;
};

#define LIST_INIT(name)  \
    {                    \
        &(name), &(name) \
    }
#define LIST_HEAD(name) struct list_node name = LIST_INIT(name)

static inline void list_init(struct list_node *n)
{
    n->prev = n->next = n;
}

static inline bool list_empty(const struct list_node *n)
{
    return n->next == n;
}

static inline void list_insert_between(struct list_node *n, struct list_node *prev,
                                       struct list_node *next)
{
    n->prev = prev;
    n->next = next;
    prev->next = n;
    next->prev = n;
}

/* Adds n right after head: at the front. */
static inline void list_add(struct list_node *head, struct list_node *n)
{
    list_insert_between(n, head, head->next);
}

/* Adds n right before head: at the back. */
static inline void list_add_tail(struct list_node *head, struct list_node *n)
{
    list_insert_between(n, head->prev, head);
}

/* Panics: what list_del found is no list. */
__noreturn __cold void list_corrupt(const struct list_node *n);

/* Takes n off its list and leaves it empty; harmless on an empty node. A node that was freed, or
 * taken off twice, seldom has neighbours that point back: that is looked at in every build. */
static inline void list_del(struct list_node *n)
{
    if (unlikely(n->prev->next != n || n->next->prev != n))
        list_corrupt(n);
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}

/* Walks the list: for short ones. */
static inline unsigned list_len(const struct list_node *head)
{
    unsigned n = 0;

    for (const struct list_node *p = head->next; p != head; p = p->next)
        n++;
    return n;
}

/* Moves all of `from` to the back of `to`. */
static inline void list_splice_tail(struct list_node *to, struct list_node *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define list_entry(n, type, member) container_of(n, type, member)
#define list_first(head, type, member) \
    (list_empty(head) ? NULL : list_entry((head)->next, type, member))
#define list_last(head, type, member) \
    (list_empty(head) ? NULL : list_entry((head)->prev, type, member))
#define list_for_each(pos, head, member)                                                   \
    for (pos = list_entry((head)->next, __typeof__(*pos), member); &pos->member != (head); \
         pos = list_entry(pos->member.next, __typeof__(*pos), member))
/* The body may take pos off the list and free it. */
#define list_for_each_safe(pos, tmp, head, member)                    \
    for (pos = list_entry((head)->next, __typeof__(*pos), member),    \
        tmp = list_entry(pos->member.next, __typeof__(*pos), member); \
         &pos->member != (head);                                      \
         pos = tmp, tmp = list_entry(pos->member.next, __typeof__(*pos), member))
