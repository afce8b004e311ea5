/* variants.c - when an answer varies (Vary): it is for those whose fields are as in the request that it answers; the others leave the flight and
 * join again, now with those fields in their key. So each variant gets one flight, whichever worker it is asked for on, and who comes later
 * finds it there.
 *
 * The key gathers all fields that answers to it have varied with, of late; who goes and who stays, this answer alone says.
 */
#include "flight_parts.h"
#include "vary.h"

struct variant { struct text names, values; char names_memory[VARY_NAMES_TEXT], values_memory[VARY_TEXT]; };

/* Its flight is for this variant from now on, and later requests look for theirs. true: it was so already. Under the lock. */
static bool rename_flight(struct flight *f, const struct variant *v)
{
	char names_memory[VARY_NAMES_TEXT], key_memory[FLIGHT_KEY_MAX];
	struct span base = { f->entry.key.at, f->base };
	uint64_t hash = span_hash(base, f->core->flights.seed), now_us = f->worker->now_us;
	const struct known *known = known_find(&f->core->varying, hash, now_us);
	struct text names, key;

	text_over(&names, names_memory, sizeof(names_memory));
	if (known)
		text_add(&names, span_of(known->names));
	if (!vary_names_add(&names, &f->child->reply, f->limits.key)) {
		text_over(&names, names_memory, sizeof(names_memory));        /* too many by now: begin again */
		text_add(&names, text_span(&v->names));
	}
	known_note_names(&f->core->varying, hash, text_span(&names), now_us);

	text_over(&key, key_memory, sizeof(key_memory));
	text_add(&key, base);
	vary_add(&key, text_span(&names), f->child);
	if (!key.cut && span_eq(text_span(&key), f->entry.key))
		return true;
	if (key.cut)
		flight_unlist(f);
	else
		flight_rename(f, text_span(&key));
	return false;
}

static bool is_for(const struct variant *v, const struct member *m)
{
	char memory[VARY_TEXT];
	struct text values;
	text_over(&values, memory, sizeof(memory));
	vary_add(&values, text_span(&v->names), m->ex);
	return !values.cut && span_eq(text_span(&values), text_span(&v->values));
}

/* Of other workers; under the lock. */
static void part_away(struct flight *f, const struct variant *v)
{
	list_each(l, &f->away) {
		struct member *m = member_of(l);
		if (is_for(v, m))
			continue;
		link_remove(l);
		m->state = MEMBER_TOLD;
		m->flight = NULL;
		m->refusal = REASON_NONE;
		m->varies = true;
		f->count--;
		crossing_send(m->crossing, &m->link);
	}
}

static void part_own(struct flight *f, const struct variant *v)
{
	list_each(l, &f->members) {
		struct member *m = member_of(l);
		if (m->state != MEMBER_WAITING || m == f->leader || is_for(v, m))
			continue;
		link_remove(l);
		m->flight = NULL;
		m->state = MEMBER_NONE;
		pthread_mutex_lock(&f->core->lock);
		f->count--;
		pthread_mutex_unlock(&f->core->lock);
		m->again(m);
	}
}

bool flight_take_variant(struct flight *f)
{
	struct variant v;
	text_over(&v.names, v.names_memory, sizeof(v.names_memory));
	text_over(&v.values, v.values_memory, sizeof(v.values_memory));
	if (!vary_names_add(&v.names, &f->child->reply, f->limits.key))
		return false;
	if (!v.names.len)
		return true;
	vary_add(&v.values, text_span(&v.names), f->child);
	if (v.values.cut)
		return false;

	pthread_mutex_lock(&f->core->lock);
	bool same = rename_flight(f, &v);         /* then all have joined by this key */
	if (!same)
		part_away(f, &v);
	pthread_mutex_unlock(&f->core->lock);
	if (!same)
		part_own(f, &v);
	return true;
}
