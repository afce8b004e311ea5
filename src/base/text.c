/* text.c - bounded appending.
 *
 * Always true: len <= size, and size <= max. A run of text that does not fit is cut between two UTF-8 characters;
 * a number is written whole or not at all. The text is not NUL-terminated.
 */
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_SIZE = 256 };

void text_over(struct text *t, char *memory, size_t size)
{
	*t = (struct text){ .at = memory, .size = size, .max = size };
}

void text_init(struct text *t, size_t max)
{
	*t = (struct text){ .max = max, .owned = true };
}

void text_fini(struct text *t)
{
	if (t->owned)
		free(t->at);
	*t = (struct text){ .max = t->max, .owned = t->owned };
}

/* How many bytes may be added, at most `want`; grows for it when it can. */
static size_t room_for(struct text *t, size_t want)
{
	size_t room = t->size - t->len;

	if (want <= room || !t->owned || t->size == t->max)
		return want < room ? want : room;
	size_t least = want < t->max - t->len ? t->len + want : t->max;
	size_t size = t->size ? t->size : FIRST_SIZE;
	while (size < least && size < t->max)
		size = size > t->max / 2 ? t->max : size * 2;
	if (size > t->max)
		size = t->max;
	char *at = realloc(t->at, size);
	if (!at)
		return room;
	t->at = at;
	t->size = size;
	room = t->size - t->len;
	return want < room ? want : room;
}

/* The largest n' <= n that does not end within a UTF-8 character. */
static size_t whole_characters(struct span s, size_t n)
{
	size_t back = n;

	if (n >= s.len)
		return n;
	while (back && n - back < 3 && ((unsigned char)s.at[back] & 0xc0) == 0x80)
		back--;
	return ((unsigned char)s.at[back] & 0xc0) == 0x80 ? n : back;      /* not UTF-8 at all: cut anywhere */
}

void text_add(struct text *t, struct span s)
{
	if (t->cut || !s.len)
		return;
	size_t n = room_for(t, s.len);
	if (n < s.len) {
		t->cut = true;
		n = whole_characters(s, n);
	}
	if (n)
		memcpy(t->at + t->len, s.at, n);
	t->len += n;
}

void text_char(struct text *t, char c)
{
	if (!t->cut && room_for(t, 1))
		t->at[t->len++] = c;
	else
		t->cut = true;
}

void text_u64(struct text *t, uint64_t v)
{
	char digits[20];
	size_t n = u64_to_text(v, digits), before = t->len;

	text_add(t, (struct span){ digits, n });
	if (t->cut)
		t->len = before;
}

char *text_room(struct text *t, size_t n)
{
	t->cut = t->cut || room_for(t, n) < n;
	return t->cut ? NULL : t->at + t->len;
}

/* vsnprintf wants a place for its NUL, which a text does not have: what fits but for that goes through a copy. */
void text_f(struct text *t, const char *format, ...)
{
	va_list args, again;
	char *copy = NULL;

	if (t->cut)
		return;
	va_start(args, format);
	va_copy(again, args);
	int wanted = vsnprintf(NULL, 0, format, args);
	va_end(args);
	size_t n = wanted < 0 ? 0 : (size_t)wanted;
	if (wanted < 0) {
		t->cut = true;
	} else if (room_for(t, n + 1) > n) {
		vsnprintf(t->at + t->len, n + 1, format, again);
		t->len += n;
	} else if ((copy = malloc(n + 1))) {
		vsnprintf(copy, n + 1, format, again);
		text_add(t, (struct span){ copy, n });
		free(copy);
	} else {
		t->cut = true;
	}
	va_end(again);
}
