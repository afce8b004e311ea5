/* h1_guard.c - scan and parse of heads and trailers; see h1_guard.h.
 *
 * Invariants: a section handed to the parser was passed by the scan, so each LF in it follows a CR and it ends in an empty
 * line; that is the sentinel which lets loops over tokens run without a bound of their own.
 */
#include "h1_guard.h"

#include "bytes.h"
#include "fields_put.h"

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

/* Lines of the piece up to the empty one. */
static enum h1_fault scan_lines(struct h1_scan *s, const struct h1_bounds *b, struct span piece, size_t *used)
{
	const char *p = piece.at, *end = span_end(piece), *lf;

	while ((lf = memchr(p, '\n', (size_t)(end - p)))) {
		uint32_t place = s->seen + (uint32_t)(lf - piece.at);
		enum h1_fault fault;

		if (s->lines == 0 && b->section == H1_REQUEST_HEAD && (place > b->max_target_bytes || s->target)) {
			fault = scan_target(s, b->max_target_bytes, span_between(piece.at, lf));
			if (fault)
				return fault;
		}
		if ((lf > piece.at ? lf[-1] : s->last) != '\r')
			return H1_FAULT_LINE_END;
		p = lf + 1;
		s->lines++;
		if (place - s->line == 1) {
			*used = (size_t)(p - piece.at);
			s->done = true;
			return H1_FAULT_NONE;
		}
		s->line = place + 1;
	}
	*used = piece.len;
	if (s->lines == 0 && b->section == H1_REQUEST_HEAD)
		return scan_target(s, b->max_target_bytes, piece);
	return H1_FAULT_NONE;
}

enum h1_fault h1_scan_piece(struct h1_scan *s, const struct h1_bounds *b, struct span piece, size_t *used)
{
	enum h1_fault fault = H1_FAULT_NONE;

	*used = 0;
	if (s->done || piece.len == 0)
		return H1_FAULT_NONE;
	if (s->seen == 0)
		fault = scan_first_byte(b->section, piece.at[0]);
	if (!fault)
		fault = scan_lines(s, b, span_first(piece, b->max_bytes - s->seen), used);
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

	while (byte_is(*p, BYTE_TOKEN))
		p++;
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

/* true: one of the three that frame or route, kept aside. */
static bool keep_aside(struct h1_framing_fields *f, enum field_id id, struct span value)
{
	switch (id) {
	case FIELD_HOST:              f->host = value;   f->hosts++;   return true;
	case FIELD_CONTENT_LENGTH:    f->length = value; f->lengths++; return true;
	case FIELD_TRANSFER_ENCODING: f->coding = value; f->codings++; return true;
	default:                      return false;
	}
}

enum h1_fault h1_parse_fields(struct h1_parse *parse, struct fields *fields)
{
	const char *p = parse->next;

	while (*p != '\r') {
		const char *name = p, *value, *end;
		struct field field;

		while (byte_is(*p, BYTE_TOKEN))
			p++;
		if (p == name || *p != ':')
			return p == name && (*p == ' ' || *p == '\t') ? H1_FAULT_FIELD_FOLDED : wrong_byte(p, H1_FAULT_FIELD_NAME);
		field.name = span_between(name, p++);
		while (*p == ' ' || *p == '\t')
			p++;
		value = p;
		p = end = control_or_end(p, parse->end);
		if (*p != '\r' || p[1] != '\n')
			return wrong_byte(p, H1_FAULT_CONTROL_BYTE);
		while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
			end--;
		p += 2;
		field.value = span_between(value, end);
		field.id = field_id_of(field.name);
		parse->digest = h1_digest(h1_digest(parse->digest, parse->base, field.name), parse->base, field.value);
		if (!keep_aside(&parse->framing, field.id, field.value) && !fields_put(fields, field))
			return H1_FAULT_TOO_MANY_FIELDS;
	}
	if (p[1] != '\n')
		return H1_FAULT_LINE_END;
	parse->next = p + 2;
	return parse->next == parse->end ? H1_FAULT_NONE : H1_FAULT_DISAGREEMENT;
}

bool h1_is_forbidden_trailer(const struct fields *fields, const struct h1_framing_fields *framing)
{
#define BIT(word) (UINT64_C(1) << FIELD_##word)
	static const uint64_t forbidden = BIT(CONNECTION) | BIT(KEEP_ALIVE) | BIT(PROXY_CONNECTION) | BIT(TE) | BIT(TRAILER) | BIT(UPGRADE) |
		BIT(HTTP2_SETTINGS) | BIT(CONTENT_TYPE) | BIT(CONTENT_ENCODING) | BIT(EXPECT) | BIT(AUTHORIZATION) | BIT(COOKIE) |
		BIT(RANGE) | BIT(ORIGIN) | BIT(VIA) | BIT(RETRY_AFTER) | BIT(CACHE_CONTROL) | BIT(VARY) | BIT(SET_COOKIE) | BIT(LOCATION) |
		BIT(X_REQUEST_ID) | BIT(X_FORWARDED_FOR) | BIT(X_FORWARDED_PROTO) | BIT(X_FORWARDED_HOST) | BIT(X_FORWARDED_PORT) |
		BIT(FORWARDED) | BIT(TRACEPARENT) | BIT(TRACESTATE) | BIT(GRPC_TIMEOUT) | BIT(X_REQUEST_TIMEOUT_MS) |
		BIT(X_ENVOY_TIMEOUT_MS) | BIT(X_OUTRIGGER_ATTEMPT) | BIT(IDEMPOTENCY_KEY);
#undef BIT

	return framing->hosts || framing->lengths || framing->codings || (fields->present & forbidden);
}
