// SPDX-License-Identifier: MIT
// The verbs of two words: volumes and networks.
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/str.h"

struct command {
    const char *name;
    int (*fn)(int argc, char **argv);
};

/* argv[0] becomes what the command is called in messages. */
static int command_run(const struct command *commands, size_t n, int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < n; i++)
        if (!strcmp(commands[i].name, argv[1])) {
            argv[1] = str_fmt("%s %s", argv[0], argv[1]);
            return commands[i].fn(argc - 1, argv + 1);
        }
    fprintf(stderr, "bothy %s: '%s' is not one of its commands:", argv[0], argc > 1 ? argv[1] : "");
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, " %s", commands[i].name);
    fputc('\n', stderr);
    return 1;
}

/* KEY=VALUE filters and labels: {"KEY":["VALUE",...]}, encoded for a query. */
static char *filters_query(const struct opt_list *list)
{
    struct buf b = {0};
    struct jw w = {.out = &b};

    jw_object(&w, NULL);
    for (int i = 0; i < list->n; i++) {
        const char *equals = strchr(list->item[i], '=');
        char *key;

        if (!equals)
            cli_usage("invalid argument \"%s\" for \"-f, --filter\" flag: bad format of filter "
                      "(expected name=value)",
                      list->item[i]);
        key = str_dupn(list->item[i], (size_t)(equals - list->item[i]));
        jw_array(&w, key);
        for (int k = 0; k < list->n; k++) /* one key has all its values in one place */
            if (str_starts(list->item[k], key) && list->item[k][strlen(key)] == '=')
                jw_str(&w, NULL, list->item[k] + strlen(key) + 1);
        jw_array_end(&w);
        free(key);
    }
    jw_object_end(&w);
    return cli_encode(b.data);
}

static void jw_options(struct jw *w, const char *key, const struct opt_list *list)
{
    jw_object(w, key);
    for (int i = 0; i < list->n; i++) {
        const char *equals = strchr(list->item[i], '=');
        char *name = str_dupn(list->item[i],
                              equals ? (size_t)(equals - list->item[i]) : strlen(list->item[i]));

        jw_str(w, name, equals ? equals + 1 : "");
        free(name);
    }
    jw_object_end(w);
}

/* Prints `key` of a good answer to `body`, or its error. */
static int call_named(const char *path, struct buf *body, const char *key)
{
    struct buf answer = {0};
    struct json *j;

    if (cli_call("POST", path, body->data, &answer) >= 300) {
        cli_error(&answer);
        return 1;
    }
    j = cli_json(&answer);
    puts(json_str(j, key) ? json_str(j, key) : "");
    return 0;
}

static int remove_each(const char *kind, int argc, char **argv)
{
    bool force = false;
    const struct opt opts[] = {{'f', "force", OPT_BOOL, &force}};
    int first = opt_parse(argv[0], opts, 1, argc, argv, true), rc = 0;

    opt_operands(argv[0], argc - first, 1, -1);
    for (int i = first; i < argc; i++) {
        struct buf answer = {0};

        if (cli_call("DELETE", cli_path("/%s/%s?force=%d", kind, cli_encode(argv[i]), force), NULL,
                     &answer) >= 300) {
            cli_error(&answer);
            rc = 1;
        } else {
            puts(argv[i]);
        }
        buf_free(&answer);
    }
    return rc;
}

static int inspect_each(const char *kind, int argc, char **argv)
{
    const char *format = NULL;
    const struct opt opts[] = {{'f', "format", OPT_STR, &format}};
    int first = opt_parse(argv[0], opts, 1, argc, argv, true), rc = 0;
    struct json *found = json_new(JSON_ARRAY), **tail = &found->child;

    opt_operands(argv[0], argc - first, 1, -1);
    for (int i = first; i < argc; i++) {
        struct buf answer = {0}, text = {0};
        struct json *j;

        if (cli_call("GET", cli_path("/%s/%s", kind, cli_encode(argv[i])), NULL, &answer) != 200) {
            cli_error(&answer);
            rc = 1;
            continue;
        }
        j = cli_json(&answer);
        if (format) {
            format_text(&text, j, format);
            puts(text.data ? text.data : "");
        }
        *tail = j;
        tail = &j->next;
    }
    if (!format)
        cli_pretty(found);
    return rc;
}

/* Asks at a terminal; elsewhere `force` is wanted. */
static bool agreed(const char *warning, bool force)
{
    int c;

    if (force)
        return true;
    printf("WARNING! %s\nAre you sure you want to continue? [y/N] ", warning);
    fflush(stdout);
    c = getchar();
    return c == 'y' || c == 'Y';
}

/* ---- volumes --------------------------------------------------------------------------------- */

static int volume_create(int argc, char **argv)
{
    const char *driver = "local", *name = "";
    struct opt_list labels = {0}, options = {0};
    const struct opt opts[] = {{'d', "driver", OPT_STR, &driver},
                               {0, "name", OPT_STR, &name},
                               {0, "label", OPT_LIST, &labels},
                               {'o', "opt", OPT_LIST, &options}};
    int first = opt_parse(argv[0], opts, 4, argc, argv, true);
    struct buf body = {0};
    struct jw w = {.out = &body};

    opt_operands(argv[0], argc - first, 0, 1);
    jw_object(&w, NULL);
    jw_str(&w, "Name", first < argc ? argv[first] : name);
    jw_str(&w, "Driver", driver);
    jw_options(&w, "DriverOpts", &options);
    jw_options(&w, "Labels", &labels);
    jw_object_end(&w);
    return call_named("/volumes/create", &body, "Name");
}

#define VOLUME_TITLES                                                                     \
    "{\"Driver\":\"DRIVER\",\"Name\":\"VOLUME NAME\",\"Scope\":\"SCOPE\",\"Mountpoint\":" \
    "\"MOUNTPOINT\",\"Labels\":\"LABELS\"}"

static void labels_text(struct jw *w, const struct json *labels)
{
    struct buf b = {0};

    for (struct json *j = labels && labels->type == JSON_OBJECT ? labels->child : NULL; j;
         j = j->next)
        buf_fmt(&b, "%s%s=%s", b.len ? "," : "", j->key, j->str ? j->str : "");
    jw_str(w, "Labels", b.data);
    buf_free(&b);
}

static void rows_print(struct buf *rows, const char *titles, const char *format)
{
    format_rows(json_parse(rows->data, rows->len, NULL), json_parse(titles, strlen(titles), NULL),
                format);
}

static int volume_list(int argc, char **argv)
{
    bool quiet = false;
    const char *format = "table {{.Driver}}\t{{.Name}}";
    struct opt_list filters = {0};
    const struct opt opts[] = {{'q', "quiet", OPT_BOOL, &quiet},
                               {'f', "filter", OPT_LIST, &filters},
                               {0, "format", OPT_STR, &format}};
    struct buf rows = {0};
    struct jw w = {.out = &rows};

    opt_operands(argv[0], argc - opt_parse(argv[0], opts, 3, argc, argv, true), 0, 0);
    jw_array(&w, NULL);
    for (struct json *v = json_list(
             cli_get(cli_path("/volumes?filters=%s", filters_query(&filters))), "Volumes");
         v; v = v->next) {
        static const char *const keys[] = {"Driver", "Name", "Scope", "Mountpoint"};

        jw_object(&w, NULL);
        for (int i = 0; i < 4; i++)
            jw_str(&w, keys[i], json_str(v, keys[i]));
        labels_text(&w, json_get(v, "Labels"));
        jw_object_end(&w);
    }
    jw_array_end(&w);
    rows_print(&rows, VOLUME_TITLES, quiet ? "{{.Name}}" : format);
    return 0;
}

static int volume_inspect(int argc, char **argv)
{
    return inspect_each("volumes", argc, argv);
}

static int volume_remove(int argc, char **argv)
{
    return remove_each("volumes", argc, argv);
}

static int volume_prune(int argc, char **argv)
{
    bool force = false, all = false;
    struct opt_list filters = {0};
    const struct opt opts[] = {{'f', "force", OPT_BOOL, &force},
                               {'a', "all", OPT_BOOL, &all},
                               {0, "filter", OPT_LIST, &filters}};
    struct buf answer = {0};
    struct json *j;

    opt_operands(argv[0], argc - opt_parse(argv[0], opts, 3, argc, argv, true), 0, 0);
    if (!agreed(all ? "This will remove all local volumes not used by at least one container."
                    : "This will remove anonymous local volumes not used by at least one "
                      "container.",
                force))
        return 1;
    if (all) {
        filters.item = mem_resize(filters.item, sizeof(char *) * (size_t)(filters.n + 1));
        filters.item[filters.n++] = "all=true";
    }
    if (cli_call("POST", cli_path("/volumes/prune?filters=%s", filters_query(&filters)), NULL,
                 &answer) != 200) {
        cli_error(&answer);
        return 1;
    }
    j = cli_json(&answer);
    if (json_list(j, "VolumesDeleted"))
        puts("Deleted Volumes:");
    for (struct json *v = json_list(j, "VolumesDeleted"); v; v = v->next)
        puts(v->str ? v->str : "");
    if (json_list(j, "VolumesDeleted"))
        putchar('\n');
    printf("Total reclaimed space: %s\n", human_size((double)json_int(j, "SpaceReclaimed", 0)));
    return 0;
}

int verb_volume(int argc, char **argv)
{
    static const struct command commands[] = {{"create", volume_create},
                                              {"ls", volume_list},
                                              {"inspect", volume_inspect},
                                              {"rm", volume_remove},
                                              {"prune", volume_prune}};

    return command_run(commands, sizeof(commands) / sizeof(commands[0]), argc, argv);
}

/* ---- networks -------------------------------------------------------------------------------- */

#define NETWORK_TITLES \
    "{\"ID\":\"NETWORK ID\",\"Name\":\"NAME\",\"Driver\":\"DRIVER\",\"Scope\":\"SCOPE\"}"

static int network_list(int argc, char **argv)
{
    bool quiet = false, full = false;
    const char *format = "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}";
    struct opt_list filters = {0};
    const struct opt opts[] = {{'q', "quiet", OPT_BOOL, &quiet},
                               {'f', "filter", OPT_LIST, &filters},
                               {0, "no-trunc", OPT_BOOL, &full},
                               {0, "format", OPT_STR, &format}};
    struct buf rows = {0};
    struct jw w = {.out = &rows};

    opt_operands(argv[0], argc - opt_parse(argv[0], opts, 4, argc, argv, true), 0, 0);
    jw_array(&w, NULL);
    for (struct json *n = cli_get(cli_path("/networks?filters=%s", filters_query(&filters)))->child;
         n; n = n->next) {
        const char *id = json_str(n, "Id");

        jw_object(&w, NULL);
        jw_fmt(&w, "ID", "%.*s", full ? 64 : 12, id ? id : "");
        jw_str(&w, "Name", json_str(n, "Name"));
        jw_str(&w, "Driver", json_str(n, "Driver"));
        jw_str(&w, "Scope", json_str(n, "Scope"));
        jw_object_end(&w);
    }
    jw_array_end(&w);
    rows_print(&rows, NETWORK_TITLES, quiet ? "{{.ID}}" : format);
    return 0;
}

static int network_inspect(int argc, char **argv)
{
    return inspect_each("networks", argc, argv);
}

int verb_network(int argc, char **argv)
{
    static const struct command commands[] = {{"ls", network_list}, {"inspect", network_inspect}};

    return command_run(commands, sizeof(commands) / sizeof(commands[0]), argc, argv);
}
