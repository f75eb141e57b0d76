// SPDX-License-Identifier: MIT
// --runtime vm: the container's process is the VMM, in a container of its own.
//
// The image's merged tree is packed once per image into a cpio archive, behind one with the guest's
// agent (RUNTIME_VM_AGENT); both together are the guest's initramfs. What to run travels as a boot
// module, config.json, which only the agent reads. runtime/vm_child.c makes the VMM's process.
//
// The start-up conversation (start.c) goes on in the VMM: the start is over when the guest's agent
// says that the application runs, or why it does not.
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "engine/job.h"
#include "engine/pack.h"
#include "lib/str.h"

#define RUNTIME_VM_AGENT "/boot/agent" /* a program; here a link to init */
/* Unless half of the machine's is less; what a guest does not use costs nothing. */
#define RUNTIME_VM_MEMORY (512ll << 20)
#define RUNTIME_VM_MEMORY_MIN (32ll << 20) /* for the guest's kernel, agent and program */
#define RUNTIME_VM_CPUS_MAX 64

char *runtime_vm_check(void)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd >= 0) {
        close(fd);
        return NULL;
    }
    return str_fmt("--runtime vm needs VT-x or AMD-V: %s",
                   errno == ENOENT   ? "this machine has neither, or firmware has disabled it"
                   : errno == ENODEV ? "the CPU's virtualization cannot be used"
                                     : str_error(errno));
}

/* Volumes are not shared with a guest yet; one without a name is the guest's own. */
static bool vm_shares(const struct json *host)
{
    for (struct json *j = json_list(host, "Mounts"); j; j = j->next) {
        const char *type = json_str(j, "Type"), *source = json_str(j, "Source");

        if (!type || (strcmp(type, "tmpfs") && (strcmp(type, "volume") || (source && *source))))
            return true;
    }
    for (struct json *j = json_list(host, "Binds"); j; j = j->next)
        if (j->type != JSON_STRING || strchr(j->str, ':'))
            return true;
    return false;
}

char *runtime_vm_refuse(const struct json *host)
{
    const char *net = json_str(host, "NetworkMode");
    int64_t memory = json_int(host, "Memory", 0), cpus = json_int(host, "NanoCpus", 0);

    if (net && !strcmp(net, "host"))
        return str_dup("--runtime vm cannot be combined with --network host");
    if (vm_shares(host) || json_list(host, "VolumesFrom"))
        return str_dup("--runtime vm does not support volumes of the host (-v, --mount) yet: copy "
                       "the files into an image, or use --tmpfs");
    if (json_str(host, "CgroupnsMode") && !strcmp(json_str(host, "CgroupnsMode"), "host"))
        return str_dup("--runtime vm cannot be combined with --cgroupns host");
    if (json_list(host, "Devices"))
        return str_dup("--runtime vm does not support --device");
    if (memory > 0 && memory < RUNTIME_VM_MEMORY_MIN)
        return str_dup("--runtime vm needs a memory limit of 32MB or more, for its own kernel too: "
                       "give it --memory 32m");
    if (cpus > RUNTIME_VM_CPUS_MAX * 1000000000ll)
        return str_fmt("--runtime vm supports up to %d CPUs", RUNTIME_VM_CPUS_MAX);
    return NULL;
}

/* A list that ends with a NULL. */
static void vm_strings(struct jw *w, const char *key, char **v)
{
    jw_strings(w, key, (const char *const *)v, SIZE_MAX);
}

/* One that may not be there: then the usual one counts. */
static void vm_list(struct jw *w, const char *key, char **v)
{
    if (v)
        vm_strings(w, key, v);
}

static void vm_config_spec(struct jw *w, const struct spec *s)
{
    vm_strings(w, "args", s->argv);
    vm_strings(w, "env", s->env);
    jw_str(w, "cwd", s->cwd);
    jw_str(w, "user", s->user);
    if (s->groups)
        vm_strings(w, "groups", s->groups);
    jw_bool(w, "tty", s->tty);
    jw_bool(w, "stdin", s->open_stdin);
    jw_bool(w, "privileged", s->privileged);
    jw_bool(w, "noNewPrivs", s->no_new_privs);
    jw_bool(w, "seccompOff", s->seccomp_off);
    jw_int(w, "caps", (int64_t)s->caps);
}

static void vm_config_shared(struct jw *w, const struct shared_spec *r)
{
    jw_str(w, "hostname", r->hostname);
    jw_str(w, "domainname", r->domainname);
    jw_bool(w, "readonly", r->readonly_root);
    jw_int(w, "shm", r->shm_size);
    jw_array(w, "mounts");
    for (int i = 0; i < r->nmounts; i++) {
        jw_object(w, NULL);
        jw_str(w, "target", r->mounts[i].target);
        jw_str(w, "options", r->mounts[i].options);
        jw_int(w, "flags", (int64_t)r->mounts[i].flags);
        jw_bool(w, "fill", r->mounts[i].fill);
        jw_bool(w, "volume", r->mounts[i].volume);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_array(w, "rlimits");
    for (int i = 0; i < r->nrlimits; i++) {
        jw_object(w, NULL);
        jw_int(w, "resource", r->rlimits[i].resource);
        jw_int(w, "soft", (int64_t)r->rlimits[i].soft);
        jw_int(w, "hard", (int64_t)r->rlimits[i].hard);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_bool(w, "noShm", r->no_shm);
    jw_int(w, "oomScoreAdj", r->oom_score_adj);
    vm_list(w, "sysctls", r->sysctls);
    vm_list(w, "hosts", r->extra_hosts);
    vm_list(w, "dns", r->dns);
    vm_list(w, "dnsSearch", r->dns_search);
    vm_list(w, "dnsOptions", r->dns_options);
    vm_list(w, "masked", r->masked);
    vm_list(w, "readonlyPaths", r->readonly_paths);
}

/* What the guest agent (init/agent.c) reads. */
static void vm_config(const struct container *c, struct buf *b)
{
    struct jw w = {.out = b};
    char cpu[64];

    jw_object(&w, NULL);
    vm_config_spec(&w, &c->spec);
    vm_config_shared(&w, &c->shared);
    jw_int(&w, "pids", c->limits.pids > 0 ? c->limits.pids : 0);
    jw_int(&w, "memory", c->limits.memory);
    jw_int(&w, "cpuWeight", c->limits.cpu_shares ? cgroup_weight(c->limits.cpu_shares) : 0);
    cgroup_cpu_text(c, cpu, sizeof(cpu));
    jw_str(&w, "cpuMax", cpu);
    jw_object_end(&w);
}

static char *vm_packed(const struct image *img)
{
    return str_fmt("%s/packed/%s.cpio", engine.root, img->id);
}

/* The starts that wait for the archive of an image. */
static struct container *vm_waiting(const struct image *img)
{
    for (struct container *c = container_first(); c; c = c->next)
        if (c->packing && c->image == img)
            return c;
    return NULL;
}

/* An image's archive being made, under a name of its own until it is whole. */
struct packing {
    struct image *img; /* a reference */
    char *path;
};

static void vm_pack_freed(void *owner)
{
    struct packing *p = owner;
    char *half = str_fmt("%s" PACK_HALF, p->path), *scratch = str_fmt("%s" PACK_SCRATCH, p->path);

    unlink(half);
    rmdir(scratch);
    unlink(p->path);
    free(half);
    free(scratch);
    free(p->path);
    image_put(p->img);
    free(p);
}

/* Hands the archive over: NULL, or a sentence. */
static char *vm_pack_verdict(const struct packing *p, const struct job *j, const char *error)
{
    char *packed, *why = NULL;

    if (error && j->report.len)
        return str_dup(j->report.data);
    if (error)
        return str_fmt("cannot pack the image for a VM: %s", error);
    packed = vm_packed(p->img);
    if (rename(p->path, packed) < 0)
        why = str_fmt("cannot pack the image for a VM: %s", str_error(errno));
    free(packed);
    return why;
}

static void vm_pack_done(struct job *j, const char *error)
{
    struct packing *p = j->owner;
    char *why = vm_pack_verdict(p, j, error);
    struct container *c;

    p->img->packing = NULL;
    while ((c = vm_waiting(p->img))) {
        c->packing = false;
        if (why)
            container_start_failed(c, why);
        else
            container_raise(c, CE_PREPARED);
    }
    free(why);
    vm_pack_freed(p);
}

static void vm_pack(struct image *img)
{
    static unsigned count;
    struct packing *p = mem_alloc(sizeof(*p));

    p->img = image_get(img);
    p->path = str_fmt("%s/tmp/pack-%u", engine.root, count++);
    img->packing = job_new(p, vm_pack_done, job_memory_bound(), "pack", engine.root,
                           RUNTIME_VM_AGENT, p->path, NULL);
    for (int i = 0; i < img->nlayers; i++) {
        if (image_layer_again(img, i))
            continue;
        job_feed(img->packing, img->layers[i]->dir, strlen(img->layers[i]->dir));
        job_feed(img->packing, "\n", 1);
    }
    job_feed(img->packing, "\n", 1);
    job_feed_end(img->packing);
}

bool runtime_vm_prepare(struct container *c)
{
    char *packed = vm_packed(c->image);
    bool there = access(packed, F_OK) == 0;

    free(packed);
    if (there)
        return false;
    c->packing = true;
    if (!c->image->packing)
        vm_pack(c->image);
    return true;
}

void runtime_vm_cancel(struct container *c)
{
    struct job *j = c->image->packing;

    c->packing = false;
    if (!j || vm_waiting(c->image))
        return;
    c->image->packing = NULL;
    job_cancel(j, vm_pack_freed);
}

/* The guest's memory: as asked for, or what a container could expect to have. It must hold the
 * image twice, as it comes and unpacked. NULL, or why it cannot be had. */
static char *vm_memory(struct container *c)
{
    int64_t memory = c->limits.memory, need, half;
    char *packed = vm_packed(c->image), *why = NULL;
    struct sysinfo machine;
    struct stat st;

    if (stat(packed, &st) < 0 || sysinfo(&machine) < 0)
        why = str_fmt("cannot look at %s: %s", packed, str_error(errno));
    free(packed);
    if (why)
        return why;
    need = 2 * (int64_t)st.st_size + RUNTIME_VM_MEMORY_MIN - (8ll << 20);
    half = (int64_t)machine.totalram * machine.mem_unit / 2;
    if (!memory) {
        memory = half < RUNTIME_VM_MEMORY ? half : RUNTIME_VM_MEMORY;
        memory = memory > need ? memory : need;
    }
    if (memory < need || need > 2 * half)
        return str_fmt("--runtime vm holds the whole image in the machine's memory: this one takes "
                       "--memory %lldm or more",
                       (long long)((need >> 20) + 1));
    c->vm_memory = memory;
    return NULL;
}

char *runtime_vm_config(struct container *c)
{
    char *path, *why = vm_memory(c);
    struct buf config = {0};
    int err;

    if (why)
        return why;
    vm_config(c, &config);
    path = container_path(c, "config.json");
    err = file_write(path, config.data, config.len, 0600);
    free(path);
    buf_free(&config);
    return err ? str_fmt("cannot write the VM's configuration: %s", str_error(-err)) : NULL;
}

void runtime_vm_order(struct container *c, struct order *o)
{
    const struct limits *l = &c->limits;

    o->own = container_path(c, "");
    o->initrd = vm_packed(c->image);
    o->config = container_path(c, "config.json");
    o->memory = (uint64_t)c->vm_memory >> 20;
    o->cpus = l->nano_cpus ? (uint64_t)(l->nano_cpus + 999999999) / 1000000000 : 1;
}
