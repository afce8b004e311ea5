/* words.c - see words.h. Short: they stand in columns. */
#include "words.h"

void words_age(struct text *out, uint64_t s)
{
	if (s < 60)
		text_f(out, "%us", (unsigned)s);
	else if (s < 3600)
		text_f(out, "%um", (unsigned)(s / 60));
	else if (s < 86400)
		text_f(out, "%uh %um", (unsigned)(s / 3600), (unsigned)(s / 60 % 60));
	else
		text_f(out, "%ud %uh", (unsigned)(s / 86400), (unsigned)(s / 3600 % 24));
}

void words_latency(struct text *out, uint64_t us)
{
	if (us < 9950)
		text_f(out, "%.1fms", (double)us / 1e3);
	else if (us < 999500)
		text_f(out, "%.0fms", (double)us / 1e3);
	else
		text_f(out, "%.1fs", (double)us / 1e6);
}

void words_count(struct text *out, uint64_t n)
{
	if (n < 10000)
		text_u64(out, n);
	else if (n < 999950)
		text_f(out, "%.1fk", (double)n / 1e3);
	else if (n < 999950000)
		text_f(out, "%.1fM", (double)n / 1e6);
	else
		text_f(out, "%.1fG", (double)n / 1e9);
}

struct span words_file(struct span path)
{
	const char *slash = path.len ? memrchr(path.at, '/', path.len) : NULL;
	return slash && slash + 1 < span_end(path) ? span_between(slash + 1, span_end(path)) : path;
}
