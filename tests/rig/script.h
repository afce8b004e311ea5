/* script.h - a pretend upstream: a list of deeds; each try gets the next one, the last one is repeated.
 *
 * It checks what it is told as strictly as a guest does: body bytes in order and once, one end, credit kept, nothing after a cancel.
 */
#ifndef RIG_SCRIPT_H
#define RIG_SCRIPT_H

#include "clock.h"
#include "core/exchange.h"

struct world;

enum { DEEDS_MAX = 12, DEED_FIELDS = 4, SEEN_TEXT = 2048 };

struct deed {
	struct span on;                       /* each try at the endpoint of this name; empty: the next one at any */
	int         status;                   /* 0: fails                                                        */
	enum reason failure;
	uint64_t    after_us;                 /* counted from the end of the request, or ...                     */
	bool        early;                    /* ... from its beginning                                          */
	bool        silent;                   /* never answers                                                   */
	bool        unseen;                   /* no byte of the request reached the endpoint (refused ...)       */
	bool        reused;                   /* the connection had been kept alive: reused_dead                 */
	bool        within;                   /* reports inside start, or inside the call that ends the request  */
	int         informational;            /* a 1xx before                                                    */
	uint64_t    body, by, every_us, body_after_us;
	bool        streams;                  /* its length is not told                                          */
	bool        end_apart;                /* the end comes in an event of its own                            */
	bool        breaks; uint64_t breaks_at; enum reason breaks_with;
	uint64_t    take_by, take_every_us;   /* how it takes the request's body; 0: all, at once                */
	bool        chokes; uint64_t chokes_at;       /* fails within body(), at that byte of the request                */
	bool        takes_nothing;
	bool        eager;                    /* pays request bytes back within body()                           */
	bool        ends_first;               /* of a tunnel: does not wait for the client's end                 */
	struct conf_pair fields[DEED_FIELDS]; unsigned field_count;
};

struct script {
	struct world *world;
	struct deed   deeds[DEEDS_MAX]; unsigned count, next;
	unsigned      started, running, cancelled, ended, failed;
	char          seen[SEEN_TEXT]; size_t seen_len;      /* the last request's head, as forwarded: "GET /x host\nname: value\n" */
	char          asked[256]; size_t asked_len;          /* the endpoints asked, one word each           */
};

void script_init(struct script *, struct world *);
struct deed *script_add(struct script *);                /* zeroed; 200 without a body when left so      */
void script_clear(struct script *);

extern const struct upstream_ops script_ops;

#endif
