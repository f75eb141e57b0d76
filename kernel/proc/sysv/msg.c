/* SPDX-License-Identifier: MIT
 *
 * Message queues. A message goes to a receiver that waits for its like, or onto the queue; a sender
 * waits while the queue is full. As with semaphores, waiters lie on their threads' stacks, are
 * woken one by one, and take the queue's lock again before they leave.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "proc/proc.h"
#include "proc/sysv/sysv_priv.h"
#include "sched/thread.h"

struct msg {
    struct list_node node; /* the queue's lock */
    s64 type;
    size_t size;
    u8 text[];
};

/* l base.lock */
struct msg_queue {
    struct sysv_object base;
    struct list_node messages, receivers, senders; /* l */
    u64 bytes, count, bytes_max;                   /* l */
    s64 stime, rtime;                              /* l */
    struct pid *lspid, *lrpid;                     /* l  references or NULL */
};

struct msg_receiver {
    struct list_node node;
    struct waitq queue;
    s64 type;
    size_t max;
    u32 flags;
    struct pid *pid; /* borrowed from the thread that waits */
    bool done;
    s64 result; /* 0: message */
    struct msg *message;
};

struct msg_sender {
    struct list_node node;
    struct waitq queue;
    size_t size;
    bool done;
    s64 result;
};

struct msg *msg_alloc(s64 type, size_t n)
{
    struct msg *m = kmalloc(sizeof(*m) + n);

    if (m) {
        m->type = type;
        m->size = n;
    }
    return m;
}

void *msg_text(struct msg *m)
{
    return m->text;
}

s64 msg_type(const struct msg *m)
{
    return m->type;
}

size_t msg_size(const struct msg *m)
{
    return m->size;
}

void msg_free(struct msg *m)
{
    kfree(m);
}

static struct msg_queue *msg_of(struct sysv_object *o)
{
    return container_of(o, struct msg_queue, base);
}

void msg_destroy(struct sysv_object *o)
{
    struct msg_queue *q = msg_of(o);

    while (!list_empty(&q->messages)) {
        struct msg *m = list_first(&q->messages, struct msg, node);
        list_del(&m->node);
        msg_free(m);
        cond_yield();
    }
    if (q->lspid)
        pid_put(q->lspid);
    if (q->lrpid)
        pid_put(q->lrpid);
    kfree(q);
}

static struct sysv_object *msg_create(struct ipc_ns *ns, u64 size, u32 flags)
{
    struct msg_queue *q = kzalloc(sizeof(*q));

    if (!q)
        return ERR_PTR(-ENOMEM);
    list_init(&q->messages);
    list_init(&q->receivers);
    list_init(&q->senders);
    q->bytes_max = READ_ONCE(ns->msg_mnb);
    return &q->base;
}

static int msg_check(const struct sysv_object *o, u64 size)
{
    return 0;
}

s64 msg_get(s32 key, u32 flags)
{
    const struct sysv_get g = {.kind = SYSV_MSG,
                               .max = READ_ONCE(sysv_ns()->msg_mni),
                               .create = msg_create,
                               .discard = msg_destroy,
                               .check = msg_check};

    return sysv_get(&g, key, flags);
}

/* ------------------------------------------------------------- matching */

/* msgrcv(2): 0 any, above 0 that type (or any other), below 0 one of at most -type. */
static bool msg_matches(s64 type, s64 wanted, u32 flags)
{
    if (!wanted)
        return true;
    if (wanted > 0)
        return (type == wanted) != !!(flags & MSG_EXCEPT);
    return wanted == -S64_MAX - 1 || type <= -wanted;
}

/* The first of the lowest type where wanted is negative, else the first that matches. */
static struct msg *msg_pick(const struct msg_queue *q, s64 wanted, u32 flags)
{
    struct msg *m, *best = NULL;

    list_for_each (m, &q->messages, node) {
        cond_yield();
        if (!msg_matches(m->type, wanted, flags) || (best && m->type >= best->type))
            continue;
        best = m;
        if (wanted >= 0)
            break;
    }
    return best;
}

static struct msg *msg_nth(const struct msg_queue *q, s64 n)
{
    struct msg *m;

    list_for_each (m, &q->messages, node) {
        cond_yield();
        if (n-- == 0)
            return m;
    }
    return NULL;
}

static bool msg_fits(const struct msg_queue *q, size_t size)
{
    return q->bytes + size <= q->bytes_max && q->count + 1 <= q->bytes_max;
}

/* ------------------------------------------------------------- sending */

static void msg_wake_receiver(struct msg_receiver *r, s64 result, struct msg *m)
{
    list_del(&r->node);
    r->result = result;
    r->message = m;
    r->done = true;
    waitq_wake_all(&r->queue);
}

static void msg_wake_sender(struct msg_sender *s, s64 result)
{
    list_del(&s->node);
    s->result = result;
    s->done = true;
    waitq_wake_all(&s->queue);
}

static void msg_note_received(struct msg_queue *q, struct pid *pid)
{
    struct pid *old = q->lrpid;

    pid_get(pid);
    q->lrpid = pid;
    q->rtime = sysv_seconds();
    if (old)
        pid_put(old);
}

/* To the first receiver that takes it; those for whom it is too long fail. True: it is gone. */
static bool msg_hand_over(struct msg_queue *q, struct msg *m)
{
    struct msg_receiver *r, *next;

    list_for_each_safe (r, next, &q->receivers, node) {
        cond_yield();
        if (!msg_matches(m->type, r->type, r->flags))
            continue;
        if (m->size > r->max && !(r->flags & MSG_NOERROR)) {
            msg_wake_receiver(r, -E2BIG, NULL);
            continue;
        }
        msg_note_received(q, r->pid);
        msg_wake_receiver(r, 0, m);
        return true;
    }
    return false;
}

/* REQUIRES(q->base.lock), which is released while it sleeps. */
static s64 msg_wait_space(struct msg_queue *q, size_t size) REQUIRES(q->base.lock)
{
    struct msg_sender s = {.size = size};
    int err;

    ASSERT_HELD(&q->base.lock);
    waitq_init(&s.queue);
    list_add_tail(&q->senders, &s.node);
    mutex_unlock(&q->base.lock);
    err = wait_event_interruptible(&s.queue, READ_ONCE(s.done));
    mutex_lock(&q->base.lock);
    if (s.done)
        return s.result;
    list_del(&s.node);
    return err ? -ERESTARTNOHAND : 0;
}

/* There is more space: senders go on in their order, as far as it lasts. One whose message is too
 * long for it does not keep shorter ones waiting. */
static void msg_wake_senders(struct msg_queue *q)
{
    struct msg_sender *s, *next;
    u64 bytes = q->bytes, count = q->count;

    list_for_each_safe (s, next, &q->senders, node) {
        cond_yield();
        if (bytes + s->size > q->bytes_max || count >= q->bytes_max)
            continue;
        bytes += s->size;
        count++;
        msg_wake_sender(s, 0);
    }
}

static s64 msg_send_locked(struct msg_queue *q, struct msg *m, u32 flags) REQUIRES(q->base.lock)
{
    ASSERT_HELD(&q->base.lock);
    while (!msg_fits(q, m->size)) {
        if (flags & IPC_NOWAIT)
            return -EAGAIN;
        s64 err = msg_wait_space(q, m->size);
        if (err)
            return err;
        if (q->base.removed)
            return -EIDRM;
    }
    sysv_note_pid(&q->lspid);
    q->stime = sysv_seconds();
    if (msg_hand_over(q, m)) {
        msg_wake_senders(q); /* the space that this one may have waited for is free still */
        return 0;
    }
    list_add_tail(&q->messages, &m->node);
    q->bytes += m->size;
    q->count++;
    return 0;
}

s64 msg_send(s32 id, struct msg *m, u32 flags)
{
    struct sysv_object *o = sysv_find_locked(SYSV_MSG, id, MAY_WRITE);
    s64 r;

    if (IS_ERR(o))
        return PTR_ERR(o);
    ASSERT_HELD(&o->lock);
    ASSERT_HELD(&msg_of(o)->base.lock); /* the same lock, as the callee names it */
    r = msg_send_locked(msg_of(o), m, flags);
    mutex_unlock(&o->lock);
    sysv_put(o);
    return r;
}

/* ------------------------------------------------------------- receiving */

/* *out: a copy of m, the caller's. 0, -ENOMEM. */
static s64 msg_copy(const struct msg *m, struct msg **out)
{
    struct msg *copy = msg_alloc(m->type, m->size);

    if (!copy)
        return -ENOMEM;
    __builtin_memcpy(copy->text, m->text, m->size);
    *out = copy;
    return 0;
}

static s64 msg_take(struct msg_queue *q, struct msg *m, struct msg **out)
{
    list_del(&m->node);
    q->bytes -= m->size;
    q->count--;
    msg_note_received(q, current_process()->pid);
    msg_wake_senders(q);
    *out = m;
    return 0;
}

/* REQUIRES(q->base.lock), which is released while it sleeps. */
static s64 msg_wait_message(struct msg_queue *q, struct msg_receiver *r, struct msg **out)
    REQUIRES(q->base.lock)
{
    int err;

    ASSERT_HELD(&q->base.lock);
    waitq_init(&r->queue);
    list_add_tail(&q->receivers, &r->node);
    mutex_unlock(&q->base.lock);
    err = wait_event_interruptible(&r->queue, READ_ONCE(r->done));
    mutex_lock(&q->base.lock);
    if (!r->done) {
        list_del(&r->node);
        return err ? -ERESTARTNOHAND : -EAGAIN;
    }
    *out = r->message;
    return r->result;
}

static s64 msg_receive_locked(struct msg_queue *q, struct msg_receiver *r, struct msg **out)
    REQUIRES(q->base.lock)
{
    struct msg *m = r->flags & MSG_COPY ? msg_nth(q, r->type) : msg_pick(q, r->type, r->flags);

    ASSERT_HELD(&q->base.lock);
    if (!m)
        return r->flags & IPC_NOWAIT ? -ENOMSG : msg_wait_message(q, r, out);
    if (m->size > r->max && !(r->flags & MSG_NOERROR))
        return -E2BIG;
    return r->flags & MSG_COPY ? msg_copy(m, out) : msg_take(q, m, out);
}

s64 msg_receive(s32 id, size_t max, s64 type, u32 flags, struct msg **out)
{
    struct msg_receiver receiver = {
        .type = type, .max = max, .flags = flags, .pid = current_process()->pid};
    struct sysv_object *o;
    s64 r;

    if (flags & MSG_COPY && (flags & MSG_EXCEPT || !(flags & IPC_NOWAIT)))
        return -EINVAL;
    o = sysv_find_locked(SYSV_MSG, id, MAY_READ);
    if (IS_ERR(o))
        return PTR_ERR(o);
    ASSERT_HELD(&o->lock);
    ASSERT_HELD(&msg_of(o)->base.lock); /* the same lock, as the callee names it */
    r = msg_receive_locked(msg_of(o), &receiver, out);
    mutex_unlock(&o->lock);
    sysv_put(o);
    return r;
}

/* ------------------------------------------------------------- msgctl */

s64 msg_stat(s32 id, enum sysv_stat how, struct msqid_k *out)
{
    struct sysv_object *o;
    struct msg_queue *q;
    s64 number;

    *out = (struct msqid_k){0};
    o = sysv_find_stat(SYSV_MSG, id, how, &out->perm);
    if (IS_ERR(o))
        return PTR_ERR(o);
    q = msg_of(o);
    mutex_lock(&o->lock);
    out->stime = q->stime;
    out->rtime = q->rtime;
    out->ctime = o->ctime;
    out->bytes = q->bytes;
    out->count = q->count;
    out->bytes_max = q->bytes_max;
    out->lspid = sysv_pid_nr(q->lspid);
    out->lrpid = sysv_pid_nr(q->lrpid);
    mutex_unlock(&o->lock);
    number = how == SYSV_STAT_ID ? 0 : sysv_number(o);
    sysv_put(o);
    return number;
}

/* Sizes have changed: senders that wait look anew. */
static void msg_set_max(struct msg_queue *q, u64 bytes_max)
{
    mutex_lock(&q->base.lock);
    q->bytes_max = bytes_max;
    msg_wake_senders(q);
    mutex_unlock(&q->base.lock);
}

s64 msg_set(s32 id, const struct ipc_perm_k *perm, u64 bytes_max)
{
    struct ipc_ns *ns = sysv_ns();
    struct sysv_object *o = sysv_find_owned(SYSV_MSG, id);
    s64 err = 0;

    if (IS_ERR(o))
        return PTR_ERR(o);
    if (bytes_max > READ_ONCE(ns->msg_mnb) &&
        !cred_capable(current_cred(), ns->user_ns, CAP_SYS_RESOURCE))
        err = -EPERM;
    else
        err = sysv_change(o, perm);
    if (!err)
        msg_set_max(msg_of(o), bytes_max);
    sysv_put(o);
    return err;
}

/* REQUIRES(table lock) */
void msg_drop(struct ipc_ns *ns, struct sysv_object *o)
{
    struct msg_queue *q = msg_of(o);

    ASSERT_HELD(&ns->table[o->kind].lock);
    mutex_lock(&o->lock);
    sysv_unlink(ns, o);
    o->removed = true;
    while (!list_empty(&q->receivers)) {
        msg_wake_receiver(list_first(&q->receivers, struct msg_receiver, node), -EIDRM, NULL);
        cond_yield();
    }
    while (!list_empty(&q->senders)) {
        msg_wake_sender(list_first(&q->senders, struct msg_sender, node), -EIDRM);
        cond_yield();
    }
    mutex_unlock(&o->lock);
    sysv_put(o); /* the table's */
}

s64 msg_remove(s32 id)
{
    struct sysv_object *o = sysv_find_owned(SYSV_MSG, id);
    struct ipc_ns *ns = sysv_ns();
    s64 err = 0;

    if (IS_ERR(o))
        return PTR_ERR(o);
    mutex_lock(&ns->table[SYSV_MSG].lock);
    if (o->removed)
        err = -EIDRM;
    else
        msg_drop(ns, o);
    mutex_unlock(&ns->table[SYSV_MSG].lock);
    sysv_put(o);
    return err;
}

s64 msg_info(u32 *queues, u32 *messages, u64 *bytes)
{
    struct sysv_table *t = &sysv_ns()->table[SYSV_MSG];
    s64 highest = sysv_highest(SYSV_MSG, queues);
    struct sysv_object *o;
    u64 index;

    *messages = 0;
    *bytes = 0;
    mutex_lock(&t->lock);
    xa_for_each (&t->by_index, index, o) {
        *messages += (u32)READ_ONCE(msg_of(o)->count);
        *bytes += READ_ONCE(msg_of(o)->bytes);
        cond_yield();
    }
    mutex_unlock(&t->lock);
    return highest;
}
