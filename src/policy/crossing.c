/* crossing.c - see crossing.h. A message that is on its way holds the core; a crossing without doors lives on until it has come. */
#include "crossing.h"

#include <stdlib.h>

static void crossing_free(struct crossing *c)
{
	link_remove(&c->link);
	free(c);
}

static void arrived(struct message *m)
{
	struct crossing *c = container_of(m, struct crossing, message);
	void (*deliver)(struct list *) = c->deliver, *core = c->core;
	pthread_mutex_t *lock = c->lock;
	struct shared *shared = c->shared;
	struct list parcels;

	list_init(&parcels);
	pthread_mutex_lock(lock);
	c->posted = false;
	list_join(&parcels, &c->parcels);
	if (!c->users)
		crossing_free(c);
	pthread_mutex_unlock(lock);
	deliver(&parcels);
	shared_give(shared, core);
}

struct crossing *crossing_take(struct list *crossings, pthread_mutex_t *lock, const struct policy_env *env, void *core,
	void (*deliver)(struct list *))
{
	struct crossing *found = NULL;
	pthread_mutex_lock(lock);
	list_each(l, crossings)
		if (container_of(l, struct crossing, link)->worker == env->worker)
			found = container_of(l, struct crossing, link);
	if (!found && (found = calloc(1, sizeof(*found)))) {
		found->lock = lock;
		found->core = core;
		found->shared = env->shared;
		found->worker = env->worker;
		found->message.run = arrived;
		found->deliver = deliver;
		list_init(&found->parcels);
		list_append(crossings, &found->link);
	}
	if (found)
		found->users++;
	pthread_mutex_unlock(lock);
	return found;
}

void crossing_give(struct crossing *c)
{
	pthread_mutex_t *lock = c->lock;
	pthread_mutex_lock(lock);
	if (--c->users == 0 && !c->posted)
		crossing_free(c);
	pthread_mutex_unlock(lock);
}

void crossing_send(struct crossing *c, struct link *parcel)
{
	list_append(&c->parcels, parcel);
	if (c->posted)
		return;
	c->posted = true;
	shared_hold(c->shared, c->core);
	worker_post(c->worker, &c->message);
}
