// SPDX-License-Identifier: MIT
// Mount words; see mount_words.h.
#include "runtime/mount_words.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "lib/str.h"

/* What words of one class say, only one may say: for binds, as Docker has it. */
enum word_class {
    CLASS_FLAG,
    CLASS_ACCESS,
    CLASS_LABEL,
    CLASS_PROPAGATION,
    CLASS_COPY,
    CLASS_CACHE
};

static const struct mount_word {
    const char *name;
    unsigned what;
    enum word_class class;
    unsigned long set, clear;
} words[] = {
    {"defaults", WORDS_TMPFS, CLASS_FLAG, 0, 0},
    {"ro", WORDS_TMPFS | WORDS_BIND, CLASS_ACCESS, MS_RDONLY, 0},
    {"rw", WORDS_TMPFS | WORDS_BIND, CLASS_ACCESS, 0, MS_RDONLY},
    {"suid", WORDS_TMPFS, CLASS_FLAG, 0, MS_NOSUID},
    {"nosuid", WORDS_TMPFS, CLASS_FLAG, MS_NOSUID, 0},
    {"dev", WORDS_TMPFS, CLASS_FLAG, 0, MS_NODEV},
    {"nodev", WORDS_TMPFS, CLASS_FLAG, MS_NODEV, 0},
    {"exec", WORDS_TMPFS, CLASS_FLAG, 0, MS_NOEXEC},
    {"noexec", WORDS_TMPFS, CLASS_FLAG, MS_NOEXEC, 0},
    {"sync", WORDS_TMPFS, CLASS_FLAG, MS_SYNCHRONOUS, 0},
    {"async", WORDS_TMPFS, CLASS_FLAG, 0, MS_SYNCHRONOUS},
    {"dirsync", WORDS_TMPFS, CLASS_FLAG, MS_DIRSYNC, 0},
    {"nomand", WORDS_TMPFS, CLASS_FLAG, 0, 0},
    {"atime", WORDS_TMPFS, CLASS_FLAG, 0, MS_NOATIME},
    {"noatime", WORDS_TMPFS, CLASS_FLAG, MS_NOATIME, MS_RELATIME | MS_STRICTATIME},
    {"diratime", WORDS_TMPFS, CLASS_FLAG, 0, MS_NODIRATIME},
    {"nodiratime", WORDS_TMPFS, CLASS_FLAG, MS_NODIRATIME, 0},
    {"relatime", WORDS_TMPFS, CLASS_FLAG, MS_RELATIME, MS_NOATIME | MS_STRICTATIME},
    {"norelatime", WORDS_TMPFS, CLASS_FLAG, 0, MS_RELATIME},
    {"strictatime", WORDS_TMPFS, CLASS_FLAG, MS_STRICTATIME, MS_NOATIME | MS_RELATIME},
    {"nostrictatime", WORDS_TMPFS, CLASS_FLAG, 0, MS_STRICTATIME},
    /* what every mount of a container is */
    {"private", WORDS_TMPFS | WORDS_BIND, CLASS_PROPAGATION, 0, 0},
    {"rprivate", WORDS_TMPFS | WORDS_BIND, CLASS_PROPAGATION, 0, 0},
    /* there are no labels here, and nothing between a host's files and a container's */
    {"z", WORDS_BIND, CLASS_LABEL, 0, 0},
    {"Z", WORDS_BIND, CLASS_LABEL, 0, 0},
    {"consistent", WORDS_BIND, CLASS_CACHE, 0, 0},
    {"cached", WORDS_BIND, CLASS_CACHE, 0, 0},
    {"delegated", WORDS_BIND, CLASS_CACHE, 0, 0},
    {"nocopy", WORDS_BIND, CLASS_COPY, 0, 0},
};

/* Options that tmpfs reads itself. */
static bool word_is_data(const char *word)
{
    static const char *const names[] = {
        "size=", "mode=", "uid=", "gid=", "nr_inodes=", "nr_blocks="};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (str_starts(word, names[i]))
            return word[strlen(names[i])];
    return false;
}

static const struct mount_word *word_find(const char *name, enum mount_words_for what)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (words[i].what & what && !strcmp(words[i].name, name))
            return &words[i];
    return NULL;
}

/* False when it cannot be. `*classes` has a bit for each class seen. */
static bool word_apply(const char *name, enum mount_words_for what, unsigned *classes,
                       struct mount_words *w)
{
    const struct mount_word *word = word_find(name, what);

    if (!word && what == WORDS_TMPFS && word_is_data(name)) {
        buf_fmt(&w->data, "%s%s", w->data.len ? "," : "", name);
        return true;
    }
    if (!word || (what == WORDS_BIND && *classes >> word->class & 1))
        return false;
    *classes |= 1u << word->class;
    w->flags = (w->flags & ~word->clear) | word->set;
    w->no_copy = w->no_copy || word->class == CLASS_COPY;
    return true;
}

char *mount_words_parse(const char *text, enum mount_words_for what, struct mount_words *w)
{
    unsigned classes = 0;
    bool more = *text;

    while (more) {
        size_t n = strcspn(text, ",");
        char *name = str_dupn(text, n);

        /* Docker takes an empty word for a tmpfs, and none for a bind */
        if ((n || what == WORDS_BIND) && !word_apply(name, what, &classes, w))
            return name;
        free(name);
        more = text[n] == ',';
        text += n + more;
    }
    return NULL;
}
