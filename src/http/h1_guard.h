/* h1_guard.h - the strict validator of HTTP/1 bytes (RFC 9112; behaviour §6). Private to http/.
 *
 * It knows nothing of llhttp and llhttp nothing of it: h1_read.c runs both and compares. Three parts:
 *
 *   scan    finds the end of a head or of trailers, piece by piece, each byte looked at once. Only what can be said
 *           about a section that is not whole yet is said here: line ends, sizes, a first byte that cannot be.
 *   parse   a whole section in one run of memory: start line, then fields, every byte judged.
 *   chunk   the framing of a chunked body, byte by byte, without memory.
 *
 * A fault depends on the bytes alone, never on how they were cut into pieces.
 */
#ifndef HTTP_H1_GUARD_H
#define HTTP_H1_GUARD_H

#include "http/h1_read.h"

/* A whole section ends in CR LF CR LF, or is the CR LF of no trailers at all. */
enum h1_section { H1_REQUEST_HEAD, H1_REPLY_HEAD, H1_TRAILERS };

/* ── scan ── */
struct h1_scan {
	uint32_t seen;                        /* bytes of this section so far                         */
	uint32_t line;                        /* where the current line begins                        */
	uint32_t lines;                       /* complete lines                                       */
	uint32_t target;                      /* where the target begins and ends: looked for only    */
	uint32_t target_end;                  /* while the first line is incomplete or long; 0: unknown */
	char     last;                        /* the last byte seen                                   */
	bool     done;
};
struct h1_bounds { enum h1_section section; uint32_t max_bytes, max_target_bytes; };
/* Looks at the next piece of the section; *used says how many of its bytes belong to it. */
enum h1_fault h1_scan_piece(struct h1_scan *, const struct h1_bounds *, struct span piece, size_t *used);

/* ── parse ── */
struct h1_framing_fields {                /* those that never get into `fields` */
	struct span host, length, coding;
	unsigned    hosts, lengths, codings;
};
/* The places of all names and values (with the blanks behind them), in order, as two numbers: what llhttp must find too. */
struct h1_places { uint64_t starts, lengths; };
static inline void h1_place(struct h1_places *p, const char *base, const char *at, size_t len)
{
	p->starts = p->starts * 5 + (len ? (uint64_t)(at - base) : 0);
	p->lengths = p->lengths * 5 + len;
}
struct h1_parse {
	const char *base, *next, *end;        /* the section; next: the first byte not yet parsed */
	struct h1_places places;
	struct h1_framing_fields framing;
};
static inline void h1_parse_init(struct h1_parse *p, struct span section)
{
	*p = (struct h1_parse){ .base = section.at, .next = section.at, .end = span_end(section) };
}
enum h1_fault h1_parse_request_line(struct h1_parse *, struct request *);
enum h1_fault h1_parse_status_line(struct h1_parse *, struct reply *);
/* All field lines and the empty one. Host, Content-Length and Transfer-Encoding go to p->framing. */
enum h1_fault h1_parse_fields(struct h1_parse *, struct fields *);
/* Fields that may not be trailers: framing, routing, credentials, how to read the body (RFC 9110 §6.5.1). */
bool h1_is_forbidden_trailer(const struct fields *, const struct h1_framing_fields *);

/* ── rules: what the parsed head means; no byte is looked at twice but those of these few fields ── */
enum h1_fault h1_rules_request(struct request *, const struct h1_framing_fields *, const struct h1_limits *, struct arena *);
enum h1_fault h1_rules_reply(struct reply *, const struct h1_framing_fields *, enum method asked, bool asked_upgrade);

/* ── held: a piece of a section without its end (h1_held.c) ── */
uint32_t    h1_held_limit(const struct h1_reader *);
bool        h1_held_add(struct h1_reader *, struct span piece);               /* false: out of memory */
/* What was held and the last piece, in the arena, in one run. .at == NULL: out of memory, or the caller set no arena. */
struct span h1_held_collect(struct h1_reader *, struct span piece);
void        h1_held_drop(struct h1_reader *);

/* ── chunk ── */
enum { H1_MAX_EXTENSION_LINE = 256, H1_MAX_EXTENSIONS = 16 * 1024 };
struct h1_chunk {
	uint64_t left;                        /* of the current chunk's data            */
	uint32_t extensions;                  /* bytes of extensions of this message    */
	uint16_t line;                        /* of them, on this line                  */
	uint8_t  state, digits;
};
enum h1_chunk_step { H1_CHUNK_MORE, H1_CHUNK_DATA, H1_CHUNK_LAST, H1_CHUNK_BAD };
/* Reads framing bytes off *in. DATA: `left` bytes of data follow; tell h1_chunk_took of each run. LAST: the line of the last
 * chunk is over, trailers follow. */
enum h1_chunk_step h1_chunk_line(struct h1_chunk *, struct span *in);
void h1_chunk_took(struct h1_chunk *, size_t n);
bool h1_chunk_in_data(const struct h1_chunk *);

#endif
