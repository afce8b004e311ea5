/* pool.c - one pool per endpoint and worker, made when first needed. */
#include "pool.h"

#include <stdlib.h>

enum { POOLS_MAX = 100000, REPLY_HEAD_BYTES = 32 * 1024, REPLY_FIELDS = 100 };

struct backend *backend_new(struct loop *loop, unsigned workers)
{
	struct backend *b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->loop = loop;
	b->workers = workers;
	b->limits = (struct h1_limits){ REPLY_HEAD_BYTES, REPLY_FIELDS, REPLY_HEAD_BYTES };
	list_init(&b->backs);
	map_init(&b->pools, POOLS_MAX, rand_next(&loop->worker.rand));
	return b;
}

struct pool *pool_of(struct backend *b, struct endpoint *e)
{
	struct map_entry *found = map_find(&b->pools, (struct span){ (const char *)&e->id, sizeof(e->id) });
	if (found)
		return container_of(found, struct pool, entry);
	struct pool *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	if (!map_add(&b->pools, &p->entry, (struct span){ (const char *)&e->id, sizeof(e->id) })) {
		free(p);
		return NULL;
	}
	p->backend = b;
	p->endpoint = endpoint_ref(e);
	upstream_ref(e->upstream);                /* holds the configuration that p->conf points into */
	p->conf = &e->upstream->conf->pool;
	p->max_open = (p->conf->max_connections + b->workers - 1) / b->workers;
	list_init(&p->idle);
	list_init(&p->waiting);
	return p;
}

void pool_forget_if_empty(struct pool *p)
{
	if (p->open || p->holds || !list_empty(&p->waiting))
		return;
	struct upstream *u = p->endpoint->upstream;
	map_remove(&p->backend->pools, &p->entry);
	endpoint_unref(p->endpoint);
	upstream_unref(u);
	free(p);
}
