/* SPDX-License-Identifier: MIT
 *
 * Sending and receiving: struct msghdr and its control messages, to and from net's decoded form.
 */
#include "linux/sys.h"
#include "linux/sys_net.h"
#include "obj/cred.h"
#include "net/core/up.h"
#include "obj/pid.h"
#include "proc/task.h"

#define CONTROL_MAX 8192
#define CMSG_ALIGN(n) ALIGN_UP((u64)(n), 8)
#define MMSG_MAX 1024

struct msghdr_user {
    u64 name;
    u32 namelen, pad0;
    u64 iov, iovlen, control, controllen;
    u32 flags, pad1;
};
struct cmsg_user {
    u64 len; /* header included */
    s32 level, type;
};
struct ucred_user {
    s32 pid;
    u32 uid, gid;
};

static s64 net_send(struct file *f, struct socket_message *m, unsigned flags)
{
    struct walk_hold walk;
    s64 n;

    if (!net_addr_walks(&m->addr, m->addr_len))
        return socket_send(f, m, flags, NULL);
    walk_begin(&walk);
    n = socket_send(f, m, flags, &walk.ctx);
    walk_end(&walk);
    return n;
}

s64 sys_sendto(s32 fd, u64 buf, u64 len, u32 flags, u64 uaddr, u32 addrlen)
{
    struct iovec_k seg;
    struct iov_iter it;
    struct socket_message m;
    struct fd_hold h;
    s64 n;

    len = MIN(len, 0x7ffff000UL);
    if (!user_range_ok(buf, len))
        return -EFAULT;
    iov_init_user(&it, &seg, (const void __user *)buf, len);
    socket_message_init(&m, &it);
    if (uaddr) {
        int err = (s32)addrlen < 0 ? -EINVAL : net_addr_in(&m.addr, uaddr, (u32)addrlen);

        if (err)
            return err;
        m.addr_len = (u32)addrlen;
    }
    h = fd_hold(fd);
    n = h.file ? net_send(h.file, &m, flags) : -EBADF;
    fd_release(h);
    return n;
}

s64 sys_recvfrom(s32 fd, u64 buf, u64 len, u32 flags, u64 uaddr, u64 ulen)
{
    struct fd_hold h = fd_hold((int)fd);
    struct iovec_k seg;
    struct iov_iter it;
    struct socket_message m;
    s64 n;
    int err;

    if (!h.file)
        return -EBADF;
    len = MIN(len, 0x7ffff000UL);
    iov_init_user(&it, &seg, (const void __user *)buf, len);
    socket_message_init(&m, &it);
    n = user_range_ok(buf, len) ? socket_recv(h.file, &m, (unsigned)flags) : -EFAULT;
    fd_release(h);
    socket_message_drop(&m);
    if (n < 0)
        return n;
    err = net_addr_out(&m.addr, m.addr_len, uaddr, ulen);
    return err ? err : n;
}

/* Descriptors of the current process as files, counted, behind those of earlier messages: of any
 * kind, O_PATH too. */
static int net_rights_in(struct socket_message *m, const s32 *fds, u64 n)
{
    struct file **files;

    if (n > SCM_MAX_FD - m->nr_files)
        return -EINVAL;
    files = krealloc(m->files, (m->nr_files + n + 1) * sizeof(*files));
    if (!files)
        return -ENOMEM;
    m->files = files;
    for (u64 i = 0; i < n; i++) {
        struct file *f = fd_table_file(current_task()->files, (u32)fds[i]);

        if (!f)
            return -EBADF;
        m->files[m->nr_files++] = f;
    }
    return 0;
}

/* The credentials that a sender claims: its own, unless it is privileged. */
static int net_cred_in(struct socket_message *m, const struct ucred_user *u)
{
    const struct cred *c = current_cred();
    kuid_t uid = user_ns_map_uid(c->user_ns, u->uid);
    kgid_t gid = user_ns_map_gid(c->user_ns, u->gid);
    struct pid *pid;

    if (uid == ID_INVALID || gid == ID_INVALID || m->has_cred)
        return -EINVAL;
    if (uid != c->uid && uid != c->euid && uid != c->suid &&
        !cred_capable(c, c->user_ns, CAP_SETUID))
        return -EPERM;
    if (gid != c->gid && gid != c->egid && gid != c->sgid &&
        !cred_capable(c, c->user_ns, CAP_SETGID))
        return -EPERM;
    pid = pid_find(up_current_pid_ns(), (u32)u->pid);
    if (!pid)
        return -ESRCH;
    if (pid != up_current_pid() && !cred_capable(c, up_current_pid_ns()->user_ns, CAP_SYS_ADMIN)) {
        pid_put(pid);
        return -EPERM;
    }
    m->has_cred = true;
    m->pid = pid;
    m->uid = uid;
    m->gid = gid;
    return 0;
}

/* Between sockets of this host; descriptors go over unix sockets alone. */
static int net_local_cmsg_in(struct socket_message *m, const struct cmsg_user *c, const u8 *data,
                             u64 n, bool rights)
{
    struct ucred_user cred;

    if (c->level != SOL_SOCKET)
        return 0;
    if (c->type == SCM_RIGHTS && rights)
        return net_rights_in(m, (const s32 *)(const void *)data, n / sizeof(s32));
    if (c->type != SCM_CREDENTIALS || n < sizeof(cred))
        return -EINVAL;
    memcpy(&cred, data, sizeof(cred));
    return net_cred_in(m, &cred);
}

static int net_cmsg_in(struct file *f, struct socket_message *m, const struct cmsg_user *c)
{
    const u8 *data = (const u8 *)(c + 1);
    u64 n = c->len - sizeof(*c);
    bool stream;
    int family = socket_family(f, &stream);

    if (family == AF_UNIX || family == AF_NETLINK)
        return net_local_cmsg_in(m, c, data, n, family == AF_UNIX);
    return family < 0 ? family : socket_control(f, m, c->level, c->type, data, n);
}

static int net_control_in(struct file *f, struct socket_message *m, u64 ucontrol, u64 len)
{
    u8 *buf;
    int err = 0;

    if (len > CONTROL_MAX)
        return -ENOBUFS;
    if (len < sizeof(struct cmsg_user))
        return 0;
    buf = kmalloc(len);
    if (!buf)
        return -ENOMEM;
    if (copy_in(buf, (const void __user *)ucontrol, len))
        err = -EFAULT;
    for (u64 at = 0; !err && at + sizeof(struct cmsg_user) <= len;) {
        struct cmsg_user *c = (struct cmsg_user *)(void *)(buf + at);

        if (c->len < sizeof(*c) || c->len > len - at)
            err = -EINVAL;
        else
            err = net_cmsg_in(f, m, c);
        at += CMSG_ALIGN(c->len);
    }
    kfree(buf);
    return err;
}

static s64 net_sendmsg_file(struct file *f, u64 umsg, u32 flags)
{
    struct socket_message m;
    struct msghdr_user h;
    struct iov_in v;
    struct iov_iter it;
    s64 n;

    if (IN(h, umsg))
        return -EFAULT;
    n = iov_in_begin(&v, h.iov, h.iovlen);
    if (n)
        return n == -EINVAL && h.iovlen > IOV_MAX ? -EMSGSIZE : n;
    iov_init_segs(&it, v.segs, v.nr, v.total);
    socket_message_init(&m, &it);
    if (h.name && h.namelen) {
        n = (s32)h.namelen < 0 ? -EINVAL : net_addr_in(&m.addr, h.name, MIN(h.namelen, 128U));
        m.addr_len = MIN(h.namelen, 128U);
    }
    if (!n && h.control && h.controllen)
        n = net_control_in(f, &m, h.control, h.controllen);
    if (!n) {
        u32 nr = m.nr_files; /* net may have zeroed it: the references are ours */

        n = net_send(f, &m, flags);
        m.nr_files = nr;
    }
    socket_message_drop(&m);
    iov_in_end(&v);
    return n;
}

static s64 net_sendmsg(s32 fd, u64 umsg, u32 flags)
{
    struct fd_hold h = fd_hold(fd);
    s64 n = -EBADF;

    if (h.file)
        n = socket_of_file(h.file) ? net_sendmsg_file(h.file, umsg, flags) : -ENOTSOCK;
    fd_release(h);
    return n;
}

s64 sys_sendmsg(s32 fd, u64 umsg, u32 flags)
{
    return net_sendmsg(fd, umsg, flags);
}

/* Control messages are appended at `at`. The message is taken by then, so nothing of this fails it:
 * what does not fit, cannot be had or cannot be written is cut off, and MSG_CTRUNC set. */
struct control_out {
    u64 base, space, at;
    u32 flags;
};

/* The head of one whose n bytes are there, and fit. */
static void net_cmsg_head_out(struct control_out *out, s32 level, s32 type, u64 n)
{
    struct cmsg_user c = {sizeof(c) + n, level, type};

    if (OUT(out->base + out->at, c))
        out->flags |= MSG_CTRUNC;
    else
        out->at += MIN(CMSG_ALIGN(c.len), out->space - out->at);
}

static void net_cmsg_out(struct control_out *out, s32 level, s32 type, const void *data, u64 n)
{
    u64 to = out->base + out->at + sizeof(struct cmsg_user);

    if (out->space - out->at < sizeof(struct cmsg_user) + n || copy_out((void __user *)to, data, n))
        out->flags |= MSG_CTRUNC;
    else
        net_cmsg_head_out(out, level, type, n);
}

/* A descriptor for f, once its number is told. 0: f is the table's now. */
static int net_right_out(struct file *f, u64 to, bool cloexec)
{
    s32 fd = fd_alloc(0, cloexec);

    if (fd < 0)
        return fd;
    if (OUT(to, fd)) {
        fd_cancel(fd);
        return -EFAULT;
    }
    fd_install(fd, f);
    return 0;
}

static void net_rights_out(struct control_out *out, struct socket_message *m, bool cloexec)
{
    u64 left = out->space - out->at, to = out->base + out->at + sizeof(struct cmsg_user);
    u32 fit = left < sizeof(struct cmsg_user)
                  ? 0
                  : (u32)MIN((left - sizeof(struct cmsg_user)) / sizeof(s32), (u64)m->nr_files);
    u32 n = 0;

    while (n < fit && !net_right_out(m->files[n], to + n * sizeof(s32), cloexec))
        m->files[n++] = NULL;
    if (n < m->nr_files)
        out->flags |= MSG_CTRUNC;
    if (n)
        net_cmsg_head_out(out, SOL_SOCKET, SCM_RIGHTS, n * sizeof(s32));
}

static void net_control_out(struct control_out *out, struct socket_message *m, bool cloexec)
{
    struct user_ns *ns = current_cred()->user_ns;

    for (u32 i = 0; i < m->notes->nr; i++) {
        const struct socket_note *note = &m->notes->note[i];

        net_cmsg_out(out, note->level, note->type, note->data, note->len);
    }
    if (m->has_cred) {
        struct ucred_user u = {
            .pid = (s32)pid_nr(m->pid, up_current_pid_ns()),
            .uid = user_ns_uid(ns, m->uid),
            .gid = user_ns_gid(ns, m->gid),
        };

        net_cmsg_out(out, SOL_SOCKET, SCM_CREDENTIALS, &u, sizeof(u));
    }
    if (m->nr_files)
        net_rights_out(out, m, cloexec);
}

static s64 net_recvmsg(u64 fd, u64 umsg, u64 flags)
{
    struct control_out out = {0};
    struct socket_notes notes;
    struct socket_message m;
    struct msghdr_user h;
    struct fd_hold hold;
    struct iov_in v;
    struct iov_iter it;
    s64 n;
    int err;

    if (IN(h, umsg))
        return -EFAULT;
    err = iov_in_begin(&v, h.iov, h.iovlen);
    if (err)
        return err == -EINVAL && h.iovlen > IOV_MAX ? -EMSGSIZE : err;
    iov_init_segs(&it, v.segs, v.nr, v.total);
    socket_message_init(&m, &it);
    m.notes = &notes;
    notes.nr = 0;
    hold = fd_hold((int)fd);
    n = hold.file ? socket_recv(hold.file, &m, (unsigned)flags) : -EBADF;
    fd_release(hold);
    iov_in_end(&v);
    if (n < 0) {
        socket_message_drop(&m);
        return n;
    }
    out.base = h.control;
    out.space = h.control ? MIN(h.controllen, (u64)CONTROL_MAX) : 0;
    net_control_out(&out, &m, flags & MSG_CMSG_CLOEXEC);
    if (h.name)
        err = copy_out((void __user *)h.name, &m.addr, MIN(h.namelen, m.addr_len));
    h.namelen = m.addr_len;
    h.controllen = out.at;
    h.flags = m.flags | out.flags | (u32)(flags & MSG_CMSG_CLOEXEC); /* as Linux: told back */
    if (!err)
        err = OUT(umsg, h);
    socket_message_drop(&m);
    return err ? err : n;
}

s64 sys_recvmsg(s32 fd, u64 umsg, u32 flags)
{
    return net_recvmsg(fd, umsg, flags);
}

#define MMSG_SIZE (sizeof(struct msghdr_user) + 8) /* msg_hdr, msg_len, padding */

static s64 net_many(s32 fd, u64 uvec, u64 n, u32 flags, bool send)
{
    s64 done = 0, got = 0;
    u32 len;

    n = MIN(n, (u64)MMSG_MAX);
    for (; done < (s64)n; done++) {
        u64 at = uvec + (u64)done * MMSG_SIZE;

        got = send ? net_sendmsg(fd, at, flags)
                   : net_recvmsg(fd, at, flags | (done && (flags & 0x10000) ? MSG_DONTWAIT : 0));
        if (got < 0)
            break;
        len = (u32)got;
        got = copy_out((void __user *)(at + sizeof(struct msghdr_user)), &len, sizeof(len));
        if (got)
            break;
        cond_yield(); /* datagrams to oneself never wait */
        if (thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE)) {
            done++;
            break;
        }
    }
    return done ? done : got;
}

s64 sys_sendmmsg(s32 fd, u64 uvec, u32 n, u32 flags)
{
    return net_many(fd, uvec, (u32)n, flags, true);
}

s64 sys_recvmmsg(s32 fd, u64 uvec, u32 n, u32 flags, u64 utimeout)
{
    /* The timeout is looked at between messages only (recvmmsg(2), BUGS): one that is given means
     * not to wait for further ones. */
    return net_many(fd, uvec, (u32)n, flags | (utimeout ? 0x10000 : 0), false);
}
