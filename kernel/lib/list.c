/* SPDX-License-Identifier: MIT
 *
 * What list.h does not do in line: the end of a kernel whose list is corrupt.
 */
#include "lib/list.h"
#include "lib/log.h"

void list_corrupt(const struct list_node *n)
{
    panic("list node %p: its neighbours %p and %p do not point back", (const void *)n,
          (const void *)n->prev, (const void *)n->next);
}
