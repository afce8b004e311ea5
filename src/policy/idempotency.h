/* idempotency.h - private to idempotency.c (settings, the door), idem_core.c (what is shared and seen), idem_memory.c and idem_remote.c (the two
 * ways in which a key is claimed: in this process, or in a store).
 */
#ifndef SRC_POLICY_IDEMPOTENCY_H
#define SRC_POLICY_IDEMPOTENCY_H

#include <pthread.h>

#include "core/shared.h"
#include "core/store.h"
#include "crossing.h"
#include "idem_run.h"
#include "idem_table.h"

enum { IN_FLIGHT_WAIT, IN_FLIGHT_CONFLICT };
enum { ON_STORE_DENY, ON_STORE_ALLOW };
struct idempotency_conf {
	uint64_t ttl_us, max_keys, max_bytes, max_answer, fingerprint, lease_us;
	struct span store;
	struct conf_texts methods;
	unsigned in_flight, on_store_error;
	bool     required;
	struct conf_dry_run dry_run;
};

#define IDEM_RESULTS(X) X(first) X(replayed) X(waited) X(conflict) X(mismatch)
enum idem_result {
#define X(word) RESULT_##word,
	IDEM_RESULTS(X)
#undef X
	RESULT_COUNT
};
/* One per route and process. */
struct idempotency_core {
	pthread_mutex_t    lock;
	struct idem_table  table;
	struct idem_limits limits;            /* of the newest configuration */
	struct list        crossings;
	uint64_t           results[RESULT_COUNT], store_errors;       /* atomic */
};
extern const struct core_kind idempotency_kind;   /* with: struct idempotency_conf */

struct idempotency {
	struct policy  base;
	struct idempotency_conf conf;
	struct shared *shared;
	struct worker *worker;
	struct span    route;
	struct idempotency_core *core;
	struct crossing *crossing;
	const struct store *store;            /* NULL: in memory */
	struct list    loose;                 /* tickets that outlive their requests */
};

struct ticket;
enum slot_state { SLOT_NONE, SLOT_WAITING, SLOT_TOLD };   /* TOLD: by a message that has not come yet */
struct slot {
	struct link         link;             /* of an entry's waiters, or of a crossing's parcels */
	struct idempotency *door;
	struct exchange    *ex;
	struct idem_run    *run;              /* it is the first */
	struct ticket      *ticket;           /* its claim in a store */
	struct capture     *capture;          /* counted: what it was told, or reads */
	struct reading      reading;
	enum slot_state     state;
	enum idem_outcome   outcome;          /* TOLD */
	enum answer         at_once;          /* of a claim that was answered before it returned */
	bool                waited, dry_run, replays;          /* replays: the kept answer is on its way out */
	unsigned char       key[IDEM_DIGEST], fingerprint[IDEM_DIGEST];
};

/* idempotency.c: what becomes of a request. The capture's reference is the slot's from here on; NULL: it could not be read. */
enum answer idem_replay(struct slot *, struct capture *);
enum answer idem_refuse(struct slot *, enum idem_result, enum reason, unsigned retry_after_s, const char *detail);
enum answer idem_refuse_lost(struct slot *);
enum answer idem_running(struct slot *);          /* LATER: it is to wait */
enum answer idem_begin(struct slot *, struct idem_run *);        /* slot and max_answer are set here */
static inline void idem_answer_slot(struct slot *slot, enum answer a) { if (a != LATER) exchange_answer(slot->ex, a); }

static inline bool idem_waits(const struct slot *slot) { return slot->door->conf.in_flight == IN_FLIGHT_WAIT && !slot->dry_run; }

/* idem_memory.c */
enum answer idem_memory_claim(struct slot *);
void idem_memory_leave(struct slot *);
void idem_memory_deliver(struct list *parcels);

/* idem_remote.c */
enum answer idem_remote_claim(struct slot *);
void idem_remote_leave(struct slot *);
void idem_remote_close(struct idempotency *);

#endif
