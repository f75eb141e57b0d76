/* SPDX-License-Identifier: MIT
 *
 * The file of /dev/net/tun. tun.h and tun_priv.h have the rules.
 */
#include "arch/x86/uaccess.h"
#include "dev/chrdev.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/core/sending.h"
#include "net/core/up.h"
#include "net/link/ethernet.h"
#include "net/link/tun_priv.h"
#include "net/link/vnet_header.h"
#include "vm/iov.h"

enum {
    TUNSETNOCSUM = 0x400454c8,
    TUNSETIFF = 0x400454ca,
    TUNSETPERSIST = 0x400454cb,
    TUNSETOWNER = 0x400454cc,
    TUNSETGROUP = 0x400454ce,
    TUNSETOFFLOAD = 0x400454d0,
    TUNSETVNETHDRSZ = 0x400454d8,
    TUNSETQUEUE = 0x400454d9,
    SIOCGIFHWADDR = 0x8927,
    SIOCSIFHWADDR = 0x8924,
};
#define TUNGETFEATURES 0x800454cfU
#define TUNGETIFF 0x800454d2U
#define TUNGETSNDBUF 0x800454d3U
#define TUNGETVNETHDRSZ 0x800454d7U
enum { TUN_F_CSUM = 1, TUN_F_TSO4 = 2, TUN_F_TSO6 = 4, TUN_F_TSO_ECN = 8, TUN_F_USO = 0x60 };
#define TUN_VNET_MOST 256
#define TUN_PI 4 /* bytes: flags, the protocol */
#define TUN_PI_STRIP 1

struct tun_ifreq {
    char name[NETDEV_NAME];
    union {
        u8 bytes[24];
        u16 flags;
        struct {
            u16 family;
            u8 addr[NETDEV_ADDR];
        } link;
    };
};

/* ---- joining ---- */

static bool tun_may_join(const struct tun_file *tf, const struct tun *t)
{
    const struct cred *c = current_cred();

    if (cred_capable(c, tf->ns->user_ns, CAP_NET_ADMIN))
        return true;
    return (t->owner != TUN_ANYBODY || t->group != TUN_ANYBODY) &&
           (t->owner == TUN_ANYBODY || t->owner == c->euid) &&
           (t->group == TUN_ANYBODY || c->egid == t->group || cred_in_group(c, t->group));
}

/* tf joins the device, if it is one of ours, has a place and may be had. */
static int tun_rejoin(struct tun_file *tf, struct netdev *dev, u32 flags) REQUIRES(tun_join_lock)
{
    struct tun *t = container_of(dev, struct tun, dev);
    int err;

    ASSERT_HELD(&tun_join_lock);
    if (flags & IFF_TUN_EXCL)
        return -EBUSY;
    if (dev->ops != &tun_ops || ((t->flags ^ flags) & (IFF_TUN | IFF_TAP | IFF_MULTI_QUEUE)))
        return -EINVAL;
    if (!tun_may_join(tf, t))
        return -EPERM;
    err = t->dies || tun_gone(t) ? -EBUSY : tun_add_file(t, tf);
    if (err)
        return err;
    if (t->nr_files == 1)
        WRITE_ONCE(t->flags, flags);
    netdev_set_carrier(dev, true);
    store_release(&tf->tun, t);
    return 0;
}

/* -ENODEV: no device has the name. */
static int tun_join_old(struct tun_file *tf, const char *name, u32 flags)
{
    struct netdev *dev = name[0] ? net_device_by_name(tf->ns, name) : NULL;
    int err;

    if (!dev)
        return -ENODEV;
    mutex_lock(&tun_join_lock);
    err = tun_rejoin(tf, dev, flags);
    mutex_unlock(&tun_join_lock);
    if (err)
        netdev_put(dev);
    return err;
}

/* Without tun_join_lock, which is for all files: the namespace may be busy with its devices. */
static int tun_join_new(struct tun_file *tf, const char *name, u32 flags)
{
    const char *form = flags & IFF_TAP ? "tap%d" : "tun%d";
    struct tun *t;
    int err;

    if (!cred_capable(current_cred(), tf->ns->user_ns, CAP_NET_ADMIN))
        return -EPERM;
    err = tun_create(tf, name[0] ? name : form, flags & ~(u32)IFF_TUN_EXCL, &t);
    if (err)
        return err == -EEXIST ? -EBUSY : err;
    netdev_set_carrier(&t->dev, true);
    store_release(&tf->tun, t);
    return 0;
}

static int tun_join_locked(struct tun_file *tf, struct tun_ifreq *r) REQUIRES(tf->joining)
{
    u32 flags = r->flags, kind = flags & (IFF_TUN | IFF_TAP);
    int err;

    ASSERT_HELD(&tf->joining);
    if (tf->tun)
        return -EEXIST;
    if (flags & ~(u32)(TUN_FEATURES | IFF_TUN_EXCL) || (kind != IFF_TUN && kind != IFF_TAP) ||
        (r->name[0] && !net_device_name_ok(r->name)))
        return -EINVAL;
    err = tun_join_old(tf, r->name, flags);
    if (err == -ENODEV)
        err = tun_join_new(tf, r->name, flags);
    if (!err)
        net_device_name(&tf->tun->dev, r->name);
    return err;
}

static int tun_join(struct tun_file *tf, struct tun_ifreq *r)
{
    int err;

    r->name[NETDEV_NAME - 1] = 0;
    mutex_lock(&tf->joining);
    err = tun_join_locked(tf, r);
    mutex_unlock(&tf->joining);
    return err;
}

/* TUNSETQUEUE: a file of several is to have a queue, or none. */
static int tun_set_attached_locked(struct tun_file *tf, u32 flags, struct list_node *lost)
    REQUIRES(tun_join_lock)
{
    struct tun *t = tf->tun;
    bool attach = flags & IFF_ATTACH_QUEUE;

    ASSERT_HELD(&tun_join_lock);
    if (!t || !(flags & (IFF_ATTACH_QUEUE | IFF_DETACH_QUEUE)) || !t->flows ||
        tf->attached == attach)
        return -EINVAL;
    if (attach)
        tun_attach(t, tf);
    else
        tun_detach(t, tf, lost);
    return 0;
}

static int tun_set_attached(struct tun_file *tf, u32 flags)
{
    struct list_node lost;
    int err;

    list_init(&lost);
    mutex_lock(&tun_join_lock);
    err = tun_set_attached_locked(tf, flags, &lost);
    mutex_unlock(&tun_join_lock);
    packets_free(&lost);
    return err;
}

static int tun_open(struct file *f, u32 minor)
{
    struct tun_file *tf = kzalloc(sizeof(*tf));

    if (!tf)
        return -ENOMEM;
    tun_file_init(tf);
    tf->account = slab_account(tf);
    tf->ns = up_current_net_ns();
    net_ns_get(tf->ns);
    f->priv = tf;
    return 0;
}

/* True: the device goes with its last file, and none joins it any more. */
static bool tun_leave(struct tun_file *tf, struct tun *t)
{
    struct list_node lost;
    bool dies = false;

    list_init(&lost);
    mutex_lock(&tun_join_lock);
    if (tun_remove_file(t, tf, &lost)) {
        netdev_set_carrier(&t->dev, false);
        t->dies = dies = !t->persist;
    }
    mutex_unlock(&tun_join_lock);
    packets_free(&lost);
    DELAYPOINT(tun_leave);
    return dies;
}

static void tun_release(struct file *f)
{
    struct tun_file *tf = f->priv;
    struct tun *t = tf->tun;

    if (t) {
        int err = tun_leave(tf, t) ? net_device_delete(&t->dev) : 0;

        ASSERT(!err || err == -ENODEV); /* a request was faster */
        netdev_put(&t->dev);
    }
    net_ns_put(tf->ns);
    kfree(tf);
}

/* ---- reading and writing ---- */

static struct tun *tun_joined(struct file *f)
{
    const struct tun_file *tf = f->priv;

    return load_acquire(&tf->tun);
}

static ssize_t tun_put(struct iov_iter *to, const void *bytes, u64 n)
{
    u64 k = MIN(n, to->count);

    return iov_copy_to(to, bytes, k) == k ? 0 : -EFAULT;
}

/* What comes before the frame. */
static int tun_read_heads(struct tun *t, const struct packet *p, struct iov_iter *to)
{
    u8 vnet[TUN_VNET_MOST] = {0};
    u32 size = t->flags & IFF_VNET_HDR ? READ_ONCE(t->vnet_size) : 0;
    u32 before = (t->flags & IFF_NO_PI ? 0 : TUN_PI) + size;
    u16 pi[2] = {before + p->len > to->count ? TUN_PI_STRIP : 0, __builtin_bswap16(p->protocol)};
    struct vnet_header h = {.partial = p->flags & PACKET_CSUM_PARTIAL,
                            .valid = p->flags & PACKET_CSUM_VALID,
                            .gso = p->gso,
                            .header = p->gso ? p->gso_header : 0,
                            .segment = p->gso_size};

    if (to->count < before)
        return -EINVAL;
    if (!(t->flags & IFF_NO_PI) && tun_put(to, pi, sizeof(pi)))
        return -EFAULT;
    if (!size)
        return 0;
    if (h.partial) {
        h.csum_start = p->csum_start;
        h.csum_offset = p->csum_offset;
    }
    vnet_header_build(vnet, &h);
    return (int)tun_put(to, vnet, size);
}

static ssize_t tun_read_packet(struct tun *t, const struct packet *p, struct iov_iter *to)
{
    u64 room = to->count;
    ssize_t err = tun_read_heads(t, p, to);

    for (u32 at = 0; !err && at < p->len && to->count;) {
        u32 len;
        const u8 *bytes = packet_stretch(p, at, p->len - at, &len);

        err = tun_put(to, bytes, len);
        at += len;
    }
    return err ? err : (ssize_t)(room - to->count);
}

static ssize_t tun_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    struct tun_file *tf = f->priv;
    struct tun *t = tun_joined(f);
    struct packet *p;
    ssize_t n;

    if (!t)
        return -EBADFD;
    while (!(p = tun_take(t, tf))) {
        if (tun_gone(t))
            return -EIO;
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        n = wait_event_exclusive(&tf->wait, tun_has_frames(tf) || tun_gone(t), 0);
        if (n && tun_has_frames(tf))
            waitq_wake_one(&tf->wait); /* the wake may have been for this one */
        if (n)
            return n;
    }
    n = tun_read_packet(t, p, to);
    packet_free(p);
    return n;
}

/* The words of a virtio header act on the packet, which has been checked against them. */
static int tun_offload(struct packet *p, const struct vnet_header *h)
{
    u32 sum = (u32)h->csum_start + h->csum_offset + 2;

    if (h->partial) {
        if (sum > PACKET_LINEAR || !packet_need(p, sum))
            return -EINVAL;
        p->flags |= PACKET_CSUM_PARTIAL;
        p->csum_start = h->csum_start;
        p->csum_offset = h->csum_offset;
    } else if (h->valid) {
        p->flags |= PACKET_CSUM_VALID;
    }
    p->gso = h->gso;
    p->gso_size = h->segment;
    p->gso_header = h->header;
    return 0;
}

/* The heads of a write: *h says what to do with the bytes behind them. */
static int tun_write_heads(struct tun *t, struct iov_iter *from, struct vnet_header *h)
{
    u32 size = t->flags & IFF_VNET_HDR ? READ_ONCE(t->vnet_size) : 0;
    u8 pi[TUN_PI], vnet[VNET_HEADER];

    if (!(t->flags & IFF_NO_PI) &&
        (from->count < TUN_PI || iov_copy_from(from, pi, TUN_PI) != TUN_PI))
        return from->count < TUN_PI ? -EINVAL : -EFAULT;
    if (!size)
        return 0;
    if (from->count < size)
        return -EINVAL;
    if (iov_copy_from(from, vnet, VNET_HEADER) != VNET_HEADER)
        return -EFAULT;
    iov_advance(from, size - VNET_HEADER);
    return from->count > PACKET_LEN_MAX ? -EINVAL : vnet_header_parse(vnet, (u32)from->count, h);
}

static int tun_write_packet(struct tun *t, struct tun_file *tf, struct iov_iter *from,
                            const struct vnet_header *h)
{
    struct packet *p = packet_alloc(); /* with a head as a card's frames have it */
    u64 n = from->count;
    int err;

    if (!p)
        return -ENOMEM;
    err = sock_packet_fill(p, from, n);
    if (!err)
        err = tun_offload(p, h);
    if (err) {
        packet_free(p);
        return err;
    }
    tun_receive(t, tf, p);
    return 0;
}

static ssize_t tun_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
    struct tun *t = tun_joined(f);
    struct vnet_header h = {0};
    u64 n = from->count;
    int err;

    if (!t)
        return -EBADFD;
    if (!(READ_ONCE(t->dev.flags) & NETDEV_UP))
        return -EIO;
    err = tun_write_heads(t, from, &h);
    if (!err &&
        (from->count < (t->dev.header ? t->dev.header : 1U) || from->count > PACKET_LEN_MAX))
        err = -EINVAL;
    if (!err)
        err = tun_write_packet(t, f->priv, from, &h);
    return err ? err : (ssize_t)n;
}

static u32 tun_poll(struct file *f, struct poll_table *pt)
{
    struct tun_file *tf = f->priv;
    struct tun *t = tun_joined(f);
    u32 mask = 0;

    if (!t)
        return POLLERR;
    poll_wait(pt, &tf->wait);
    if (tun_has_frames(tf))
        mask |= POLLIN | POLLRDNORM;
    if (READ_ONCE(t->dev.flags) & NETDEV_UP)
        mask |= POLLOUT | POLLWRNORM;
    return tun_gone(t) ? POLLERR : mask;
}

/* ---- commands ---- */

static int tun_set_offload(struct tun *t, u64 arg)
{
    u32 features = NETDEV_FRAGS;

    if (arg & ~(u64)(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_USO))
        return -EINVAL;
    if (arg & TUN_F_CSUM) {
        features |= NETDEV_CSUM;
        features |= arg & TUN_F_TSO4 ? NETDEV_TSO4 : 0;
        features |= arg & TUN_F_TSO6 ? NETDEV_TSO6 : 0;
        features |= (arg & TUN_F_USO) == TUN_F_USO ? NETDEV_USO : 0;
    }
    netdev_features_offer(&t->dev, features);
    return 0;
}

static int tun_set_owner(struct tun *t, u32 *owner, u64 arg, bool group)
{
    struct user_ns *ns = current_cred()->user_ns;
    u32 id = group ? user_ns_map_gid(ns, (u32)arg) : user_ns_map_uid(ns, (u32)arg);

    if ((u32)arg != TUN_ANYBODY && id == ID_INVALID)
        return -EINVAL;
    *owner = id;
    return 0;
}

/* IFF_NOFILTER, which is said of a file without a filter, and that is all, is IFF_NO_PI. */
static s64 tun_get_iff(struct tun *t, const struct tun_file *tf, u64 arg)
{
    struct tun_ifreq r = {0};

    net_device_name(&t->dev, r.name);
    r.flags = (u16)(t->flags | IFF_NO_PI | (t->persist ? IFF_PERSIST : 0) |
                    (READ_ONCE(tf->attached) ? 0 : IFF_DETACH_QUEUE));
    return copy_out((void __user *)arg, &r, sizeof(r));
}

static s64 tun_address(struct tun *t, bool set, u64 arg)
{
    struct tun_ifreq r = {0};

    if (set)
        return copy_in(&r, (const void __user *)arg, sizeof(r)) ? -EFAULT
               : t->dev.header ? net_device_set_address(&t->dev, r.link.addr)
                               : -EINVAL;
    memcpy(r.name, t->dev.name, NETDEV_NAME);
    r.link.family = t->dev.type;
    memcpy(r.link.addr, t->dev.addr, NETDEV_ADDR);
    return copy_out((void __user *)arg, &r, sizeof(r));
}

static s64 tun_set_vnet_size(struct tun *t, u64 arg)
{
    s32 n;

    if (copy_in(&n, (const void __user *)arg, sizeof(n)))
        return -EFAULT;
    if (n < (s32)VNET_HEADER || n > TUN_VNET_MOST)
        return -EINVAL;
    WRITE_ONCE(t->vnet_size, (u32)n);
    return 0;
}

static int tun_set_persist(struct tun *t, bool persist)
{
    mutex_lock(&tun_join_lock);
    t->persist = persist;
    mutex_unlock(&tun_join_lock);
    return 0;
}

static s64 tun_command(struct tun *t, const struct tun_file *tf, unsigned cmd, u64 arg)
{
    u32 n;

    switch (cmd) {
    case TUNSETNOCSUM: /* of no effect for long */
        return 0;
    case TUNSETPERSIST:
        return tun_set_persist(t, arg);
    case TUNSETOWNER:
        return tun_set_owner(t, &t->owner, arg, false);
    case TUNSETGROUP:
        return tun_set_owner(t, &t->group, arg, true);
    case TUNSETOFFLOAD:
        return tun_set_offload(t, arg);
    case TUNGETIFF:
        return tun_get_iff(t, tf, arg);
    case TUNSETVNETHDRSZ:
        return tun_set_vnet_size(t, arg);
    case TUNGETVNETHDRSZ:
        n = t->vnet_size;
        return copy_out((void __user *)arg, &n, sizeof(n));
    case TUNGETSNDBUF: /* none: a packet that is written is received at once */
        n = 0x7fffffff;
        return copy_out((void __user *)arg, &n, sizeof(n));
    case SIOCGIFHWADDR:
    case SIOCSIFHWADDR:
        return tun_address(t, cmd == SIOCSIFHWADDR, arg);
    default:
        return -EINVAL;
    }
}

static s64 tun_ioctl(struct file *f, unsigned cmd, u64 arg)
{
    struct tun_file *tf = f->priv;
    u32 features = TUN_FEATURES;
    struct tun_ifreq r;
    struct tun *t;
    s64 err;

    if (cmd == TUNGETFEATURES)
        return copy_out((void __user *)arg, &features, sizeof(features));
    if (cmd == TUNSETIFF || cmd == TUNSETQUEUE) {
        if (copy_in(&r, (const void __user *)arg, sizeof(r)))
            return -EFAULT;
        if (cmd == TUNSETQUEUE)
            return tun_set_attached(tf, r.flags);
        err = tun_join(tf, &r);
        return err ? err : copy_out((void __user *)arg, &r, sizeof(r));
    }
    t = tun_joined(f);
    return t ? tun_command(t, tf, cmd, arg) : -EBADFD;
}

static const struct file_ops tun_file_ops = {
    .name = "tun",
    .read = tun_read,
    .write = tun_write,
    .poll = tun_poll,
    .ioctl = tun_ioctl,
    .release = tun_release,
};
CHRDEV(tun) = {"net/tun", 10, 200, 0666, &tun_file_ops, tun_open, 0, false};
