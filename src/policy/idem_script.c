/* idem_script.c - see idem_script.h. */
#include "idem_script.h"

#include "base/must.h"

enum { HEX = 2 * IDEM_DIGEST };

const struct store_script idem_script = {
	"local v = redis.call('GET', KEYS[1]) "
	"if ARGV[1] == 'claim' then "
	"  if not v then "
	"    redis.call('SET', KEYS[1], 'R' .. ARGV[3] .. ARGV[2], 'NX', 'PX', ARGV[4]) "
	"    return 'F' "
	"  end "
	"  if string.sub(v, 2, 65) ~= ARGV[3] then return 'O' end "
	"  if string.sub(v, 1, 1) == 'D' then return v end "
	"  return string.sub(v, 1, 1) "
	"end "
	"if not v or string.sub(v, 1, 1) ~= 'R' or string.sub(v, 66) ~= ARGV[2] then return '0' end "
	"if ARGV[1] == 'renew' then redis.call('PEXPIRE', KEYS[1], ARGV[4]) "
	"elseif ARGV[1] == 'save' then redis.call('SET', KEYS[1], ARGV[5] .. ARGV[3] .. ARGV[6], 'PX', ARGV[4]) "
	"else redis.call('DEL', KEYS[1]) end "
	"return '1'"
};

static struct span put_hex(struct text *t, const unsigned char digest[IDEM_DIGEST])
{
	char hex[HEX];
	size_t from = t->len;
	digest_hex(digest, IDEM_DIGEST, hex);
	text_add(t, (struct span){ hex, HEX });
	return (struct span){ t->at + from, t->len - from };
}

/* The hash tag keeps a route's keys on one node of a cluster; a script touches only one of them anyway. */
unsigned idem_script_words(const struct idem_question *q, char memory[IDEM_WORDS_TEXT], struct span words[IDEM_WORDS])
{
	static const char *const ops[] = { "claim", "renew", "save", "release" };
	struct text t;
	text_over(&t, memory, IDEM_WORDS_TEXT);
	text_add(&t, SPAN("outrigger:idempotency:{"));
	text_add(&t, q->route);
	text_add(&t, SPAN("}:"));
	put_hex(&t, q->key);
	words[0] = SPAN("1");
	words[1] = text_span(&t);
	words[2] = span_of(ops[q->op]);
	words[3] = q->token;
	words[4] = put_hex(&t, q->fingerprint);
	size_t from = t.len;
	text_u64(&t, q->ms);
	words[5] = (struct span){ t.at + from, t.len - from };
	words[6] = q->answer.at ? SPAN("D") : SPAN("L");
	words[7] = q->answer.at ? q->answer : SPAN("");
	if (t.cut)
		return 0;
	return q->op == IDEM_OP_SAVE ? 8 : 6;
}

enum idem_verdict idem_script_verdict(struct span reply, struct span *answer)
{
	if (!reply.len)
		return IDEM_VERDICT_NONSENSE;
	switch (reply.at[0]) {
	case 'F': return IDEM_VERDICT_FIRST;
	case 'R': return IDEM_VERDICT_RUNS;
	case 'L': return IDEM_VERDICT_LOST;
	case 'O': return IDEM_VERDICT_OTHER;
	case 'D':
		if (reply.len < 1 + HEX)
			return IDEM_VERDICT_NONSENSE;
		*answer = span_from(reply, 1 + HEX);
		return IDEM_VERDICT_DONE;
	default:
		return IDEM_VERDICT_NONSENSE;
	}
}
