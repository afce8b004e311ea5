/* idem_table.h - the keys of one route and what became of their requests, in memory. Pure: time is a parameter, locks are the caller's.
 *
 *   claim ──▶ RUNNING ──▶ DONE      its answer is kept until its time is over, or room is needed: then the longest unused goes first
 *                    ├──▶ LOST      it has run, but there is no answer that could be repeated
 *                    └──▶ (gone)    released: whoever comes next runs
 */
#ifndef SRC_POLICY_IDEM_TABLE_H
#define SRC_POLICY_IDEM_TABLE_H

#include "base/map.h"
#include "idem_answer.h"
#include "idem_key.h"

enum idem_state { IDEM_RUNNING, IDEM_DONE, IDEM_LOST };
struct idem_entry {
	struct map_entry entry;
	struct link      link;                /* of the finished */
	struct list      waiters;             /* the caller's */
	struct idem_answer *answer;           /* DONE; counted */
	uint64_t         expires_us;
	size_t           bytes;
	enum idem_state  state;
	unsigned char    key[IDEM_DIGEST], fingerprint[IDEM_DIGEST];
};
struct idem_limits { uint64_t max_keys, max_bytes, ttl_us; };
struct idem_table {
	struct map  map;
	struct list finished;                 /* the longest unused first */
	uint64_t    bytes, forgotten;         /* of answers; forgotten: before their time, for room */
};

void idem_table_init(struct idem_table *, uint64_t seed);
void idem_table_fini(struct idem_table *);        /* nothing may be RUNNING */

enum idem_claim { IDEM_FIRST, IDEM_FOUND, IDEM_OTHER, IDEM_FULL, IDEM_NO_MEMORY };        /* OTHER: it belongs to another request */
/* FIRST: *out is RUNNING from now on, and the caller's to end. FOUND: *out->state says how it stands. FULL: nothing but RUNNING ones. */
enum idem_claim idem_table_claim(struct idem_table *, const struct idem_limits *, const unsigned char key[IDEM_DIGEST],
	const unsigned char fingerprint[IDEM_DIGEST], uint64_t now_us, struct idem_entry **out);
/* Its answer, whose reference is taken over; NULL: there is none to repeat. */
void idem_table_finish(struct idem_table *, const struct idem_limits *, struct idem_entry *, struct idem_answer *, uint64_t now_us);
void idem_table_release(struct idem_table *, struct idem_entry *);

#endif
