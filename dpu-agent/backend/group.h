/* SPDX-License-Identifier: Apache-2.0 */
/* group.h - the members of one instance by their group, and the drops that it remembers. See
 * "Groups" in backend.h. Not for other rooms.
 *
 * A member's record lies in the object's, or is held by it. It is in the table while its object is
 * in the index; the record of an object that was dropped for a reason of its own then carries the
 * drop to the other instances (bc_group_drop).
 * Thread: the owner of the loop. Memory: buckets that grow with the members; BC_GROUP_RECENT small
 * records at init. */
#ifndef BC_BACKEND_GROUP_H
#define BC_BACKEND_GROUP_H

#include "backend/internal.h"

BC_EXTERN_C_BEGIN

struct bc_group_member {
    union {
        struct bc_hashmap_node node; /* hash: {name, time} */
        struct bc_group_drop drop;
    };
};
BC_STATIC_ASSERT(sizeof(struct bc_group_member) == 24, "one for every object with a group");

struct bc_group_recent {
    uint64_t name;
    uint64_t time; /* 0: free */
};

struct bc_groups {
    struct bc_backend *backend;
    struct bc_hashmap members;
    struct bc_group_recent *recent; /* sets of a few */
    uint64_t *clock;
    uint64_t lent; /* drops that are being told */
};

/* -ENOMEM. clock: the env's. */
BC_MUST_USE int bc_groups_init(struct bc_groups *groups, struct bc_backend *backend,
                               uint64_t *clock);
void bc_groups_fini(struct bc_groups *groups);

/* Sets what the member is of; it is not in the table yet. */
void bc_group_member_init(struct bc_group_member *member, const struct bc_object_key *key,
                          const struct bc_put_hints *hints);
/* False: the group has too many members. */
BC_MUST_USE bool bc_groups_add(struct bc_groups *groups, struct bc_group_member *member);
void bc_groups_remove(struct bc_groups *groups, struct bc_group_member *member);
/* The next member of the group that was put before `time`. NULL: there is none. */
struct bc_group_member *bc_groups_find(const struct bc_groups *groups, uint64_t name,
                                       uint64_t time);

/* Whether the group was dropped after this was put. */
bool bc_groups_is_dropped(const struct bc_groups *groups, const struct bc_group_member *member);
/* Remembers a drop. */
void bc_groups_note(struct bc_groups *groups, uint64_t name, uint64_t time);
/* Turns a member that is not in the table into a drop of its group, now, and notes it. */
void bc_groups_begin_drop(struct bc_groups *groups, struct bc_group_member *member);
/* Lends it to who tells the others; group_told follows, maybe inside. */
void bc_groups_lend(struct bc_groups *groups, struct bc_group_member *member);
/* What group_told begins with. */
struct bc_group_member *bc_groups_take_back(struct bc_groups *groups, struct bc_group_drop *drop);

BC_EXTERN_C_END

#endif
