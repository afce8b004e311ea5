/* simple.c - see simple.h. */
#include "simple.h"

#include <stdio.h>

#include "base/must.h"

static void write_lines(struct text *out, const char *lines, const char *indent)
{
	struct span rest = span_of(lines), line;
	while (rest.at && span_next(&rest, '\n', &line))
		text_f(out, "%s" SPAN_FMT "\n", indent, SPAN_ARG(line));
}

static void write_endpoints(struct text *out, const char *endpoints)
{
	struct span rest = span_of(endpoints ? endpoints : "app-1:80"), one;
	text_add(out, SPAN("upstreams:\n  app:\n    endpoints:\n"));
	while (span_next(&rest, ' ', &one))
		text_f(out, "      - 'http://" SPAN_FMT "'\n", SPAN_ARG(one));
}

void simple_open(struct world *w, const struct simple *simple)
{
	static char config[16384];
	struct text out;
	text_over(&out, config, sizeof(config));
	text_add(&out, SPAN("listen: 127.0.0.1:8080\n"));
	write_lines(&out, simple->global, "");
	if (simple->defaults) {
		text_add(&out, SPAN("defaults:\n"));
		write_lines(&out, simple->defaults, "  ");
	}
	write_endpoints(&out, simple->endpoints);
	write_lines(&out, simple->service, "    ");
	text_add(&out, SPAN("routes:\n"));
	if (simple->routes)
		write_lines(&out, simple->routes, "  ");
	else {
		text_add(&out, SPAN("  - name: main\n    path: /\n    upstream: app\n"));
		write_lines(&out, simple->route, "    ");
	}
	must(!out.cut);
	must(world_open(w, &(struct world_plan){ .config = text_span(&out), .witnesses = true, .outside = simple->outside, .inside = simple->inside }));
}

void simple_finish(struct world *w)
{
	world_run(w);
	world_close(w);
}

struct deed *simple_deed(struct world *w) { return script_add(world_script(w, NULL)); }
