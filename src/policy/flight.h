/* flight.h - one request to the upstream for many equal ones (singleflight; behaviour §4). The flight is the one who asks, not a client: any of
 * its members may leave, and the call is given up only when the last one has.
 *
 *   FETCHING ──head──▶ SHARED    its members get it as it comes; those of other workers when it is whole. Who would get another variant of it
 *                │               (Vary) leaves, and asks again, in a flight of that variant
 *                ├───▶ PRIVATE   only its leader gets it; the others go on their own, at once
 *                └───▶ FAILED    once more by another leader; then all get that answer
 *
 * Threads: a flight belongs to the worker that opened it, and so do its child, its capture while it grows, and its members of the same worker.
 * Under the core's lock: the table, the list of members of other workers, the count of all, what is known of keys. A capture that has ended is
 * read by anyone; and under the lock, the request of a member of another worker while it waits: it does not change, and cannot go.
 */
#ifndef SRC_POLICY_FLIGHT_H
#define SRC_POLICY_FLIGHT_H

#include "base/map.h"
#include "capture.h"
#include "crossing.h"
#include "known.h"

#define COALESCE_RESULTS(X) X(shared) X(private) X(failed) X(timeout) X(full)
enum coalesce_result {
#define X(word) COALESCE_##word,
	COALESCE_RESULTS(X)
#undef X
	COALESCE_RESULT_COUNT
};
enum { FLIGHT_KEY_MAX = 8192, FLIGHT_ROUNDS = 3 };         /* rounds: so often a member leaves for another variant's flight; then it goes alone */

struct coalesce_core {
	pthread_mutex_t lock;
	struct map      flights;              /* by key */
	struct list     crossings;            /* to members */
	struct list     callbacks;            /* to flights that nobody waits for any more */
	struct known_keys private, varying;
	uint64_t        led[COALESCE_RESULT_COUNT], followed[COALESCE_RESULT_COUNT];
	uint64_t        in_flight, waiting;
};

struct flight_limits { uint64_t max_members, buffer; const struct conf_texts *key; };       /* key: what is in it anyway; lives as the child does */

enum member_state { MEMBER_NONE, MEMBER_WAITING, MEMBER_AWAY, MEMBER_TOLD, MEMBER_READING };
/* TOLD: by a message that has not come yet. AWAY: waits for a flight of another worker. */
struct member {
	struct link       link;               /* of the flight's members or away; of a crossing's parcels */
	struct exchange  *ex;
	void             *slot;               /* whose door spawns the child */
	struct crossing  *crossing, *callback;        /* of its worker */
	struct timer      patience;
	struct flight    *flight;             /* WAITING, AWAY, READING of its own worker */
	struct capture   *capture;            /* counted; READING, TOLD */
	struct reading    reading;
	enum member_state state;
	enum reason       refusal;            /* TOLD: REASON_NONE and no capture: go on alone, or join again */
	unsigned          retry_after_s, rounds;
	bool              leads, broken, told;         /* told: Cache-Status is another door's business */
	bool              varies;             /* TOLD: it is to join again */
	/* It is another variant than its flight's, has left that, and is to join again: on its own worker, MEMBER_NONE. */
	void            (*again)(struct member *);
};

/* Joins a flight for this key, or opens one. The fields that answers for this key vary with are added to it. */
enum joined { JOINED_WAIT, JOINED_READ, JOINED_FULL, JOINED_NONE };       /* NONE: no memory, or no flight for this key now: go on alone */
enum joined flight_join(struct coalesce_core *, const struct flight_limits *, struct text *key, struct member *);
/* Counts how it ended for a member that is in none any more. */
void member_note(struct coalesce_core *, const struct member *, enum coalesce_result);
/* The member has had enough: settle. `timed_out`: its deadline was the configured one. */
void flight_leave(struct coalesce_core *, struct member *, bool timed_out);
/* It is tired of waiting for the head. false: too late, it is being served, or about to be told. */
bool flight_tires(struct coalesce_core *, struct member *);
/* What the crossings deliver. */
void flight_tell_members(struct list *parcels);
void flight_call_back(struct list *parcels);
extern const struct upstream_ops flight_ops;      /* self: struct member */

#endif
