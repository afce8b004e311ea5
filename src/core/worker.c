/* worker.c - the memory and the lists of one data thread. */
#include "core/worker.h"

#include "base/must.h"
#include "core/flags.h"

enum { ARENAS_KEPT = 2048 };

void worker_init(struct worker *w, unsigned index, uint64_t seed)
{
	*w = (struct worker){ .index = index };
	timers_init(&w->timers);
	rand_seed(&w->rand, seed);
	arena_pool_init(&w->arenas, ARENAS_KEPT);
	chunk_pool_init(&w->chunks);
	list_init(&w->live);
	list_init(&w->ready);
	list_init(&w->graveyard);
}

void worker_fini(struct worker *w)
{
	must(list_empty(&w->live) && list_empty(&w->ready) && list_empty(&w->graveyard));
	flag_set_unref(w->flag_set);
	arena_pool_fini(&w->arenas);
	chunk_pool_fini(&w->chunks);
}
