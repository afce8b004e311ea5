/* gzip.c - see gzip.h. Deflate (RFC 1951) as one block of the fixed code, for texts that repeat themselves: pages of metrics, above all. zlib at
 * its fastest compares byte by byte and takes twice as long, for three quarters of the size; to a scraper next door time is dearer. It checks: crc32.
 *
 * Always true: no symbol is longer than nine bits for each byte that it stands for, so `room` never ends; the bits that wait are less than eight.
 */
#include "gzip.h"

#include <endian.h>
#include <stdlib.h>
#include <zlib.h>

enum { HASH_BITS = 13, SHORTEST = 4, LONGEST = 258, GOOD = 32, WINDOW = 32 * 1024, HEAD_BYTES = 10, TAIL_BYTES = 8, SLACK_BYTES = 16 };
enum { END_OF_BLOCK = 256, LENGTHS_FROM = 257, LONGEST_SYMBOL = 285, DISTANCES = 30 };

struct code { uint32_t bits; unsigned len; };
struct tables {
	struct code literal[256], length[LONGEST + 1];
	uint32_t    distance[DISTANCES];
	uint32_t    seen[1 << HASH_BITS];     /* one behind where these four bytes stood last; 0: nowhere */
};
struct writer { char *out; uint64_t bits; unsigned count; };       /* bits: not written yet, the first one lowest */
struct match { size_t len, distance; };

/* ── the fixed code ── */

/* Codes begin with their highest bit, everything else with its lowest. */
static unsigned reversed(unsigned bits, unsigned count)
{
	unsigned r = 0;
	for (; count; count--, bits >>= 1)
		r = r << 1 | (bits & 1);
	return r;
}

static struct code code_of(unsigned symbol)
{
	if (symbol < 144)
		return (struct code){ reversed(0x30 + symbol, 8), 8 };
	if (symbol < END_OF_BLOCK)
		return (struct code){ reversed(0x190 + symbol - 144, 9), 9 };
	if (symbol < 280)
		return (struct code){ reversed(symbol - END_OF_BLOCK, 7), 7 };
	return (struct code){ reversed(0xc0 + symbol - 280, 8), 8 };
}

static unsigned log_2(size_t n) { return 63 - (unsigned)__builtin_clzll(n); }

/* With the bits that follow it: four symbols for each power of two. */
static struct code code_of_length(size_t length)
{
	size_t n = length - 3;
	unsigned more = n < 8 ? 0 : log_2(n) - 2;
	unsigned symbol = (unsigned)(n < 8 ? n : 4 * (more + 1) + (n >> more & 3));
	struct code c = code_of(length == LONGEST ? LONGEST_SYMBOL : LENGTHS_FROM + symbol);
	if (length == LONGEST)
		return c;
	return (struct code){ c.bits | (uint32_t)(n & ((1u << more) - 1)) << c.len, c.len + more };
}

static inline void put_bits(struct writer *w, uint64_t bits, unsigned count)
{
	w->bits |= bits << w->count;
	w->count += count;
	uint64_t word = htole64(w->bits);
	memcpy(w->out, &word, sizeof(word));
	w->out += w->count / 8;
	w->bits >>= w->count & ~7u;
	w->count &= 7;
}

static inline void put_code(struct writer *w, struct code c) { put_bits(w, c.bits, c.len); }

/* Two symbols for each power of two. */
static inline void put_match(struct writer *w, const struct tables *t, struct match m)
{
	size_t n = m.distance - 1;
	unsigned more = n < 4 ? 0 : log_2(n) - 1;
	size_t symbol = n < 4 ? n : 2 * (more + 1) + (n >> more & 1);
	struct code length = t->length[m.len];
	uint64_t distance = t->distance[symbol] | (n & ((1u << more) - 1)) << 5;
	put_bits(w, length.bits | distance << length.len, length.len + 5 + more);
}

/* ── what stood there before ── */

static uint64_t word8(const char *at) { uint64_t w; memcpy(&w, at, sizeof(w)); return le64toh(w); }
static uint32_t word4(const char *at) { uint32_t w; memcpy(&w, at, sizeof(w)); return le32toh(w); }

static inline size_t alike(const char *a, const char *b, size_t most)
{
	size_t n = 0;
	for (; n + 8 <= most; n += 8) {
		uint64_t differs = word8(a + n) ^ word8(b + n);
		if (differs)
			return n + (unsigned)__builtin_ctzll(differs) / 8;
	}
	while (n < most && a[n] == b[n])
		n++;
	return n;
}

/* Lines differ in a letter and go on alike, so the distance of the match before is tried first (0: there was none). */
static inline struct match find(struct tables *t, struct span in, size_t at, size_t distance)
{
	const char *here = in.at + at;
	size_t most = in.len - at < LONGEST ? in.len - at : LONGEST;
	struct match m = { distance ? alike(here, here - distance, most) : 0, distance };
	if (most < SHORTEST)
		return (struct match){ 0, distance };
	uint32_t *seen = &t->seen[(word4(here) * 2654435761u) >> (32 - HASH_BITS)];
	size_t other = at + 1 - *seen;
	bool known = *seen && other <= WINDOW && other != distance;
	*seen = (uint32_t)at + 1;
	if (m.len >= GOOD || !known)
		return m;
	size_t len = alike(here, here - other, most);
	return len > m.len ? (struct match){ len, other } : m;
}

/* Returns its end. */
static char *pack(struct tables *t, struct span in, char *out)
{
	struct writer w = { .out = out };
	size_t at = 0, distance = 0;
	put_bits(&w, 3, 3);                       /* the last block, fixed code */
	while (at < in.len) {
		struct match m = find(t, in, at, distance);
		if (m.len < SHORTEST) {
			put_code(&w, t->literal[(unsigned char)in.at[at++]]);
			continue;
		}
		put_match(&w, t, m);
		distance = m.distance;
		at += m.len;
	}
	put_code(&w, code_of(END_OF_BLOCK));
	put_bits(&w, 0, 7);                       /* to the end of the byte */
	return w.out;
}

static struct tables *tables_new(void)
{
	struct tables *t = calloc(1, sizeof(*t));
	for (unsigned i = 0; t && i < 256; i++)
		t->literal[i] = code_of(i);
	for (unsigned i = SHORTEST; t && i <= LONGEST; i++)
		t->length[i] = code_of_length(i);
	for (unsigned i = 0; t && i < DISTANCES; i++)
		t->distance[i] = reversed(i, 5);
	return t;
}

bool gzip_text(struct text *t)
{
	static const char head[HEAD_BYTES] = { 0x1f, (char)0x8b, 8, 0, 0, 0, 0, 0, 4, 3 };     /* deflate, no name, no time, fastest, Unix */
	if (!t->owned || t->cut || !t->len || t->len > UINT32_MAX / 2)
		return false;
	char *out = malloc(t->len + t->len / 8 + HEAD_BYTES + TAIL_BYTES + SLACK_BYTES);
	struct tables *tables = out ? tables_new() : NULL;
	if (!tables) {
		free(out);
		return false;
	}
	const uint32_t tail[] = { htole32((uint32_t)crc32(0, (const Bytef *)t->at, (uInt)t->len)), htole32((uint32_t)t->len) };
	memcpy(out, head, sizeof(head));
	char *end = pack(tables, text_span(t), out + sizeof(head));
	memcpy(end, tail, sizeof(tail));
	free(tables);
	free(t->at);
	t->size = t->len = (size_t)(end + sizeof(tail) - out);
	char *fit = realloc(out, t->len);
	t->at = fit ? fit : out;
	return true;
}
