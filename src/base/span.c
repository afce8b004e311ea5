/* span.c - comparing, cutting, reading numbers from and hashing runs of bytes.
 *
 * Nothing here allocates, keeps a pointer or knows a locale. A span of length 0 may have at == NULL.
 */
#include "base/span.h"

bool span_eq_nocase(struct span a, struct span b)
{
	return a.len == b.len && span_starts_nocase(a, b);
}

bool span_starts_nocase(struct span s, struct span with)
{
	if (s.len < with.len)
		return false;
	for (size_t i = 0; i < with.len; i++)
		if (char_lower(s.at[i]) != char_lower(with.at[i]))
			return false;
	return true;
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

struct span span_trim(struct span s)
{
	while (s.len && is_blank(s.at[0]))
		s = span_from(s, 1);
	while (s.len && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

/* at == NULL says that the last element was taken. An empty rest with at set is one more element, an empty one: only so
 * does ",," have three and "a," two. */
bool span_next(struct span *rest, char sep, struct span *element)
{
	if (!rest->at)
		return false;
	const char *cut = rest->len ? memchr(rest->at, sep, rest->len) : NULL;
	if (!cut) {
		*element = span_trim(*rest);
		*rest = SPAN_NONE;
		return true;
	}
	*element = span_trim(span_between(rest->at, cut));
	*rest = span_between(cut + 1, span_end(*rest));
	return true;
}

bool span_lists(struct span list, struct span token)
{
	struct span element;

	while (span_next(&list, ',', &element))
		if (span_eq_nocase(element, token))
			return true;
	return false;
}

bool span_to_u64(struct span s, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (!s.len)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!char_is_digit(s.at[i]))
			return false;
		unsigned digit = (unsigned)(s.at[i] - '0');
		if (__builtin_mul_overflow(value, 10u, &value) || __builtin_add_overflow(value, digit, &value) || value > max)
			return false;
	}
	*out = value;
	return true;
}

static int hex_digit(char c)
{
	if (char_is_digit(c))
		return c - '0';
	c = char_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool span_hex_to_u64(struct span s, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (!s.len)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		int digit = hex_digit(s.at[i]);
		if (digit < 0 || value >> 60)
			return false;
		value = value << 4 | (unsigned)digit;
		if (value > max)
			return false;
	}
	*out = value;
	return true;
}

static uint64_t word8(const char *at) { uint64_t w; memcpy(&w, at, sizeof(w)); return w; }
static uint64_t word4(const char *at) { uint32_t w; memcpy(&w, at, sizeof(w)); return w; }

static uint64_t fold(uint64_t a, uint64_t b)                  /* high and low half of the 128 bit product */
{
	unsigned __int128 product = (unsigned __int128)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Multiply and fold, eight bytes at a time. Both factors hold secret bits, so who does not know the seed cannot make
 * words that cancel out. The length is mixed in first, so overlapping the last word is unambiguous. */
uint64_t span_hash(struct span s, uint64_t seed)
{
	uint64_t key = fold(seed ^ 0x9e3779b97f4a7c15u, 0xd1342543de82ef95u) | 1;
	uint64_t h = fold(seed + s.len, key) ^ seed;
	const char *at = s.at;
	size_t left = s.len;

	if (left >= 8) {
		for (; left > 8; at += 8, left -= 8)
			h = fold(h ^ word8(at), key) + seed;
		h = fold(h ^ word8(at + left - 8), key);
	} else if (left >= 4) {
		h = fold(h ^ (word4(at) << 32 | word4(at + left - 4)), key);
	} else if (left) {
		const unsigned char *c = (const unsigned char *)at;
		h = fold(h ^ ((uint64_t)c[0] << 16 | (uint64_t)c[left / 2] << 8 | c[left - 1]), key);
	}
	return fold(h ^ 0xa0761d6478bd642fu, key ^ 0xe7037ed1a0b428dbu);
}

size_t u64_to_text(uint64_t v, char *out)
{
	char digits[20];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	for (size_t i = 0; i < n; i++)
		out[i] = digits[n - 1 - i];
	return n;
}
