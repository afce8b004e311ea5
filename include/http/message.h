/* message.h - request and reply heads, as every front, back and policy sees them, whatever the wire protocol.
 *
 * All spans live in the arena of the exchange. Framing is decided once, by the reader (h1_read, h2_session), and rebuilt
 * by the writer: Content-Length and Transfer-Encoding stay in `fields` for nobody (the reader drops them and sets framing).
 */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include "http/fields.h"

/*      word, text, safe (RFC 9110 §9.2.1), idempotent (§9.2.2) */
#define METHODS(X) \
	X(GET,     "GET",     1, 1) \
	X(HEAD,    "HEAD",    1, 1) \
	X(POST,    "POST",    0, 0) \
	X(PUT,     "PUT",     0, 1) \
	X(DELETE,  "DELETE",  0, 1) \
	X(OPTIONS, "OPTIONS", 1, 1) \
	X(PATCH,   "PATCH",   0, 0) \
	X(TRACE,   "TRACE",   1, 1) \
	X(CONNECT, "CONNECT", 0, 0)

enum method {
	METHOD_OTHER,                         /* any other token; method_text has it */
#define X(word, text, safe, idempotent) METHOD_##word,
	METHODS(X)
#undef X
	METHOD_COUNT
};
enum method  method_of(struct span);
const char  *method_name(enum method);    /* METHOD_OTHER: "OTHER" */
bool         method_is_idempotent(enum method);

/* How the end of a body is known (RFC 9112 §6.3). */
enum framing {
	BODY_NONE,                            /* there is none                                                     */
	BODY_LENGTH,                          /* content_length bytes (0 is possible: "there is an empty one")      */
	BODY_STREAM,                          /* until the sender says so: chunked, an h2 END_STREAM, or the close */
};

struct request {
	enum method   method;
	struct span   method_text;
	struct span   target;                 /* origin-form as received ("/a?b"), or "*"; absolute-form is split */
	struct span   path, query;            /* of target, still encoded; query without '?', .at == NULL when there is none */
	struct span   route_path;             /* normalised, for matching only: see request_normalise_path */
	struct span   authority;              /* host[:port] from the target or Host; may be empty on HTTP/1.0 */
	struct fields fields;                 /* without Host, Content-Length, Transfer-Encoding */
	enum framing  framing;
	uint64_t      content_length;
	unsigned      minor;                  /* HTTP/1.minor it came with; 1 for HTTP/2 */
	bool          keep_alive;             /* the client would send another one on this connection */
	bool          expect_continue;
	struct span   upgrade;                /* the token asked for (GET, HTTP/1.1, Connection: upgrade), else empty */
	struct span   told;                   /* what the upstream is told besides (x-flags): who differs in it gets other answers */
};

struct reply {
	int           status;                 /* 0: there is no reply (yet) */
	struct span   phrase;                 /* reason phrase as received; ours when empty */
	struct fields fields;                 /* without Content-Length, Transfer-Encoding */
	enum framing  framing;
	uint64_t      content_length;         /* also set for HEAD and 304 when the sender told a length: has_length */
	bool          has_length;
	unsigned      minor;
	bool          keep_alive;             /* the connection it came on may carry another exchange */
	bool          chunked;                /* it came chunked: trailers are possible */
};

/* Copies that live in `arena`, for whoever outlives the original. */
bool request_copy(struct request *, const struct request *from, struct arena *) __attribute__((warn_unused_result));
bool reply_copy(struct reply *, const struct reply *from, struct arena *) __attribute__((warn_unused_result));

/* Statuses without a body whatever the fields say (RFC 9110 §6.4.1). */
static inline bool reply_has_no_body(enum method m, int status)
{
	return m == METHOD_HEAD || status / 100 == 1 || status == 204 || status == 304;
}
const char *status_phrase(int status);    /* "Not Found"; "" for unknown ones */

/* Splits target into path and query, and makes route_path: unreserved characters percent-decoded, dot segments removed
 * (RFC 3986 §6.2.2), empty segments kept. %2F, %00, %5C and the backslash are left as they are, so they never change which
 * route matches. A path that would climb above the root, or holds a broken %-escape, stays refusable: returns false.
 * Needs no memory when there is nothing to change (then route_path is path itself). */
bool request_normalise_path(struct request *, struct arena *) __attribute__((warn_unused_result));

/* host[:port], [v6][:port]: splits; port .at == NULL when absent. false: not an authority. */
bool authority_split(struct span authority, struct span *host, struct span *port);

#endif
