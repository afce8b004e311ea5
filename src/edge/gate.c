/* gate.c - how many connections there are, in the process and per client address. */
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"
#include "edge/listen.h"

enum { ADDRESSES_MAX = 1000000 };

struct gate {
	uint64_t max, max_per_ip, own_count;  /* atomic */
	uint64_t *count;                      /* atomic */
	pthread_mutex_t lock;                 /* of the map; not taken unless max_per_ip is set */
	struct map addresses;
};
struct guest { struct map_entry entry; uint64_t count; unsigned len; char at[16]; };

struct gate *gate_new(uint64_t max, uint64_t max_per_ip, uint64_t *count)
{
	struct gate *g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->max = max;
	g->max_per_ip = max_per_ip;
	g->count = count ? count : &g->own_count;
	pthread_mutex_init(&g->lock, NULL);
	map_init(&g->addresses, ADDRESSES_MAX, clock_now_us());
	return g;
}

void gate_free(struct gate *g)
{
	if (!g)
		return;
	map_fini(&g->addresses);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

void gate_set(struct gate *g, uint64_t max, uint64_t max_per_ip)
{
	__atomic_store_n(&g->max, max, __ATOMIC_RELAXED);
	__atomic_store_n(&g->max_per_ip, max_per_ip, __ATOMIC_RELAXED);
}

uint64_t gate_count(const struct gate *g) { return __atomic_load_n(g->count, __ATOMIC_RELAXED); }

/* IPv6 clients own a /64 (RFC 6177): counting single addresses would count nothing. */
static struct span key_of(const struct sockaddr *peer)
{
	if (peer->sa_family == AF_INET)
		return (struct span){ (const char *)&((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4 };
	if (peer->sa_family == AF_INET6) {
		const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
		return IN6_IS_ADDR_V4MAPPED(v6) ? (struct span){ (const char *)&v6->s6_addr[12], 4 } : (struct span){ (const char *)v6, 8 };
	}
	return SPAN_NONE;
}

static uint64_t max_per_ip(const struct gate *g) { return __atomic_load_n(&g->max_per_ip, __ATOMIC_RELAXED); }

static bool enter_address(struct gate *g, struct span key)
{
	struct map_entry *e = map_find(&g->addresses, key);
	struct guest *guest = e ? container_of(e, struct guest, entry) : NULL;
	if (!guest) {
		guest = calloc(1, sizeof(*guest));
		if (!guest)
			return false;
		memcpy(guest->at, key.at, key.len);
		if (!map_add(&g->addresses, &guest->entry, (struct span){ guest->at, key.len })) {
			free(guest);
			return false;
		}
	}
	if (guest->count >= max_per_ip(g))
		return false;
	guest->count++;
	return true;
}

bool gate_enter(struct gate *g, const struct sockaddr *peer, enum refused_cause *why)
{
	if (__atomic_add_fetch(g->count, 1, __ATOMIC_RELAXED) > __atomic_load_n(&g->max, __ATOMIC_RELAXED)) {
		__atomic_sub_fetch(g->count, 1, __ATOMIC_RELAXED);
		*why = REFUSED_max_connections;
		return false;
	}
	struct span key = key_of(peer);
	if (!max_per_ip(g) || !key.len)
		return true;
	pthread_mutex_lock(&g->lock);
	bool in = enter_address(g, key);
	pthread_mutex_unlock(&g->lock);
	if (!in) {
		__atomic_sub_fetch(g->count, 1, __ATOMIC_RELAXED);
		*why = REFUSED_per_ip;
	}
	return in;
}

void gate_leave(struct gate *g, const struct sockaddr *peer)
{
	__atomic_sub_fetch(g->count, 1, __ATOMIC_RELAXED);
	struct span key = peer ? key_of(peer) : SPAN_NONE;
	if (!max_per_ip(g) || !key.len)
		return;
	pthread_mutex_lock(&g->lock);
	struct map_entry *e = map_find(&g->addresses, key);
	struct guest *guest = e ? container_of(e, struct guest, entry) : NULL;
	if (guest && --guest->count == 0) {
		map_remove(&g->addresses, e);
		free(guest);
	}
	pthread_mutex_unlock(&g->lock);
}
