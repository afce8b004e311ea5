/* estate.c - see estate.h. */
#include "app/estate.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>

_Static_assert(ORDERS_SIGNAL == SIGUSR2, "the signal that says that there are orders");
_Static_assert(sizeof(struct estate_request) == 128, "two cache lines");

enum { BEYOND = 0xffff };                     /* exchange.note: 0 none, 1 + its place, or this: it found none */

#define X(word) #word,
static const char *const cause_names[] = { RESTART_CAUSES(X) };
#undef X
const char *restart_cause_name(enum restart_cause c) { return cause_names[c]; }

struct estate *estate_new(unsigned workers)
{
	size_t size = sizeof(struct estate) + workers * sizeof(struct estate_worker);
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return NULL;
	struct estate *e = memory;
	e->size = size;
	e->workers = workers;
	e->attic = attic_new(ESTATE_ATTIC);
	return e;
}

void estate_free(struct estate *e)
{
	if (!e)
		return;
	attic_free(e->attic);
	munmap(e, e->size);
}

void estate_next(struct estate *e)
{
	e->serving_us = 0;
	e->leaving = false;
	e->control_pulse_us = 0;
	e->connections = 0;
	if (e->attic)
		attic_next(e->attic);
	for (unsigned i = 0; i < e->workers; i++) {
		struct estate_worker *w = &e->worker[i];
		w->pulse_us = w->beyond = 0;
		for (unsigned k = 0; k < ESTATE_REQUESTS; k++)
			if (w->request[k].live)   /* reading does not make a page */
				w->request[k].live = false;
	}
}

/* ── requests in flight ── */

void estate_desk_init(struct estate_desk *d, struct estate *e, unsigned worker)
{
	d->worker = e ? &e->worker[worker] : NULL;
	d->free_count = ESTATE_REQUESTS;
	for (unsigned i = 0; i < ESTATE_REQUESTS; i++)    /* the first place is on top: a quiet server touches one page */
		d->free[i] = (unsigned short)(ESTATE_REQUESTS - 1 - i);
}

static void count_beyond(struct estate_worker *w, int change)
{
	__atomic_store_n(&w->beyond, w->beyond + (uint64_t)change, __ATOMIC_RELAXED);
}

void estate_begin(struct estate_desk *d, struct exchange *ex)
{
	if (!d->free_count) {
		ex->note = BEYOND;
		count_beyond(d->worker, +1);
		return;
	}
	unsigned place = d->free[--d->free_count];
	struct estate_request *r = &d->worker->request[place];
	struct span id = { ex->trace.request_id, ex->trace.request_id_len }, route = ex->route->conf ? ex->route->conf->name : SPAN("none");
	id = span_first(id, ESTATE_ID);
	route = span_first(route, ESTATE_ROUTE);
	r->since_ms = ex->worker->wall_ms;
	r->id_len = (unsigned char)id.len;
	r->route_len = (unsigned char)route.len;
	memcpy(r->id, id.at, id.len);
	memcpy(r->route, route.at, route.len);
	__atomic_store_n(&r->live, true, __ATOMIC_RELEASE);
	ex->note = (unsigned short)(place + 1);
}

void estate_over(struct estate_desk *d, const struct exchange *ex)
{
	if (ex->note == BEYOND)
		count_beyond(d->worker, -1);
	else if (ex->note) {
		__atomic_store_n(&d->worker->request[ex->note - 1].live, false, __ATOMIC_RELEASE);
		d->free[d->free_count++] = (unsigned short)(ex->note - 1);
	}
}

/* ── kept ── */

static unsigned other_half(const struct estate_kept *k) { return __atomic_load_n(&k->whole, __ATOMIC_ACQUIRE) == 1 ? 1 : 0; }

static void commit(struct estate_kept *k, unsigned half, size_t len)
{
	k->half[half].len = len;
	__atomic_store_n(&k->whole, 1 + half, __ATOMIC_RELEASE);
}

void estate_keep(struct estate_kept *k, struct span bytes)
{
	unsigned half = other_half(k);
	if (bytes.len > ESTATE_KEPT)
		bytes.len = 0;
	if (bytes.len)
		memcpy(k->half[half].bytes, bytes.at, bytes.len);
	commit(k, half, bytes.len);
}

struct span estate_kept(const struct estate_kept *k)
{
	unsigned whole = __atomic_load_n(&k->whole, __ATOMIC_ACQUIRE);
	return whole ? (struct span){ k->half[whole - 1].bytes, k->half[whole - 1].len } : SPAN_NONE;
}

/* One record after another: this, "kind/name", the state; each begins at a multiple of 8. */
struct record { uint32_t key_len, state_len; };
enum { STATE_MAX = 4096 };
static size_t padded(size_t n) { return (n + 7) & ~(size_t)7; }

struct saving { char *at; size_t len; uint64_t now_us; };

static void save_core(void *self, const struct core_kind *kind, struct span name, void *core)
{
	struct saving *s = self;
	_Alignas(max_align_t) char state[STATE_MAX];
	size_t kind_len = strlen(kind->name), key_len = kind_len + 1 + name.len;
	size_t state_len = kind->save ? kind->save(core, s->now_us, state, sizeof(state)) : 0;
	if (!state_len || s->len + sizeof(struct record) + padded(key_len) + padded(state_len) > ESTATE_KEPT)
		return;
	char *to = s->at + s->len;
	memcpy(to, &(struct record){ (uint32_t)key_len, (uint32_t)state_len }, sizeof(struct record));
	to += sizeof(struct record);
	memcpy(to, kind->name, kind_len);
	to[kind_len] = '/';
	memcpy(to + kind_len + 1, name.at, name.len);
	memcpy(to + padded(key_len), state, state_len);
	s->len += sizeof(struct record) + padded(key_len) + padded(state_len);
}

void estate_save_cores(struct estate *e, struct shared *shared, uint64_t now_us)
{
	unsigned half = other_half(&e->cores);
	struct saving saving = { e->cores.half[half].bytes, 0, now_us };
	shared_each(shared, NULL, save_core, &saving);
	commit(&e->cores, half, saving.len);
}

static bool is_key(struct span key, const struct core_kind *kind, struct span name)
{
	struct span word = span_of(kind->name);
	return key.len == word.len + 1 + name.len && span_starts(key, word) && key.at[word.len] == '/' && span_eq(span_from(key, word.len + 1), name);
}

void estate_restore_core(void *self, const struct core_kind *kind, struct span name, void *core)
{
	struct span rest = *(const struct span *)self;
	struct record r;
	while (kind->restore && rest.len > sizeof(r)) {
		memcpy(&r, rest.at, sizeof(r));
		rest = span_from(rest, sizeof(r));
		if (padded(r.key_len) + padded(r.state_len) > rest.len)
			return;
		if (is_key(span_first(rest, r.key_len), kind, name)) {
			kind->restore(core, rest.at + padded(r.key_len), r.state_len);
			return;
		}
		rest = span_from(rest, padded(r.key_len) + padded(r.state_len));
	}
}
