/* version.c - number and revision are given by the Makefile; libraries tell their own. */
#include "app/version.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <uv.h>

#include "conf/conf.h"
#include "core/route.h"
#include "edge/fetch.h"
#include "edge/jose.h"
#include "edge/resolve.h"
#include "http/h1_read.h"

const char *version_number(void) { return OUTRIGGER_VERSION; }
const char *version_revision(void) { return OUTRIGGER_REVISION; }
const char *version_llhttp(void) { return h1_llhttp_version(); }
const char *version_openssl(void) { return OpenSSL_version(OPENSSL_VERSION_STRING); }
const char *version_libuv(void) { return uv_version_string(); }

void version_print(void)
{
	printf("outrigger %s (%s)\n", version_number(), version_revision());
	printf("llhttp %s  libuv %s  openssl %s  libcurl %s  c-ares %s  libyaml %s  pcre2 %s  cjose %s\n", version_llhttp(), version_libuv(),
		version_openssl(), fetcher_curl_version(), resolver_cares_version(), conf_yaml_version(), router_pcre2_version(), jose_version());
}
