/* crossing.h - how slots of one worker are told something by another one: by way of a list on their own worker's side, and a message.
 *
 * A core (core/shared.h) has a list of crossings, one per worker that has a door to it. What is sent stays on the list, and may be taken off it
 * under the core's lock by whoever owns it, until its worker has run the message. So a slot can leave at any moment.
 */
#ifndef SRC_POLICY_CROSSING_H
#define SRC_POLICY_CROSSING_H

#include <pthread.h>

#include "core/policy.h"
#include "core/shared.h"

struct crossing {
	struct link      link;                /* of the core's list */
	pthread_mutex_t *lock;                /* the core's */
	void            *core;
	struct shared   *shared;
	struct worker   *worker;
	unsigned         users;               /* doors of this worker */
	struct list      parcels;
	struct message   message;
	bool             posted;
	/* On the worker, without the lock: each parcel is to be taken off the list. */
	void           (*deliver)(struct list *parcels);
};

/* Takes the lock itself. NULL: out of memory. */
struct crossing *crossing_take(struct list *crossings, pthread_mutex_t *lock, const struct policy_env *, void *core,
	void (*deliver)(struct list *parcels));
void crossing_give(struct crossing *);
/* With the lock held. */
void crossing_send(struct crossing *, struct link *parcel);

#endif
