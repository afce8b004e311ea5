/* pen.c - see pen.h. */
#include "pen.h"

#include <time.h>

#include "base/json.h"

/* What stands for itself in a JSON string, and on a terminal. */
static bool is_plain(char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; }

void put_escaped(struct pen *pen, struct span s, size_t max)
{
	size_t n = 0;
	struct text rest;

	s = span_first(s, max);
	while (n < s.len && is_plain(s.at[n]))
		n++;
	if (n)
		put(pen, s.at, n);
	if (n == s.len)
		return;
	text_over(&rest, pen->p, (size_t)(pen->end - pen->p));
	json_escape(&rest, span_from(s, n));
	pen->p += rest.len;
	pen->full |= rest.cut;
}

void put_ms(struct pen *pen, uint64_t us)
{
	unsigned rest = (unsigned)(us % 1000);
	char digits[4] = { '.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10), (char)('0' + rest % 10) };
	put_u64(pen, us / 1000);
	if (rest)
		put(pen, digits, digits[3] != '0' ? 4 : digits[2] != '0' ? 3 : 2);
}

static void two_digits(char *at, int v)
{
	at[0] = (char)('0' + v / 10 % 10);
	at[1] = (char)('0' + v % 10);
}

void clock_set(struct access_clock *clock, uint64_t second)
{
	time_t t = (time_t)second;
	struct tm tm = { 0 };
	if (clock->second == second)
		return;
	gmtime_r(&t, &tm);
	clock->second = second;
	memcpy(clock->text, "0000-00-00T00:00:00.", sizeof(clock->text));
	two_digits(clock->text, (tm.tm_year + 1900) / 100);
	two_digits(clock->text + 2, (tm.tm_year + 1900) % 100);
	two_digits(clock->text + 5, tm.tm_mon + 1);
	two_digits(clock->text + 8, tm.tm_mday);
	two_digits(clock->text + 11, tm.tm_hour);
	two_digits(clock->text + 14, tm.tm_min);
	two_digits(clock->text + 17, tm.tm_sec);
}

void put_time(struct pen *pen, struct access_clock *clock, uint64_t wall_ms, size_t skip)
{
	unsigned ms = (unsigned)(wall_ms % 1000);
	char digits[3] = { (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10) };
	clock_set(clock, wall_ms / 1000);
	put(pen, clock->text + skip, sizeof(clock->text) - skip);
	put(pen, digits, 3);
}
