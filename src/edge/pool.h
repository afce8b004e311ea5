/* pool.h - private: the connections of one worker to one endpoint.
 *
 *   idle      connections between requests, most recently used first: the cold end dies of old age
 *   waiting   calls for which there was no connection left (pool.max_connections), first come first served
 *   open      all connections: idle, busy and connecting
 *
 * A pool exists while it has a connection or a waiting call.
 */
#ifndef SRC_EDGE_POOL_H
#define SRC_EDGE_POOL_H

#include "base/map.h"
#include "core/target.h"
#include "edge/back_h1.h"
#include "http/h1_read.h"

struct back;

struct pool {
	struct map_entry entry;           /* key: the endpoint's id */
	struct backend  *backend;
	struct endpoint *endpoint;        /* a reference */
	const struct conf_pool *conf;
	struct list      idle, waiting;
	unsigned         open;
	unsigned         holds;           /* somebody up the stack uses it: not to be freed */
	uint64_t         max_open;        /* this worker's share */
};

struct backend {
	struct loop     *loop;
	struct map       pools;
	unsigned         workers;
	struct h1_limits limits;
	struct list      backs;           /* all connections */
	unsigned         leaving;         /* of them BACK_LEAVING */
};

struct pool *pool_of(struct backend *, struct endpoint *);     /* makes it; NULL: out of memory */
void pool_forget_if_empty(struct pool *);

#endif
