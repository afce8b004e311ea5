/* trace.c - who this request is: its id (UUIDv7) and its place in a trace (W3C Trace Context level 2).
 *
 * Invariants: request_id is of safe characters whoever made it; trace_id and span_id are lower-case hex and not all zero. An
 * invalid traceparent is as good as none: a new trace begins (and forward.c drops tracestate).
 */
#include "http/forward.h"

#include "bytes.h"

/* Eight digits at once: the nibbles spread over the bytes of a word, then each made a digit or a letter. */
static void put_hex8(char *to, uint32_t value)
{
	const uint64_t ones = 0x0101010101010101u;
	uint64_t w = value, letters;

	w = (w << 16 | w) & 0x0000ffff0000ffffu;
	w = (w << 8 | w) & 0x00ff00ff00ff00ffu;
	w = (w << 4 | w) & 0x0f0f0f0f0f0f0f0fu;
	letters = (w + ones * 6) >> 4 & ones;
	w += ones * '0' + letters * ('a' - '0' - 10);
	if (__BYTE_ORDER__ != __ORDER_BIG_ENDIAN__)
		w = __builtin_bswap64(w);
	memcpy(to, &w, 8);
}

static void put_hex16(char *to, uint64_t value)
{
	put_hex8(to, (uint32_t)(value >> 32));
	put_hex8(to + 8, (uint32_t)value);
}

void uuid7_write(char *out, struct rand *rand, uint64_t wall_ms)
{
	uint64_t high = rand_next(rand);
	char digits[32];

	put_hex16(digits, wall_ms << 16 | 0x7000 | (high & 0x0fff));
	put_hex16(digits + 16, UINT64_C(0x8000) << 48 | rand_next(rand) >> 2);
	memcpy(out, digits, 8);
	memcpy(out + 9, digits + 8, 4);
	memcpy(out + 14, digits + 12, 4);
	memcpy(out + 19, digits + 16, 4);
	memcpy(out + 24, digits + 20, 12);
	out[8] = out[13] = out[18] = out[23] = '-';
}

static bool request_id_is_fine(struct span id)
{
	if (id.len == 0 || id.len > 128)
		return false;
	for (size_t i = 0; i < id.len; i++)
		if (!byte_is(id.at[i], BYTE_UNRESERVED) || id.at[i] == '~')
			return false;
	return true;
}

/* Lower-case hex that is not all zero. */
static bool hex_id(struct span id)
{
	bool zero = true;

	for (size_t i = 0; i < id.len; i++) {
		char c = id.at[i];

		if (!char_is_digit(c) && (c < 'a' || c > 'f'))
			return false;
		zero = zero && c == '0';
	}
	return !zero;
}

/* "00-" 32 hex "-" 16 hex "-" 2 hex, in one field and nothing behind it. */
static bool continue_trace(struct trace *t, const struct fields *fields)
{
	const struct field *first = fields_find(fields, FIELD_TRACEPARENT);
	struct span v;
	uint64_t flags;

	if (!first)
		return false;
	for (const struct field *f = first + 1; f < fields->at + fields->count; f++)
		if (f->id == FIELD_TRACEPARENT)
			return false;
	v = first->value;
	if (v.len != 55 || memcmp(v.at, "00-", 3) != 0 || v.at[35] != '-' || v.at[52] != '-')
		return false;
	if (!hex_id(span_first(span_from(v, 3), 32)) || !hex_id(span_first(span_from(v, 36), 16)))
		return false;
	for (int i = 53; i < 55; i++)
		if (!char_is_digit(v.at[i]) && (v.at[i] < 'a' || v.at[i] > 'f'))
			return false;
	if (!span_hex_to_u64(span_from(v, 53), 255, &flags))
		return false;
	memcpy(t->trace_id, v.at + 3, 32);
	memcpy(t->caller_id, v.at + 36, 16);
	t->sampled = flags & 1;
	return true;
}

void trace_begin(struct trace *t, const struct request *r, struct rand *rand, uint64_t wall_ms)
{
	const struct field *id = fields_find(&r->fields, FIELD_X_REQUEST_ID);

	if (id && request_id_is_fine(id->value)) {
		memcpy(t->request_id, id->value.at, id->value.len);
		t->request_id_len = (unsigned)id->value.len;
	} else {
		uuid7_write(t->request_id, rand, wall_ms);
		t->request_id_len = 36;
	}
	t->continued = fields_have(&r->fields, FIELD_TRACEPARENT) && continue_trace(t, &r->fields);
	if (!t->continued) {
		put_hex16(t->trace_id, rand_next(rand));
		put_hex16(t->trace_id + 16, rand_next(rand) | 1);
		memset(t->caller_id, '0', sizeof t->caller_id);
		t->sampled = false;
	}
	put_hex16(t->span_id, rand_next(rand) | 1);
}

/* The characters of our own id, stirred (splitmix64): nobody can tell that it is not drawn, and nobody has to keep it. */
void trace_try_id(const struct trace *t, unsigned number, char out[16])
{
	uint64_t half[2], z;
	memcpy(half, t->span_id, sizeof(half));
	z = half[0] ^ (half[1] << 4) ^ number * UINT64_C(0x9e3779b97f4a7c15);      /* hex: four bits of each byte hardly differ */
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	put_hex16(out, (z ^ (z >> 31)) | 1);
}
