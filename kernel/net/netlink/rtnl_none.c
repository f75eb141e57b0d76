/* SPDX-License-Identifier: MIT
 *
 * Objects of rtnetlink that cannot be made here: queueing disciplines with their classes and
 * filters, next hops by number, address labels, anycast addresses. So there is none, which a dump
 * says; all else that is asked of them is EOPNOTSUPP.
 */
#include "net/netlink/rtnl.h"

enum {
    RTM_GETQDISC = 38,
    RTM_GETTCLASS = 42,
    RTM_GETTFILTER = 46,
    RTM_GETANYCAST = 62,
    RTM_GETADDRLABEL = 74,
    RTM_GETNEXTHOP = 106,
    RTM_GETNEXTHOPBUCKET = 118,
};

static bool none_step(struct nl_dump *d, struct nl_builder *b)
{
    return true;
}

static int none_dump(struct nl_request *r)
{
    return nl_dump_begin(r, NL_LINKS, none_step, NULL, 0, false);
}
RTNL_HANDLER(getqdisc) = {RTM_GETQDISC, NULL, none_dump};
RTNL_HANDLER(gettclass) = {RTM_GETTCLASS, NULL, none_dump};
RTNL_HANDLER(gettfilter) = {RTM_GETTFILTER, NULL, none_dump};
RTNL_HANDLER(getanycast) = {RTM_GETANYCAST, NULL, none_dump};
RTNL_HANDLER(getaddrlabel) = {RTM_GETADDRLABEL, NULL, none_dump};
RTNL_HANDLER(getnexthop) = {RTM_GETNEXTHOP, NULL, none_dump};
RTNL_HANDLER(getnexthopbucket) = {RTM_GETNEXTHOPBUCKET, NULL, none_dump};
