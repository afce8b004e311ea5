/* dns.h - questions to the DNS (and the hosts file), asked by c-ares on a uv loop. edge/resolve.c is who asks.
 *
 * One thread. A question is asked into a slot of the asker's: the slot is set before anything else happens, and empty again when
 * `done` is called, which may be before dns_ask returns (the hosts file answers at once). dns_cancel empties it and is final.
 */
#ifndef EDGE_DNS_H
#define EDGE_DNS_H

#include <uv.h>

#include "core/discover.h"

struct dns;
struct dns_query;

enum dns_kind {
	DNS_ADDRESSES,                        /* A and AAAA, in the order to try them (RFC 6724) */
	DNS_SERVICES,                         /* SRV: the targets of the best priority (RFC 2782) */
};

/* Good until `done` returns. */
struct dns_answer {
	bool        ok, timed_out;
	const char *error;                    /* !ok: for people */
	bool        local;                    /* from the hosts file: has no time to live */
	uint64_t    ttl_s;                    /* of the shortest-lived record */
	const struct address *addresses; unsigned address_count;
	const struct found   *targets;   unsigned target_count;
};

struct dns_question {
	enum dns_kind kind;
	const char *name;                     /* copied by c-ares */
	unsigned port;                        /* that the addresses get */
	void (*done)(void *self, const struct dns_answer *);       /* once, unless cancelled; may ask again, must not free the dns */
	void *self;
};

struct dns *dns_new(uv_loop_t *);         /* NULL: out of memory, or no resolver to be had */
void dns_free(struct dns *);              /* open questions are dropped; the memory goes when the loop has closed the handles */
void dns_ask(struct dns *, const struct dns_question *, struct dns_query **slot);
void dns_cancel(struct dns_query **slot); /* harmless when empty */

#endif
