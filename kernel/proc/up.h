/* SPDX-License-Identifier: MIT
 *
 * What proc asks of the layers above: kernel/tty, and kernel/linux for the control-group files.
 */
#pragma once

struct cgroup;
struct tty;
struct process;

void up_tty_get(struct tty *tty);
void up_tty_put(struct tty *tty);
/* A session leader is gone: hang the terminal up for its session. May sleep. */
void up_tty_session_exit(struct tty *tty, struct process *leader);

/* The group whose directory current's fd names: a reference, or ERR_PTR(-EBADF). */
struct cgroup *up_cgroup_of_fd(int fd);

/* Network namespaces: kernel/linux joins proc to kernel/net (which is below, but may be left out of a
 * build). init may be NULL; create: ERR_PTR(-EINVAL) where there is no network. */
struct net_ns;
struct user_ns;
struct net_ns *up_net_ns_init(void);
struct net_ns *up_net_ns_create(struct user_ns *user_ns);
void up_net_ns_get(struct net_ns *ns);
void up_net_ns_put(struct net_ns *ns);
unsigned long up_net_ns_inum(struct net_ns *ns);
