/* command_conf.c - the commands that read a configuration and tell something about it: run, check, explain, config, schema, reference. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/command.h"
#include "app/flags.h"
#include "app/reload.h"
#include "app/server.h"
#include "app/supervisor.h"
#include "base/log.h"
#include "core/exchange.h"
#include "core/shared.h"
#include "policy/registry.h"

static void write_to(FILE *to, const struct text *out)
{
	if (out->len)
		fwrite(out->at, 1, out->len, to);
}

static int print(struct text *out)
{
	write_to(stdout, out);
	text_fini(out);
	return fflush(stdout) == 0 ? EXIT_DONE : EXIT_INTERNAL;
}

static struct conf_source source_of(const struct options *o)
{
	struct conf_source source = {
		.file = o->config ? o->config : o->to ? NULL : CONFIG_DEFAULT,
		.regex_ok = route_regex_ok, .listen = o->listen, .to = o->to, .sets = o->sets, .set_count = o->set_count,
	};
	source.blocks = policy_blocks(&source.block_count);
	return source;
}

struct conf *command_load(const struct options *o, int *code)
{
	struct conf_source source = source_of(o);
	struct conf_report report;
	conf_report_init(&report);
	struct conf *conf = conf_load(&source, &report);
	write_to(stderr, &report.text);
	*code = conf ? EXIT_DONE : EXIT_CONFIG;
	conf_report_fini(&report);
	return conf;
}

bool command_set_up_log(const struct options *o, const struct conf *conf)
{
	enum log_level level = (enum log_level)conf->log.level;
	enum log_format format = conf->log.format == 1 ? LOG_TEXT : conf->log.format == 2 ? LOG_JSON : isatty(STDERR_FILENO) ? LOG_TEXT : LOG_JSON;
	if (o->log_level && !log_level_of(span_of(o->log_level), &level)) {
		fprintf(stderr, "outrigger: --log-level is '%s'; allowed: error, warn, info, debug\n", o->log_level);
		return false;
	}
	log_setup(level, format, STDERR_FILENO);
	return true;
}

static struct conf *read_again(void *self, struct span text, struct conf_report *report)
{
	const struct options *o = self;
	struct conf_source source = source_of(o);
	source.text = text;
	return conf_load(&source, report);
}

int command_run(const struct options *o)
{
	int code;
	struct conf *conf = command_load(o, &code);
	if (!conf)
		return code;
	if (!command_set_up_log(o, conf)) {
		conf_unref(conf);
		return EXIT_USAGE;
	}
	if (o->watch && (o->config ? strcmp(o->config, "-") == 0 : o->to != NULL)) {
		fprintf(stderr, "outrigger: --watch needs a file\n");
		conf_unref(conf);
		return EXIT_USAGE;
	}
	bool from_file = o->config ? strcmp(o->config, "-") != 0 : !o->to;
	struct conf_reader reader = { read_again, (void *)(uintptr_t)o, o->watch };
	const struct conf_reader *again = from_file ? &reader : NULL;
	return conf->supervisor ? supervisor_run(conf, again) : server_run(conf, &(struct server_start){ .reader = again });
}

static void warn_of_flags(const struct conf *conf)
{
	struct text warnings;
	text_init(&warnings, 64 * 1024);
	flags_check(conf, &warnings);
	write_to(stderr, &warnings);
	text_fini(&warnings);
}

static const char *s_of(unsigned n) { return n == 1 ? "" : "s"; }

int command_check(const struct options *o)
{
	struct conf_source source = source_of(o);
	struct conf_report report;
	conf_report_init(&report);
	struct conf *conf = conf_load(&source, &report);
	write_to(o->json ? stdout : stderr, o->json ? &report.json : &report.text);
	if (o->json)
		putchar('\n');
	else if (conf)
		printf(SPAN_FMT ": ok, %u listener%s, %u upstream%s, %u route%s\n", SPAN_ARG(conf->file), conf->listener_count,
			s_of(conf->listener_count), conf->upstream_count, s_of(conf->upstream_count), conf->route_count, s_of(conf->route_count));
	if (conf)
		warn_of_flags(conf);
	int code = conf ? EXIT_DONE : EXIT_CONFIG;
	conf_unref(conf);
	conf_report_fini(&report);
	return code;
}

int command_config(const struct options *o)
{
	int code;
	struct text out;
	struct conf *conf = command_load(o, &code);
	if (!conf)
		return code;
	text_init(&out, 64 * 1024 * 1024);
	if (o->json) {
		conf_print_json(conf, &out);
		text_char(&out, '\n');
	} else
		conf_print(conf, o->origin, &out);
	conf_unref(conf);
	return print(&out);
}

int command_schema(const struct options *o)
{
	unsigned count;
	struct text out;
	const struct conf_block *blocks = policy_blocks(&count);
	(void)o;
	text_init(&out, 16 * 1024 * 1024);
	conf_print_schema(blocks, count, &out);
	return print(&out);
}

/* ── explain ── */

static bool split_url(struct span url, struct request *r)
{
	if (span_starts_nocase(url, SPAN("http://"))) {
		url = span_from(url, 7);
		const char *slash = memchr(url.at, '/', url.len);
		r->authority = slash ? span_between(url.at, slash) : url;
		url = slash ? span_from(url, r->authority.len) : SPAN("/");
	}
	const char *mark = memchr(url.at, '?', url.len);
	r->target = url;
	r->path = mark ? span_between(url.at, mark) : url;
	r->query = mark ? span_from(url, r->path.len + 1) : SPAN_NONE;
	return url.len && url.at[0] == '/';
}

static struct upstream_server nobody(void *self, struct upstream *u)
{
	(void)self; (void)u;
	return (struct upstream_server){ 0 };
}

/* The real router decides, so explain cannot tell anything else than what would happen. */
static int explain_with(struct conf *conf, struct request *request, struct text *out)
{
	struct worker worker;
	struct arena arena;
	struct upstream *upstreams[1024];
	struct router_parts parts = { .conf = conf, .worker = &worker, .upstreams = upstreams, .shared = shared_new(), .server_of = nobody };
	const struct route *route = NULL;
	struct span allow;
	unsigned made = 0;

	worker_init(&worker, 0, 1);
	arena_init(&arena, NULL, EXCHANGE_ARENA_MAX);
	parts.types = policy_types(&parts.type_count);
	while (made < conf->upstream_count && made < 1024 && (upstreams[made] = upstream_new(conf, &conf->upstreams[made])))
		made++;
	struct router *router = made == conf->upstream_count && parts.shared ? router_new(&parts) : NULL;
	bool ok = router && fields_init(&request->fields, &arena, 1), valid = ok && request_normalise_path(request, &arena);
	enum route_verdict verdict = valid ? router_match(router, request, NULL, &arena, &route, &allow) : ROUTE_NOT_FOUND;
	for (unsigned i = 0; i < conf->route_count; i++)
		if (conf->routes[i].flag.name[0]) {
			text_add(out, SPAN("# flags count as off here: routes with a `flag` are passed over\n"));
			break;
		}
	if (verdict == ROUTE_FOUND)
		conf_print_route(conf, route->conf, true, out);
	else if (verdict == ROUTE_METHOD)
		text_f(out, "no route: 405 method_not_allowed (allowed: " SPAN_FMT ")\n", SPAN_ARG(allow));
	else
		text_f(out, "no route: %s\n", ok && !valid ? "400 request_invalid" : "404 route_not_found");
	router_unref(router);
	while (made > 0)
		upstream_unref(upstreams[--made]);
	shared_free(parts.shared);
	arena_fini(&arena);
	worker_fini(&worker);
	return verdict == ROUTE_FOUND ? EXIT_DONE : 1;
}

int command_explain(const struct options *o)
{
	int code;
	struct request request = { .minor = 1 };
	struct text out;
	if (o->word_count != 2 || !split_url(span_of(o->words[1]), &request)) {
		fprintf(stderr, "outrigger: explain wants METHOD and URL, for example: outrigger explain GET http://shop.example.com/search?q=x\n");
		return EXIT_USAGE;
	}
	request.method_text = span_of(o->words[0]);
	request.method = method_of(request.method_text);
	struct conf *conf = command_load(o, &code);
	if (!conf)
		return code;
	text_init(&out, 1024 * 1024);
	code = explain_with(conf, &request, &out);
	conf_unref(conf);
	print(&out);
	return code;
}
