/* shareable.c - see shareable.h. */
#include "shareable.h"

static bool lists_any(struct span value, const char *const *words)
{
	struct span one;
	while (span_next(&value, ',', &one))
		for (unsigned i = 0; words[i]; i++)
			if (span_starts_nocase(one, span_of(words[i])))
				return true;
	return false;
}

bool reply_is_shareable(const struct reply *r)
{
	static const char *const not_for_all[] = { "private", "no-store", NULL };
	if (r->status < 200 || r->status == 206 || r->status == 401 || r->status == 403 || r->status == 407 || r->status >= 500)
		return false;
	if (fields_have(&r->fields, FIELD_SET_COOKIE) || fields_find_name(&r->fields, SPAN("www-authenticate")))
		return false;
	for (unsigned i = 0; i < r->fields.count; i++)
		if (r->fields.at[i].id == FIELD_CACHE_CONTROL && lists_any(r->fields.at[i].value, not_for_all))
			return false;
	return !span_starts_nocase(fields_value(&r->fields, FIELD_CONTENT_TYPE), SPAN("text/event-stream"));
}
