/* discover.c - the next set of endpoints of an upstream: old ones kept, new ones made, lost ones left out. */
#include "core/discover.h"

#include <stdlib.h>

struct merge {
	struct upstream     *upstream;
	struct endpoint_set *old;             /* our reference */
	struct endpoint    **at;              /* the next set; each a reference of ours */
	unsigned             count;
	bool                 changed;
};

static struct endpoint *named(struct endpoint *const *at, unsigned count, struct span name)
{
	for (unsigned i = 0; i < count; i++)
		if (span_eq_nocase(at[i]->name, name))
			return at[i];
	return NULL;
}

/* The successor has seen what the endpoint before it has seen; only its running streak of errors is not worth carrying over. */
static void inherit(struct endpoint *e, struct endpoint *from)
{
	pthread_mutex_lock(&e->upstream->lock);
	e->unhealthy = endpoint_is_unhealthy(from);
	e->ejected_until_us = __atomic_load_n(&from->ejected_until_us, __ATOMIC_RELAXED);
	e->ejections = __atomic_load_n(&from->ejections, __ATOMIC_RELAXED);
	memcpy(e->addresses, from->addresses, sizeof(e->addresses));
	e->address_count = from->address_count;
	e->no_address = from->no_address;
	memcpy(e->last_error, from->last_error, sizeof(e->last_error));
	pthread_mutex_unlock(&e->upstream->lock);
}

static bool add(struct merge *m, const struct found *f)
{
	struct endpoint *e = endpoint_new(m->upstream, f->host, f->port, f->weight ? f->weight : 1);
	if (!e)
		return false;
	if (named(m->at, m->count, e->name)) {
		endpoint_unref(e);
		return true;
	}
	struct endpoint *before = named(m->old->at, m->old->count, e->name);
	if (before && before->weight == e->weight) {
		endpoint_unref(e);
		e = endpoint_ref(before);
	} else {
		m->changed = true;
		if (before)
			inherit(e, before);
	}
	m->at[m->count++] = e;
	return true;
}

/* Those that were there before come first, in the order they had: the DNS shuffles its answers. */
static void keep_order(struct merge *m)
{
	unsigned placed = 0;
	for (unsigned i = 0; i < m->old->count; i++)
		for (unsigned j = placed; j < m->count; j++)
			if (span_eq_nocase(m->at[j]->name, m->old->at[i]->name)) {
				struct endpoint *e = m->at[j];
				memmove(m->at + placed + 1, m->at + placed, (j - placed) * sizeof(struct endpoint *));
				m->at[placed++] = e;
				break;
			}
}

bool discover_merge(struct upstream *u, const struct found *found, unsigned count, struct endpoint_set **next)
{
	struct merge m = { .upstream = u, .old = upstream_endpoints(u) };
	bool ok = (m.at = calloc(DISCOVER_MAX, sizeof(struct endpoint *))) != NULL;

	*next = NULL;
	for (unsigned i = 0; ok && i < count && m.count < DISCOVER_MAX; i++)
		ok = add(&m, &found[i]);
	m.changed |= m.count != m.old->count;
	if (ok && m.changed) {
		keep_order(&m);
		*next = endpoint_set_new(m.at, m.count);
		ok = *next != NULL;
	}
	while (!*next && m.count > 0)             /* a set has taken the references over */
		endpoint_unref(m.at[--m.count]);
	free(m.at);
	endpoint_set_unref(m.old);
	return ok;
}
