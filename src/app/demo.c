/* demo.c - `outrigger demo`: the demo upstream on a thread of its own, the proxy on conf/demo.yaml in front of it, and a few words. */
#include "demo.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/command.h"
#include "app/server.h"
#include "policy/registry.h"

enum { DEMO_LOOP = 1001 };

static struct conf *load(const struct options *o, int *code)
{
	struct conf_report report;
	struct conf_source source = {
		.file = o->config ? o->config : "demo.yaml", .text = o->config ? SPAN_NONE : span_of(demo_conf),
		.listen = o->listen, .to = o->to, .sets = o->sets, .set_count = o->set_count,
	};
	source.blocks = policy_blocks(&source.block_count);
	conf_report_init(&report);
	struct conf *conf = conf_load(&source, &report);
	fwrite(report.text.len ? report.text.at : "", 1, report.text.len, stderr);
	conf_report_fini(&report);
	*code = conf ? EXIT_DONE : EXIT_CONFIG;
	if (conf)
		conf->sandbox = 0;                /* its upstream is a thread that runs already */
	return conf;
}

/* Where the upstream `demo` is expected to be. */
static struct span address_of(const struct conf *conf)
{
	for (unsigned i = 0; i < conf->upstream_count; i++) {
		const struct conf_upstream *u = &conf->upstreams[i];
		if (!span_eq(u->name, SPAN("demo")) || u->endpoint_count == 0)
			continue;
		struct span url = u->endpoints[0].url;
		if (!span_starts(url, SPAN("http://")))
			return url;
		struct span rest = span_from(url, sizeof("http://") - 1), address;
		return span_next(&rest, '/', &address) ? address : rest;
	}
	return SPAN(DEMO_ADDRESS);
}

static int cannot_listen(const char *who, struct span address, const char *why)
{
	fprintf(stderr, "outrigger: %s cannot listen on " SPAN_FMT ": %s\n", who, SPAN_ARG(address), why);
	return EXIT_LISTEN;
}

/* Found out before a word is said about what to try. server_run looks again, and for good. */
static int try_listening(const struct conf *conf)
{
	char why[128];
	for (unsigned i = 0; i <= conf->listener_count; i++) {
		bool last = i == conf->listener_count;
		struct span address = last ? conf->admin.listen : conf->listeners[i].address;
		if (span_starts(address, SPAN("unix:")) || (last && span_eq(address, SPAN("off"))))
			continue;
		int fd = listen_open(address, false, why);
		if (fd < 0)
			return cannot_listen(last ? "the admin page" : "the proxy", address, why);
		close(fd);
	}
	return EXIT_DONE;
}

static void say_what_to_try(const struct conf *conf, struct span app)
{
	struct span at = conf->listener_count ? conf->listeners[0].address : SPAN_NONE, host, port;
	char url[160] = "http://localhost";
	if (authority_split(at, &host, &port) && port.at)
		snprintf(url, sizeof(url), "http://" SPAN_FMT ":" SPAN_FMT, SPAN_ARG(host.len && !span_eq(host, SPAN("0.0.0.0")) &&
			!span_eq(host, SPAN("127.0.0.1")) ? host : SPAN("localhost")), SPAN_ARG(port));
	printf("outrigger demo: %s is the proxy, http://" SPAN_FMT " the app behind it, http://" SPAN_FMT " the admin page. Try\n"
		"  curl %s/                             what else there is\n"
		"  curl -i '%s/slow?ms=3000'            a time limit: 504 after two seconds\n"
		"  curl -i '%s/flaky?fail=30%%'          retries: most calls succeed; /bare/flaky?fail=30%% has none\n"
		"  curl '%s/down?for=10s'; curl -i %s/safe/status/200    the app is dead; a fallback answers\n"
		"  curl -o /dev/null '%s/big?size=1GiB' a gibibyte through constant memory\n"
		"Control-C ends it.\n", url, SPAN_ARG(app), SPAN_ARG(conf->admin.listen), url, url, url, url, url, url);
	fflush(stdout);
}

/* ── the thread ── */

static void *thread_main(void *self)
{
	loop_run(&((struct demo *)self)->loop);
	return NULL;
}

struct stop { struct message message; struct demo *demo; };
static void stop_loop(struct message *m) { loop_stop(&container_of(m, struct stop, message)->demo->loop); }

static bool start_thread(struct demo *demo, pthread_t *thread)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);      /* signals are the control thread's */
	bool ok = pthread_create(thread, NULL, thread_main, demo) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ok;
}

static void fini(struct demo *demo)
{
	service_free(demo->service);
	chunk_unref(demo->pattern);
	loop_fini(&demo->loop);
	free(demo);
}

/* Takes over conf. */
static int run(const struct options *o, struct conf *conf, struct demo *demo)
{
	char why[128];
	pthread_t thread;
	struct stop stop = { .message.run = stop_loop, .demo = demo };
	struct span app = address_of(conf);

	int code = try_listening(conf);
	if (code == EXIT_DONE && !(demo->service = service_new(&demo->loop, app, -1, &demo_ops, demo, why)))
		code = cannot_listen("the demo upstream", app, why);
	if (code == EXIT_DONE && !command_set_up_log(o, conf))
		code = EXIT_USAGE;
	if (code == EXIT_DONE && !start_thread(demo, &thread))
		code = EXIT_INTERNAL;
	if (code != EXIT_DONE) {
		conf_unref(conf);
		return code;
	}
	say_what_to_try(conf, app);
	code = server_run(conf, &(struct server_start){ 0 });
	loop_post(&demo->loop, &stop.message);
	pthread_join(thread, NULL);
	return code;
}

int command_demo(const struct options *o)
{
	int code;
	struct conf *conf = load(o, &code);
	if (!conf)
		return code;
	struct demo *demo = calloc(1, sizeof(*demo));
	if (!demo || !loop_init(&demo->loop, DEMO_LOOP, clock_now_us())) {
		conf_unref(conf);
		free(demo);
		return EXIT_INTERNAL;
	}
	code = run(o, conf, demo);
	fini(demo);
	return code;
}
