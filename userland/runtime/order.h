// SPDX-License-Identifier: MIT
// A start's order: all that one child is to do from its clone to its execve, as one text.
//
// The engine writes it, the keeper hands it on unread, the child reads it. Numbers are little
// endian; a string is its length, its bytes and a NUL, so that what has been read points into the
// text. A list is its count and its strings; one that is not there at all has the count ORDER_NONE.
// The text begins with ORDER_VERSION and ends where its last field does.
//
// Both are pure. order_read() trusts no byte: lengths, counts and flags are judged before use.
#pragma once

#include "lib/buf.h"
#include "runtime/child.h"

#define ORDER_VERSION 2
#define ORDER_MAX (32u * 1024 * 1024)
#define ORDER_LIST_MAX (1u << 20)
#define ORDER_NONE UINT32_MAX

struct device_spec {
    char *host;
    char *target;
    unsigned access; /* DEVICE_*: the control group's, not in an order */
};

struct order {
    struct spec spec;
    struct shared_spec shared;
    bool is_exec;
    bool first;     /* the container has never run */
    bool based;     /* the lowest layer is the base (base.h) */
    bool new_net;   /* it has a network namespace of its own */
    bool vm;        /* its process is the VMM */
    uint64_t files; /* RLIMIT_NOFILE: soft in the low half, hard in the high one; 0 none */
    char *layers;   /* the directory that the names below are relative to */
    char **lowers;  /* directories of layers, the topmost first */
    char *own;      /* the container's directory */
    struct device_spec *devices;
    int ndevices;
    /* of a VM: files of the host, MiB, processors */
    char *initrd, *config;
    uint64_t memory, cpus;
};

/* Appends the order's text. */
void order_write(struct buf *b, const struct order *o);
/* Reads one that order_write() made: 0, or -EPROTO with *o in part. Its strings lie in `text`,
 * which it may change; its arrays are new. */
int order_read(struct order *o, char *text, size_t len);
