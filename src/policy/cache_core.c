/* cache_core.c - see cache_core.h. */
#include "cache_core.h"

#include <stdlib.h>

#include "vary.h"

enum { PAGES_MAX = 10000000, VARIANTS_MAX = 16, KEY_MAX = 8192, ENTRY_OVERHEAD = 1024 };
static const uint64_t REFRESH_US = 30000000, REFRESH_AGAIN_US = 1000000;

struct cache_page { struct map_entry entry; struct list variants; unsigned count; size_t key_len; char key[]; };
struct cache_entry {
	struct link     recent, variant;
	struct cache_page *page;
	struct capture *capture;
	uint64_t        stored_us, fresh_until_us, age_us, revalidate_us, error_us;
	uint64_t        refreshing_until_us;  /* somebody asks for it again, and has until then */
	size_t          bytes;
	bool            for_all;
	struct span     vary;                 /* "accept-language=de\n...": names with the values of the request that it answers */
	char            vary_memory[];
};

/* ── keys ── */

/* Of a split route: what one version answers is not the other's answer. */
static bool page_key(const struct request *r, struct span upstream, struct text *out)
{
	text_add(out, r->authority);
	text_char(out, '\n');
	text_add(out, r->target);
	text_char(out, '\n');
	text_add(out, upstream);
	return !out->cut;
}

/* The request's part of the variant's key: each name that `reply` varies with, and this request's values. false: it cannot be kept. */
static bool vary_key(const struct reply *reply, const struct exchange *ex, struct text *out)
{
	char memory[VARY_NAMES_TEXT];
	struct text names;
	text_over(&names, memory, sizeof(memory));
	if (!vary_names_add(&names, reply, NULL))
		return false;
	if (ex->request.told.len) {
		text_add(out, ex->request.told);
		text_char(out, '\n');
	}
	vary_add(out, text_span(&names), ex);
	return !out->cut;
}

/* ── entries ── */

static void entry_drop(struct cache_core *core, struct cache_entry *e)
{
	struct cache_page *page = e->page;
	link_remove(&e->recent);
	link_remove(&e->variant);
	core->bytes -= e->bytes;
	core->entries--;
	capture_unref(e->capture);
	free(e);
	if (--page->count)
		return;
	map_remove(&core->pages, &page->entry);
	free(page);
}

static struct cache_page *page_find(struct cache_core *core, const struct request *r, struct span upstream)
{
	char memory[KEY_MAX];
	struct text key;
	text_over(&key, memory, sizeof(memory));
	struct map_entry *found = page_key(r, upstream, &key) ? map_find(&core->pages, text_span(&key)) : NULL;
	return found ? container_of(found, struct cache_page, entry) : NULL;
}

static struct cache_page *page_new(struct cache_core *core, const struct request *r, struct span upstream)
{
	char memory[KEY_MAX];
	struct text key;
	text_over(&key, memory, sizeof(memory));
	if (!page_key(r, upstream, &key))
		return NULL;
	struct cache_page *page = calloc(1, sizeof(*page) + key.len);
	if (!page)
		return NULL;
	memcpy(page->key, key.at, key.len);
	page->key_len = key.len;
	list_init(&page->variants);
	if (map_add(&core->pages, &page->entry, (struct span){ page->key, page->key_len }))
		return page;
	free(page);
	return NULL;
}

static bool answers(const struct cache_entry *e, const struct exchange *ex)
{
	char memory[VARY_TEXT];
	struct text vary;
	if (!e->vary.len && !ex->request.told.len)
		return true;
	text_over(&vary, memory, sizeof(memory));
	return vary_key(&e->capture->reply, ex, &vary) && span_eq(text_span(&vary), e->vary);
}

static struct cache_entry *entry_find(struct cache_core *core, const struct exchange *ex)
{
	struct cache_page *page = page_find(core, &ex->request, ex->route->upstream->name);
	if (!page)
		return NULL;
	list_each(l, &page->variants)
		if (answers(container_of(l, struct cache_entry, variant), ex))
			return container_of(l, struct cache_entry, variant);
	return NULL;
}

/* ── looking ── */

void cache_find(struct cache_core *core, const struct exchange *ex, const struct cache_demand *demand, uint64_t now_us, struct cache_found *out)
{
	*out = (struct cache_found){ 0 };
	pthread_mutex_lock(&core->lock);
	struct cache_entry *e = entry_find(core, ex);
	if (e && (!demand->personal || e->for_all)) {
		uint64_t late = now_us > e->fresh_until_us ? now_us - e->fresh_until_us : 0;
		out->capture = capture_ref(e->capture);
		out->age_us = e->age_us + (now_us - e->stored_us);
		out->left_us = late ? 0 : e->fresh_until_us - now_us;
		out->late_us = late;
		out->may_revalidate = late && late <= e->revalidate_us;
		out->on_error = !late || late <= e->error_us;
		out->refresh = out->may_revalidate && e->refreshing_until_us <= now_us;
		if (out->refresh)
			e->refreshing_until_us = now_us + REFRESH_US;
		link_remove(&e->recent);
		list_push(&core->recent, &e->recent);
	}
	pthread_mutex_unlock(&core->lock);
}

/* ── keeping ── */

static void set_terms(struct cache_entry *e, const struct cache_terms *t, uint64_t now_us)
{
	e->stored_us = now_us;
	e->fresh_until_us = now_us + t->fresh_us;
	e->age_us = t->age_us;
	e->revalidate_us = t->revalidate_us;
	e->error_us = t->error_us;
	e->for_all = t->for_all;
	e->refreshing_until_us = 0;
}

static struct cache_entry *entry_new(const struct exchange *ex, struct capture *c, const struct cache_terms *t, uint64_t now_us)
{
	char memory[VARY_TEXT];
	struct text vary;
	text_over(&vary, memory, sizeof(memory));
	if (!vary_key(&c->reply, ex, &vary))
		return NULL;
	struct cache_entry *e = calloc(1, sizeof(*e) + vary.len);
	if (!e)
		return NULL;
	if (vary.len)
		memcpy(e->vary_memory, vary.at, vary.len);
	e->vary = (struct span){ e->vary_memory, vary.len };
	e->capture = capture_ref(c);
	e->bytes = c->size + ENTRY_OVERHEAD + vary.len + ex->request.target.len + ex->request.authority.len;
	set_terms(e, t, now_us);
	return e;
}

bool cache_keep(struct cache_core *core, const struct exchange *ex, struct capture *c, const struct cache_terms *t, uint64_t now_us)
{
	const struct request *r = &ex->request;
	struct cache_entry *e = entry_new(ex, c, t, now_us);
	if (!e)
		return false;
	pthread_mutex_lock(&core->lock);
	struct cache_entry *before = entry_find(core, ex);
	struct cache_page *page = page_find(core, r, ex->route->upstream->name);
	page = page ? page : page_new(core, r, ex->route->upstream->name);
	bool kept = page && e->bytes <= core->max_size;
	if (kept) {
		e->page = page;
		list_push(&page->variants, &e->variant);
		page->count++;
		list_push(&core->recent, &e->recent);
		core->bytes += e->bytes;
		core->entries++;
		if (before)
			entry_drop(core, before);
		else if (page->count > VARIANTS_MAX)
			entry_drop(core, container_of(list_last(&page->variants), struct cache_entry, variant));
		while (core->bytes > core->max_size) {
			entry_drop(core, container_of(list_last(&core->recent), struct cache_entry, recent));
			core->evicted++;
		}
	} else if (page && !page->count) {
		map_remove(&core->pages, &page->entry);
		free(page);
	}
	pthread_mutex_unlock(&core->lock);
	if (!kept) {
		capture_unref(e->capture);
		free(e);
	}
	return kept;
}

void cache_extend(struct cache_core *core, const struct exchange *ex, const struct cache_terms *t, uint64_t now_us)
{
	pthread_mutex_lock(&core->lock);
	struct cache_entry *e = entry_find(core, ex);
	if (e)
		set_terms(e, t, now_us);
	pthread_mutex_unlock(&core->lock);
}

void cache_refresh_failed(struct cache_core *core, const struct exchange *ex, uint64_t now_us)
{
	pthread_mutex_lock(&core->lock);
	struct cache_entry *e = entry_find(core, ex);
	if (e)
		e->refreshing_until_us = now_us + REFRESH_AGAIN_US;
	pthread_mutex_unlock(&core->lock);
}

static void forget_of(struct cache_core *core, const struct request *r, const struct route *way)
{
	struct cache_page *page = page_find(core, r, way->upstream->name);
	for (unsigned n = page ? page->count : 0; n; n--)
		entry_drop(core, container_of(list_first(&page->variants), struct cache_entry, variant));
}

void cache_forget(struct cache_core *core, const struct exchange *ex)
{
	const struct route *first = &ex->route->router->routes[ex->route->index];
	pthread_mutex_lock(&core->lock);
	forget_of(core, &ex->request, first);
	for (unsigned i = 0; i < first->other_count; i++)
		forget_of(core, &ex->request, &first->others[i]);
	pthread_mutex_unlock(&core->lock);
}

bool cache_take_room(struct cache_core *core, size_t so_far, size_t n)
{
	uint64_t max = __atomic_load_n(&core->max_size, __ATOMIC_RELAXED);
	if (so_far + n > max / 8)                 /* one alone does not push out most of the others */
		return false;
	if (__atomic_add_fetch(&core->growing, n, __ATOMIC_RELAXED) <= max)
		return true;
	cache_give_room(core, n);
	return false;
}

void cache_give_room(struct cache_core *core, size_t n) { __atomic_fetch_sub(&core->growing, n, __ATOMIC_RELAXED); }

/* ── the core, and how it is seen ── */

static bool core_init(void *memory, const void *with)
{
	struct cache_core *core = memory;
	core->max_size = ((const struct cache_conf *)with)->max_size;
	map_init(&core->pages, PAGES_MAX, (uint64_t)(uintptr_t)memory * 0x9e3779b97f4a7c15u);
	list_init(&core->recent);
	return pthread_mutex_init(&core->lock, NULL) == 0;
}

static void core_adapt(void *memory, const void *with)
{
	struct cache_core *core = memory;
	pthread_mutex_lock(&core->lock);
	__atomic_store_n(&core->max_size, ((const struct cache_conf *)with)->max_size, __ATOMIC_RELAXED);
	while (core->bytes > core->max_size)
		entry_drop(core, container_of(list_last(&core->recent), struct cache_entry, recent));
	pthread_mutex_unlock(&core->lock);
}

static void core_fini(void *memory)
{
	struct cache_core *core = memory;
	while (!list_empty(&core->recent))
		entry_drop(core, container_of(list_first(&core->recent), struct cache_entry, recent));
	map_fini(&core->pages);
	pthread_mutex_destroy(&core->lock);
}

static const char *const result_names[] = {
#define X(word) #word,
	CACHE_RESULTS(X)
#undef X
};
static uint64_t result_of(const struct cache_core *core, unsigned i) { return __atomic_load_n(&core->results[i], __ATOMIC_RELAXED); }

static void read_results(void *core, uint64_t now_us, struct samples *out)
{
	(void)now_us;
	for (unsigned i = 0; i < CACHE_RESULT_COUNT; i++) {
		struct label label = { "result", span_of(result_names[i]) };
		out->real(out, &label, 1, (double)result_of(core, i));
	}
}

struct cache_size { uint64_t bytes, entries, evicted; };
static struct cache_size size_of(void *memory)
{
	struct cache_core *core = memory;
	pthread_mutex_lock(&core->lock);
	struct cache_size size = { core->bytes, core->entries, core->evicted };
	pthread_mutex_unlock(&core->lock);
	return size;
}

static void read_bytes(void *core, uint64_t now_us, struct samples *out) { (void)now_us; out->real(out, NULL, 0, (double)size_of(core).bytes); }
static void read_entries(void *core, uint64_t now_us, struct samples *out) { (void)now_us; out->real(out, NULL, 0, (double)size_of(core).entries); }
static void read_evicted(void *core, uint64_t now_us, struct samples *out) { (void)now_us; out->real(out, NULL, 0, (double)size_of(core).evicted); }

static const struct core_series series[] = {
	{ "outrigger_cache_requests_total", "counter", "Requests by what the cache had for them.", read_results },
	{ "outrigger_cache_bytes", "gauge", "Memory of the answers that are kept.", read_bytes },
	{ "outrigger_cache_entries", "gauge", "Answers that are kept.", read_entries },
	{ "outrigger_cache_evictions_total", "counter", "Answers that made room for others.", read_evicted },
	{ NULL, NULL, NULL, NULL }
};

static void state_json(void *core, uint64_t now_us, struct json *j)
{
	struct cache_size size = size_of(core);
	(void)now_us;
	json_u64(j, "bytes", size.bytes);
	json_u64(j, "entries", size.entries);
	for (unsigned i = 0; i < CACHE_RESULT_COUNT; i++)
		json_u64(j, result_names[i], result_of(core, i));
}

static void summary(void *core, uint64_t now_us, struct text *out)
{
	struct cache_size size = size_of(core);
	(void)now_us;
	text_f(out, "%llu answers in %llu KiB, %llu hits, %llu stale, %llu misses", (unsigned long long)size.entries,
		(unsigned long long)(size.bytes + 1023) / 1024, (unsigned long long)result_of(core, CACHE_hit),
		(unsigned long long)result_of(core, CACHE_stale), (unsigned long long)result_of(core, CACHE_miss));
}

const struct core_kind cache_kind = {
	.name = "cache", .label = "route", .size = sizeof(struct cache_core), .init = core_init, .adapt = core_adapt, .fini = core_fini,
	.series = series, .state = state_json, .summary = summary,
};
