/* auth.c - who may come in: a bearer token (RFC 6750) that is a JWT with a good signature, for us, and in time.
 *
 * What a token says is looked at by jwt.c; who has signed it by the set of keys of the moment (core/keys.h), which is got elsewhere. A token that
 * was good is remembered with all of its bytes until it ends, the keys change, or others need its place. One that names a key that
 * nobody knows makes the keys be fetched early, and waits for them: so a change of keys is not seen by clients.
 *
 * Fields that carry claims to the upstream are taken out of each request first, whatever becomes of it: nobody else can set them.
 */
#include "auth.h"

#include <stdlib.h>

#include "core/exchange.h"
#include "core/shared.h"
#include "jwt_cache.h"
#include "policy/registry.h"

enum { LOOK_AGAIN_US = 5000, FORWARDS_MAX = 16, CHALLENGE_MAX = 320 };

struct auth_conf {
	bool   enabled, required, preflight, dry_run;
	struct span      jwks;
	struct jwt_terms terms;
	struct key_terms keys;
	struct conf_map  forward;
	uint64_t         max_token_size, remembered;
};

/* ── settings ── */

static bool read_jwks(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	bool file = span_starts(text, SPAN("file:")), tls = span_starts(text, SPAN("https://")), plain = span_starts(text, SPAN("http://"));
	struct span rest = file || tls || plain ? span_from(text, file ? 5 : tls ? 8 : 7) : SPAN_NONE;
	(void)field; (void)index;
	for (size_t i = 0; i < rest.len; i++)
		if (rest.at[i] <= ' ' || rest.at[i] > '~' || rest.at[i] == '"' || rest.at[i] == '\\' || (!file && rest.at[i] == '@'))
			rest = SPAN_NONE;
	if (rest.len && text.len <= KEY_SOURCE_NAME_MAX && (!file || rest.at[0] == '/') && (file || rest.at[0] != '/'))
		return true;
	conf_complain(r, text, "'" SPAN_FMT "' is no place for keys", SPAN_ARG(text));
	conf_hint(r, "write https://HOST/PATH, or file:/PATH, of a JSON Web Key Set");
	return false;
}

static bool read_algorithm(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	unsigned *algorithms = field;
	enum jws_alg alg;
	if (index == 0)
		*algorithms = 0;
	if (text.at && jws_alg_of(text, &alg)) {
		*algorithms |= 1u << alg;
		return true;
	}
	conf_complain(r, text, "'" SPAN_FMT "' is not an algorithm", SPAN_ARG(text));
	conf_hint(r, "allowed: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, HS256, HS384, HS512");
	return false;
}

static bool read_claim(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	(void)field;
	if (text.len)
		return true;
	conf_complain(r, text, index % 2 ? "what must it say?" : "a claim has a name");
	conf_hint(r, "write claims: {scope: orders.read}, or \"*\" for any value");
	return false;
}

/* Fields that say how a message travels, or that we make ourselves, are not for claims. */
static bool read_forward(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	struct conf_pair *pair = field;
	enum field_id id = field_id_of(text);
	if (index % 2 == 0)
		return read_claim(r, field, text, index);
	if (!field_name_is_token(text) || id != FIELD_OTHER) {
		conf_complain(r, text, "'" SPAN_FMT "' cannot carry a claim", SPAN_ARG(text));
		conf_hint(r, "the name of a field of yours, such as x-user");
		return false;
	}
	char *lower = arena_text(conf_arena(r), text.len);
	for (size_t i = 0; lower && i < text.len; i++)
		lower[i] = char_lower(text.at[i]);
	pair->value = (struct span){ lower, lower ? text.len : 0 };
	return true;
}

#define CONF struct auth_conf
static const struct conf_key jwt_keys[] = {
	CONF_ROW(CONF, "jwks", jwks, CONF_T_TEXT, .read = read_jwks, .example = "https://id.example.com/keys",
		.help = "where the keys are: the URL of a JSON Web Key Set, or file:/PATH"),
	CONF_TEXTS(CONF, "issuer", terms.issuers, NULL, "the claim iss must be one of these; left out: it is not looked at"),
	CONF_TEXTS(CONF, "audience", terms.audiences, NULL, "the claim aud must name one of these; \"*\": it is not looked at"),
	CONF_CUSTOM(CONF, "algorithms", terms.algorithms, read_algorithm, "[RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512]",
		"how tokens may be signed; HS256 and its kin also need a key set of nothing but secrets"),
	CONF_DURATION(CONF, "leeway", terms.leeway_us, "60s", "0s", "10m", "by how much clocks may differ, for exp, nbf and iat"),
	CONF_ROW(CONF, "claims", terms.claims, CONF_T_MAP, .read = read_claim, .example = "{scope: orders.read}",
		.help = "what a token must say to be let in, else 403: a value, words of it, or \"*\"; name.inner looks into objects"),
	CONF_ROW(CONF, "forward", forward, CONF_T_MAP, .read = read_forward, .example = "{sub: x-user}",
		.help = "claims that the upstream gets in fields; such fields of clients are taken out"),
	CONF_BOOL(CONF, "required", required, "true", "false: a request without a token passes; one with a bad token does not"),
	CONF_BOOL(CONF, "preflight", preflight, "false", "true: a browser's preflight (OPTIONS), which never has a token, passes"),
	CONF_DURATION(CONF, "refresh", keys.refresh_us, "10m", "1s", "24h",
		"keys are fetched again after so long, when their server names no max-age"),
	CONF_DURATION(CONF, "timeout", keys.timeout_us, "5s", "10ms", "60s", "of one fetch of the keys"),
	CONF_SIZE(CONF, "max_token_size", max_token_size, "8KiB", "256B", "32KiB", "longer tokens are refused unread"),
	CONF_COUNT(CONF, "remembered", remembered, "1024", "0", "1000000", "good tokens whose signature is not checked again, per worker"),
	CONF_END
};
static const struct conf_key auth_keys[] = {
	CONF_BOOL(CONF, "enabled", enabled, "true", "off: requests are let in without a token"),
	{ .name = "jwt", .type = CONF_T_BLOCK, .keys = jwt_keys, .present_offset = CONF_NO_PRESENCE,
		.help = "JSON web tokens, in the field Authorization" },
	CONF_BOOL(CONF, "dry_run", dry_run, "false", "decide, count and log, but let everything pass"),
	CONF_END
};
#undef CONF

static bool auth_check(struct conf_reading *r, void *settings)
{
	const struct auth_conf *c = settings;
	if (!c->enabled)
		return true;
	if (!c->jwks.len) {
		conf_complain(r, SPAN_NONE, "'auth' needs 'jwt.jwks'");
		conf_hint(r, "write auth: {jwt: {jwks: \"https://id.example.com/keys\", audience: NAME}}");
		return false;
	}
	if (!c->terms.audiences.count) {
		conf_complain(r, SPAN_NONE, "'auth.jwt' needs 'audience': else a token made for any other service would do");
		conf_hint(r, "write audience: NAME, or audience: \"*\" if any will do");
		return false;
	}
	if (c->forward.count > FORWARDS_MAX) {
		conf_complain_key(r, "jwt.forward", "at most %d claims can be forwarded", FORWARDS_MAX);
		return false;
	}
	return true;
}

static const struct conf_block auth_block = {
	.name = "auth", .keys = auth_keys, .size = sizeof(struct auth_conf), .levels = CONF_DEFAULTS | CONF_ROUTE, .optional = true,
	.check = auth_check,
	.help = "who may come in: bearer tokens that are checked here",
};

bool auth_is_on(const void *settings) { return settings && ((const struct auth_conf *)settings)->enabled; }

/* ── one per route and process: what is counted ── */

struct auth_core { uint64_t decisions[JWT_VERDICT_COUNT], signatures; };       /* atomic */

static bool core_init(void *memory, const void *with) { (void)memory; (void)with; return true; }

static void read_decisions(void *memory, uint64_t now_us, struct samples *out)
{
	struct auth_core *core = memory;
	(void)now_us;
	for (unsigned v = 0; v < JWT_VERDICT_COUNT; v++) {
		const struct label result = { "result", span_of(jwt_verdict_facts(v)->word) };
		out->real(out, &result, 1, (double)__atomic_load_n(&core->decisions[v], __ATOMIC_RELAXED));
	}
}

static void read_signatures(void *memory, uint64_t now_us, struct samples *out)
{
	struct auth_core *core = memory;
	(void)now_us;
	out->real(out, NULL, 0, (double)__atomic_load_n(&core->signatures, __ATOMIC_RELAXED));
}

static const struct core_series series[] = {
	{ "outrigger_auth_decisions_total", "counter", "Requests as their token was judged.", read_decisions },
	{ "outrigger_auth_signature_checks_total", "counter", "Signatures that were checked; other tokens were known.", read_signatures },
	{ NULL, NULL, NULL, NULL }
};

static void state_json(void *memory, uint64_t now_us, struct json *j)
{
	struct auth_core *core = memory;
	(void)now_us;
	for (unsigned v = 0; v < JWT_VERDICT_COUNT; v++)
		json_u64(j, jwt_verdict_facts(v)->word, __atomic_load_n(&core->decisions[v], __ATOMIC_RELAXED));
	json_u64(j, "signatures_checked", __atomic_load_n(&core->signatures, __ATOMIC_RELAXED));
}

static void summary(void *memory, uint64_t now_us, struct text *out)
{
	struct auth_core *core = memory;
	uint64_t refused = 0, passed = 0;
	(void)now_us;
	for (unsigned v = 0; v < JWT_VERDICT_COUNT; v++)
		*(jwt_verdict_facts(v)->reason == REASON_NONE ? &passed : &refused) += __atomic_load_n(&core->decisions[v], __ATOMIC_RELAXED);
	text_f(out, "%llu let in, %llu not", (unsigned long long)passed, (unsigned long long)refused);
}

static const struct core_kind auth_kind = {
	.name = "auth", .label = "route", .size = sizeof(struct auth_core), .init = core_init, .series = series, .state = state_json,
	.summary = summary,
};

/* ── the door ── */

struct auth {
	struct policy     base;
	struct auth_conf  conf;
	struct shared    *shared;
	struct auth_core *core;
	struct key_source *source;
	struct jwt_cache  cache;
};

struct auth_slot {
	struct jwt      *jwt;                 /* held: the exchange's claims are its */
	struct auth     *door;
	struct exchange *ex;
	struct timer     again;               /* armed while it waits for other keys */
	uint64_t         attempts, until_us;
};

static void auth_close(struct policy *p)
{
	struct auth *d = (struct auth *)p;
	jwt_cache_fini(&d->cache);
	if (d->source)
		key_source_give(d->shared, d->source);
	if (d->core)
		shared_give(d->shared, d->core);
	free(d);
}

static struct policy *auth_open(const void *settings, const struct policy_env *env)
{
	struct auth *d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->base.type = &auth_policy;
	d->conf = *(const struct auth_conf *)settings;
	d->shared = env->shared;
	d->core = shared_take(env->shared, &auth_kind, env->route->name, NULL);
	d->source = d->core ? key_source_take(env->shared, d->conf.jwks, &d->conf.keys) : NULL;
	jwt_cache_init(&d->cache, d->conf.remembered, rand_next(&env->worker->rand));
	if (d->source)
		return &d->base;
	auth_close(&d->base);
	return NULL;
}

static bool auth_wanted(const struct conf_route *route, const void *settings, bool present)
{
	(void)route;
	return present && auth_is_on(settings);
}

/* ── a request's token ── */

/* As the Fetch standard has it. */
static bool is_preflight(const struct exchange *ex)
{
	return ex->request.method == METHOD_OPTIONS && fields_have(&ex->request.fields, FIELD_ORIGIN)
		&& fields_find_name(&ex->request.fields, SPAN("access-control-request-method"));
}

/* JWT_allowed: *token is to be looked at. Two fields could be read as one by us and as the other by the upstream. */
static enum jwt_verdict find_token(const struct auth *d, const struct exchange *ex, struct span *token)
{
	const struct field *f = fields_find(&ex->request.fields, FIELD_AUTHORIZATION);
	enum jwt_verdict without = d->conf.required && !(d->conf.preflight && is_preflight(ex)) ? JWT_no_token : JWT_anonymous;
	struct span value;

	if (!f)
		return without;
	for (const struct field *g = f + 1; g < ex->request.fields.at + ex->request.fields.count; g++)
		if (g->id == FIELD_AUTHORIZATION)
			return JWT_malformed;
	value = f->value;
	if (!span_starts_nocase(value, SPAN("bearer")) || (value.len > 6 && value.at[6] != ' ' && value.at[6] != '\t'))
		return without;
	*token = span_trim(span_from(value, 6));
	return token->len == 0 ? JWT_malformed : token->len > d->conf.max_token_size ? JWT_too_large : JWT_allowed;
}

/* One that is not known yet. *jwt is counted for the caller. */
static enum jwt_verdict check_signature(struct auth *d, struct span token, struct jwt **jwt)
{
	struct jwt_head head;
	uint64_t serial;
	enum jwt_verdict verdict = jwt_read_head(token, &head);

	if (verdict != JWT_allowed)
		return verdict;
	if (!(d->conf.terms.algorithms >> head.alg & 1))
		return JWT_algorithm;
	struct key_set *set = key_source_set(d->source, &serial);
	if (!set)
		return JWT_no_keys;
	__atomic_fetch_add(&d->core->signatures, 1, __ATOMIC_RELAXED);
	enum key_verdict fits = set->ops->verify(set, head.alg, (struct span){ head.kid, head.kid_len }, token);
	key_set_unref(set);
	if (fits != KEY_FITS)
		return fits == KEY_UNKNOWN ? JWT_unknown_key : JWT_signature;
	verdict = jwt_read_claims(token, head.payload, &d->conf.terms, jwt);
	if (*jwt)
		(*jwt)->serial = serial;
	return verdict;
}

/* *jwt is counted for the caller. */
static enum jwt_verdict judge(struct auth *d, const struct exchange *ex, struct jwt **jwt)
{
	struct span token;
	enum jwt_verdict verdict = find_token(d, ex, &token);

	if (verdict != JWT_allowed)
		return verdict;
	struct jwt *known = jwt_cache_find(&d->cache, token);
	if (known && known->serial == key_source_serial(d->source)) {
		known->refs++;
		*jwt = known;
		return jwt_when(known, ex->worker->wall_ms);
	}
	verdict = check_signature(d, token, jwt);
	if (!*jwt)
		return verdict;
	verdict = jwt_when(*jwt, ex->worker->wall_ms);
	if (verdict == (*jwt)->verdict)
		jwt_cache_put(&d->cache, *jwt);
	return verdict;
}

/* ── what becomes of it ── */

static struct span write_challenge(const struct auth *d, struct exchange *ex, const struct jwt_verdict_facts *facts)
{
	char *memory = arena_text(&ex->arena, CHALLENGE_MAX);
	struct text t;
	if (!memory)
		return SPAN_NONE;
	text_over(&t, memory, CHALLENGE_MAX);
	text_add(&t, SPAN("Bearer realm=\"outrigger\""));
	if (facts->error[0]) {
		text_add(&t, SPAN(", error=\""));
		text_add(&t, span_of(facts->error));
		text_add(&t, SPAN("\", error_description=\""));
		text_add(&t, span_of(facts->text));
		text_char(&t, '"');
	}
	for (unsigned i = 0; facts->reason == REASON_forbidden && i < d->conf.terms.claims.count; i++) {
		const struct conf_pair *claim = &d->conf.terms.claims.at[i];
		bool plain = span_eq(claim->name, SPAN("scope")) && field_value_is_safe(claim->value) && !span_has(claim->value, '"')
			&& !span_has(claim->value, '\\') && claim->value.len <= 120;
		if (!plain)
			continue;
		text_add(&t, SPAN(", scope=\""));
		text_add(&t, claim->value);
		text_char(&t, '"');
	}
	return text_span(&t);
}

/* RFC 6750 §3: a request without a token is told no error, only what is asked for. */
static enum answer refuse(const struct auth *d, struct exchange *ex, enum jwt_verdict verdict)
{
	const struct jwt_verdict_facts *facts = jwt_verdict_facts(verdict);
	bool clients_fault = facts->reason == REASON_unauthorized || facts->reason == REASON_forbidden;
	struct span challenge = clients_fault && !d->conf.dry_run ? write_challenge(d, ex, facts) : SPAN_NONE;
	if (challenge.len)
		exchange_add_reply_field(ex, SPAN("www-authenticate"), challenge);
	return exchange_turn_away(ex, d->conf.dry_run, facts->reason, facts->reason == REASON_keys_unavailable, clients_fault ? facts->text : NULL);
}

static void forward_claims(const struct auth *d, struct exchange *ex, const struct claims *claims)
{
	for (unsigned i = 0; i < d->conf.forward.count; i++) {
		struct span value = claims_find(claims, d->conf.forward.at[i].name);
		exchange_set_request_field(ex, d->conf.forward.at[i].value, value.len && field_value_is_safe(value) ? value : SPAN_NONE);
	}
}

static enum answer act(struct auth *d, struct exchange *ex, struct auth_slot *slot, enum jwt_verdict verdict, struct jwt *jwt)
{
	__atomic_fetch_add(&d->core->decisions[verdict], 1, __ATOMIC_RELAXED);
	enum answer answer = jwt_verdict_facts(verdict)->reason == REASON_NONE ? PASS : refuse(d, ex, verdict);
	if (answer == PASS && verdict == JWT_allowed) {
		slot->jwt = jwt;
		ex->claims = &jwt->claims;
		forward_claims(d, ex, &jwt->claims);
		return PASS;
	}
	jwt_unref(jwt);
	return answer;
}

/* The keys were fetched, or are not to be had: decided now, one way or the other. */
static void look_again(struct timer *t)
{
	struct auth_slot *slot = container_of(t, struct auth_slot, again);
	struct worker *w = slot->ex->worker;
	struct jwt *jwt = NULL;
	if (key_source_attempts(slot->door->source) == slot->attempts && w->now_us < slot->until_us) {
		worker_arm(w, t, LOOK_AGAIN_US, look_again);
		return;
	}
	enum jwt_verdict verdict = judge(slot->door, slot->ex, &jwt);
	exchange_answer(slot->ex, act(slot->door, slot->ex, slot, verdict, jwt));
}

static enum answer auth_admit(struct policy *p, struct exchange *ex, void *memory)
{
	struct auth *d = (struct auth *)p;
	struct auth_slot *slot = memory;
	struct jwt *jwt = NULL;

	forward_claims(d, ex, NULL);
	uint64_t attempts = key_source_attempts(d->source);
	enum jwt_verdict verdict = judge(d, ex, &jwt);
	if (verdict != JWT_unknown_key || !key_source_want(d->source, ex->worker->now_us) || d->conf.dry_run)
		return act(d, ex, slot, verdict, jwt);
	*slot = (struct auth_slot){ .door = d, .ex = ex, .attempts = attempts, .until_us = ex->worker->now_us + d->conf.keys.timeout_us };
	worker_arm(ex->worker, &slot->again, LOOK_AGAIN_US, look_again);
	return LATER;
}

static void auth_settle(struct policy *p, struct exchange *ex, void *memory, enum ending ending)
{
	struct auth_slot *slot = memory;
	(void)p; (void)ending;
	worker_disarm(ex->worker, &slot->again);
	ex->claims = NULL;
	jwt_unref(slot->jwt);
	slot->jwt = NULL;
}

const struct policy_type auth_policy = {
	.name = "auth", .block = &auth_block, .wanted = auth_wanted, .slot_size = sizeof(struct auth_slot), .open = auth_open, .close = auth_close,
	.admit = auth_admit, .settle = auth_settle,
};
