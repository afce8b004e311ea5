/* client.h - who asked: an HTTP/1 connection, an HTTP/2 stream, the test rig. Implemented in edge/, called by core/ only.
 *
 * None of these may walk an exchange: what they learn they report through exchange_*(), which only posts.
 * The exchange is owned by the core; after done() the pointer is dust.
 */
#ifndef CORE_CLIENT_H
#define CORE_CLIENT_H

#include "base/buf.h"
#include "http/message.h"

struct exchange;

struct client_ops {
	bool splices;                         /* send_body can take slices whose bytes are elsewhere (buf.h) */
	/* 100 and 103; any number, before send_head. `r` is good during the call. */
	void (*send_informational)(void *client, struct exchange *, const struct reply *r);
	/* The head in ex->reply is committed. Called once. For a 101 the connection is a tunnel from here on. */
	void (*send_head)(void *client, struct exchange *);
	/* Body bytes, borrowed. `end` comes exactly once, maybe with no bytes; trailers are in ex->reply_trailers then. Bytes are
	 * paid back with exchange_reply_taken(); when the last byte is out: exchange_client_done(). */
	void (*send_body)(void *client, struct exchange *, struct slice, bool end);
	/* n more bytes of request body are welcome (credit, which is above zero now). */
	void (*want)(void *client, struct exchange *, size_t n);
	/* The reply broke off after its head: the client must be able to tell. Followed by done(); exchange_client_gone() is too late here. */
	void (*abort)(void *client, struct exchange *);
	/* The last word. Exactly once for each exchange_new, whatever happened. */
	void (*done)(void *client, struct exchange *);
};

#endif
