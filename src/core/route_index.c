/* route_index.c - host + path + method + headers to a route.
 *
 *   hosts   exact host → group; then wildcard groups, longest suffix first; then the group of routes without a host
 *   group   exact paths (a hash), prefixes (a hash, asked once per segment of the path from the longest down), expressions (a list)
 *   place   the routes that share host and path, in the order written: the first whose method, headers and flag fit wins
 *
 * So the cost depends on the number of segments of the path and not on the number of routes. No regular expression is run
 * unless one is configured (PCRE2, linear-time matching limits set).
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "route_index.h"

#include <pcre2.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"
#include "core/flags.h"

enum { INDEX_MAX = 1000000, HOST_MAX = 255, REGEX_MATCH_LIMIT = 20000 };

struct candidate { struct candidate *next; const struct route *route; };
struct place { struct map_entry entry; struct candidate *first, **last; };
struct expression { struct expression *next; pcre2_code *code; struct candidate candidate; };
struct group {
	struct map_entry entry;           /* key: lower-case host, or ".suffix" of a wildcard */
	struct group *next;
	struct map exact, prefix;
	struct expression *first, **last;
};
struct route_index {
	struct map hosts;                 /* exact and wildcard groups */
	struct group any;
	bool has_wildcards;
	struct group *groups;
	pcre2_match_data *match;
	pcre2_match_context *limits;
};

/* ── building ── */

static void group_init(struct group *g, uint64_t seed)
{
	map_init(&g->exact, INDEX_MAX, seed);
	map_init(&g->prefix, INDEX_MAX, seed + 1);
	g->last = &g->first;
}

static struct span lower_copy(struct arena *arena, struct span s)
{
	char *out = arena_text(arena, s.len + 1);
	for (size_t i = 0; out && i < s.len; i++)
		out[i] = char_lower(s.at[i]);
	return (struct span){ out, s.len };
}

static struct group *group_for(struct router *router, struct route_index *index, struct span host)
{
	struct span key = lower_copy(&router->arena, span_starts(host, SPAN("*.")) ? span_from(host, 1) : host);
	if (!key.at)
		return NULL;
	struct map_entry *found = map_find(&index->hosts, key);
	if (found)
		return container_of(found, struct group, entry);
	struct group *g = arena_take_zeroed(&router->arena, sizeof(*g));
	if (!g || !map_add(&index->hosts, &g->entry, key))
		return NULL;
	group_init(g, index->hosts.seed + index->hosts.count);
	g->next = index->groups;
	index->groups = g;
	index->has_wildcards |= key.at[0] == '.';
	return g;
}

static bool add_place(struct router *router, struct map *map, struct span path, const struct route *route)
{
	struct candidate *c = arena_take_zeroed(&router->arena, sizeof(*c));
	struct map_entry *found = map_find(map, path);
	struct place *p = found ? container_of(found, struct place, entry) : arena_take_zeroed(&router->arena, sizeof(*p));
	if (!c || !p)
		return false;
	if (!found) {
		p->last = &p->first;
		if (!map_add(map, &p->entry, path))
			return false;
	}
	c->route = route;
	*p->last = c;
	p->last = &c->next;
	return true;
}

static pcre2_code *compile(struct span text, int *error)
{
	PCRE2_SIZE at;
	return pcre2_compile((PCRE2_SPTR)text.at, text.len, PCRE2_ANCHORED | PCRE2_NEVER_BACKSLASH_C, error, &at, NULL);
}

bool route_regex_ok(struct span pattern, struct text *why)
{
	unsigned char words[128];
	int error;
	pcre2_code *code = compile(pattern, &error);
	if (!code) {
		pcre2_get_error_message(error, words, sizeof(words));
		text_f(why, "%s", (char *)words);
		return false;
	}
	pcre2_code_free(code);
	return true;
}

static bool add_expression(struct router *router, struct group *g, struct span text, const struct route *route)
{
	int error;
	struct expression *e = arena_take_zeroed(&router->arena, sizeof(*e));
	if (!e)
		return false;
	e->code = compile(text, &error);
	if (!e->code)
		return false;
	e->candidate.route = route;
	*g->last = e;
	g->last = &e->next;
	return true;
}

static bool add_to_group(struct router *router, struct group *g, const struct route *route)
{
	struct span path = route->conf->path;
	if (!g)
		return false;
	if (span_starts(path, SPAN("=")))
		return add_place(router, &g->exact, span_from(path, 1), route);
	if (span_starts(path, SPAN("~")))
		return add_expression(router, g, span_from(path, 1), route);
	while (path.len && path.at[path.len - 1] == '/')
		path.len--;               /* "/" is the empty prefix; "/a/" and "/a" are whole segments alike */
	return add_place(router, &g->prefix, path, route);
}

struct route_index *route_index_new(struct router *router)
{
	struct route_index *index = arena_take_zeroed(&router->arena, sizeof(*index));
	if (!index)
		return NULL;
	router->index = index;
	map_init(&index->hosts, INDEX_MAX, rand_next(&router->worker->rand));
	group_init(&index->any, index->hosts.seed);
	index->match = pcre2_match_data_create(1, NULL);
	index->limits = pcre2_match_context_create(NULL);
	if (!index->match || !index->limits)
		return NULL;
	pcre2_set_match_limit(index->limits, REGEX_MATCH_LIMIT);
	for (unsigned i = 0; i < router->conf->route_count; i++) {
		const struct route *r = &router->routes[i];
		if (r->conf->hosts.count == 0 && !add_to_group(router, &index->any, r))
			return NULL;
		for (unsigned h = 0; h < r->conf->hosts.count; h++)
			if (!add_to_group(router, group_for(router, index, r->conf->hosts.at[h]), r))
				return NULL;
	}
	return index;
}

static void group_fini(struct group *g)
{
	map_fini(&g->exact);
	map_fini(&g->prefix);
	for (struct expression *e = g->first; e; e = e->next)
		pcre2_code_free(e->code);
}

void route_index_fini(struct route_index *index)
{
	if (!index)
		return;
	for (struct group *g = index->groups; g; g = g->next)
		group_fini(g);
	group_fini(&index->any);
	map_fini(&index->hosts);
	pcre2_match_data_free(index->match);
	pcre2_match_context_free(index->limits);
}

/* ── matching ── */

struct search {
	const struct route_index *index;
	const struct request *request;
	struct exchange *ex;              /* for its flags; may be NULL */
	struct arena *arena;
	struct text *allow;               /* methods of routes that fit but for the method */
	bool method_missed;
};

static bool method_fits(const struct conf_route *c, struct span method)
{
	for (unsigned i = 0; i < c->methods.count; i++)
		if (span_eq(c->methods.at[i], method))
			return true;
	return c->methods.count == 0;
}

static bool headers_fit(const struct conf_route *c, const struct fields *f)
{
	for (unsigned i = 0; i < c->headers.count; i++) {
		const struct field *found = fields_find_name(f, c->headers.at[i].name);
		if (!found || !span_eq(found->value, c->headers.at[i].value))
			return false;
	}
	return true;
}

static bool flag_fits(const struct search *s, const struct conf_flag *wanted)
{
	return !wanted->name[0] || (s->ex && exchange_flag(s->ex, wanted));
}

static void note_methods(struct search *s, const struct conf_route *c)
{
	s->method_missed = true;
	for (unsigned i = 0; i < c->methods.count; i++) {
		if (span_lists(text_span(s->allow), c->methods.at[i]))
			continue;
		if (s->allow->len)
			text_add(s->allow, SPAN(", "));
		text_add(s->allow, c->methods.at[i]);
	}
}

static const struct route *first_fit(struct search *s, const struct candidate *c)
{
	for (; c; c = c->next) {
		if (!headers_fit(c->route->conf, &s->request->fields) || !flag_fits(s, &c->route->conf->flag))
			continue;
		if (method_fits(c->route->conf, s->request->method_text))
			return c->route;
		note_methods(s, c->route->conf);
	}
	return NULL;
}

static const struct route *fit_at(struct search *s, const struct map *map, struct span path)
{
	struct map_entry *found = map->count ? map_find(map, path) : NULL;
	return found ? first_fit(s, container_of(found, struct place, entry)->first) : NULL;
}

static const struct route *fit_prefix(struct search *s, const struct group *g)
{
	struct span path = s->request->route_path;
	const struct route *r;
	if (!g->prefix.count)
		return NULL;
	for (;;) {
		if ((r = fit_at(s, &g->prefix, path)) || path.len == 0)
			return r;
		do
			path.len--;
		while (path.len && path.at[path.len] != '/');
	}
}

static const struct route *fit_expression(struct search *s, const struct group *g)
{
	struct span path = s->request->route_path;
	for (const struct expression *e = g->first; e; e = e->next) {
		const struct route *r;
		if (pcre2_match(e->code, (PCRE2_SPTR)path.at, path.len, 0, 0, s->index->match, s->index->limits) >= 0
				&& (r = first_fit(s, &e->candidate)))
			return r;
	}
	return NULL;
}

/* "=/exact" before expressions before prefixes: who writes an expression means it to win over "/". */
static const struct route *fit_group(struct search *s, const struct group *g)
{
	const struct route *r = fit_at(s, &g->exact, s->request->route_path);
	if (!r && g->first)
		r = fit_expression(s, g);
	return r ? r : fit_prefix(s, g);
}

static const struct route *fit_host(struct search *s, struct span host)
{
	struct map_entry *found = map_find(&s->index->hosts, host);
	return found ? fit_group(s, container_of(found, struct group, entry)) : NULL;
}

static const struct route *fit_hosts(struct search *s)
{
	char lower[HOST_MAX];
	struct span host, port;
	const struct route *r;

	if (!authority_split(s->request->authority, &host, &port) || host.len == 0 || host.len > HOST_MAX)
		return NULL;
	for (size_t i = 0; i < host.len; i++)
		lower[i] = char_lower(host.at[i]);
	host.at = lower;
	if (host.len > 1 && lower[host.len - 1] == '.')
		host.len--;
	if ((r = fit_host(s, host)) || !s->index->has_wildcards)
		return r;
	for (size_t i = 1; i < host.len; i++)     /* "*.example.com" stands for one label or more */
		if (lower[i] == '.' && (r = fit_host(s, span_from(host, i))))
			return r;
	return NULL;
}

enum route_verdict router_match(const struct router *router, const struct request *request, struct exchange *ex, struct arena *arena,
	const struct route **route, struct span *allow)
{
	char methods[256];
	struct text allowed;
	struct search s = { router->index, request, ex, arena, &allowed, false };

	text_over(&allowed, methods, sizeof(methods));
	*route = router->index->hosts.count ? fit_hosts(&s) : NULL;
	if (!*route)
		*route = fit_group(&s, &router->index->any);
	if (*route)
		return ROUTE_FOUND;
	if (!s.method_missed)
		return ROUTE_NOT_FOUND;
	*allow = arena_copy(arena, text_span(&allowed));
	return ROUTE_METHOD;
}

#define DIGITS(number) #number
#define VERSION(major, minor) DIGITS(major) "." DIGITS(minor)
const char *router_pcre2_version(void) { return VERSION(PCRE2_MAJOR, PCRE2_MINOR); }
