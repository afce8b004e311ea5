/* fields.h - the header fields of one message, in order, as received (RFC 9110 §5).
 *
 * Names that outrigger itself looks at have an id, found once when the field is added, so that later questions are
 * integer compares and "is there one at all" is one bit. The array lives in an arena; names and values are spans into
 * memory that lives as long as the message. Values carry no CR, LF or NUL: whoever adds a field vouches for that
 * (h1_read and h2_session validate; our own values are made of safe characters).
 */
#ifndef HTTP_FIELDS_H
#define HTTP_FIELDS_H

#include "base/arena.h"
#include "base/span.h"

/*      enum word             lower-case name                 hop-by-hop (RFC 9110 §7.6.1)? */
#define FIELD_NAMES(X) \
	X(HOST,                "host",                           0) \
	X(CONNECTION,          "connection",                     1) \
	X(KEEP_ALIVE,          "keep-alive",                     1) \
	X(PROXY_CONNECTION,    "proxy-connection",               1) \
	X(TE,                  "te",                             1) \
	X(TRAILER,             "trailer",                        0) \
	X(TRANSFER_ENCODING,   "transfer-encoding",              1) \
	X(UPGRADE,             "upgrade",                        1) \
	X(HTTP2_SETTINGS,      "http2-settings",                 1) \
	X(CONTENT_LENGTH,      "content-length",                 0) \
	X(CONTENT_TYPE,        "content-type",                   0) \
	X(CONTENT_ENCODING,    "content-encoding",               0) \
	X(EXPECT,              "expect",                         0) \
	X(ACCEPT,              "accept",                         0) \
	X(AUTHORIZATION,       "authorization",                  0) \
	X(COOKIE,              "cookie",                         0) \
	X(RANGE,               "range",                          0) \
	X(ORIGIN,              "origin",                         0) \
	X(USER_AGENT,          "user-agent",                     0) \
	X(DATE,                "date",                           0) \
	X(SERVER,              "server",                         0) \
	X(VIA,                 "via",                            0) \
	X(RETRY_AFTER,         "retry-after",                    0) \
	X(CACHE_CONTROL,       "cache-control",                  0) \
	X(VARY,                "vary",                           0) \
	X(SET_COOKIE,          "set-cookie",                     0) \
	X(LOCATION,            "location",                       0) \
	X(X_REQUEST_ID,        "x-request-id",                   0) \
	X(X_FORWARDED_FOR,     "x-forwarded-for",                0) \
	X(X_FORWARDED_PROTO,   "x-forwarded-proto",              0) \
	X(X_FORWARDED_HOST,    "x-forwarded-host",               0) \
	X(X_FORWARDED_PORT,    "x-forwarded-port",               0) \
	X(FORWARDED,           "forwarded",                      0) \
	X(TRACEPARENT,         "traceparent",                    0) \
	X(TRACESTATE,          "tracestate",                     0) \
	X(GRPC_TIMEOUT,        "grpc-timeout",                   0) \
	X(X_REQUEST_TIMEOUT_MS, "x-request-timeout-ms",          0) \
	X(X_ENVOY_TIMEOUT_MS,  "x-envoy-expected-rq-timeout-ms", 0) \
	X(X_OUTRIGGER_ATTEMPT, "x-outrigger-attempt",            0) \
	X(IDEMPOTENCY_KEY,     "idempotency-key",                0) \
	X(SEC_WEBSOCKET_KEY,   "sec-websocket-key",              0)

enum field_id {
	FIELD_OTHER,
#define X(word, name, hop) FIELD_##word,
	FIELD_NAMES(X)
#undef X
	FIELD_IDS
};
_Static_assert(FIELD_IDS <= 64, "fields.present is one word");

struct field { struct span name, value; enum field_id id; };
struct fields {
	struct field *at;
	unsigned      count, size;            /* size: the named limit, set by fields_init */
	uint64_t      present;                /* bit n: a field with id n is there (bit 0 unused) */
};

enum field_id field_id_of(struct span name);                      /* case folded */
const char   *field_id_name(enum field_id);                       /* lower case */
bool          field_id_is_hop_by_hop(enum field_id);
bool          field_name_is_token(struct span);                   /* RFC 9110 §5.6.2; at least one character */
bool          field_value_is_safe(struct span);                   /* no control bytes but HTAB, no DEL, no edge blanks */

bool fields_init(struct fields *, struct arena *, unsigned size) __attribute__((warn_unused_result));
bool fields_add(struct fields *, struct span name, struct span value) __attribute__((warn_unused_result));
/* With the canonical lower-case name. */
bool fields_add_id(struct fields *, enum field_id, struct span value) __attribute__((warn_unused_result));
/* A copy whose names and values are in `arena` too, with room for `spare` more. */
bool fields_copy(struct fields *, const struct fields *from, struct arena *, unsigned spare) __attribute__((warn_unused_result));
static inline bool fields_have(const struct fields *f, enum field_id id) { return f->present >> id & 1; }
const struct field *fields_find(const struct fields *, enum field_id);          /* the first, or NULL */
const struct field *fields_find_name(const struct fields *, struct span name);  /* any name, case folded */
/* The first field's value, or SPAN_NONE. */
struct span fields_value(const struct fields *, enum field_id);
void fields_drop(struct fields *, enum field_id);                 /* all with that id */
void fields_drop_name(struct fields *, struct span name);

#endif
