// SPDX-License-Identifier: MIT
// What a client changes of a container that is there: its name, its limits, its restart policy. A
// change is in force at once, and the client is answered when it is written down. One that cannot
// be written is taken back, or a later engine would have another container than this one. Of limits
// that two changes at once have set, those of the first stay with the second's.
#pragma once

struct answer;
struct change;
struct container;

#define CHANGE_NAME 1u
#define CHANGE_LIMITS 2u
#define CHANGE_POLICY 4u

/* Before a change of `what` (CHANGE_*): remembers how that was. */
struct change *change_begin(struct container *c, unsigned what);
/* It could not be made: what of it was made is taken back. Frees it. */
void change_abandon(struct change *ch);
/* It is made: written down, with `event` and the answer when it is. Takes `ch` and a hold of `a`.
 */
void change_save(struct change *ch, const char *event, struct answer *a);
