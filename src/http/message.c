/* message.c - what methods, statuses, targets and authorities mean (RFC 9110, RFC 3986). No memory of its own.
 *
 * Invariant: route_path is for matching only; what goes upstream is `target`, as received.
 */
#include "http/message.h"

#include "bytes.h"

static const struct { char text[8]; bool idempotent; } methods[METHOD_COUNT] = {
	[METHOD_OTHER] = { "OTHER", false },
#define X(word, text, safe, idempotent) [METHOD_##word] = { text, idempotent },
	METHODS(X)
#undef X
};

enum method method_of(struct span s)
{
	switch (s.len) {
#define IS(word) (memcmp(s.at, #word, sizeof(#word) - 1) == 0)
	case 3: return IS(GET) ? METHOD_GET : IS(PUT) ? METHOD_PUT : METHOD_OTHER;
	case 4: return IS(POST) ? METHOD_POST : IS(HEAD) ? METHOD_HEAD : METHOD_OTHER;
	case 5: return IS(PATCH) ? METHOD_PATCH : IS(TRACE) ? METHOD_TRACE : METHOD_OTHER;
	case 6: return IS(DELETE) ? METHOD_DELETE : METHOD_OTHER;
	case 7: return IS(OPTIONS) ? METHOD_OPTIONS : IS(CONNECT) ? METHOD_CONNECT : METHOD_OTHER;
	default: return METHOD_OTHER;
#undef IS
	}
}

const char *method_name(enum method m)
{
	return methods[m].text;
}

bool method_is_idempotent(enum method m)
{
	return methods[m].idempotent;
}

const char *status_phrase(int status)
{
	switch (status) {
	case 100: return "Continue";
	case 101: return "Switching Protocols";
	case 102: return "Processing";
	case 103: return "Early Hints";
	case 200: return "OK";
	case 201: return "Created";
	case 202: return "Accepted";
	case 203: return "Non-Authoritative Information";
	case 204: return "No Content";
	case 205: return "Reset Content";
	case 206: return "Partial Content";
	case 207: return "Multi-Status";
	case 208: return "Already Reported";
	case 226: return "IM Used";
	case 300: return "Multiple Choices";
	case 301: return "Moved Permanently";
	case 302: return "Found";
	case 303: return "See Other";
	case 304: return "Not Modified";
	case 305: return "Use Proxy";
	case 307: return "Temporary Redirect";
	case 308: return "Permanent Redirect";
	case 400: return "Bad Request";
	case 401: return "Unauthorized";
	case 402: return "Payment Required";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 406: return "Not Acceptable";
	case 407: return "Proxy Authentication Required";
	case 408: return "Request Timeout";
	case 409: return "Conflict";
	case 410: return "Gone";
	case 411: return "Length Required";
	case 412: return "Precondition Failed";
	case 413: return "Content Too Large";
	case 414: return "URI Too Long";
	case 415: return "Unsupported Media Type";
	case 416: return "Range Not Satisfiable";
	case 417: return "Expectation Failed";
	case 421: return "Misdirected Request";
	case 422: return "Unprocessable Content";
	case 423: return "Locked";
	case 424: return "Failed Dependency";
	case 425: return "Too Early";
	case 426: return "Upgrade Required";
	case 428: return "Precondition Required";
	case 429: return "Too Many Requests";
	case 431: return "Request Header Fields Too Large";
	case 451: return "Unavailable For Legal Reasons";
	case 500: return "Internal Server Error";
	case 501: return "Not Implemented";
	case 502: return "Bad Gateway";
	case 503: return "Service Unavailable";
	case 504: return "Gateway Timeout";
	case 505: return "HTTP Version Not Supported";
	case 506: return "Variant Also Negotiates";
	case 507: return "Insufficient Storage";
	case 508: return "Loop Detected";
	case 511: return "Network Authentication Required";
	default:  return "";
	}
}

/* Decodes %-escapes of unreserved characters into `to`; all others stay. 0 is an error: a broken escape. */
static size_t decode_unreserved(char *to, struct span path)
{
	size_t n = 0;

	for (size_t i = 0; i < path.len; i++) {
		int high, low;

		if (path.at[i] != '%') {
			to[n++] = path.at[i];
			continue;
		}
		if (path.len - i < 3 || (high = hex_value(path.at[i + 1])) < 0 || (low = hex_value(path.at[i + 2])) < 0)
			return 0;
		if (byte_is((char)(high << 4 | low), BYTE_UNRESERVED)) {
			to[n++] = (char)(high << 4 | low);
		} else {
			memcpy(to + n, path.at + i, 3);
			n += 3;
		}
		i += 2;
	}
	return n;
}

/* Removes "." and ".." segments in place (RFC 3986 §5.2.4); the path begins with '/'. 0: climbed above the root. */
static size_t remove_dots(char *path, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len;) {        /* path[i] is the '/' that opens a segment */
		const char *slash = memchr(path + i + 1, '/', len - i - 1);
		size_t end = slash ? (size_t)(slash - path) : len, segment = end - i - 1;
		bool one = segment == 1 && path[i + 1] == '.';
		bool two = segment == 2 && path[i + 1] == '.' && path[i + 2] == '.';

		if (two) {
			if (n == 0)
				return 0;
			while (path[--n] != '/')
				;
		}
		if (!one && !two) {
			memmove(path + n, path + i, end - i);
			n += end - i;
		} else if (end == len) {
			path[n++] = '/';
		}
		i = end;
	}
	return n;
}

bool request_normalise_path(struct request *r, struct arena *arena)
{
	const char *question = memchr(r->target.at, '?', r->target.len), *dot;
	size_t n;
	char *to;

	r->path = r->route_path = question ? span_between(r->target.at, question) : r->target;
	r->query = question ? span_between(question + 1, span_end(r->target)) : SPAN_NONE;
	if (r->path.len == 0 || r->path.at[0] != '/')
		return span_eq(r->target, SPAN("*"));
	for (dot = r->path.at; (dot = memchr(dot, '.', (size_t)(span_end(r->path) - dot))); dot++)
		if (dot[-1] == '/')               /* path[0] is '/', so there is a byte before every dot */
			break;
	if (!dot && !span_has(r->path, '%'))
		return true;
	to = arena_text(arena, r->path.len);
	if (!to)
		return false;
	n = decode_unreserved(to, r->path);
	if (n)
		n = remove_dots(to, n);
	r->route_path = (struct span){ to, n };
	return n > 0;
}

static bool port_is_valid(struct span port)
{
	uint64_t number;

	return port.len <= 5 && span_to_u64(port, 65535, &number);
}

/* Inside the brackets: hex digits, colons and, for embedded IPv4, dots; the upstream's resolver knows the rest. */
static bool literal_is_valid(struct span literal)
{
	unsigned colons = 0;

	for (size_t i = 0; i < literal.len; i++) {
		if (literal.at[i] == ':')
			colons++;
		else if (literal.at[i] != '.' && hex_value(literal.at[i]) < 0)
			return false;
	}
	return colons >= 2 && literal.len <= 45;
}

bool authority_split(struct span authority, struct span *host, struct span *port)
{
	const char *p = authority.at, *end = span_end(authority);

	*port = SPAN_NONE;
	if (authority.len == 0)
		return false;
	if (*p == '[') {
		p = memchr(p, ']', authority.len);
		if (!p || !literal_is_valid(span_between(authority.at + 1, p)))
			return false;
		p++;
	} else {
		while (p < end && byte_is(*p, BYTE_AUTHORITY))
			p++;
	}
	*host = span_between(authority.at, p);
	if (p == end)
		return host->len > 0;
	*port = span_between(p + 1, end);
	return host->len > 0 && *p == ':' && port_is_valid(*port);
}

/* false: out of memory. */
static bool keep(struct span *s, struct arena *arena)
{
	if (!s->at || !s->len)
		return true;
	*s = arena_copy(arena, *s);
	return s->at != NULL;
}

/* A span that is part of another one, in the copy of that other one. */
static struct span moved(struct span part, struct span from, struct span to)
{
	return part.at ? (struct span){ to.at + (part.at - from.at), part.len } : part;
}

static bool is_part(struct span part, struct span whole) { return part.at >= whole.at && span_end(part) <= span_end(whole); }

bool request_copy(struct request *to, const struct request *from, struct arena *arena)
{
	*to = *from;
	if (!fields_copy(&to->fields, &from->fields, arena, 4) || !keep(&to->method_text, arena) || !keep(&to->target, arena)
			|| !keep(&to->authority, arena) || !keep(&to->upgrade, arena))
		return false;
	to->path = moved(from->path, from->target, to->target);
	to->query = moved(from->query, from->target, to->target);
	if (is_part(from->route_path, from->target)) {
		to->route_path = moved(from->route_path, from->target, to->target);
		return true;
	}
	return keep(&to->route_path, arena);
}

bool reply_copy(struct reply *to, const struct reply *from, struct arena *arena)
{
	*to = *from;
	return fields_copy(&to->fields, &from->fields, arena, 8) && keep(&to->phrase, arena);
}
