/* check.c - is this text an address, a URL, a token, ...? Syntax only: nothing is resolved and nothing is opened. */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>

#include "load.h"

__attribute__((format(printf, 4, 5)))
static bool fail(struct fault_words *w, struct span part, const char *hint, const char *why, ...)
{
	va_list args;
	va_start(args, why);
	vsnprintf(w->why, sizeof(w->why), why, args);
	va_end(args);
	snprintf(w->hint, sizeof(w->hint), "%s", hint);
	w->part = part;
	return false;
}

static bool address_is(struct span s, int family)
{
	char text[INET6_ADDRSTRLEN + 1], bytes[16];
	if (!s.len || s.len >= sizeof(text))
		return false;
	memcpy(text, s.at, s.len);
	text[s.len] = '\0';
	return memchr(text, '\0', s.len) == NULL && inet_pton(family, text, bytes) == 1;
}

bool check_name(struct span s, const char *also)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = char_lower(s.at[i]);
		if (!(c >= 'a' && c <= 'z') && !char_is_digit(c) && !(c && strchr(also, c)))
			return false;
	}
	return s.len > 0;
}

bool check_token(struct span s) { return check_name(s, "!#$%&'*+-.^_`|~"); }

bool check_field_value(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (((unsigned char)s.at[i] < 0x20 && s.at[i] != '\t') || s.at[i] == 0x7f)
			return false;
	return true;
}

bool check_network(struct span s)
{
	const char *slash = s.len ? memchr(s.at, '/', s.len) : NULL;
	struct span address = slash ? span_between(s.at, slash) : s;
	bool v4 = address_is(address, AF_INET);
	uint64_t length;
	if (!v4 && !address_is(address, AF_INET6))
		return false;
	return !slash || span_to_u64(span_between(slash + 1, span_end(s)), v4 ? 32 : 128, &length);
}

/* Labels of letters, digits, hyphens and underscores, joined by dots; a dot at the end is allowed. */
static bool host_name(struct span s)
{
	if (!s.len || s.len > 253 || s.at[0] == '.' || !check_name(s, "-_."))
		return false;
	for (size_t i = 1; i < s.len; i++)
		if (s.at[i] == '.' && s.at[i - 1] == '.')
			return false;
	return true;
}

static bool host_in_brackets(struct span s)
{
	return s.len > 2 && s.at[0] == '[' && s.at[s.len - 1] == ']' && address_is(span_between(s.at + 1, s.at + s.len - 1), AF_INET6);
}

bool check_host(struct span s)
{
	return host_name(span_starts(s, SPAN("*.")) ? span_from(s, 2) : s) || host_in_brackets(s);
}

/* Cuts "host:port" at the colon behind the host; *port.at is NULL when there is no colon. */
static void split_port(struct span s, struct span *host, struct span *port)
{
	size_t colon = s.len;
	while (colon && s.at[colon - 1] != ':' && s.at[colon - 1] != ']')
		colon--;
	bool has = colon && s.at[colon - 1] == ':';
	*host = has ? span_first(s, colon - 1) : s;
	*port = has ? span_from(s, colon) : SPAN_NONE;
}

static bool check_unix(struct span s, struct fault_words *w)
{
	struct span path = span_from(s, 5);
	if (!path.len || path.at[0] != '/')
		return fail(w, s, "write unix:/run/outrigger/http.sock", "'" SPAN_FMT "' needs an absolute path", SPAN_ARG(s));
	if (path.len > 107)
		return fail(w, path, "at most 107 bytes", "the path of a unix socket is too long");
	return check_field_value(path) || fail(w, path, "", "control character in a path");
}

bool check_listen(struct span s, struct fault_words *w)
{
	static const char *const forms = "write 127.0.0.1:8080, [::]:8080, :8080 or unix:/path";
	struct span host, port;
	uint64_t n;
	if (span_starts(s, SPAN("unix:")))
		return check_unix(s, w);
	if (span_starts(s, SPAN("http://")) || span_starts(s, SPAN("https://")))
		return fail(w, s, forms, "'" SPAN_FMT "' is a URL, and this wants an address", SPAN_ARG(s));
	if (span_to_u64(s, 65535, &n)) {
		char hint[32];
		snprintf(hint, sizeof(hint), "write :%u", (unsigned)n);
		return fail(w, s, hint, "'" SPAN_FMT "' is not an address", SPAN_ARG(s));
	}
	split_port(s, &host, &port);
	if (!port.at)
		return fail(w, s, forms, "'" SPAN_FMT "' has no port", SPAN_ARG(s));
	if (!span_to_u64(port, 65535, &n))
		return fail(w, port, "0 to 65535", "'" SPAN_FMT "' is not a port", SPAN_ARG(port));
	if (span_eq(host, SPAN("*")))
		return fail(w, host, forms, "'*' is not an address");
	if (host.len && !address_is(host, AF_INET) && !host_in_brackets(host)) {
		bool v6 = address_is(host, AF_INET6);
		return fail(w, host, v6 ? "put an IPv6 address into brackets: [::1]:8080" : forms, "'" SPAN_FMT "' is not an IP address",
			SPAN_ARG(host));
	}
	return true;
}

static bool check_authority(struct span s, struct fault_words *w)
{
	struct span host, port;
	uint64_t n;
	split_port(s, &host, &port);
	if (span_has(s, '@'))
		return fail(w, s, "", "a URL with a user name is not supported");
	if (!host_in_brackets(host) && !host_name(host))
		return fail(w, host, "write http://host:port", host.len ? "'" SPAN_FMT "' is not a host" : "there is no host in it" SPAN_FMT,
			SPAN_ARG(host));
	if (port.at && (!span_to_u64(port, 65535, &n) || n == 0))
		return fail(w, port, "1 to 65535", "'" SPAN_FMT "' is not a port", SPAN_ARG(port));
	return true;
}

bool check_url(struct span s, struct fault_words *w)
{
	if (span_starts(s, SPAN("unix:")))
		return check_unix(s, w);
	if (span_starts(s, SPAN("https://")))
		return fail(w, span_first(s, 8), "write http://host:port", "TLS to upstreams is not in this version");
	if (!span_starts(s, SPAN("http://")))
		return fail(w, s, "write http://host:port or unix:/path", "'" SPAN_FMT "' is not a URL of an upstream", SPAN_ARG(s));
	struct span rest = span_from(s, 7);
	size_t end = 0;
	while (end < rest.len && rest.at[end] != '/' && rest.at[end] != '?' && rest.at[end] != '#')
		end++;
	struct span path = span_from(rest, end);
	if (path.len && !span_eq(path, SPAN("/")))
		return fail(w, path, "end it after the port; 'rewrite: {prefix: ...}' changes paths", "the URL of an upstream has no path");
	return check_authority(span_first(rest, end), w);
}
