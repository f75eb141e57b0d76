/* SPDX-License-Identifier: MIT
 *
 * TCP sockets that nothing refers to any more. One that had a connection over packets is freed
 * after a grace period, as readers of the table may still stand on its entry; and by a worker of
 * TCP's own, since a program can make and close any number of them, and freeing one may take long.
 *
 * The dead are a stack without a lock, which the worker takes whole.
 */
#include "lib/log.h"
#include "net/tcp/wire.h"

static struct rcu_head *tcp_dead; /* a  linked by next */
static struct work tcp_dead_job;
static struct workq *tcp_dead_worker;

static void tcp_free(struct tcp_sock *t)
{
    struct socket *s = &t->inet.sock;
    struct list_node lost;

    if (t->wire) {
        list_init(&lost);
        spin_lock(&s->lock);
        sock_queue_take_all_locked(s, &lost); /* what came while it was closed */
        spin_unlock(&s->lock);
        sock_queue_free(s, &lost);
        tcp_wire_free(t->wire);
    }
    inet_fini(&t->inet);
    tcp_sock_free(t);
}

/* Takes them until there are none. */
static void tcp_dead_run(struct work *work)
{
    struct rcu_head *at, *next;

    while ((at = __atomic_exchange_n(&tcp_dead, NULL, __ATOMIC_ACQUIRE))) {
        for (; at; at = next) {
            next = at->next;
            tcp_free(container_of(at, struct tcp_sock, dead));
            cond_yield();
        }
    }
}

static void tcp_dead_boot(void)
{
    work_init(&tcp_dead_job, tcp_dead_run);
    tcp_dead_worker = workq_create("tcp sockets");
    if (!tcp_dead_worker)
        panic("no memory for the worker that frees sockets");
}
INIT_HOOK(tcp_dead_boot, INIT_LATE);

/* The first on the stack queues the worker's job. Pairs with tcp_dead_run's exchange. */
static void tcp_dead_add(struct rcu_head *head)
{
    struct rcu_head *first = READ_ONCE(tcp_dead);

    do {
        head->next = first;
    } while (!__atomic_compare_exchange_n(&tcp_dead, &first, head, true, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED));
    if (!first)
        work_queue(tcp_dead_worker, &tcp_dead_job);
}

void tcp_destroy(struct socket *s)
{
    struct tcp_sock *t = tcp_of(inet_of(s));

    if (likely(!t->wire)) {
        tcp_free(t);
        return;
    }
    socket_unlist(s); /* who lists sockets looks at their connections */
    rcu_call(&t->dead, tcp_dead_add);
}
