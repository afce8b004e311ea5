/* value.c - numbers with units. Arithmetic is in integers and checked; a decimal part must come out whole. */
#include "value.h"

#include <stdio.h>

struct unit { const char *name; uint64_t factor; };

static const struct unit time_units[] = {                /* largest first, for writing */
	{ "d", 86400000000 }, { "h", 3600000000 }, { "m", 60000000 }, { "s", 1000000 }, { "ms", 1000 }, { "us", 1 }, { NULL, 0 },
};
static const struct unit size_units[] = {
	{ "GiB", 1u << 30 }, { "MiB", 1u << 20 }, { "KiB", 1u << 10 },
	{ "GB", 1000000000 }, { "MB", 1000000 }, { "KB", 1000 }, { "B", 1 }, { NULL, 0 },
};
static const struct unit rate_units[] = { { "h", 3600000000 }, { "m", 60000000 }, { "s", 1000000 }, { NULL, 0 } };

static bool char_is_letter(char c) { return char_lower(c) >= 'a' && char_lower(c) <= 'z'; }

static const struct unit *unit_find(const struct unit *units, struct span name)
{
	for (; units->name; units++)
		if (span_eq(span_of(units->name), name))
			return units;
	return NULL;
}

/* "12" or "12.5" at the start of *rest: the value in units of 1/scale. */
static enum value_fault number_take(struct span *rest, uint64_t *whole, uint64_t *fraction, uint64_t *scale)
{
	size_t i = 0;
	while (i < rest->len && char_is_digit(rest->at[i]))
		i++;
	if (!i)
		return VALUE_NO_NUMBER;
	if (!span_to_u64(span_first(*rest, i), UINT64_MAX, whole))
		return VALUE_TOO_LARGE;
	*rest = span_from(*rest, i);
	*fraction = 0;
	*scale = 1;
	if (rest->len < 2 || rest->at[0] != '.' || !char_is_digit(rest->at[1]))
		return VALUE_OK;
	for (i = 1; i < rest->len && char_is_digit(rest->at[i]); i++) {
		if (*scale == 1000000000)
			return VALUE_TOO_FINE;
		*fraction = *fraction * 10 + (uint64_t)(rest->at[i] - '0');
		*scale *= 10;
	}
	*rest = span_from(*rest, i);
	return VALUE_OK;
}

static enum value_fault number_scaled(uint64_t whole, uint64_t fraction, uint64_t scale, uint64_t factor, uint64_t *out)
{
	uint64_t part;
	if (__builtin_mul_overflow(whole, factor, out) || __builtin_mul_overflow(fraction, factor, &part))
		return VALUE_TOO_LARGE;
	if (part % scale)
		return VALUE_TOO_FINE;
	return __builtin_add_overflow(*out, part / scale, out) ? VALUE_TOO_LARGE : VALUE_OK;
}

/* One number with its unit off the front; *part is what was looked at. */
static enum value_fault piece_take(struct span *rest, const struct unit *units, uint64_t *out, struct span *part)
{
	uint64_t whole, fraction, scale;
	const char *start = rest->at;
	*part = *rest;
	enum value_fault fault = number_take(rest, &whole, &fraction, &scale);
	if (fault != VALUE_OK)
		return fault;
	size_t i = 0;
	while (i < rest->len && char_is_letter(rest->at[i]))
		i++;
	struct span name = span_first(*rest, i);
	*rest = span_from(*rest, i);
	*part = span_between(start, rest->at);
	if (!name.len && rest->len) {
		*part = *rest;
		return VALUE_NO_NUMBER;
	}
	if (!name.len)
		return VALUE_NO_UNIT;
	const struct unit *unit = unit_find(units, name);
	if (!unit) {
		*part = name;
		return VALUE_BAD_UNIT;
	}
	return number_scaled(whole, fraction, scale, unit->factor, out);
}

static enum value_fault pieces(struct span s, const struct unit *units, bool several, uint64_t *out, struct span *part)
{
	uint64_t sum = 0, piece;
	struct span rest = s;
	*part = s;
	if (!s.len)
		return VALUE_NO_NUMBER;
	do {
		enum value_fault fault = piece_take(&rest, units, &piece, part);
		if (fault != VALUE_OK)
			return fault;
		if (__builtin_add_overflow(sum, piece, &sum)) {
			*part = s;
			return VALUE_TOO_LARGE;
		}
	} while (several && rest.len);
	*part = rest;
	if (rest.len)
		return VALUE_NO_NUMBER;
	*out = sum;
	return VALUE_OK;
}

enum value_fault value_duration(struct span s, uint64_t *us, struct span *part)
{
	return pieces(s, time_units, true, us, part);
}

enum value_fault value_size(struct span s, uint64_t *bytes, struct span *part)
{
	return pieces(s, size_units, false, bytes, part);
}

/* "100/s": the number before the slash, the unit behind it. */
enum value_fault value_rate(struct span s, struct conf_rate *rate, struct span *part)
{
	const char *slash = s.len ? memchr(s.at, '/', s.len) : NULL;
	struct span number = slash ? span_between(s.at, slash) : s;
	uint64_t count;
	*part = number;
	if (!span_to_u64(number, UINT64_MAX, &count)) {
		for (size_t i = 0; i < number.len; i++)
			if (!char_is_digit(number.at[i]))
				return VALUE_NO_NUMBER;
		return number.len ? VALUE_TOO_LARGE : VALUE_NO_NUMBER;
	}
	if (!slash)
		return VALUE_NO_UNIT;
	*part = span_between(slash + 1, span_end(s));
	const struct unit *unit = unit_find(rate_units, *part);
	if (!unit)
		return part->len ? VALUE_BAD_UNIT : VALUE_NO_UNIT;
	*rate = (struct conf_rate){ count, unit->factor };
	return VALUE_OK;
}

enum value_fault value_byte_rate(struct span s, uint64_t *bytes_per_s, struct span *part)
{
	struct span size = s;
	bool per_s = s.len > 2 && span_eq(span_from(s, s.len - 2), SPAN("/s"));
	if (per_s)
		size.len -= 2;
	enum value_fault fault = value_size(size, bytes_per_s, part);
	if (fault == VALUE_OK && !per_s) {
		*part = s;
		return VALUE_NO_UNIT;
	}
	return fault;
}

enum value_fault value_share(struct span s, double *out, struct span *part)
{
	uint64_t whole, fraction, scale;
	struct span rest = s;
	*part = s;
	enum value_fault fault = number_take(&rest, &whole, &fraction, &scale);
	if (fault != VALUE_OK)
		return fault;
	if (!rest.len)
		return VALUE_NO_UNIT;
	if (!span_eq(rest, SPAN("%"))) {
		*part = rest;
		return char_is_letter(rest.at[0]) ? VALUE_BAD_UNIT : VALUE_NO_NUMBER;
	}
	if (whole > 1000000)
		return VALUE_TOO_LARGE;
	*out = ((double)whole + (double)fraction / (double)scale) / 100;
	return VALUE_OK;
}

enum value_fault value_count(struct span s, uint64_t *out, struct span *part)
{
	*part = s;
	if (span_to_u64(s, UINT64_MAX, out))
		return VALUE_OK;
	size_t i = 0;
	while (i < s.len && char_is_digit(s.at[i]))
		i++;
	if (i == s.len && i)
		return VALUE_TOO_LARGE;
	if (i)
		*part = span_from(s, i);
	return VALUE_NO_NUMBER;
}

/* ── writing: the largest unit that divides evenly ── */

static void write_units(uint64_t v, const struct unit *units, const char *zero, struct text *out)
{
	if (!v) {
		text_add(out, span_of(zero));
		return;
	}
	while (v % units->factor)
		units++;
	text_u64(out, v / units->factor);
	text_add(out, span_of(units->name));
}

void value_write_duration(uint64_t us, struct text *out) { write_units(us, time_units, "0s", out); }
void value_write_size(uint64_t bytes, struct text *out) { write_units(bytes, size_units, "0B", out); }

void value_write_rate(struct conf_rate rate, struct text *out)
{
	const struct unit *unit = rate_units;
	while (unit[1].name && unit->factor != rate.per_us)
		unit++;
	text_u64(out, rate.count);
	text_char(out, '/');
	text_add(out, span_of(unit->name));
}

void value_write_share(double share, struct text *out)
{
	text_f(out, "%.12g%%", share * 100);
}

void value_write(const struct conf_key *row, const void *field, struct text *out)
{
	switch (row->type) {
	case CONF_T_BOOL:
		text_add(out, *(const bool *)field ? SPAN("true") : SPAN("false"));
		break;
	case CONF_T_COUNT:
		text_u64(out, *(const uint64_t *)field);
		break;
	case CONF_T_DURATION:
		value_write_duration(*(const uint64_t *)field, out);
		break;
	case CONF_T_SIZE:
		value_write_size(*(const uint64_t *)field, out);
		break;
	case CONF_T_RATE:
		value_write_rate(*(const struct conf_rate *)field, out);
		break;
	case CONF_T_BYTE_RATE:
		value_write_size(*(const uint64_t *)field, out);
		text_add(out, SPAN("/s"));
		break;
	case CONF_T_SHARE:
		value_write_share(*(const double *)field, out);
		break;
	case CONF_T_WORD:
		text_add(out, span_of(row->words[*(const unsigned *)field]));
		break;
	case CONF_T_TEXT:
		text_add(out, *(const struct span *)field);
		break;
	default:
		break;
	}
}
