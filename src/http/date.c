/* date.c - see date.h. */
#include "http/date.h"

static bool number(struct span s, size_t at, size_t len, uint64_t max, uint64_t *out)
{
	struct span digits = { s.at + at, len };
	return span_to_u64(digits, max, out);
}

static bool month_of(struct span s, uint64_t *month)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	for (unsigned i = 0; i < 12; i++)
		if (memcmp(s.at + 8, names + 3 * (size_t)i, 3) == 0) {
			*month = i + 1;
			return true;
		}
	return false;
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar, counting years from March. */
static uint64_t days(uint64_t year, uint64_t month, uint64_t day)
{
	uint64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;
	return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

bool http_date_read(struct span s, uint64_t *seconds)
{
	uint64_t day, month, year, h, m, sec;
	static const struct { unsigned char at; char c; } fixed[] = {
		{ 3, ',' }, { 4, ' ' }, { 7, ' ' }, { 11, ' ' }, { 16, ' ' }, { 19, ':' }, { 22, ':' },
	};
	if (s.len != 29 || memcmp(s.at + 25, " GMT", 4) != 0)
		return false;
	for (unsigned i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
		if (s.at[fixed[i].at] != fixed[i].c)
			return false;
	if (!number(s, 5, 2, 31, &day) || !day || !number(s, 12, 4, 9999, &year) || year < 1970 || !number(s, 17, 2, 23, &h)
			|| !number(s, 20, 2, 59, &m) || !number(s, 23, 2, 60, &sec))
		return false;
	if (!month_of(s, &month))
		return false;
	*seconds = ((days(year, month, day) * 24 + h) * 60 + m) * 60 + sec;
	return true;
}
