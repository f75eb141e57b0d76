// SPDX-License-Identifier: MIT
// Orders; see order.h. One list of fields does both ways, so that they cannot differ.
#include "runtime/order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Either `out` is written, or `at`..`end` is read. */
struct order_io {
    struct buf *out;
    char *at, *end;
    bool bad;
};

static void io_u32(struct order_io *io, uint32_t *v)
{
    uint8_t b[4];

    if (io->out) {
        for (int i = 0; i < 4; i++)
            b[i] = (uint8_t)(*v >> 8 * i);
        buf_add(io->out, b, sizeof(b));
        return;
    }
    *v = 0;
    if (io->end - io->at < 4) {
        io->bad = true;
        return;
    }
    for (int i = 0; i < 4; i++)
        *v |= (uint32_t)(uint8_t)io->at[i] << 8 * i;
    io->at += 4;
}

static void io_u64(struct order_io *io, uint64_t *v)
{
    uint32_t low = (uint32_t)*v, high = (uint32_t)(*v >> 32);

    io_u32(io, &low);
    io_u32(io, &high);
    *v = low | (uint64_t)high << 32;
}

static void io_i64(struct order_io *io, int64_t *v)
{
    uint64_t u = (uint64_t)*v;

    io_u64(io, &u);
    *v = (int64_t)u;
}

static void io_int(struct order_io *io, int *v)
{
    uint32_t u = (uint32_t)*v;

    io_u32(io, &u);
    *v = (int)u;
}

static void io_uint(struct order_io *io, unsigned *v)
{
    uint32_t u = *v;

    io_u32(io, &u);
    *v = u;
}

static void io_bool(struct order_io *io, bool *v)
{
    uint32_t u = *v;

    io_u32(io, &u);
    io->bad = io->bad || u > 1;
    *v = u;
}

/* NULL and "" are two things. */
static void io_str(struct order_io *io, char **v)
{
    uint32_t len = io->out && *v ? (uint32_t)strlen(*v) : ORDER_NONE;

    io_u32(io, &len);
    if (io->out) {
        if (*v)
            buf_add(io->out, *v, len + 1);
        return;
    }
    *v = NULL;
    if (io->bad || len == ORDER_NONE)
        return;
    if (len >= (size_t)(io->end - io->at) || memchr(io->at, 0, (size_t)len + 1) != io->at + len) {
        io->bad = true;
        return;
    }
    *v = io->at;
    io->at += (size_t)len + 1;
}

/* How many follow; for a reader a count that the rest of the text can hold. */
static uint32_t io_count(struct order_io *io, uint32_t n)
{
    io_u32(io, &n);
    if (io->out || (n == ORDER_NONE && !io->bad))
        return n;
    if (n > ORDER_LIST_MAX || n > (size_t)(io->end - io->at) / 4)
        io->bad = true;
    return io->bad ? 0 : n;
}

static void io_list(struct order_io *io, char ***v)
{
    uint32_t n = io_count(io, io->out && *v ? (uint32_t)strv_count(*v) : ORDER_NONE);

    if (!io->out)
        *v = n == ORDER_NONE ? NULL : mem_alloc(((size_t)n + 1) * sizeof(char *));
    for (uint32_t i = 0; n != ORDER_NONE && i < n; i++) {
        io_str(io, &(*v)[i]);
        io->bad = io->bad || !(*v)[i];
    }
}

static void io_spec(struct order_io *io, struct spec *s)
{
    io_list(io, &s->argv);
    io_list(io, &s->env);
    io_str(io, &s->cwd);
    io_str(io, &s->user);
    io_list(io, &s->groups);
    io_bool(io, &s->tty);
    io_bool(io, &s->open_stdin);
    io_bool(io, &s->privileged);
    io_bool(io, &s->no_new_privs);
    io_bool(io, &s->seccomp_off);
    io_u64(io, &s->caps);
    io_uint(io, &s->rows);
    io_uint(io, &s->cols);
}

static void io_mount(struct order_io *io, struct mount_spec *m)
{
    uint64_t flags = m->flags;

    io_str(io, &m->source);
    io_str(io, &m->target);
    io_str(io, &m->options);
    io_str(io, &m->volume);
    io_u64(io, &flags);
    io_bool(io, &m->file);
    io_bool(io, &m->flat);
    io_bool(io, &m->fill);
    m->flags = (unsigned long)flags;
    io->bad = io->bad || !m->target;
}

static void io_mounts(struct order_io *io, struct shared_spec *r)
{
    uint32_t n = io_count(io, (uint32_t)r->nmounts);

    if (!io->out) {
        n = n == ORDER_NONE ? 0 : n;
        r->mounts = n ? mem_alloc(n * sizeof(*r->mounts)) : NULL;
        r->nmounts = (int)n;
    }
    for (uint32_t i = 0; i < n; i++)
        io_mount(io, &r->mounts[i]);
}

static void io_rlimits(struct order_io *io, struct shared_spec *r)
{
    uint32_t n = io_count(io, (uint32_t)r->nrlimits);

    if (!io->out) {
        n = n == ORDER_NONE ? 0 : n;
        r->rlimits = n ? mem_alloc(n * sizeof(*r->rlimits)) : NULL;
        r->nrlimits = (int)n;
    }
    for (uint32_t i = 0; i < n; i++) {
        io_int(io, &r->rlimits[i].resource);
        io_u64(io, &r->rlimits[i].soft);
        io_u64(io, &r->rlimits[i].hard);
    }
}

/* Without what is done before the clone: the files of /etc. */
static void io_shared(struct order_io *io, struct shared_spec *r)
{
    io_str(io, &r->hostname);
    io_str(io, &r->domainname);
    io_bool(io, &r->readonly_root);
    io_i64(io, &r->shm_size);
    io_bool(io, &r->no_shm);
    io_bool(io, &r->host_cgroup);
    io_list(io, &r->sysctls);
    io_list(io, &r->masked);
    io_list(io, &r->readonly_paths);
    io_mounts(io, r);
    io_rlimits(io, r);
}

static void io_devices(struct order_io *io, struct order *o)
{
    uint32_t n = io_count(io, (uint32_t)o->ndevices);

    if (!io->out) {
        n = n == ORDER_NONE ? 0 : n;
        o->devices = n ? mem_alloc(n * sizeof(*o->devices)) : NULL;
        o->ndevices = (int)n;
    }
    for (uint32_t i = 0; i < n; i++) {
        io_str(io, &o->devices[i].host);
        io_str(io, &o->devices[i].target);
        io->bad = io->bad || !o->devices[i].host || !o->devices[i].target;
    }
}

static void io_order(struct order_io *io, struct order *o)
{
    uint32_t version = ORDER_VERSION;

    io_u32(io, &version);
    io->bad = io->bad || version != ORDER_VERSION;
    io_bool(io, &o->is_exec);
    io_bool(io, &o->first);
    io_bool(io, &o->based);
    io_bool(io, &o->new_net);
    io_bool(io, &o->vm);
    io_u64(io, &o->files);
    io_str(io, &o->layers);
    io_list(io, &o->lowers);
    io_str(io, &o->own);
    io_str(io, &o->initrd);
    io_str(io, &o->config);
    io_u64(io, &o->memory);
    io_u64(io, &o->cpus);
    io_spec(io, &o->spec);
    io_shared(io, &o->shared);
    io_devices(io, o);
}

void order_write(struct buf *b, const struct order *o)
{
    struct order_io io = {.out = b};
    struct order copy = *o; /* only read, through pointers that a reader writes */

    io_order(&io, &copy);
}

/* What the child takes for granted. */
static bool order_whole(const struct order *o)
{
    const struct spec *s = &o->spec;

    if (!s->argv || !s->argv[0] || !s->env || !s->cwd || !s->user || !o->shared.hostname)
        return false;
    if (o->vm)
        return o->own && o->initrd && o->config;
    return o->is_exec || (o->own && o->layers && o->lowers);
}

int order_read(struct order *o, char *text, size_t len)
{
    struct order_io io = {.at = text, .end = text + len};

    *o = (struct order){0};
    io_order(&io, o);
    return io.bad || io.at != io.end || !order_whole(o) ? -EPROTO : 0;
}
