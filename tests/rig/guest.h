/* guest.h - a pretend client: asks once, reads at its own pace, may leave at any time, and checks all that it is told. */
#ifndef RIG_GUEST_H
#define RIG_GUEST_H

#include "clock.h"
#include "core/exchange.h"

struct world;

enum { GUEST_FIELDS = 8, GUEST_TEXT = 2048 };

struct guest {
	struct world    *world;
	unsigned         number;
	struct exchange *ex;
	/* what it asks for */
	struct span      method, target, host, upgrade;
	struct conf_pair fields[GUEST_FIELDS]; unsigned field_count;
	char             token[GUEST_TEXT]; size_t token_len;
	unsigned         minor;
	uint64_t         began_us;                              /* its first byte came this long before its head was complete */
	bool             trusted, keep_alive, repeats;          /* repeats: the route may send it twice      */
	uint64_t         body, body_by, body_every_us;          /* bytes in all, per event, between events   */
	bool             same_body;                             /* the bytes of the first guest's         */
	bool             streams;                               /* its length is not told                    */
	bool             fault; uint64_t fault_at;              /* its body turns out bad behind that byte   */
	uint64_t         tunnel;                                /* bytes it sends once it has a tunnel       */
	/* how it reads; 0: all, at once */
	uint64_t         read_by, read_every_us;
	bool             deaf;                                  /* takes nothing, ever                       */
	bool             eager;                                 /* pays bytes back within send_body          */
	uint64_t         leave_us;                              /* after its arrival; TIMER_NEVER: stays     */
	/* what came of it */
	unsigned         heads, informationals, dones, last_informational;
	int              status;
	enum reason      reason;
	enum served_by   served_by;
	uint64_t         head_us, done_us;                      /* since its arrival                         */
	uint64_t         got, taken, sent, granted;             /* reply bytes; request bytes                */
	uint64_t         told_length; bool length_told;
	bool             ended, aborted, left, sent_end, in_tunnel, head_lost;
	unsigned         attempts, reached;                     /* tries; those that the endpoint saw        */
	uint64_t         doors;                                 /* witnesses: bit n: inside door n           */
	struct fields    reply;                                 /* good until done; copied names and values: text */
	char             head_text[GUEST_TEXT]; size_t head_len;/* "name: value\n" ...                       */
	char             text[GUEST_TEXT]; size_t text_len;     /* the body's first bytes                    */
	struct event     arrive, send, read, leave;
	uint64_t         unread, body_stream, arrived_us;
	bool             checks_bytes;
};

/* Whose request this is; NULL: a policy's own. */
static inline struct guest *guest_of(const struct exchange *ex) { return ex->spawned ? NULL : ex->client; }
void guest_init(struct guest *, struct world *, unsigned number);
void guest_arrives(struct guest *, uint64_t at_us);
void guest_field(struct guest *, const char *name, const char *value);
/* It hangs up, now. Harmless when it has left, or was served. */
void guest_leaves(struct guest *);
/* The value of a field of the reply; empty: there is none. */
struct span guest_reply_field(const struct guest *, const char *name);

#endif
