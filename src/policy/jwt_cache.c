/* jwt_cache.c - see jwt_cache.h. */
#include "jwt_cache.h"

#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { WAYS = 4 };

void jwt_cache_init(struct jwt_cache *c, uint64_t size, uint64_t seed)
{
	*c = (struct jwt_cache){ .seed = seed, .sets = (size_t)(size + WAYS - 1) / WAYS };
}

/* When the first token comes: most of ten thousand routes may never see one. */
static bool is_there(struct jwt_cache *c)
{
	if (!c->sets || c->at)
		return c->sets > 0;
	struct jwt **at = calloc(c->sets * WAYS, sizeof(*at));
	uint64_t *hash = calloc(c->sets * WAYS, sizeof(*hash));
	if (at && hash) {
		c->at = at;
		c->hash = hash;
		return true;
	}
	free(at);
	free(hash);
	return false;
}

void jwt_cache_fini(struct jwt_cache *c)
{
	for (size_t i = 0; c->at && i < c->sets * WAYS; i++)
		jwt_unref(c->at[i]);
	free(c->at);
	free(c->hash);
	*c = (struct jwt_cache){ .sets = 0 };
}

static uint64_t hash_of(const struct jwt_cache *c, struct span token) { return XXH3_64bits_withSeed(token.at, token.len, c->seed); }
static size_t first_of(const struct jwt_cache *c, uint64_t hash) { return (size_t)(hash % c->sets) * WAYS; }

static size_t place_of(const struct jwt_cache *c, struct span token, uint64_t hash)
{
	size_t first = first_of(c, hash), i = first;
	while (i < first + WAYS && !(c->at[i] && c->hash[i] == hash && span_eq(c->at[i]->token, token)))
		i++;
	return i < first + WAYS ? i : c->sets * WAYS;
}

struct jwt *jwt_cache_find(const struct jwt_cache *c, struct span token)
{
	if (!c->at)
		return NULL;
	size_t i = place_of(c, token, hash_of(c, token));
	return i < c->sets * WAYS ? c->at[i] : NULL;
}

void jwt_cache_put(struct jwt_cache *c, struct jwt *jwt)
{
	if (!is_there(c))
		return;
	uint64_t hash = hash_of(c, jwt->token);
	size_t to = place_of(c, jwt->token, hash);
	if (to == c->sets * WAYS) {
		size_t first = to = first_of(c, hash);
		for (size_t i = first; i < first + WAYS && c->at[to]; i++)
			if (!c->at[i] || c->at[i]->until_ms < c->at[to]->until_ms)
				to = i;
	}
	jwt->refs++;
	jwt_unref(c->at[to]);
	c->at[to] = jwt;
	c->hash[to] = hash;
}
