/* accept.c - see accept.h. A weight that is none counts as 1: whoever writes it means to ask for the thing. */
#include "accept.h"

enum { WHOLE = 1000 };

/* "0.25": 250. At most three decimals are looked at. */
static unsigned weight_of(struct span q)
{
	unsigned value = 0, scale = 100;
	if (q.len == 0 || q.at[0] != '0')
		return WHOLE;
	for (size_t i = 2; i < q.len && i < 5 && char_is_digit(q.at[i]); i++, scale /= 10)
		value += (unsigned)(q.at[i] - '0') * scale;
	return value;
}

unsigned accept_weight(struct span list, struct span word)
{
	struct span element, part;
	unsigned best = 0;
	while (span_next(&list, ',', &element)) {
		unsigned weight = WHOLE;
		if (!span_next(&element, ';', &part) || !span_eq_nocase(part, word))
			continue;
		while (span_next(&element, ';', &part))
			if (span_starts_nocase(part, SPAN("q=")))
				weight = weight_of(span_from(part, 2));
		best = weight > best ? weight : best;
	}
	return best;
}
