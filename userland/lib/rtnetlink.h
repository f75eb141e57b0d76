// SPDX-License-Identifier: MIT
// rtnetlink's numbers and structs (Linux uapi netlink.h, rtnetlink.h, if_link.h, if_addr.h), which
// the C library's headers lack. All in the machine's byte order but addresses.
#pragma once

#include <stdint.h>

#define NETLINK_ROUTE 0
#define SOL_NETLINK 270
#define NETLINK_EXT_ACK 11

struct nlmsghdr {
    uint32_t nlmsg_len;
    uint16_t nlmsg_type, nlmsg_flags;
    uint32_t nlmsg_seq, nlmsg_pid;
};

struct nlmsgerr {
    int error;
    struct nlmsghdr msg;
};

struct nlattr {
    uint16_t nla_len, nla_type;
};

struct sockaddr_nl {
    uint16_t nl_family, nl_pad;
    uint32_t nl_pid, nl_groups;
};

#define NLMSG_ERROR 2
#define NLMSG_DONE 3

#define NLM_F_REQUEST 1
#define NLM_F_MULTI 2
#define NLM_F_ACK 4
#define NLM_F_DUMP_INTR 0x10
#define NLM_F_DUMP 0x300
#define NLM_F_REPLACE 0x100
#define NLM_F_EXCL 0x200
#define NLM_F_CREATE 0x400

#define NLA_F_NESTED 0x8000
#define NLA_F_NET_BYTEORDER 0x4000

#define RTM_NEWLINK 16
#define RTM_DELLINK 17
#define RTM_GETLINK 18
#define RTM_SETLINK 19
#define RTM_NEWADDR 20
#define RTM_DELADDR 21
#define RTM_GETADDR 22
#define RTM_NEWROUTE 24
#define RTM_DELROUTE 25
#define RTM_GETROUTE 26

/* Groups to listen to, as bits. */
#define RTMGRP_LINK 1
#define RTMGRP_IPV4_IFADDR 0x10
#define RTMGRP_IPV6_IFADDR 0x100

struct ifinfomsg {
    uint8_t ifi_family, ifi_pad;
    uint16_t ifi_type;
    int32_t ifi_index;
    uint32_t ifi_flags, ifi_change;
};

enum {
    IFLA_ADDRESS = 1,
    IFLA_IFNAME = 3,
    IFLA_MTU = 4,
    IFLA_LINK = 5,
    IFLA_OPERSTATE = 16,
    IFLA_LINKINFO = 18,
    IFLA_INFO_KIND = 1,
    IFLA_INFO_DATA = 2,
    IFLA_VLAN_ID = 1,
};

struct ifaddrmsg {
    uint8_t ifa_family, ifa_prefixlen, ifa_flags, ifa_scope;
    uint32_t ifa_index;
};

enum {
    IFA_ADDRESS = 1,
    IFA_LOCAL = 2,
    IFA_BROADCAST = 4,
    IFA_CACHEINFO = 6,
    IFA_FLAGS = 8,
};

struct ifa_cacheinfo {
    uint32_t ifa_prefered, ifa_valid, cstamp, tstamp; /* seconds; INFINITE_LIFE_TIME: for ever */
};

#define IFA_F_DADFAILED 0x08
#define IFA_F_TENTATIVE 0x40
#define IFA_F_PERMANENT 0x80
#define IFA_F_NOPREFIXROUTE 0x200

struct rtmsg {
    uint8_t rtm_family, rtm_dst_len, rtm_src_len, rtm_tos;
    uint8_t rtm_table, rtm_protocol, rtm_scope, rtm_type;
    uint32_t rtm_flags;
};

enum {
    RTA_DST = 1,
    RTA_OIF = 4,
    RTA_GATEWAY = 5,
    RTA_PRIORITY = 6,
    RTA_PREFSRC = 7,
    RTA_METRICS = 8,
    RTA_TABLE = 15,
    RTA_EXPIRES = 23,
};

#define RT_TABLE_MAIN 254
#define RT_SCOPE_UNIVERSE 0
#define RT_SCOPE_LINK 253
#define RTN_UNICAST 1
#define RTPROT_KERNEL 2
#define RTPROT_BOOT 3
#define RTPROT_STATIC 4
#define RTPROT_RA 9
#define RTPROT_DHCP 16
#define RTNH_F_ONLINK 4
