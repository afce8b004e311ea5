/* demo_page.c - the demo's front page: what there is to try. */
#include "demo.h"

enum { PLACES_MAX = 32 };                 /* in the text, where the address stands */

static const char page_text[] =
	"outrigger demo: an app with faults to play with, and a proxy in front of it.\n"
	"\n"
	"  curl -i localhost:8080/slow?ms=3000          a time limit: 504 after two seconds\n"
	"  curl -i localhost:8080/flaky?fail=30%        retries: 3 of 100 requests fail, not a quarter\n"
	"  curl -i localhost:8080/bare/flaky?fail=30%   the same without outrigger's help\n"
	"  curl -i localhost:8080/down?for=10s          the app is dead for ten seconds ...\n"
	"  curl -i localhost:8080/safe/status/200       ... and a fallback answers in its place\n"
	"  curl -i localhost:8080/status/503            any status\n"
	"  curl -i localhost:8080/guarded/status/500    five times: then its breaker opens, and the app is left alone\n"
	"  curl -i localhost:8080/limited/              five a second; then 429 with a word on when to come again\n"
	"  curl -i localhost:8080/same/slow?ms=2000     from several terminals at once: the app sees one request\n"
	"  curl -i localhost:8080/chaos                 every other request fails on purpose\n"
	"  curl -i localhost:8080/hello                 an answer without an app\n"
	"  curl -o /dev/null localhost:8080/big?size=1GiB              a download in constant memory\n"
	"  curl -T FILE -X POST localhost:8080/upload                  an upload: counts the bytes\n"
	"  curl -d hi localhost:8080/echo                              what the app gets to see\n"
	"  curl -N localhost:8080/sse                                  an event a second\n"
	"  ws://localhost:8080/echo                                    a WebSocket that echoes\n";

static const char page_html[] =
	"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\""
	" content=\"width=device-width\"><title>outrigger demo</title>"
	"<style>body{font:16px/1.6 system-ui;max-width:46em;margin:2em auto;padding:0 1em;color-scheme:light dark}"
	"td{padding:.1em 1em .1em 0;vertical-align:top}code,pre{font:14px/1.5 ui-monospace,monospace}</style>"
	"<h1>outrigger demo</h1><p>An app with faults to play with, and a proxy in front of it.</p><table>"
	"<tr><td><a href=\"/slow?ms=3000\"><code>/slow?ms=3000</code></a><td>a time limit: 504 after two seconds"
	"<tr><td><a href=\"/flaky?fail=30%25\"><code>/flaky?fail=30%</code></a><td>retries: 3 of 100 requests fail, not a quarter"
	"<tr><td><a href=\"/bare/flaky?fail=30%25\"><code>/bare/flaky?fail=30%</code></a><td>the same without outrigger's help"
	"<tr><td><a href=\"/down?for=10s\"><code>/down?for=10s</code></a><td>the app is dead for ten seconds &hellip;"
	"<tr><td><a href=\"/safe/status/200\"><code>/safe/status/200</code></a><td>&hellip; and a fallback answers in its place"
	"<tr><td><a href=\"/status/503\"><code>/status/503</code></a><td>any status"
	"<tr><td><a href=\"/guarded/status/500\"><code>/guarded/status/500</code></a>"
	"<td>five times: then its breaker opens, and the app is left alone"
	"<tr><td><a href=\"/limited/\"><code>/limited/</code></a><td>five a second; then 429 with a word on when to come again"
	"<tr><td><a href=\"/same/slow?ms=2000\"><code>/same/slow?ms=2000</code></a><td>many at once: the app sees one request"
	"<tr><td><a href=\"/chaos\"><code>/chaos</code></a><td>every other request fails on purpose"
	"<tr><td><a href=\"/hello\"><code>/hello</code></a><td>an answer without an app"
	"<tr><td><a href=\"/big?size=1MiB\"><code>/big?size=1MiB</code></a><td>a body of any length, in constant memory (try 1GiB with curl)"
	"<tr><td><a href=\"/echo\"><code>/echo</code></a><td>what the app gets to see; also a WebSocket"
	"<tr><td><a href=\"/sse\"><code>/sse</code></a><td>server-sent events, one a second"
	"</table><p>Events: <code id=\"sse\">none yet</code><br>WebSocket: <code id=\"ws\">not connected</code></p><script>"
	"const say=(id,text)=>document.getElementById(id).textContent=text;"
	"const events=new EventSource('/sse');events.addEventListener('tick',e=>say('sse',e.data));"
	"events.onerror=()=>say('sse','interrupted, trying again');"
	"const ws=new WebSocket('ws://'+location.host+'/echo');let n=0;"
	"ws.onopen=()=>setInterval(()=>ws.send('echo '+ ++n),1000);ws.onmessage=e=>say('ws',e.data);ws.onclose=()=>say('ws','closed');"
	"</script></html>\n";

/* The page tells to try the address that it was asked at. The reader of requests has seen to it that an authority is one. */
static struct span page_for(struct exchange *ex)
{
	struct span here = SPAN("localhost:8080"), there = ex->request.authority, rest = span_of(page_text);
	size_t size = rest.len + PLACES_MAX * there.len;
	char *memory = there.len ? arena_text(&ex->arena, size) : NULL;
	const char *found;
	struct text t;

	if (!memory)
		return rest;
	text_over(&t, memory, size);
	while ((found = memmem(rest.at, rest.len, here.at, here.len))) {
		text_add(&t, span_between(rest.at, found));
		text_add(&t, there);
		rest = span_between(found + here.len, span_end(rest));
	}
	text_add(&t, rest);
	return t.cut ? span_of(page_text) : text_span(&t);
}

void *demo_page(struct demo *demo, struct exchange *ex)
{
	struct span accept = fields_value(&ex->request.fields, FIELD_ACCEPT), one;
	struct field vary = { .name = SPAN("vary"), .value = SPAN("accept") };
	bool html = false;

	(void)demo;
	while (span_next(&accept, ',', &one))
		html |= span_starts_nocase(one, SPAN("text/html"));
	if (html)
		service_answer(ex, 200, SPAN("text/html; charset=utf-8"), span_of(page_html), vary);
	else
		service_answer(ex, 200, SPAN("text/plain; charset=utf-8"), page_for(ex), vary);
	return NULL;
}
