/* request_key.c - see request_key.h. */
#include "core/request_key.h"

#include <arpa/inet.h>

bool request_key_read(struct request_key *key, struct span text)
{
	bool header = span_starts(text, SPAN("header:")), cookie = span_starts(text, SPAN("cookie:"));
	key->kind = header ? REQUEST_KEY_HEADER : cookie ? REQUEST_KEY_COOKIE : REQUEST_KEY_CLIENT_IP;
	key->name = header || cookie ? span_from(text, 7) : SPAN_NONE;
	return header || cookie ? field_name_is_token(key->name) : span_eq(text, SPAN("client_ip"));
}

static struct span cookie(const struct request *r, struct span name)
{
	for (unsigned i = 0; i < r->fields.count; i++) {
		struct span rest = r->fields.at[i].value, one;
		if (r->fields.at[i].id != FIELD_COOKIE)
			continue;
		while (span_next(&rest, ';', &one))
			if (one.len > name.len && one.at[name.len] == '=' && span_starts(one, name))
				return span_from(one, name.len + 1);
	}
	return SPAN_NONE;
}

static struct span client(struct span a, unsigned char prefix[REQUEST_KEY_ROOM])
{
	char text[INET6_ADDRSTRLEN];
	if (a.len >= sizeof(text) || !a.len || !memchr(a.at, ':', a.len))
		return a;
	memcpy(text, a.at, a.len);
	text[a.len] = '\0';
	return inet_pton(AF_INET6, text, prefix) == 1 ? (struct span){ (const char *)prefix, 8 } : a;
}

struct span request_key_of(const struct request_key *key, const struct request *r, struct span client_address, unsigned char room[REQUEST_KEY_ROOM])
{
	const struct field *f;
	switch (key->kind) {
	case REQUEST_KEY_COOKIE: return cookie(r, key->name);
	case REQUEST_KEY_HEADER: return (f = fields_find_name(&r->fields, key->name)) ? f->value : SPAN_NONE;
	default:                 return client(client_address, room);
	}
}
