// SPDX-License-Identifier: MIT
// The child's half of a start, from the clone to execve: what makes a process a container's. The
// engine uses it for containers and execs, the guest agent for the application of a VM, so that
// the same image sees the same world behind either wall.
//
// It runs in a copy of its starter, so it may use the starter's objects but must change nothing
// that it shares with it but descriptors. Every failure is one sentence in runc's words, written
// to `sync`, from which clients derive the exit status (126, 127).
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct mount_spec {
    char *source;        /* host path; NULL for a tmpfs */
    char *target;        /* absolute and clean */
    char *options;       /* of a tmpfs: its file system's */
    char *mode;          /* the words as they were asked for, or NULL */
    char *volume;        /* its name, when it is one */
    unsigned long flags; /* MS_*; of a bind MS_RDONLY alone */
    bool file;           /* the source is known to be one */
    bool make;           /* the source is made when it is missing */
    bool anonymous;      /* the volume was made for this container */
    bool flat;           /* without the mounts below the source */
    bool fill;           /* a volume: what the image has there is copied into an empty one */
};

struct rlimit_spec {
    int resource;
    uint64_t soft, hard;
};

/* What one process is to be: no look-ups left but those inside the image. */
struct spec {
    char **argv;
    char **env;
    char *cwd;
    char *user;
    char **groups; /* further ones, names or numbers; or NULL */
    bool tty;
    bool open_stdin;
    bool stdin_once;
    bool privileged;
    bool no_new_privs;
    bool seccomp_off;
    uint64_t caps; /* bounding, permitted and effective set */
    unsigned rows, cols;
};

/* What the processes of one container share. */
struct shared_spec {
    char *hostname;
    char *domainname; /* or NULL */
    bool readonly_root;
    int64_t shm_size;
    bool no_shm;      /* no /dev/shm at all */
    bool host_cgroup; /* no cgroup namespace of its own */
    int oom_score_adj;
    struct mount_spec *mounts;
    int nmounts;
    struct rlimit_spec *rlimits;
    int nrlimits;
    /* lists that end with a NULL, judged; or NULL when there is none */
    char **sysctls; /* NAME=VALUE */
    char **extra_hosts, **dns, **dns_search, **dns_options;
    char **masked, **readonly_paths; /* NULL: the usual ones */
};

struct child {
    struct spec *spec;
    const struct shared_spec *shared;
    bool is_exec;
    bool first; /* the container has never run */
    bool based; /* its root has the base (base.h) */
    bool alone; /* no other process can change names in the root: no volume is there yet */
    int sync;
    int in, out, err;  /* -1 with a tty */
    int gate[2];       /* of an exec: birth.h */
    char terminal[32]; /* the slave's path, with a tty */
};

/* Writes the sentence to the starter and ends the child. */
_Noreturn void child_fail(struct child *ch, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Once, early in the starter: ignores SIGPIPE, and any other signal inherited as ignored gets its
 * default back, since programs would inherit that. */
void child_prepare(void);
/* First: default signals, a session of its own, out of the container's reach. Closes what the
 * starter had open but the conversation, the streams and fds[0..n), where -1 is none. */
void child_begin(struct child *ch, const int *fds, int n);
void child_names(struct child *ch); /* of its UTS namespace */
void child_loopback(struct child *ch);
/* Writes the sysctls while /proc/sys is still writable. Only namespaced names are let through. */
void child_sysctls(struct child *ch);
/* Opens a pty pair in the container's own devpts, makes the slave its terminal and sends the
 * master to the starter. */
void child_terminal(struct child *ch);
void child_stdio(struct child *ch);
/* root with these capabilities alone, the filter for `filter`, and no way to more. */
void child_limit(struct child *ch, uint64_t caps, uint64_t filter);
/* Of its capabilities these stay, for ever where there is no way to more. 0 or -errno. */
int child_keep(uint64_t caps);
/* The same, and none stays. */
int child_forgo(void);
/* Inside the container's root: terminal, last mounts, streams, limits, identity, program. */
_Noreturn void child_run(struct child *ch);

/* ---- the starter's side ---- */

/* One message from the child: bytes of its sentence, or the terminal's master in *master. Returns
 * as recvmsg does; 0 at the end, which without a sentence means that the program runs. The sender's
 * number, which the kernel gives, is in *sender; NULL where `sync` does not tell it. */
long child_listen(int sync, char *text, unsigned long size, int *master, pid_t *sender);
/* The exit status that clients give for a start's failure: 126, 127 or 125. */
int child_failure_status(const char *sentence);

/* ---- the system call filter (seccomp.c) ---- */

void seccomp_prepare(uint64_t caps); /* builds the filter ahead of the clone */
int seccomp_load(uint64_t caps);     /* 0 or -errno */
