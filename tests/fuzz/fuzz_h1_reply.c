/* fuzz_h1_reply.c - any bytes as an upstream's answer.
 *
 * Input: one byte that decides the circumstances (which method was asked, whether an upgrade was) and how the rest is cut, then
 * the upstream's bytes. Whole and in pieces must mean the same; both parsers must agree; the reply that comes out complete is
 * forwarded, serialised to an HTTP/1.1 or 1.0 client and judged by the oracle.
 */
#include "../unit/raw_cases.h"
#include "http/forward.h"
#include "http/h1_write.h"
#include "oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { ASKED_HEAD = 1, ASKED_UPGRADE = 2, OLD_CLIENT = 4 };
static const struct raw_case circumstances[4] = {
	{ .facts = { "asked=GET", 9 } }, { .facts = { "asked=HEAD", 10 } },
	{ .facts = { "asked=GET upgrade=1", 19 } }, { .facts = { "asked=HEAD upgrade=1", 20 } },
};

static size_t serialise(char *out, const struct reply *r, const struct request *asked, struct span body,
	const struct fields *trailers)
{
	bool stream = r->framing == BODY_STREAM;
	enum h1_connection connection = r->status == 101 ? H1_UPGRADE : stream && asked->minor == 0 ? H1_CLOSE : H1_KEEP_ALIVE;
	size_t n = h1_write_reply(out, r, asked, connection);

	ORACLE(n <= h1_reply_size(r));
	if (stream && asked->minor == 1 && body.len)
		n += h1_write_chunk_head(out + n, body.len);
	memcpy(out + n, body.at ? body.at : "", body.len);
	n += body.len;
	if (stream && asked->minor == 1) {
		memcpy(out + n, "\r\n", 2);
		n += body.len ? 2 : 0;
		n += h1_write_last_chunk(out + n, trailers);
	}
	return n;
}

static void judge(struct raw_play *p, unsigned how)
{
	static struct oracle_message m;
	struct reply *r = &p->reply;
	struct request asked = { .method = how & ASKED_HEAD ? METHOD_HEAD : METHOD_GET, .minor = how & OLD_CLIENT ? 0 : 1 };
	struct trace trace = { .request_id = "abc", .request_id_len = 3 };
	struct span body = text_span(&p->data);
	char *out = malloc(h1_reply_size(r) + 512 + body.len + h1_trailers_size(&p->reader.trailers));
	size_t n;

	ORACLE(out);
	if (r->status / 100 == 1 && r->status != 101) {
		n = h1_write_informational(out, r);
		ORACLE(n <= h1_reply_size(r) && n > 15 && memcmp(out + n - 4, "\r\n\r\n", 4) == 0);
		free(out);
		return;
	}
	ORACLE(forward_reply(r, &trace, NULL, NULL, 0, &p->arena));
	n = serialise(out, r, &asked, body, &p->reader.trailers);
	oracle_reply(&m, out, n, how & ASKED_HEAD, r->status == 101);
	ORACLE((unsigned)(m.start[1].at[0] - '0') * 100 + (unsigned)(m.start[1].at[1] - '0') * 10 + (unsigned)(m.start[1].at[2] - '0') ==
		(unsigned)r->status);
	ORACLE(m.body_len == body.len && (body.len == 0 || memcmp(m.body, body.at, body.len) == 0));
	ORACLE(oracle_find(&m, "x-request-id"));
	free(m.body);
	free(out);
}

static void feed(struct raw_play *p, struct span in, unsigned how, bool judged)
{
	while (!p->over) {
		struct span data;

		switch (h1_read(&p->reader, &in, &data)) {
		case H1_MORE: return;
		case H1_HEAD: raw_say_head(p); break;
		case H1_DATA: text_add(&p->data, data); break;
		case H1_END:
			if (judged)
				judge(p, how);
			raw_message_over(p);
			break;
		case H1_BAD:  raw_fault(p); break;
		}
	}
}

static void play(struct raw_play *p, const uint8_t *bytes, size_t len, unsigned how, unsigned cut)
{
	unsigned step = cut;

	raw_begin(p, false, &circumstances[how & 3]);
	for (size_t from = 0; from < len && !p->over;) {
		size_t n = cut == 0 ? len : 1 + step % 23;
		char *copy;

		n = n < len - from ? n : len - from;
		copy = malloc(n);
		memcpy(copy, bytes + from, n);
		feed(p, (struct span){ copy, n }, how, cut == 0);
		free(copy);
		from += n;
		step = step * 5 + 3;
	}
	if (!p->over) {
		enum h1_step end = h1_read_eof(&p->reader);

		if (end == H1_END && cut == 0)
			judge(p, how);
		if (end == H1_END)
			raw_message_over(p);
		else if (end == H1_BAD)
			raw_fault(p);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct raw_play whole, cut;

	if (len == 0)
		return 0;
	play(&whole, bytes + 1, len - 1, bytes[0] & 7, 0);
	play(&cut, bytes + 1, len - 1, bytes[0] & 7, 1u + (bytes[0] >> 3));
	ORACLE(whole.reader.fault != H1_FAULT_DISAGREEMENT);
	ORACLE(span_eq(text_span(&whole.said), text_span(&cut.said)));
	raw_end(&whole);
	raw_end(&cut);
	return 0;
}
