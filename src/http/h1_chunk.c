/* h1_chunk.c - the framing of chunked bodies (RFC 9112 §7.1), strict; see h1_guard.h.
 *
 * Sizes are 1 to 16 hex digits below 2^63, extensions are ;name, ;name=token or ;name="quoted", bounded per line and per
 * message. Legal but refused, because llhttp 8.1.0 does not read them and nobody sends them: blanks around an extension, a
 * backslash in a quoted value, another extension behind an unquoted value. Every line ends in CR LF. One byte at a time:
 * chunk lines are short.
 */
#include "h1_guard.h"

#include "bytes.h"

enum {
	AT_SIZE,                              /* the zero state: before or in the size   */
	AT_NAME_FIRST, AT_NAME,               /* behind ';'                              */
	AT_VALUE_FIRST, AT_TOKEN,             /* behind '='                              */
	AT_QUOTED, AT_QUOTED_END,
	AT_LF,                                /* of the size line                        */
	AT_DATA,
	AT_DATA_CR, AT_DATA_LF,               /* behind the data                         */
	AT_BAD,
};

static uint8_t behind_element(char c, uint8_t otherwise)
{
	return c == ';' ? AT_NAME_FIRST : c == '\r' ? AT_LF : otherwise;
}

static uint8_t size_digit(struct h1_chunk *k, char c)
{
	int digit = hex_value(c);

	if (digit < 0)
		return k->digits ? behind_element(c, AT_BAD) : AT_BAD;
	if (++k->digits > 16)
		return AT_BAD;
	k->left = k->left << 4 | (unsigned)digit;
	return AT_SIZE;
}

/* One byte of an extension. */
static uint8_t extension_byte(struct h1_chunk *k, char c)
{
	bool token = byte_is(c, BYTE_TOKEN);

	if (++k->line > H1_MAX_EXTENSION_LINE || ++k->extensions > H1_MAX_EXTENSIONS)
		return AT_BAD;
	switch (k->state) {
	case AT_NAME_FIRST:  return token ? AT_NAME : AT_BAD;
	case AT_NAME:        return token ? AT_NAME : c == '=' ? AT_VALUE_FIRST : behind_element(c, AT_BAD);
	case AT_VALUE_FIRST: return c == '"' ? AT_QUOTED : token ? AT_TOKEN : AT_BAD;
	case AT_TOKEN:       return token ? AT_TOKEN : c == '\r' ? AT_LF : AT_BAD;
	case AT_QUOTED:      return c == '"' ? AT_QUOTED_END : byte_is(c, BYTE_QUOTED) ? AT_QUOTED : AT_BAD;
	default:             return behind_element(c, AT_BAD);
	}
}

enum h1_chunk_step h1_chunk_line(struct h1_chunk *k, struct span *in)
{
	if (k->state == AT_DATA)
		return H1_CHUNK_DATA;
	while (in->len) {
		char c = in->at[0];

		switch (k->state) {
		case AT_SIZE:    k->state = size_digit(k, c); break;
		case AT_LF:      k->state = c == '\n' && !(k->left >> 63) ? AT_DATA : AT_BAD; break;
		case AT_DATA_CR: k->state = c == '\r' ? AT_DATA_LF : AT_BAD; break;
		case AT_DATA_LF: k->state = c == '\n' ? AT_SIZE : AT_BAD; break;
		default:         k->state = extension_byte(k, c); break;
		}
		if (k->state == AT_BAD)
			return H1_CHUNK_BAD;
		*in = span_from(*in, 1);
		if (k->state == AT_DATA) {
			k->digits = 0;
			k->line = 0;
			return k->left ? H1_CHUNK_DATA : H1_CHUNK_LAST;
		}
	}
	return H1_CHUNK_MORE;
}

void h1_chunk_took(struct h1_chunk *k, size_t n)
{
	k->left -= n;
	if (k->left == 0)
		k->state = AT_DATA_CR;
}

bool h1_chunk_in_data(const struct h1_chunk *k)
{
	return k->state == AT_DATA;
}
