/* stores.h - the Redis stores of a configuration: where each is and its password (control thread), and each worker's connections to them.
 */
#ifndef APP_STORES_H
#define APP_STORES_H

#include "edge/redis.h"
#include "edge/resolve.h"

enum { STORES_MAX = 16, STORE_PASSWORD = 512 };

/* Of one configuration. */
struct stores {
	struct resolver *resolver;
	unsigned count;
	struct { const struct conf_redis *conf; struct upstream *target; char password[STORE_PASSWORD]; size_t password_len; } at[STORES_MAX];
};
/* Reads the password files; the names are looked after by the resolver (NULL: nobody's). NULL: `why` says so in a line. */
struct stores *stores_new(struct conf *, struct resolver *, char why[256]);
void stores_free(struct stores *);        /* NULL is fine. Connections that were made with it go on */

/* Of one worker. */
struct worker_stores { unsigned count; struct redis *redis[STORES_MAX]; struct store at[STORES_MAX]; };
/* Connects to those that `before` is not connected to. false: out of memory, nothing is held. */
bool worker_stores_make(struct worker_stores *, const struct worker_stores *before, const struct stores *, const struct redis_parts *where);
/* It is in force: all connect to where these stores are. */
void worker_stores_adopt(struct worker_stores *, const struct stores *);
void worker_stores_give(struct worker_stores *);

#endif
