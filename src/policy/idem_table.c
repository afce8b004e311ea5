/* idem_table.c - see idem_table.h. */
#include "idem_table.h"

#include <stdlib.h>

#include "base/must.h"

enum { KEYS_MOST = 100000000, SWEEP = 2 };

void idem_table_init(struct idem_table *t, uint64_t seed)
{
	map_init(&t->map, KEYS_MOST, seed);
	list_init(&t->finished);
	t->bytes = t->forgotten = 0;
}

static void forget(struct idem_table *t, struct idem_entry *e)
{
	link_remove(&e->link);
	map_remove(&t->map, &e->entry);
	t->bytes -= e->bytes;
	idem_answer_unref(e->answer);
	free(e);
}

static struct idem_entry *oldest(const struct idem_table *t)
{
	struct link *l = list_first(&t->finished);
	return l ? container_of(l, struct idem_entry, link) : NULL;
}

void idem_table_fini(struct idem_table *t)
{
	for (struct idem_entry *e; (e = oldest(t)); )
		forget(t, e);
	must(t->map.count == 0 && t->bytes == 0);
	map_fini(&t->map);
}

/* Some of those whose time is over, a few at a time: every newcomer takes away more than it brings. */
static void sweep(struct idem_table *t, uint64_t now_us)
{
	for (unsigned i = 0; i < SWEEP; i++) {
		struct idem_entry *e = oldest(t);
		if (!e || e->expires_us > now_us)
			return;
		forget(t, e);
	}
}

static bool make_room(struct idem_table *t, const struct idem_limits *limits)
{
	while (t->map.count >= limits->max_keys) {
		struct idem_entry *e = oldest(t);
		if (!e)
			return false;
		forget(t, e);
		t->forgotten++;
	}
	return true;
}

static struct idem_entry *entry_new(struct idem_table *t, const unsigned char *key, const unsigned char *fingerprint)
{
	struct idem_entry *e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	memcpy(e->key, key, IDEM_DIGEST);
	memcpy(e->fingerprint, fingerprint, IDEM_DIGEST);
	link_init(&e->link);
	list_init(&e->waiters);
	if (map_add(&t->map, &e->entry, (struct span){ (const char *)e->key, IDEM_DIGEST }))
		return e;
	free(e);
	return NULL;
}

enum idem_claim idem_table_claim(struct idem_table *t, const struct idem_limits *limits, const unsigned char key[IDEM_DIGEST],
	const unsigned char fingerprint[IDEM_DIGEST], uint64_t now_us, struct idem_entry **out)
{
	sweep(t, now_us);
	struct map_entry *found = map_find(&t->map, (struct span){ (const char *)key, IDEM_DIGEST });
	struct idem_entry *e = found ? container_of(found, struct idem_entry, entry) : NULL;
	if (e && e->state != IDEM_RUNNING && e->expires_us <= now_us) {
		forget(t, e);
		e = NULL;
	}
	if (!e) {
		if (!make_room(t, limits))
			return IDEM_FULL;
		*out = entry_new(t, key, fingerprint);
		return *out ? IDEM_FIRST : IDEM_NO_MEMORY;
	}
	if (memcmp(e->fingerprint, fingerprint, IDEM_DIGEST) != 0)
		return IDEM_OTHER;
	if (e->state != IDEM_RUNNING) {
		link_remove(&e->link);
		list_append(&t->finished, &e->link);
	}
	*out = e;
	return IDEM_FOUND;
}

void idem_table_finish(struct idem_table *t, const struct idem_limits *limits, struct idem_entry *e, struct idem_answer *answer,
	uint64_t now_us)
{
	must(e->state == IDEM_RUNNING && list_empty(&e->waiters));
	e->state = answer ? IDEM_DONE : IDEM_LOST;
	e->answer = answer;
	e->bytes = sizeof(*e) + (answer ? sizeof(*answer) + answer->len : 0);
	e->expires_us = now_us + limits->ttl_us;
	t->bytes += e->bytes;
	list_append(&t->finished, &e->link);
	while (t->bytes > limits->max_bytes && oldest(t) != e) {
		forget(t, oldest(t));
		t->forgotten++;
	}
}

void idem_table_release(struct idem_table *t, struct idem_entry *e)
{
	must(e->state == IDEM_RUNNING && list_empty(&e->waiters));
	map_remove(&t->map, &e->entry);
	free(e);
}
