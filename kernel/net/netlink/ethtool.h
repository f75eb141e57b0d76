/* SPDX-License-Identifier: MIT
 *
 * What ethtool(8) asks of a device, between the files that answer: ethtool.c has the commands and
 * their rights, ethtool_features.c what a device does by itself, ethtool_stats.c its counters,
 * ethtool_sets.c the sets of names, ethtool_link.c its link; ethtool_genl.c the same by netlink.
 *
 * `at` is the program's struct, which begins with the command. Each ethtool_get and _set answers 0,
 * a word for the program, or -errno. Context: may sleep; no lock held; dev is referenced.
 */
#pragma once

#include "net/core/device.h"
#include "net/netlink/ethtool_sets.h"

/* SOF_TIMESTAMPING_{TX_SOFTWARE,RX_SOFTWARE,SOFTWARE}: bits of ETHTOOL_SET_STAMPS. */
#define ETHTOOL_STAMPS_BY_SOFTWARE 0x1aU

/* Each bit is a feature's, by its place in ETHTOOL_SET_FEATURES. */
struct ethtool_word {
    u32 available, requested, active;
    u32 never; /* 0: no feature is fixed by its name */
};
void ethtool_features_of(const struct netdev *dev, struct ethtool_word *out);
/* Its features have changed: those who listen are told. */
void ethtool_features_tell(struct netdev *dev);
s64 ethtool_get_features(struct netdev *dev, u32 cmd, u64 at);
s64 ethtool_set_features(struct netdev *dev, u32 cmd, u64 at);
/* One of the older commands: a flag, or several in a word. */
s64 ethtool_get_flag(struct netdev *dev, u32 cmd, u64 at);
s64 ethtool_set_flag(struct netdev *dev, u32 cmd, u64 at);
u32 ethtool_features_count(void);
void ethtool_feature_name(u32 i, char out[ETHTOOL_NAME]);

s64 ethtool_get_stats(struct netdev *dev, u32 cmd, u64 at);
u32 ethtool_stats_count(const struct netdev *dev);
void ethtool_stat_name(const struct netdev *dev, u32 i, char out[ETHTOOL_NAME]);
s64 ethtool_get_names(struct netdev *dev, u32 cmd, u64 at);
s64 ethtool_get_counts(struct netdev *dev, u32 cmd, u64 at);

/* What a link is, in ethtool's words. */
struct ethtool_link {
    u32 speed, modes; /* modes: bits of ETHTOOL_SET_LINK_MODES */
    u8 duplex, port;
    bool negotiates;
};
/* 0 or -EOPNOTSUPP: no hardware is behind the device. May sleep. */
int ethtool_link_of(struct netdev *dev, struct ethtool_link *out) __must_check;
bool ethtool_link_is_up(const struct netdev *dev);
s64 ethtool_get_link(struct netdev *dev, u32 cmd, u64 at);
s64 ethtool_get_settings(struct netdev *dev, u32 cmd, u64 at);
s64 ethtool_get_old_settings(struct netdev *dev, u32 cmd, u64 at);

enum ethtool_command {
    ETHTOOL_GSET = 0x01,
    ETHTOOL_GDRVINFO = 0x03,
    ETHTOOL_GMSGLVL = 0x07,
    ETHTOOL_GLINK = 0x0a,
    ETHTOOL_GCOALESCE = 0x0e,
    ETHTOOL_GRINGPARAM = 0x10,
    ETHTOOL_GPAUSEPARAM = 0x12,
    ETHTOOL_GRXCSUM = 0x14,
    ETHTOOL_SRXCSUM = 0x15,
    ETHTOOL_GTXCSUM = 0x16,
    ETHTOOL_STXCSUM = 0x17,
    ETHTOOL_GSG = 0x18,
    ETHTOOL_SSG = 0x19,
    ETHTOOL_GSTRINGS = 0x1b,
    ETHTOOL_GSTATS = 0x1d,
    ETHTOOL_GTSO = 0x1e,
    ETHTOOL_STSO = 0x1f,
    ETHTOOL_GPERMADDR = 0x20,
    ETHTOOL_GUFO = 0x21,
    ETHTOOL_GGSO = 0x23,
    ETHTOOL_SGSO = 0x24,
    ETHTOOL_GFLAGS = 0x25,
    ETHTOOL_GPFLAGS = 0x27,
    ETHTOOL_GRXFH = 0x29,
    ETHTOOL_GGRO = 0x2b,
    ETHTOOL_SGRO = 0x2c,
    ETHTOOL_GRXRINGS = 0x2d,
    ETHTOOL_GSSET_INFO = 0x37,
    ETHTOOL_GFEATURES = 0x3a,
    ETHTOOL_SFEATURES = 0x3b,
    ETHTOOL_GCHANNELS = 0x3c,
    ETHTOOL_GET_TS_INFO = 0x41,
    ETHTOOL_GEEE = 0x44,
    ETHTOOL_GLINKSETTINGS = 0x4c,
    ETHTOOL_GFECPARAM = 0x50,
};
