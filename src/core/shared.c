/* shared.c - the table of process-wide policy cores. One lock, held for a lookup and while init or fini runs. */
#include "core/shared.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"
#include "base/must.h"

enum { SHARED_MAX = 100000 };             /* cores: policies x upstreams or routes */

struct shared { pthread_mutex_t lock; struct map cores; };
struct core {
	struct map_entry entry;
	unsigned refs;
	void   (*fini)(void *);
	char    *name;
	_Alignas(max_align_t) unsigned char memory[];
};

struct shared *shared_new(void)
{
	struct shared *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	map_init(&s->cores, SHARED_MAX, 0);
	return s;
}

void shared_free(struct shared *s)
{
	if (!s)
		return;
	must(s->cores.count == 0);
	map_fini(&s->cores);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static struct core *core_new(struct shared *s, struct span name, size_t size)
{
	struct core *c = calloc(1, sizeof(*c) + size);
	if (!c)
		return NULL;
	c->name = malloc(name.len + 1);
	if (c->name) {
		memcpy(c->name, name.at, name.len);
		c->name[name.len] = '\0';
		if (map_add(&s->cores, &c->entry, (struct span){ c->name, name.len }))
			return c;
	}
	free(c->name);
	free(c);
	return NULL;
}

void *shared_take(struct shared *s, struct span name, size_t size, void (*init)(void *, const void *), const void *with,
	void (*fini)(void *))
{
	pthread_mutex_lock(&s->lock);
	struct map_entry *found = map_find(&s->cores, name);
	struct core *c = found ? container_of(found, struct core, entry) : core_new(s, name, size);
	if (c && c->refs++ == 0) {
		c->fini = fini;
		init(c->memory, with);
	}
	pthread_mutex_unlock(&s->lock);
	return c ? c->memory : NULL;
}

void shared_give(struct shared *s, void *memory)
{
	struct core *c = container_of(memory, struct core, memory);
	pthread_mutex_lock(&s->lock);
	if (--c->refs == 0) {
		map_remove(&s->cores, &c->entry);
		if (c->fini)
			c->fini(memory);
		free(c->name);
		free(c);
	}
	pthread_mutex_unlock(&s->lock);
}
