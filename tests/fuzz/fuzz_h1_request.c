/* fuzz_h1_request.c - any bytes as a client's connection.
 *
 * Input: one byte that decides how the rest is cut into pieces, then the client's bytes. Whole and in pieces must mean the same;
 * both parsers must agree; every request that comes out complete is forwarded, serialised and judged by the oracle.
 */
#include "../unit/raw_cases.h"
#include "http/forward.h"
#include "http/h1_write.h"
#include "oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static struct rand dice;

static bool same(struct oracle_text a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* Head, body and trailers as the back would send them; the body in two pieces when it is a stream. */
static size_t serialise(char *out, const struct request *up, struct span body, const struct fields *trailers)
{
	size_t n = h1_write_request(out, up, up->upgrade.len ? H1_UPGRADE : H1_KEEP_ALIVE);

	ORACLE(n <= h1_request_size(up));
	if (up->framing != BODY_STREAM) {
		memcpy(out + n, body.at ? body.at : "", body.len);
		return n + body.len;
	}
	for (struct span rest = body, piece; rest.len; rest = span_from(rest, piece.len)) {
		piece = span_first(rest, (rest.len + 1) / 2);
		n += h1_write_chunk_head(out + n, piece.len);
		memcpy(out + n, piece.at, piece.len);
		n += piece.len;
		memcpy(out + n, "\r\n", 2);
		n += 2;
	}
	size_t last = h1_write_last_chunk(out + n, trailers);
	ORACLE(last <= h1_trailers_size(trailers));
	return n + last;
}

/* Fields that the client's Connection names do not go on (but for those of our own making). */
static void judge_named(const struct oracle_message *m, const struct fields *in)
{
	for (unsigned i = 0; i < in->count; i++) {
		char name[128];
		struct span rest = in->at[i].value, option;

		if (!span_eq_nocase(in->at[i].name, SPAN("connection")))
			continue;
		while (span_next(&rest, ',', &option)) {
			for (size_t k = 0; k < option.len && k < sizeof name; k++)
				name[k] = char_lower(option.at[k]);
			if (option.len == 0 || option.len >= sizeof name || field_id_of(option) != FIELD_OTHER ||
			    span_eq_nocase(option, SPAN("close")) || span_eq_nocase(option, SPAN("x-team")))
				continue;
			name[option.len] = 0;
			ORACLE(strlen(name) != option.len || !oracle_find(m, name));
		}
	}
}

static void judge(struct raw_play *p)
{
	static struct oracle_message m;
	static const struct span remove[] = { { "x-debug", 7 }, { "cookie", 6 } };
	const struct request *q = &p->request;
	struct trace trace;
	struct request up;
	struct fields set;
	struct span body = text_span(&p->data);
	struct forward_facts facts = { .client_address = SPAN("192.0.2.1"), .client_trusted = p->messages & 1, .scheme = SPAN("http"),
		.port = 8080, .authority = q->authority, .attempt = 1 + (p->messages & 2), .timeout_field = FIELD_X_REQUEST_TIMEOUT_MS,
		.timeout_ms = 1500, .trace = &trace, .set = &set, .remove = remove, .remove_count = 2, .target = q->target };
	char *out;
	size_t n;

	trace_begin(&trace, q, &dice, 1700000000000);
	ORACLE(fields_init(&set, &p->arena, 2) && fields_add(&set, SPAN("x-team"), SPAN("search")) &&
		fields_add(&set, SPAN("Connection"), SPAN("x-team")));
	(void)forward_is_loop(q, SPAN("c0ffee00"));
	ORACLE(forward_request(&up, q, &facts, &p->arena));
	out = malloc(h1_request_size(&up) + 3 * body.len + 64 + h1_trailers_size(&p->reader.trailers));
	ORACLE(out);
	n = serialise(out, &up, body, &p->reader.trailers);
	oracle_request(&m, out, n, up.upgrade.len > 0);
	ORACLE(same(m.start[0], q->method_text) && same(m.start[1], q->target));
	ORACLE(same(oracle_find(&m, "host")->value, q->authority));
	ORACLE(m.body_len == body.len && (body.len == 0 || memcmp(m.body, body.at, body.len) == 0));
	ORACLE((q->framing == BODY_STREAM) == m.chunked && (q->framing == BODY_LENGTH) == m.has_length);
	ORACLE(m.trailers == p->reader.trailers.count);
	ORACLE(oracle_find(&m, "x-request-id") && oracle_find(&m, "traceparent") && oracle_find(&m, "x-team"));
	ORACLE(!oracle_find(&m, "cookie"));
	judge_named(&m, &q->fields);
	ORACLE(facts.client_trusted || same(oracle_find(&m, "x-forwarded-for")->value, facts.client_address));
	free(m.body);
	free(out);
}

static void feed(struct raw_play *p, struct span in, bool judged)
{
	while (!p->over) {
		struct span data;

		switch (h1_read(&p->reader, &in, &data)) {
		case H1_MORE: return;
		case H1_HEAD: raw_say_head(p); break;
		case H1_DATA: text_add(&p->data, data); break;
		case H1_END:
			if (judged)
				judge(p);
			raw_message_over(p);
			break;
		case H1_BAD:  raw_fault(p); break;
		}
	}
}

static void play(struct raw_play *p, const uint8_t *bytes, size_t len, unsigned cut)
{
	static const struct raw_case nobody;
	unsigned step = cut;

	raw_begin(p, true, &nobody);
	for (size_t from = 0; from < len && !p->over;) {
		size_t n = cut == 0 ? len : 1 + step % 23;
		char *copy;

		n = n < len - from ? n : len - from;
		copy = malloc(n);
		memcpy(copy, bytes + from, n);
		if (cut & 1)
			(void)h1_reader_head_ready(&p->reader, (struct span){ copy, n });
		feed(p, (struct span){ copy, n }, cut == 0);
		free(copy);
		from += n;
		step = step * 5 + 3;
	}
	raw_close(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct raw_play whole, cut;

	if (len == 0)
		return 0;
	rand_seed(&dice, 7);
	play(&whole, bytes + 1, len - 1, 0);
	play(&cut, bytes + 1, len - 1, 1u + bytes[0]);
	ORACLE(whole.reader.fault != H1_FAULT_DISAGREEMENT);
	ORACLE(span_eq(text_span(&whole.said), text_span(&cut.said)));
	raw_end(&whole);
	raw_end(&cut);
	return 0;
}
