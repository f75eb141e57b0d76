// SPDX-License-Identifier: MIT
// The verbs that show what there is: images, ps, inspect, version, info, top.
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"

static struct json *get(const char *path)
{
    struct buf answer = {0};
    struct json *j;

    if (cli_call("GET", path, NULL, &answer) != 200) {
        cli_error(&answer);
        exit(1);
    }
    j = cli_json(&answer);
    buf_free(&answer);
    return j;
}

static void header(struct table *t, const char *const *names, size_t n)
{
    t->columns = n;
    for (size_t i = 0; i < n; i++)
        table_cell(t, str_dup(names[i]));
}

static char *short_id(const char *id, bool full)
{
    if (!id)
        return str_dup("");
    if (full)
        return str_dup(id);
    return str_fmt("%.12s", str_starts(id, "sha256:") ? id + 7 : id);
}

static void image_row(struct table *t, const struct json *img, const char *tag, bool full)
{
    const char *colon = tag ? strrchr(tag, ':') : NULL;

    table_cell(t, colon ? str_dupn(tag, (size_t)(colon - tag)) : str_dup("<none>"));
    table_cell(t, str_dup(colon ? colon + 1 : "<none>"));
    table_cell(t, short_id(json_str(img, "Id"), full));
    table_cell(t, json_int(img, "Created", 0) ? human_ago(json_int(img, "Created", 0))
                                              : str_dup("N/A"));
    table_cell(t, human_size((double)json_int(img, "Size", 0)));
}

int verb_images(int argc, char **argv)
{
    static const char *const names[] = {"REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"};
    bool quiet = false, full = false, all = false;
    const struct opt opts[] = {{'q', "quiet", OPT_BOOL, &quiet},
                               {'a', "all", OPT_BOOL, &all},
                               {0, "no-trunc", OPT_BOOL, &full}};
    struct table t = {0};
    struct json *list;
    int first = opt_parse("images", opts, 3, argc, argv, true);

    opt_operands("images", argc - first, 0, 1);
    if (first < argc) {
        struct buf f = {0};
        struct jw w = {.out = &f};

        jw_object(&w, NULL);
        jw_object(&w, "reference");
        jw_bool(&w, argv[first], true);
        jw_object_end(&w);
        jw_object_end(&w);
        list = get(cli_path("/images/json?filters=%s", cli_encode(f.data)));
    } else {
        list = get("/images/json");
    }
    header(&t, names, 5);
    for (struct json *img = list->child; img; img = img->next) {
        struct json *tag = json_list(img, "RepoTags");

        if (quiet) {
            puts(short_id(json_str(img, "Id"), full));
            continue;
        }
        if (!tag)
            image_row(&t, img, NULL, full);
        for (; tag; tag = tag->next)
            image_row(&t, img, tag->str, full);
    }
    if (!quiet)
        table_print(&t);
    return 0;
}

/* In quotes, and cut to twenty characters as Docker does. */
static char *command_cell(const char *text, bool full)
{
    if (full || strlen(text) <= 18)
        return str_fmt("\"%s\"", text);
    return str_fmt("\"%.17s\xe2\x80\xa6\"", text);
}

static void container_row(struct table *t, const struct json *c, bool full)
{
    struct json *name = json_list(c, "Names");
    const char *command = json_str(c, "Command");

    table_cell(t, short_id(json_str(c, "Id"), full));
    table_cell(t, str_dup(json_str(c, "Image")));
    table_cell(t, command_cell(command ? command : "", full));
    table_cell(t, human_ago(json_int(c, "Created", 0)));
    table_cell(t, str_dup(json_str(c, "Status")));
    table_cell(t, str_dup(""));
    table_cell(t, str_dup(name && name->str ? name->str + 1 : ""));
}

/* --filter KEY=VALUE options as the engine wants them. */
static char *filters_json(const struct opt_list *l)
{
    struct buf b = {0};
    struct jw w = {.out = &b};

    jw_object(&w, NULL);
    for (int i = 0; i < l->n; i++) {
        const char *equals = strchr(l->item[i], '=');
        char *key;

        if (!equals)
            cli_usage("invalid argument \"%s\" for \"-f, --filter\" flag: bad format of filter "
                      "(expected name=value)",
                      l->item[i]);
        key = str_dupn(l->item[i], (size_t)(equals - l->item[i]));
        jw_object(&w, key);
        jw_bool(&w, equals + 1, true);
        jw_object_end(&w);
        free(key);
    }
    jw_object_end(&w);
    return buf_take(&b);
}

int verb_ps(int argc, char **argv)
{
    static const char *const names[] = {"CONTAINER ID", "IMAGE", "COMMAND", "CREATED",
                                        "STATUS",       "PORTS", "NAMES"};
    bool all = false, quiet = false, full = false, latest = false;
    const char *last = "0";
    struct opt_list filters = {0};
    const struct opt opts[] = {
        {'a', "all", OPT_BOOL, &all},     {'q', "quiet", OPT_BOOL, &quiet},
        {0, "no-trunc", OPT_BOOL, &full}, {'l', "latest", OPT_BOOL, &latest},
        {'n', "last", OPT_STR, &last},    {'f', "filter", OPT_LIST, &filters},
    };
    struct table t = {0};
    struct json *list;

    opt_operands("ps", argc - opt_parse("ps", opts, 6, argc, argv, true), 0, 0);
    list = get(cli_path("/containers/json?all=%d&limit=%s&filters=%s", all,
                        latest ? "1" : cli_encode(last), cli_encode(filters_json(&filters))));
    header(&t, names, 7);
    for (struct json *c = list->child; c; c = c->next) {
        if (quiet)
            puts(short_id(json_str(c, "Id"), full));
        else
            container_row(&t, c, full);
    }
    if (!quiet)
        table_print(&t);
    return 0;
}

/* Indented by four, as `docker inspect` prints. */
static void pretty(const struct json *j, int depth)
{
    struct buf b = {0};

    if ((j->type != JSON_ARRAY && j->type != JSON_OBJECT) || !j->child) {
        json_write(&b, j);
        fputs(b.data, stdout);
        buf_free(&b);
        return;
    }
    puts(j->type == JSON_ARRAY ? "[" : "{");
    for (const struct json *c = j->child; c; c = c->next) {
        printf("%*s", 4 * (depth + 1), "");
        if (j->type == JSON_OBJECT)
            printf("\"%s\": ", c->key);
        pretty(c, depth + 1);
        puts(c->next ? "," : "");
    }
    printf("%*s%c", 4 * depth, "", j->type == JSON_ARRAY ? ']' : '}');
}

static void format_value(const struct json *j, bool as_json)
{
    struct buf b = {0};

    if (!j) {
        fputs("<no value>", stdout);
    } else if (j->type == JSON_STRING && !as_json) {
        fputs(j->str, stdout);
    } else {
        json_write(&b, j);
        fputs(b.data, stdout);
        buf_free(&b);
    }
}

/* Of Go's templates, the part that people use with inspect: {{.A.B}} and {{json .A}}. */
static void format_print(const struct json *j, const char *format)
{
    while (*format) {
        const char *open = strstr(format, "{{"), *close = open ? strstr(open, "}}") : NULL;
        const struct json *at = j;
        bool as_json = false;
        char *path, *save, *part;

        if (!close) {
            fputs(format, stdout);
            break;
        }
        printf("%.*s", (int)(open - format), format);
        path = str_dupn(open + 2, (size_t)(close - open - 2));
        part = strtok_r(path, " .", &save);
        if (part && !strcmp(part, "json")) {
            as_json = true;
            part = strtok_r(NULL, " .", &save);
        }
        for (; part; part = strtok_r(NULL, " .", &save))
            at = json_get(at, part);
        format_value(at, as_json);
        free(path);
        format = close + 2;
    }
    putchar('\n');
}

static struct json *inspect_one(const char *name, const char *type)
{
    static const char *const kinds[] = {"containers", "images"};

    for (int i = 0; i < 2; i++) {
        struct buf answer = {0};
        struct json *j = NULL;

        if (type && !str_starts(kinds[i], type))
            continue;
        if (cli_call("GET", cli_path("/%s/%s/json", kinds[i], cli_encode(name)), NULL, &answer) ==
            200)
            j = cli_json(&answer);
        buf_free(&answer);
        if (j)
            return j;
    }
    return NULL;
}

int verb_inspect(int argc, char **argv)
{
    const char *format = NULL, *type = NULL;
    const struct opt opts[] = {{'f', "format", OPT_STR, &format}, {0, "type", OPT_STR, &type}};
    int first = opt_parse("inspect", opts, 2, argc, argv, true), rc = 0;
    struct json *found = json_parse("[]", 2, NULL), **tail = &found->child;

    opt_operands("inspect", argc - first, 1, -1);
    for (int i = first; i < argc; i++) {
        struct json *j = inspect_one(argv[i], type);

        if (!j) {
            fprintf(stderr, "Error: No such %s: %s\n", type ? type : "object", argv[i]);
            rc = 1;
            continue;
        }
        if (format)
            format_print(j, format);
        *tail = j;
        tail = &j->next;
    }
    if (!format) {
        pretty(found, 0);
        putchar('\n');
    }
    return rc;
}

int verb_version(int argc, char **argv)
{
    static const char *const keys[] = {"Version",       "ApiVersion", "MinAPIVersion",
                                       "KernelVersion", "Os",         "Arch"};
    struct json *v;

    opt_operands("version", argc - opt_parse("version", NULL, 0, argc, argv, true), 0, 0);
    v = get("/version");
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        printf("%-14s %s\n", keys[i], json_str(v, keys[i]) ? json_str(v, keys[i]) : "");
    return 0;
}

int verb_info(int argc, char **argv)
{
    static const char *const keys[] = {"Containers",        "ContainersRunning",
                                       "ContainersStopped", "Images",
                                       "ServerVersion",     "Driver",
                                       "CgroupVersion",     "DefaultRuntime",
                                       "KernelVersion",     "OperatingSystem",
                                       "Architecture",      "NCPU",
                                       "MemTotal",          "Name",
                                       "DockerRootDir"};
    struct json *v, *w;

    opt_operands("info", argc - opt_parse("info", NULL, 0, argc, argv, true), 0, 0);
    v = get("/info");
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        printf("%-18s ", keys[i]);
        format_value(json_get(v, keys[i]), false);
        putchar('\n');
    }
    for (w = json_list(v, "Warnings"); w; w = w->next)
        fprintf(stderr, "%s\n", w->str ? w->str : "");
    return 0;
}

int verb_top(int argc, char **argv)
{
    struct table t = {0};
    struct json *top, *cell;

    opt_parse("top", NULL, 0, argc, argv, true);
    opt_operands("top", argc - 1, 1, -1);
    top = get(cli_path("/containers/%s/top", cli_encode(argv[1])));
    t.columns = json_count(json_get(top, "Titles"));
    if (!t.columns || t.columns > 16)
        return 1;
    for (cell = json_list(top, "Titles"); cell; cell = cell->next)
        table_cell(&t, str_dup(cell->str));
    for (struct json *row = json_list(top, "Processes"); row; row = row->next)
        for (cell = row->child; cell; cell = cell->next)
            table_cell(&t, str_dup(cell->str));
    table_print(&t);
    return 0;
}
