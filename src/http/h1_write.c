/* h1_write.c - heads and chunk framing to bytes; see h1_write.h.
 *
 * Invariants: a head has at most one framing field and it comes from `framing`; Content-Length and Transfer-Encoding in `fields`
 * are skipped should somebody have put them there, and so is Connection, which is ours. What a *_size function says is never less
 * than what its writer writes: both lists of fixed texts are bounded by HEAD_ROOM.
 */
#include "http/h1_write.h"

#include "bytes.h"

/* Start line without its texts, "host: ", framing, connection, upgrade, the last empty line: at most 170 bytes. */
enum { HEAD_ROOM = 192 };

#define BIT(word) (UINT64_C(1) << FIELD_##word)
static const uint64_t framing_fields = BIT(CONNECTION) | BIT(CONTENT_LENGTH) | BIT(TRANSFER_ENCODING);

static inline char *put(char *to, struct span s)
{
	return put_bytes(to, s.at, s.len);
}
#define PUT(to, literal) (memcpy(to, literal, sizeof(literal) - 1), (to) + sizeof(literal) - 1)

static size_t fields_bytes(const struct fields *f)
{
	size_t n = 0;

	for (unsigned i = 0; i < f->count; i++)
		n += f->at[i].name.len + f->at[i].value.len + 4;
	return n;
}

/* A field that came in as "Name: value" still lies so in memory and is one copy. */
static inline char *put_field(char *to, const struct field *f)
{
	const char *behind = f->name.at + f->name.len;

	if (f->value.at == behind + 2 && behind[0] == ':' && behind[1] == ' ') {
		to = put(to, span_between(f->name.at, span_end(f->value)));
	} else {
		to = put(to, f->name);
		to = PUT(to, ": ");
		to = put(to, f->value);
	}
	return PUT(to, "\r\n");
}

static char *put_fields(char *to, const struct fields *f, uint64_t skip)
{
	for (unsigned i = 0; i < f->count; i++)
		if (!(skip >> f->at[i].id & 1))
			to = put_field(to, &f->at[i]);
	return to;
}

static char *put_length(char *to, uint64_t length)
{
	to = PUT(to, "content-length: ");
	to += u64_to_text(length, to);
	return PUT(to, "\r\n");
}

static char *put_chunked(char *to)
{
	return PUT(to, "transfer-encoding: chunked\r\n");
}

size_t h1_request_size(const struct request *r)
{
	return HEAD_ROOM + r->method_text.len + r->target.len + r->authority.len + r->upgrade.len + fields_bytes(&r->fields);
}

/* TE is hop-by-hop and must be named by Connection (RFC 9110 §10.1.4). */
static char *put_request_connection(char *to, const struct request *r, enum h1_connection connection)
{
	bool te = fields_have(&r->fields, FIELD_TE);

	if (connection == H1_UPGRADE && r->upgrade.len) {
		to = te ? PUT(to, "connection: upgrade, te\r\nupgrade: ") : PUT(to, "connection: upgrade\r\nupgrade: ");
		return PUT(put(to, r->upgrade), "\r\n");
	}
	if (connection == H1_CLOSE)
		return te ? PUT(to, "connection: close, te\r\n") : PUT(to, "connection: close\r\n");
	return te ? PUT(to, "connection: te\r\n") : to;
}

size_t h1_write_request(char *out, const struct request *r, enum h1_connection connection)
{
	char *to = put(out, r->method_text);

	*to++ = ' ';
	to = put(to, r->target);
	to = PUT(to, " HTTP/1.1\r\nhost: ");
	to = put(to, r->authority);
	to = PUT(to, "\r\n");
	to = put_fields(to, &r->fields, framing_fields | BIT(HOST) | BIT(UPGRADE));
	if (r->framing == BODY_LENGTH)
		to = put_length(to, r->content_length);
	else if (r->framing == BODY_STREAM)
		to = put_chunked(to);
	to = put_request_connection(to, r, connection);
	return (size_t)(PUT(to, "\r\n") - out);
}

static struct span phrase_of(const struct reply *r)
{
	return r->phrase.len ? r->phrase : span_of(status_phrase(r->status));
}

size_t h1_reply_size(const struct reply *r)
{
	return HEAD_ROOM + phrase_of(r).len + fields_bytes(&r->fields);
}

static char *put_status_line(char *to, const struct reply *r)
{
	to = PUT(to, "HTTP/1.1 ");
	*to++ = (char)('0' + r->status / 100 % 10);
	*to++ = (char)('0' + r->status / 10 % 10);
	*to++ = (char)('0' + r->status % 10);
	*to++ = ' ';
	to = put(to, phrase_of(r));
	return PUT(to, "\r\n");
}

static char *put_reply_framing(char *to, const struct reply *r, const struct request *asked)
{
	if (reply_has_no_body(asked->method, r->status)) {
		bool told = r->has_length && r->status / 100 != 1 && r->status != 204;

		return told ? put_length(to, r->content_length) : to;
	}
	if (r->framing == BODY_STREAM)
		return asked->minor == 0 ? to : put_chunked(to);
	return put_length(to, r->framing == BODY_LENGTH ? r->content_length : 0);
}

size_t h1_write_reply(char *out, const struct reply *r, const struct request *asked, enum h1_connection connection)
{
	char *to = put_status_line(out, r);

	to = put_fields(to, &r->fields, connection == H1_UPGRADE ? framing_fields : framing_fields | BIT(UPGRADE));
	to = put_reply_framing(to, r, asked);
	if (connection == H1_UPGRADE)
		to = PUT(to, "connection: upgrade\r\n");
	else if (connection == H1_CLOSE)
		to = PUT(to, "connection: close\r\n");
	else if (asked->minor == 0)           /* HTTP/1.0 closes unless told */
		to = PUT(to, "connection: keep-alive\r\n");
	return (size_t)(PUT(to, "\r\n") - out);
}

size_t h1_write_informational(char *out, const struct reply *r)
{
	char *to = put_fields(put_status_line(out, r), &r->fields, framing_fields | BIT(UPGRADE));

	return (size_t)(PUT(to, "\r\n") - out);
}

size_t h1_write_chunk_head(char *out, size_t data_len)
{
	static const char digits[] = "0123456789abcdef";
	unsigned shift = 0;
	char *to = out;

	while (shift < 60 && data_len >> shift >> 4)
		shift += 4;
	do
		*to++ = digits[data_len >> shift & 15];
	while (shift && (shift -= 4, true));
	return (size_t)(PUT(to, "\r\n") - out);
}

size_t h1_trailers_size(const struct fields *trailers)
{
	return 5 + (trailers ? fields_bytes(trailers) : 0);
}

size_t h1_write_last_chunk(char *out, const struct fields *trailers)
{
	char *to = PUT(out, "0\r\n");

	if (trailers)
		to = put_fields(to, trailers, framing_fields);
	return (size_t)(PUT(to, "\r\n") - out);
}
