/* test_conf_errors.c - every way of being wrong that the tables know: line, column and words. */
#include "conf_try.h"

#define ROUTES "routes: [{path: /, upstream: \"http://a:1\"}]\n"
#define BASE "listen: :1\n" ROUTES               /* two good lines; what is tried begins on line 3 */

#define SPLIT(to) "listen: :1\nupstreams: {v1: {endpoints: \"http://a:1\"}, v2: {endpoints: \"http://b:1\"}}\nroutes: [{upstream: " to "}]\n"

struct bad { const char *yaml, *said; };

static void try_all(const struct bad *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
		try_expect(cases[i].yaml, cases[i].said);
}
#define TRY_ALL(cases) try_all(cases, sizeof(cases) / sizeof(*(cases)))

static void test_keys(void **state)
{
	(void)state;
	static const struct bad cases[] = {
		{ BASE "clients: {}\n", "3:1: error: unknown key 'clients'\n" },
		{ BASE "client: {header_timeuot: 5s}\n", "3:10: error: unknown key 'header_timeuot' in client\n" },
		{ BASE "client:\n  body: {rate: 1B/s}\n", "4:10: error: unknown key 'rate' in client.body\n" },
		{ BASE "defaults: {retry: {tries: 3}}\n", "3:20: error: unknown key 'tries' in defaults.retry\n" },
		{ BASE "upstreams: {b: {endpoints: http://b:1, weight: 2}}\n", "3:40: error: unknown key 'weight' in upstreams.b\n" },
		{ "listen: :1\nroutes:\n  - path: /\n    upstream: http://a:1\n  - path: /x\n    name: orders\n    upstream: http://a:1\n"
			"    time_out: 10s\n",
			"8:5: error: unknown key 'time_out' in routes[1] ('orders')\n" },
		{ "listen: :1\nroutes:\n  - {path: /, name: n, upstream: \"http://a:1\", retry: {backoff: {bas: 1s}}}\n",
			"3:66: error: unknown key 'bas' in routes[0].retry.backoff ('n')\n" },
		{ BASE "listen: :2\n", "3:1: error: duplicate key 'listen'\n" },
		{ BASE "client: {max_headers: 5, max_headers: 6, max_headers: 7}\n",
			"3:26: error: duplicate key 'max_headers'\n3:42: error: duplicate key 'max_headers'\n" },
		{ BASE "on: true\n", "3:1: error: a key cannot be called 'on'\n3:1: error: unknown key 'on'\n" },
		{ "listen: {address: \":1\", tls: {}, protocols: [h2c], proxy_protocol: true}\n" ROUTES,
			"1:25: error: 'tls' is not in this version\n"
			"1:34: error: 'protocols' is not in this version\n1:52: error: 'proxy_protocol' is not in this version\n" },
		{ "listen: :1\nupstreams: {a: {endpoints: http://a:1, protocol: h2, tls: {}}}\n"
			"routes: [{upstream: a}]\n",
			"2:40: error: 'protocol' is not in this version\n2:54: error: 'tls' is not in this version\n" },
		{ "listen: :1\nroutes: [{upstream: {v1: 95%, v2: 5%}}]\n", "2:22: error: unknown upstream 'v1'\n2:31: error: unknown upstream 'v2'\n" },
		{ SPLIT("{v1: 95%, v2: 6%}"), "3:11: error: the shares of 'upstream' make 101%, not 100%\n" },
		{ SPLIT("{v1: 95, v2: 5%}"), "3:26: error: 'share' needs a unit\n" },
		{ SPLIT("{v1: 95%, v2: 101%}"), "3:35: error: 'share' is out of range: 101%\n" },
		{ SPLIT("{v1: 100%, \"http://a:1\": 0%}"), "3:32: error: a split is between upstreams that have names\n" },
		{ SPLIT("{v1: }"), "3:22: error: 'v1' must be a text\n" },
		{ SPLIT("{}"), "3:11: error: 'upstream' is empty\n" },
		{ SPLIT("{v1: 95%, v2: 5%}, retry: {backoff: {base: 1}}"), "3:64: error: 'base' needs a unit\n" },
		{ BASE "defaults: {respond: {status: 200}}\n", "3:12: error: 'respond' cannot stand in defaults\n" },
		{ BASE "defaults: {connect_timeout: 1s, path: /}\n", "3:12: error: 'connect_timeout' cannot stand in defaults\n"
			"3:33: error: 'path' cannot stand in defaults\n" },
		{ "listen: :1\nroutes: [{upstream: \"http://a:1\", outlier_detection: {}}]\n",
			"2:35: error: 'outlier_detection' cannot stand in a route\n" },
	};
	TRY_ALL(cases);
}

static void test_units(void **state)
{
	(void)state;
	static const struct { const char *key, *value, *said; } cases[] = {
		{ "header_timeout", "10", "'header_timeout' needs a unit" },
		{ "header_timeout", "0", "'header_timeout' needs a unit" },
		{ "header_timeout", "10 s", "'header_timeout' must be a duration, not '10 s'" },
		{ "header_timeout", "10sec", "unknown unit 'sec' in 'header_timeout'" },
		{ "header_timeout", "10S", "unknown unit 'S' in 'header_timeout'" },
		{ "header_timeout", "soon", "'header_timeout' must be a duration, not 'soon'" },
		{ "header_timeout", "-1s", "'header_timeout' cannot be negative: -1s" },
		{ "header_timeout", "s", "'header_timeout' must be a duration, not 's'" },
		{ "header_timeout", "''", "'header_timeout' is empty" },
		{ "header_timeout", "", "'header_timeout' has no value" },
		{ "header_timeout", "~", "'header_timeout' has no value" },
		{ "header_timeout", "1.s", "'header_timeout' must be a duration, not '1.s'" },
		{ "header_timeout", "1.5us", "'header_timeout' has too many decimals: 1.5us" },
		{ "header_timeout", "1.0000000000000000001s", "'header_timeout' has too many decimals: 1.0000000000000000001s" },
		{ "header_timeout", "99999999999999999999s", "'header_timeout' is too large a number: 99999999999999999999s" },
		{ "header_timeout", "18446744073709551615d", "'header_timeout' is too large a number: 18446744073709551615d" },
		{ "header_timeout", "18446744073709551615us1us", "'header_timeout' is too large a number: 18446744073709551615us1us" },
		{ "header_timeout", "25h", "'header_timeout' is out of range: 25h" },
		{ "header_timeout", "0s", "'header_timeout' is out of range: 0s" },
		{ "header_timeout", "[1s, 2s]", "'header_timeout' takes one value, not a list" },
		{ "header_timeout", "{a: 1}", "'header_timeout' takes one value, not a mapping" },
		{ "max_header_size", "32", "'max_header_size' needs a unit" },
		{ "max_header_size", "32k", "unknown unit 'k' in 'max_header_size'" },
		{ "max_header_size", "32kib", "unknown unit 'kib' in 'max_header_size'" },
		{ "max_header_size", "1KiB1KiB", "'max_header_size' must be a size, not '1KiB1KiB'" },
		{ "max_header_size", "2MiB", "'max_header_size' is out of range: 2MiB" },
		{ "max_header_size", "0.3B", "'max_header_size' has too many decimals: 0.3B" },
		{ "max_headers", "10s", "'max_headers' must be a whole number, not '10s'" },
		{ "max_headers", "1.5", "'max_headers' must be a whole number, not '1.5'" },
		{ "max_headers", "+5", "'max_headers' must be a whole number, not '+5'" },
		{ "max_headers", "0x10", "'max_headers' must be a whole number, not '0x10'" },
		{ "max_headers", "99999999999999999999", "'max_headers' is too large a number: 99999999999999999999" },
		{ "max_headers", "0", "'max_headers' is out of range: 0" },
		{ "body", "5", "'body' must be a mapping" },
		{ "body", "[]", "'body' must be a mapping" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char yaml[300], all[400], said[400];
		snprintf(yaml, sizeof(yaml), BASE "client:\n  %s: %s\n", cases[i].key, cases[i].value);
		struct tried t = try_text(yaml);
		try_messages(&t, all, sizeof(all));
		/* What stands behind line, column and severity. */
		const char *words = strstr(all, "error: ");
		snprintf(said, sizeof(said), "%s", words ? words + 7 : all);
		said[strcspn(said, "\n")] = '\0';
		assert_string_equal(said, cases[i].said);
		assert_int_equal(t.report.errors, 1);
		try_end(&t);
	}
}

static void test_other_units(void **state)
{
	(void)state;
	static const struct bad cases[] = {
		{ BASE "client: {body: {min_rate: 500B}}\n", "3:27: error: 'min_rate' needs a unit\n" },
		{ BASE "client: {body: {min_rate: 500/s}}\n", "3:27: error: 'min_rate' needs a unit\n" },
		{ BASE "access_log: {sample: 50}\n", "3:22: error: 'sample' needs a unit\n" },
		{ BASE "access_log: {sample: 0.5}\n", "3:22: error: 'sample' needs a unit\n" },
		{ BASE "access_log: {sample: 101%}\n", "3:22: error: 'sample' is out of range: 101%\n" },
		{ BASE "access_log: {sample: 5pc}\n", "3:23: error: unknown unit 'pc' in 'sample'\n" },
		{ BASE "access_log: {sample: 5 %}\n", "3:23: error: 'sample' must be a share, not '5 %'\n" },
		{ BASE "defaults: {outlier_detection: {rate: 10}}\n", "3:38: error: 'rate' needs a unit\n" },
		{ BASE "defaults: {outlier_detection: {rate: 10/}}\n", "3:41: error: 'rate' needs a unit\n" },
		{ BASE "defaults: {outlier_detection: {rate: 10/d}}\n", "3:41: error: unknown unit 'd' in 'rate'\n" },
		{ BASE "defaults: {outlier_detection: {rate: x/s}}\n", "3:38: error: 'rate' must be a rate, not 'x/s'\n" },
		{ BASE "defaults: {outlier_detection: {rate: 7000/m}}\n", "3:38: error: 'rate' is out of range: 7000/m\n" },
		{ BASE "defaults: {outlier_detection: {rate: 59/h}}\n", "3:38: error: 'rate' is out of range: 59/h\n" },
		{ BASE "defaults: {outlier_detection: {rate: 99999999999999999999/h}}\n",
			"3:38: error: 'rate' is too large a number: 99999999999999999999/h\n" },
		{ BASE "log: {level: warning}\n", "3:14: error: 'level' cannot be 'warning'\n" },
		{ BASE "log: {format: yaml}\n", "3:15: error: 'format' cannot be 'yaml'\n" },
		{ BASE "access_log: {format: xml}\n", "3:22: error: 'format' cannot be 'xml'\n" },
		{ BASE "metrics: {buckets: [5ms, soon]}\n", "3:26: error: 'soon' is not the end of a bucket\n" },
		{ BASE "metrics: {buckets: [5ms, 1ms]}\n", "3:26: error: '1ms' is not above the one before it\n" },
		{ BASE "metrics: {buckets: []}\n", "3:11: error: '' is not the end of a bucket\n" },
		{ BASE "metrics: {buckets: 0s}\n", "3:20: error: '0s' is not the end of a bucket\n" },
		{ BASE "access_log: {always: {status: 5xx}}\n", "3:31: error: '5xx' is not a status or a range of them\n" },
		{ BASE "tracing: {otlp: \"collector:4318\"}\n", "3:18: error: 'collector:4318' is not the URL of a collector\n" },
		{ BASE "tracing: {otlp: \"http://\", sample: 0.1}\n", "3:18: error: 'http://' is not the URL of a collector\n"
			"3:36: error: 'sample' needs a unit\n" },
		{ BASE "tracing: {otlp: \"http://u:p@c:4318\"}\n", "3:18: error: a URL with a user name is not supported\n" },
		{ BASE "errors: {detail: some}\n", "3:18: error: 'detail' cannot be 'some'\n" },
		{ BASE "upstreams: {a: {endpoints: http://b:1, required: yes}}\n",
			"3:50: error: 'required' must be true or false, not 'yes'\n" },
		{ BASE "workers: 0\n", "3:10: error: 'workers' cannot be '0'\n" },
		{ BASE "workers: many\n", "3:10: error: 'workers' cannot be 'many'\n" },
		{ BASE "access_log: {to: here}\n", "3:18: error: 'to' cannot be 'here'\n" },
		{ BASE "defaults: {retry: {retry_on: [reset, resset]}}\n", "3:38: error: 'resset' is no cause\n" },
		{ BASE "defaults: {retry: {retry_on: silent}}\n", "3:30: error: 'retry_on' cannot be 'silent'\n" },
		{ BASE "defaults: {retry: {retry_on: {a: b}}}\n", "3:30: error: 'retry_on' takes plain values, not a mapping here\n" },
		{ BASE "defaults: {retry: {methods: [GET, [HEAD]]}}\n", "3:35: error: 'methods' takes plain values, not a list here\n" },
		{ BASE "defaults: {retry: 7}\n", "" },
		{ BASE "defaults: {retry: 70}\n", "3:19: error: 'max_retries' is out of range: 70\n" },
		{ BASE "defaults: {retry: [1, 2]}\n", "3:19: error: 'retry' must be a mapping\n" },
		{ BASE "defaults: {fallback: off}\n", "3:22: error: 'fallback' must be a mapping\n" },
	};
	TRY_ALL(cases);
}

static void test_addresses(void **state)
{
	(void)state;
	static const struct bad cases[] = {
		{ "listen: 8080\n" ROUTES, "1:9: error: '8080' is not an address\n" },
		{ "listen: 127.0.0.1\n" ROUTES, "1:9: error: '127.0.0.1' has no port\n" },
		{ "listen: localhost:80\n" ROUTES, "1:9: error: 'localhost' is not an IP address\n" },
		{ "listen: 127.0.0.1:65536\n" ROUTES, "1:19: error: '65536' is not a port\n" },
		{ "listen: 127.0.0.1:+80\n" ROUTES, "1:19: error: '+80' is not a port\n" },
		{ "listen: \"*:80\"\n" ROUTES, "1:10: error: '*' is not an address\n" },
		{ "listen: \"::1:80\"\n" ROUTES, "1:10: error: '::1' is not an IP address\n" },
		{ "listen: \"[::1]\"\n" ROUTES, "1:10: error: '[::1]' has no port\n" },
		{ "listen: \"[::g]:80\"\n" ROUTES, "1:10: error: '[::g]' is not an IP address\n" },
		{ "listen: unix:run/x\n" ROUTES, "1:9: error: 'unix:run/x' needs an absolute path\n" },
		{ "listen: http://127.0.0.1:80\n" ROUTES, "1:9: error: 'http://127.0.0.1:80' is a URL, and this wants an address\n" },
		{ "listen: [{}]\n" ROUTES, "1:10: error: 'address' is missing\n" },
		{ "listen: [\":1\", \":2\", \":1\"]\n" ROUTES, "1:22: error: listening twice on :1\n" },
		{ "listen: [\":1\", \"0.0.0.0:1\"]\n" ROUTES, "1:16: error: listening twice on 0.0.0.0:1\n" },
		{ "listen: [127.0.0.1:0, 127.0.0.1:0]\n" ROUTES, "" },
		{ "listen: :1\nadmin: {listen: \":1\"}\n" ROUTES,
			"2:17: error: the admin listener and a listener for clients are both on :1\n" },
		{ "listen: 127.0.0.1:9901\n" ROUTES, "1:9: error: the admin listener and a listener for clients are both on 127.0.0.1:9901\n" },
		{ "listen: 127.0.0.1:9901\nadmin: {listen: off}\n" ROUTES, "" },
		{ BASE "trusted_proxies: [10.0.0.0/8, 10.0.0.0/33, \"::1/129\", host, 10.0.0/8]\n",
			"3:31: error: '10.0.0.0/33' is not an IP address or network\n"
			"3:45: error: '::1/129' is not an IP address or network\n3:55: error: 'host' is not an IP address or network\n"
			"3:61: error: '10.0.0/8' is not an IP address or network\n" },
		{ "listen: :1\nroutes: [{name: none, upstream: \"http://a\"}]\n", "2:17: error: 'none' cannot be the name of a route\n" },
		{ "listen: :1\nroutes: [{upstream: \"https://a\"}]\n", "2:22: error: TLS to upstreams is not in this version\n" },
		{ "listen: :1\nroutes: [{upstream: \"ftp://a\"}]\n", "2:22: error: 'ftp://a' is not a URL of an upstream\n" },
		{ "listen: :1\nroutes: [{upstream: \"http://\"}]\n", "2:29: error: there is no host in it\n" },
		{ "listen: :1\nroutes: [{upstream: \"http://a/b?c\"}]\n", "2:30: error: the URL of an upstream has no path\n" },
		{ "listen: :1\nroutes: [{upstream: \"http://u@a\"}]\n", "2:29: error: a URL with a user name is not supported\n" },
		{ "listen: :1\nroutes: [{upstream: \"http://a:0\"}]\n", "2:31: error: '0' is not a port\n" },
		{ "listen: :1\nroutes: [{upstream: \"http://a..b\"}]\n", "2:29: error: 'a..b' is not a host\n" },
		{ "listen: :1\nroutes: [{upstream: \"http://[::1\"}]\n", "2:29: error: '[:' is not a host\n" },
		{ "listen: :1\nroutes: [{upstream: \"unix:x\"}]\n", "2:22: error: 'unix:x' needs an absolute path\n" },
		{ "listen: :1\nroutes: [{upstream: \"127.0.0.1:3000\"}]\n", "2:21: error: unknown upstream '127.0.0.1:3000'\n" },
	};
	TRY_ALL(cases);
}

static void test_upstreams_and_routes(void **state)
{
	(void)state;
	static const struct bad cases[] = {
		{ "listen: :1\nupstreams: {a: {}}\nroutes: [{upstream: a}]\n", "2:13: error: upstream 'a' has no endpoints\n" },
		{ "listen: :1\nupstreams: {a: {endpoints: []}}\nroutes: [{upstream: a}]\n", "2:17: error: upstream 'a' has no endpoints\n" },
		{ "listen: :1\nupstreams: {a: {endpoints: http://b:1, dns: \"http://c:1\"}}\nroutes: [{upstream: a}]\n",
			"2:45: error: upstream 'a' is described twice\n" },
		{ "listen: :1\nupstreams: {a: {srv: billing}}\nroutes: [{upstream: a}]\n",
			"2:22: error: 'billing' is not the name of an SRV record\n" },
		{ "listen: :1\nupstreams: {a: {dns: unix:/x}}\nroutes: [{upstream: a}]\n", "2:22: error: a unix socket is not in the DNS\n" },
		{ "listen: :1\nupstreams: {a: {endpoints: [http://b:1, {url: \"http://b:1\"}]}}\nroutes: [{upstream: a}]\n",
			"2:47: warning: endpoint http://b:1 is listed twice\n" },
		{ "listen: :1\nupstreams: {a: {endpoints: [{weight: 2}]}}\nroutes: [{upstream: a}]\n", "2:29: error: 'url' is missing\n" },
		{ "listen: :1\nupstreams: {a: {endpoints: [{url: \"http://b:1\", weight: 0}]}}\nroutes: [{upstream: a}]\n",
			"2:57: error: 'weight' is out of range: 0\n" },
		{ "listen: :1\nupstreams: {a b: {endpoints: http://b:1}}\nroutes: [{upstream: a b}]\n",
			"2:13: error: 'a b' cannot be the name of an upstream\n" },
		{ "listen: :1\nupstreams: {a: http://b:1}\nroutes: [{upstream: a}]\n", "2:13: error: upstream 'a' must be a mapping\n" },
		{ "listen: :1\nupstreams: [a]\nroutes: [{upstream: \"http://a:1\"}]\n",
			"2:12: error: 'upstreams' must be a mapping of names\n" },
		{ BASE "upstreams: {spare: {endpoints: http://b:1}}\n", "3:13: warning: no route uses upstream 'spare'\n" },
		{ "listen: :1\nupstreams: {search: {endpoints: http://b:1}}\nroutes: [{upstream: serch}]\n",
			"3:21: error: unknown upstream 'serch'\n" },
		{ "listen: :1\nupstreams: {a: {endpoints: http://b:1, health_check: {expect_status: 99-200}}}\nroutes: [{upstream: a}]\n",
			"2:70: error: '99-200' is not a status or a range of them\n" },
		{ "listen: :1\nupstreams: {a: {endpoints: http://b:1, health_check: {path: healthz}, host_header: a b}}\n"
			"routes: [{upstream: a}]\n",
			"2:61: error: 'healthz' is not a path\n2:84: error: 'a b' cannot be a Host\n" },
		{ "listen: :1\n", "1:1: error: there are no 'routes'\n" },
		{ ROUTES, "1:1: error: there is no 'listen'\n" },
		{ "listen: :1\nroutes: []\n", "2:1: error: 'routes' is empty\n" },
		{ "listen: :1\nroutes:\n", "2:1: error: 'routes' is empty\n" },
		{ "listen: []\n" ROUTES, "1:1: error: 'listen' is empty\n" },
		{ "listen: :1\nroutes: {path: /}\n", "2:9: error: 'routes' must be a list\n" },
		{ "listen: :1\nroutes: [x]\n", "2:10: error: a route must be a mapping\n" },
		{ "listen: :1\nroutes: [{path: /}]\n", "2:11: error: this route has no upstream\n" },
		{ "listen: :1\nroutes: [{}]\n", "2:10: error: this route has no upstream\n" },
		{ "listen: :1\nroutes: [{upstream: }]\n", "2:11: error: 'upstream' has no value\n" },
		{ "listen: :1\nroutes: [{respond: {}}]\n", "" },
		{ "listen: :1\nroutes: [{upstream: \"http://a:1\", respond: {status: 204}}]\n",
			"2:11: warning: this upstream is never asked: 'respond' answers\n" },
		{ "listen: :1\nroutes: [{path: x, upstream: \"http://a:1\"}]\n", "2:17: error: 'x' is not a path\n" },
		{ "listen: :1\nroutes: [{path: =x, upstream: \"http://a:1\"}, {path: \"/a b\", upstream: \"http://a:1\"}]\n",
			"2:17: error: '=x' is not a path\n2:54: error: '/a b' is not a path\n" },
		{ "listen: :1\nroutes: [{methods: [get, GET], upstream: \"http://a:1\"}]\n", "2:21: error: 'get' is not a method\n" },
		{ "listen: :1\nroutes: [{host: [\"a:80\", \"*\", \"*.x.y\"], upstream: \"http://a:1\"}]\n",
			"2:19: error: 'a:80' is not a host\n2:27: error: '*' is not a host\n" },
		{ "listen: :1\nroutes: [{headers: {\"x y\": 1, x: \"a\\nb\"}, upstream: \"http://a:1\"}]\n",
			"2:21: error: 'x y' is not a field name\n2:34: error: the value of 'x' has a control character in it\n" },
		{ "listen: :1\nroutes: [{request_headers: {set: {x: [1]}, remove: \"a:\"}, upstream: \"http://a:1\"}]\n",
			"2:35: error: 'x' must be a text\n2:52: error: 'a:' is not a field name\n" },
		{ "listen: :1\nroutes: [{request_headers: {set: x}, upstream: \"http://a:1\"}]\n", "2:34: error: 'set' must be a mapping\n" },
		{ "listen: :1\nroutes: [{name: a, upstream: \"http://a:1\"}, {path: /x, name: a, upstream: \"http://a:1\"}]\n",
			"2:62: error: two routes are named 'a'\n" },
		{ "listen: :1\nroutes: [{name: \"a b\", upstream: \"http://a:1\"}]\n", "2:18: error: 'a b' cannot be the name of a route\n" },
		{ "listen: :1\nroutes:\n  - {path: /a, upstream: \"http://a:1\"}\n  - {path: /a, methods: GET, upstream: \"http://a:1\"}\n"
			"  - {path: /a, host: h, upstream: \"http://a:1\"}\n  - {path: /a, host: h, headers: {x: y}, upstream: \"http://a:1\"}\n"
				"  - {path: /b, upstream: \"http://a:1\"}\n",
			"4:6: warning: this route can never match\n6:6: warning: this route can never match\n" },
		{ "listen: :1\nroutes: [{upstream: \"http://a:1\", fallback: {body: x}}]\n", "2:35: error: 'fallback' needs 'status'\n" },
	};
	TRY_ALL(cases);
}

#define ROUTE "listen: :1\nroutes:\n  - upstream: http://a:1\n"
static void test_fields_that_are_not_the_operators(void **state)
{
	static const char *const names[] = { "connection", "Content-Length", "keep-alive", "Proxy-Connection", "te", "trailer", "Transfer-Encoding",
		"upgrade" };
	(void)state;
	for (unsigned i = 0; i < 2 * sizeof(names) / sizeof(*names); i++) {
		char yaml[256], expected[128];
		const char *name = names[i / 2], *way = i % 2 ? "response" : "request";
		snprintf(yaml, sizeof(yaml), ROUTE "    %s_headers: {set: {x-a: b, %s: c}, remove: [%s]}\n", way, name, name);
		snprintf(expected, sizeof(expected), "4:%d: error: '%s' cannot be set\n", i % 2 ? 38 : 37, name);
		try_expect(yaml, expected);
	}
	static const struct bad cases[] = {
		{ ROUTE "    response_headers: {set: {Host: a.example}}\n", "4:30: error: 'Host' cannot be set\n" },
		{ ROUTE "    request_headers: {set: {Host: \"[::1]:80\", upgrades: 1, te-x: 1}}\n", "" },
		{ ROUTE "    request_headers: {set: {host: \"a b\"}}\n", "4:36: error: 'a b' cannot be a Host\n" },
		{ ROUTE "    request_headers: {set: {host: \"\"}}\n", "4:36: error: '' cannot be a Host\n" },
	};
	TRY_ALL(cases);
}

static void test_contradictions(void **state)
{
	(void)state;
	static const struct bad cases[] = {
		{ BASE "defaults: {timeout: 1s, per_try_timeout: 2s}\n", "3:42: error: 'per_try_timeout' is longer than 'timeout'\n" },
		{ "listen: :1\ndefaults: {per_try_timeout: 12s}\n"
			"routes: [{upstream: \"http://a:1\", timeout: 10s}, {path: /b, upstream: \"http://a:1\", timeout: 9s}]\n",
			"2:29: error: 'per_try_timeout' is longer than 'timeout'\n" },
		/* Not with a value that could not be read: nobody knows what was meant. */
		{ "listen: :1\ndefaults: {timeout: 60}\nroutes: [{upstream: \"http://a:1\", per_try_timeout: 20s}]\n",
			"2:21: error: 'timeout' needs a unit\n" },
		{ BASE "defaults: {retry: {backoff: {base: 2s, max: 1s}}}\n", "3:36: error: 'base' is longer than 'max'\n" },
		{ "listen: :1\nroutes: [{upstream: \"http://a:1\", retry: {methods: [GET, POST]}}]\n",
			"2:58: error: POST is not repeatable\n" },
		/* An upstream without routes is checked too, and one whose routes put it right is not. */
		{ BASE "upstreams: {a: {endpoints: http://b:1, timeout: 1s, per_try_timeout: 2s}}\n",
			"3:70: error: 'per_try_timeout' is longer than 'timeout'\n" },
		{ "listen: :1\nupstreams: {a: {endpoints: http://b:1, per_try_timeout: 20s}}\nroutes: [{upstream: a, timeout: 30s}]\n", "" },
	};
	TRY_ALL(cases);
}

static void test_five_at_once(void **state)
{
	(void)state;
	try_expect("listen: 0.0.0.0:8080\n"
		"defaults:\n"
		"  timeout: 10\n"
		"upstreams:\n"
		"  orders:\n"
		"    endpoints: [http://orders-1:8080]\n"
		"    health_check: {path: /healthz, interval: 5s, healthy_after: 1000}\n"
		"routes:\n"
		"  - name: orders\n"
		"    path: /orders\n"
		"    upstream: ordres\n"
		"    time_out: 10s\n"
		"  - name: reports\n"
		"    path: /reports\n"
		"    upstream: orders\n"
		"    retry: {max_retries: 1, max_retries: 2}\n",
		"3:12: error: 'timeout' needs a unit\n"
		"7:65: error: 'healthy_after' is out of range: 1000\n"
		"11:15: error: unknown upstream 'ordres'\n"
		"12:5: error: unknown key 'time_out' in routes[0] ('orders')\n"
		"16:29: error: duplicate key 'max_retries'\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys), cmocka_unit_test(test_units), cmocka_unit_test(test_other_units), cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_upstreams_and_routes), cmocka_unit_test(test_fields_that_are_not_the_operators), cmocka_unit_test(test_contradictions), cmocka_unit_test(test_five_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
