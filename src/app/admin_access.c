/* admin_access.c - three doors, in this order:
 *
 *   admin.public    these paths are open to all
 *   the peer        a loopback address, a unix socket, or the bearer token
 *   the browser     a page of somebody else's, open in a browser on this machine, comes from a loopback address too. It cannot choose Host
 *                   and Origin: a name that was rebound to 127.0.0.1 stands in Host, and a POST from a foreign page carries its Origin.
 */
#include "admin_access.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

bool admin_access_init(struct admin_access *a, const struct conf_admin *conf, char why[128])
{
	char name[4096];
	*a = (struct admin_access){ .conf = conf };
	if (!conf->token_file.len)
		return true;
	if (conf->token_file.len >= sizeof(name)) {
		snprintf(why, 128, "token_file: the path is too long");
		return false;
	}
	memcpy(name, conf->token_file.at, conf->token_file.len);
	name[conf->token_file.len] = '\0';
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, a->token, sizeof(a->token)) : -1;
	if (n < 0)
		snprintf(why, 128, "token_file: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return false;
	while (n > 0 && (a->token[n - 1] == '\n' || a->token[n - 1] == '\r' || a->token[n - 1] == ' '))
		n--;
	a->token_len = (size_t)n;
	if (n == 0 || n == (ssize_t)sizeof(a->token)) {
		snprintf(why, 128, "token_file: %s", n ? "the token is too long" : "it is empty, so nobody could ever use it");
		return false;
	}
	return true;
}

static bool is_public(const struct admin_access *a, struct span path)
{
	for (unsigned i = 0; i < a->conf->public_paths.count; i++)
		if (span_eq(path, a->conf->public_paths.at[i]))
			return true;
	return false;
}

/* Takes as long for a wrong token as for the right one. */
static bool same_token(const struct admin_access *a, struct span given)
{
	unsigned char differs = given.len != a->token_len;
	for (size_t i = 0; i < given.len; i++)
		differs |= (unsigned char)(given.at[i] ^ a->token[i % a->token_len]);
	return differs == 0;
}

static bool has_token(const struct admin_access *a, const struct exchange *ex)
{
	struct span value = fields_value(&ex->request.fields, FIELD_AUTHORIZATION);
	if (!a->token_len || !span_starts_nocase(value, SPAN("bearer ")))
		return false;
	return same_token(a, span_trim(span_from(value, 7)));
}

/* The front tells IPv4-mapped peers as IPv4; a unix socket has no address. */
static bool is_near(struct span peer) { return !peer.len || span_starts(peer, SPAN("127.")) || span_eq(peer, SPAN("::1")); }

static bool is_ip_literal(struct span host)
{
	char text[INET6_ADDRSTRLEN];
	unsigned char out[16];
	bool bracketed = host.len > 2 && host.at[0] == '[';
	if (bracketed)
		host = (struct span){ host.at + 1, host.len - 2 };
	if (host.len == 0 || host.len >= sizeof(text))
		return false;
	memcpy(text, host.at, host.len);
	text[host.len] = '\0';
	return inet_pton(bracketed ? AF_INET6 : AF_INET, text, out) == 1;
}

static bool is_own_host(const struct admin_access *a, struct span authority)
{
	struct span host, port;
	if (!authority.len || span_eq_nocase(authority, a->conf->listen))
		return true;                      /* no Host at all: not a browser */
	return authority_split(authority, &host, &port) && (span_eq_nocase(host, SPAN("localhost")) || is_ip_literal(host));
}

static bool is_own_origin(const struct exchange *ex)
{
	struct span origin = fields_value(&ex->request.fields, FIELD_ORIGIN);
	if (!fields_have(&ex->request.fields, FIELD_ORIGIN))
		return true;
	return span_starts_nocase(origin, SPAN("http://")) && span_eq_nocase(span_from(origin, 7), ex->request.authority);
}

const char *admin_access_refuses(const struct admin_access *a, const struct exchange *ex, bool changes)
{
	if (!changes && is_public(a, ex->request.path))
		return NULL;
	if (!is_near(ex->client_address) && !has_token(a, ex))
		return a->token_len
			? "This page is for this machine only, or with 'Authorization: Bearer' and the token of admin.token_file."
			: "This page is for this machine only. Set admin.token_file to let others in with a token.";
	if (!is_own_host(a, ex->request.authority))
		return "The Host field must be an IP address, localhost or the admin's own address: "
			"other names could be rebound by somebody else's web page.";
	if (changes && !is_own_origin(ex))
		return "A web page of another origin may not change anything here.";
	return NULL;
}
