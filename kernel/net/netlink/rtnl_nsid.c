/* SPDX-License-Identifier: MIT
 *
 * rtnetlink's numbers of namespaces (RTM_GETNSID): none is ever given one.
 */
#include "net/netlink/rtnl.h"

enum { NETNSA_NSID = 1, NETNSA_PID = 2, NETNSA_FD = 3, NETNSA_RULES };
struct rtgenmsg {
    u8 family;
};

static int nsid_get(struct nl_request *r)
{
    static const struct nl_rule rules[NETNSA_RULES] = {
        [NETNSA_NSID] = {NL_U32, 0, 0},
        [NETNSA_PID] = {NL_U32, 0, 0},
        [NETNSA_FD] = {NL_U32, 0, 0},
    };
    struct nl_attr a[NETNSA_RULES];
    struct nl_builder b;
    int err = rtnl_attrs(r, sizeof(struct rtgenmsg), rules, NETNSA_RULES, a);

    if (!err && !nl_has(&a[NETNSA_PID]) && !nl_has(&a[NETNSA_FD]) && !nl_has(&a[NETNSA_NSID]))
        err = -EINVAL;
    if (!err)
        err = nl_answer_begin(&b);
    if (err)
        return err;
    (void)nl_answer(r, &b, RTM_NEWNSID, sizeof(struct rtgenmsg));
    nl_put_u32(&b, NETNSA_NSID, U32_MAX);
    err = nl_end(&b) ? 0 : -EMSGSIZE;
    return err ? err : nl_answer_end(r, &b);
}

static bool nsid_step(struct nl_dump *d, struct nl_builder *b)
{
    return true;
}

static int nsid_dump(struct nl_request *r)
{
    return nl_dump_begin(r, NL_LINKS, nsid_step, NULL, 0, false);
}
RTNL_HANDLER(getnsid) = {RTM_GETNSID, nsid_get, nsid_dump};
