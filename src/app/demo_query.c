/* demo_query.c - parameters of the demo's URLs. The grammar of values is the configuration's, where a bare number is allowed too. */
#include "demo.h"

struct unit { const char *name; uint64_t factor; };

static const struct unit none[] = { { "", 1 }, { NULL, 0 } };
static const struct unit sizes[] = {
	{ "", 1 }, { "B", 1 }, { "KB", 1000 }, { "MB", 1000000 }, { "GB", 1000000000 },
	{ "KiB", 1u << 10 }, { "MiB", 1u << 20 }, { "GiB", 1u << 30 }, { NULL, 0 },
};
static const struct unit durations[] = {
	{ "", 1000000 }, { "s", 1000000 }, { "ms", 1000 }, { "us", 1 }, { "m", 60000000 }, { "h", 3600000000 }, { NULL, 0 },
};
static const struct unit shares[] = { { "", 1 }, { "%", 1 }, { "%25", 1 }, { NULL, 0 } };    /* a careful client encodes its % */

static struct span value_of(struct span query, struct span name)
{
	struct span one;
	while (span_next(&query, '&', &one))
		if (span_starts(one, name) && one.len > name.len && one.at[name.len] == '=')
			return span_from(one, name.len + 1);
	return SPAN_NONE;
}

static bool read_value(struct span query, struct span name, const struct unit *units, uint64_t max, uint64_t *out)
{
	struct span text = value_of(query, name);
	uint64_t number;
	size_t digits = 0;

	if (!text.at)
		return true;
	while (digits < text.len && char_is_digit(text.at[digits]))
		digits++;
	if (!span_to_u64(span_first(text, digits), max, &number))
		return false;
	text = span_from(text, digits);
	for (; units->name; units++)
		if (span_eq(text, span_of(units->name))) {
			if (number > max / units->factor)
				return false;
			*out = number * units->factor;
			return true;
		}
	return false;
}

bool demo_query_number(struct span query, struct span name, uint64_t max, uint64_t *out)
{
	return read_value(query, name, none, max, out);
}

bool demo_query_size(struct span query, struct span name, uint64_t max, uint64_t *out)
{
	return read_value(query, name, sizes, max, out);
}

bool demo_query_duration(struct span query, struct span name, uint64_t max_us, uint64_t *us)
{
	return read_value(query, name, durations, max_us, us);
}

bool demo_query_share(struct span query, struct span name, double *out)
{
	uint64_t percent = UINT64_MAX;
	if (!read_value(query, name, shares, 100, &percent))
		return false;
	if (percent != UINT64_MAX)
		*out = (double)percent / 100;
	return true;
}
