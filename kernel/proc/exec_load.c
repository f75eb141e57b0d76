/* SPDX-License-Identifier: MIT
 *
 * Building a program's address space: ELF segments of the program and of its interpreter, the stack
 * with arguments, environment and auxiliary vector in the layout of the x86-64 psABI (3.4.1).
 */
#include "lib/err.h"
#include "lib/random.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "obj/file.h"
#include "vfs/vfs.h"
#include "proc/exec.h"
#include "proc/nsset.h"
#include "proc/vdso.h"
#include "vm/aspace.h"

/* Space that is left for the stack below its top, whatever its limit is at the start. */
#define STACK_SPACE_MIN (128UL << 20)
#define STACK_SPACE_MAX (USER_MAX / 6 * 5)
#define STACK_FIRST (128UL << 10) /* what a new stack has beside the arguments */
#define PIE_BASE 0x555555554000UL
#define RANDOM_PAGES(bits) ((random_u64() & ((1UL << (bits)) - 1)) << PAGE_SHIFT)

enum auxv_type {
    AT_NULL = 0,
    AT_PHDR = 3,
    AT_PHENT = 4,
    AT_PHNUM = 5,
    AT_PAGESZ = 6,
    AT_BASE = 7,
    AT_FLAGS = 8,
    AT_ENTRY = 9,
    AT_UID = 11,
    AT_EUID = 12,
    AT_GID = 13,
    AT_EGID = 14,
    AT_PLATFORM = 15,
    AT_HWCAP = 16,
    AT_CLKTCK = 17,
    AT_SECURE = 23,
    AT_RANDOM = 25,
    AT_HWCAP2 = 26,
    AT_EXECFN = 31,
    AT_SYSINFO_EHDR = 33,
    AT_MINSIGSTKSZ = 51,
};

static unsigned exec_prot(u32 elf_flags)
{
    return (elf_flags & ELF_R ? PT_READ : 0) | (elf_flags & ELF_W ? PT_WRITE : 0) |
           (elf_flags & ELF_X ? PT_EXEC : 0);
}

static int exec_map_anonymous(struct aspace *as, u64 start, u64 end, unsigned prot, u32 flags)
{
    struct map_request req = {.addr = start,
                              .len = end - start,
                              .prot = (u8)prot,
                              .max_prot = PT_READ | PT_WRITE | PT_EXEC,
                              .flags = flags,
                              .fixed = true};
    u64 at;

    return end > start ? aspace_map(as, &req, &at) : 0;
}

static int exec_map_file(struct aspace *as, struct file *f, u64 start, u64 end, u64 offset,
                         unsigned prot)
{
    struct map_request req = {.addr = start,
                              .len = end - start,
                              .prot = (u8)prot,
                              .max_prot = PT_READ | PT_WRITE | PT_EXEC,
                              .fixed = true,
                              .offset = offset,
                              .file = f};
    u64 at;

    if (!f->ops->mmap)
        return -ENODEV;
    int err = f->ops->mmap(f, &req);
    if (err)
        return err;
    req.max_prot = PT_READ | PT_WRITE | PT_EXEC; /* private: writes go to copies */
    err = aspace_map(as, &req, &at);
    if (req.object)
        mem_object_put(req.object);
    return err;
}

/* One PT_LOAD at bias: its file pages, the zeroed rest of the last one, then fresh pages. */
static int exec_map_segment(struct aspace *as, struct file *f, const struct elf_segment *s,
                            u64 bias)
{
    unsigned prot = exec_prot(s->flags);
    u64 start = ALIGN_DOWN(bias + s->vaddr, PAGE_SIZE), skew = bias + s->vaddr - start;
    u64 file_end = bias + s->vaddr + s->file_size, mem_end = bias + s->vaddr + s->mem_size;
    u64 page_end = PAGE_ALIGN(file_end);
    int err = 0;

    if (s->file_size) {
        if (s->file_off < skew || !IS_ALIGNED(s->file_off - skew, PAGE_SIZE))
            return -ENOEXEC;
        err = exec_map_file(as, f, start, page_end, s->file_off - skew, prot);
    } else {
        page_end = start;
    }
    if (!err && mem_end > page_end)
        err = exec_map_anonymous(as, page_end, PAGE_ALIGN(mem_end), prot, 0);
    if (!err && s->file_size && mem_end > file_end && file_end < page_end && prot & PT_WRITE) {
        static const char zeros[PAGE_SIZE];
        u64 n = page_end - file_end; /* what the file holds there is not the program's */
        if (aspace_write(as, file_end, zeros, n, true) != (ssize_t)n)
            err = -EFAULT;
    }
    return err;
}

static int exec_map_image(struct aspace *as, struct file *f, const struct elf_image *img, u64 bias)
{
    for (unsigned i = 0; i < img->count; i++) {
        int err = exec_map_segment(as, f, &img->segments[i], bias);
        if (err)
            return err;
    }
    return 0;
}

/* The program headers' address in memory when no PT_PHDR tells it. */
static u64 exec_phdr_address(const struct elf_image *img)
{
    if (img->phdr_vaddr)
        return img->phdr_vaddr;
    for (unsigned i = 0; i < img->count; i++) {
        const struct elf_segment *s = &img->segments[i];
        if (img->phdr_off >= s->file_off && img->phdr_off < s->file_off + s->file_size)
            return s->vaddr + img->phdr_off - s->file_off;
    }
    return 0;
}

static void exec_note_extent(struct aspace *as, const struct elf_image *img, u64 bias)
{
    for (unsigned i = 0; i < img->count; i++) {
        const struct elf_segment *s = &img->segments[i];
        u64 start = bias + s->vaddr, end = start + s->mem_size;
        if (s->flags & ELF_X) {
            as->code_start = as->code_start ? MIN(as->code_start, start) : start;
            as->code_end = MAX(as->code_end, end);
        }
        if (s->flags & ELF_W) {
            as->data_start = as->data_start ? MIN(as->data_start, start) : start;
            as->data_end = MAX(as->data_end, start + s->file_size);
        }
    }
    as->brk_start = as->brk = PAGE_ALIGN(bias + img->high) + RANDOM_PAGES(13);
}

/* By stat: an overlay's file has no page cache of its own. 0 when it cannot be found out. */
static u64 exec_file_size(struct file *f)
{
    struct path p = {f->mount, f->dentry};
    struct kstat st;

    return vfs_stat(&p, &st) ? 0 : st.size;
}

/* The headers of f, whose first n bytes are in head; the table of program headers may lie behind
 * them, where tools that add to a finished program put it. */
static int exec_parse(struct file *f, const char *head, size_t n, struct elf_image *img)
{
    u64 size = exec_file_size(f), at;
    int err = elf_parse(head, n, size, img);
    size_t len;
    char *table;

    if (err != -E2BIG)
        return err;
    err = elf_find_table(head, n, size, &at, &len);
    if (err)
        return err;
    table = kmalloc(len);
    if (!table)
        return -ENOMEM;
    err = file_read_kernel(f, table, len, (loff_t)at) == (ssize_t)len
              ? elf_parse_table(head, n, table, size, img)
              : -ENOEXEC;
    kfree(table);
    return err;
}

static int exec_load_interp(struct exec_job *j, const struct elf_image *prog)
{
    struct elf_image img;
    struct file *f;
    u64 base;
    char *path = kzalloc(ELF_INTERP_MAX + 1);

    if (!path)
        return -ENOMEM;
    ssize_t n = file_read_kernel(j->file, path, prog->interp_len + 1, (loff_t)prog->interp_off);
    int err = n == (ssize_t)prog->interp_len + 1 && !path[prog->interp_len] ? exec_open(path, &f)
                                                                            : -ENOEXEC;
    kfree(path);
    if (err)
        return err;
    char *head = page_alloc_virt(0, PA_ZERO);
    n = head ? file_read_kernel(f, head, PAGE_SIZE, 0) : -ENOMEM;
    err = n < 0 ? (int)n : exec_parse(f, head, (size_t)n, &img);
    if (!err && !img.dynamic)
        err = -ENOEXEC;
    if (!err) {
        /* Space is found once for the whole image; its segments then replace it. */
        u64 low = ALIGN_DOWN(img.low, PAGE_SIZE), len = PAGE_ALIGN(img.high) - low;
        struct map_request whole = {.len = len, .max_prot = PT_READ, .flags = AREA_NORESERVE};
        err = aspace_map(j->aspace, &whole, &base);
        if (!err)
            err = aspace_unmap(j->aspace, base, len);
        if (!err)
            err = exec_map_image(j->aspace, f, &img, base - low);
        if (!err) {
            j->interp_base = base - low;
            j->entry = base - low + img.entry;
        }
    }
    if (head)
        page_free_virt(head, 0);
    /* execve(2): it is not writable while it is loaded, and is from here on, though still open. */
    file_allow_writers(f);
    file_put(f);
    return err;
}

static int exec_load_program(struct exec_job *j)
{
    struct elf_image img;
    int err = exec_parse(j->file, j->head, j->head_len, &img);

    if (err)
        return err == -ENOMEM ? err : -ENOEXEC;
    u64 bias = 0;
    if (img.dynamic) {
        bias = ALIGN_DOWN(PIE_BASE + RANDOM_PAGES(26), MAX(img.max_align, PAGE_SIZE)) -
               ALIGN_DOWN(img.low, PAGE_SIZE);
    }
    err = exec_map_image(j->aspace, j->file, &img, bias);
    if (err)
        return err;
    exec_note_extent(j->aspace, &img, bias);
    u64 phdr = exec_phdr_address(&img);
    j->phdr = phdr ? bias + phdr : 0;
    j->phent_count = img.phdr_count;
    j->exec_stack = img.exec_stack;
    j->prog_entry = j->entry = bias + img.entry;
    return img.interp_len ? exec_load_interp(j, &img) : 0;
}

/* Where the stack ends, and what is mapped without a place of its own: far enough below. */
static void exec_place_stack(struct exec_job *j)
{
    u64 space = MIN(MAX(rlimit_current(RLIMIT_STACK), STACK_SPACE_MIN), STACK_SPACE_MAX);

    j->stack_top = USER_MAX - PAGE_SIZE - RANDOM_PAGES(18);
    j->aspace->mmap_base = PAGE_ALIGN(j->stack_top - space - (1UL << 20)) - RANDOM_PAGES(18);
}

/* What the arguments need, and a first stretch as far as the limit allows; it grows by faults. */
static int exec_map_stack(struct exec_job *j)
{
    u64 words = j->argv->count + j->envp->count + 64UL;
    u64 need = PAGE_ALIGN(j->argv->len + j->envp->len + words * sizeof(u64) + PATH_MAX);
    u64 size = MIN(need + STACK_FIRST, rlimit_current(RLIMIT_STACK) & PAGE_MASK);

    unsigned prot = PT_READ | PT_WRITE | (j->exec_stack ? PT_EXEC : 0);

    return exec_map_anonymous(j->aspace, j->stack_top - MAX(size, need), j->stack_top, prot,
                              AREA_GROWSDOWN | AREA_NORESERVE);
}

#define PUSH_PART (64UL << 10) /* of the strings, of which there may be megabytes */

static int exec_push(struct exec_job *j, u64 *sp, const void *data, size_t n)
{
    const char *from = data;

    *sp -= n;
    for (size_t at = 0; at < n; at += PUSH_PART) {
        size_t part = MIN(n - at, PUSH_PART);

        if (aspace_write(j->aspace, *sp + at, from + at, part, true) != (ssize_t)part)
            return -E2BIG;
        cond_yield();
    }
    return 0;
}

struct auxv_builder {
    u64 *word;
    unsigned n;
};

static void auxv_add(struct auxv_builder *b, u64 type, u64 value)
{
    b->word[b->n++] = type;
    b->word[b->n++] = value;
}

static void exec_fill_auxv(struct exec_job *j, struct auxv_builder *b, u64 random_at,
                           u64 platform_at, u64 execfn_at)
{
    const struct cred *c = j->cred;
    u32 eax = 1, ebx, ecx = 0, edx;

    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    if (j->aspace->vdso)
        auxv_add(b, AT_SYSINFO_EHDR, j->aspace->vdso);
    auxv_add(b, AT_HWCAP, edx);
    auxv_add(b, AT_PAGESZ, PAGE_SIZE);
    auxv_add(b, AT_CLKTCK, 100);
    auxv_add(b, AT_PHDR, j->phdr);
    auxv_add(b, AT_PHENT, 56);
    auxv_add(b, AT_PHNUM, j->phent_count);
    auxv_add(b, AT_BASE, j->interp_base);
    auxv_add(b, AT_FLAGS, 0);
    auxv_add(b, AT_ENTRY, j->prog_entry);
    auxv_add(b, AT_UID, user_ns_uid(c->user_ns, c->uid));
    auxv_add(b, AT_EUID, user_ns_uid(c->user_ns, c->euid));
    auxv_add(b, AT_GID, user_ns_gid(c->user_ns, c->gid));
    auxv_add(b, AT_EGID, user_ns_gid(c->user_ns, c->egid));
    auxv_add(b, AT_SECURE, j->secure);
    auxv_add(b, AT_RANDOM, random_at);
    auxv_add(b, AT_HWCAP2, 0);
    auxv_add(b, AT_EXECFN, execfn_at);
    auxv_add(b, AT_PLATFORM, platform_at);
    auxv_add(b, AT_MINSIGSTKSZ, ALIGN_UP(fpu_size() + 640UL, 64UL));
    auxv_add(b, AT_NULL, 0);
}

/* Pointers to the strings that lie at `at`. */
static unsigned exec_pointers(u64 *out, const struct exec_strings *s, u64 at)
{
    const char *p = s->buf;

    for (u32 i = 0; i < s->count; i++) {
        size_t n = strlen(p) + 1;

        out[i] = at;
        at += n;
        p += n;
        cond_yield(); /* all of them together may be megabytes */
    }
    out[s->count] = 0;
    return s->count + 1;
}

static int exec_build_stack(struct exec_job *j)
{
    struct aspace *as = j->aspace;
    u8 random[16];
    u64 sp, execfn, platform, random_at;
    int err = exec_map_stack(j);

    if (err)
        return err;
    sp = j->stack_top - 8;
    if ((err = exec_push(j, &sp, j->called, strlen(j->called) + 1)))
        return err;
    execfn = sp;
    if ((err = exec_push(j, &sp, j->envp->buf, j->envp->len)))
        return err;
    as->env_start = sp;
    as->env_end = sp + j->envp->len;
    if ((err = exec_push(j, &sp, j->argv->buf, j->argv->len)))
        return err;
    as->arg_start = sp;
    as->arg_end = sp + j->argv->len;
    random_bytes(random, sizeof(random));
    sp = ALIGN_DOWN(sp, 16UL);
    if ((err = exec_push(j, &sp, "x86_64", 7)))
        return err;
    platform = sp;
    sp = ALIGN_DOWN(sp, 16UL);
    if ((err = exec_push(j, &sp, random, sizeof(random))))
        return err;
    random_at = sp;

    size_t words = 1 + j->argv->count + 1 + j->envp->count + 1 + 48;
    u64 *table = kcalloc(words, sizeof(u64));
    if (!table)
        return -ENOMEM;
    unsigned n = 0;
    table[n++] = j->argv->count;
    n += exec_pointers(table + n, j->argv, as->arg_start);
    n += exec_pointers(table + n, j->envp, as->env_start);
    struct auxv_builder aux = {table + n, 0};
    exec_fill_auxv(j, &aux, random_at, platform, execfn);
    memcpy(as->auxv, aux.word, aux.n * sizeof(u64));
    n += aux.n;
    sp = ALIGN_DOWN(sp - n * sizeof(u64), 16UL);
    err = aspace_write(as, sp, table, n * sizeof(u64), true) == (ssize_t)(n * sizeof(u64)) ? 0
                                                                                           : -E2BIG;
    kfree(table);
    j->sp = as->stack_start = sp;
    return err;
}

int exec_load(struct exec_job *j)
{
    struct cgroup *cg = cgroup_of(&current_process()->cgroup);

    j->aspace = aspace_create(&cg->memory);
    cgroup_put(cg);
    if (!j->aspace)
        return -ENOMEM;
    file_get(j->file);
    j->aspace->exe = j->file;
    exec_place_stack(j);
    /* First, where mmap_base is: an interpreter then finds its place below. */
    int err = vdso_map(j->aspace, current_task()->ns->time);
    if (!err)
        err = exec_load_program(j);
    if (!err)
        err = exec_build_stack(j);
    return err;
}
