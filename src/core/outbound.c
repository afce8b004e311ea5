/* outbound.c - the request as the endpoint gets it: the facts that forward_request needs, gathered from exchange and route. */
#include "core/exchange.h"

enum { OWN_MAX = 32 };

void exchange_set_request_field(struct exchange *ex, struct span name, struct span value)
{
	fields_drop_name(&ex->request.fields, name);
	fields_drop_name(&ex->own, name);
	if (!value.len)
		return;
	bool kept = ex->own.at ? ex->own.count < OWN_MAX : fields_init(&ex->own, &ex->arena, OWN_MAX);
	kept = kept && fields_add(&ex->own, name, value);
	(void)kept;                               /* without it the upstream knows less, but nothing wrong */
}

static struct span joined(struct exchange *ex, struct span prefix, struct span rest)
{
	bool double_slash = prefix.len && prefix.at[prefix.len - 1] == '/' && rest.len && rest.at[0] == '/';
	bool no_slash = (!prefix.len || prefix.at[prefix.len - 1] != '/') && (!rest.len || (rest.at[0] != '/' && rest.at[0] != '?'));
	if (double_slash)
		prefix.len--;
	char *out = arena_text(&ex->arena, prefix.len + 1 + rest.len);
	if (!out)
		return SPAN_NONE;
	char *p = out;
	memcpy(p, prefix.at, prefix.len);
	p += prefix.len;
	if (no_slash && (rest.len || !prefix.len))
		*p++ = '/';
	memcpy(p, rest.at, rest.len);
	return span_between(out, p + rest.len);
}

/* rewrite.prefix replaces the matched prefix. It works on the path as received when that begins with the route's prefix to the
 * letter, and on the normalised one otherwise ("/a/../search"): what matched is what is replaced. */
static struct span target_of(struct exchange *ex)
{
	const struct conf_route *conf = ex->route->conf;
	struct span prefix = conf->path, path = ex->request.path;

	if (!conf->rewrite_prefix.at || ex->request.target.len == 0 || ex->request.target.at[0] != '/')
		return ex->request.target;
	if (span_starts(prefix, SPAN("=")))
		prefix = span_from(prefix, 1);
	if (span_starts(prefix, SPAN("~")))
		prefix = SPAN_NONE;
	if (prefix.len > 1 && prefix.at[prefix.len - 1] == '/')
		prefix.len--;
	if (!span_starts(path, prefix))
		path = ex->request.route_path;
	path = span_from(path, prefix.len < path.len ? prefix.len : path.len);
	if (!ex->request.query.at)
		return joined(ex, conf->rewrite_prefix, path);
	char *rest = arena_text(&ex->arena, path.len + 1 + ex->request.query.len);
	if (!rest)
		return SPAN_NONE;
	memcpy(rest, path.at, path.len);
	rest[path.len] = '?';
	memcpy(rest + path.len + 1, ex->request.query.at, ex->request.query.len);
	return joined(ex, conf->rewrite_prefix, (struct span){ rest, path.len + 1 + ex->request.query.len });
}

static struct span authority_of(const struct exchange *ex)
{
	struct span how = ex->route->upstream->conf->host_header;
	bool on_socket = !ex->endpoint || span_starts(ex->endpoint->name, SPAN("unix:"));
	if (span_eq(how, SPAN("endpoint")) || (span_eq(how, SPAN("keep")) && !ex->request.authority.len))
		return on_socket ? SPAN("localhost") : ex->endpoint->name;
	return span_eq(how, SPAN("keep")) ? ex->request.authority : how;
}

bool exchange_outbound(struct exchange *ex, struct request *out)
{
	const struct conf_route *conf = ex->route->conf;
	uint64_t until_us = ex->deadline_us < ex->try_deadline_us ? ex->deadline_us : ex->try_deadline_us;
	struct forward_facts facts = {
		.client_address = ex->client_address,
		.client_trusted = ex->client_trusted,
		.scheme = ex->scheme,
		.port = ex->listener_port,
		.authority = authority_of(ex),
		.attempt = ex->attempt,
		.timeout_field = until_us == TIMER_NEVER ? FIELD_OTHER : ex->timeout_field,
		.timeout_ms = until_us > ex->worker->now_us ? (until_us - ex->worker->now_us) / 1000 : 0,
		.trace = &ex->trace,
		.instance = ex->route->router->instance,
		.own = &ex->own,
		.set = &ex->route->request_set,
		.remove = conf->request_remove.at,
		.remove_count = conf->request_remove.count,
		.target = target_of(ex),
	};
	return facts.target.len && forward_request(out, &ex->request, &facts, &ex->arena);
}
