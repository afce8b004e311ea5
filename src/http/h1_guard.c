/* h1_guard.c - scan and parse of heads and trailers; see h1_guard.h.
 *
 * Invariants: a section handed to the parser was passed by the scan, so each LF in it follows a CR and it ends in an empty
 * line; that is the sentinel which lets loops over tokens run without a bound of their own. The byte that ends a token is the
 * first CR of the section's last four bytes or stands before it, so four bytes may be read there.
 */
#include "h1_guard.h"

#include "bytes.h"

/* ── scan ── */

/* The target's place, while the first line is looked at in pieces or is long. `line` is what this piece has of it. */
static enum h1_fault scan_target(struct h1_scan *s, uint32_t max, struct span line)
{
	const char *space;
	uint32_t known;

	if (s->target == 0 && line.len && (space = memchr(line.at, ' ', line.len)))
		s->target = s->seen + (uint32_t)(space - line.at) + 1;
	if (s->target == 0 || s->target_end)
		return H1_FAULT_NONE;
	known = s->target > s->seen ? s->target - s->seen : 0;
	line = span_from(line, known);
	if (line.len && (space = memchr(line.at, ' ', line.len)))
		s->target_end = s->seen + known + (uint32_t)(space - line.at);
	else
		known += (uint32_t)line.len;
	return (s->target_end ? s->target_end : s->seen + known) - s->target > max ? H1_FAULT_TARGET_TOO_LARGE : H1_FAULT_NONE;
}

/* A first byte that no message begins with: garbage and TLS on a plain port are told at once. */
static enum h1_fault scan_first_byte(enum h1_section section, char c)
{
	if (section == H1_TRAILERS)
		return H1_FAULT_NONE;
	if (c == '\n')
		return H1_FAULT_LINE_END;
	if (section == H1_REPLY_HEAD)
		return c == 'H' ? H1_FAULT_NONE : H1_FAULT_START_LINE;
	return byte_is(c, BYTE_TOKEN) ? H1_FAULT_NONE : c == '\r' ? H1_FAULT_START_LINE : H1_FAULT_METHOD;
}

/* The first line of a piece that is long enough to hold too large a target. */
static enum h1_fault scan_first_line(struct h1_scan *s, const struct h1_bounds *b, struct span piece)
{
	const char *lf = memchr(piece.at, '\n', piece.len);

	return scan_target(s, b->max_target_bytes, lf ? span_between(piece.at, lf) : piece);
}

/* Lines of the piece up to the empty one. */
static enum h1_fault scan_lines(struct h1_scan *s, struct span piece, size_t *used)
{
	const char *p = piece.at, *end = span_end(piece), *lf;
	bool begun = s->seen > s->line;       /* the piece begins inside a line … */
	uint32_t lines = s->lines;

	for (; (lf = line_feed(p, end)); p = lf + 1, begun = false, lines++) {
		if ((lf > piece.at ? lf[-1] : s->last) != '\r')
			return H1_FAULT_LINE_END;
		if (begun ? s->seen + (uint32_t)(lf - piece.at) - s->line == 1 : lf - p == 1) {
			s->done = true;               /* … of which only the CR can have come before an empty line's LF */
			p = lf + 1;
			lines++;
			break;
		}
	}
	*used = (size_t)((s->done ? p : end) - piece.at);
	if (!begun)
		s->line = s->seen + (uint32_t)(p - piece.at);
	s->lines = lines;
	return H1_FAULT_NONE;
}

enum h1_fault h1_scan_piece(struct h1_scan *s, const struct h1_bounds *b, struct span piece, size_t *used)
{
	enum h1_fault fault = H1_FAULT_NONE;
	bool in_first_line, is_long;

	*used = 0;
	if (s->done || piece.len == 0)
		return H1_FAULT_NONE;
	if (s->seen == 0)
		fault = scan_first_byte(b->section, piece.at[0]);
	piece = span_first(piece, b->max_bytes - s->seen);
	in_first_line = s->lines == 0 && b->section == H1_REQUEST_HEAD;
	is_long = s->seen + piece.len > b->max_target_bytes;
	if (!fault && in_first_line && is_long)
		fault = scan_first_line(s, b, piece);
	if (!fault)
		fault = scan_lines(s, piece, used);
	if (!fault && in_first_line && !is_long && s->lines == 0)
		fault = scan_target(s, b->max_target_bytes, piece);
	if (fault)
		return fault;
	s->seen += (uint32_t)*used;
	s->last = piece.at[*used - 1];
	return !s->done && s->seen >= b->max_bytes ? H1_FAULT_HEAD_TOO_LARGE : H1_FAULT_NONE;
}

/* ── parse ── */

/* What is wrong with the byte at p, when it may not stand where it stands. */
static enum h1_fault wrong_byte(const char *p, enum h1_fault otherwise)
{
	if (*p == '\r')
		return p[1] == '\n' ? otherwise : H1_FAULT_LINE_END;
	return byte_is(*p, BYTE_CONTROL) ? H1_FAULT_CONTROL_BYTE : otherwise;
}

/* Behind the target: anything but exactly " HTTP/1.0" or " HTTP/1.1" and the line's end. */
static enum h1_fault wrong_version(const char *p, const char *end)
{
	for (; *p != '\r'; p++)
		if (*p == ' ' || *p == '\t')
			return H1_FAULT_START_LINE;
		else if (byte_is(*p, BYTE_CONTROL))
			return H1_FAULT_CONTROL_BYTE;
	return p + 1 < end && p[1] == '\n' ? H1_FAULT_VERSION : H1_FAULT_LINE_END;
}

static bool version_at(const char *p, unsigned *minor)
{
	if (memcmp(p, "HTTP/1.", 7) != 0 || (p[7] != '0' && p[7] != '1'))
		return false;
	*minor = (unsigned)(p[7] - '0');
	return true;
}

enum h1_fault h1_parse_request_line(struct h1_parse *parse, struct request *r)
{
	const char *method = parse->next, *p = method, *target;

	p = behind_token(p);
	if (*p != ' ')
		return wrong_byte(p, *p == '\t' || *p == '\r' ? H1_FAULT_START_LINE : H1_FAULT_METHOD);
	if (p == method || p - method > 32)
		return H1_FAULT_METHOD;
	r->method_text = span_between(method, p);
	target = ++p;
	while (byte_is(*p, BYTE_TARGET))
		p++;
	if (*p != ' ')
		return wrong_byte(p, *p == '\r' && p > target ? H1_FAULT_VERSION : *p == '\t' ? H1_FAULT_START_LINE : H1_FAULT_TARGET);
	if (p == target)
		return H1_FAULT_START_LINE;
	r->target = span_between(target, p++);
	if (parse->end - p < 10 || !version_at(p, &r->minor) || p[8] != '\r' || p[9] != '\n')
		return wrong_version(p, parse->end);
	parse->next = p + 10;
	r->method = method_of(r->method_text);
	if (r->method == METHOD_CONNECT)
		return H1_FAULT_METHOD_REFUSED;
	return span_eq(r->method_text, SPAN("PRI")) ? H1_FAULT_METHOD : H1_FAULT_NONE;     /* HTTP/2's preface, not a method */
}

enum h1_fault h1_parse_status_line(struct h1_parse *parse, struct reply *r)
{
	const char *p = parse->next, *phrase;

	if (parse->end - p < 14 || memcmp(p, "HTTP/", 5) != 0)
		return H1_FAULT_START_LINE;
	if (!version_at(p, &r->minor) || p[8] != ' ')
		return H1_FAULT_VERSION;
	p += 9;
	if (p[0] < '1' || p[0] > '5' || !char_is_digit(p[1]) || !char_is_digit(p[2]))
		return H1_FAULT_STATUS;
	r->status = (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
	p += 3;
	if (*p != ' ' && *p != '\r')          /* a missing space before an empty phrase is common and harmless */
		return wrong_byte(p, H1_FAULT_STATUS);
	phrase = *p == ' ' ? p + 1 : p;
	p = control_or_end(phrase, parse->end);
	if (*p != '\r' || p[1] != '\n')
		return wrong_byte(p, H1_FAULT_CONTROL_BYTE);
	r->phrase = span_between(phrase, p);
	parse->next = p + 2;
	return H1_FAULT_NONE;
}

/* Host, Content-Length and Transfer-Encoding are kept aside; the others go into the list. false: it is full. */
static inline bool keep(struct h1_framing_fields *aside, struct fields *fields, struct span name, struct span value)
{
	enum field_id id = field_id_of(name);
	struct field *place;

	switch (id) {
	case FIELD_HOST:              aside->host = value;   aside->hosts++;   return true;
	case FIELD_CONTENT_LENGTH:    aside->length = value; aside->lengths++; return true;
	case FIELD_TRANSFER_ENCODING: aside->coding = value; aside->codings++; return true;
	default:                      break;
	}
	if (fields->count >= fields->size)
		return false;
	place = &fields->at[fields->count++];         /* member by member: through a copy it would be read before it is written */
	place->name.at = name.at;
	place->name.len = name.len;
	place->value.at = value.at;
	place->value.len = value.len;
	place->id = id;
	fields->present |= (UINT64_C(1) << id) & ~UINT64_C(1);
	return true;
}

enum h1_fault h1_parse_fields(struct h1_parse *parse, struct fields *fields)
{
	struct h1_places places = { 0 };
	const char *p = parse->next;

	while (*p != '\r') {
		const char *name = p, *colon, *value, *end;

		colon = behind_token(p);
		if (colon == name || *colon != ':')
			return colon == name && (*p == ' ' || *p == '\t') ? H1_FAULT_FIELD_FOLDED : wrong_byte(colon, H1_FAULT_FIELD_NAME);
		h1_place(&places, parse->base, name, (size_t)(colon - name));
		for (p = colon + 1; *p == ' ' || *p == '\t'; p++)
			;
		value = p;
		p = end = control_or_end(p, parse->end);
		if (*p != '\r' || p[1] != '\n')
			return wrong_byte(p, H1_FAULT_CONTROL_BYTE);
		h1_place(&places, parse->base, value, (size_t)(end - value));
		while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
			end--;
		p += 2;
		if (!keep(&parse->framing, fields, span_between(name, colon), span_between(value, end)))
			return H1_FAULT_TOO_MANY_FIELDS;
	}
	parse->places = places;
	if (p[1] != '\n')
		return H1_FAULT_LINE_END;
	parse->next = p + 2;
	return parse->next == parse->end ? H1_FAULT_NONE : H1_FAULT_DISAGREEMENT;
}

bool h1_is_forbidden_trailer(const struct fields *fields, const struct h1_framing_fields *framing)
{
#define BIT(word) (UINT64_C(1) << FIELD_##word)
	static const uint64_t forbidden = BIT(CONNECTION) | BIT(KEEP_ALIVE) | BIT(PROXY_CONNECTION) | BIT(TE) | BIT(TRAILER) |
		BIT(UPGRADE) | BIT(HTTP2_SETTINGS) | BIT(CONTENT_TYPE) | BIT(CONTENT_ENCODING) | BIT(EXPECT) | BIT(AUTHORIZATION) |
		BIT(COOKIE) |
		BIT(RANGE) | BIT(ORIGIN) | BIT(VIA) | BIT(RETRY_AFTER) | BIT(CACHE_CONTROL) | BIT(VARY) | BIT(SET_COOKIE) | BIT(LOCATION) |
		BIT(X_REQUEST_ID) | BIT(X_FORWARDED_FOR) | BIT(X_FORWARDED_PROTO) | BIT(X_FORWARDED_HOST) | BIT(X_FORWARDED_PORT) |
		BIT(FORWARDED) | BIT(TRACEPARENT) | BIT(TRACESTATE) | BIT(GRPC_TIMEOUT) | BIT(X_REQUEST_TIMEOUT_MS) |
		BIT(X_ENVOY_TIMEOUT_MS) | BIT(X_OUTRIGGER_ATTEMPT) | BIT(IDEMPOTENCY_KEY);
#undef BIT

	return framing->hosts || framing->lengths || framing->codings || (fields->present & forbidden);
}
