/* idem_key.c - see idem_key.h. */
#include "idem_key.h"

#include "core/claims.h"

static bool put(struct idem_key *k, char c)
{
	if (k->len == IDEM_KEY_MAX)
		return false;
	k->text[k->len++] = c;
	return true;
}

/* "...": what stands behind the closing quote are parameters, or nothing. */
static bool read_string(struct span s, struct idem_key *k)
{
	size_t i = 1;
	for (; i < s.len && s.at[i] != '"'; i++) {
		char c = s.at[i];
		if (c == '\\' && (++i == s.len || ((c = s.at[i]) != '"' && c != '\\')))
			return false;
		if (c < ' ' || c > '~' || !put(k, c))
			return false;
	}
	return i < s.len && (i + 1 == s.len || s.at[i + 1] == ';');
}

/* Wider than a token of RFC 9110, because keys in base64 are: no blanks, quotes, commas or semicolons. */
static bool read_bare(struct span s, struct idem_key *k)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];
		if (c <= ' ' || c > '~' || c == '"' || c == ',' || c == ';' || c == '\\' || !put(k, c))
			return false;
	}
	return true;
}

enum idem_key_found idem_key_read(const struct fields *f, struct idem_key *k)
{
	const struct field *found = NULL;
	k->len = 0;
	if (!fields_have(f, FIELD_IDEMPOTENCY_KEY))
		return IDEM_KEY_NONE;
	for (unsigned i = 0; i < f->count; i++) {
		if (f->at[i].id != FIELD_IDEMPOTENCY_KEY)
			continue;
		if (found)
			return IDEM_KEY_BAD;
		found = &f->at[i];
	}
	struct span s = span_trim(found->value);
	bool ok = s.len && s.at[0] == '"' ? read_string(s, k) : read_bare(s, k);
	return ok && k->len ? IDEM_KEY_FOUND : IDEM_KEY_BAD;
}

static void add_credential(struct digest_sum *sum, const struct exchange *ex)
{
	const struct fields *f = &ex->request.fields;
	struct span subject = claims_find(ex->claims, SPAN("sub"));
	if (subject.len) {
		digest_sum_add(sum, SPAN("sub\n"));
		digest_sum_add(sum, claims_find(ex->claims, SPAN("iss")));
		digest_sum_add(sum, SPAN("\n"));
		digest_sum_add(sum, subject);
		return;
	}
	for (unsigned i = 0; i < f->count; i++)
		if (f->at[i].id == FIELD_AUTHORIZATION) {
			digest_sum_add(sum, SPAN("authorization\n"));
			digest_sum_add(sum, f->at[i].value);
		}
}

/* The key comes first: it has no line feed in it, and so nothing can be taken for something else. */
bool idem_key_scope(const struct idem_key *k, const struct exchange *ex, unsigned char out[IDEM_DIGEST])
{
	struct digest_sum sum;
	digest_sum_begin(&sum);
	digest_sum_add(&sum, (struct span){ k->text, k->len });
	digest_sum_add(&sum, SPAN("\n"));
	add_credential(&sum, ex);
	return digest_sum_end(&sum, out);
}

static void add_length(struct digest_sum *sum, const struct exchange *ex)
{
	char digits[20];
	if (ex->request.framing == BODY_LENGTH)
		digest_sum_add(sum, (struct span){ digits, u64_to_text(ex->request.content_length, digits) });
	else if (ex->request_body.state == PIPE_ENDED)
		digest_sum_add(sum, (struct span){ digits, u64_to_text(ex->request_body.total, digits) });
	digest_sum_add(sum, SPAN("\n"));
}

bool idem_key_fingerprint(const struct exchange *ex, size_t most, unsigned char out[IDEM_DIGEST])
{
	struct digest_sum sum;
	digest_sum_begin(&sum);
	digest_sum_add(&sum, ex->request.method_text);
	digest_sum_add(&sum, SPAN("\n"));
	digest_sum_add(&sum, ex->request.authority);
	digest_sum_add(&sum, SPAN("\n"));
	digest_sum_add(&sum, ex->request.target);
	digest_sum_add(&sum, SPAN("\n"));
	add_length(&sum, ex);
	for (const struct buf_piece *p = buf_first(&ex->request_body.held); p && most; p = p->next) {
		struct span s = span_first(slice_span(p->slice), most);
		digest_sum_add(&sum, s);
		most -= s.len;
	}
	return digest_sum_end(&sum, out);
}
