/* h1_read.c - the reader: gathers, lets the guard judge, lets llhttp parse the same bytes, compares.
 *
 * The only file that knows llhttp. What it says is a second opinion: method, target, version, status, lengths, every field's
 * boundaries and the end of the message must be what the guard found, else the message is refused (DISAGREEMENT).
 *
 * Invariants: llhttp sees each byte of a message exactly once, in order, after the guard passed it (but for body bytes moved past
 * us, h1_reader_skip), and never the next message's. `ahead` bytes of the caller's memory were scanned and not consumed: the
 * next call must begin with them.
 */
#include "http/h1_read.h"

#include "base/must.h"
#include "h1_guard.h"
#include "llhttp.h"

_Static_assert(LLHTTP_VERSION_MAJOR >= 9 || LLHTTP_STRICT_MODE, "llhttp before 9 must be built with LLHTTP_STRICT_MODE=1");

enum phase { IN_HEAD, IN_LENGTH, IN_UNTIL_CLOSE, IN_CHUNKS, IN_TRAILERS, AT_END, IN_TUNNEL, IN_RUINS };

/* A head's fields may be added to by policies without moving the list. */
enum { SPARE_FIELDS = 16 };

struct h1_state {
	llhttp_t        parser;
	struct h1_scan  scan;                 /* of the head or the trailers                     */
	struct h1_chunk chunk;                /* chunk.left counts a Content-Length body as well */
	uint32_t        ahead;                /* bytes of the caller's memory scanned, not consumed; the first … */
	uint8_t         lead_ahead;           /* … of these are the empty line before a request                  */
	uint8_t         lead;                 /* bytes of that line seen                         */
	uint8_t         phase;
	bool            requests;
};
_Static_assert(sizeof(struct h1_state) <= sizeof(((struct h1_reader *)0)->space), "h1_reader.space is too small");

static struct h1_state *state_of(struct h1_reader *r) { return (struct h1_state *)(void *)r->space; }

const char *h1_fault_text(enum h1_fault fault)
{
	static const char *const texts[H1_FAULT_COUNT] = {
#define X(word, text) [H1_FAULT_##word] = text,
		H1_FAULTS(X)
#undef X
	};
	return texts[fault];
}

/* ── llhttp, the second opinion ── */

/* What llhttp said about one run of bytes. Lives on the stack of the call that fed them. */
struct witness {
	const char       *base;               /* of the section                           */
	struct h1_places  places;             /* of names and values                      */
	struct span       target;             /* of a request                             */
	uint64_t          length, data, chunk;/* Content-Length; body bytes; the size in the last chunk line */
	unsigned          heads, ends;        /* messages whose head, whose body was over */
	unsigned          status, flags;
	uint8_t           method, major, minor;
	bool              no_body, torn;      /* torn: the target in two places           */
};

static inline struct witness *witness_of(llhttp_t *p) { return p->data; }

static int on_url(llhttp_t *p, const char *at, size_t len)
{
	struct witness *w = witness_of(p);

	w->torn = w->torn || w->target.at;
	w->target = (struct span){ at, len };
	return 0;
}

static int on_header(llhttp_t *p, const char *at, size_t len)
{
	h1_place(&witness_of(p)->places, witness_of(p)->base, at, len);
	return 0;
}

static int on_headers_complete(llhttp_t *p)
{
	struct witness *w = witness_of(p);

	w->heads++;
	w->length = p->content_length;
	w->flags = p->flags;
	w->status = p->status_code;
	w->method = p->method;
	w->major = p->http_major;
	w->minor = p->http_minor;
	p->upgrade = 0;                       /* a message is over when its body is; tunnels are h1_reader_tunnel's business */
	return w->no_body;
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
	(void)at;
	witness_of(p)->data += len;
	return 0;
}

static int on_chunk_header(llhttp_t *p)
{
	witness_of(p)->chunk = p->content_length;
	return 0;
}

static int on_message_complete(llhttp_t *p)
{
	witness_of(p)->ends++;
	return 0;
}

static const llhttp_settings_t settings = {
	.on_url = on_url, .on_header_field = on_header, .on_header_value = on_header,
	.on_headers_complete = on_headers_complete, .on_body = on_body, .on_chunk_header = on_chunk_header,
	.on_message_complete = on_message_complete,
};

static bool feed(struct h1_state *s, struct witness *w, struct span bytes)
{
	s->parser.data = w;
	return bytes.len == 0 || llhttp_execute(&s->parser, bytes.at, bytes.len) == HPE_OK;
}

/* Body bytes and their framing: `data` of them are data, and the message is over behind them or not. */
static bool feed_body(struct h1_state *s, struct span bytes, uint64_t data, bool over)
{
	struct witness w = { .base = bytes.at };

	return feed(s, &w, bytes) && w.data == data && w.ends == over && w.heads == 0 && w.places.lengths == 0;
}

static const uint8_t llhttp_methods[METHOD_COUNT] = {
	[METHOD_OTHER] = HTTP_POST,           /* llhttp knows a closed list of methods: others are shown to it as POST */
	[METHOD_GET] = HTTP_GET, [METHOD_HEAD] = HTTP_HEAD, [METHOD_POST] = HTTP_POST, [METHOD_PUT] = HTTP_PUT,
	[METHOD_DELETE] = HTTP_DELETE, [METHOD_OPTIONS] = HTTP_OPTIONS, [METHOD_PATCH] = HTTP_PATCH, [METHOD_TRACE] = HTTP_TRACE,
	[METHOD_CONNECT] = HTTP_CONNECT,
};

/* A whole section up to its last byte, and then that byte: a head must be over with it and not before. */
static bool feed_section(struct h1_state *s, struct witness *w, struct span section)
{
	return feed(s, w, span_first(section, section.len - 1)) && w->heads == 0 && w->ends == 0 &&
		feed(s, w, span_from(section, section.len - 1)) && !w->torn && w->data == 0;
}

static bool same_places(const struct h1_places *a, const struct h1_places *b)
{
	return a->starts == b->starts && a->lengths == b->lengths;
}

/* What both have read of any head. */
struct opinion { struct h1_places places; uint64_t length; unsigned minor; bool chunked, has_length, over; };

static bool agrees(const struct witness *w, const struct opinion *o)
{
	return w->heads == 1 && w->ends == o->over && same_places(&w->places, &o->places) && w->major == 1 && w->minor == o->minor &&
		!(w->flags & F_CHUNKED) == !o->chunked && !(w->flags & F_CONTENT_LENGTH) == !o->has_length &&
		(!o->has_length || w->length == o->length);
}

/* ── steps ── */

static enum h1_step ruin(struct h1_reader *r, enum h1_fault fault)
{
	r->fault = fault;
	state_of(r)->phase = IN_RUINS;
	h1_held_drop(r);
	return H1_BAD;
}

/* The one empty line that may come before a request (RFC 9112 §2.2). */
static enum h1_fault skip_lead(struct h1_state *s, struct span *piece)
{
	while (piece->len && s->lead < 2 && piece->at[0] == "\r\n"[s->lead]) {
		*piece = span_from(*piece, 1);
		s->lead++;
		s->lead_ahead++;
		s->ahead++;
	}
	return piece->len && s->lead == 1 ? H1_FAULT_LINE_END : H1_FAULT_NONE;
}

/* Scans what of `in` was not scanned yet. The answer is in s->scan.done and the fault. */
static enum h1_fault look(struct h1_reader *r, struct span in)
{
	struct h1_state *s = state_of(r);
	struct h1_bounds bounds = { s->requests ? H1_REQUEST_HEAD : H1_REPLY_HEAD, h1_held_limit(r), r->limits->max_target_bytes };
	struct span piece;
	size_t used;

	must(in.len >= s->ahead);
	piece = span_from(in, s->ahead);
	if (s->requests && s->scan.seen == 0)
		r->fault = skip_lead(s, &piece);
	r->head_begun = r->head_begun || piece.len > 0;      /* the empty line before a request does not begin it */
	if (!r->fault)
		r->fault = h1_scan_piece(&s->scan, &bounds, piece, &used);
	if (r->fault)
		return r->fault;
	s->ahead += (uint32_t)used;
	return H1_FAULT_NONE;
}

/* The list with room for every line of the head and some more. */
static enum h1_fault begin_fields(struct h1_reader *r, struct fields *fields)
{
	unsigned lines = state_of(r)->scan.lines;     /* two of them are no fields: the first and the empty one */

	if (lines > r->limits->max_fields + 2)
		return H1_FAULT_TOO_MANY_FIELDS;
	return fields_init(fields, r->arena, lines + SPARE_FIELDS) ? H1_FAULT_NONE : H1_FAULT_NO_MEMORY;
}

static bool is_over_with_its_head(enum framing framing, uint64_t length)
{
	return framing == BODY_NONE || (framing == BODY_LENGTH && length == 0);
}

static void enter_body(struct h1_state *s, enum framing framing, uint64_t length, bool chunked)
{
	s->chunk.left = framing == BODY_LENGTH ? length : 0;
	s->phase = is_over_with_its_head(framing, length) ? AT_END : framing == BODY_LENGTH ? IN_LENGTH :
		chunked ? IN_CHUNKS : IN_UNTIL_CLOSE;
}

/* url: the target as it stood in the first line. */
static bool llhttp_reads_the_same_request(struct h1_state *s, struct span head, const struct h1_parse *parse, struct span url,
	const struct request *q)
{
	struct witness w = { .base = head.at };
	struct opinion ours = { parse->places, q->content_length, q->minor, q->framing == BODY_STREAM, q->framing == BODY_LENGTH,
		is_over_with_its_head(q->framing, q->content_length) };

	if (q->method == METHOD_OTHER) {
		if (!feed(s, &w, SPAN("POST")))
			return false;
		head = span_from(head, q->method_text.len);
	}
	return feed_section(s, &w, head) && agrees(&w, &ours) && w.method == llhttp_methods[q->method] &&
		w.target.at == url.at && w.target.len == url.len;
}

static enum h1_fault parse_request(struct h1_reader *r, struct span head)
{
	struct request *q = r->request;
	struct h1_parse parse;
	struct span url;
	enum h1_fault fault;

	*q = (struct request){ 0 };
	h1_parse_init(&parse, head);
	fault = h1_parse_request_line(&parse, q);
	url = q->target;                      /* before an absolute one is split */
	if (!fault)
		fault = begin_fields(r, &q->fields);
	if (!fault)
		fault = h1_parse_fields(&parse, &q->fields);
	if (!fault)
		fault = h1_rules_request(q, &parse.framing, r->limits, r->arena);
	if (fault)
		return fault;
	if (!llhttp_reads_the_same_request(state_of(r), head, &parse, url, q))
		return H1_FAULT_DISAGREEMENT;
	enter_body(state_of(r), q->framing, q->content_length, true);
	return H1_FAULT_NONE;
}

static bool llhttp_reads_the_same_reply(struct h1_state *s, struct span head, const struct h1_parse *parse, const struct reply *q)
{
	struct witness w = { .base = head.at, .no_body = q->framing == BODY_NONE };
	struct opinion ours = { parse->places, q->content_length, q->minor, parse->framing.codings > 0, q->has_length,
		is_over_with_its_head(q->framing, q->content_length) };

	return feed_section(s, &w, head) && agrees(&w, &ours) && w.status == (unsigned)q->status;
}

static enum h1_fault parse_reply(struct h1_reader *r, struct span head)
{
	struct reply *q = r->reply;
	struct h1_parse parse;
	enum h1_fault fault;

	*q = (struct reply){ 0 };
	h1_parse_init(&parse, head);
	fault = h1_parse_status_line(&parse, q);
	if (!fault)
		fault = begin_fields(r, &q->fields);
	if (!fault)
		fault = h1_parse_fields(&parse, &q->fields);
	if (!fault)
		fault = h1_rules_reply(q, &parse.framing, r->asked, r->asked_upgrade);
	if (fault)
		return fault;
	if (!llhttp_reads_the_same_reply(state_of(r), head, &parse, q))
		return H1_FAULT_DISAGREEMENT;
	enter_body(state_of(r), q->framing, q->content_length, q->chunked);
	return H1_FAULT_NONE;
}

static enum h1_step read_head(struct h1_reader *r, struct span *in)
{
	struct h1_state *s = state_of(r);
	enum h1_fault fault = r->fault;
	struct span piece, head;

	if (!fault && !s->scan.done)
		fault = look(r, *in);
	if (fault)
		return ruin(r, fault);
	piece = span_between(in->at + s->lead_ahead, in->at + s->ahead);
	*in = span_from(*in, s->ahead);
	s->ahead = s->lead_ahead = 0;
	if (!s->scan.done)
		return piece.len == 0 || h1_held_add(r, piece) ? H1_MORE : ruin(r, H1_FAULT_NO_MEMORY);
	head = h1_held_collect(r, piece);
	if (!head.at)
		return ruin(r, H1_FAULT_NO_MEMORY);
	fault = s->requests ? parse_request(r, head) : parse_reply(r, head);
	return fault ? ruin(r, fault) : H1_HEAD;
}

static enum h1_step read_length(struct h1_reader *r, struct span *in, struct span *data)
{
	struct h1_state *s = state_of(r);

	if (in->len == 0)
		return H1_MORE;
	*data = span_first(*in, s->chunk.left);
	*in = span_from(*in, data->len);
	s->chunk.left -= data->len;
	if (s->chunk.left == 0)
		s->phase = AT_END;
	return feed_body(s, *data, data->len, s->chunk.left == 0) ? H1_DATA : ruin(r, H1_FAULT_DISAGREEMENT);
}

static enum h1_step read_until_close(struct h1_reader *r, struct span *in, struct span *data)
{
	if (in->len == 0)
		return H1_MORE;
	*data = *in;
	*in = span_from(*in, in->len);
	return feed_body(state_of(r), *data, data->len, false) ? H1_DATA : ruin(r, H1_FAULT_DISAGREEMENT);
}

static enum h1_step parse_trailers(struct h1_reader *r, struct span section)
{
	struct h1_state *s = state_of(r);
	struct witness w = { .base = section.at };
	struct h1_parse parse;

	h1_parse_init(&parse, section);
	if (section.len > 2) {
		if (s->scan.lines > r->limits->max_fields + 1)
			return ruin(r, H1_FAULT_TRAILER);
		if (!fields_init(&r->trailers, r->arena, s->scan.lines))
			return ruin(r, H1_FAULT_NO_MEMORY);
	}
	if (h1_parse_fields(&parse, &r->trailers) || h1_is_forbidden_trailer(&r->trailers, &parse.framing))
		return ruin(r, H1_FAULT_TRAILER);
	if (!feed_section(s, &w, section) || w.ends != 1 || w.heads != 0 || !same_places(&w.places, &parse.places))
		return ruin(r, H1_FAULT_DISAGREEMENT);
	s->phase = AT_END;
	return H1_END;
}

static enum h1_step read_trailers(struct h1_reader *r, struct span *in)
{
	struct h1_state *s = state_of(r);
	struct h1_bounds bounds = { H1_TRAILERS, h1_held_limit(r), 0 };
	struct span section;
	size_t used;

	if (h1_scan_piece(&s->scan, &bounds, *in, &used))
		return ruin(r, H1_FAULT_TRAILER);
	section = span_first(*in, used);
	*in = span_from(*in, used);
	if (!s->scan.done)
		return used == 0 || h1_held_add(r, section) ? H1_MORE : ruin(r, H1_FAULT_NO_MEMORY);
	if (r->held || used > 2) {            /* else there are none: nothing to keep */
		section = h1_held_collect(r, section);
		if (!section.at)
			return ruin(r, H1_FAULT_NO_MEMORY);
	}
	return parse_trailers(r, section);
}

static enum h1_step read_chunks(struct h1_reader *r, struct span *in, struct span *data)
{
	struct h1_state *s = state_of(r);
	struct witness w = { .base = in->at, .chunk = UINT64_MAX };
	const char *from = in->at;
	bool in_data = s->chunk.left && h1_chunk_in_data(&s->chunk);
	enum h1_chunk_step step = h1_chunk_line(&s->chunk, in);
	struct span run = SPAN_NONE;

	if (step == H1_CHUNK_BAD)
		return ruin(r, H1_FAULT_CHUNK);
	if (!feed(s, &w, span_between(from, in->at)) || w.data || w.ends)
		return ruin(r, H1_FAULT_DISAGREEMENT);
	if (step != H1_CHUNK_MORE && !in_data && w.chunk != s->chunk.left)
		return ruin(r, H1_FAULT_DISAGREEMENT);
	if (step == H1_CHUNK_LAST) {
		s->scan = (struct h1_scan){ 0 };
		s->phase = IN_TRAILERS;
		return read_trailers(r, in);
	}
	if (step == H1_CHUNK_MORE || in->len == 0)
		return H1_MORE;
	run = span_first(*in, s->chunk.left);
	*in = span_from(*in, run.len);
	h1_chunk_took(&s->chunk, run.len);
	*data = run;
	return feed_body(s, run, run.len, false) ? H1_DATA : ruin(r, H1_FAULT_DISAGREEMENT);
}

enum h1_step h1_read(struct h1_reader *r, struct span *in, struct span *data)
{
	switch (state_of(r)->phase) {
	case IN_HEAD:        return read_head(r, in);
	case IN_LENGTH:      return read_length(r, in, data);
	case IN_UNTIL_CLOSE: return read_until_close(r, in, data);
	case IN_CHUNKS:      return read_chunks(r, in, data);
	case IN_TRAILERS:    return read_trailers(r, in);
	case AT_END:         return H1_END;
	case IN_TUNNEL:
		*data = *in;
		*in = span_from(*in, in->len);
		return data->len ? H1_DATA : H1_MORE;
	default:             return H1_BAD;
	}
}

/* ── life ── */

void h1_reader_init(struct h1_reader *r, bool reads_requests, const struct h1_limits *limits, struct chunk_pool *pool)
{
	*r = (struct h1_reader){ .limits = limits, .pool = pool };
	state_of(r)->requests = reads_requests;
	llhttp_init(&state_of(r)->parser, reads_requests ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
}

void h1_reader_fini(struct h1_reader *r)
{
	h1_held_drop(r);
}

void h1_reader_next(struct h1_reader *r)
{
	struct h1_state *s = state_of(r);

	must(s->phase == AT_END);
	s->scan = (struct h1_scan){ 0 };
	s->chunk = (struct h1_chunk){ 0 };
	s->ahead = s->lead_ahead = s->lead = 0;
	s->phase = IN_HEAD;
	llhttp_reset(&s->parser);
	r->trailers = (struct fields){ 0 };
	r->head_begun = false;
}

bool h1_reader_head_ready(struct h1_reader *r, struct span in)
{
	struct h1_state *s = state_of(r);

	if (s->phase != IN_HEAD)
		return s->phase == IN_RUINS;
	return r->fault || s->scan.done || look(r, in) || s->scan.done;
}

enum h1_step h1_read_eof(struct h1_reader *r)
{
	struct h1_state *s = state_of(r);
	struct witness w = { 0 };

	switch (s->phase) {
	case IN_HEAD:
		return s->scan.seen == 0 && !r->fault ? H1_MORE : ruin(r, r->fault ? r->fault : H1_FAULT_EARLY_CLOSE);
	case IN_UNTIL_CLOSE:
		s->parser.data = &w;
		if (llhttp_finish(&s->parser) != HPE_OK || w.ends != 1)
			return ruin(r, H1_FAULT_DISAGREEMENT);
		s->phase = AT_END;
		return H1_END;
	case AT_END:    return H1_MORE;
	case IN_TUNNEL: return H1_END;
	case IN_RUINS:  return H1_BAD;
	default:        return ruin(r, H1_FAULT_EARLY_CLOSE);
	}
}

void h1_reader_tunnel(struct h1_reader *r)
{
	struct h1_state *s = state_of(r);

	must(s->phase == AT_END || (s->phase == IN_HEAD && !r->held));
	s->phase = IN_TUNNEL;
}

uint64_t h1_reader_left(const struct h1_reader *r)
{
	const struct h1_state *s = (const struct h1_state *)(const void *)r->space;

	return s->phase == IN_LENGTH ? s->chunk.left : 0;
}

void h1_reader_skip(struct h1_reader *r, uint64_t n)
{
	struct h1_state *s = state_of(r);

	must(s->phase == IN_LENGTH && n <= s->chunk.left);
	s->chunk.left -= n;
	s->parser.content_length -= n;            /* the second opinion is told too */
	if (s->chunk.left == 0)
		s->phase = AT_END;
}

#define DIGITS(number) #number
#define VERSION(major, minor, patch) DIGITS(major) "." DIGITS(minor) "." DIGITS(patch)
const char *h1_llhttp_version(void) { return VERSION(LLHTTP_VERSION_MAJOR, LLHTTP_VERSION_MINOR, LLHTTP_VERSION_PATCH); }
