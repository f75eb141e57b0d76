/* SPDX-License-Identifier: MIT
 *
 * exec's working state. exec.c decides what runs and with which rights; exec_load.c builds the
 * address space: segments, interpreter, stack.
 */
#pragma once

#include "arch/x86/trap.h"
#include "lib/elf.h"
#include "proc/proc.h"

/* Strings one after the other, each with its NUL. */
struct exec_strings {
    char *buf;
    size_t len, cap;
    u32 count;
};
int exec_strings_add(struct exec_strings *s, const char *text, size_t len) __must_check;
/* From a NULL-terminated vector of user pointers. 0, -EFAULT, -E2BIG, -ENOMEM. */
int exec_strings_copy_in(struct exec_strings *s, u64 user_vector) __must_check;
void exec_strings_free(struct exec_strings *s);

struct exec_job {
    struct file *file;  /* the program */
    bool file_owned;    /* a script led us to it: ours to put */
    const char *called; /* the name it was called by, a script's too: comm, AT_EXECFN */
    const char *path;   /* the name of what file is: an interpreter's after a script */
    char path_buf[256];
    struct exec_strings *argv, *envp; /* borrowed; argv is rewritten by scripts */
    char *head;                       /* the first page of file */
    size_t head_len;
    struct cred *cred;
    bool shared;     /* root, cwd and umask with a process that goes on as it is */
    bool set_id;     /* other ids by its set-id bits */
    bool unreadable; /* the caller may run the file but not read it */
    bool secure;     /* AT_SECURE */
    bool closed;     /* undumpable: so, or a file that its caller may run but not read */
    struct aspace *aspace;
    u64 entry, sp, stack_top;
    bool exec_stack; /* the program asks for a stack that may be executed */
    /* of the program, for auxv */
    u64 phdr, phent_count, prog_entry, interp_base;
};

/* exec_cred.c: the credentials the new program runs with, and who may look at it. 0, -EPERM,
 * -ENOMEM. */
int exec_creds(struct exec_job *j) __must_check;
/* Builds j->aspace, entry and stack. 0, -ENOEXEC, -ENOMEM, ... */
int exec_load(struct exec_job *j) __must_check;
/* Opens a name, or what has been found already, if current may execute it: a reference that keeps
 * the file from being opened for writing. 0, -EACCES, or the walk's errno. May sleep. */
int exec_open(const char *path, struct file **out) __must_check;
struct path;
int exec_open_path(const struct path *p, struct file **out) __must_check;
