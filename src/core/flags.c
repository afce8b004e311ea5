/* flags.c - see core/flags.h. The lock is held to put a set into the book, or to take hold of one that is new to a worker. */
#include "core/flags.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/exchange.h"
#include "flag_set.h"

/* ── a set ── */

struct flag_set *flag_set_ref(struct flag_set *set)
{
	__atomic_fetch_add(&set->refs, 1, __ATOMIC_RELAXED);
	return set;
}

void flag_set_unref(struct flag_set *set)
{
	if (!set || __atomic_sub_fetch(&set->refs, 1, __ATOMIC_ACQ_REL))
		return;
	map_fini(&set->flags);
	arena_fini(&set->arena);
	free(set);
}

static const struct flag *find(const struct flag_set *set, struct span name)
{
	struct map_entry *found = set ? map_find(&set->flags, name) : NULL;
	return found ? container_of(found, struct flag, entry) : NULL;
}

unsigned flag_set_count(const struct flag_set *set) { return (unsigned)set->flags.count; }
struct span flag_set_document(const struct flag_set *set) { return set->document; }

bool flag_set_has(const struct flag_set *set, const struct conf_flag *wanted)
{
	const struct flag *f = find(set, span_of(wanted->name));
	bool has = f && !wanted->variant[0];
	for (unsigned i = 0; f && !has && i < f->variant_count; i++)
		has = span_eq(f->variants[i].name, span_of(wanted->variant));
	return has;
}

static void note_change(struct text *out, char mark, struct span name)
{
	text_f(out, "%s%c" SPAN_FMT, out->len ? ", " : "", mark, SPAN_ARG(name));
}

void flag_set_changes(const struct flag_set *before, const struct flag_set *after, struct text *out)
{
	for (struct map_entry *e = NULL; (e = map_next(&after->flags, e));) {
		const struct flag *f = container_of(e, struct flag, entry), *old = find(before, e->key);
		if (!old || !span_eq(old->text, f->text))
			note_change(out, old ? '~' : '+', e->key);
	}
	for (struct map_entry *e = NULL; (e = map_next(&before->flags, e));)
		if (!find(after, e->key))
			note_change(out, '-', e->key);
}

/* ── who is in ── */

/* Two places from 0 to below 1, that know nothing of each other. Not seeded: the same in all processes. */
struct places { double share, variant; };

static double place(uint64_t hash) { return (double)(hash >> 11) * 0x1p-53; }

static struct places places_of(const struct flag *f, const struct request *r, struct span client_address)
{
	unsigned char room[REQUEST_KEY_ROOM];
	struct span key = request_key_of(&f->key, r, client_address, room);
	if (!key.len)
		return (struct places){ 1, 1 };               /* without it: behind all others */
	XXH128_hash_t hash = XXH3_128bits_withSeed(key.at, key.len, XXH3_64bits(f->entry.key.at, f->entry.key.len));
	return (struct places){ place(hash.high64), place(hash.low64) };
}

bool flag_set_on(const struct flag_set *set, struct span name, const struct request *r, struct span client_address, struct span *variant)
{
	const struct flag *f = find(set, name);
	if (variant)
		*variant = SPAN_NONE;
	if (!f || !f->enabled)
		return false;
	if (f->share >= 1 && !f->variant_count)
		return true;
	struct places p = places_of(f, r, client_address);
	if (f->share < 1 && p.share >= f->share)
		return false;
	unsigned i = 0;
	while (i + 1 < f->variant_count && p.variant >= f->variants[i].until)
		i++;
	if (variant && f->variant_count)
		*variant = f->variants[i].name;
	return true;
}

/* ── the book ── */

bool flag_book_init(struct flag_book *b)
{
	char words[64];
	struct text why;
	text_over(&why, words, sizeof(words));
	b->set = flag_set_read(SPAN("{\"flags\":{}}"), &why);
	return b->set && pthread_mutex_init(&b->lock, NULL) == 0;
}

void flag_book_fini(struct flag_book *b)
{
	flag_set_unref(b->set);
	pthread_mutex_destroy(&b->lock);
}

void flag_book_publish(struct flag_book *b, struct flag_set *set)
{
	pthread_mutex_lock(&b->lock);
	struct flag_set *before = b->set;
	__atomic_store_n(&b->set, set, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&b->lock);
	flag_set_unref(before);
}

/* The worker's own hold keeps the address from being another set's. */
static struct flag_set *look(struct worker *w)
{
	struct flag_book *b = w->flag_book;
	if (__atomic_load_n(&b->set, __ATOMIC_ACQUIRE) != w->flag_set) {
		flag_set_unref(w->flag_set);
		pthread_mutex_lock(&b->lock);
		w->flag_set = flag_set_ref(b->set);
		pthread_mutex_unlock(&b->lock);
	}
	return w->flag_set;
}

/* ── a request ── */

const struct flag_set *exchange_flags(struct exchange *ex)
{
	if (!ex->flags && ex->worker->flag_book)
		ex->flags = flag_set_ref(look(ex->worker));
	return ex->flags;
}

bool exchange_flag(struct exchange *ex, const struct conf_flag *wanted)
{
	struct span variant;
	return flag_set_on(exchange_flags(ex), span_of(wanted->name), &ex->request, ex->client_address, &variant)
		&& (!wanted->variant[0] || span_eq(variant, span_of(wanted->variant)));
}

bool exchange_dry_run(struct exchange *ex, const struct conf_dry_run *dry)
{
	return dry->when == CONF_DRY_FLAG ? exchange_flag(ex, &dry->flag) : dry->when == CONF_DRY_ALWAYS;
}

/* Written as a dictionary of RFC 9651 is: true has no value; what is off, or unknown, is left out. */
void exchange_forward_flags(struct exchange *ex, const struct conf_texts *names)
{
	size_t room = 1;
	struct span variant;
	struct text t;
	for (unsigned i = 0; i < names->count; i++)
		room += names->at[i].len + FLAG_WORD_MAX + 3;
	char *memory = arena_text(&ex->arena, room);
	text_over(&t, memory, memory ? room : 0);
	for (unsigned i = 0; memory && i < names->count; i++) {
		if (!flag_set_on(exchange_flags(ex), names->at[i], &ex->request, ex->client_address, &variant))
			continue;
		text_add(&t, t.len ? SPAN(", ") : SPAN(""));
		text_add(&t, names->at[i]);
		text_add(&t, variant.len ? SPAN("=") : SPAN(""));
		text_add(&t, variant);
	}
	ex->request.told = text_span(&t);
	exchange_set_request_field(ex, SPAN("x-flags"), ex->request.told);
}
