/* live.c - the live page's files, embedded at build time (Makefile: gen/live_files.c), and the reasons in words. */
#include "live.h"
#include "pages.h"

/* Only our own files; nothing inline; nobody may frame it. */
static const char policy[] = "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static bool wants_html(const struct exchange *ex)
{
	struct span accept = fields_value(&ex->request.fields, FIELD_ACCEPT), one;
	while (span_next(&accept, ',', &one))
		if (span_starts_nocase(one, SPAN("text/html")))
			return true;
	return false;
}

void page_live(struct admin *a, const struct exchange *ex, struct page *out)
{
	bool root = span_eq(ex->request.path, SPAN("/"));
	if (root && (!a->server->conf->admin.page || !wants_html(ex))) {
		page_status_text(a, ex, out);
		return;
	}
	for (const struct live_file *f = live_files; a->server->conf->admin.page && f->path; f++)
		if (span_eq(ex->request.path, span_of(f->path))) {
			out->content_type = span_of(f->type);
			out->extra = (struct field){ .name = SPAN("content-security-policy"), .value = span_of(policy) };
			text_add(&out->body, (struct span){ (const char *)f->at, f->len });
			return;
		}
	page_say(out, 404, "There is no such page.");
}

void page_reasons(struct admin *a, const struct exchange *ex, struct page *out)
{
	struct json j;
	(void)a; (void)ex;
	out->content_type = SPAN("application/json");
	json_init(&j, &out->body);
	json_open(&j, NULL, '{');
	for (unsigned r = REASON_NONE + 1; r < REASON_COUNT; r++) {
		const struct reason_facts *f = reason_facts((enum reason)r);
		json_open(&j, f->word, '{');
		json_u64(&j, "status", (uint64_t)f->status);
		json_text(&j, "title", f->title);
		json_text(&j, "text", f->text);
		json_close(&j, '}');
	}
	json_close(&j, '}');
	text_char(&out->body, '\n');
}
