// SPDX-License-Identifier: MIT
// bothy: the console's client of the engine. Docker's verbs, flags, columns and exit statuses.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/buf.h"
#include "lib/client.h"
#include "lib/json.h"

#define CLI_USAGE 125 /* what a bad command line exits with */

/* ---- options (opt.c) ------------------------------------------------------------------------ */

enum opt_type { OPT_BOOL, OPT_STR, OPT_LIST };

struct opt_list {
    const char **item;
    int n;
};

struct opt {
    char letter; /* 0 when there is none */
    const char *name;
    enum opt_type type;
    void *value; /* bool *, const char ** or struct opt_list * */
};

/* Reads options up to the first operand (or all of them, interspersed). Returns the index of the
 * first operand in argv, which is permuted when interspersed; exits with CLI_USAGE on a bad one. */
int opt_parse(const char *verb, const struct opt *opts, size_t n, int argc, char **argv,
              bool interspersed);
/* Exits with CLI_USAGE unless the number of operands is right; max < 0: any. */
void opt_operands(const char *verb, int have, int min, int max);
_Noreturn void cli_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- talking to the engine (call.c) ---------------------------------------------------------- */

void cli_host(const char *host); /* where it is: unix://PATH */
/* Connects, or says why not and exits with 125 / 1. */
void cli_connect(struct client *c);
/* One whole call on a fresh connection: status; the answer in `out`, which may be NULL. */
int cli_call(const char *method, const char *path, const char *json, struct buf *out);
/* Whether an answer that was read to client_read()'s `n` is whole; says so where not. */
bool cli_ended(ssize_t n);
/* The engine's message in an error answer; static. */
const char *cli_message(const struct buf *answer);
/* "Error response from daemon: ..." on standard error. */
void cli_error(const struct buf *answer);
struct json *cli_json(const struct buf *answer); /* exits when it is not JSON */
char *cli_path(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *cli_encode(const char *s);        /* URL-encoded */
struct json *cli_get(const char *path); /* exits when the answer is not 200 */
void cli_pretty(const struct json *j);  /* as inspect prints it */

/* ---- streams (stream.c) ---------------------------------------------------------------------- */

struct stream {
    struct client *c; /* after the engine has switched protocols */
    bool tty;
    bool in;            /* pass our standard input */
    const char *target; /* "containers/ID" or "exec/ID" for resizes */
    const char *kill;   /* container id for signals; NULL: do not proxy */
    bool detached;      /* out: the user typed ctrl-p ctrl-q */
};

void stream_prepare(bool proxy); /* blocks the signals that stream_run will pass on */
/* Until the engine ends the stream; false, and a message, where that is within a frame. */
bool stream_run(struct stream *s);
void stream_resize(const struct stream *s);
/* Copies a framed or raw answer body to standard output and error; false, and a message, where that
 * is cut off. */
bool stream_copy(struct client *c, bool tty);

/* ---- tables (table.c) ------------------------------------------------------------------------ */

#define TABLE_COLUMNS 16

struct table {
    char **cell;
    size_t cells, columns;
};

void table_cell(struct table *t, char *text); /* takes text */
void table_print(struct table *t);            /* and frees it */
char *human_size(double bytes);
char *human_ago(long long epoch);

/* ---- --format (format.c, format_eval.c) ---- */
/* A template that is not understood ends the program with a usage error. */

void format_value(struct buf *out, const struct json *j, bool as_json);
void format_text(struct buf *out, const struct json *j, const char *format);
/* Prints a listing. rows: an array of objects; titles: their keys' column titles. */
void format_rows(const struct json *rows, const struct json *titles, const char *format);

/* ---- verbs ---- */

int verb_run(int argc, char **argv);
int verb_create(int argc, char **argv);
int verb_start(int argc, char **argv);
int verb_exec(int argc, char **argv);
int verb_attach(int argc, char **argv);
int verb_logs(int argc, char **argv);
int verb_load(int argc, char **argv);
int verb_images(int argc, char **argv);
int verb_rmi(int argc, char **argv);
int verb_tag(int argc, char **argv);
int verb_pull(int argc, char **argv);
void create_help(void); /* the options of run and create, as they are read */
int verb_push(int argc, char **argv);
int verb_login(int argc, char **argv);
int verb_ps(int argc, char **argv);
int verb_stop(int argc, char **argv);
int verb_kill(int argc, char **argv);
int verb_wait(int argc, char **argv);
int verb_rm(int argc, char **argv);
int verb_volume(int argc, char **argv);
int verb_network(int argc, char **argv);
int verb_net(int argc, char **argv);
int verb_pause(int argc, char **argv);
int verb_inspect(int argc, char **argv);
int verb_version(int argc, char **argv);
int verb_info(int argc, char **argv);
int verb_events(int argc, char **argv);
int verb_top(int argc, char **argv);
int verb_vm(int argc, char **argv);
