// SPDX-License-Identifier: MIT
// The API's image half, but for load (api_load.c).
#include "engine/engine.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/filters.h"
#include "lib/str.h"

static struct image *api_image(struct call *call)
{
    struct image *img = image_find(call->name);

    if (!img)
        api_error(call->conn, 404, "No such image: %s%s", call->name,
                  strchr(call->name, ':') ? "" : ":latest");
    return img;
}

static int64_t image_created(const struct image *img)
{
    const char *text = json_str(img->config, "created");
    struct timespec ts = {0};

    return text && time_parse(text, &ts) ? ts.tv_sec : 0;
}

/* A shell pattern of the whole name, or of what stands before its tag; no '*' crosses a slash. */
static bool reference_match(const char *pattern, const char *ref)
{
    const char *at = strchr(ref, '@'), *tag = at ? at : strrchr(ref, ':');
    char name[IMAGE_REF_MAX + 1];

    if (filters_late()) /* asked for each name of an image, which may have any number */
        return false;
    if (!fnmatch(pattern, ref, FNM_PATHNAME))
        return true;
    snprintf(name, sizeof(name), "%.*s", tag ? (int)(tag - ref) : 0, ref);
    return !fnmatch(pattern, name, FNM_PATHNAME);
}

static char *reference_judge(const char *pattern)
{
    return strlen(pattern) <= IMAGE_REF_MAX
               ? NULL
               : str_fmt("invalid filter 'reference': longer than %d bytes", IMAGE_REF_MAX);
}

static bool reference_wanted(const struct json *filters, const char *ref)
{
    const struct json *refs = json_get(filters, "reference");
    bool wanted = !refs || !refs->child;

    if (wanted)
        return true;
    filters_enter();
    for (const struct json *r = refs->child; r && !wanted; r = r->next) {
        const char *text = refs->type == JSON_OBJECT ? r->key : r->str;

        wanted = text && reference_match(text, ref);
    }
    filters_leave();
    return wanted;
}

static void image_names_of(struct jw *w, struct image *img, const struct json *filters,
                           bool digests)
{
    for (int i = 0; i < img->ntags; i++) {
        const char *ref = img->tags[i]->ref;

        if (image_ref_is_digest(ref) == digests && reference_wanted(filters, ref))
            jw_str(w, NULL, ref);
    }
}

static void image_names(struct jw *w, struct image *img, const struct json *filters)
{
    image_tags_sort(img);
    jw_array(w, "RepoTags");
    image_names_of(w, img, filters, false);
    jw_array_end(w);
    jw_array(w, "RepoDigests");
    image_names_of(w, img, filters, true);
    jw_array_end(w);
}

static bool filter_reference(const void *o, const char *v)
{
    const struct image *img = o;

    for (int i = 0; i < img->ntags; i++)
        if (reference_match(v, img->tags[i]->ref))
            return true;
    return false;
}

static bool filter_dangling(const void *o, const char *v)
{
    return filter_true(v) == (image_tag_count(o) == 0);
}

static bool filter_label(const void *o, const char *v)
{
    const struct image *img = o;
    char *key = filter_label_key(v);
    bool is =
        filter_label_is(v, json_str(json_get(json_get(img->config, "config"), "Labels"), key));

    free(key);
    return is;
}

/* When the image that is meant was created; NULL when there is none. */
static char *meant_time(const char *v)
{
    const struct image *img = image_find(v);

    return img ? str_fmt("%lld", (long long)image_created(img)) : NULL;
}

/* Created before or after another one. */
static bool filter_before(const void *o, const char *v)
{
    int64_t than;

    return str_i64(v, &than) && image_created(o) < than;
}

static bool filter_since(const void *o, const char *v)
{
    int64_t than;

    return str_i64(v, &than) && image_created(o) > than;
}

static bool filter_until(const void *o, const char *v)
{
    long long at;

    return filter_time(v, &at) && image_created(o) < at;
}

static char *until_judge(const char *text)
{
    long long at;

    return filter_time(text, &at) ? NULL : str_fmt("invalid filter 'until': %s", text);
}

static const struct filter image_filters[] = {
    {"reference", filter_reference, false}, {"dangling", filter_dangling, false},
    {"label", filter_label, true},          {"before", filter_before, true},
    {"since", filter_since, true},          {"until", filter_until, true},
};

#define IMAGE_FILTERS (sizeof(image_filters) / sizeof(image_filters[0]))

/* They may be anything: what is no string would make the whole list unreadable to typed clients. */
static void image_labels(struct jw *w, const struct image *img)
{
    const struct json *labels = json_get(json_get(img->config, "config"), "Labels");

    if (!labels || labels->type != JSON_OBJECT) {
        jw_null(w, "Labels");
        return;
    }
    jw_object(w, "Labels");
    for (const struct json *j = labels->child; j; j = j->next)
        if (j->type == JSON_STRING)
            jw_str(w, j->key, j->str);
    jw_object_end(w);
}

static void image_entry(struct jw *w, struct image *img, const struct json *filters)
{
    jw_object(w, NULL);
    jw_fmt(w, "Id", "sha256:%s", img->id);
    jw_str(w, "ParentId", "");
    image_names(w, img, filters);
    jw_int(w, "Created", image_created(img));
    jw_int(w, "Size", (int64_t)img->size);
    jw_int(w, "SharedSize", -1);
    jw_int(w, "VirtualSize", (int64_t)img->size);
    image_labels(w, img);
    jw_int(w, "Containers", -1);
    jw_object_end(w);
}

/* Those that the filters let through, or an error. */
static void image_list_answer(struct call *call, const struct json *filters)
{
    struct buf b = {0};
    struct jw w = {.out = &b};
    const char *failed;
    int status;

    filters_begin();
    jw_array(&w, NULL);
    for (struct image *img = image_first(); img && !filters_late(); img = img->next)
        if (image_listed(img) && filters_match(image_filters, IMAGE_FILTERS, filters, img))
            image_entry(&w, img, filters);
    jw_array_end(&w);
    failed = filters_end(&status);
    if (!failed) {
        api_json(call->conn, 200, &b);
        return;
    }
    buf_free(&b);
    api_error(call->conn, status, "%s", failed);
}

API(api_image_list)
{
    char *why, *missing = NULL;
    struct json *filters = filters_read(call->req, image_filters, IMAGE_FILTERS, &why);

    why = why ? why : filters_check(filters, "reference", reference_judge);
    why = why ? why : filters_check(filters, "until", until_judge);
    why = why ? why : filters_check_bool(filters, "dangling");
    if (!why)
        missing = filters_resolve(filters, "before", meant_time);
    if (!why && !missing)
        missing = filters_resolve(filters, "since", meant_time);
    if (why)
        api_error(call->conn, 400, "%s", why);
    else if (missing)
        api_error(call->conn, 404, "No such image: %s", missing);
    else
        image_list_answer(call, filters);
    json_free(filters);
    free(missing);
    free(why);
}

API(api_image_inspect)
{
    struct image *img = api_image(call);
    struct buf b = {0};
    struct jw w = {.out = &b};
    const char *created;

    if (!img)
        return;
    created = json_str(img->config, "created");
    jw_object(&w, NULL);
    jw_fmt(&w, "Id", "sha256:%s", img->id);
    image_names(&w, img, NULL);
    jw_str(&w, "Parent", "");
    jw_str(&w, "Comment", "");
    jw_str(&w, "Created", created ? created : "1970-01-01T00:00:00Z");
    jw_str(&w, "DockerVersion", "");
    jw_str(&w, "Author", json_str(img->config, "author"));
    jw_json(&w, "Config", json_get(img->config, "config"));
    jw_str(&w, "Architecture", "amd64");
    jw_str(&w, "Os", "linux");
    jw_int(&w, "Size", (int64_t)img->size);
    jw_int(&w, "VirtualSize", (int64_t)img->size);
    jw_object(&w, "GraphDriver");
    jw_str(&w, "Name", "overlay");
    jw_null(&w, "Data");
    jw_object_end(&w);
    jw_object(&w, "RootFS");
    jw_str(&w, "Type", "layers");
    jw_array(&w, "Layers");
    for (int i = 0; i < img->nlayers; i++)
        jw_fmt(&w, NULL, "sha256:%s", img->layers[i]->diff_id);
    jw_array_end(&w);
    jw_object_end(&w);
    jw_object(&w, "Metadata");
    jw_str(&w, "LastTagTime", "0001-01-01T00:00:00Z");
    jw_object_end(&w);
    jw_object_end(&w);
    api_json(call->conn, 200, &b);
}

/* The newest ones: an image's author may have written a step for every few bytes of its
 * configuration. */
#define HISTORY_MAX 4096

static void history_entry(struct jw *w, const struct image *img, const struct json *h, bool top,
                          uint64_t size)
{
    const char *created = json_str(h, "created");
    struct timespec ts = {0};

    if (created)
        time_parse(created, &ts);
    jw_object(w, NULL);
    if (top)
        jw_fmt(w, "Id", "sha256:%s", img->id);
    else
        jw_str(w, "Id", "<missing>");
    jw_int(w, "Created", ts.tv_sec);
    jw_str(w, "CreatedBy", json_str(h, "created_by"));
    jw_array(w, "Tags");
    for (int i = 0; top && i < img->ntags; i++)
        if (!image_ref_is_digest(img->tags[i]->ref))
            jw_str(w, NULL, img->tags[i]->ref);
    jw_array_end(w);
    jw_int(w, "Size", (int64_t)size);
    jw_str(w, "Comment", json_str(h, "comment"));
    jw_object_end(w);
}

API(api_image_history)
{
    struct image *img = api_image(call);
    struct json **list, *h;
    struct buf b = {0};
    struct jw w = {.out = &b};
    size_t n = 0;
    int layer;

    if (!img)
        return;
    list = mem_alloc(json_count(json_get(img->config, "history")) * sizeof(*list));
    for (h = json_list(img->config, "history"); h; h = h->next)
        list[n++] = h;
    layer = img->nlayers;
    jw_array(&w, NULL);
    for (size_t i = n; i-- > 0 && n - i <= HISTORY_MAX;) {
        bool empty = json_bool(list[i], "empty_layer");

        history_entry(&w, img, list[i], i == n - 1,
                      empty || layer == 0 ? 0 : img->layers[--layer]->size);
    }
    jw_array_end(&w);
    free(list);
    api_json(call->conn, 200, &b);
}

static struct container *image_user(const struct image *img, bool running_only)
{
    for (struct container *c = container_first(); c; c = c->next)
        if (c->image == img && (!running_only || container_running(c)))
            return c;
    return NULL;
}

/* The bytes of a reference before its tag or digest. */
static size_t ref_repo(const char *ref)
{
    const char *at = strchr(ref, '@');

    return at ? (size_t)(at - ref) : (size_t)(strrchr(ref, ':') - ref);
}

static bool ref_same_repo(const char *a, const char *b)
{
    return ref_repo(a) == ref_repo(b) && !strncmp(a, b, ref_repo(a));
}

/* Besides `ref` the image has another tag of its repository: then its digests there stay. */
static bool image_repo_stays(const struct image *img, const char *ref)
{
    for (int i = 0; i < img->ntags; i++)
        if (strcmp(img->tags[i]->ref, ref) && !image_ref_is_digest(img->tags[i]->ref) &&
            ref_same_repo(img->tags[i]->ref, ref))
            return true;
    return false;
}

/* A name that goes when `ref` is untagged. */
static bool image_goes_with(const struct image *img, const char *name, const char *ref)
{
    return !strcmp(name, ref) || (!image_ref_is_digest(ref) && image_ref_is_digest(name) &&
                                  ref_same_repo(name, ref) && !image_repo_stays(img, ref));
}

/* It keeps a name when `ref` has gone. */
static bool image_others(const struct image *img, const char *ref)
{
    for (int i = 0; i < img->ntags; i++)
        if (!image_goes_with(img, img->tags[i]->ref, ref))
            return true;
    return false;
}

/* The tag goes, and with the last one of a repository the digests that it had there. */
static void image_untag_answer(struct image *img, const char *ref, struct answer *a)
{
    bool alone = image_repo_stays(img, ref) || image_ref_is_digest(ref);
    struct jw w = {.out = &a->body};
    char *gone = str_dup(ref);

    jw_array(&w, NULL);
    for (int i = 0; i < img->ntags;) {
        char *name = str_dup(img->tags[i]->ref);
        bool goes = !strcmp(name, gone) ||
                    (!alone && image_ref_is_digest(name) && ref_same_repo(name, gone));

        if (goes) {
            image_untag(img, name); /* another takes its place */
            event_image(img->id, name, "untag");
            jw_object(&w, NULL);
            jw_str(&w, "Untagged", name);
            jw_object_end(&w);
        }
        i += !goes;
        free(name);
    }
    jw_array_end(&w);
    free(gone);
}

static void image_remove_answer(struct image *img, struct answer *a)
{
    struct jw w = {.out = &a->body};

    jw_array(&w, NULL);
    image_remove(img, &w, a);
    jw_array_end(&w);
}

API(api_image_remove)
{
    struct image *img = api_image(call);
    bool force = http_query_bool(call->req, "force", false);
    char *ref = image_ref_normalize(call->name);
    struct container *user;
    struct answer *a;
    bool named;

    if (!img) {
        free(ref);
        return;
    }
    user = image_user(img, force);
    named = ref && image_has_tag(img, ref);
    if (!named && image_tag_count(img) > 1 && !force) {
        api_error(
            call->conn, 409,
            "conflict: unable to delete %s (must be forced) - image is referenced in multiple "
            "repositories",
            call->name);
    } else if (named && image_others(img, ref)) {
        a = answer_new(call->conn, 200, "application/json");
        image_untag_answer(img, ref, a);
        image_store_save(a, NULL);
        answer_done(a, NULL);
    } else if (user) {
        api_error(
            call->conn, 409, "conflict: unable to %s %s (%s) - %s container %.12s",
            force ? "delete" : "remove repository reference", call->name,
            force ? "cannot be forced" : "must force",
            force ? "image is being used by running" : "container is using its image:", user->id);
    } else {
        a = answer_new(call->conn, 200, "application/json");
        image_remove_answer(img, a);
        answer_done(a, NULL);
    }
    free(ref);
}

/* ---- prune ----------------------------------------------------------------------------------- */

static bool filter_no_label(const void *o, const char *v)
{
    return !filter_label(o, v);
}

/* Looked at before, by prune itself. */
static bool filter_any(const void *o, const char *v)
{
    return true;
}

static const struct filter prune_filters[] = {{"dangling", filter_any, false},
                                              {"label", filter_label, true},
                                              {"label!", filter_no_label, true},
                                              {"until", filter_until, true}};

#define PRUNE_FILTERS (sizeof(prune_filters) / sizeof(prune_filters[0]))

/* Those without a tag; dangling=false: all that no container uses. */
static bool prune_wants(const struct image *img, const struct json *filters)
{
    const struct json *dangling = json_list(filters, "dangling");
    const char *text = dangling ? dangling->key ? dangling->key : dangling->str : "true";

    return image_listed(img) && !img->refs && (!filter_true(text) || !image_tag_count(img)) &&
           filters_match(prune_filters, PRUNE_FILTERS, filters, img);
}

/* What the layers take that nothing but the images that go has: each once, however many of them
 * have it. */
static int64_t prune_space(const struct json *filters)
{
    int64_t space = 0;

    for (const struct image *img = image_first(); img; img = img->next)
        if (prune_wants(img, filters))
            for (int i = 0; i < img->nlayers; i++)
                img->layers[i]->going++;
    for (struct layer *l = layer_first(); l; l = l->next) {
        space += l->going && l->going == l->refs ? (int64_t)l->size : 0;
        l->going = 0;
    }
    return space;
}

static void image_prune(struct answer *a, const struct json *filters)
{
    struct jw w = {.out = &a->body};
    int64_t space = prune_space(filters);
    struct image *next;

    jw_object(&w, NULL);
    jw_array(&w, "ImagesDeleted");
    for (struct image *img = image_first(); img; img = next) {
        next = img->next;
        if (prune_wants(img, filters))
            image_remove(img, &w, a);
    }
    jw_array_end(&w);
    jw_int(&w, "SpaceReclaimed", space);
    jw_object_end(&w);
    event_prune("image", space);
    answer_done(a, NULL);
}

API(api_image_prune)
{
    char *why;
    struct json *filters = filters_read(call->req, prune_filters, PRUNE_FILTERS, &why);

    why = why ? why : filters_check(filters, "until", until_judge);
    why = why ? why : filters_check_bool(filters, "dangling");
    if (why)
        api_error(call->conn, 400, "%s", why);
    else
        image_prune(answer_new(call->conn, 200, "application/json"), filters);
    json_free(filters);
    free(why);
}

API(api_image_tag)
{
    struct image *img = api_image(call);
    const char *repo = http_query(call->req, "repo"), *tag = http_query(call->req, "tag");
    struct answer *a;
    char *full, *ref, *why = NULL;

    if (!img)
        return;
    full = str_fmt("%s%s%s", repo ? repo : "", tag && *tag ? ":" : "", tag ? tag : "");
    ref = image_ref_normalize(full);
    if (ref && !image_ref_is_digest(ref))
        why = image_store_space(0, 1, 0);
    if (ref && image_ref_is_digest(ref)) {
        api_error(call->conn, 400, "refusing to create a tag with a digest reference");
    } else if (why) {
        api_error(call->conn, 507, "%s", why);
        free(why);
    } else if (ref) {
        a = answer_new(call->conn, 201, NULL);
        image_tag(img, ref);
        event_image(img->id, ref, "tag");
        image_store_save(a, NULL);
        answer_done(a, NULL);
    } else {
        api_error(call->conn, 400, "invalid reference format: %s", full);
    }
    free(full);
    free(ref);
}
