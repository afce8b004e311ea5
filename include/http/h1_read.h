/* h1_read.h - HTTP/1 bytes in, events out (RFC 9112). No sockets, no clock.
 *
 * Two layers, one door: h1_guard is strict about every byte of heads, chunk lines and trailers and knows where each
 * message ends; only what it has passed reaches llhttp, which parses it. If the two ever disagree about where a
 * message ends, the message is refused: request smuggling needs two parsers with two opinions, and here a second
 * opinion is an error.
 *
 * Pull style, so that the caller stops whenever it wants (back-pressure, pipelining):
 *
 *	struct span in = bytes just read;
 *	for (;;) switch (h1_read(&r, &in, &data)) {
 *	case H1_MORE:    in is used up (a partial head stays in r); read again later
 *	case H1_HEAD:    *r.request or *r.reply is filled in (spans in r.arena); call again
 *	case H1_DATA:    `data` is a run of body bytes inside the caller's memory; call again
 *	case H1_END:     message over, in starts behind it; h1_reader_next() before the next message
 *	case H1_BAD:     r.fault says what; the connection is beyond repair
 *	}
 *
 * A reader is about 300 bytes and holds no buffer while idle. A head that came in pieces is gathered in a chunk that
 * grows with it up to max_header_bytes; a head that came whole is copied once, into the arena.
 */
#ifndef HTTP_H1_READ_H
#define HTTP_H1_READ_H

#include "base/buf.h"
#include "http/message.h"

/* X-macro: word, text for logs and error bodies */
#define H1_FAULTS(X) \
	X(NONE,                 "none") \
	X(START_LINE,           "malformed request or status line") \
	X(METHOD,               "invalid method") \
	X(METHOD_REFUSED,       "CONNECT is not served here") \
	X(TARGET,               "invalid request target") \
	X(VERSION,              "HTTP version is not 1.0 or 1.1") \
	X(STATUS,               "invalid status code") \
	X(LINE_END,             "line does not end in CR LF") \
	X(CONTROL_BYTE,         "control byte in the head") \
	X(FIELD_NAME,           "invalid field name") \
	X(FIELD_FOLDED,         "folded field line") \
	X(HOST,                 "Host is missing, repeated or invalid") \
	X(CONTENT_LENGTH,       "Content-Length is invalid or repeated") \
	X(TRANSFER_ENCODING,    "Transfer-Encoding is not exactly chunked") \
	X(BOTH_FRAMINGS,        "both Content-Length and Transfer-Encoding") \
	X(CHUNK,                "malformed chunk") \
	X(TRAILER,              "malformed trailer") \
	X(HEAD_TOO_LARGE,       "header section too large") \
	X(TARGET_TOO_LARGE,     "request target too large") \
	X(TOO_MANY_FIELDS,      "too many header fields") \
	X(UNEXPECTED_UPGRADE,   "101 that nobody asked for") \
	X(EARLY_CLOSE,          "connection closed inside a message") \
	X(DISAGREEMENT,         "parsers disagree about the message") \
	X(NO_MEMORY,            "out of memory")

enum h1_fault {
#define X(word, text) H1_FAULT_##word,
	H1_FAULTS(X)
#undef X
	H1_FAULT_COUNT
};
const char *h1_fault_text(enum h1_fault);

enum h1_step { H1_MORE, H1_HEAD, H1_DATA, H1_END, H1_BAD };

struct h1_limits {                        /* shared, immutable */
	unsigned max_header_bytes;            /* head, and trailers for themselves        */
	unsigned max_fields;                  /* of a head; of the trailers               */
	unsigned max_target_bytes;            /* requests only                            */
};

struct h1_reader {
	/* for the caller to set before a head is read; read by h1_read only once h1_reader_head_ready() is true */
	struct arena           *arena;        /* where the next head and its trailers go      */
	struct request         *request;      /* readers of requests: filled in at H1_HEAD    */
	struct reply           *reply;        /* readers of replies: the same. 1xx come as heads of their own, then H1_END */
	enum method             asked;        /* replies: the request's method (a HEAD's reply has no body)  */
	bool                    asked_upgrade;/* replies: a 101 is welcome                    */
	/* results */
	enum h1_fault           fault;
	struct fields           trailers;     /* at H1_END: count 0 when there were none      */
	bool                    head_begun;   /* the first byte of a message was seen         */
	/* private from here */
	const struct h1_limits *limits;
	struct chunk_pool      *pool;
	struct chunk           *held;         /* a head or trailers that came in pieces; NULL while idle */
	unsigned char           space[192] __attribute__((aligned(16)));   /* llhttp and the guard's state */
};

void h1_reader_init(struct h1_reader *, bool reads_requests, const struct h1_limits *, struct chunk_pool *);
void h1_reader_fini(struct h1_reader *);
/* Is a whole head at hand (gathered so far plus `in`)? Cheap; lets a front create the exchange, and so the arena, only
 * when a request is complete. Never says true for a head that h1_read would answer with H1_MORE. A head that is already
 * certainly bad or too large also answers true: h1_read then says H1_BAD and needs no arena. */
bool h1_reader_head_ready(struct h1_reader *, struct span in);
enum h1_step h1_read(struct h1_reader *, struct span *in, struct span *data);
void h1_reader_next(struct h1_reader *);                          /* keep-alive: begin with the next message */
/* The peer closed its side. H1_END: a close-delimited reply is thereby whole; H1_MORE: between messages, nothing is lost;
 * H1_BAD: cut inside a message. */
enum h1_step h1_read_eof(struct h1_reader *);
/* After a 101 head (replies) or when the front switches (requests): bytes are a tunnel's from here on; H1_DATA only. */
void h1_reader_tunnel(struct h1_reader *);
/* Bytes of a Content-Length body that are still to come; 0 in every other state. The caller may move up to that many past
 * the reader (splice) and then says so: nothing in them could have been of interest to a parser. */
uint64_t h1_reader_left(const struct h1_reader *);
void h1_reader_skip(struct h1_reader *, uint64_t n);
const char *h1_llhttp_version(void);
size_t h1_reader_held(const struct h1_reader *);                  /* bytes of a partial head being gathered */

#endif
