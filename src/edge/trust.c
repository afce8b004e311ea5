/* trust.c - addresses and networks whose word we take: a short list, walked. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "edge/listen.h"

/* IPv4 is kept as v4-mapped IPv6, so there is one kind of address. */
struct network { unsigned char at[16]; unsigned bits; };
struct trust { unsigned count; bool unix_peers; struct network networks[]; };

static const unsigned char v4_prefix[12] = { [10] = 0xff, [11] = 0xff };

static bool parse(struct span text, struct network *out)
{
	char host[INET6_ADDRSTRLEN];
	uint64_t bits;
	const char *slash = memchr(text.at, '/', text.len);
	struct span address = slash ? span_between(text.at, slash) : text;

	if (address.len >= sizeof(host))
		return false;
	memcpy(host, address.at, address.len);
	host[address.len] = '\0';
	bool v4 = inet_pton(AF_INET, host, out->at + 12) == 1;
	if (v4)
		memcpy(out->at, v4_prefix, sizeof(v4_prefix));
	else if (inet_pton(AF_INET6, host, out->at) != 1)
		return false;
	bits = v4 ? 32 : 128;
	if (slash && !span_to_u64(span_between(slash + 1, span_end(text)), bits, &bits))
		return false;
	out->bits = (unsigned)bits + (v4 ? 96 : 0);
	return true;
}

struct trust *trust_new(const struct conf_texts *texts)
{
	struct trust *t = calloc(1, sizeof(*t) + texts->count * sizeof(t->networks[0]));
	for (unsigned i = 0; t && i < texts->count; i++) {
		if (span_eq(texts->at[i], SPAN("unix:")))
			t->unix_peers = true;
		else if (!parse(texts->at[i], &t->networks[t->count++])) {
			free(t);
			return NULL;
		}
	}
	return t;
}

void trust_free(struct trust *t) { free(t); }

static bool inside(const struct network *n, const unsigned char *at)
{
	unsigned whole = n->bits / 8, rest = n->bits % 8;
	if (memcmp(n->at, at, whole) != 0)
		return false;
	return rest == 0 || ((n->at[whole] ^ at[whole]) >> (8 - rest)) == 0;
}

bool trust_has(const struct trust *t, const struct sockaddr *peer)
{
	unsigned char at[16];
	if (peer->sa_family == AF_INET) {
		memcpy(at, v4_prefix, sizeof(v4_prefix));
		memcpy(at + 12, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4);
	} else if (peer->sa_family == AF_INET6)
		memcpy(at, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr, 16);
	else
		return t->unix_peers;
	for (unsigned i = 0; i < t->count; i++)
		if (inside(&t->networks[i], at))
			return true;
	return false;
}
