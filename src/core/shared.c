/* shared.c - the table of process-wide policy cores. One lock, held for a lookup, while init, adapt or fini runs, and while somebody looks at all. */
#include "core/shared.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"
#include "base/must.h"

enum { SHARED_MAX = 1000000, KEY_MAX = 1024 };    /* cores: policies x upstreams or routes */

struct shared {
	pthread_mutex_t lock;
	struct map      by_key;
	struct list     all, kins;            /* as they were made; and by kind */
	shared_visit   *on_new; void *self;
	const struct lasting_ops *lasting; void *keeper;
};
struct kin { struct link link; const struct core_kind *kind; struct list cores; };    /* stays, once there */
struct core {
	struct map_entry entry;
	struct link link, with_kin;
	unsigned    refs;                     /* atomic */
	const struct core_kind *kind;
	char       *key;                      /* "circuit_breaker/orders" */
	struct span name;                     /* the part behind the slash */
	_Alignas(max_align_t) unsigned char memory[];
};

struct shared *shared_new(void)
{
	struct shared *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	map_init(&s->by_key, SHARED_MAX, 0);
	list_init(&s->all);
	list_init(&s->kins);
	return s;
}

void shared_free(struct shared *s)
{
	if (!s)
		return;
	must(list_empty(&s->all));
	list_each(l, &s->kins)
		free(container_of(l, struct kin, link));
	map_fini(&s->by_key);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static struct span key_of(char memory[KEY_MAX], const char *kind, struct span name)
{
	struct text t;
	text_over(&t, memory, KEY_MAX);
	text_add(&t, span_of(kind));
	text_char(&t, '/');
	text_add(&t, name);
	must(!t.cut);                     /* names come from the configuration, where they have a limit */
	return text_span(&t);
}

static struct core *find(struct shared *s, const char *kind, struct span name)
{
	char memory[KEY_MAX];
	struct map_entry *found = map_find(&s->by_key, key_of(memory, kind, name));
	return found ? container_of(found, struct core, entry) : NULL;
}

static struct kin *kin_of(const struct shared *s, const struct core_kind *kind)
{
	list_each(l, &s->kins)
		if (container_of(l, struct kin, link)->kind == kind)
			return container_of(l, struct kin, link);
	return NULL;
}

static struct kin *kin_made(struct shared *s, const struct core_kind *kind)
{
	struct kin *kin = kin_of(s, kind);
	if (kin || !(kin = malloc(sizeof(*kin))))
		return kin;
	kin->kind = kind;
	list_init(&kin->cores);
	list_append(&s->kins, &kin->link);
	return kin;
}

static void core_free(struct core *c)
{
	free(c->key);
	free(c);
}

static struct core *core_new(struct shared *s, const struct core_kind *kind, struct span name, const void *with)
{
	char memory[KEY_MAX];
	struct span key = key_of(memory, kind->name, name);
	struct kin *kin = kin_made(s, kind);
	struct core *c = kin ? calloc(1, sizeof(*c) + kind->size) : NULL;
	if (!c || !(c->key = malloc(key.len))) {
		free(c);
		return NULL;
	}
	memcpy(c->key, key.at, key.len);
	key.at = c->key;
	c->name = span_from(key, strlen(kind->name) + 1);
	c->kind = kind;
	if (!map_add(&s->by_key, &c->entry, key)) {
		core_free(c);
		return NULL;
	}
	if (!kind->init(c->memory, with)) {
		map_remove(&s->by_key, &c->entry);
		core_free(c);
		return NULL;
	}
	list_append(&s->all, &c->link);
	list_append(&kin->cores, &c->with_kin);
	if (s->on_new)
		s->on_new(s->self, kind, c->name, c->memory);
	return c;
}

void *shared_take(struct shared *s, const struct core_kind *kind, struct span name, const void *with)
{
	pthread_mutex_lock(&s->lock);
	struct core *c = find(s, kind->name, name);
	if (!c)
		c = core_new(s, kind, name, with);
	else if (kind->adapt)
		kind->adapt(c->memory, with);
	if (c) {
		must(c->kind == kind);
		__atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&s->lock);
	return c ? c->memory : NULL;
}

void shared_hold(struct shared *s, void *memory)
{
	(void)s;                                  /* without the table's lock: whoever looks at all cores holds it, and takes theirs */
	__atomic_fetch_add(&container_of(memory, struct core, memory)->refs, 1, __ATOMIC_RELAXED);
}

void shared_give(struct shared *s, void *memory)
{
	struct core *c = container_of(memory, struct core, memory);
	pthread_mutex_lock(&s->lock);
	if (__atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) == 0) {
		map_remove(&s->by_key, &c->entry);
		link_remove(&c->link);
		link_remove(&c->with_kin);
		if (c->kind->fini)
			c->kind->fini(memory);
		core_free(c);
	}
	pthread_mutex_unlock(&s->lock);
}

static void visit_core(struct core *c, shared_visit *visit, void *self) { visit(self, c->kind, c->name, c->memory); }

void shared_each(struct shared *s, const struct core_kind *kind, shared_visit *visit, void *self)
{
	pthread_mutex_lock(&s->lock);
	const struct kin *kin = kind ? kin_of(s, kind) : NULL;
	if (!kind)
		list_each(l, &s->all)
			visit_core(container_of(l, struct core, link), visit, self);
	else if (kin)
		list_each(l, &kin->cores)
			visit_core(container_of(l, struct core, with_kin), visit, self);
	pthread_mutex_unlock(&s->lock);
}

void shared_on_new(struct shared *s, shared_visit *visit, void *self)
{
	pthread_mutex_lock(&s->lock);
	s->on_new = visit;
	s->self = self;
	pthread_mutex_unlock(&s->lock);
}

void shared_lasts_by(struct shared *s, const struct lasting_ops *ops, void *self)
{
	s->lasting = ops;
	s->keeper = self;
}

void *lasting_take(struct shared *s, struct span name, size_t size, bool *found)
{
	void *memory = s->lasting ? s->lasting->take(s->keeper, name, size, found) : NULL;
	if (memory)
		return memory;
	*found = false;
	return calloc(1, size);
}

void lasting_give(struct shared *s, void *memory)
{
	if (memory && (!s->lasting || !s->lasting->give(s->keeper, memory)))
		free(memory);
}

bool shared_with(struct shared *s, const char *kind, struct span name, shared_visit *visit, void *self)
{
	pthread_mutex_lock(&s->lock);
	struct core *c = find(s, kind, name);
	if (c)
		visit(self, c->kind, c->name, c->memory);
	pthread_mutex_unlock(&s->lock);
	return c != NULL;
}
