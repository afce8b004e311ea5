/* redis.h - a Redis, as one worker talks to it: one connection, commands pipelined on the worker's loop (hiredis formats and reads).
 *
 * Its own circuit breaker: three answers in a row that did not come in time, or a broken connection, and it is down. While it is down calls are
 * answered STORE_down at once; it is tried again in the background (after 0.1 s, 1 s, 2 s, then every 4 s, ±25 %), never with a client's
 * request. So nobody pays for a Redis that is gone, and it is shared again a few seconds after it is back.
 *
 * Every 5 s a heartbeat tells the others that this process is there, and counts them.
 */
#ifndef EDGE_REDIS_H
#define EDGE_REDIS_H

#include "conf/conf.h"
#include "core/shared.h"
#include "core/store.h"
#include "core/target.h"
#include "edge/loop.h"

struct redis;
struct redis_parts {
	struct loop *loop;
	struct shared *shared;
	const struct conf_redis *conf;        /* copied                                         */
	struct span password, instance;       /* copied; who we are among those that share it   */
	struct upstream *target;              /* where it is; a reference is taken              */
};
/* Begins to connect. One reference. NULL: out of memory. */
struct redis *redis_new(const struct redis_parts *);
/* Is it what these parts would make? Then it may go on in a newer configuration, ... */
bool redis_is(const struct redis *, const struct redis_parts *);
/* ... whose `target` is the same place, looked after by the resolver. */
void redis_move(struct redis *, struct upstream *target);
struct store redis_store(struct redis *);                          /* name and ops; good as long as a reference is held */
void redis_give(struct redis *);

const char *redis_version(void);

#endif
