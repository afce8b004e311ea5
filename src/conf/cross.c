/* cross.c - what only the whole file can show: something to listen on, something to do, and nobody in another's way. */
#include "load.h"

const struct node *load_node(const struct load *load, const struct conf_key *keys, const char *name, const void *base)
{
	const struct conf_key *row = schema_find(keys, span_of(name));
	const struct origin *origin = row ? origins_find(load->conf->origins, base, row) : NULL;
	return origin ? origin->node : NULL;
}

/* ":80" and "0.0.0.0:80" are the same place; port 0 is a new place each time. */
static bool same_place(struct span a, struct span b)
{
	static const struct span any = { "0.0.0.0", 7 };
	if (span_starts(a, any) && a.len > any.len && a.at[any.len] == ':')
		a = span_from(a, any.len);
	if (span_starts(b, any) && b.len > any.len && b.at[any.len] == ':')
		b = span_from(b, any.len);
	bool floating = a.len > 2 && span_eq(span_from(a, a.len - 2), SPAN(":0"));
	return a.len && !floating && span_eq(a, b);
}

static void check_listeners(struct load *load)
{
	const struct conf *conf = load->conf;
	const struct conf_key *address = schema_find(conf_top_keys, SPAN("listen"))->keys;
	for (unsigned i = 1; i < conf->listener_count; i++)
		for (unsigned j = 0; j < i; j++)
			if (same_place(conf->listeners[i].address, conf->listeners[j].address)) {
				complain(load, load_node(load, address, "address", &conf->listeners[i]), SPAN_NONE, "listening twice on " SPAN_FMT,
					SPAN_ARG(conf->listeners[i].address));
				complain_hint(load, "remove one of them");
				break;
			}
	for (unsigned i = 0; i < conf->listener_count; i++) {
		if (!same_place(conf->listeners[i].address, conf->admin.listen))
			continue;
		const struct conf_key *admin = schema_find(conf_top_keys, SPAN("admin"))->keys;
		const struct node *at = load_node(load, admin, "listen", &conf->admin);
		complain(load, at ? at : load_node(load, address, "address", &conf->listeners[i]), SPAN_NONE,
			"the admin listener and a listener for clients are both on " SPAN_FMT, SPAN_ARG(conf->admin.listen));
		complain_hint(load, "give admin.listen another port");
		return;
	}
}

static void check_unused(struct load *load)
{
	for (unsigned i = 0; i < load->conf->upstream_count; i++) {
		const struct conf_upstream *u = &load->conf->upstreams[i];
		void **bases[3] = { u->settings, load->defaults->settings, NULL };
		if (load->upstream_used[i])
			continue;
		const struct node *key = load->upstream_keys[i];
		level_check(load, NULL, key, &load->upstream_levels[i], bases);
		if (load->errors)
			continue;               /* it may be the name in the route that is wrong */
		complain_warn(load, key, "no route uses upstream '" SPAN_FMT "'", SPAN_ARG(u->name));
		complain_hint(load, "name it in a route, or remove it");
	}
}

static void check_flags(struct load *load)
{
	if (!load->flag_at || load->conf->flags.from.len)
		return;
	complain(load, load->flag_at, SPAN_NONE, "a flag is asked for, and there are none");
	complain_hint(load, "say where they are: flags: {from: file:/etc/outrigger/flags.json}");
}

void conf_cross_check(struct load *load, struct node *root)
{
	const struct node *at = root->source ? root : NULL;         /* none when all came from the command line */
	if (!node_find(root, SPAN("listen"))) {
		complain(load, at, SPAN_NONE, "there is no 'listen'");
		complain_hint(load, "add listen: 0.0.0.0:8080");
	} else if (!load->conf->listener_count && !load->errors) {
		complain(load, node_find(root, SPAN("listen")), SPAN_NONE, "'listen' is empty");
		complain_hint(load, "write listen: 0.0.0.0:8080");
	}
	struct node *routes = node_find(root, SPAN("routes"));
	if (!routes) {
		complain(load, at, SPAN_NONE, "there are no 'routes'");
		complain_hint(load, "add routes: with - path: / and upstream: http://127.0.0.1:3000 (or --to URL)");
	} else if (routes->value->kind == NODE_LIST && routes->value->count) {
		if (load->conf->route_count)
			routes_cross_check(load, routes->value);
	} else if (routes->value->kind == NODE_LIST || node_is_null(routes->value)) {
		complain(load, routes, SPAN_NONE, "'routes' is empty");
		complain_hint(load, "add - path: / and below it upstream: http://127.0.0.1:3000");
	}
	check_listeners(load);
	check_flags(load);
	check_unused(load);
}
