/* flight_parts.h - private to flight.c, members.c and variants.c. */
#ifndef SRC_POLICY_FLIGHT_PARTS_H
#define SRC_POLICY_FLIGHT_PARTS_H

#include "flight.h"

enum flight_state { FETCHING, SHARED, OVER };
struct flight {
	struct map_entry entry;
	struct coalesce_core *core;
	struct worker   *worker;
	struct crossing *callback;            /* to its own worker: "nobody is left" */
	struct flight_limits limits;
	struct exchange *child;
	struct capture  *capture;             /* SHARED */
	struct member   *leader;              /* NULL: it left */
	struct list      members, away;       /* of this worker; of others */
	struct link      look;                /* parcel */
	struct timer     cancel, stall;
	size_t           owed;                /* bytes that are not paid back to the child yet */
	uint64_t         count;               /* members, all */
	unsigned         elections;
	enum flight_state state;
	bool             listed;              /* in the table */
	bool             busy;                /* in one of the child's reports: it cannot be cancelled there */
	bool             give_up, timed_out;
	char            *renamed;             /* its key since it is a variant's; NULL: key */
	size_t           base;                /* so much of the key was there before what varies */
	char             key[];
};

static inline struct member *member_of(struct link *l) { return container_of(l, struct member, link); }

/* flight.c; with the core's lock held: */
struct flight *flight_new(struct coalesce_core *, const struct flight_limits *, struct span key, struct member *);
void flight_unlist(struct flight *);
void flight_rename(struct flight *, struct span key);
/* On its own worker, without the lock: */
void flight_free_if_done(struct flight *);
void flight_give_up(struct flight *, bool timed_out);
void flight_make_room(struct flight *);
bool flight_spawn_for(struct flight *, struct member *);
void flight_tell_away(struct flight *, struct capture *, enum reason refusal, unsigned retry_after_s, enum coalesce_result);
uint64_t flight_count(struct flight *);
/* variants.c; the child's head is there. false: it cannot be told whom else it is for. */
bool flight_take_variant(struct flight *);
/* On the member's worker: */
void member_reads(struct member *, struct capture *);
void member_answer(struct member *, struct capture *, enum reason refusal, unsigned retry_after_s);

#endif
