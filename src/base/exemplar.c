/* exemplar.c - see exemplar.h. A sequence lock without fences: every piece is written with release and read with acquire, so whoever has
 * read a new piece sees the version odd, or gone on, when he looks at it again. */
#include "base/exemplar.h"

#include <string.h>

#include "base/hist.h"

enum { LOOKS = 4 };

static unsigned slot_of(uint64_t us)
{
	unsigned bucket = hist_bucket(us);
	unsigned slot = bucket > EXEMPLAR_FROM_BUCKET ? (bucket - EXEMPLAR_FROM_BUCKET) / (HIST_SUB / 2) : 0;
	return slot < EXEMPLAR_SLOTS ? slot : EXEMPLAR_SLOTS - 1;
}

static void put(uint64_t *to, uint64_t value) { __atomic_store_n(to, value, __ATOMIC_RELEASE); }
static uint64_t get(const uint64_t *from) { return __atomic_load_n(from, __ATOMIC_ACQUIRE); }

void exemplars_note(struct exemplars *all, uint64_t us, uint64_t wall_ms, const char trace_id[TRACE_ID], bool sampled)
{
	struct exemplar *e = &all->at[slot_of(us)];
	uint64_t id[TRACE_ID / 8], kept_ms = e->sampled && !sampled ? EXEMPLAR_SAMPLED_KEPT_MS : EXEMPLAR_KEPT_MS;
	if (wall_ms - e->wall_ms < kept_ms && (e->sampled || !sampled))
		return;
	memcpy(id, trace_id, sizeof(id));
	uint64_t version = e->version;
	put(&e->version, version + 1);
	put(&e->us, us);
	put(&e->wall_ms, wall_ms);
	__atomic_store_n(&e->sampled, sampled, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < TRACE_ID / 8; i++)
		put(&e->trace_id[i], id[i]);
	put(&e->version, version + 2);
}

/* false: it is being written, again and again. */
static bool read_one(const struct exemplar *e, struct exemplar *out)
{
	for (unsigned look = 0; look < LOOKS; look++) {
		uint64_t version = get(&e->version);
		out->us = get(&e->us);
		out->wall_ms = get(&e->wall_ms);
		out->sampled = __atomic_load_n(&e->sampled, __ATOMIC_ACQUIRE);
		for (unsigned i = 0; i < TRACE_ID / 8; i++)
			out->trace_id[i] = get(&e->trace_id[i]);
		if (version % 2 == 0 && version == counter_get(&e->version))
			return true;
	}
	return false;
}

void exemplars_merge(struct exemplars *into, const struct exemplars *from)
{
	struct exemplar one = { 0 };
	for (unsigned i = 0; i < EXEMPLAR_SLOTS; i++)
		if (counter_get(&from->at[i].wall_ms) > into->at[i].wall_ms && read_one(&from->at[i], &one))
			into->at[i] = one;
}
