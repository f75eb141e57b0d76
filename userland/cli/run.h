// SPDX-License-Identifier: MIT
// Shared by the verbs that hold a stream.
#pragma once

#include "cli/cli.h"

/* What of `run` concerns the client itself. */
struct run {
    bool detach, rm, stdin_open, tty, out, err;
    const char *name, *sig_proxy, *platform, *cidfile, *pull;
};

/* Creates the container that a command line of `run` or `create` asks for: its id, or exits. */
char *create_container(int argc, char **argv, struct run *run);
/* "Env": the lines of files (or NULL), then of the list; NAME alone has our own value, if any. */
void create_env(struct jw *w, const struct opt_list *files, const struct opt_list *l);
/* "Mounts" of --mount options (mount_option.c). */
void create_mounts(struct jw *w, const struct opt_list *l);

int run_error(const struct buf *answer); /* says it; CLI_USAGE */
/* The exit status for a start that failed, by the engine's words. */
int start_status(const struct buf *answer);
